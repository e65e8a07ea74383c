"""Arrays put together: concatenation, stacking, rolling.

Floor 4. One linear primitive, `concat`, whose transpose is a slice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, checked_int, normalize_axis
from ..errors import DtypeError, ShapeError, TapejitError, at_user_line
from ..families import Case, as_array, in_common_dtype, normal, view
from ..families.batching import all_batched
from ..lowering import Affine, Piece, Pieces
from ..primitive import BatchRule, Value, claim
from .annotations import ArrayLike
from .shaping import Apply, expand_dims, ravel, reshape
from .slicing import slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

Params = Mapping[str, Any]


def _concat_rule(*arrays: Aval, axis: int) -> Aval:
    first = arrays[0].shape
    for array in arrays[1:]:
        if len(array.shape) != len(first) or any(
            one != other for place, (one, other) in enumerate(zip(first, array.shape, strict=True)) if place != axis
        ):
            listed = ", ".join(str(each.shape) for each in arrays)
            raise ShapeError(
                at_user_line(
                    f"concat: shapes {listed} must agree on every axis but axis {axis}, along which they are joined"
                )
            )
    total = sum(array.shape[axis] for array in arrays)
    return Aval((*first[:axis], total, *first[axis + 1 :]), arrays[0].dtype)


def _concat_pieces(input_shapes: tuple[Shape, ...], output_shape: Shape, params: Params) -> tuple[Piece, ...]:
    axis, offset = params["axis"], 0
    pieces = []
    for shape in input_shapes:
        index = tuple(Affine.axis(place, 1, -offset if place == axis else 0) for place in range(len(shape)))
        end = offset + shape[axis]
        ranges = tuple((offset, end) if place == axis else (0, length) for place, length in enumerate(shape))
        pieces.append(Piece(index, ranges))
        offset = end
    return tuple(pieces)


def _concat_transpose(ct: Any, index: int, arrays_shapes: tuple[Shape, ...], axis: int) -> Any:
    begin = sum(shape[axis] for shape in arrays_shapes[:index])
    return slice_axis(ct, axis, begin, begin + arrays_shapes[index][axis])


def _concat_batch(apply: Callable[..., Any]) -> BatchRule:
    return lambda inputs, batched, size, params: apply(*all_batched(inputs, batched, size), axis=params["axis"] + 1)


_concat: Apply = view(
    "concat",
    inputs=("*arrays",),
    impl=lambda *arrays, axis: np.concatenate(arrays, axis),
    rule=_concat_rule,
    lowering=Pieces(_concat_pieces),
    transpose=_concat_transpose,
    batch=_concat_batch,
    cases=(
        Case((normal(2, 3), normal(1, 3))),
        Case((normal(2, 3), normal(2, 2), normal(2, 0)), axis=-1),
        Case((normal(4),)),
        Case((normal(2, 2), normal(3)), axis=None),
    ),
    reference=np.concatenate,
)


claim("concat", lambda arrays, axis: _concat(*arrays, axis=axis))


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> "Tensor":
    """Arrays joined along an axis that they have.

    Parameters
    ----------
    arrays : sequence of array_like
        Of equal shape but for the length of `axis`; promoted to one dtype.
    axis : int or None
        None joins the flattened arrays.

    Returns
    -------
    Tensor
        A new array.

    Raises
    ------
    ShapeError
        If there are no arrays, one has no axes, or their shapes disagree on another axis.

    Notes
    -----
    Linear. The derivative by each array is its part of the cotangent.

    Examples
    --------
    >>> tj.concat([[1, 2], [3]]).tolist()
    [1, 2, 3]
    """
    values = in_common_dtype("concat", _several("concat", arrays))
    if axis is None:
        return _concat(*[value if len(value.shape) == 1 else ravel(value) for value in values], axis=0)
    for value in values:
        if not value.shape:
            raise ShapeError(at_user_line("concat: a 0-d array has no axis to join along; use stack"))
    return _concat(*values, axis=normalize_axis("concat", axis, len(values[0].shape)))


def _several(operation: str, arrays: Sequence[ArrayLike]) -> tuple[Any, ...]:
    if isinstance(arrays, Value) and not arrays.shape:
        raise ShapeError(at_user_line(f"{operation} takes a sequence of arrays, got a 0-d tensor"))
    try:
        several = tuple(arrays)
    except TapejitError:
        raise
    except TypeError:
        raise DtypeError(
            at_user_line(f"{operation} takes a sequence of arrays, got {type(arrays).__name__}; put them in a list")
        ) from None
    if not several:
        raise ShapeError(at_user_line(f"{operation} takes at least one array, got an empty sequence"))
    return several


def stack(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> "Tensor":
    """Arrays of one shape joined along a new axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Of equal shape; promoted to one dtype.
    axis : int
        Where the new axis is in the result.

    Returns
    -------
    Tensor
        A new array.

    Raises
    ------
    ShapeError
        If there are no arrays or their shapes differ.

    Notes
    -----
    Linear. The derivative by each array is its part of the cotangent.

    Examples
    --------
    >>> tj.stack([[1, 2], [3, 4]], axis=1).tolist()
    [[1, 3], [2, 4]]
    """
    values = in_common_dtype("stack", _several("stack", arrays))
    shapes = {value.shape for value in values}
    if len(shapes) > 1:
        listed = ", ".join(str(value.shape) for value in values)
        raise ShapeError(at_user_line(f"stack: the arrays must have one shape, got {listed}"))
    place = normalize_axis("stack", axis, len(values[0].shape) + 1)
    return _concat(*[expand_dims(value, place) for value in values], axis=place)


claim("stack", lambda arrays, axis: stack(arrays, axis=axis))


def roll(x: ArrayLike, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> "Tensor":
    """`x` shifted along axes; what is pushed out at the end comes in at the beginning.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    shift : int or tuple of int
        By how many places, for each axis.
    axis : int or tuple of int, optional
        By default the flattened array is shifted, and gets its shape back.

    Returns
    -------
    Tensor, shape and dtype of `x`
        A new array.

    Raises
    ------
    ShapeError
        If an axis is out of range, or there are not as many shifts as axes.

    Notes
    -----
    Linear. The derivative is the shift back.

    Examples
    --------
    >>> tj.roll([1, 2, 3, 4], 1).tolist()
    [4, 1, 2, 3]
    """
    array = as_array(x)
    if axis is None:
        total = sum(checked_int("roll", "a shift", each) for each in _each(shift))
        return reshape(_roll_axis(ravel(array), 0, total), array.shape)
    shifts, axes = _each(shift), _each(axis)
    if len(shifts) == 1 or len(axes) == 1:
        count = max(len(shifts), len(axes))
        shifts, axes = (tuple(each) * (count if len(each) == 1 else 1) for each in (shifts, axes))
    if len(shifts) != len(axes):
        raise ShapeError(at_user_line(f"roll: {len(shifts)} shifts {shift} for {len(axes)} axes {axis}"))
    out: Any = array
    for amount, place in zip(shifts, axes, strict=True):
        along = normalize_axis("roll", place, len(array.shape))
        out = _roll_axis(out, along, checked_int("roll", "a shift", amount))
    return out  # type: ignore[no-any-return]


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _roll_axis(x: Any, axis: int, shift: int) -> "Tensor":
    length = x.shape[axis]
    first = -shift % length if length else 0
    return _concat(slice_axis(x, axis, first, length), slice_axis(x, axis, 0, first), axis=axis)
