"""Convolutions of each channel by itself.

Floor 4, above `convolution`, with which strides, dilations and padding are shared. Made of products with slices, one
for each place of the kernel, so that they fuse with what comes before and after.
"""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from ..errors import ShapeError, at_user_line
from ..families import in_common_dtype
from .annotations import ArrayLike
from .convolution import Ints, each_axis, lengths_of, pad_widths, spans_of
from .padding import pad
from .shaping import reshape
from .slicing import strided_slice

if TYPE_CHECKING:
    from ..tensor import Tensor


def _spread(x: Any, starts: Sequence[int], steps: Ints, lengths: Ints) -> Any:
    """A slice of the spatial axes."""
    return strided_slice(x, (0, *starts, 0), (1, *steps, 1), (x.shape[0], *lengths, x.shape[-1]))


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
