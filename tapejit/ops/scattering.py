"""`scatter_set`, `scatter_min` and `scatter_max`: what writes where indexing reads, beside `scatter_add`.

Floor 4, above `indexing`. An index is sorted into a slice of all axes and index arrays, as there. Without arrays the
part is replaced as a whole; else one primitive writes at index tuples of the part.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, without
from ..families import Case, in_common_dtype, integers, library_call, normal, spaced
from ..families.batching import scattered
from ..lowering import Scatter
from ..primitive import in_role
from .annotations import ArrayLike
from .arithmetic import maximum, minimum
from .comparison import isnan, where
from .conversion import astype
from .indexing import Ints, Plan, columns, front, gather, index_tuples, order_of, planned, range_error
from .shaping import Apply, broadcast_to, permute_dims, reshape
from .slicing import strided_slice, unslice

if TYPE_CHECKING:
    from ..tensor import Tensor


def _writing(name: str, write: Callable[[np.ndarray, Any, np.ndarray], None]) -> Callable[..., np.ndarray]:
    """``impl(x, indices, updates, axes=...)`` of one of these primitives."""

    def impl(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axes: Ints) -> np.ndarray:
        out = np.array(x, order="C")
        try:
            write(front(out, axes), columns(indices), updates)
        except IndexError:
            raise range_error(name, x.shape, indices, axes) from None
        return out

    return impl


def _assign(x: np.ndarray, index: Any, updates: np.ndarray) -> None:
    x[index] = updates


def _in_numpy(write: Callable[[np.ndarray, Any, np.ndarray], None]) -> Callable[..., np.ndarray]:
    """The public function, for arrays."""

    def reference(x: np.ndarray, index: Any, updates: np.ndarray) -> np.ndarray:
        out = np.array(x)
        write(out, index, updates)
        return out

    return reference


# ---- set


def _last_of_each(indices: Any, x_shape: Shape, axes: Ints) -> Any:
    """For each index tuple whether it is the last one for its place: that one's update stays."""
    batch: Shape = indices.shape[:-1]
    count = int(np.prod(batch))
    order = reshape(in_role("iota")(length=count), batch)
    places = tuple(x_shape[axis] for axis in axes)
    own = tuple(range(len(axes)))
    writers = _scatter_set(in_role("zeros")(places, order.dtype), indices, order, axes=own)
    return gather(writers, indices, own) == order


def _set_by_x(ct: Any, indices: Any, x_shape: Shape, updates_shape: Shape, axes: Ints) -> Any:
    """The cotangent without what was overwritten."""
    return _scatter_set(ct, indices, in_role("zeros")(updates_shape, ct.dtype), axes=axes)


def _set_by_updates(ct: Any, indices: Any, x_shape: Shape, updates_shape: Shape, axes: Ints) -> Any:
    last = _last_of_each(indices, x_shape, axes)
    rest = (1,) * (len(updates_shape) - len(last.shape))
    return where(reshape(last, (*last.shape, *rest)), gather(ct, indices, axes), 0)


_scatter_set: Apply = library_call(
    "scatter_set",
    inputs=("x", "indices", "updates"),
    impl=_writing("scatter_set", _assign),
    rule=lambda x, indices, updates, *, axes: Aval(x.shape, x.dtype),
    vjp={"x": _set_by_x, "updates": _set_by_updates},
    lowering=Scatter("set"),
    batch=scattered,
    linear=True,
    cases=(
        Case(normal(4, 3), integers(-4, 4, 5), normal(5, 3)),
        Case(normal(4), integers(0, 4, 2, 3), normal()),
        Case(normal(4, 2), integers(0, 4, 0), normal(0, 2)),
        Case(normal(3, 4), (slice(None), integers(0, 4, 2)), normal(3, 2)),
    ),
    reference=_in_numpy(_assign),
)


# ---- extremes


def _shares(x: Any, indices: Any, updates: Any, out: Any, axes: Ints) -> tuple[Any, Any, Any, Any]:
    """Where x, and which updates, are the extreme; how many share it; and the extremes at the updates."""
    there = gather(out, indices, axes)
    by_x, by_updates = x == out, updates == there
    count = in_role("add_at")(astype(by_x, out.dtype), indices, astype(by_updates, out.dtype), axes)
    return by_x, by_updates, count, there


def _extreme_by_x(ct: Any, x: Any, indices: Any, updates: Any, out: Any, axes: Ints) -> Any:
    by_x, _, count, _ = _shares(x, indices, updates, out, axes)
    return where(by_x, ct / count, where(isnan(out), float("nan"), 0))


def _extreme_by_updates(ct: Any, x: Any, indices: Any, updates: Any, out: Any, axes: Ints) -> Any:
    _, by_updates, count, there = _shares(x, indices, updates, out, axes)
    share = gather(ct / count, indices, axes)
    return where(by_updates, share, where(isnan(there), float("nan"), 0))


def _extreme(name: str, combine: str, ufunc: np.ufunc) -> Apply:
    def write(x: np.ndarray, index: Any, updates: np.ndarray) -> None:
        ufunc.at(x, index, updates)

    return library_call(
        name,
        inputs=("x", "indices", "updates"),
        impl=_writing(name, write),
        rule=lambda x, indices, updates, *, axes: Aval(x.shape, x.dtype),
        vjp={"x": _extreme_by_x, "updates": _extreme_by_updates},
        lowering=Scatter(combine),
        batch=scattered,
        cases=(
            Case(spaced(4, 3), integers(-4, 4, 5), normal(5, 3)),
            Case(spaced(4), integers(0, 4, 2, 3), normal(2, 3)),
            Case(spaced(4, 2), integers(0, 4, 0), normal(0, 2)),
            Case(spaced(3, 4), (slice(None), integers(0, 4, 2)), normal(3, 2)),
        ),
        reference=_in_numpy(write),
    )


