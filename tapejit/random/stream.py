"""The state of a generator, and how a draw takes from it.

Floor 7, lowest in the room.
"""

import os
from copy import copy
from operator import index as as_int
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import ops
from ..aval import PYTHON_NUMBERS, Shape, broadcast_shapes, checked_shape, is_floating, parse_dtype
from ..batching import BatchedTensor, Batching, drawing_apart, outside_of_batches
from ..config import floatx
from ..errors import DtypeError, TapejitError, at_user_line
from ..families import as_array
from ..ops.random import UINT64, advanced, unit_words
from ..variable import Variable, holding

if TYPE_CHECKING:
    from ..ops.annotations import ArrayLike
    from ..tensor import Tensor

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Stream:
    """A key and a counter, and draws that move the counter on."""

    __slots__ = ("_state",)

    def __init__(self, seed: int | None = None) -> None:
        key = int.from_bytes(os.urandom(8), "little") if seed is None else _as_key(seed)
        if not 0 <= key < 2**64:
            raise ValueError(at_user_line(f"Generator: the seed is an int from 0 to 2**64 - 1, got {seed}"))
        self._state = Variable(np.array([key, 0], UINT64), trainable=False, name="generator")

    def __repr__(self) -> str:
        return f"Generator({self._state!r})"

    def __copy__(self) -> "Self":
        made = type(self).__new__(type(self))
        made._state = copy(self._state)  # noqa: SLF001 (of its own class)
        return made

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

    def split(self, count: int = 2) -> "list[Self]":
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
        return [type(self)(key) for key in keys.tolist()]

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


def is_number(value: Any, number: float) -> bool:
    """Whether a parameter is this Python number."""
    return type(value) in PYTHON_NUMBERS and value == number


def parameters(operation: str, shape: Any, *given: Any, dtype: Any = None) -> tuple[list[Any], np.dtype, Shape]:
    """The parameters in the draw's dtype (Python numbers stay), that dtype, and the shape of the result."""
    values = [value if type(value) in PYTHON_NUMBERS else as_array(value) for value in given]
    arrays = [value for value in values if type(value) not in PYTHON_NUMBERS]
    if dtype is not None:
        chosen = parse_dtype(operation, dtype)
    else:
        floating = [array.dtype for array in arrays if is_floating(array.dtype) and not array.aval.weak]
        chosen = np.result_type(*floating) if floating else floatx()
    if chosen not in _DTYPES:
        raise DtypeError(at_user_line(f"{operation} draws float32 or float64, not {chosen.name}"))
    lengths = broadcast_shapes(operation, [checked_shape(operation, shape), *(array.shape for array in arrays)])
    return [value if type(value) in PYTHON_NUMBERS else ops.astype(value, chosen) for value in values], chosen, lengths
