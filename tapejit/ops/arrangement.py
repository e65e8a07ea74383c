"""Arrays arranged otherwise: axes exchanged, elements repeated, parts taken apart and put side by side.

Floor 4, above `joining`: all of it is reshapes, broadcasts, slices and `concat`, so it is linear, its derivative is the
way back, and kernels see index maps.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Shape, broadcast_shapes, checked_int, normalize_axis
from ..errors import ShapeError, at_user_line
from ..families import as_array
from .annotations import ArrayLike
from .indexing import take
from .joining import concat
from .shaping import broadcast_to, permute_dims, ravel, reshape
from .slicing import flip, slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

MOST_PARTS = 16
"""An axis that is put together of more parts than these is read at an array of indices instead."""


def swapaxes(x: ArrayLike, axis1: int, axis2: int, /) -> "Tensor":
    """`x` with two axes exchanged.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    axis1, axis2 : int
        The axes.

    Returns
    -------
    Tensor, dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If an axis is out of range.

    Notes
    -----
    Linear. The derivative is the same exchange.

    Examples
    --------
    >>> tj.swapaxes(tj.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    array = as_array(x)
    first, second = (normalize_axis("swapaxes", axis, len(array.shape)) for axis in (axis1, axis2))
    axes = list(range(len(array.shape)))
    axes[first], axes[second] = second, first
    return permute_dims(array, axes)


def rot90(x: ArrayLike, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> "Tensor":
    """`x` turned by 90 degrees in the plane of two axes.

    Parameters
    ----------
    x : array_like
        Any dtype, two axes at least.
    k : int
        How many times, from the first of the axes towards the second.
    axes : pair of ints
        The plane.

    Returns
    -------
    Tensor, dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If there are no two such axes.

    Notes
    -----
    Linear. The derivative is the turn back.

    Examples
    --------
    >>> tj.rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    array = as_array(x)
    if len(axes) != 2:
        raise ShapeError(at_user_line(f"rot90: axes are two, got {axes!r:.80}"))
    first, second = (normalize_axis("rot90", axis, len(array.shape)) for axis in axes)
    if first == second:
        raise ShapeError(at_user_line(f"rot90: axes {tuple(axes)} are the same axis of shape {array.shape}"))
    turns = checked_int("rot90", "k", k) % 4
    if turns == 0:
        return array  # type: ignore[return-value]
    if turns == 2:
        return flip(array, (first, second))
    if turns == 1:
        return swapaxes(flip(array, second), first, second)
    return flip(swapaxes(array, first, second), second)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> "tuple[Tensor, ...]":
    """The parts of `x` along an axis, each without it: what `stack` puts together.

    Parameters
    ----------
    x : array_like
        Any dtype, one axis at least.
    axis : int
        The axis.

    Returns
    -------
    tuple of Tensor, dtype of `x`
        As many as the axis is long; they share the memory of `x`.

    Raises
    ------
    ShapeError
        If the axis is out of range.

    Notes
    -----
    Linear. The derivative puts the cotangents of the parts back to their places.

    Examples
    --------
    >>> first, second = tj.unstack([[1, 2], [3, 4]], axis=1)
    >>> first.tolist()
    [1, 3]
    """
    array = as_array(x)
    place = normalize_axis("unstack", axis, len(array.shape))
    shape = (*array.shape[:place], *array.shape[place + 1 :])
    return tuple(reshape(slice_axis(array, place, i, i + 1), shape) for i in range(array.shape[place]))


def array_split(x: ArrayLike, sections: int, /, axis: int = 0) -> "list[Tensor]":
    """`x` cut along one axis into parts as equal as can be: the first ones are longer by one where it is uneven.

    Parameters
    ----------
    x : array_like
        Any dtype, one axis at least.
    sections : int
        The number of parts.
    axis : int
        The axis to cut.

    Returns
    -------
    list of Tensor, dtype of `x`
        They share the memory of `x`.

    Raises
    ------
    ShapeError
        If the axis is out of range or `sections` is not positive.

    Notes
    -----
    Linear. The derivative puts the cotangents of the parts back to their places.

    Examples
    --------
    >>> [part.tolist() for part in tj.array_split([1, 2, 3], 2)]
    [[1, 2], [3]]
    """
    array = as_array(x)
    place = normalize_axis("array_split", axis, len(array.shape))
    count = checked_int("array_split", "a number of parts", sections)
    if count <= 0:
        raise ShapeError(at_user_line(f"array_split: the number of parts is positive, got {count}"))
    least, longer = divmod(array.shape[place], count)
    borders = [part * least + min(part, longer) for part in range(count + 1)]
    return [slice_axis(array, place, borders[part], borders[part + 1]) for part in range(count)]


# ---- elements repeated


def tile(x: ArrayLike, repetitions: int | Sequence[int], /) -> "Tensor":
    """`x` put side by side with itself.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    repetitions : int or tuple of int
        How many times along each axis, the last ones where there are fewer than axes; more of them give `x` new axes.

    Returns
    -------
    Tensor, dtype of `x`
        A new array.

    Raises
    ------
    ShapeError
        If one is negative.

    Notes
    -----
    Linear. The derivative is the sum over the copies.

    Examples
    --------
    >>> tj.tile([1, 2], 2).tolist(), tj.tile([1, 2], (2, 1)).tolist()
    ([1, 2, 1, 2], [[1, 2], [1, 2]])
    """
    array = as_array(x)
    given = repetitions if isinstance(repetitions, (tuple, list)) else (repetitions,)
    counts = tuple(_checked_count("tile", each) for each in given)
    rank = max(len(counts), len(array.shape))
    counts = (1,) * (rank - len(counts)) + counts
    shape: Shape = (1,) * (rank - len(array.shape)) + array.shape
    several = [axis for axis in range(rank) if counts[axis] != 1 and shape[axis] != 1]
    if len(several) == 1 and 1 < counts[several[0]] <= MOST_PARTS:
        out = concat([reshape(array, shape)] * counts[several[0]], axis=several[0])
        return broadcast_to(out, tuple(map(prod, zip(counts, shape, strict=True))))
    apart = tuple(length for each in shape for length in (1, each))
    spread = tuple(length for pair in zip(counts, shape, strict=True) for length in pair)
    return reshape(broadcast_to(reshape(array, apart), spread), tuple(map(prod, zip(counts, shape, strict=True))))


def _checked_count(operation: str, value: Any) -> int:
    count = checked_int(operation, "a number of repetitions", value)
    if count < 0:
        raise ShapeError(at_user_line(f"{operation}: a negative number of repetitions, {count}"))
    return count


def repeat(x: ArrayLike, repeats: int | Sequence[int], /, *, axis: int | None = None) -> "Tensor":
    """The elements of `x`, each repeated.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    repeats : int or sequence of int
        How many times each element, or each one of them; they decide on the shape, so that they are no tensors of a
        compiled step.
    axis : int, optional
        Along which axis; by default the array is flattened first.

    Returns
    -------
    Tensor, dtype of `x`
        A new array.

    Raises
    ------
    ShapeError
        If the axis is out of range, a number is negative, or there are not as many as elements.

    Notes
    -----
    Linear. The derivative is the sum over the copies.

    Examples
    --------
    >>> tj.repeat([1, 2], 2).tolist(), tj.repeat([1, 2], [3, 1]).tolist()
    ([1, 1, 2, 2], [1, 1, 1, 2])
    """
    array: Any = as_array(x)
    if axis is None:
        array, axis = ravel(array), 0
    place = normalize_axis("repeat", axis, len(array.shape))
    length = array.shape[place]
    counts = [_checked_count("repeat", each) for each in np.ravel(repeats).tolist() or [1]]
    if len(counts) == 1:
        return _repeated(array, place, counts[0])
    if len(counts) != length:
        raise ShapeError(
            at_user_line(f"repeat: {len(counts)} numbers for axis {place} of shape {array.shape}, which has {length}")
        )
    runs = _runs_of_equal(counts)
    if len(runs) > MOST_PARTS:
        return take(array, np.repeat(np.arange(length), counts), axis=place)
    return concat(
        [_repeated(slice_axis(array, place, begin, end), place, counts[begin]) for begin, end in runs], axis=place
    )


def _repeated(x: Any, axis: int, count: int) -> "Tensor":
    before, (length, *after) = x.shape[:axis], x.shape[axis:]
    apart = reshape(x, (*before, length, 1, *after))
    return reshape(broadcast_to(apart, (*before, length, count, *after)), (*before, length * count, *after))


def _runs_of_equal(counts: Sequence[int]) -> list[tuple[int, int]]:
    borders = [0, *[i for i in range(1, len(counts)) if counts[i] != counts[i - 1]], len(counts)]
    return list(pairwise(borders))


# ---- several arrays


def broadcast_arrays(*arrays: ArrayLike) -> "list[Tensor]":
    """Arrays broadcast against one another.

    Parameters
    ----------
    *arrays : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    list of Tensor
        Of one shape, each in its own dtype; they share the memory of the arrays.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Notes
    -----
    Linear. The derivatives are the sums along the axes of the repetition.

    Examples
    --------
    >>> [each.shape for each in tj.broadcast_arrays([[1], [2]], [1, 2, 3])]
    [(2, 3), (2, 3)]
    """
    values = [as_array(array) for array in arrays]
    shape = broadcast_shapes("broadcast_arrays", [value.shape for value in values])
    return [broadcast_to(value, shape) for value in values]


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> "list[Tensor]":
    """The coordinates of the points of a grid, one array for each direction.

    Parameters
    ----------
    *arrays : array_like
        The coordinates along each direction, with one axis or none.
    indexing : str
        ``"ij"``: the axes of the results are those of the arrays in order; ``"xy"``: the first two are exchanged.

    Returns
    -------
    list of Tensor
        One for each array, in its dtype, all of one shape.

    Raises
    ------
    ShapeError
        If an array has more than one axis.
    ValueError
        For another `indexing`.

    Notes
    -----
    Linear. The derivative by an array is the sum over the other directions.

    Examples
    --------
    >>> x, y = tj.meshgrid([1, 2, 3], [10, 20])
    >>> x.tolist(), y.tolist()
    ([[1, 2, 3], [1, 2, 3]], [[10, 10, 10], [20, 20, 20]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(at_user_line(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r:.80}"))
    values = [as_array(array) for array in arrays]
    for value in values:
        if len(value.shape) > 1:
            raise ShapeError(at_user_line(f"meshgrid takes arrays with one axis, got shape {value.shape}"))
    lengths = [prod(value.shape) for value in values]
    order = list(range(len(values)))
    if indexing == "xy" and len(values) > 1:
        order[:2] = 1, 0
    shape = tuple(lengths[place] for place in order)
    return [
        broadcast_to(
            reshape(value, tuple(length if each == at else 1 for each, length in zip(order, shape, strict=True))), shape
        )
        for at, value in enumerate(values)
    ]


def _at_least(x: ArrayLike, rank: int) -> Any:
    array = as_array(x)
    return reshape(array, (1,) * (rank - len(array.shape)) + array.shape) if len(array.shape) < rank else array


def hstack(arrays: Sequence[ArrayLike], /) -> "Tensor":
    """Arrays side by side: joined along axis 1, vectors along axis 0.

    Parameters
    ----------
    arrays : sequence of array_like
        Of equal shape but for the length of that axis; promoted to one dtype.

    Returns
    -------
    Tensor
        A new array.

    Raises
    ------
    ShapeError
        If there are no arrays, or their shapes disagree on another axis.

    Notes
    -----
    Linear. The derivative by each array is its part of the cotangent.

    Examples
    --------
    >>> tj.hstack([[1, 2], [3]]).tolist()
    [1, 2, 3]
    """
    values = [_at_least(array, 1) for array in arrays]
    return concat(values, axis=0 if values and len(values[0].shape) == 1 else 1)


def vstack(arrays: Sequence[ArrayLike], /) -> "Tensor":
    """Arrays on top of one another: vectors become rows, and all are joined along axis 0.

    Parameters
    ----------
    arrays : sequence of array_like
        Of equal shape but for the length of that axis; promoted to one dtype.

    Returns
    -------
    Tensor
        A new array.

    Raises
    ------
    ShapeError
        If there are no arrays, or their shapes disagree on another axis.

    Notes
    -----
    Linear. The derivative by each array is its part of the cotangent.

    Examples
    --------
    >>> tj.vstack([[1, 2], [3, 4]]).tolist()
    [[1, 2], [3, 4]]
    """
    return concat([_at_least(array, 2) for array in arrays], axis=0)
