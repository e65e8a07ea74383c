"""Powers: `square`, `reciprocal`, `cbrt` and `power`, in the cheapest form that a Python number as exponent allows.

Floor 4, above `elementwise`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, as_ufunc, common_dtype, floating_dtype
from ..errors import DtypeError, at_user_line
from ..families import (
    FLOATING,
    NUMERIC,
    Case,
    as_array,
    coerce,
    composite,
    elementwise,
    integers,
    named_as,
    normal,
    uniform,
)
from ..primitive import Flow, in_role
from .annotations import ArrayLike
from .comparison import where
from .elementwise import log, sqrt

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")
_LARGEST_STATIC = 64
_RESOLVE = as_ufunc(np.power)


@elementwise(
    impl=np.square, kernel="x * x", dtypes=NUMERIC, samples=normal(), partials={"x": lambda x: 2 * x},
    special=((-_INF, _INF), (-0.0, 0.0)), slopes=((0.0, 0.0), (3.0, 6.0)),
)  # fmt: skip
def square(x: ArrayLike, /) -> "Tensor":
    """``x * x``, element by element.

    Parameters
    ----------
    x : array_like, numeric
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype. The derivative is ``2 x``.

    Examples
    --------
    >>> tj.square([-2.0, 3.0]).numpy()
    array([4., 9.], dtype=float32)
    """


@elementwise(
    impl=np.reciprocal, kernel="const(1) / x", dtypes=FLOATING, resolve=floating_dtype,
    samples=uniform(0.5, 3), cost=4,
    partials={"x": lambda out: -(out * out)},
    special=((0.0, _INF), (-0.0, -_INF), (_INF, 0.0)), slopes=((2.0, -0.25), (_INF, 0.0)),
)  # fmt: skip
def reciprocal(x: ArrayLike, /) -> "Tensor":
    """``1 / x``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``-1 / x**2``. ``1 / 0`` is inf.

    Examples
    --------
    >>> tj.reciprocal([2.0, 4.0]).numpy()
    array([0.5 , 0.25], dtype=float32)
    """


@elementwise(
    impl=np.cbrt, kernel="cbrt(x)", dtypes=FLOATING, samples=uniform(0.2, 4), cost=20,
    vjp={"x": lambda ct, out: ct / (3 * out * out)},
    special=((0.0, 0.0), (-0.0, -0.0), (-8.0, -2.0), (_INF, _INF), (-_INF, -_INF)),
    slopes=((0.0, _INF), (-8.0, 1 / 12), (_INF, 0.0)),
)  # fmt: skip
def cbrt(x: ArrayLike, /) -> "Tensor":
    """Cube root, element by element, of negative numbers too.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / (3 cbrt(x)**2)``, inf at 0.

    Examples
    --------
    >>> tj.cbrt([-8.0, 2.0]).numpy().round(4)
    array([-2.    ,  1.2599], dtype=float32)
    """


def _by_squaring(x: Any, *, exponent: int) -> Any:
    """``x ** exponent`` with the same products for arrays, tensors and kernels."""
    if exponent < 0:
        return 1 / _by_squaring(x, exponent=-exponent)
    result, factor, left = None, x, exponent
    while True:
        if left & 1:
            result = factor if result is None else result * factor
        left >>= 1
        if not left:
            return result
        factor = factor * factor


def _integer_power_slope(ct: Any, x: Any, exponent: int) -> Any:
    return ct * (exponent * power(x, exponent - 1))


_integer_power = composite(
    "integer_power",
    impl=_by_squaring,
    rule=lambda x, exponent: Aval(x.shape, x.dtype),
    vjp={"x": _integer_power_slope},
    expand=_by_squaring,
    flow=Flow.POINTWISE,
    cases=(
        Case(uniform(-2, 2, 3, 2), exponent=3),
        Case(uniform(0.5, 2), exponent=-2),
        Case(uniform(0.5, 2, 4), exponent=-5),
        Case(uniform(-1, 1, 0, 2), exponent=4),
        Case(uniform(0.9, 1.1, 5), exponent=64),
        Case(integers(-5, 5, 6), exponent=7),
    ),
    reference=lambda x, exponent: np.asarray(x) ** np.asarray(exponent, x.dtype),
)


def _power_by_base(ct: Any, x: Any, y: Any) -> Any:
    """``y x**(y-1)``; at x = y = 0 the slope of the constant ``x**0``, which is 0."""
    constant = (x == 0) & (y == 0)
    return ct * (y * power(x, where(constant, 1, y - 1)))


def _power_by_exponent(ct: Any, x: Any, y: Any, out: Any) -> Any:
    """``out log(x)``, the limit 0 where x = 0 < y."""
    return ct * (out * log(where((x == 0) & (y > 0), 1, x)))


def _with_static_exponents(general: Callable[..., Any]) -> Callable[..., Any]:
    """`general`, which leaves a Python number as exponent to the cheapest form."""

    def public(x: Any, y: Any, /) -> Any:
        if type(y) is not int and type(y) is not float:
            return general(x, y)
        if y == 1:
            return _base(as_array(x), y)
        (array,) = coerce("power", (x,), common_dtype)
        array = _base(array, y)
        if y == 2:
            return square(array)
        if y == 0.5:
            return sqrt(array)
        if y == -1:
            return reciprocal(array)
        if y != 0 and -_LARGEST_STATIC <= y <= _LARGEST_STATIC and y == int(y):
            return _integer_power(array, exponent=int(y))
        return general(array, y)

    return named_as(general, public)  # type: ignore[no-any-return]


def _base(array: Any, exponent: float) -> Any:
    """A base in the dtype of the result."""
    if array.dtype.kind in FLOATING:
        return array
    if type(exponent) is int and exponent < 0:
        raise DtypeError(
            at_user_line(
                f"power: {array.aval} to the negative integer power {exponent} is no integer; "
                f"use {float(exponent)} or a floating array"
            )
        )
    dtype = _RESOLVE((array.dtype, type(exponent)))[0]
    return array if array.dtype == dtype else in_role("convert")(array, dtype)


@_with_static_exponents
@elementwise(
    impl=np.power, kernel="power(x, y)", dtypes=NUMERIC, samples=(uniform(0.3, 2), uniform(-2, 3)), cost=40,
    vjp={"x": _power_by_base, "y": _power_by_exponent},
    special=(
        (0.0, 0.0, 1.0), (0.0, 2.0, 0.0), (0.0, -1.0, _INF), (-8.0, 1 / 3, _NAN), (_NAN, 0.0, 1.0),
        (1.0, _NAN, 1.0), (-2.0, 3.0, -8.0), (_INF, -1.0, 0.0),
    ),
    slopes=(
        (0.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.0, 2.0, 0.0), (0.0, 0.5, _INF), (5.0, 0.0, 0.0),
        (-2.0, 3.0, 12.0),
    ),
)  # fmt: skip
def power(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``x ** y``, element by element.

    Parameters
    ----------
    x, y : array_like, numeric
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The partial derivatives are ``y * x**(y-1)`` and ``x**y *
        log(x)``.

    Raises
    ------
    DtypeError
        For an integer array to a negative integer power, which is no integer.

    Notes
    -----
    With a Python number as `y`: 2 is `square`, 1 the array itself, 0.5 `sqrt`, -1 `reciprocal`; another
    integer up to ±64 is a product by repeated squaring, in one step for tapes. ``0 ** 0`` is 1.

    By `x`: the slope is exact at x = 0 for y = 0 (0) and y = 1 (1). By `y`: 0 where x = 0 < y, -inf at x = y
    = 0, nan where x < 0, since the power has no real values nearby.

    Examples
    --------
    >>> tj.power([1.0, 2.0, 3.0], 2).numpy()
    array([1., 4., 9.], dtype=float32)
    """
