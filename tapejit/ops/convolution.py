"""Convolutions of any number of spatial axes, channels last.

Floor 4, above `products` and `windowing`. One primitive, without padding, bilinear in its two inputs: what pads is a
`pad` before it, and both derivatives are convolutions themselves, of the cotangent with the flipped kernel and of the
input with the cotangent. Of stacks of inputs each has a kernel of its own.
"""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..errors import ShapeError, at_user_line
from ..families import Case, contraction, in_common_dtype, normal
from ..families.batching import stacked
from ..lowering import Convolution
from ..primitive import claim
from .annotations import ArrayLike
from .padding import pad
from .phases import interleaved, spans_of
from .products import matmul
from .reductions import sum as added_up
from .shaping import Apply, permute_dims, reshape
from .slicing import flip, strided_slice, unslice
from .windowing import windows as in_windows

if TYPE_CHECKING:
    from ..tensor import Tensor

Ints = tuple[int, ...]


def lengths_of(spatial: Ints, kernel: Ints, strides: Ints, dilations: Ints) -> Ints:
    """The lengths of the result."""
    spans = spans_of(kernel, dilations)
    return tuple(
        max((length - span) // stride + 1, 0) for length, span, stride in zip(spatial, spans, strides, strict=True)
    )


def _rule(x: Aval, kernel: Aval, *, strides: Ints, dilations: Ints) -> Aval:
    rank, count = len(strides), len(kernel.shape)
    lead = count - rank - 2
    if lead < 0 or len(x.shape) != count:
        raise ShapeError(
            at_user_line(
                f"conv: an input {x.shape} and a kernel {kernel.shape} where both have {rank + 2} axes: batch, "
                f"{rank} of space, channels; and {rank} of space, channels in, channels out"
            )
        )
    if x.shape[:lead] != kernel.shape[:lead]:
        raise ShapeError(
            at_user_line(f"conv: the input {x.shape} and the kernel {kernel.shape} differ in their {lead} leading axes")
        )
    if x.shape[-1] != kernel.shape[-2]:
        raise ShapeError(
            at_user_line(
                f"conv: the input {x.shape} has {x.shape[-1]} channels in its last axis, the kernel {kernel.shape} "
                f"takes {kernel.shape[-2]}"
            )
        )
    lengths = lengths_of(x.shape[lead + 1 : -1], kernel.shape[lead:-2], strides, dilations)
    return Aval((*x.shape[: lead + 1], *lengths, kernel.shape[-1]), x.dtype)


def _under(x: Any, kernel: Any, strides: Ints, dilations: Ints) -> dict[str, Ints]:
    """The params of the windows of `x` under a kernel."""
    rank = len(strides)
    size = kernel.shape[-2 - rank : -2]
    lengths = lengths_of(x.shape[-1 - rank : -1], size, strides, dilations)
    return {"lengths": lengths, "taps": size, "strides": strides, "dilations": dilations}


def _impl(x: np.ndarray, kernel: np.ndarray, *, strides: Ints, dilations: Ints) -> np.ndarray:
    params = _under(x, kernel, strides, dilations)
    lead, lengths = x.shape[: -1 - len(strides)], params["lengths"]
    if 0 in (*lengths, *kernel.shape, *x.shape):
        return np.zeros((*lead, *lengths, kernel.shape[-1]), x.dtype)
    terms = prod(params["taps"]) * x.shape[-1]
    rows = in_windows(x, **params).reshape(*lead[:-1], lead[-1] * prod(lengths), terms)  # a copy
    out = rows @ kernel.reshape(*lead[:-1], terms, kernel.shape[-1])
    return np.reshape(out, (*lead, *lengths, kernel.shape[-1]))


def _by_input(ct: Any, kernel: Any, x_shape: Shape, strides: Ints, dilations: Ints) -> Any:
    """The cotangent, among zeros, under the kernel turned round."""
    if all(stride == 1 or dilation == 1 for stride, dilation in zip(strides, dilations, strict=True)):
        return _by_phases(ct, kernel, x_shape, strides, dilations)
    rank = len(strides)
    first = len(x_shape) - rank - 1
    axes = tuple(range(first - 1, first - 1 + rank))
    spans = spans_of(tuple(kernel.shape[axis] for axis in axes), dilations)
    lengths = tuple(length + span - 1 for length, span in zip(x_shape[first:-1], spans, strict=True))
    starts = (*(0,) * first, *(span - 1 for span in spans), 0)
    spread = unslice(ct, (*ct.shape[:first], *lengths, ct.shape[-1]), starts, (*(1,) * first, *strides, 1))
    turned = permute_dims(flip(kernel, axis=axes), (*range(first - 1 + rank), first + rank, first + rank - 1))
    return _conv(spread, turned, strides=(1,) * rank, dilations=dilations)


def _by_phases(ct: Any, kernel: Any, x_shape: Shape, strides: Ints, dilations: Ints) -> Any:
    """The elements of `x` that differ by a multiple of the strides in place are channels of one convolution.

    ``x[stride * q + r]`` meets ``ct[q - j]`` under ``kernel[stride * j + r]``, so that no zeros are spread between the
    elements of the cotangent. All `q` and `j` are for one axis of space; `r` are its phases.
    """
    rank = len(strides)
    first = len(x_shape) - rank - 1
    lead, size, channels = x_shape[: first - 1], kernel.shape[first - 1 : -2], kernel.shape[-2:]
    phases = tuple(map(min, strides, size))
    taps = tuple(-(-length // phase) for length, phase in zip(size, phases, strict=True))
    lengths = tuple(-(-length // stride) for length, stride in zip(x_shape[first:-1], strides, strict=True))
    spans = spans_of(taps, dilations)
    places = ct.shape[first:-1]
    around = [(span - 1, length - place) for span, length, place in zip(spans, lengths, places, strict=True)]
    spread = _padded(ct, [*[(0, 0)] * first, *around, (0, 0)])
    more = [(0, tap * phase - length) for tap, phase, length in zip(taps, phases, size, strict=True)]
    weights = _padded(kernel, [*[(0, 0)] * len(lead), *more, (0, 0), (0, 0)])
    # (tap, phase) of each axis of space, channels in, channels out: all taps, channels out, all phases, channels in.
    pairs = [length for pair in zip(taps, phases, strict=True) for length in pair]
    weights = reshape(weights, (*lead, *pairs, *channels))
    front, begin = tuple(range(len(lead))), len(lead)
    weights = flip(weights, axis=tuple(range(begin, begin + 2 * rank, 2)))
    end = begin + 2 * rank
    order = (*front, *range(begin, end, 2), end + 1, *range(begin + 1, end, 2), end)
    weights = reshape(permute_dims(weights, order), (*lead, *taps, channels[1], prod(phases) * channels[0]))
    out = _conv(spread, weights, strides=(1,) * rank, dilations=dilations)
    return interleaved(out, phases, strides, x_shape)


def _padded(x: Any, widths: Sequence[tuple[int, int]]) -> Any:
    return pad(x, widths) if any(map(any, widths)) else x


def _by_kernel(ct: Any, x: Any, kernel_shape: Shape, strides: Ints, dilations: Ints) -> Any:
    """The input, its channels as a batch, under the cotangent, whose batch are the channels."""
    rank = len(strides)
    batch = len(kernel_shape) - rank - 2
    before, axes, channels = tuple(range(batch)), tuple(range(batch + 1, batch + 1 + rank)), batch + 1 + rank
    out = _conv(
        permute_dims(x, (*before, channels, *axes, batch)),
        permute_dims(ct, (*before, *axes, batch, channels)),
        strides=dilations,
        dilations=strides,
    )
    # Where the strides leave a rest of the input over there are more places than the kernel has.
    lengths = (*out.shape[: batch + 1], *kernel_shape[batch:-2], out.shape[-1])
    if lengths != out.shape:
        out = strided_slice(out, (0,) * len(lengths), (1,) * len(lengths), lengths)
    return permute_dims(out, (*before, *axes, batch, channels))


def _expand(x: Any, kernel: Any, *, strides: Ints, dilations: Ints) -> Any:
    """The product of matrices whose rows are windows, copied side by side; a sum where one of them is a vector."""
    params = _under(x, kernel, strides, dilations)
    *lead, batch = x.shape[: -1 - len(strides)]
    lengths, channels = params["lengths"], kernel.shape[-1]
    terms = prod(params["taps"]) * x.shape[-1]
    under = in_windows(x, **params)
    m = batch * prod(lengths)
    if min(m, channels, terms) > 1 and m * channels * terms > LOOPS:
        out = matmul(reshape(under, (*lead, m, terms)), reshape(kernel, (*lead, terms, channels)))
        return reshape(out, (*lead, batch, *lengths, channels))
    summed = tuple(range(len(lead) + 1 + len(lengths), len(under.shape)))
    weights = reshape(kernel, (*lead, *(1,) * (1 + len(lengths)), *kernel.shape[len(lead) :]))
    return added_up(reshape(under, (*under.shape, 1)) * weights, summed)


LOOPS = 512
"""Convolutions of at most so many multiplications are sums that fuse with what comes before and after."""


def _reference(x: Any, kernel: Any, *, strides: Ints, dilations: Ints) -> np.ndarray:
    """Sums over the kernel's places, as in the definition."""
    if len(x.shape) > len(strides) + 2:
        every = [_reference(one, other, strides=strides, dilations=dilations) for one, other in zip(x, kernel)]  # noqa: B905
        return np.stack(every)
    lengths = lengths_of(x.shape[1:-1], kernel.shape[:-2], strides, dilations)
    out = np.zeros((x.shape[0], *lengths, kernel.shape[-1]), x.dtype)
    for place in product(*map(range, kernel.shape[:-2])):
        index = tuple(
            slice(at * dilation, at * dilation + (length - 1) * stride + 1, stride)
            for at, dilation, length, stride in zip(place, dilations, lengths, strides, strict=True)
        )
        out += x[(slice(None), *index)] @ kernel[place]
    return out


_conv: Apply = contraction(
    "conv",
    impl=_impl,
    rule=_rule,
    vjp={"x": _by_input, "kernel": _by_kernel},
    lowering=Convolution(_expand),
    batch=stacked,
    cases=(
        Case(normal(2, 5, 4, 2), normal(3, 2, 2, 3), strides=(1, 1), dilations=(1, 1)),
        Case(normal(1, 7, 6, 1), normal(2, 3, 1, 2), strides=(2, 3), dilations=(1, 1)),
        Case(normal(1, 7, 2), normal(2, 2, 2), strides=(2,), dilations=(3,)),
        Case(normal(1, 6, 6, 1), normal(5, 5, 1, 1), strides=(1, 1), dilations=(1, 1)),
        Case(normal(2, 3, 1), normal(1, 1, 2), strides=(2,), dilations=(1,)),
        Case(normal(1, 9, 8, 1), normal(3, 2, 1, 2), strides=(2, 3), dilations=(2, 1)),
    ),
    reference=_reference,
)
claim("convolution", _conv)


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
    derivatives are convolutions. Kernels of 3×3 places are compiled to fewer multiplications (Winograd's transforms,
    `TAPEJIT_WINOGRAD`): a rounding error is then relative to the largest of the nine places, and where one is infinite
    the result may be NaN.

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
    widths = pad_widths("conv", padding, array.shape[1:-1], spans_of(weights.shape[:-2], apart), steps)
    if any(before or behind for before, behind in widths):
        array = pad(array, ((0, 0), *widths, (0, 0)))
    spans = spans_of(weights.shape[:-2], apart)
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
    spans = spans_of(weights.shape[:-2], apart)
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
