"""The inverse hyperbolic functions, element by element.

Floor 4, beside `elementwise`. In kernels they keep all digits near the places where they are 0.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..families import FLOATING, elementwise, uniform
from .annotations import ArrayLike
from .elementwise import sqrt
from .roots import hypot

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")


@elementwise(
    impl=np.arcsinh, kernel="asinh(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=25,
    vjp={"x": lambda ct, x: ct / hypot(x, 1)},
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, _INF), (-_INF, -_INF), (_NAN, _NAN)),
    slopes=((0.0, 1.0), (_INF, 0.0), (1e30, 1e-30)),
)  # fmt: skip
def asinh(x: ArrayLike, /) -> "Tensor":
    """Inverse hyperbolic sine, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / sqrt(x**2 + 1)``.

    Examples
    --------
    >>> tj.asinh([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.8814], dtype=float32)
    """


@elementwise(
    impl=np.arccosh, kernel="acosh(x)", dtypes=FLOATING, samples=uniform(1.2, 4), cost=25,
    vjp={"x": lambda ct, x: ct / (sqrt(x - 1) * sqrt(x + 1))},
    special=((1.0, 0.0), (0.5, _NAN), (-2.0, _NAN), (_INF, _INF), (_NAN, _NAN)),
    slopes=((1.0, _INF), (_INF, 0.0), (1e30, 1e-30)),
)  # fmt: skip
def acosh(x: ArrayLike, /) -> "Tensor":
    """Inverse hyperbolic cosine, element by element.

    Parameters
    ----------
    x : array_like
        At least 1, else the result is nan; any shape.

    Returns
    -------
    Tensor
        Same shape, floating, not negative. The derivative is ``1 / sqrt(x**2 - 1)``, inf at 1.

    Examples
    --------
    >>> tj.acosh([1.0, 2.0]).numpy().round(4)
    array([0.   , 1.317], dtype=float32)
    """


@elementwise(
    impl=np.arctanh, kernel="atanh(x)", dtypes=FLOATING, samples=uniform(-0.8, 0.8), cost=25,
    vjp={"x": lambda ct, x: ct / ((1 - x) * (1 + x))},
    special=((0.0, 0.0), (-0.0, -0.0), (1.0, _INF), (-1.0, -_INF), (2.0, _NAN), (_NAN, _NAN)),
    slopes=((0.0, 1.0), (1.0, _INF), (-1.0, _INF)),
)  # fmt: skip
def atanh(x: ArrayLike, /) -> "Tensor":
    """Inverse hyperbolic tangent, element by element.

    Parameters
    ----------
    x : array_like
        In [-1, 1], else the result is nan; any shape.

    Returns
    -------
    Tensor
        Same shape, floating, ±inf at ±1. The derivative is ``1 / (1 - x**2)``.

    Examples
    --------
    >>> tj.atanh([0.0, 0.5]).numpy().round(4)
    array([0.    , 0.5493], dtype=float32)
    """
