"""Reading and adding along one axis, at an index for each element: `take_along_axis` and what goes back.

Floor 4, above `indexing`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, broadcast_shapes, normalize_axis, without
from ..errors import IndexRangeError, ShapeError, at_user_line
from ..families import Case, as_array, integers, library_call, normal
from ..families.batching import aligned
from ..lowering import Below, Composite
from ..primitive import in_role
from .annotations import ArrayLike
from .comparison import where
from .indexing import as_index, getitem, range_error, scatter_add
from .shaping import Apply, broadcast_to, expand_dims, ravel, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor


def _index_of(indices: Any, axis: int) -> tuple[Any, ...]:
    """An index array for each axis: `indices` for one, the element's own place for the others."""
    shape: Shape = indices.shape
    rank = len(shape)

    def own(place: int) -> Any:
        return reshape(in_role("iota")(length=shape[place]), (shape[place], *(1,) * (rank - place - 1)))

    return tuple(indices if place == axis else own(place) for place in range(rank))


def take_along_axis(x: ArrayLike, indices: ArrayLike, /, axis: int | None = -1) -> "Tensor":
    """The elements of `x` along one axis at an index for each element of the result.

    Parameters
    ----------
    x : array_like
        Any dtype.
    indices : array_like, integer
        As many axes as `x`; negative ones count from the back. The other axes broadcast against those of `x`.
    axis : int, optional
        The axis that they index; None flattens `x` first.

    Returns
    -------
    Tensor, dtype of `x`
        A new array, of the shape of `indices` broadcast against `x` but for `axis`.

    Raises
    ------
    IndexRangeError
        If an index is out of range.
    DtypeError
        If `indices` are no integers.
    ShapeError
        If there is no such axis, or the shapes do not fit.

    Notes
    -----
    Linear in `x`: the derivative adds the cotangent to the places that were read.

    Examples
    --------
    >>> x = tj.constant([[3.0, 1.0], [2.0, 5.0]])
    >>> tj.take_along_axis(x, tj.argsort(x, axis=1), axis=1).tolist()
    [[1.0, 3.0], [2.0, 5.0]]
    """
    array, chosen = as_array(x), as_index("take_along_axis", indices)
    if axis is None:
        array, axis = ravel(array), 0
    rank = len(array.shape)
    if len(chosen.shape) != rank:
        raise ShapeError(
            at_user_line(
                f"take_along_axis: indices of shape {chosen.shape} do not have as many axes as the array of shape "
                f"{array.shape}; put axes of length 1 in with expand_dims"
            )
        )
    place = normalize_axis("take_along_axis", axis, rank)
    others = broadcast_shapes("take_along_axis", [without(each.shape, (place,)) for each in (array, chosen)])
    array, chosen = (
        broadcast_to(each, (*others[:place], each.shape[place], *others[place:])) for each in (array, chosen)
    )
    if chosen.shape[place] == 1 and array.shape[place] > 0:
        return _pick(array, chosen, axis=place)
    return getitem(array, _index_of(chosen, place))


def _picked(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
    try:
        return np.take_along_axis(x, indices, axis)
    except IndexError:
        raise range_error("take_along_axis", x.shape, indices[..., None], (axis,)) from None


def _at_index(ct: Any, indices: Any, x_shape: Shape, axis: int) -> Any:
    """The cotangent where the index is an element's own place, and zeros elsewhere."""
    length, rank = x_shape[axis], len(x_shape)
    own = reshape(in_role("iota")(length=length), (length, *(1,) * (rank - axis - 1)))
    chosen = in_role("convert")(indices, np.dtype(np.int64))
    chosen = where(chosen < 0, chosen + length, chosen)
    return where(own == chosen, ct, in_role("zeros")((), ct.dtype))


_pick: Apply = library_call(
    "pick_along_axis",
    inputs=("x", "indices"),
    impl=_picked,
    rule=lambda x, indices, *, axis: Aval(indices.shape, x.dtype),
    vjp={"x": _at_index},
    lowering=Composite(lambda x, indices, axis: getitem(x, _index_of(indices, axis))),
    linear=True,
    cases=(
        Case(normal(4, 3), integers(-3, 3, 4, 1), axis=1),
        Case(normal(4, 3), integers(0, 4, 1, 3), axis=0),
        Case(normal(2, 3, 4), integers(0, 3, 2, 1, 4), axis=1),
    ),
    reference=np.take_along_axis,
)


def _class_impl(labels: np.ndarray, *, limit: int) -> np.ndarray:
    wrong = np.argwhere((labels < 0) | (labels >= limit))
    if len(wrong):
        place = wrong[0].tolist()
        raise IndexRangeError(at_user_line(_no_class(place, int(labels[tuple(place)]), limit)))
    return labels.astype(np.int64)


def _no_class(place: Any, index: Any, limit: Any) -> str:
    return f"the label at {place} is {index}, which is none of the {limit} classes that are counted from 0"


_class: Apply = library_call(
    "class_of",
    inputs=("labels",),
    impl=_class_impl,
    rule=lambda labels, *, limit: Aval(labels.shape, np.dtype(np.int64)),
    vjp={},
    lowering=Below("int64(labels)", beyond=_no_class("{{place}}", "{{index}}", "{limit}")),
    batch=aligned,
    cases=(Case(integers(0, 4, 5), limit=4), Case(integers(0, 3, 2, 3), limit=3)),
    reference=lambda labels, limit: labels.astype(np.int64),
)


def is_class(labels: Any, classes: int) -> Any:
    """Which of the classes 0 to ``classes - 1`` each label is: booleans of shape ``(*labels.shape, classes)``.

    Raises
    ------
    IndexRangeError
        If a label is no class; the message has it and its place. In a compiled step nothing is assigned then.
    """
    return in_role("iota")(length=classes) == expand_dims(_class(labels, limit=classes), -1)


def add_along_axis(x: Any, indices: Any, updates: Any, axis: int) -> "Tensor":
    """`x` with `updates` added where `take_along_axis` with the same indices reads; all but `axis` are equally long."""
    return scatter_add(x, _index_of(indices, axis), updates)
