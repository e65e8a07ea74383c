"""Exponentials, logarithms and the circular and hyperbolic functions, element by element.

Floor 4. The error function and what learning adds are in `activations`, rounding and conversion in
`conversion`.
"""

from math import pi
from typing import TYPE_CHECKING

import numpy as np

from ..families import FLOATING, elementwise, uniform
from .annotations import ArrayLike

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")


# ---- exponentials and logarithms


@elementwise(
    impl=np.exp, kernel="exp(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=15,
    partials={"x": lambda out: out},
    special=((0.0, 1.0), (_INF, _INF), (-_INF, 0.0), (_NAN, _NAN)), slopes=((0.0, 1.0), (-_INF, 0.0)),
)  # fmt: skip
def exp(x: ArrayLike, /) -> "Tensor":
    """Exponential function, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``exp(x)``.

    Notes
    -----
    ``exp(-inf)`` is 0; too large an `x` gives inf.

    Examples
    --------
    >>> tj.exp([0.0, 1.0]).numpy().round(4)
    array([1.    , 2.7183], dtype=float32)
    """


@elementwise(
    impl=np.expm1, kernel="expm1(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=20,
    partials={"x": lambda out: out + 1},
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, _INF), (-_INF, -1.0)), slopes=((0.0, 1.0), (-_INF, 0.0)),
)  # fmt: skip
def expm1(x: ArrayLike, /) -> "Tensor":
    """``exp(x) - 1``, exact to rounding near 0 too.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``exp(x)``.

    Examples
    --------
    >>> tj.expm1(np.float64(1e-20)).item()
    1e-20
    """


@elementwise(
    impl=np.log, kernel="log(x)", dtypes=FLOATING, samples=uniform(0.2, 4), cost=15,
    vjp={"x": lambda ct, x: ct / x},
    special=((0.0, -_INF), (1.0, 0.0), (_INF, _INF), (-1.0, _NAN)), slopes=((0.0, _INF), (_INF, 0.0)),
)  # fmt: skip
def log(x: ArrayLike, /) -> "Tensor":
    """Natural logarithm, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / x``.

    Notes
    -----
    ``log(0)`` is -inf with the derivative inf; of a negative number it is nan, without a warning.

    Examples
    --------
    >>> tj.log([1.0, 2.0]).numpy().round(4)
    array([0.    , 0.6931], dtype=float32)
    """


@elementwise(
    impl=np.log1p, kernel="log1p(x)", dtypes=FLOATING, samples=uniform(-0.6, 3), cost=20,
    vjp={"x": lambda ct, x: ct / (x + 1)},
    special=((0.0, 0.0), (-0.0, -0.0), (-1.0, -_INF), (-2.0, _NAN), (_INF, _INF)),
    slopes=((0.0, 1.0), (-1.0, _INF), (_INF, 0.0)),
)  # fmt: skip
def log1p(x: ArrayLike, /) -> "Tensor":
    """``log(1 + x)``, exact to rounding near 0 too.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / (1 + x)``.

    Notes
    -----
    ``log1p(-1)`` is -inf with the derivative inf; below it is nan.

    Examples
    --------
    >>> tj.log1p(np.float64(1e-20)).item()
    1e-20
    """


@elementwise(
    impl=np.sqrt, kernel="sqrt(x)", dtypes=FLOATING, samples=uniform(0.2, 4), cost=8,
    vjp={"x": lambda ct, out: 0.5 * ct / (out + 0.0)},  # the slope at -0.0 is that at 0.0
    special=((0.0, 0.0), (-0.0, -0.0), (-1.0, _NAN), (_INF, _INF)),
    slopes=((0.0, _INF), (-0.0, _INF), (4.0, 0.25), (_INF, 0.0)),
)  # fmt: skip
def sqrt(x: ArrayLike, /) -> "Tensor":
    """Square root, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / (2 sqrt(x))``, inf at 0.

    Notes
    -----
    Of a negative number it is nan, without a warning.

    Examples
    --------
    >>> tj.sqrt([4.0, 9.0]).numpy()
    array([2., 3.], dtype=float32)
    """


# ---- circular and hyperbolic functions


@elementwise(
    impl=np.sin, kernel="sin(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=20,
    partials={"x": lambda x: cos(x)},  # noqa: PLW0108 (defined below)
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, _NAN)), slopes=((0.0, 1.0),),
)  # fmt: skip
def sin(x: ArrayLike, /) -> "Tensor":
    """Sine, element by element.

    Parameters
    ----------
    x : array_like
        Angles in radians, any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``cos(x)``. nan at ±inf.

    Examples
    --------
    >>> tj.sin([0.0, np.pi / 2]).numpy()
    array([0., 1.], dtype=float32)
    """


@elementwise(
    impl=np.cos, kernel="cos(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=20,
    partials={"x": lambda x: -sin(x)},
    special=((0.0, 1.0), (_INF, _NAN)), slopes=((0.0, 0.0),),
)  # fmt: skip
def cos(x: ArrayLike, /) -> "Tensor":
    """Cosine, element by element.

    Parameters
    ----------
    x : array_like
        Angles in radians, any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``-sin(x)``. nan at ±inf.

    Examples
    --------
    >>> tj.cos([0.0, 1.0]).numpy().round(4)
    array([1.    , 0.5403], dtype=float32)
    """


@elementwise(
    impl=np.tan, kernel="tan(x)", dtypes=FLOATING, samples=uniform(-1.2, 1.2), cost=30,
    partials={"x": lambda out: 1 + out * out},
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, _NAN)), slopes=((0.0, 1.0),),
)  # fmt: skip
def tan(x: ArrayLike, /) -> "Tensor":
    """Tangent, element by element.

    Parameters
    ----------
    x : array_like
        Angles in radians, any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 + tan(x)**2``. nan at ±inf.

    Examples
    --------
    >>> tj.tan([0.0, 1.0]).numpy().round(4)
    array([0.    , 1.5574], dtype=float32)
    """


