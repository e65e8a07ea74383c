"""Operations that move elements: other shapes, other orders, parts, and arrays put together.

Floor 4. Five primitives do it all: `reshape`, `permute_dims`, `broadcast_to`, `strided_slice` and their
counterparts `concat` and `pad`; each is linear, and its reverse rule is its transpose. Start reading at
`strided_slice`, whose transpose is `unslice`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, checked_shape, lengths_of, normalize_axes, normalize_axis
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import Case, as_array, normal, view
from ..families.batching import after, shifted, with_rank
from ..lowering import Affine, IndexMap, View
from ..primitive import BatchRule, claim, in_role
from .annotations import ArrayLike

if TYPE_CHECKING:
    from ..tensor import Tensor

Params = Mapping[str, Any]
Apply = Callable[..., "Tensor"]


def _identity(rank: int) -> IndexMap:
    return tuple(Affine.axis(axis) for axis in range(rank))


# reshape


def _reshape_rule(x: Aval, *, shape: Shape) -> Aval:
    if prod(x.shape) != prod(shape):
        raise ShapeError(
            at_user_line(
                f"reshape: an array of shape {x.shape} has {prod(x.shape)} elements, shape {shape} takes {prod(shape)}"
            )
        )
    return Aval(shape, x.dtype)


def _reshape_index(input_shape: Shape, output_shape: Shape, params: Params) -> IndexMap | None:
    """Affine where axes are split and axes of length 1 come and go; a merge of axes is not."""
    if 0 in input_shape:
        return None
    axes = [axis for axis, length in enumerate(output_shape) if length != 1]
    index = []
    for length in input_shape:
        taken, size = [], 1
        while size < length and axes:
            taken.append(axes.pop(0))
            size *= output_shape[taken[-1]]
        if size != length:
            return None
        position = Affine()
        for axis in taken:
            size //= output_shape[axis]
            position = position + Affine.axis(axis, size)
        index.append(position)
    return tuple(index)


_reshape: Apply = view(
    "reshape",
    impl=lambda x, *, shape: x.reshape(shape),
    rule=_reshape_rule,
    lowering=View(_reshape_index),
    transpose=lambda ct, x_shape: _reshape(ct, shape=x_shape),
    batch=shifted(lambda size, shape: {"shape": (size, *shape)}),
    cases=(
        Case(normal(3, 4), (4, 3)),
        Case(normal(6), (2, -1)),
        Case(normal(2, 3), (1, 2, 1, 3)),
        Case(normal(1), ()),
        Case(normal(), (1, 1)),
        Case(normal(2, 0), (0, 5)),
    ),
)
claim("reshape", lambda x, shape: _reshape(x, shape=shape))


def reshape(x: ArrayLike, /, shape: int | Sequence[int]) -> "Tensor":
    """The elements of `x`, in row-major order, in another shape.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    shape : int or tuple of int
        Lengths whose product is the number of elements; one of them may be -1, which means what is left.

    Returns
    -------
    Tensor, shape `shape`, dtype of `x`
        It may share the memory of `x`.

    Raises
    ------
    ShapeError
        If the numbers of elements differ, or -1 stands more than once.

    Notes
    -----
    Linear. The derivative is the reshape back.

    Examples
    --------
    >>> tj.reshape(tj.arange(6), (2, -1)).shape
    (2, 3)
    """
    array = as_array(x)
    return _reshape(array, shape=_completed(array.shape, shape))


def _completed(old: Shape, shape: int | Sequence[int]) -> Shape:
    """`shape` with -1 replaced by the length that is left."""
    lengths = lengths_of(shape)
    if -1 not in lengths:
        return checked_shape("reshape", lengths)
    place = lengths.index(-1)
    others = checked_shape("reshape", [*lengths[:place], *lengths[place + 1 :]])
    size, known = prod(old), prod(others)
    if known == 0 or size % known:
        raise ShapeError(
            at_user_line(
                f"reshape: an array of shape {old} has {size} elements, so there is no length for the "
                f"-1 in {tuple(lengths)}"
            )
        )
    return (*others[:place], size // known, *others[place:])


def ravel(x: ArrayLike, /) -> "Tensor":
    """The elements of `x`, in row-major order, along one axis.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.

    Returns
    -------
    Tensor, shape (size,), dtype of `x`
        It may share the memory of `x`.

    Notes
    -----
    Linear. The derivative is the reshape back.

    Examples
    --------
    >>> tj.ravel([[1, 2], [3, 4]]).tolist()
    [1, 2, 3, 4]
    """
    array = as_array(x)
    return _reshape(array, shape=(prod(array.shape),))


def expand_dims(x: ArrayLike, /, axis: int | Sequence[int] = 0) -> "Tensor":
    """`x` with axes of length 1 put in.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    axis : int or tuple of int
        Where the new axes are in the result.

    Returns
    -------
    Tensor, dtype of `x`
        It may share the memory of `x`.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    Linear. The derivative is the reshape back.

    Examples
    --------
    >>> tj.expand_dims([1.0, 2.0], axis=1).shape
    (2, 1)
    """
    array = as_array(x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    rank = len(array.shape) + count
    new = normalize_axes("expand_dims", axis, rank)
    lengths = iter(array.shape)
    return _reshape(array, shape=tuple(1 if place in new else next(lengths) for place in range(rank)))


def squeeze(x: ArrayLike, /, axis: int | Sequence[int] | None = None) -> "Tensor":
    """`x` without axes of length 1.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    axis : int or tuple of int, optional
        The axes to drop; by default all that have length 1.

    Returns
    -------
    Tensor, dtype of `x`
        It may share the memory of `x`.

    Raises
    ------
    ShapeError
        If an axis has another length than 1, is out of range or named twice.

    Notes
    -----
    Linear. The derivative is the reshape back.

    Examples
    --------
    >>> tj.squeeze([[[1.0], [2.0]]], axis=2).shape
    (1, 2)
    """
    array = as_array(x)
    shape = array.shape
    if axis is None:
        return _reshape(array, shape=tuple(length for length in shape if length != 1))
    dropped = normalize_axes("squeeze", axis, len(shape))
    for place in dropped:
        if shape[place] != 1:
            raise ShapeError(
                at_user_line(f"squeeze: axis {place} of shape {shape} has length {shape[place]}; only length 1 can go")
            )
    return _reshape(array, shape=tuple(length for place, length in enumerate(shape) if place not in dropped))


# broadcast_to


def _broadcast_rule(x: Aval, *, shape: Shape) -> Aval:
    extra = len(shape) - len(x.shape)
    if extra < 0 or any(old not in (1, new) for old, new in zip(x.shape, shape[extra:], strict=True)):
        raise ShapeError(
            at_user_line(
                f"broadcast_to: shape {x.shape} does not broadcast to {shape}: counted from the last "
                "axis, each "
                f"length must be equal or 1; put an axis of length 1 in with expand_dims"
            )
        )
    return Aval(shape, x.dtype)


def _broadcast_index(input_shape: Shape, output_shape: Shape, params: Params) -> IndexMap:
    extra = len(output_shape) - len(input_shape)
    return tuple(Affine() if length == 1 else Affine.axis(axis + extra) for axis, length in enumerate(input_shape))


def _sum_to_shape(ct: Any, x_shape: Shape) -> Any:
    """`ct` summed over the axes along which it was broadcast."""
    extra = len(ct.shape) - len(x_shape)
    axes = tuple(
        axis for axis, length in enumerate(ct.shape) if axis < extra or (x_shape[axis - extra] == 1 and length != 1)
    )
    summed = in_role("sum")(ct, axes) if axes else ct
    return _reshape(summed, shape=x_shape) if summed.shape != x_shape else summed


def _broadcast_batch(apply: Callable[..., Any]) -> BatchRule:
    """The axes that `x` lacks stand between the batch and its own."""
    return lambda inputs, batched, size, params: apply(
        with_rank(inputs[0], len(params["shape"])), shape=(size, *params["shape"])
    )


def _broadcast(x: np.ndarray, *, shape: Shape) -> np.ndarray:
    """`numpy.broadcast_to`, by a shorter way where the array lies together in memory."""
    steps = _repeating(x.shape, x.strides, shape) if x.flags.c_contiguous else None
    return np.broadcast_to(x, shape) if steps is None else np.ndarray(shape, x.dtype, x, 0, steps)


@lru_cache(maxsize=4096)
def _repeating(lengths: Shape, strides: tuple[int, ...], shape: Shape) -> tuple[int, ...] | None:
    """The strides of a broadcast array; None where the shapes don't fit."""
    extra = len(shape) - len(lengths)
    if extra < 0 or any(length not in (1, wanted) for length, wanted in zip(lengths, shape[extra:], strict=True)):
        return None
    return (0,) * extra + tuple(0 if length == 1 else step for length, step in zip(lengths, strides, strict=True))


