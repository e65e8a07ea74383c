"""``x[index]`` with NumPy's rules, `take`, and `scatter_add`, which writes where indexing reads.

Floor 4. Basic indices become one `strided_slice` and a reshape. Index arrays become one `gather`, whose
transpose is `scatter_add`: `gather(x, indices, axes)` takes k axes of x and indices of shape (..., k), as
TensorFlow's gather_nd. Start reading at `planned`, which sorts an index into these parts.
"""

from dataclasses import field
from operator import index as as_int
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, broadcast_shapes, normalize_axis, without
from ..dataclass import dataclass
from ..errors import DtypeError, IndexRangeError, ShapeError, TapejitError, at_user_line
from ..families import Case, as_array, in_common_dtype, integers, library_call, normal, view
from ..families.batching import gathered, scattered
from ..lowering import Gather, Scatter
from ..primitive import Typed, claim, in_role
from ..pytree import flatten
from .annotations import ArrayLike
from .joining import stack
from .shaping import Apply, broadcast_to, expand_dims, permute_dims, ravel, reshape
from .slicing import slice_axis, strided_slice, unslice

if TYPE_CHECKING:
    from ..tensor import Tensor

Ints = tuple[int, ...]


# gather and scatter_add


def front(x: np.ndarray, axes: Ints) -> np.ndarray:
    """`x` with `axes` moved to the front."""
    if axes == tuple(range(len(axes))):
        return x
    return x.transpose((*axes, *[axis for axis in range(x.ndim) if axis not in axes]))


