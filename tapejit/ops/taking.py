"""Reading and adding along one axis, at an index for each element: `take_along_axis` and what goes back.

Floor 4, above `indexing`.
"""

from typing import TYPE_CHECKING, Any

from ..aval import Shape, broadcast_shapes, normalize_axis, without
from ..errors import ShapeError, at_user_line
from ..families import as_array
from ..primitive import in_role
from .annotations import ArrayLike
from .indexing import as_index, getitem, scatter_add
from .shaping import broadcast_to, ravel, reshape

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
    return getitem(array, _index_of(chosen, place))


def add_along_axis(x: Any, indices: Any, updates: Any, axis: int) -> "Tensor":
    """`x` with `updates` added where `take_along_axis` with the same indices reads; all but `axis` are equally long."""
    return scatter_add(x, _index_of(indices, axis), updates)
