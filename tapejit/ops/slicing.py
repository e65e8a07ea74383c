"""Parts of arrays and their place in larger ones: slices, padding, and what is made of them.

Floor 4. Three linear primitives: `strided_slice`, in which basic indexing ends, `pad`, the transpose of a
slice without gaps, and `unslice`, the transpose of a slice with gaps, which the compiler sees as padding and
reshapes.
"""

from collections.abc import Mapping, Sequence
from math import copysign
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, checked_int, normalize_axes, normalize_axis
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import Case, as_array, composite, normal, view
from ..families.batching import shifted
from ..lowering import Affine, IndexMap, Piece, Pieces, View
from ..primitive import claim
from .annotations import ArrayLike, Axis
from .shaping import Apply, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

Params = Mapping[str, Any]
Ints = tuple[int, ...]
Widths = tuple[tuple[int, int], ...]


# strided_slice and its transpose


def _python_slices(starts: Ints, steps: Ints, lengths: Ints) -> tuple[slice, ...]:
    """As Python writes them: a stop before the first element is None there."""
    parts = []
    for start, step, length in zip(starts, steps, lengths, strict=True):
        stop = start + step * length
        parts.append(slice(start, stop if stop >= 0 else None, step))
    return tuple(parts)


def _slice_index(input_shape: Shape, output_shape: Shape, params: Params) -> IndexMap:
    return tuple(
        Affine.axis(axis, step, start)
        for axis, (start, step) in enumerate(zip(params["starts"], params["steps"], strict=True))
    )


def _slice_transpose(ct: Any, x_shape: Shape, starts: Ints, steps: Ints) -> Any:
    if any(abs(step) != 1 for step in steps):
        return _unslice(ct, shape=x_shape, starts=starts, steps=steps)
    backwards = tuple(axis for axis, step in enumerate(steps) if step < 0)
    if backwards:
        ct = _reversed(ct, backwards)
    lows = [
        start if step > 0 else start - length + 1 for start, step, length in zip(starts, steps, ct.shape, strict=True)
    ]
    widths = tuple((low, old - low - new) for low, old, new in zip(lows, x_shape, ct.shape, strict=True))
    return _pad(ct, widths=widths, fill=0.0) if ct.shape != x_shape else ct


_strided_slice: Apply = view(
    "strided_slice",
    impl=lambda x, *, starts, steps, lengths: x[_python_slices(starts, steps, lengths)],
    rule=lambda x, *, starts, steps, lengths: Aval(lengths, x.dtype),
    lowering=View(_slice_index),
    transpose=_slice_transpose,
    batch=shifted(
        lambda size, starts, steps, lengths: {
            "starts": (0, *starts),
            "steps": (1, *steps),
            "lengths": (size, *lengths),
        }
    ),
    cases=(
        Case(normal(5), (1,), (1,), (3,)),
        Case(normal(5), (4,), (-1,), (5,)),
        Case(normal(3, 7), (2, 1), (-1, 3), (2, 2)),
        Case(normal(6, 2), (5, 0), (-2, 1), (3, 0)),
        Case(normal(4), (0,), (2,), (2,)),
        Case(normal(), (), (), ()),
    ),
    reference=lambda x, starts, steps, lengths: x[_python_slices(starts, steps, lengths)],
)


def strided_slice(x: ArrayLike, starts: Ints, steps: Ints, lengths: Ints, /) -> "Tensor":
    """Every `steps`-th element from `starts` on, along each axis: what basic indexing comes down to.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    starts, steps, lengths : tuple of int
        For each axis the first index, the step (not 0) and the number of elements, all within `x`.

    Returns
    -------
    Tensor, shape `lengths`, dtype of `x`
        It shares the memory of `x`.

    Notes
    -----
    Linear: ``out[i] = x[starts + steps * i]``. The derivative puts the cotangent back to its places among
    zeros.
    """
    starts, steps = _canonical(starts, steps, lengths)
    return _strided_slice(as_array(x), starts=starts, steps=steps, lengths=tuple(lengths))


