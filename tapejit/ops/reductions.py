"""Operations that combine the elements along axes: sums, extremes, and where these are.

Floor 4, above `conversion`. `prod` is in `product_reduction`, the mean in `moments`, the softmax family in
`exponential_families`.
"""

from collections.abc import Mapping, Sequence
from math import prod as _count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, normalize_axes, normalize_axis, with_ones, without
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import ALL, Case, as_array, booleans, integers, library_call, normal, reduction, spaced
from ..families.batching import along
from ..lowering import Composite, Reduction, Scan
from ..primitive import Flow, in_role
from .annotations import ArrayLike, Axis, DtypeLike
from .comparison import equal, isnan, logical_or, where
from .conversion import astype, stop_gradient

if TYPE_CHECKING:
    from ..tensor import Tensor

_BOOL = np.dtype(np.bool_)


def accumulated(dtype: np.dtype) -> np.dtype:
    """The dtype in which NumPy adds and multiplies many numbers of a dtype."""
    if dtype.kind in "biu" and dtype.itemsize < 8:
        return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
    return dtype


def spread(ct: Any, axes: Sequence[int], x_shape: Shape) -> Any:
    """The transpose of a sum: `ct` repeated along the axes that were dropped."""
    return in_role("broadcast")(in_role("reshape")(ct, with_ones(x_shape, axes)), x_shape)


def _kept(out: Any, axes: Sequence[int], x_shape: Shape) -> Any:
    """A reduced array with its axes back, of length 1."""
    return in_role("reshape")(out, with_ones(x_shape, axes))


_ADD = np.add.reduce


@reduction(
    impl=lambda x, axes: _ADD(x, axes),  # noqa: PLW0108 (params come by name, and NumPy calls it `axis`)
    lowering=Reduction("add"),
    dtypes=ALL,
    vjp=spread,
    flow=Flow.MOVING,
    accumulate=accumulated,
    identity=True,
    role="sum",
    cases=(
        Case(normal(3, 4)),
        Case(normal(3, 4), axis=1, keepdims=True),
        Case(normal(2, 3, 4), axis=(0, -1)),
        Case(normal()),
        Case(normal(0, 3), axis=0),
        Case(normal(0, 3), axis=1),
        Case(normal(1, 5), axis=0),
        Case(booleans(7)),
        Case(integers(0, 9, 2, 3), axis=0),
    ),
)
def sum(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False, dtype: DtypeLike = None) -> "Tensor":
    """Sum along axes.

    Parameters
    ----------
    x : array_like
        Any shape. Booleans and integers narrower than int64 are summed as int64 (unsigned: uint64).
    axis : int or sequence of int, optional
        What to sum along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.
    dtype : dtype, optional
        What to convert to before the sum.

    Returns
    -------
    Tensor
        Without the axes. The derivative by each element is 1. The sum of nothing is 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.sum([[1.0, 2.0], [3.0, 4.0]], axis=0).numpy()
    array([4., 6.], dtype=float32)
    """


def _extreme_vjp(ct: Any, x: Any, out: Any, axes: tuple[int, ...], x_shape: Shape) -> Any:
    """Equal shares for the elements that tie; nan where the extreme is nan."""
    extreme = _kept(out, axes, x_shape)
    hits = x == extreme
    count = in_role("sum")(astype(hits, ct.dtype), axes)
    elsewhere = where(isnan(extreme), stop_gradient(extreme), 0)
    return where(hits, _kept(ct / count, axes, x_shape), elsewhere)


def _extreme_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """The mean of the tangents of the elements that tie; 0/0 where the extreme is nan, as nothing equals that."""
    axes, summed = params["axes"], in_role("sum")
    hits = inputs[0] == _kept(out, axes, inputs[0].shape)
    return summed(where(hits, tangents[0], 0), axes) / summed(astype(hits, out.dtype), axes)


_EXTREME_CASES = (
    Case(spaced(3, 4)),
    Case(spaced(3, 4), axis=1, keepdims=True),
    Case(spaced(2, 3, 4), axis=(0, -1)),
    Case(normal()),
    Case(normal(0, 3), axis=1),
    Case(normal(1, 5), axis=0),
    Case(integers(0, 9, 2, 3), axis=0),
    Case(booleans(2, 3), axis=0),
)


