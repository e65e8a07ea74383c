"""Roots of one and of two numbers beside `sqrt`: `rsqrt`, `hypot`.

Floor 4, above `elementwise`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import floating_dtype
from ..families import FLOATING, elementwise, normal, uniform
from .annotations import ArrayLike
from .comparison import where

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")


@elementwise(
    impl=lambda x: x.dtype.type(1) / np.sqrt(x), kernel="const(1) / sqrt(x)", dtypes=FLOATING,
    resolve=floating_dtype, samples=uniform(0.2, 4), cost=12,
    vjp={"x": lambda ct, x, out: -0.5 * ct * out / x}, reference=lambda x: 1 / np.sqrt(x.astype(np.float64)),
    special=((4.0, 0.5), (0.0, _INF), (-0.0, -_INF), (-1.0, _NAN), (_INF, 0.0)),
    slopes=((4.0, -0.0625), (0.0, -_INF), (_INF, 0.0)),
)  # fmt: skip
def rsqrt(x: ArrayLike, /) -> "Tensor":
    """``1 / sqrt(x)``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, within 1.5 ulp. The derivative is ``-1 / (2 x sqrt(x))``.

    Notes
    -----
    It is inf at 0, with the derivative -inf; of a negative number it is nan, without a warning.

    Examples
    --------
    >>> tj.rsqrt([1.0, 4.0]).numpy()
    array([1. , 0.5], dtype=float32)
    """


def _share(side: Any, out: Any) -> Any:
    """``side / out``, 0 where both are."""
    return side / where(out == 0, 1, out)


@elementwise(
    impl=np.hypot, kernel="hypot(x, y)", dtypes=FLOATING, samples=(normal(), uniform(0.5, 2)), cost=12,
    vjp={"x": lambda ct, x, out: ct * _share(x, out), "y": lambda ct, y, out: ct * _share(y, out)},
    special=(
        (3.0, -4.0, 5.0), (0.0, -0.0, 0.0), (3e30, 4e30, 5e30), (3e-30, 4e-30, 5e-30), (_INF, _NAN, _INF),
        (_NAN, -_INF, _INF), (_NAN, 0.0, _NAN),
    ),
    slopes=((3.0, 4.0, 0.6), (0.0, 0.0, 0.0), (0.0, 2.0, 0.0), (-3e30, 4e30, -0.6), (_NAN, 1.0, _NAN)),
)  # fmt: skip
def hypot(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``sqrt(x**2 + y**2)``, element by element, of numbers whose squares overflow or vanish too.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, floating. The partial derivatives are ``x / out`` and ``y / out``; at (0, 0) both
        are 0, as those of `norm`.

    Notes
    -----
    If an operand is infinite the result is inf, even beside nan.

    Examples
    --------
    >>> tj.hypot([3.0, 5.0], [4.0, 12.0]).numpy()
    array([ 5., 13.], dtype=float32)
    """
