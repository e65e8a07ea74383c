"""Random numbers: `Generator`, public as ``tj.random.Generator``.

Floor 7, above `variable`: a generator's state is a variable, so under a trace a draw is an effect, like an
assignment. The draws themselves are in `ops.random`.
"""

import os
from operator import index as as_int
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from .aval import PYTHON_NUMBERS, Shape, broadcast_shapes, checked_shape, is_floating, parse_dtype
from .batching import BatchedTensor, Batching, drawing_apart, outside_of_batches
from .config import floatx
from .errors import DtypeError, TapejitError, at_user_line
from .families import as_array
from .ops.random import INT64, UINT64, advanced, below, distances, unit_normal, unit_uniform, unit_words
from .variable import Variable, holding

if TYPE_CHECKING:
    from .ops.annotations import ArrayLike, DtypeLike, ShapeLike
    from .tensor import Tensor

__all__ = ["Generator"]

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return __all__


class Generator:
    """A stream of random numbers that a seed determines, the same eagerly and compiled, on every machine.

    Parameters
    ----------
    seed : int, optional
        0 to 2^64 - 1: the key of Philox4x32-10. By default the operating system chooses.

    Raises
    ------
    ValueError
        If the seed is out of range.
    DtypeError
        If it is no int.

    Notes
    -----
    Counter-based (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC '11, 2011): the
    state is a key and the number of 128-bit blocks drawn so far. Different seeds give independent streams of
    2^66 32-bit words. Parameters such as `mean` may be tensors: draws are differentiable functions of them.

    Examples
    --------
    >>> generator = tj.random.Generator(7)
    >>> generator.uniform((2, 3)).shape
    (2, 3)
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int | None = None) -> None:
        key = int.from_bytes(os.urandom(8), "little") if seed is None else _as_key(seed)
        if not 0 <= key < 2**64:
            raise ValueError(at_user_line(f"Generator: the seed is an int from 0 to 2**64 - 1, got {seed}"))
        self._state = Variable(np.array([key, 0], UINT64), trainable=False, name="generator")

    def __repr__(self) -> str:
        return f"Generator({self._state!r})"

    @property
    def state(self) -> Variable:
        """Key and counter: a variable uint64[2]."""
        return self._state

    def get_state(self) -> np.ndarray:
        """Key and counter, to be given to `set_state`.

        Returns
        -------
        ndarray, shape (2,), uint64
        """
        return self._state.numpy().copy()

    def set_state(self, state: "ArrayLike") -> None:
        """Go on from a state that `get_state` gave.

        Parameters
        ----------
        state : array_like, shape (2,), uint64
            Key and counter.

        Raises
        ------
        ShapeError
            If the shape is another.
        DtypeError
            If they are no integers.
        """
        numbers = np.asarray(state)
        if numbers.dtype.kind in "iu" and (numbers >= 0).all():
            numbers = numbers.astype(UINT64)
        self._state.assign(numbers)

    def split(self, count: int = 2) -> "list[Generator]":
        """New generators whose keys are drawn from this one.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        list of Generator
            Independent of one another and of this one, as long as no two keys are equal (probability
            ``count² 2^-65``).
        """
        keys = self._drawn(unit_words, (count,))
        return [Generator(key) for key in keys.tolist()]

    def uniform(
        self,
        shape: "ShapeLike" = (),
        low: "ArrayLike" = 0.0,
        high: "ArrayLike" = 1.0,
        dtype: "DtypeLike" = None,
    ) -> "Tensor":
        """Uniform on [low, high).

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `low` and `high`; all elements are drawn independently.
        low, high : array_like, floating
            The ends.
        dtype : dtype, optional
            float32 or float64; by default that of `low` and `high` if they are arrays, else
            `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``low + (high - low) * u``. Rounding may give `high` itself where ``high - low`` is small against
            it.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        u is a multiple of 2^-24 (float32) or 2^-53 (float64). The derivatives are ``1 - u`` by `low`, ``u``
        by `high`.

        Examples
        --------
        >>> bool(tj.all(tj.random.Generator(0).uniform((100,), 2.0, 3.0) >= 2.0))
        True
        """
        low, high, chosen, lengths = _parameters("uniform", shape, low, high, dtype)
        draw = self._drawn(unit_uniform, lengths, chosen)
        if _is_number(low, 0) and _is_number(high, 1):
            return draw
        return ops.add(low, ops.multiply(ops.subtract(high, low), draw))  # type: ignore[no-any-return]

    def normal(
        self,
        shape: "ShapeLike" = (),
        mean: "ArrayLike" = 0.0,
        stddev: "ArrayLike" = 1.0,
        dtype: "DtypeLike" = None,
    ) -> "Tensor":
        """Normal with a mean and a standard deviation.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `mean` and `stddev`; all elements are drawn independently.
        mean, stddev : array_like, floating
            Where and how wide.
        dtype : dtype, optional
            float32 or float64; by default that of `mean` and `stddev` if they are arrays, else
            `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``mean + stddev * z``.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        z is drawn by Box and Muller's transform (`ops.random.unit_normal`); its absolute value is at most
        6.66 in float32 and 9.42 in float64. The derivatives are 1 by `mean`, ``z`` by `stddev`.

        Examples
        --------
        >>> tj.random.Generator(0).normal((2,), mean=[1.0, 10.0], stddev=0.0).tolist()
        [1.0, 10.0]
        """
        mean, stddev, chosen, lengths = _parameters("normal", shape, mean, stddev, dtype)
        draw = self._drawn(unit_normal, lengths, chosen)
        if _is_number(mean, 0) and _is_number(stddev, 1):
            return draw
        return ops.add(mean, ops.multiply(stddev, draw))  # type: ignore[no-any-return]

    def integers(self, low: "ArrayLike", high: "ArrayLike", shape: "ShapeLike" = ()) -> "Tensor":
        """Uniform integers from `low` to ``high - 1``.

        Parameters
        ----------
        low, high : array_like, integer
            Ends, `high` excluded.
        shape : int or tuple of int
            Broadcast with the shapes of `low` and `high`; all elements are drawn independently.

        Returns
        -------
        Tensor, int64

        Raises
        ------
        ValueError
            If `low` and `high` are Python ints and there is nothing between them.
        DtypeError
            If they are no integers.

        Notes
        -----
        The upper half of the 128-bit product of a random 64-bit word and ``high - low``: nothing is
        rejected, so each probability is off by at most 2^-64, which is relatively less than 2^-32 for ranges
        up to 2^32.

        Examples
        --------
        >>> sorted(set(tj.random.Generator(0).integers(0, 3, (100,)).tolist()))
        [0, 1, 2]
        """
        if type(low) is type(high) is int and low >= high:
            raise ValueError(at_user_line(f"integers: there is no integer from {low} up to, but without, {high}"))
        ends = [as_array(end) for end in (low, high)]
        for end in ends:
            if end.dtype.kind not in "iu":
                raise DtypeError(at_user_line(f"integers: low and high are integers, got {end.dtype.name}"))
        lengths = broadcast_shapes("integers", [checked_shape("integers", shape), *(end.shape for end in ends)])
        first, last = (ops.astype(end, INT64) for end in ends)
        offsets = self._drawn(below, distances(first, last), lengths)
        return ops.add(first, ops.astype(offsets, INT64))  # type: ignore[no-any-return]

    def bernoulli(self, p: "ArrayLike" = 0.5, shape: "ShapeLike" = ()) -> "Tensor":
        """True with probability `p`.

        Parameters
        ----------
        p : array_like, floating
            Probabilities; 0 is never and 1 always True.
        shape : int or tuple of int
            Broadcast with the shape of `p`; all elements are drawn independently.

        Returns
        -------
        Tensor, bool
            Not connected to `p`. Convert with `tj.astype` to compute with it.

        Raises
        ------
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        ``u < p`` with u as in `uniform`, so `p` counts in steps of 2^-24 (float32) or 2^-53 (float64).

        Examples
        --------
        >>> tj.random.Generator(0).bernoulli(1.0, (3,)).tolist()
        [True, True, True]
        """
        p, _, chosen, lengths = _parameters("bernoulli", shape, p, 0.0, None)
        return ops.less(self._drawn(unit_uniform, lengths, chosen), p)  # type: ignore[no-any-return]

    def _drawn(self, draw: Any, *how: Any) -> "Tensor":
        """A draw from the present state, which moves on behind it."""
        batch = drawing_apart()
        if batch is not None:
            return draw(self._states(batch), *how)[0]  # type: ignore[no-any-return]
        with holding((self._state,)):  # no two threads draw from one state
            before = self._state.read_value()
            out, count, words = draw(before, *how)
            after = advanced(before, count, words)
            with outside_of_batches():
                self._state.assign(after)
        return out  # type: ignore[no-any-return]

    def _states(self, batch: Batching) -> BatchedTensor:
        """For each example of a batch the state of a new generator, as from `split`."""
        with batch.outside():
            keys = ops.expand_dims(self._drawn(unit_words, (batch.size,)), 1)
            return BatchedTensor(batch, ops.concat([keys, ops.zeros_like(keys)], axis=1))


def _as_key(seed: Any) -> int:
    try:
        return as_int(seed)
    except TapejitError:
        raise  # a traced int: the step is traced again with its value
    except TypeError:
        raise DtypeError(at_user_line(f"Generator: the seed is an int from 0 to 2**64 - 1, got {seed!r:.80}")) from None


def _is_number(value: Any, number: float) -> bool:
    return type(value) in PYTHON_NUMBERS and value == number


def _parameters(operation: str, shape: Any, first: Any, second: Any, dtype: Any) -> tuple[Any, Any, np.dtype, Shape]:
    """Two parameters in the draw's dtype (Python numbers stay), that dtype, and the shape of the result."""
    values = [value if type(value) in PYTHON_NUMBERS else as_array(value) for value in (first, second)]
    arrays = [value for value in values if type(value) not in PYTHON_NUMBERS]
    if dtype is not None:
        chosen = parse_dtype(operation, dtype)
    else:
        floating = [array.dtype for array in arrays if is_floating(array.dtype) and not array.aval.weak]
        chosen = np.result_type(*floating) if floating else floatx()
    if chosen not in _DTYPES:
        raise DtypeError(at_user_line(f"{operation} draws float32 or float64, not {chosen.name}"))
    lengths = broadcast_shapes(operation, [checked_shape(operation, shape), *(array.shape for array in arrays)])
    first, second = (value if type(value) in PYTHON_NUMBERS else ops.astype(value, chosen) for value in values)
    return first, second, chosen, lengths