_scatter_min = _extreme("scatter_min", "minimum", np.minimum)
_scatter_max = _extreme("scatter_max", "maximum", np.maximum)


# ---- the public functions


def _arranged(operation: str, plan: Plan, updates: Any) -> Any:
    """The updates, broadcast to what the index reads, with the axes of the index arrays first."""
    shape = (*plan.kept[: plan.place], *plan.batch, *plan.kept[plan.place :])
    if updates.shape != shape:
        updates = broadcast_to(updates, shape)
    if plan.batch and plan.place:
        order = order_of(plan)
        updates = permute_dims(updates, tuple(order.index(axis) for axis in range(len(order))))
    return updates


def _written(operation: str, primitive: Apply, combine: Callable[..., Any], x: Any, index: Any, updates: Any) -> Any:
    """`x` with the part at `index` combined with the updates."""
    array, values = in_common_dtype(operation, (x, updates))
    plan = planned(index, array.shape)
    values = _arranged(operation, plan, values)
    if plan.flags and not min(plan.batch):
        return array
    lengths = tuple(plan.lengths)
    whole = lengths == array.shape and all(step == 1 for step in plan.steps)
    starts, steps = tuple(plan.starts), tuple(plan.steps)
    part = array if whole else strided_slice(array, starts, steps, lengths)
    if plan.arrays:
        values = reshape(values, (*plan.batch, *without(lengths, plan.axes)))
        part = primitive(part, index_tuples(plan), values, axes=tuple(plan.axes))
    else:
        part = combine(part, reshape(values, lengths))
    if whole:
        return part
    inside = unslice(in_role("ones")(lengths, np.dtype(np.bool_)), array.shape, starts, steps)
    return where(inside, unslice(part, array.shape, starts, steps), array)


def scatter_set(x: ArrayLike, index: Any, updates: ArrayLike, /) -> "Tensor":
    """`x` with `updates` in the place of ``x[index]``: ``x[index] = updates`` that makes a new array.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    index : as in `getitem`
        An array of ints indexes the first axis, a tuple of them the first axes.
    updates : array_like
        Broadcasts to the shape of ``x[index]``. Promoted with `x` to one dtype.

    Returns
    -------
    Tensor, shape of `x`
        A new array. Of several updates of one element the last one stays.

    Raises
    ------
    IndexRangeError
        If an index is out of range, there are too many, or a mask has another shape.
    ShapeError
        If `updates` does not broadcast.

    Notes
    -----
    Linear. With the cotangent c, the derivative by `x` is c with zeros at `index`, by `updates` ``c[index]``, 0 for
    those that did not stay.

    Examples
    --------
    >>> tj.scatter_set(tj.zeros(3), [0, 2], [1.0, 2.0]).tolist()
    [1.0, 0.0, 2.0]
    """
    return _written("scatter_set", _scatter_set, lambda part, values: values, x, index, updates)  # type: ignore[no-any-return]


def scatter_min(x: ArrayLike, index: Any, updates: ArrayLike, /) -> "Tensor":
    """`x` with the smaller one of ``x[index]`` and all `updates` of that element.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    index : as in `getitem`
        An array of ints indexes the first axis, a tuple of them the first axes.
    updates : array_like
        Broadcasts to the shape of ``x[index]``. Promoted with `x` to one dtype.

    Returns
    -------
    Tensor, shape of `x`
        A new array; nan where one of them is nan.

    Raises
    ------
    IndexRangeError
        If an index is out of range, there are too many, or a mask has another shape.
    ShapeError
        If `updates` does not broadcast.

    Notes
    -----
    The elements of `x` and of `updates` that tie for an element share its cotangent equally, as in `min`; without index
    arrays, where at most two do, `x` gets it, as in `minimum`.

    Examples
    --------
    >>> tj.scatter_min(tj.zeros(2), [0, 0, 1], [1.0, -2.0, 3.0]).tolist()
    [-2.0, 0.0]
    """
    return _written("scatter_min", _scatter_min, minimum, x, index, updates)  # type: ignore[no-any-return]


def scatter_max(x: ArrayLike, index: Any, updates: ArrayLike, /) -> "Tensor":
    """`x` with the larger one of ``x[index]`` and all `updates` of that element.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    index : as in `getitem`
        An array of ints indexes the first axis, a tuple of them the first axes.
    updates : array_like
        Broadcasts to the shape of ``x[index]``. Promoted with `x` to one dtype.

    Returns
    -------
    Tensor, shape of `x`
        A new array; nan where one of them is nan.

    Raises
    ------
    IndexRangeError
        If an index is out of range, there are too many, or a mask has another shape.
    ShapeError
        If `updates` does not broadcast.

    Notes
    -----
    The elements of `x` and of `updates` that tie for an element share its cotangent equally, as in `max`; without index
    arrays, where at most two do, `x` gets it, as in `maximum`.

    Examples
    --------
    >>> tj.scatter_max(tj.zeros(2), [0, 0, 1], [1.0, 2.0, -3.0]).tolist()
    [2.0, 0.0]
    """
    return _written("scatter_max", _scatter_max, maximum, x, index, updates)  # type: ignore[no-any-return]
