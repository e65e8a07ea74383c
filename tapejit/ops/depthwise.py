"""Convolutions of each channel by itself.

Floor 4, above `convolution`, with which strides, dilations and padding are shared. One step for tapes; for the compiler
products with slices, one for each place of the kernel, so that they fuse with what comes before and after, as do the
reverse rules.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..errors import ShapeError, at_user_line
from ..families import Case, composite, in_common_dtype, normal
from .annotations import ArrayLike
from .convolution import Ints, conv, each_axis, lengths_of, pad_widths
from .joining import stack
from .padding import pad
from .phases import phase_by_phase, spans_of
from .reductions import sum as added_up
from .shaping import reshape
from .slicing import strided_slice

if TYPE_CHECKING:
    from ..tensor import Tensor


def _places(kernel: Any) -> Iterator[Ints]:
    return product(*map(range, kernel.shape[:-2]))


def _spread(x: Any, starts: Sequence[int], steps: Ints, lengths: Ints) -> Any:
    """A slice of the axes of space, with an axis of length 1 behind."""
    shape = x.shape[0], *lengths, x.shape[-1]
    found = strided_slice(x, (0, *starts, 0), (1, *steps, 1), shape)
    return reshape(found, (*shape, 1))


def _weights(kernel: Any, place: Ints) -> Any:
    """A place of the kernel, shape (channels, multiplier)."""
    channels = kernel.shape[-2:]
    return reshape(
        strided_slice(kernel, (*place, 0, 0), (1,) * len(kernel.shape), (*(1,) * len(place), *channels)), channels
    )


def _under(x: Any, kernel: Any, strides: Ints, dilations: Ints) -> Iterator[tuple[Ints, Any]]:
    """Each place of the kernel with what it meets of `x`, shape (batch, *places, channels, 1)."""
    lengths = lengths_of(x.shape[1:-1], kernel.shape[:-2], strides, dilations)
    for place in _places(kernel):
        starts = [at * dilation for at, dilation in zip(place, dilations, strict=True)]
        yield place, _spread(x, starts, strides, lengths)


def _expand(x: Any, kernel: Any, *, strides: Ints, dilations: Ints) -> Any:
    total: Any = None
    for place, found in _under(x, kernel, strides, dilations):
        term = found * _weights(kernel, place)
        total = term if total is None else total + term
    return reshape(total, (*total.shape[:-2], prod(total.shape[-2:])))


def _impl(x: np.ndarray, kernel: np.ndarray, *, strides: Ints, dilations: Ints) -> np.ndarray:
    lengths = lengths_of(x.shape[1:-1], kernel.shape[:-2], strides, dilations)
    out = np.zeros((x.shape[0], *lengths, *kernel.shape[-2:]), x.dtype)
    for place in _places(kernel):
        index = tuple(
            slice(at * dilation, at * dilation + (length - 1) * stride + 1, stride)
            for at, dilation, length, stride in zip(place, dilations, lengths, strides, strict=True)
        )
        out += x[(slice(None), *index, slice(None), None)] * kernel[place]
    return out.reshape(*out.shape[:-2], prod(out.shape[-2:]))


def _rule(x: Aval, kernel: Aval, *, strides: Ints, dilations: Ints) -> Aval:
    lengths = lengths_of(x.shape[1:-1], kernel.shape[:-2], strides, dilations)
    return Aval((x.shape[0], *lengths, prod(kernel.shape[-2:])), x.dtype)


def _by_input(ct: Any, kernel: Any, x_shape: Shape, strides: Ints, dilations: Ints) -> Any:
    """Each place of the kernel times the cotangents of the windows that it is in."""
    apart = reshape(ct, (*ct.shape[:-1], *kernel.shape[-2:]))
    multiplier = len(apart.shape) - 1
    return phase_by_phase(
        lambda place: apart,
        (kernel.shape[:-2], strides, dilations),
        x_shape,
        lambda place, found: found * _weights(kernel, place),
        lambda total: reshape(total, total.shape[:-1]) if total.shape[-1] == 1 else added_up(total, multiplier),
    )


def _by_kernel(ct: Any, x: Any, kernel: Any, strides: Ints, dilations: Ints) -> Any:
    """For each place of the kernel the sum of what it meets, times the cotangent."""
    ct = reshape(ct, (*ct.shape[:-1], *kernel.shape[-2:]))
    axes = tuple(range(len(strides) + 1))
    return reshape(
        stack([added_up(found * ct, axes) for _, found in _under(x, kernel, strides, dilations)]), kernel.shape
    )


def _channel_by_channel(x: Any, kernel: Any, **options: Any) -> np.ndarray:
    parts = [conv(x[..., [c]], kernel[..., [c], :], **options).numpy() for c in range(x.shape[-1])]
    return np.concatenate(parts, axis=-1)


_depthwise: Any = composite(
    "depthwise_conv",
    impl=_impl,
    rule=_rule,
    vjp={"x": _by_input, "kernel": _by_kernel},
    expand=_expand,
    cases=(
        Case(normal(2, 5, 4, 2), normal(3, 2, 2, 3)),
        Case(normal(1, 8, 7, 2), normal(3, 3, 2, 1), strides=2, padding="same"),
        Case(normal(2, 9, 3), normal(2, 3, 2), strides=3),
        Case(normal(1, 9, 8, 2), normal(3, 2, 2, 1), strides=(2, 1), dilations=(2, 3)),
        Case(normal(1, 7, 2), normal(1, 2, 2), strides=2),
    ),
    reference=_channel_by_channel,
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
    spans = spans_of(size, apart)
    widths = pad_widths("depthwise_conv", padding, array.shape[1:-1], spans, steps)
    if any(before or behind for before, behind in widths):
        array = pad(array, ((0, 0), *widths, (0, 0)))
    lengths = lengths_of(array.shape[1:-1], size, steps, apart)
    if 0 in lengths:
        raise ShapeError(at_user_line(f"depthwise_conv: a kernel of {spans} places is longer than {array.shape[1:-1]}"))
    return _depthwise(array, weights, strides=steps, dilations=apart)  # type: ignore[no-any-return]