_broadcast_to: Apply = view(
    "broadcast_to",
    impl=_broadcast,
    rule=_broadcast_rule,
    lowering=View(_broadcast_index),
    transpose=_sum_to_shape,
    batch=_broadcast_batch,
    cases=(
        Case(normal(3), (2, 3)),
        Case(normal(2, 1), (3, 2, 4)),
        Case(normal(), (2, 2)),
        Case(normal(1, 3), (0, 3)),
        Case(normal(2), (2,)),
    ),
)
claim("broadcast", lambda x, shape: _broadcast_to(x, shape=shape))


def broadcast_to(x: ArrayLike, /, shape: int | Sequence[int]) -> "Tensor":
    """`x` repeated along axes that it lacks or that have length 1.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    shape : tuple of int
        Shape that `x` broadcasts to.

    Returns
    -------
    Tensor, shape `shape`, dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If `x` does not broadcast to `shape`.

    Notes
    -----
    Linear. The derivative is the sum along the axes of the repetition.

    Examples
    --------
    >>> tj.broadcast_to([1.0, 2.0], (3, 2)).shape
    (3, 2)
    """
    return _broadcast_to(as_array(x), shape=checked_shape("broadcast_to", shape))


# permute_dims


def _permuted(x: Aval, *, axes: tuple[int, ...]) -> Aval:
    return Aval(tuple(x.shape[axis] for axis in axes), x.dtype)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _permute_index(input_shape: Shape, output_shape: Shape, params: Params) -> IndexMap:
    return tuple(Affine.axis(place) for place in _inverse(params["axes"]))


