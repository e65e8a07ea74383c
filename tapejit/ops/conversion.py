"""Other dtypes, rounding, limits, and the end of a derivative: `astype`, `floor`, `clip`, `stop_gradient`.

Floor 4, above `arithmetic`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, floating_dtype, parse_dtype
from ..errors import DtypeError, at_user_line
from ..families import (
    ALL,
    FLOATING,
    INTEGRAL,
    NUMERIC,
    Case,
    as_array,
    elementwise,
    integers,
    named_as,
    normal,
    pointwise,
    uniform,
)
from ..primitive import claim
from .annotations import ArrayLike, DtypeLike
from .arithmetic import maximum, minimum

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")


def _convert_rule(x: Aval, *, dtype: np.dtype) -> Aval:
    if dtype.kind not in ALL or x.dtype.kind not in ALL:
        raise DtypeError(
            at_user_line(f"astype converts booleans, integers and real floats, not {x.dtype.name} to {dtype.name}")
        )
    return Aval(x.shape, dtype)


def _convert_impl(x: np.ndarray, *, dtype: np.dtype) -> np.ndarray:
    if dtype.kind not in ALL or x.dtype.kind not in ALL:
        raise TypeError(dtype)  # which the type rule explains
    return x.astype(dtype)


_convert: Any = pointwise(
    "astype",
    inputs=("x",),
    impl=_convert_impl,
    rule=_convert_rule,
    vjp={"x": lambda ct, x_dtype: _convert(ct, dtype=x_dtype)},
    jvp=lambda inputs, tangents, output, params: _convert(tangents[0], dtype=output.dtype),
    kernel="cast(x)",
    cases=(
        Case(normal(3, 2), "float32"),
        Case(normal(), "float64"),
        Case(uniform(-9, 9, 4), "int32"),
        Case(integers(-3, 3, 5), "float64"),
        Case(integers(-1, 2, 5), "bool"),
        Case(normal(0, 3), "float32"),
    ),
    reference=lambda x, dtype: np.asarray(x).astype(dtype),
)
claim("convert", lambda x, dtype: _convert(x, dtype=dtype))


def astype(x: ArrayLike, dtype: DtypeLike, /) -> "Tensor":
    """The elements converted to another dtype.

    Parameters
    ----------
    x : array_like
        Any shape.
    dtype : dtype
        Boolean, integer or floating.

    Returns
    -------
    Tensor
        Same shape; `x` itself if it has the dtype already. From floating to floating the derivative is 1 and
        the cotangent is cast back to the dtype of `x`; through integers and booleans nothing is connected.

    Raises
    ------
    DtypeError
        If NumPy knows no such dtype, or it is complex, a string or an object.

    Notes
    -----
    Floats are cut towards zero by a conversion to integers; what nan, inf and numbers out of range become is
    up to the processor, as in NumPy.

    Examples
    --------
    >>> tj.astype([1.9, -1.9], "int32").numpy()
    array([ 1, -1], dtype=int32)
    """
    wanted = parse_dtype("astype", dtype)
    array = as_array(x)
    if array.dtype == wanted and not array.aval.weak:
        return array  # type: ignore[return-value]
    return _convert(array, dtype=wanted)  # type: ignore[no-any-return]


_stop_gradient = pointwise(
    "stop_gradient",
    inputs=("x",),
    impl=lambda x: x,
    rule=lambda x: x,
    vjp={},
    kernel="x",
    cases=(Case(normal(3, 2)), Case(normal()), Case(integers(0, 3, 2))),
    reference=np.asarray,
)


def stop_gradient(x: ArrayLike, /) -> "Tensor":
    """`x`, as a constant to every tape.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        The same numbers, shape and dtype. Not connected to `x`.

    Examples
    --------
    >>> x = tj.Variable(3.0)
    >>> with tj.GradientTape() as tape:
    ...     y = x * tj.stop_gradient(x)
    >>> tape.gradient(y, x).numpy()
    array(3., dtype=float32)
    """
    return _stop_gradient(as_array(x))  # type: ignore[no-any-return]


# ---- rounding


def _integers_stay(rounding: Callable[..., Any]) -> Callable[..., Any]:
    """`rounding`, which leaves integers and booleans as they are."""

    def public(x: Any, /) -> Any:
        dtype = getattr(x, "dtype", None)
        array = as_array(x, borrow=isinstance(dtype, np.dtype) and dtype.kind in FLOATING)
        return array if array.dtype.kind in INTEGRAL else rounding(array)

    return named_as(rounding, public)  # type: ignore[no-any-return]


@_integers_stay
@elementwise(
    impl=np.floor, kernel="floor(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-9, 9),
    special=((-0.5, -1.0), (-0.0, -0.0), (_INF, _INF), (_NAN, _NAN)),
)  # fmt: skip
def floor(x: ArrayLike, /) -> "Tensor":
    """The largest integer that is not above an element.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype; integers as they are. Not connected, as it is piecewise constant.

    Examples
    --------
    >>> tj.floor([1.5, -1.5]).numpy()
    array([ 1., -2.], dtype=float32)
    """


@_integers_stay
@elementwise(
    impl=np.ceil, kernel="ceil(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-9, 9),
    special=((0.5, 1.0), (-0.5, -0.0), (_INF, _INF), (_NAN, _NAN)),
)  # fmt: skip
def ceil(x: ArrayLike, /) -> "Tensor":
    """The smallest integer that is not below an element.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype; integers as they are. Not connected, as it is piecewise constant.

    Examples
    --------
    >>> tj.ceil([1.5, -1.5]).numpy()
    array([ 2., -1.], dtype=float32)
    """


@_integers_stay
@elementwise(
    impl=np.rint, kernel="rint(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-9, 9),
    special=((0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (_INF, _INF), (_NAN, _NAN)),
)  # fmt: skip
def round(x: ArrayLike, /) -> "Tensor":
    """The nearest integer; the even one of two.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype; integers as they are. Not connected, as it is piecewise constant.

    Examples
    --------
    >>> tj.round([0.5, 1.5, 2.5]).numpy()
    array([0., 2., 2.], dtype=float32)
    """


@_integers_stay
@elementwise(
    impl=np.trunc, kernel="trunc(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-9, 9),
    special=((-1.5, -1.0), (0.5, 0.0), (-0.5, -0.0), (_INF, _INF), (_NAN, _NAN)),
)  # fmt: skip
def trunc(x: ArrayLike, /) -> "Tensor":
    """The elements cut to integers, towards zero.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype; integers as they are. Not connected, as it is piecewise constant.

    Examples
    --------
    >>> tj.trunc([1.5, -1.5]).numpy()
    array([ 1., -1.], dtype=float32)
    """


@elementwise(
    impl=np.fmod, kernel="fmod(x, y)", dtypes=NUMERIC, cost=6,
    samples=(uniform(-2.4, -2.1), uniform(0.9, 1.0)), partials={"x": 1, "y": lambda x, y: -trunc(x / y)},
    special=((-7.0, 2.0, -1.0), (7.0, -2.0, 1.0), (-4.0, 2.0, -0.0), (1.0, 0.0, _NAN), (1.0, _INF, 1.0)),
    slopes=((4.0, 2.0, 1.0),),
)  # fmt: skip
def fmod(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Remainder with the sign of the dividend: ``x - y * trunc(x / y)``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other, numeric.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The partial derivatives are 1 and ``-trunc(x / y)``, also where the
        value jumps.

    Notes
    -----
    A float's remainder by 0 is nan, an integer's is 0. ``x % y`` has the sign of the divisor.

    Examples
    --------
    >>> tj.fmod([7.5, -7.5], 2.0).numpy()
    array([ 1.5, -1.5], dtype=float32)
    """


def clip(x: ArrayLike, /, min: ArrayLike = None, max: ArrayLike = None) -> "Tensor":
    """The elements limited to [min, max].

    Parameters
    ----------
    x : array_like
        Any shape.
    min, max : array_like, optional
        Limits, of shapes that broadcast against `x`; None for no limit.

    Returns
    -------
    Tensor
        ``minimum(maximum(x, min), max)``. The derivative by `x` is 1 inside, bounds included, and 0 outside.

    Notes
    -----
    Where ``min > max`` the result is `max`. nan stays nan.

    Examples
    --------
    >>> tj.clip([-2.0, 0.5, 3.0], 0.0, 1.0).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    if min is not None:
        x = maximum(x, min)
    if max is not None:
        x = minimum(x, max)
    return as_array(x)  # type: ignore[return-value]
