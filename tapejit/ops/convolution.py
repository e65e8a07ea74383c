"""Convolutions of any number of spatial axes, channels last.

Floor 4, above `products`. One primitive, without padding, bilinear in its two inputs: what pads is a `pad` before it,
and both derivatives are convolutions themselves, of the cotangent with the flipped kernel and of the input with the
cotangent. For the compiler it is a matrix product with what lies under the kernel, laid side by side.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..errors import ShapeError, at_user_line
from ..families import Case, composite, in_common_dtype, normal
from .annotations import ArrayLike
from .joining import concat, stack
from .padding import pad
from .products import matmul
from .shaping import Apply, permute_dims, reshape
from .slicing import flip, strided_slice, unslice

if TYPE_CHECKING:
    from ..tensor import Tensor

Ints = tuple[int, ...]


def _spans(kernel: Ints, dilations: Ints) -> Ints:
    """How long a dilated kernel is."""
    return tuple((length - 1) * dilation + 1 for length, dilation in zip(kernel, dilations, strict=True))


def _lengths(spatial: Ints, kernel: Ints, strides: Ints, dilations: Ints) -> Ints:
    """The lengths of the result."""
    spans = _spans(kernel, dilations)
    return tuple(
        max((length - span) // stride + 1, 0) for length, span, stride in zip(spatial, spans, strides, strict=True)
    )


def _rule(x: Aval, kernel: Aval, *, strides: Ints, dilations: Ints) -> Aval:
    rank = len(strides)
    if len(x.shape) != rank + 2 or len(kernel.shape) != rank + 2:
        raise ShapeError(
            at_user_line(
                f"conv: an input {x.shape} and a kernel {kernel.shape} where both have {rank + 2} axes: batch, "
                f"{rank} of space, channels; and {rank} of space, channels in, channels out"
            )
        )
    if x.shape[-1] != kernel.shape[-2]:
        raise ShapeError(
            at_user_line(
                f"conv: the input {x.shape} has {x.shape[-1]} channels in its last axis, the kernel {kernel.shape} "
                f"takes {kernel.shape[-2]}"
            )
        )
    return Aval(
        (x.shape[0], *_lengths(x.shape[1:-1], kernel.shape[:-2], strides, dilations), kernel.shape[-1]), x.dtype
    )


def _windows(x: np.ndarray, kernel: Ints, lengths: Ints, strides: Ints, dilations: Ints) -> np.ndarray:
    """A view, shape (batch, *lengths, *kernel, channels), of what lies under the kernel."""
    batch, *steps, channel = x.strides
    moved = [step * stride for step, stride in zip(steps, strides, strict=True)]
    inner = [step * dilation for step, dilation in zip(steps, dilations, strict=True)]
    shape = (x.shape[0], *lengths, *kernel, x.shape[-1])
    return np.lib.stride_tricks.as_strided(x, shape, (batch, *moved, *inner, channel), writeable=False)


def _impl(x: np.ndarray, kernel: np.ndarray, *, strides: Ints, dilations: Ints) -> np.ndarray:
    rank = len(strides)
    size = kernel.shape[:-2]
    lengths = _lengths(x.shape[1:-1], size, strides, dilations)
    if 0 in (*lengths, *kernel.shape, *x.shape):
        return np.zeros((x.shape[0], *lengths, kernel.shape[-1]), x.dtype)
    under = _windows(x, size, lengths, strides, dilations)
    terms = prod(size) * x.shape[-1]
    rows = under.reshape(x.shape[0] * prod(lengths), terms)  # a copy
    out = rows @ kernel.reshape(terms, kernel.shape[-1])
    return np.reshape(out, (*under.shape[: rank + 1], kernel.shape[-1]))


def _by_input(ct: Any, kernel: Any, x_shape: Shape, strides: Ints, dilations: Ints) -> Any:
    """The cotangent, spread out by the strides among zeros, under the kernel turned round."""
    size, rank = kernel.shape[:-2], len(strides)
    spans = _spans(size, dilations)
    lengths = tuple(length + span - 1 for length, span in zip(x_shape[1:-1], spans, strict=True))
    starts = (0, *(span - 1 for span in spans), 0)
    spread = unslice(ct, (ct.shape[0], *lengths, ct.shape[-1]), starts, (1, *strides, 1))
    axes = tuple(range(rank))
    turned = permute_dims(flip(kernel, axis=axes), (*axes, rank + 1, rank))
    return _conv(spread, turned, strides=(1,) * rank, dilations=dilations)


def _by_kernel(ct: Any, x: Any, kernel_shape: Shape, strides: Ints, dilations: Ints) -> Any:
    """The input, its channels as a batch, under the cotangent, whose batch are the channels."""
    rank = len(strides)
    axes = tuple(range(1, rank + 1))
    out = _conv(
        permute_dims(x, (rank + 1, *axes, 0)),
        permute_dims(ct, (*axes, 0, rank + 1)),
        strides=dilations,
        dilations=strides,
    )
    # Where the strides leave a rest of the input over there are more places than the kernel has.
    lengths = (out.shape[0], *kernel_shape[:-2], out.shape[-1])
    if lengths != out.shape:
        out = strided_slice(out, (0,) * (rank + 2), (1,) * (rank + 2), lengths)
    return permute_dims(out, (*axes, 0, rank + 1))


def _expand(x: Any, kernel: Any, *, strides: Ints, dilations: Ints) -> Any:
    """One product of matrices with all places under the kernel side by side, or one for each place of the result."""
    size, spatial = kernel.shape[:-2], x.shape[1:-1]
    lengths = _lengths(spatial, size, strides, dilations)
    if prod(lengths) < prod(size):
        return _place_by_place(x, kernel, lengths, strides, dilations)
    batch, channels = x.shape[0], x.shape[-1]
    parts = [
        _spread(x, [at * dilation for at, dilation in zip(place, dilations, strict=True)], strides, lengths)
        for place in product(*map(range, size))
    ]
    rows = concat(parts, axis=-1) if len(parts) > 1 else parts[0]
    terms = prod(size) * channels
    out = matmul(reshape(rows, (batch * prod(lengths), terms)), reshape(kernel, (terms, kernel.shape[-1])))
    return reshape(out, (batch, *lengths, kernel.shape[-1]))


def _place_by_place(x: Any, kernel: Any, lengths: Ints, strides: Ints, dilations: Ints) -> Any:
    size, batch = kernel.shape[:-2], x.shape[0]
    terms = prod(size) * x.shape[-1]
    weights = reshape(kernel, (terms, kernel.shape[-1]))
    places = [
        matmul(
            reshape(
                _spread(x, [at * stride for at, stride in zip(place, strides, strict=True)], dilations, size),
                (batch, terms),
            ),
            weights,
        )
        for place in product(*map(range, lengths))
    ]
    return reshape(stack(places, axis=1), (batch, *lengths, kernel.shape[-1]))


def _spread(x: Any, starts: Sequence[int], steps: Ints, lengths: Ints) -> Any:
    """A slice of the spatial axes."""
    return strided_slice(x, (0, *starts, 0), (1, *steps, 1), (x.shape[0], *lengths, x.shape[-1]))


def _reference(x: Any, kernel: Any, *, strides: Ints, dilations: Ints) -> np.ndarray:
    """Sums over the kernel's places, as in the definition."""
    lengths = _lengths(x.shape[1:-1], kernel.shape[:-2], strides, dilations)
    out = np.zeros((x.shape[0], *lengths, kernel.shape[-1]), x.dtype)
    for place in product(*map(range, kernel.shape[:-2])):
        index = tuple(
            slice(at * dilation, at * dilation + (length - 1) * stride + 1, stride)
            for at, dilation, length, stride in zip(place, dilations, lengths, strides, strict=True)
        )
        out += x[(slice(None), *index)] @ kernel[place]
    return out