_permute_dims: Apply = view(
    "permute_dims",
    impl=lambda x, *, axes: x.transpose(axes),
    rule=_permuted,
    lowering=View(_permute_index),
    transpose=lambda ct, axes: _permute_dims(ct, axes=_inverse(axes)),
    batch=shifted(lambda size, axes: {"axes": (0, *after(axes))}),
    cases=(
        Case(normal(2, 3, 4), (2, 0, 1)),
        Case(normal(2, 3), (1, 0)),
        Case(normal(2, 3), (-1, 0)),
        Case(normal(3), (0,)),
        Case(normal(), ()),
        Case(normal(0, 2), (1, 0)),
    ),
    reference=np.transpose,
)
claim("permute", lambda x, axes: _permute_dims(x, axes=axes))


def permute_dims(x: ArrayLike, /, axes: Sequence[int] | None = None) -> "Tensor":
    """`x` with its axes in another order.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    axes : tuple of int, optional
        Axis i of the result is axis ``axes[i]`` of `x`; by default the axes are reversed.

    Returns
    -------
    Tensor, dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If `axes` is not a permutation of the axes.

    Notes
    -----
    Linear. The derivative is the inverse permutation.

    Examples
    --------
    >>> tj.permute_dims(tj.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    array = as_array(x)
    rank = len(array.shape)
    if axes is None:
        return _permute_dims(array, axes=tuple(reversed(range(rank))))
    if not isinstance(axes, Iterable):
        raise DtypeError(at_user_line(f"permute_dims: axes are a sequence of ints, got {axes!r:.80}"))
    order = tuple(normalize_axis("permute_dims", axis, rank) for axis in axes)
    if sorted(order) != list(range(rank)):
        raise ShapeError(
            at_user_line(f"permute_dims: {tuple(axes)} is not a permutation of the {rank} axes of shape {array.shape}")
        )
    return _permute_dims(array, axes=order)


def moveaxis(x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int], /) -> "Tensor":
    """`x` with some axes moved to other places; the others keep their order.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    source, destination : int or tuple of int
        Axes of `x`, and their places in the result.

    Returns
    -------
    Tensor, dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If there are not as many sources as destinations, or one is out of range or named twice.

    Notes
    -----
    Linear. The derivative is the inverse permutation.

    Examples
    --------
    >>> tj.moveaxis(tj.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    array = as_array(x)
    rank = len(array.shape)
    sources, places = (
        tuple(
            normalize_axis("moveaxis", axis, rank) for axis in (given if isinstance(given, (tuple, list)) else (given,))
        )
        for given in (source, destination)
    )
    if len(sources) != len(places) or len(set(sources)) != len(sources) or len(set(places)) != len(places):
        raise ShapeError(
            at_user_line(f"moveaxis: {source} and {destination} must be equally many axes, none of them twice")
        )
    rest = iter(axis for axis in range(rank) if axis not in sources)
    moved = dict(zip(places, sources, strict=True))
    order = tuple(moved[place] if place in moved else next(rest) for place in range(rank))
    return _permute_dims(array, axes=order)
