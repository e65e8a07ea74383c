"""Draws of floating numbers.

Floor 7, above `stream`.
"""

from math import pi
from typing import TYPE_CHECKING, Any

from .. import ops
from ..ops.quantiles import normal_quantile
from ..ops.random import FLOAT64, unit_normal, unit_open, unit_uniform
from .stream import Stream, is_number, parameters

if TYPE_CHECKING:
    from ..ops.annotations import ArrayLike, DtypeLike, ShapeLike
    from ..tensor import Tensor


class Continuous(Stream):
    """Uniform and normal numbers, and transforms of uniform ones."""

    __slots__ = ()

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
        (low, high), chosen, lengths = parameters("uniform", shape, low, high, dtype=dtype)
        draw = self._drawn(unit_uniform, lengths, chosen)
        if is_number(low, 0) and is_number(high, 1):
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
        (mean, stddev), chosen, lengths = parameters("normal", shape, mean, stddev, dtype=dtype)
        draw = self._drawn(unit_normal, lengths, chosen)
        if is_number(mean, 0) and is_number(stddev, 1):
            return draw
        return ops.add(mean, ops.multiply(stddev, draw))  # type: ignore[no-any-return]

    def truncated_normal(
        self,
        shape: "ShapeLike" = (),
        lower: "ArrayLike" = -2.0,
        upper: "ArrayLike" = 2.0,
        dtype: "DtypeLike" = None,
    ) -> "Tensor":
        """Standard normal, given that it is between two ends.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `lower` and `upper`; all elements are drawn independently.
        lower, upper : array_like, floating
            The ends, within ±37.
        dtype : dtype, optional
            float32 or float64; by default that of the ends if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Notes
        -----
        The quantile of ``Φ(lower) + u (Φ(upper) - Φ(lower))``, of the two tails by the nearer one, in float64. Draws
        are differentiable functions of the ends.

        Examples
        --------
        >>> draws = tj.random.Generator(0).truncated_normal((100,), 1.0, 1.5)
        >>> bool(tj.all((draws >= 1.0) & (draws <= 1.5)))
        True
        """
        ends, chosen, lengths = parameters("truncated_normal", shape, lower, upper, dtype=dtype)
        low, high = (ops.astype(end, FLOAT64) for end in ends)
        u = self._drawn(unit_open, lengths, FLOAT64)
        right: Any = ops.greater(low, 0)  # then the upper tail is the smaller one
        near, far = ops.where(right, -high, low), ops.where(right, -low, high)
        first, last = (0.5 * ops.erfc(end * -(0.5**0.5)) for end in (near, far))
        share = ops.where(right, 1 - u, u)
        z = normal_quantile(first + share * (last - first))
        return ops.astype(ops.clip(ops.where(right, -z, z), low, high), chosen)

    def exponential(self, shape: "ShapeLike" = (), scale: "ArrayLike" = 1.0, dtype: "DtypeLike" = None) -> "Tensor":
        """Exponential with a mean.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shape of `scale`; all elements are drawn independently.
        scale : array_like, floating
            The mean.
        dtype : dtype, optional
            float32 or float64; by default that of `scale` if it is an array, else `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``-scale log(1 - u)`` with u as in `uniform`; the derivative by `scale` is the draw over it.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Examples
        --------
        >>> bool(tj.all(tj.random.Generator(0).exponential((100,), 3.0) >= 0))
        True
        """
        (scale,), chosen, lengths = parameters("exponential", shape, scale, dtype=dtype)
        return -ops.log1p(-self._drawn(unit_uniform, lengths, chosen)) * scale  # type: ignore[no-any-return]

    def laplace(
        self, shape: "ShapeLike" = (), loc: "ArrayLike" = 0.0, scale: "ArrayLike" = 1.0, dtype: "DtypeLike" = None
    ) -> "Tensor":
        """Laplace: an exponential to both sides.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `loc` and `scale`; all elements are drawn independently.
        loc, scale : array_like, floating
            Where, and the mean distance from there.
        dtype : dtype, optional
            float32 or float64; by default that of the parameters if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``loc + scale * z``, by which it is differentiable, with ``z = -sign(t) log(1 - 2 |t|)`` of a uniform t
            between ±1/2.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Examples
        --------
        >>> tj.random.Generator(0).laplace((2,), [1.0, 10.0], 0.0).tolist()
        [1.0, 10.0]
        """

        def transform(u: Any) -> Any:
            centred = u - 0.5
            return -ops.sign(centred) * ops.log1p(-2 * ops.abs(centred))

        return self._located("laplace", shape, loc, scale, dtype, transform)

    def logistic(
        self, shape: "ShapeLike" = (), loc: "ArrayLike" = 0.0, scale: "ArrayLike" = 1.0, dtype: "DtypeLike" = None
    ) -> "Tensor":
        """Logistic: its distribution function is the sigmoid.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `loc` and `scale`; all elements are drawn independently.
        loc, scale : array_like, floating
            Where and how wide.
        dtype : dtype, optional
            float32 or float64; by default that of the parameters if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``loc + scale * z``, by which it is differentiable, with ``z = log(u) - log(1 - u)``, 0 < u < 1.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Examples
        --------
        >>> tj.random.Generator(0).logistic((2,), [1.0, 10.0], 0.0).tolist()
        [1.0, 10.0]
        """
        return self._located("logistic", shape, loc, scale, dtype, lambda u: ops.log(u) - ops.log1p(-u))

    def gumbel(
        self, shape: "ShapeLike" = (), loc: "ArrayLike" = 0.0, scale: "ArrayLike" = 1.0, dtype: "DtypeLike" = None
    ) -> "Tensor":
        """Gumbel: what the largest of many numbers is like.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `loc` and `scale`; all elements are drawn independently.
        loc, scale : array_like, floating
            Where and how wide.
        dtype : dtype, optional
            float32 or float64; by default that of the parameters if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``loc + scale * z``, by which it is differentiable, with ``z = -log(-log(u))``, 0 < u < 1.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Examples
        --------
        >>> tj.random.Generator(0).gumbel((2,), [1.0, 10.0], 0.0).tolist()
        [1.0, 10.0]
        """
        return self._located("gumbel", shape, loc, scale, dtype, lambda u: -ops.log(-ops.log(u)))

    def cauchy(
        self, shape: "ShapeLike" = (), loc: "ArrayLike" = 0.0, scale: "ArrayLike" = 1.0, dtype: "DtypeLike" = None
    ) -> "Tensor":
        """Cauchy: the quotient of two normal numbers.

        Parameters
        ----------
        shape : int or tuple of int
            Broadcast with the shapes of `loc` and `scale`; all elements are drawn independently.
        loc, scale : array_like, floating
            Where and how wide.
        dtype : dtype, optional
            float32 or float64; by default that of the parameters if they are arrays, else `tapejit.floatx()`.

        Returns
        -------
        Tensor
            ``loc + scale * z``, by which it is differentiable, with ``z = tan(π t)`` of a uniform t between ±1/2.

        Raises
        ------
        DtypeError
            For another dtype.
        ShapeError
            If the shapes do not broadcast.

        Examples
        --------
        >>> tj.random.Generator(0).cauchy((2,), [1.0, 10.0], 0.0).tolist()
        [1.0, 10.0]
        """
        return self._located("cauchy", shape, loc, scale, dtype, lambda u: ops.tan(pi * (u - 0.5)))

    def _located(self, operation: str, shape: Any, loc: Any, scale: Any, dtype: Any, transform: Any) -> "Tensor":
        """``loc + scale * transform(u)``, u being uniform without the ends."""
        (loc, scale), chosen, lengths = parameters(operation, shape, loc, scale, dtype=dtype)
        return loc + scale * transform(self._drawn(unit_open, lengths, chosen))  # type: ignore[no-any-return]
