"""Draws of integers, booleans, choices and orders.

Floor 7, above `continuous`.
"""

from math import prod
from typing import TYPE_CHECKING, Any

from .. import ops
from ..aval import Shape, broadcast_shapes, checked_int, checked_shape, normalize_axis
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import as_array
from ..ops.poisson_draws import ROUNDS, poisson_counts
from ..ops.random import FLOAT64, INT64, below, distances, unit_open, unit_uniform, unit_words
from ..ops.slicing import slice_axis
from .continuous import Continuous
from .stream import parameters

if TYPE_CHECKING:
    from ..ops.annotations import ArrayLike, ShapeLike
    from ..tensor import Tensor


class Discrete(Continuous):
    """Integers, booleans, categories, choices and orders."""

    __slots__ = ()

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
        (p,), chosen, lengths = parameters("bernoulli", shape, p)
        return ops.less(self._drawn(unit_uniform, lengths, chosen), p)  # type: ignore[no-any-return]

    def binomial(self, n: int, p: "ArrayLike" = 0.5, shape: "ShapeLike" = ()) -> "Tensor":
        """How many of `n` trials succeed, each with probability `p`.

        Parameters
        ----------
        n : int
            Number of trials.
        p : array_like, floating
            Probabilities.
        shape : int or tuple of int
            Broadcast with the shape of `p`; all elements are drawn independently.

        Returns
        -------
        Tensor, int64
            Not connected to `p`.

        Raises
        ------
        ValueError
            If `n` is negative.
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        The trials are drawn one by one, as by `bernoulli`: time grows with `n`.

        Examples
        --------
        >>> tj.random.Generator(0).binomial(3, 1.0, (2,)).tolist()
        [3, 3]
        """
        trials = checked_int("binomial", "n", n)
        if trials < 0:
            raise ValueError(at_user_line(f"binomial: n is 0 or more, got {n}"))
        (p,), chosen, lengths = parameters("binomial", shape, p)
        successes = ops.less(self._drawn(unit_uniform, (trials, *lengths), chosen), p)
        return ops.sum(successes, axis=0)  # type: ignore[no-any-return]

    def poisson(self, mean: "ArrayLike", shape: "ShapeLike" = ()) -> "Tensor":
        """Counts of what happens independently, so many times on average.

        Parameters
        ----------
        mean : array_like, floating
            0 or more, and below 2^53.
        shape : int or tuple of int
            Broadcast with the shape of `mean`; all elements are drawn independently.

        Returns
        -------
        Tensor, int64
            Not connected to `mean`.

        Raises
        ------
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        Below 10 by searching the distribution function, else by W. Hörmann's transformed rejection (Insurance:
        Mathematics and Economics 12, 1993) with 14 rounds for each count, the last of which counts in any case:
        probabilities are off by less than 5e-9.

        Examples
        --------
        >>> counts = tj.random.Generator(0).poisson(30.0, (10_000,))
        >>> bool(tj.abs(tj.mean(counts) - 30.0) < 0.25)
        True
        """
        (mean,), _, lengths = parameters("poisson", shape, mean)
        means = ops.broadcast_to(ops.astype(mean, FLOAT64), lengths)
        uniforms = [self._drawn(unit_open, (ROUNDS, *lengths), FLOAT64) for _ in range(2)]
        return poisson_counts(means, *uniforms)

    def categorical(self, logits: "ArrayLike", shape: "ShapeLike" = ()) -> "Tensor":
        """Indices with probabilities in proportion to ``exp(logits)``.

        Parameters
        ----------
        logits : array_like, shape (..., k), floating
            Logarithms of probabilities, up to a constant; -inf is never drawn.
        shape : int or tuple of int
            Broadcast with the leading axes of `logits`; all elements are drawn independently.

        Returns
        -------
        Tensor, int64
            From 0 to k - 1. Not connected to `logits`.

        Raises
        ------
        ShapeError
            If `logits` has no axis, or the shapes do not broadcast.

        Notes
        -----
        Where ``logits + g`` is largest, with independent draws g as by `gumbel`. In float32 probabilities are right to
        about 2^-23, in float64 to 2^-52.

        Examples
        --------
        >>> tj.random.Generator(0).categorical([-np.inf, 0.0], (3,)).tolist()
        [1, 1, 1]
        """
        array = as_array(logits)
        if not array.shape:
            raise ShapeError(at_user_line("categorical: logits have a last axis of categories, got a number"))
        batch = broadcast_shapes("categorical", (checked_shape("categorical", shape), array.shape[:-1]))
        (values,), chosen, lengths = parameters("categorical", (*batch, array.shape[-1]), array)
        return ops.argmax(values + self.gumbel(lengths, dtype=chosen), axis=-1)

    def permutation(self, x: "int | ArrayLike", axis: int = 0) -> "Tensor":
        """Integers, or the slices of an array along an axis, in random order.

        Parameters
        ----------
        x : int or array_like
            An int stands for the integers below it.
        axis : int
            Along which axis.

        Returns
        -------
        Tensor, int64 or dtype of `x`
            Connected to `x`.

        Raises
        ------
        ShapeError
            If there is no such axis.
        ValueError
            If `x` is a negative int.

        Notes
        -----
        The order in which as many random 64-bit words are sorted: all orders are equally probable, but for equal words
        (probability ``n² 2^-65``).

        Examples
        --------
        >>> sorted(tj.random.Generator(0).permutation(4).tolist())
        [0, 1, 2, 3]
        """
        if isinstance(x, int):
            if x < 0:
                raise ValueError(at_user_line(f"permutation: there are no integers below {x}"))
            return self._order(x)
        array = as_array(x)
        axis = normalize_axis("permutation", axis, len(array.shape))
        return ops.take(array, self._order(array.shape[axis]), axis)

    def choice(
        self,
        x: "int | ArrayLike",
        shape: "ShapeLike" = (),
        replace: bool = True,
        p: "ArrayLike | None" = None,
        axis: int = 0,
    ) -> "Tensor":
        """Integers, or slices of an array along an axis, chosen at random.

        Parameters
        ----------
        x : int or array_like
            From what to choose; an int stands for the integers below it.
        shape : int or tuple of int
            How many, as the axes that take the place of `axis`.
        replace : bool
            Whether one may be chosen several times.
        p : array_like, shape (n,), floating, optional
            Weights, which need not sum to 1; by default all are equal. Nothing of weight 0 is chosen as long as there
            is something else.
        axis : int
            Along which axis of `x`.

        Returns
        -------
        Tensor, int64 or dtype of `x`
            Connected to `x`, not to `p`.

        Raises
        ------
        ShapeError
            If there is no such axis, or `p` has another shape.
        ValueError
            If there are too few to choose from.

        Notes
        -----
        With weights the indices are those of `categorical`; without replacement those of the largest values of ``log p
        + g`` with draws g as by `gumbel`, which is choosing one after the other among what is left.

        Examples
        --------
        >>> sorted(tj.random.Generator(0).choice(3, (3,), replace=False).tolist())
        [0, 1, 2]
        >>> tj.random.Generator(0).choice([5.0, 7.0], (2,), p=[0.0, 1.0]).tolist()
        [7.0, 7.0]
        """
        lengths = checked_shape("choice", shape)
        if isinstance(x, int):
            return self._chosen(x, lengths, replace, p)
        array = as_array(x)
        axis = normalize_axis("choice", axis, len(array.shape))
        return ops.take(array, self._chosen(array.shape[axis], lengths, replace, p), axis)

    def _chosen(self, n: int, lengths: Shape, replace: bool, p: Any) -> "Tensor":
        count = prod(lengths)
        if n < (1 if replace and count else count):
            how = "" if replace else " without replacement"
            raise ValueError(at_user_line(f"choice: {count} of {n} can't be chosen{how}"))
        if p is None:
            if replace:
                return self.integers(0, n, lengths) if count else ops.zeros(lengths, INT64)
            return ops.reshape(slice_axis(self._order(n), 0, 0, count), lengths)
        weights = as_array(p)
        if weights.shape != (n,):
            raise ShapeError(at_user_line(f"choice: p has shape {weights.shape}, there are {n} to choose from"))
        logits = ops.log(ops.stop_gradient(weights))
        if replace:
            return self.categorical(logits, lengths)
        noisy = logits + self.gumbel((n,), dtype=logits.dtype)
        return ops.reshape(slice_axis(ops.argsort(noisy, descending=True), 0, 0, count), lengths)

    def _order(self, n: int) -> "Tensor":
        return ops.argsort(self._drawn(unit_words, (n,)))