def _canonical(starts: Ints, steps: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Starts and steps that say nothing are written as 0 and 1: equal slices are equal nodes of a graph."""
    return (
        tuple(start if length else 0 for start, length in zip(starts, lengths, strict=True)),
        tuple(step if length > 1 else 1 for step, length in zip(steps, lengths, strict=True)),
    )


def _unslice_impl(x: np.ndarray, *, shape: Shape, starts: Ints, steps: Ints) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    out[_python_slices(starts, steps, x.shape)] = x
    return out


def _unslice_expand(x: Any, *, shape: Shape, starts: Ints, steps: Ints) -> Any:
    """Per axis: flip, give each element ``step - 1`` zeros behind it, and pad or cut to the length."""
    for axis, (length, start, step) in enumerate(zip(shape, starts, steps, strict=True)):
        count, gap = x.shape[axis], abs(step)
        first = start if step > 0 else start + step * (count - 1)
        out = _reversed(x, (axis,)) if step < 0 else x
        if gap > 1:
            lengths = x.shape
            apart = reshape(out, (*lengths[: axis + 1], 1, *lengths[axis + 1 :]))
            apart = _pad_axis(apart, axis + 1, 0, gap - 1)
            out = reshape(apart, (*lengths[:axis], count * gap, *lengths[axis + 1 :]))
        after = length - first - count * gap
        if after < 0:
            out = slice_axis(out, axis, 0, length - first)
        x = _pad_axis(out, axis, first, max(after, 0))
    return x


_unslice: Apply = composite(
    "unslice",
    impl=_unslice_impl,
    rule=lambda x, *, shape, starts, steps: Aval(shape, x.dtype),
    vjp={"x": lambda ct, x_shape, starts, steps: _strided_slice(ct, starts=starts, steps=steps, lengths=x_shape)},
    expand=_unslice_expand,
    linear=True,
    batch=shifted(
        lambda size, shape, starts, steps: {"shape": (size, *shape), "starts": (0, *starts), "steps": (1, *steps)}
    ),
    cases=(
        Case(normal(2), (5,), (1,), (2,)),
        Case(normal(3, 2), (7, 4), (6, 0), (-3, 3)),
    ),
    reference=lambda x, shape, starts, steps: _unslice_impl(x, shape=shape, starts=starts, steps=steps),
)


def unslice(x: ArrayLike, shape: Shape, starts: Ints, steps: Ints, /) -> "Tensor":
    """Zeros of `shape` with `x` at the places that a slice takes: the transpose of `strided_slice`.

    Parameters
    ----------
    x : array_like
        Any dtype.
    shape : tuple of int
        The result's shape.
    starts, steps : tuple of int
        As in `strided_slice`.

    Returns
    -------
    Tensor, shape `shape`, dtype of `x`

    Notes
    -----
    Linear: ``out[starts + steps * i] = x[i]``. The derivative is the slice.
    """
    array = as_array(x, borrow=True)
    starts, steps = _canonical(starts, steps, array.shape)
    return _unslice(array, shape=tuple(shape), starts=starts, steps=steps)


def slice_axis(x: Any, axis: int, begin: int, end: int) -> "Tensor":
    """``x[begin:end]`` along one axis of a tensor, with 0 <= begin and end <= length."""
    rank = len(x.shape)
    starts, lengths = [0] * rank, list(x.shape)
    lengths[axis] = max(end - begin, 0)
    starts[axis] = begin if lengths[axis] else 0
    return _strided_slice(x, starts=tuple(starts), steps=(1,) * rank, lengths=tuple(lengths))


claim("slice", slice_axis)


def _reversed(x: Any, axes: Ints) -> "Tensor":
    shape = x.shape
    flipped = [axis in axes and length > 1 for axis, length in enumerate(shape)]
    return _strided_slice(
        x,
        starts=tuple(length - 1 if back else 0 for back, length in zip(flipped, shape, strict=True)),
        steps=tuple(-1 if back else 1 for back in flipped),
        lengths=shape,
    )


def flip(x: ArrayLike, /, axis: Axis = None) -> "Tensor":
    """`x` with the order of its elements reversed along some axes.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    axis : int or tuple of int, optional
        By default all axes.

    Returns
    -------
    Tensor, shape and dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    Linear. The derivative is the same flip.

    Examples
    --------
    >>> tj.flip([1, 2, 3]).tolist()
    [3, 2, 1]
    """
    array = as_array(x)
    return _reversed(array, normalize_axes("flip", axis, len(array.shape)))


def split(x: ArrayLike, indices_or_sections: int | Sequence[int], /, axis: int = 0) -> "list[Tensor]":
    """`x` cut along one axis.

    Parameters
    ----------
    x : array_like
        Any dtype, at least one axis.
    indices_or_sections : int or sequence of int
        The number of equal parts, or the indices at which to cut, as in slices ``x[:i], x[i:j], x[j:]``.
    axis : int
        The axis to cut.

    Returns
    -------
    list of Tensor, dtype of `x`
        They share the memory of `x`.

    Raises
    ------
    ShapeError
        If the axis is out of range, or has no such number of equal parts.

    Notes
    -----
    Linear. The derivative puts the cotangents of the parts back to their places.

    Examples
    --------
    >>> [part.tolist() for part in tj.split([1, 2, 3, 4], 2)]
    [[1, 2], [3, 4]]
    """
    array = as_array(x)
    axis = normalize_axis("split", axis, len(array.shape))
    length = array.shape[axis]
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)):
        cuts = [checked_int("split", "an index", cut) for cut in indices_or_sections]
    else:
        sections = checked_int("split", "a number of parts", indices_or_sections)
        if sections <= 0 or length % sections:
            raise ShapeError(
                at_user_line(
                    f"split: axis {axis} of shape {array.shape} has {length} elements, which make no "
                    f"{sections} equal "
                    f"parts; pass the indices at which to cut"
                )
            )
        cuts = [length // sections * part for part in range(1, sections)]
    borders = [slice(begin, end).indices(length) for begin, end in zip([0, *cuts], [*cuts, length], strict=True)]
    return [slice_axis(array, axis, begin, end) for begin, end, _ in borders]


# pad


def _pad_impl(x: np.ndarray, *, widths: Widths, fill: float) -> np.ndarray:
    shape = [before + length + after for length, (before, after) in zip(x.shape, widths, strict=True)]
    out = np.full(shape, fill, x.dtype) if fill or copysign(1, fill) < 0 else np.zeros(shape, x.dtype)
    middle = tuple(slice(before, before + length) for length, (before, _) in zip(x.shape, widths, strict=True))
    out[middle] = x
    return out


def _pad_rule(x: Aval, *, widths: Widths, fill: float) -> Aval:
    lengths = (before + length + after for length, (before, after) in zip(x.shape, widths, strict=True))
    return Aval(tuple(lengths), x.dtype)


def _pad_pieces(input_shapes: tuple[Shape, ...], output_shape: Shape, params: Params) -> tuple[Piece, ...]:
    lows = [before for before, _ in params["widths"]]
    index = tuple(Affine.axis(axis, 1, -low) for axis, low in enumerate(lows))
    ranges = tuple((low, low + length) for low, length in zip(lows, input_shapes[0], strict=True))
    return (Piece(index, ranges),)


def _pad_transpose(ct: Any, x_shape: Shape, widths: Widths) -> Any:
    starts = tuple(before if length else 0 for (before, _), length in zip(widths, x_shape, strict=True))
    return _strided_slice(ct, starts=starts, steps=(1,) * len(x_shape), lengths=x_shape)


_pad: Apply = view(
    "pad",
    impl=_pad_impl,
    rule=_pad_rule,
    lowering=Pieces(_pad_pieces),
    transpose=_pad_transpose,
    tangent_params={"fill": 0.0},
    batch=shifted(lambda size, widths, fill: {"widths": ((0, 0), *widths), "fill": fill}),
    cases=(
        Case(normal(3), 2),
        Case(normal(2, 3), ((1, 0), (0, 2))),
        Case(normal(2, 3), (1, 2), constant_values=-1.5),
        Case(normal(2, 0), 1),
        Case(normal(), 0),
    ),
)


def _pad_axis(x: Any, axis: int, before: int, after: int) -> Any:
    if not before and not after:
        return x
    widths = tuple((before, after) if place == axis else (0, 0) for place in range(len(x.shape)))
    return _pad(x, widths=widths, fill=0.0)


def pad_with(x: Any, pad_width: Any, value: float) -> "Tensor":
    """`x` with a number put before and after it along each axis; see `padding.pad`."""
    array = as_array(x, borrow=True)
    fill = array.dtype.type(value).item()
    return _pad(array, widths=checked_widths(pad_width, array.shape), fill=fill)


def checked_widths(pad_width: Any, shape: Shape) -> Widths:
    """`pad_width` as one pair an axis, by NumPy's rules."""
    rank = len(shape)
    if isinstance(pad_width, dict):
        pairs: list[Any] = [(0, 0)] * rank
        for axis, width in pad_width.items():
            both = width if isinstance(width, (tuple, list)) else (width, width)
            pairs[normalize_axis("pad", axis, rank)] = both
        pad_width = pairs
    try:
        widths = np.asarray(pad_width)
    except ValueError:
        raise ShapeError(at_user_line(f"pad: pad_width {pad_width!r:.80} is ragged; use one pair an axis")) from None
    if widths.size == 0 and rank == 0:
        return ()
    try:
        each = np.broadcast_to(widths, (rank, 2))
    except ValueError:
        raise ShapeError(
            at_user_line(
                f"pad: pad_width {pad_width!r} does not fit the {rank} axes of shape {shape}; use one pair an axis"
            )
        ) from None
    if each.dtype.kind not in "iu":
        raise DtypeError(at_user_line(f"pad: pad_width is made of ints, got {pad_width!r}"))
    if each.size and each.min() < 0:
        raise ShapeError(at_user_line(f"pad: negative pad_width {pad_width!r}; cut with a slice"))
    return tuple((before, after) for before, after in each.tolist())
