"""Signs, and the floats next to others: what looks at a number's bits.

Floor 4, above `arithmetic`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import floating_dtype
from ..families import FLOATING, elementwise, normal, spaced
from .annotations import ArrayLike
from .arithmetic import multiply, sign
from .comparison import where

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")
_BOOL = np.dtype(np.bool_)


@elementwise(
    impl=np.signbit, kernel="copysign(const(1), x) < const(0)", dtypes=FLOATING, result=_BOOL,
    resolve=floating_dtype, samples=normal(),
    special=((0.0, False), (-0.0, True), (-_INF, True), (2.0, False)),
)  # fmt: skip
def signbit(x: ArrayLike, /) -> "Tensor":
    """Whether the sign bit is set: of negative numbers, and of -0.0.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Boolean, of the same shape. Not connected.

    Examples
    --------
    >>> tj.signbit([-2.0, -0.0, 0.0, 2.0]).numpy()
    array([ True,  True, False, False])
    """


def _copysign_slope(ct: Any, x: Any, y: Any) -> Any:
    """``sign(x)`` times the sign of y: 0 at x = 0, where it is as |x|."""
    return multiply(ct, where(signbit(y), -sign(x), sign(x)))


@elementwise(
    impl=np.copysign, kernel="copysign(x, y)", dtypes=FLOATING, samples=(spaced(), normal()), cost=2,
    vjp={"x": _copysign_slope},
    special=((2.0, -0.0, -2.0), (-2.0, 0.0, 2.0), (0.0, -1.0, -0.0), (_INF, -3.0, -_INF), (_NAN, 1.0, _NAN)),
    slopes=((2.0, -1.0, -1.0), (-2.0, -1.0, 1.0), (-2.0, 1.0, -1.0), (0.0, 1.0, 0.0)),
)  # fmt: skip
def copysign(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The size of `x` with the sign of `y`, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other; integers are converted to float64.

    Returns
    -------
    Tensor
        The broadcast shape, floating. The derivative by `x` is 1 where the signs agree, -1 where they don't and
        0 at x = 0, as that of ``abs(x)``. Not connected to `y`.

    Examples
    --------
    >>> tj.copysign([1.0, -2.0], -0.0).numpy()
    array([-1., -2.], dtype=float32)
    """


@elementwise(
    impl=np.nextafter, kernel="nextafter(x, y)", dtypes=FLOATING, samples=normal(), cost=6,
    special=((1.0, 1.0, 1.0), (0.0, -0.0, -0.0), (_NAN, 1.0, _NAN), (1.0, _NAN, _NAN), (_INF, _INF, _INF)),
)  # fmt: skip
def nextafter(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The number next to `x` on the way to `y`, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other; integers are converted to float64.

    Returns
    -------
    Tensor
        The broadcast shape, floating; `y` where the two are equal. Not connected.

    Examples
    --------
    >>> tj.nextafter(np.float64(1.0), np.float64(2.0)).item()
    1.0000000000000002
    """
