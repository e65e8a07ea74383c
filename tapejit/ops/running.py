"""Running products, extremes and log-sums along an axis, and the linear recurrence that their derivatives are.

Floor 4, above `creation`. Start reading at `linear_recurrence`, ``h[t] = a[t] h[t-1] + x[t]``: its own derivatives are
recurrences from the other end. That of a running product by a factor is a sum of products of the other factors, in
which none is divided by, so it is exact where factors are 0.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, broadcast_shapes, normalize_axis
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import Case, as_array, in_common_dtype, integers, library_call, normal, spaced, uniform
from ..families.batching import along
from ..lowering import Composite, Scan
from ..primitive import TangentRule, in_role
from .annotations import ArrayLike, DtypeLike
from .comparison import equal, isfinite, isnan, logical_and, logical_not, logical_or, where
from .compositions import floating
from .conversion import astype
from .elementwise import exp, log
from .joining import concat
from .reductions import accumulated, cumsum
from .shaping import ravel, reshape
from .slicing import flip, slice_axis
from .taking import add_along_axis, take_along_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

_INF = float("inf")


def _before(x: Any, axis: int, first: float) -> Any:
    """For each element the one before it along the axis; `first` before all."""
    shape = x.shape
    if not shape[axis]:
        return x
    start = in_role("zeros" if first == 0 else "ones")((*shape[:axis], 1, *shape[axis + 1 :]), x.dtype)
    if first not in (0, 1):
        start = start * first
    return concat([start, slice_axis(x, axis, 0, shape[axis] - 1)], axis=axis)


def _after(x: Any, axis: int) -> Any:
    """For each element the one after it along the axis; 0 after all."""
    return flip(_before(flip(x, axis), axis, 0), axis)


def _backwards(factors: Any, x: Any, axis: int) -> Any:
    """``h[t] = factors[t+1] h[t+1] + x[t]``: the recurrence from the other end.

    With ``u = factors h`` it is ``u[t] = factors[t] u[t+1] + factors[t] x[t]``, in which nothing is shifted.
    """
    products = flip(_recurrence(flip(factors, axis), flip(factors * x, axis), axis=axis), axis)
    return x + _after(products, axis)


def _same(*avals: Aval, axis: int) -> Aval:
    return avals[-1]


# ---- the recurrence


def _recurrence_impl(a: np.ndarray, x: np.ndarray, *, axis: int) -> np.ndarray:
    out = np.array(x)
    rows, factors = np.moveaxis(out, axis, 0), np.moveaxis(a, axis, 0)
    last = np.zeros(rows.shape[1:], x.dtype)
    for t in range(len(rows)):
        rows[t] += factors[t] * last
        last = rows[t]
    return out


def _recurrence_tangent(inputs: Any, tangents: Any, out: Any, params: Any) -> Any:
    added = [tangents[1]] if tangents[1] is not None else []
    if tangents[0] is not None:
        added.append(tangents[0] * _before(out, params["axis"], 0))
    return _recurrence(inputs[0], sum(added[1:], start=added[0]), axis=params["axis"])


_recurrence: Any = library_call(
    "linear_recurrence",
    inputs=("a", "x"),
    impl=_recurrence_impl,
    rule=_same,
    vjp={
        "a": lambda ct, a, out, axis: _backwards(a, ct, axis) * _before(out, axis, 0),
        "x": lambda ct, a, axis: _backwards(a, ct, axis),
    },
    jvp=_recurrence_tangent,
    lowering=Scan("recurrence"),
    batch=along,
    cases=(
        Case(normal(5), normal(5)),
        Case(normal(3, 4), normal(3, 4), axis=0),
        Case(normal(2, 3, 2), normal(2, 3, 2), axis=1),
        Case(normal(0, 2), normal(0, 2), axis=0),
        Case(normal(1), normal(1)),
    ),
    reference=lambda a, x, axis=-1: (
        np.stack([_last_of_recurrence(a, x, axis, t + 1) for t in range(x.shape[axis])], axis) if x.shape[axis] else x
    ),
)


def _last_of_recurrence(a: np.ndarray, x: np.ndarray, axis: int, count: int) -> Any:
    """The element number ``count - 1`` as a sum of products."""
    factors, rows = np.moveaxis(a, axis, 0)[:count], np.moveaxis(x, axis, 0)[:count]
    return sum(rows[t] * np.prod(factors[t + 1 :], axis=0) for t in range(count))


def linear_recurrence(a: ArrayLike, x: ArrayLike, /, *, axis: int = -1) -> "Tensor":
    """``h[t] = a[t] * h[t-1] + x[t]`` along an axis, from ``h[-1] = 0``.

    Parameters
    ----------
    a, x : array_like
        Shapes that broadcast against each other, promoted to one floating dtype.
    axis : int
        Along which axis.

    Returns
    -------
    Tensor
        The broadcast shape: all h. The cotangent runs through the recurrence from the other end.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Notes
    -----
    Exponential smoothing, first-order filters and discounted sums are such recurrences. The first element of `a`
    meets a 0.

    Examples
    --------
    >>> tj.linear_recurrence([0.5, 0.5, 0.5], [1.0, 0.0, 0.0]).numpy()
    array([1.  , 0.5 , 0.25], dtype=float32)
    """
    factors, added = in_common_dtype("linear_recurrence", (a, x))
    shape = broadcast_shapes("linear_recurrence", (factors.shape, added.shape))
    place = normalize_axis("linear_recurrence", axis, len(shape))
    both = [in_role("broadcast")(floating("linear_recurrence", each), shape) for each in (factors, added)]
    return _recurrence(*both, axis=place)  # type: ignore[no-any-return]


# ---- running products


_cumprod: Any = library_call(
    "cumprod",
    inputs=("x",),
    impl=lambda x, *, axis: np.cumprod(x, axis, dtype=x.dtype),
    rule=_same,
    vjp={"x": lambda ct, x, out, axis: _before(out, axis, 1) * _backwards(x, ct, axis)},
    jvp=lambda inputs, tangents, out, params: _recurrence(
        inputs[0], tangents[0] * _before(out, params["axis"], 1), axis=params["axis"]
    ),
    lowering=Scan("multiply"),
    batch=along,
    reference=np.cumprod,
    cases=(
        Case(normal(5)),
        Case(normal(3, 4), axis=0),
        Case(normal(3, 4), axis=-1),
        Case(normal(3, 4)),
        Case(normal(0, 2), axis=1),
        Case(normal()),
        Case(integers(-3, 4, 6)),
    ),
)


def _along(operation: str, x: Any, axis: int | None) -> tuple[Any, int]:
    """The array, flattened where no axis is given, and the axis."""
    if axis is None or not x.shape:
        x, axis = ravel(x), 0 if axis is None else axis
    return x, normalize_axis(operation, axis, len(x.shape))


def _numeric(operation: str, x: ArrayLike) -> Any:
    array = as_array(x, borrow=True)
    if array.dtype.kind not in "biuf":
        raise DtypeError(at_user_line(f"{operation} takes numeric or boolean arrays, got {array.aval}"))
    return array


def cumprod(x: ArrayLike, /, axis: int | None = None, *, dtype: DtypeLike = None) -> "Tensor":
    """Running product along an axis.

    Parameters
    ----------
    x : array_like
        Any shape. Booleans and integers narrower than int64 are multiplied as int64 (unsigned: uint64).
    axis : int, optional
        What to multiply along; by default the array is flattened first.
    dtype : dtype, optional
        What to convert to before the product.

    Returns
    -------
    Tensor
        The shape of `x`; with ``axis=None`` one axis. The derivative of element j by an element up to j is the product
        of the others up to j, exact where elements are 0.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Examples
    --------
    >>> tj.cumprod([1.0, 2.0, 3.0]).numpy()
    array([1., 2., 6.], dtype=float32)
    """
    array = _numeric("cumprod", x)
    array = astype(array, accumulated(array.dtype) if dtype is None else dtype)
    array, place = _along("cumprod", array, axis)
    return _cumprod(array, axis=place)  # type: ignore[no-any-return]


def _with_initial(operation: str, running: Callable[..., Any], x: Any, axis: Any, first: int, initial: bool) -> Any:
    array = as_array(x, borrow=True)
    if axis is None and len(array.shape) > 1:
        raise ShapeError(
            at_user_line(f"{operation}: an array of shape {array.shape} needs an axis; flatten it with ravel")
        )
    array, place = _along(operation, array, axis)
    out = running(array, place)
    if not initial:
        return out
    shape = (*out.shape[:place], 1, *out.shape[place + 1 :])
    return concat([in_role("ones" if first else "zeros")(shape, out.dtype), out], axis=place)


def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DtypeLike = None, include_initial: bool = False
) -> "Tensor":
    """Running sum along an axis, as the Array API has it; see `cumsum`.

    Parameters
    ----------
    x : array_like
        Any shape with an axis.
    axis : int, optional
        What to sum along; may be left out where there is one axis.
    dtype : dtype, optional
        What to convert to before the sum.
    include_initial : bool
        Whether the result begins with 0, and so is longer by one.

    Returns
    -------
    Tensor
        The cotangent is summed from the other end.

    Raises
    ------
    ShapeError
        If the axis is out of range, or missing.

    Examples
    --------
    >>> tj.cumulative_sum([1.0, 2.0, 3.0], include_initial=True).numpy()
    array([0., 1., 3., 6.], dtype=float32)
    """
    run = lambda array, place: cumsum(array, place, dtype=dtype)  # noqa: E731 (named for the call below)
    return _with_initial("cumulative_sum", run, x, axis, 0, include_initial)  # type: ignore[no-any-return]


def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DtypeLike = None, include_initial: bool = False
) -> "Tensor":
    """Running product along an axis, as the Array API has it; see `cumprod`.

    Parameters
    ----------
    x : array_like
        Any shape with an axis.
    axis : int, optional
        What to multiply along; may be left out where there is one axis.
    dtype : dtype, optional
        What to convert to before the product.
    include_initial : bool
        Whether the result begins with 1, and so is longer by one.

    Returns
    -------
    Tensor
        With the derivative of `cumprod`.

    Raises
    ------
    ShapeError
        If the axis is out of range, or missing.

    Examples
    --------
    >>> tj.cumulative_prod([1.0, 2.0, 3.0], include_initial=True).numpy()
    array([1., 1., 2., 6.], dtype=float32)
    """
    run = lambda array, place: cumprod(array, place, dtype=dtype)  # noqa: E731 (named for the call below)
    return _with_initial("cumulative_prod", run, x, axis, 1, include_initial)  # type: ignore[no-any-return]


# ---- running extremes


def _places(x: Any, out: Any, axis: int, below: float) -> Any:
    """Where each running extreme stands: at the first of those that tie, or at the first nan."""
    before = _before(out, axis, below)
    higher = x > before if below < 0 else x < before
    fresh = logical_or(higher, logical_and(isnan(x), logical_not(isnan(before)))) if x.dtype.kind == "f" else higher
    length = x.shape[axis]
    rank = len(x.shape)
    positions = reshape(in_role("iota")(length=length), (length, *(1,) * (rank - axis - 1)))
    return _cummax(where(fresh, positions, 0), axis=axis)


def _running_extreme(name: str, ufunc: np.ufunc, combine: str, below: float) -> Any:
    def slope(ct: Any, x: Any, out: Any, axis: int) -> Any:
        return add_along_axis(in_role("zeros")(x.shape, ct.dtype), _places(x, out, axis, below), ct, axis)

    def tangent(inputs: Any, tangents: Any, out: Any, params: Any) -> Any:
        axis = params["axis"]
        return take_along_axis(tangents[0], _places(inputs[0], out, axis, below), axis=axis)

    rule: TangentRule = tangent
    return library_call(
        name,
        inputs=("x",),
        impl=lambda x, *, axis: ufunc.accumulate(x, axis),
        rule=_same,
        vjp={"x": slope},
        jvp=rule,
        lowering=Scan(combine),
        batch=along,
        reference=lambda x, axis=None: ufunc.accumulate(x if axis is not None else np.ravel(x), axis or 0),
        cases=(
            Case(spaced(6)),
            Case(spaced(3, 4), axis=0),
            Case(spaced(3, 4), axis=-1),
            Case(spaced(2, 3)),
            Case(normal(0, 2), axis=1),
            Case(normal()),
            Case(integers(-3, 4, 7)),
        ),
    )


_cummax: Any = _running_extreme("cummax", np.maximum, "maximum", -_INF)
_cummin: Any = _running_extreme("cummin", np.minimum, "minimum", _INF)


def cummax(x: ArrayLike, /, axis: int | None = None) -> "Tensor":
    """Running maximum along an axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int, optional
        What to look along; by default the array is flattened first.

    Returns
    -------
    Tensor
        The shape and dtype of `x`; with ``axis=None`` one axis. nan from the first nan on.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Notes
    -----
    The derivative is 1 by the element that is the maximum; where several tie, by the first of them.

    Examples
    --------
    >>> tj.cummax([1.0, 3.0, 2.0]).numpy()
    array([1., 3., 3.], dtype=float32)
    """
    array, place = _along("cummax", _numeric("cummax", x), axis)
    return _cummax(array, axis=place)  # type: ignore[no-any-return]


def cummin(x: ArrayLike, /, axis: int | None = None) -> "Tensor":
    """Running minimum along an axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int, optional
        What to look along; by default the array is flattened first.

    Returns
    -------
    Tensor
        The shape and dtype of `x`; with ``axis=None`` one axis. nan from the first nan on.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Notes
    -----
    The derivative is 1 by the element that is the minimum; where several tie, by the first of them.

    Examples
    --------
    >>> tj.cummin([2.0, 1.0, 3.0]).numpy()
    array([2., 1., 1.], dtype=float32)
    """
    array, place = _along("cummin", _numeric("cummin", x), axis)
    return _cummin(array, axis=place)  # type: ignore[no-any-return]


# ---- running log-sums


def _less(x: Any, out: Any) -> Any:
    """``exp(x - out)``, 0 where both are -inf."""
    return exp(where(equal(out, -_INF), -_INF, x - out))


def _logcumsumexp_expand(x: Any, *, axis: int) -> Any:
    """Sums shifted by the running maximum: a recurrence whose factors are known before it starts."""
    highest = _cummax(x, axis=axis)
    shift = where(isfinite(highest), highest, 0)
    factors = exp(_before(shift, axis, 0) - shift)
    return log(_recurrence(factors, exp(x - shift), axis=axis)) + shift


def _logcumsumexp_slope(ct: Any, x: Any, out: Any, axis: int) -> Any:
    """The shares of an element in all later sums, none of which is larger than 1: a recurrence from the other end."""
    shares = _less(_before(out, axis, -_INF), out)
    return _backwards(shares, ct, axis) * _less(x, out)


_logcumsumexp: Any = library_call(
    "logcumsumexp",
    inputs=("x",),
    impl=lambda x, *, axis: np.logaddexp.accumulate(x, axis),
    rule=_same,
    vjp={"x": _logcumsumexp_slope},
    jvp=lambda inputs, tangents, out, params: _recurrence(
        _less(_before(out, params["axis"], -_INF), out), tangents[0] * _less(inputs[0], out), axis=params["axis"]
    ),
    lowering=Composite(_logcumsumexp_expand),
    batch=along,
    reference=lambda x, axis=None: np.logaddexp.accumulate(x if axis is not None else np.ravel(x), axis or 0),
    cases=(
        Case(uniform(-3, 3, 6)),
        Case(normal(3, 4), axis=0),
        Case(normal(3, 4), axis=-1),
        Case(normal(0, 2), axis=1),
        Case(normal()),
    ),
)


def logcumsumexp(x: ArrayLike, /, axis: int | None = None) -> "Tensor":
    """Running ``log(sum(exp(x)))`` along an axis; neither end overflows.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    axis : int, optional
        What to sum along; by default the array is flattened first.

    Returns
    -------
    Tensor
        The shape of `x`, floating; with ``axis=None`` one axis. The derivative of element j by an element i up to j is
        ``exp(x[i] - out[j])``, 0 where all up to j are -inf.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Examples
    --------
    >>> tj.logcumsumexp([0.0, 0.0, 0.0]).numpy().round(4)
    array([0.    , 0.6931, 1.0986], dtype=float32)
    """
    array, place = _along("logcumsumexp", floating("logcumsumexp", x), axis)
    return _logcumsumexp(array, axis=place)  # type: ignore[no-any-return]