def _jvp(inputs: Sequence[Any], tangents: Sequence[Any], _out: Any, params: Mapping[str, Any]) -> Any:
    """Linear in each of the two."""
    terms = [
        _conv(*[tangent if at == place else value for at, value in enumerate(inputs)], **params)
        for place, tangent in enumerate(tangents)
        if tangent is not None
    ]
    return sum(terms[1:], start=terms[0])


_conv: Apply = composite(
    "conv",
    impl=_impl,
    rule=_rule,
    vjp={"x": _by_input, "kernel": _by_kernel},
    cases=(
        Case(normal(2, 5, 4, 2), normal(3, 2, 2, 3), strides=(1, 1), dilations=(1, 1)),
        Case(normal(1, 7, 6, 1), normal(2, 3, 1, 2), strides=(2, 3), dilations=(1, 1)),
        Case(normal(1, 7, 2), normal(2, 2, 2), strides=(2,), dilations=(3,)),
        Case(normal(1, 6, 6, 1), normal(5, 5, 1, 1), strides=(1, 1), dilations=(1, 1)),
        Case(normal(2, 3, 1), normal(1, 1, 2), strides=(2,), dilations=(1,)),
    ),
    reference=_reference,
    expand=_expand,
    jvp=_jvp,
)


def conv(
    x: ArrayLike,
    kernel: ArrayLike,
    /,
    strides: int | Sequence[int] = 1,
    padding: str | Sequence[tuple[int, int]] = "valid",
    dilations: int | Sequence[int] = 1,
) -> "Tensor":
    """Convolution as neural networks have it, which is a cross-correlation.

    Parameters
    ----------
    x : array_like, shape (batch, *space, channels in)
        Any number of spatial axes, at least one.
    kernel : array_like, shape (*size, channels in, channels out)
        As many spatial axes.
    strides : int or sequence of int
        Steps of the kernel along each spatial axis, at least 1.
    padding : {"valid", "same"} or sequence of (int, int)
        Nothing; zeros around the input so that the result has ``ceil(length / stride)`` places, the odd one behind; or
        how many zeros before and behind, for each spatial axis.
    dilations : int or sequence of int
        Distances of the kernel's places, at least 1.

    Returns
    -------
    Tensor, shape (batch, *places, channels out)
        Promoted dtype.

    Raises
    ------
    ShapeError
        If numbers of axes or channels don't fit, or the kernel is longer than the padded input.
    ValueError
        For another padding, or a stride or dilation below 1.

    Notes
    -----
    ``out[b, o, d] = sum over k and c of x[b, o * strides + k * dilations, c] * kernel[k, c, d]``. Bilinear: the
    derivatives are convolutions.

    Examples
    --------
    >>> x = tj.reshape(tj.arange(5.0), (1, 5, 1))
    >>> tj.conv(x, tj.ones((3, 1, 1))).numpy().ravel().tolist()
    [3.0, 6.0, 9.0]
    """
    array, weights = in_common_dtype("conv", (x, kernel))
    rank = len(array.shape) - 2
    if rank < 1 or len(weights.shape) != rank + 2:
        raise ShapeError(
            at_user_line(
                f"conv: an input {array.shape} (batch, space, channels) and a kernel {weights.shape} (space, channels "
                "in, channels out) have as many axes, at least 3"
            )
        )
    steps, apart = each_axis("conv", "strides", strides, rank), each_axis("conv", "dilations", dilations, rank)
    widths = pad_widths("conv", padding, array.shape[1:-1], _spans(weights.shape[:-2], apart), steps)
    if any(before or behind for before, behind in widths):
        array = pad(array, ((0, 0), *widths, (0, 0)))
    spans = _spans(weights.shape[:-2], apart)
    if any(span > length for span, length in zip(spans, array.shape[1:-1], strict=True)):
        raise ShapeError(
            at_user_line(
                f"conv: a kernel of {spans} places is longer than the input of {array.shape[1:-1]}; use padding='same'"
            )
        )
    return _conv(array, weights, strides=steps, dilations=apart)