@reduction(
    impl=lambda x, *, axes: np.maximum.reduce(x, axis=axes),
    lowering=Reduction("maximum"),
    dtypes=ALL,
    vjp=_extreme_vjp,
    jvp=_extreme_jvp,
    cases=_EXTREME_CASES,
)
def max(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Largest element along axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes, same dtype. Elements that tie share the derivative equally.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Notes
    -----
    If an element is nan so is the result, and the derivative by all of its elements.

    Examples
    --------
    >>> tj.max([[1.0, 5.0], [3.0, 4.0]], axis=0).numpy()
    array([3., 5.], dtype=float32)
    """


@reduction(
    impl=lambda x, *, axes: np.minimum.reduce(x, axis=axes),
    lowering=Reduction("minimum"),
    dtypes=ALL,
    vjp=_extreme_vjp,
    jvp=_extreme_jvp,
    cases=_EXTREME_CASES,
)
def min(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Smallest element along axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes, same dtype. Elements that tie share the derivative equally.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Notes
    -----
    If an element is nan so is the result, and the derivative by all of its elements.

    Examples
    --------
    >>> tj.min([[1.0, 5.0], [3.0, 4.0]], axis=0).numpy()
    array([1., 4.], dtype=float32)
    """


_TRUTH_CASES = (
    Case(booleans(3, 4)),
    Case(booleans(3, 4), axis=1, keepdims=True),
    Case(booleans()),
    Case(booleans(0, 3), axis=0),
    Case(integers(0, 2, 2, 3), axis=(0, 1)),
    Case(normal(3)),
)


@reduction(
    impl=lambda x, *, axes: np.logical_or.reduce(x, axis=axes),
    lowering=Reduction("or"),
    dtypes=ALL,
    accumulate=lambda dtype: _BOOL,
    identity=True,
    cases=_TRUTH_CASES,
)
def any(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Whether an element along the axes is true (not zero).

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as true.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Boolean, without the axes; False of nothing. Not connected.

    Examples
    --------
    >>> tj.any([[True, False], [False, False]], axis=1).numpy()
    array([ True, False])
    """


@reduction(
    impl=lambda x, *, axes: np.logical_and.reduce(x, axis=axes),
    lowering=Reduction("and"),
    dtypes=ALL,
    accumulate=lambda dtype: _BOOL,
    identity=True,
    cases=_TRUTH_CASES,
)
def all(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Whether all elements along the axes are true (not zero).

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as true.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Boolean, without the axes; True of nothing. Not connected.

    Examples
    --------
    >>> tj.all([[True, True], [True, False]], axis=1).numpy()
    array([ True, False])
    """


# ---- where the extremes are


def _position_rule(operation: str) -> Any:
    def rule(x: Aval, *, axis: int | None) -> Aval:
        if x.dtype.kind not in ALL:
            raise DtypeError(at_user_line(f"{operation} does not take {x}"))
        axes = normalize_axes(operation, axis, len(x.shape))
        shape = without(x.shape, axes)
        if _count(x.shape[a] for a in axes) == 0 and 0 not in shape:
            raise ShapeError(at_user_line(f"{operation} of no elements has no value: shape {x.shape}, axis {axis}"))
        return Aval(shape, np.dtype(np.int64))

    return rule


def _position_expand(extreme: Any) -> Any:
    """The smallest index at which the extreme stands, or a nan, which is then the extreme."""

    def expand(x: Any, *, axis: int | None) -> Any:
        if axis is None:
            x, axis = in_role("reshape")(x, (_count(x.shape),)), 0
        length = x.shape[axis]
        hits = equal(x, extreme(x, axis, keepdims=True))
        if x.dtype.kind == "f":
            hits = logical_or(hits, isnan(x))
        positions = in_role("reshape")(in_role("iota")(length=length), (length, *(1,) * (len(x.shape) - axis - 1)))
        return min(where(hits, positions, length), axis)

    return expand


def _position(name: str, impl: Any, extreme: Any) -> Any:
    """A primitive that finds a position along one axis, or in the flattened array."""
    return library_call(
        name,
        inputs=("x",),
        impl=lambda x, *, axis: impl(x, axis=axis).astype(np.int64),
        rule=_position_rule(name),
        vjp={},
        lowering=Composite(_position_expand(extreme)),
        batch=along,
        reference=impl,
        cases=(
            Case(spaced(3, 4)),
            Case(spaced(3, 4), axis=-1, keepdims=True),
            Case(integers(0, 2, 5), axis=0),
            Case(normal()),
            Case(normal(2, 3), keepdims=True),
            Case(booleans(4), axis=0),
        ),
    )


_argmax = _position("argmax", np.argmax, max)
_argmin = _position("argmin", np.argmin, min)


def _find(operation: str, primitive: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    array = as_array(x, borrow=True)
    rank = len(array.shape)
    chosen = None if axis is None else normalize_axis(operation, axis, rank)
    out = primitive(array, axis=chosen)
    return _kept(out, normalize_axes(operation, chosen, rank), array.shape) if keepdims else out


def argmax(x: ArrayLike, /, axis: int | None = None, *, keepdims: bool = False) -> "Tensor":
    """Position of the largest element along an axis; the first one where several tie.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int, optional
        What to look along; by default the position in the flattened array.
    keepdims : bool
        Whether the axis stays, with length 1.

    Returns
    -------
    Tensor
        int64, without the axis. Not connected. The first nan is the largest, as in NumPy.

    Raises
    ------
    ShapeError
        If the axis is out of range or has no elements.

    Examples
    --------
    >>> tj.argmax([[1.0, 5.0], [3.0, 2.0]], axis=1).numpy()
    array([1, 0])
    """
    return _find("argmax", _argmax, x, axis, keepdims)  # type: ignore[no-any-return]


def argmin(x: ArrayLike, /, axis: int | None = None, *, keepdims: bool = False) -> "Tensor":
    """Position of the smallest element along an axis; the first one where several tie.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int, optional
        What to look along; by default the position in the flattened array.
    keepdims : bool
        Whether the axis stays, with length 1.

    Returns
    -------
    Tensor
        int64, without the axis. Not connected. The first nan is the smallest, as in NumPy.

    Raises
    ------
    ShapeError
        If the axis is out of range or has no elements.

    Examples
    --------
    >>> tj.argmin([[1.0, 5.0], [3.0, 2.0]], axis=1).numpy()
    array([0, 1])
    """
    return _find("argmin", _argmin, x, axis, keepdims)  # type: ignore[no-any-return]


# ---- running sums


def _reversed_cumsum(ct: Any, axis: int) -> Any:
    """The transpose: each element of x is part of its own running sum and of all later ones."""
    backwards = tuple(slice(None, None, -1) if each == axis else slice(None) for each in range(len(ct.shape)))
    return _cumsum(ct[backwards], axis=axis)[backwards]


def _cumsum_rule(x: Aval, *, axis: int) -> Aval:
    if x.dtype.kind not in ALL:
        raise DtypeError(at_user_line(f"cumsum takes numeric or boolean arrays, got {x}"))
    return x


_cumsum: Any = library_call(
    "cumsum",
    inputs=("x",),
    impl=lambda x, *, axis: np.cumsum(x, axis, dtype=x.dtype),
    rule=_cumsum_rule,
    vjp={"x": _reversed_cumsum},
    lowering=Scan(),
    linear=True,
    batch=along,
    reference=np.cumsum,
    cases=(
        Case(normal(5)),
        Case(normal(3, 4), axis=0),
        Case(normal(3, 4), axis=-1),
        Case(normal(3, 4)),
        Case(normal(0, 2), axis=1),
        Case(normal()),
        Case(booleans(6)),
    ),
)


def cumsum(x: ArrayLike, /, axis: int | None = None, *, dtype: DtypeLike = None) -> "Tensor":
    """Running sum along an axis.

    Parameters
    ----------
    x : array_like
        Any shape. Booleans and integers narrower than int64 are summed as int64 (unsigned: uint64).
    axis : int, optional
        What to sum along; by default the array is flattened first.
    dtype : dtype, optional
        What to convert to before the sum.

    Returns
    -------
    Tensor
        The shape of `x`; with ``axis=None`` one axis. The cotangent is summed from the other end.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Examples
    --------
    >>> tj.cumsum([1.0, 2.0, 3.0]).numpy()
    array([1., 3., 6.], dtype=float32)
    """
    array = as_array(x, borrow=True)
    array = astype(array, accumulated(array.dtype) if dtype is None else dtype)
    if axis is None or not array.shape:
        array, axis = in_role("reshape")(array, (array.aval.size,)), 0 if axis is None else axis
    return _cumsum(array, axis=normalize_axis("cumsum", axis, len(array.shape)))  # type: ignore[no-any-return]