@elementwise(
    impl=np.arcsin, kernel="asin(x)", dtypes=FLOATING, samples=uniform(-0.8, 0.8),
    cost=20, vjp={"x": lambda ct, x: ct / sqrt((1 - x) * (1 + x))},
    special=((0.0, 0.0), (-0.0, -0.0), (2.0, _NAN)), slopes=((0.0, 1.0), (1.0, _INF), (-1.0, _INF)),
)  # fmt: skip
def asin(x: ArrayLike, /) -> "Tensor":
    """Inverse sine, element by element.

    Parameters
    ----------
    x : array_like
        In [-1, 1], else the result is nan; any shape.

    Returns
    -------
    Tensor
        Radians in [-π/2, π/2], floating, same shape. The derivative is ``1 / sqrt(1 - x**2)``, inf at ±1.

    Examples
    --------
    >>> tj.asin([0.0, 0.5]).numpy().round(4)
    array([0.    , 0.5236], dtype=float32)
    """


@elementwise(
    impl=np.arccos, kernel="acos(x)", dtypes=FLOATING, samples=uniform(-0.8, 0.8), cost=20,
    vjp={"x": lambda ct, x: -(ct / sqrt((1 - x) * (1 + x)))},
    special=((1.0, 0.0), (2.0, _NAN)), slopes=((0.0, -1.0), (1.0, -_INF), (-1.0, -_INF)),
)  # fmt: skip
def acos(x: ArrayLike, /) -> "Tensor":
    """Inverse cosine, element by element.

    Parameters
    ----------
    x : array_like
        In [-1, 1], else the result is nan; any shape.

    Returns
    -------
    Tensor
        Radians in [0, π], floating, same shape. The derivative is ``-1 / sqrt(1 - x**2)``, -inf at ±1.

    Examples
    --------
    >>> tj.acos([1.0, 0.5]).numpy().round(4)
    array([0.    , 1.0472], dtype=float32)
    """


@elementwise(
    impl=np.arctan, kernel="atan(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=20,
    vjp={"x": lambda ct, x: ct / (1 + x * x)},
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, pi / 2), (-_INF, -pi / 2)), slopes=((0.0, 1.0), (_INF, 0.0)),
)  # fmt: skip
def atan(x: ArrayLike, /) -> "Tensor":
    """Inverse tangent, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Radians in [-π/2, π/2], floating, same shape. The derivative is ``1 / (1 + x**2)``.

    Examples
    --------
    >>> tj.atan([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.7854], dtype=float32)
    """


@elementwise(
    impl=np.arctan2, kernel="atan2(y, x)", dtypes=FLOATING, samples=(uniform(0.5, 2), uniform(-2, 2)),
    cost=25,
    vjp={"y": lambda ct, y, x: ct * x / (x * x + y * y), "x": lambda ct, y, x: -(ct * y / (x * x + y * y))},
    special=((0.0, 0.0, 0.0), (0.0, -1.0, pi), (-0.0, -1.0, -pi), (1.0, 0.0, pi / 2), (_INF, 1.0, pi / 2)),
    slopes=((0.0, 2.0, 0.5), (1.0, 0.0, 0.0)),
)  # fmt: skip
def atan2(y: ArrayLike, x: ArrayLike, /) -> "Tensor":
    """Angle of the point (x, y), element by element: ``atan(y / x)`` in the right quadrant.

    Parameters
    ----------
    y, x : array_like
        Ordinate and abscissa, of shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Radians in [-π, π], floating, of the broadcast shape. The partial derivatives are ``x / (x**2 +
        y**2)`` and ``-y / (x**2 + y**2)``: nan at (0, 0).

    Examples
    --------
    >>> tj.atan2([1.0, -1.0], -1.0).numpy().round(4)
    array([ 2.3562, -2.3562], dtype=float32)
    """


@elementwise(
    impl=np.sinh, kernel="sinh(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=25,
    partials={"x": lambda x: cosh(x)},  # noqa: PLW0108 (defined below)
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, _INF), (-_INF, -_INF)), slopes=((0.0, 1.0),),
)  # fmt: skip
def sinh(x: ArrayLike, /) -> "Tensor":
    """Hyperbolic sine, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``cosh(x)``.

    Examples
    --------
    >>> tj.sinh([0.0, 1.0]).numpy().round(4)
    array([0.    , 1.1752], dtype=float32)
    """


@elementwise(
    impl=np.cosh, kernel="cosh(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=25,
    partials={"x": sinh},
    special=((0.0, 1.0), (_INF, _INF), (-_INF, _INF)), slopes=((0.0, 0.0),),
)  # fmt: skip
def cosh(x: ArrayLike, /) -> "Tensor":
    """Hyperbolic cosine, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``sinh(x)``.

    Examples
    --------
    >>> tj.cosh([0.0, 1.0]).numpy().round(4)
    array([1.    , 1.5431], dtype=float32)
    """


@elementwise(
    impl=np.tanh, kernel="tanh(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=20,
    partials={"x": lambda out: (1 + out) * (1 - out)},
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, 1.0), (-_INF, -1.0), (_NAN, _NAN)),
    slopes=((0.0, 1.0), (_INF, 0.0)),
)  # fmt: skip
def tanh(x: ArrayLike, /) -> "Tensor":
    """Hyperbolic tangent, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, in [-1, 1]. The derivative is ``1 - tanh(x)**2``.

    Examples
    --------
    >>> tj.tanh([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.7616], dtype=float32)
    """