def each_axis(operation: str, name: str, given: int | Sequence[int], rank: int) -> Ints:
    """A number for each spatial axis, at least 1.

    Raises
    ------
    ValueError
        If there are not as many, or one is below 1.
    """
    numbers = (given,) * rank if isinstance(given, (int, np.integer)) else tuple(given)
    if len(numbers) != rank or any(number < 1 for number in numbers):
        raise ValueError(at_user_line(f"{operation}: {name} are {rank} numbers of at least 1, got {given}"))
    return tuple(map(int, numbers))


def pad_widths(
    operation: str, padding: str | Sequence[tuple[int, int]], spatial: Ints, spans: Ints, strides: Ints
) -> tuple[tuple[int, int], ...]:
    """How many zeros go before and behind each spatial axis.

    Raises
    ------
    ValueError
        For another word, or other widths than two for each axis.
    """
    if isinstance(padding, str):
        word = padding.lower()
        if word == "valid":
            return ((0, 0),) * len(spatial)
        if word == "same":
            needed = [
                max((-(-length // stride) - 1) * stride + span - length, 0)
                for length, span, stride in zip(spatial, spans, strides, strict=True)
            ]
            return tuple((total // 2, total - total // 2) for total in needed)
        raise ValueError(at_user_line(f"{operation}: padding is 'valid', 'same' or pairs of widths, got {padding!r}"))
    widths = tuple((int(before), int(behind)) for before, behind in padding)
    if len(widths) != len(spatial) or any(min(pair) < 0 for pair in widths):
        raise ValueError(
            at_user_line(f"{operation}: padding has two widths for each of {len(spatial)} axes, got {padding}")
        )
    return widths


def conv_transpose(
    x: ArrayLike,
    kernel: ArrayLike,
    /,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    dilations: int | Sequence[int] = 1,
) -> "Tensor":
    """The transpose of `conv`: what its derivative by the input does with a cotangent.

    Parameters
    ----------
    x : array_like, shape (batch, *places, channels in)
        Any number of spatial axes, at least one.
    kernel : array_like, shape (*size, channels out, channels in)
        That of the convolution whose transpose it is.
    strides : int or sequence of int
        Distances between what the elements of `x` spread out to.
    padding : {"valid", "same"}
        That of the convolution.
    output_padding : int or sequence of int, optional
        How many places more the result has; by default what makes it ``places * strides`` long with "same" and
        ``places * strides + max(size - strides, 0)`` with "valid".
    dilations : int or sequence of int
        Distances of the kernel's places.

    Returns
    -------
    Tensor, shape (batch, *space, channels out)
        Promoted dtype.

    Raises
    ------
    ShapeError
        If numbers of axes or channels don't fit.
    ValueError
        For another padding, or numbers out of range.

    Examples
    --------
    >>> x = tj.ones((1, 2, 1))
    >>> tj.conv_transpose(x, tj.ones((3, 1, 1)), strides=2).numpy().ravel().tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
    """
    array, weights = in_common_dtype("conv_transpose", (x, kernel))
    rank = len(array.shape) - 2
    if rank < 1 or len(weights.shape) != rank + 2 or array.shape[-1] != weights.shape[-1]:
        raise ShapeError(
            at_user_line(
                f"conv_transpose: an input {array.shape} (batch, space, channels in) and a kernel {weights.shape} "
                "(space, channels out, channels in) don't fit"
            )
        )
    steps = each_axis("conv_transpose", "strides", strides, rank)
    apart = each_axis("conv_transpose", "dilations", dilations, rank)
    spans = _spans(weights.shape[:-2], apart)
    lengths = _transposed_lengths(array.shape[1:-1], spans, steps, padding, output_padding)
    widths = pad_widths("conv_transpose", padding, lengths, spans, steps)
    padded = tuple(length + sum(pair) for length, pair in zip(lengths, widths, strict=True))
    shape = (array.shape[0], *padded, weights.shape[-2])
    out = _by_input(array, weights, shape, steps, apart)
    if any(before or behind for before, behind in widths):
        starts = (0, *(before for before, _ in widths), 0)
        out = strided_slice(out, starts, (1,) * (rank + 2), (array.shape[0], *lengths, weights.shape[-2]))
    return out  # type: ignore[no-any-return]


def _transposed_lengths(
    places: Ints, spans: Ints, strides: Ints, padding: str, more: int | Sequence[int] | None
) -> Ints:
    """The lengths of the input of the convolution whose result has so many places."""
    same = pad_widths("conv_transpose", padding, places, spans, strides) is not None and padding.lower() == "same"
    if more is None:
        if same:
            return tuple(place * stride for place, stride in zip(places, strides, strict=True))
        return tuple(
            place * stride + max(span - stride, 0) for place, span, stride in zip(places, spans, strides, strict=True)
        )
    extra = (more,) * len(places) if isinstance(more, (int, np.integer)) else tuple(more)
    if len(extra) != len(places) or any(not 0 <= one < stride for one, stride in zip(extra, strides, strict=True)):
        raise ValueError(
            at_user_line(
                f"conv_transpose: output_padding has numbers from 0 to below the strides {strides}, got {more}"
            )
        )
    around = [span // 2 if same else 0 for span in spans]
    return tuple(
        (place - 1) * stride + span - 2 * width + one
        for place, stride, span, width, one in zip(places, strides, spans, around, extra, strict=True)
    )


def depthwise_conv(
    x: ArrayLike,
    kernel: ArrayLike,
    /,
    strides: int | Sequence[int] = 1,
    padding: str | Sequence[tuple[int, int]] = "valid",
    dilations: int | Sequence[int] = 1,
) -> "Tensor":
    """A convolution of each channel by itself.

    Parameters
    ----------
    x : array_like, shape (batch, *space, channels)
        Any number of spatial axes, at least one.
    kernel : array_like, shape (*size, channels, multiplier)
        So many results for each channel.
    strides, padding, dilations
        See `conv`.

    Returns
    -------
    Tensor, shape (batch, *places, channels * multiplier)
        The results of one channel beside each other.

    Raises
    ------
    ShapeError
        If numbers of axes or channels don't fit, or the kernel is longer than the padded input.
    ValueError
        For another padding, or a stride or dilation below 1.

    Examples
    --------
    >>> tj.depthwise_conv(tj.ones((1, 3, 2)), tj.ones((2, 2, 1))).shape
    (1, 2, 2)
    """
    array, weights = in_common_dtype("depthwise_conv", (x, kernel))
    rank = len(array.shape) - 2
    if rank < 1 or len(weights.shape) != rank + 2 or array.shape[-1] != weights.shape[-2]:
        raise ShapeError(
            at_user_line(
                f"depthwise_conv: an input {array.shape} (batch, space, channels) and a kernel {weights.shape} (space, "
                "channels, multiplier) don't fit"
            )
        )
    steps = each_axis("depthwise_conv", "strides", strides, rank)
    apart = each_axis("depthwise_conv", "dilations", dilations, rank)
    size = weights.shape[:-2]
    spans = _spans(size, apart)
    widths = pad_widths("depthwise_conv", padding, array.shape[1:-1], spans, steps)
    if any(before or behind for before, behind in widths):
        array = pad(array, ((0, 0), *widths, (0, 0)))
    lengths = _lengths(array.shape[1:-1], size, steps, apart)
    if 0 in lengths:
        raise ShapeError(at_user_line(f"depthwise_conv: a kernel of {spans} places is longer than {array.shape[1:-1]}"))
    channels, multiplier = weights.shape[-2:]
    taps = [
        reshape(
            _spread(array, [at * dilation for at, dilation in zip(place, apart, strict=True)], steps, lengths),
            (array.shape[0], *lengths, channels, 1),
        )
        * reshape(
            strided_slice(weights, (*place, 0, 0), (1,) * (rank + 2), (*(1,) * rank, channels, multiplier)),
            (channels, multiplier),
        )
        for place in product(*map(range, size))
    ]
    total = taps[0]
    for tap in taps[1:]:
        total = total + tap
    return reshape(total, (array.shape[0], *lengths, channels * multiplier))