def columns(indices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Index tuples as the tuple that NumPy indexes with."""
    return tuple(indices[..., column] for column in range(indices.shape[-1]))


def range_error(operation: str, shape: Shape, indices: np.ndarray, axes: Ints) -> IndexRangeError:
    """What to raise where one of the index tuples is out of range."""
    for column, axis in enumerate(axes):
        length, chosen = shape[axis], indices[..., column]
        wrong = chosen[(chosen < -length) | (chosen >= length)]
        if wrong.size:
            return _out_of_range(operation, int(wrong[0]), axis, length)
    return IndexRangeError(at_user_line(f"{operation}: an index is out of range for shape {shape}"))


def _out_of_range(operation: str, index: int, axis: int, length: int) -> IndexRangeError:
    return IndexRangeError(
        at_user_line(f"{operation}: index {index} is out of range for axis {axis} with length {length}")
    )


def _gather_impl(x: np.ndarray, indices: np.ndarray, *, axes: Ints) -> np.ndarray:
    try:
        return front(x, axes)[columns(indices)]  # type: ignore[no-any-return]
    except IndexError:
        raise range_error("indexing", x.shape, indices, axes) from None


def _gather_rule(x: Aval, indices: Aval, *, axes: Ints) -> Aval:
    return Aval((*indices.shape[:-1], *without(x.shape, axes)), x.dtype)


def _gather_transpose(ct: Any, indices: Any, x_shape: Shape, axes: Ints) -> Any:
    return _scatter_add(in_role("zeros")(x_shape, ct.dtype), indices, ct, axes=axes)


_gather: Apply = view(
    "gather",
    inputs=("x", "indices"),
    impl=_gather_impl,
    rule=_gather_rule,
    lowering=Gather(),
    transpose=_gather_transpose,
    batch=gathered,
    cases=(
        Case(normal(4, 3), integers(-4, 4, 5, 1), (0,)),
        Case(normal(2, 4, 3), integers(0, 2, 6, 2), (0, 2)),
        Case(normal(2, 3), integers(0, 2, 2), (0, 1)),
        Case(normal(3), integers(0, 3, 2, 0, 1), (0,)),
    ),
    reference=lambda x, indices, axes: np.moveaxis(x, axes, range(len(axes)))[tuple(np.moveaxis(indices, -1, 0))],
)


def gather(x: ArrayLike, indices: ArrayLike, axes: Ints, /) -> "Tensor":
    """The elements of `x` at index tuples.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    indices : array_like, shape (..., k), integer
        Index tuples; negative ones count from the back.
    axes : tuple of k ints
        The axes of `x` that they index, ascending.

    Returns
    -------
    Tensor, shape ``indices.shape[:-1]`` + the other axes of `x`, dtype of `x`
        A new array.

    Raises
    ------
    IndexRangeError
        If an index is out of range.

    Notes
    -----
    Linear in `x`; the derivative is `scatter_add` into zeros.
    """
    array, chosen = as_array(x, borrow=True), as_index("gather", indices)
    if not isinstance(axes, (tuple, list)):
        raise DtypeError(at_user_line(f"gather: axes are a tuple of ints, got {axes!r:.80}"))
    places = tuple(normalize_axis("gather", axis, len(array.shape)) for axis in axes)
    if chosen.shape[-1:] != (len(places),):
        raise ShapeError(
            at_user_line(
                f"gather: indices of shape {chosen.shape} do not end in an axis of length {len(places)}, "
                f"one for each of axes {places}"
            )
        )
    return _gather(array, chosen, axes=places)


def _scatter_add_impl(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, axes: Ints) -> np.ndarray:
    out = np.array(x, order="C")
    try:
        np.add.at(front(out, axes), columns(indices), updates)
    except IndexError:
        raise range_error("scatter_add", x.shape, indices, axes) from None
    return out


def _added(x: np.ndarray, index: Any, updates: Any) -> np.ndarray:
    out = np.array(x)
    np.add.at(out, index, updates)
    return out


_scatter_add: Apply = library_call(
    "scatter_add",
    inputs=("x", "indices", "updates"),
    impl=_scatter_add_impl,
    rule=lambda x, indices, updates, *, axes: Aval(x.shape, x.dtype),
    vjp={
        "x": lambda ct: ct,
        "updates": lambda ct, indices, axes: _gather(ct, indices, axes=axes),
    },
    lowering=Scatter(),
    linear=True,
    batch=scattered,
    cases=(
        Case(normal(4, 3), integers(-4, 4, 5), normal(5, 3)),
        Case(normal(4), integers(0, 4, 2, 3), normal()),
        Case(normal(4, 2), integers(0, 4, 0), normal(0, 2)),
    ),
    reference=_added,
)


claim("add_at", lambda x, indices, updates, axes: _scatter_add(x, indices, updates, axes=axes))


# The parts of an index


@dataclass(slots=True)
class Plan:
    """An index sorted into a slice of all axes, arrays for some, and the shape and order of what comes out.

    `kept` are the lengths of the result's basic axes, with 1 for None; the broadcast index arrays' axes
    (`batch`) stand at `place` among them.
    """

    starts: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    axes: list[int] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)
    flags: list[bool] = field(default_factory=list)
    batch: Shape = ()
    place: int = 0

    def take_axis(self, start: int, step: int, length: int) -> None:
        """Go on to the next axis, of which this slice is wanted."""
        self.starts.append(start)
        self.steps.append(step)
        self.lengths.append(length)


def planned(index: Any, shape: Shape) -> Plan:
    """An index of an array of `shape`, sorted into its parts."""
    items = [_item(item) for item in (index if isinstance(index, tuple) else (index,))]
    plan = Plan()
    runs: list[int] = []  # for each index that takes part in broadcasting: how many other items came before
    others = 0
    for item in _without_ellipsis(items, shape):
        axis = len(plan.lengths)
        if item is None:
            plan.kept.append(1)
            others += 1
        elif isinstance(item, slice):
            start, stop, step = _bounds(item, shape[axis])
            length = len(range(start, stop, step))
            plan.take_axis(start if length else 0, step if length > 1 else 1, length)
            plan.kept.append(length)
            others += 1
        else:
            runs.append(others)
            if len(runs) == 1:
                plan.place = len(plan.kept)
            _take_index(plan, item, shape, axis)
    if runs and runs[0] != runs[-1]:
        plan.place = 0  # separated by slices: NumPy puts the broadcast axes first
    shapes = [array.shape for array in plan.arrays] + [(int(flag),) for flag in plan.flags]
    plan.batch = broadcast_shapes("indexing", shapes)
    return plan


def _bounds(item: slice, length: int) -> Ints:
    """Start, stop and step of a slice of an axis."""
    try:
        return item.indices(length)
    except TapejitError:
        raise
    except ValueError:
        raise IndexRangeError(at_user_line(f"indexing: the step of {_text(item)} is 0; use another one")) from None
    except TypeError:
        raise DtypeError(
            at_user_line(f"indexing: a slice has ints or nothing as start, stop and step, got {_text(item)}")
        ) from None


def _text(item: slice) -> str:
    """A slice as it is written."""
    start, stop, step = ("" if each is None else f"{each!r:.40}" for each in (item.start, item.stop, item.step))
    return f"[{start}:{stop}:{step}]" if step else f"[{start}:{stop}]"


def _take_index(plan: Plan, item: Any, shape: Shape, axis: int) -> None:
    """An integer, a boolean, a mask or an index array."""
    if isinstance(item, bool):
        plan.flags.append(item)
    elif isinstance(item, int):
        length = shape[axis]
        if not -length <= item < length:
            raise _out_of_range("indexing", item, axis, length)
        plan.take_axis(item % length, 1, 1)
    elif isinstance(item, np.ndarray):
        covered = shape[axis : axis + item.ndim]
        if item.shape != covered:
            raise IndexRangeError(
                at_user_line(
                    f"indexing: a boolean mask of shape {item.shape} does not fit axes {axis} to "
                    f"{axis + item.ndim - 1} of shape {shape}, which have lengths {covered}"
                )
            )
        for places in np.nonzero(item):
            _take_array(plan, as_array(places), shape)
    else:
        _take_array(plan, item, shape)


def _take_array(plan: Plan, array: Any, shape: Shape) -> None:
    axis = len(plan.lengths)
    plan.axes.append(axis)
    plan.arrays.append(array)
    plan.take_axis(0, 1, shape[axis])


def _item(item: Any) -> Any:
    """One part of an index as None, Ellipsis, slice, bool, int, a mask (ndarray) or a tensor of integers."""
    if item is None or item is Ellipsis or isinstance(item, (slice, bool)):
        return item
    if isinstance(item, np.bool_):
        return bool(item)
    if isinstance(item, (int, np.integer)) and not isinstance(item, Typed):  # a traced number varies: it is gathered
        return as_int(item)
    if not isinstance(item, (list, tuple, np.ndarray, Typed)):
        raise DtypeError(
            at_user_line(
                f"indexing: {item!r} is no index; use ints, slices, None, ..., arrays of ints or boolean masks"
            )
        )
    array = as_index("indexing", item, masks=True)
    if array.dtype.kind != "b":
        return array
    mask = array.numpy()
    return mask if mask.ndim else bool(mask)


def as_index(operation: str, value: Any, masks: bool = False) -> Any:
    """`value` as a tensor of integers (or a mask); an empty list counts as integers."""
    if isinstance(value, (list, tuple)) and not flatten(value)[0]:
        value = np.zeros(np.shape(value), np.int64)
    array = as_array(value)
    if array.dtype.kind not in ("iub" if masks else "iu"):
        wanted = "integers or booleans" if masks else "integers"
        raise DtypeError(at_user_line(f"{operation}: an index array holds {wanted}, got {array.aval}"))
    return array


def _width(item: Any) -> int:
    """How many axes an item of an index takes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if isinstance(item, np.ndarray) else 1


def _without_ellipsis(items: list[Any], shape: Shape) -> list[Any]:
    """The items with as many full slices as there are axes left, for the Ellipsis or at the end."""
    taken = sum(map(_width, items))
    if taken > len(shape):
        raise IndexRangeError(
            at_user_line(f"indexing: {taken} indices for an array with {len(shape)} axes, of shape {shape}")
        )
    places = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise IndexRangeError(at_user_line("indexing: an index can only have a single ellipsis ('...')"))
    place = places[0] if places else len(items)
    return [*items[:place], *[slice(None)] * (len(shape) - taken), *items[place + 1 :]]


def index_tuples(plan: Plan) -> Any:
    """The index arrays, broadcast, as the columns of one array."""
    if len(plan.arrays) == 1 and plan.arrays[0].shape == plan.batch:
        return expand_dims(plan.arrays[0], -1)
    as_int64 = [in_role("convert")(array, np.dtype(np.int64)) for array in plan.arrays]
    return stack([broadcast_to(array, plan.batch) for array in as_int64], axis=-1)


def order_of(plan: Plan) -> Ints:
    """The permutation that moves the broadcast axes from the front to their place."""
    count = len(plan.batch)
    rest = range(count, count + len(plan.kept))
    return (*rest[: plan.place], *range(count), *rest[plan.place :])


# The public functions


def getitem(x: ArrayLike, index: Any, /) -> "Tensor":
    """``x[index]`` by NumPy's rules.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    index : int, slice, None, Ellipsis, array_like of ints, boolean mask, or a tuple of them
        Index arrays are broadcast together; their axes stand where they stood if they were neighbours, else
        first. Negative indices count from the back. Tensors may be index arrays, also inside a compiled
        step; a mask must have its values, since they decide on the shape.

    Returns
    -------
    Tensor, dtype of `x`
        It shares the memory of `x` where there are no index arrays.

    Raises
    ------
    IndexRangeError
        If an index is out of range, there are too many, or a mask has another shape.
    DtypeError
        If an index is no integer, slice or boolean.
    ConcretizationError
        If a mask is traced.

    Notes
    -----
    Linear in `x`: the derivative puts the cotangent back to the places that it was read from, and sums where
    an element was read more than once. Nothing is connected through the indices.

    Examples
    --------
    >>> x = tj.reshape(tj.arange(6), (2, 3))
    >>> x[1, ::2].tolist(), x[:, [0, 0]].tolist()
    ([3, 5], [[0, 0], [3, 3]])
    """
    array = as_array(x)
    plan = planned(index, array.shape)
    out: Any = array
    if not plan.arrays or tuple(plan.lengths) != array.shape or any(step != 1 for step in plan.steps):
        out = strided_slice(array, tuple(plan.starts), tuple(plan.steps), tuple(plan.lengths))
    if plan.arrays:
        out = _gather(out, index_tuples(plan), axes=tuple(plan.axes))
    elif plan.flags:
        out = slice_axis(expand_dims(out, 0), 0, 0, min(plan.batch))
    shape = (*plan.batch, *plan.kept)
    if out.shape != shape:
        out = reshape(out, shape)
    return permute_dims(out, order_of(plan)) if plan.batch and plan.place else out


def scatter_add(x: ArrayLike, index: Any, updates: ArrayLike, /) -> "Tensor":
    """`x` with `updates` added at ``x[index]``; what is added to one element more than once is summed.

    Parameters
    ----------
    x : array_like
        Any shape, numeric.
    index : as in `getitem`
        An array of ints indexes the first axis, a tuple of them the first axes.
    updates : array_like
        Broadcasts to the shape of ``x[index]``. Promoted with `x` to one dtype.

    Returns
    -------
    Tensor, shape of `x`
        A new array.

    Raises
    ------
    IndexRangeError
        If an index is out of range, there are too many, or a mask has another shape.
    ShapeError
        If `updates` does not broadcast.

    Notes
    -----
    Linear. With the cotangent c, the derivative by `x` is c, by `updates` ``c[index]``.

    Examples
    --------
    >>> tj.scatter_add(tj.zeros(3), [0, 2, 2], [1.0, 2.0, 3.0]).tolist()
    [1.0, 0.0, 5.0]
    """
    array, values = in_common_dtype("scatter_add", (x, updates))
    plan = planned(index, array.shape)
    shape = (*plan.kept[: plan.place], *plan.batch, *plan.kept[plan.place :])
    if values.shape != shape:
        values = broadcast_to(values, shape)
    if plan.batch and plan.place:
        order = order_of(plan)
        values = permute_dims(values, tuple(order.index(axis) for axis in range(len(order))))
    lengths = tuple(plan.lengths)
    if not plan.arrays:
        lost = plan.flags and not min(plan.batch)
        part = in_role("zeros")(lengths, array.dtype) if lost else reshape(values, lengths)
    else:
        values = reshape(values, (*plan.batch, *without(lengths, plan.axes)))
        whole = lengths == array.shape and all(step == 1 for step in plan.steps)
        onto = array if whole else in_role("zeros")(lengths, array.dtype)
        part = _scatter_add(onto, index_tuples(plan), values, axes=tuple(plan.axes))
        if whole:
            return part
    return in_role("add")(array, unslice(part, array.shape, tuple(plan.starts), tuple(plan.steps)))  # type: ignore[no-any-return]


def take(x: ArrayLike, indices: ArrayLike, /, axis: int | None = None) -> "Tensor":
    """The elements of `x` at `indices` along one axis.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    indices : array_like, integer
        Any shape; negative ones count from the back.
    axis : int, optional
        By default `x` is flattened.

    Returns
    -------
    Tensor, shape of `x` with `axis` replaced by the axes of `indices`, dtype of `x`
        A new array.

    Raises
    ------
    IndexRangeError
        If an index is out of range.
    DtypeError
        If `indices` are no integers.
    ShapeError
        If there is no such axis.

    Notes
    -----
    Linear in `x`: the derivative adds the cotangent to the places that were read.

    Examples
    --------
    >>> tj.take([[1, 2], [3, 4]], [1, 0, 1], axis=1).tolist()
    [[2, 1, 2], [4, 3, 4]]
    """
    array: Any = as_array(x, borrow=True)
    if axis is None:
        array, axis = ravel(array), 0
    axis = normalize_axis("take", axis, len(array.shape))
    chosen = as_index("take", indices)
    count = len(chosen.shape)
    out = _gather(array, expand_dims(chosen, -1), axes=(axis,))
    if not axis or not count:
        return out
    rest = range(count, len(out.shape))
    return permute_dims(out, (*rest[:axis], *range(count), *rest[axis:]))
