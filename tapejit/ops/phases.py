"""The transpose of windows with strides: what each element of an input gets from the windows that it is in.

Floor 4, above `slicing` and `joining`. Elements whose places differ by a multiple of the strides are of one phase; all
of a phase get alike, so that no zeros are spread between the elements of a cotangent. Start reading at
`phase_by_phase`.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from ..aval import Shape
from .joining import concat
from .padding import pad
from .shaping import permute_dims, reshape
from .slicing import strided_slice, unslice

Ints = tuple[int, ...]


def spans_of(kernel: Ints, dilations: Ints) -> Ints:
    """How long a dilated kernel is."""
    return tuple((length - 1) * dilation + 1 for length, dilation in zip(kernel, dilations, strict=True))


def phase_by_phase(
    given: Callable[[Ints], Any],
    window: tuple[Ints, Ints, Ints],
    x_shape: Shape,
    term: Callable[[Ints, Any], Any] = lambda place, found: found,
    finish: Callable[[Any], Any] = lambda total: total,
) -> Any:
    """The sum over the windows that each element is in: ``x[stride * q + r]`` is place ``stride * j + r`` of ``q - j``.

    Parameters
    ----------
    given : callable
        ``given(place)``: what windows give to the element at this place of theirs, shape (batch, *windows, ...).
    window : tuple
        Lengths, strides and dilations of the windows.
    x_shape : tuple of int
        (batch, *space, channels).
    term : callable
        ``term(place, found)``: what becomes of it where it arrives. There are zeros among it where no windows are.
    finish : callable
        Makes an array of shape (batch, *space, channels) of a sum of terms.
    """
    size, strides, dilations = window
    apart = None
    if any(stride > 1 and dilation > 1 for stride, dilation in zip(strides, dilations, strict=True)):
        # Windows without strides, most of which give nothing.
        places = tuple(n - span + 1 for n, span in zip(x_shape[1:-1], spans_of(size, dilations), strict=True))
        apart, strides = (places, strides), (1,) * len(strides)
    phases = tuple(map(min, strides, size))
    taps = tuple(-(-length // phase) for length, phase in zip(size, phases, strict=True))
    lengths = tuple(-(-length // stride) for length, stride in zip(x_shape[1:-1], strides, strict=True))
    before = [span - 1 for span in spans_of(taps, dilations)]

    def one(phase: Ints) -> Any:
        total: Any = None
        for tap in product(*map(range, taps)):
            place = tuple(step * at + own for step, at, own in zip(phases, tap, phase, strict=True))
            if all(at < length for at, length in zip(place, size, strict=True)):
                array = given(place) if apart is None else _among(given(place), *apart)
                starts = [first - at * dilation for first, at, dilation in zip(before, tap, dilations, strict=True)]
                found = term(place, _part(_around(array, before, lengths), starts, lengths))
                total = found if total is None else total + found
        return finish(total)

    parts = [one(phase) for phase in product(*map(range, phases))]
    return interleaved(parts[0] if len(parts) == 1 else concat(parts, axis=-1), phases, strides, x_shape)


def _among(array: Any, lengths: Ints, strides: Ints) -> Any:
    """An array with zeros between its places."""
    rest = array.shape[len(lengths) + 1 :]
    steps = (1, *strides, *(1,) * len(rest))
    return unslice(array, (array.shape[0], *lengths, *rest), (0,) * len(array.shape), steps)


def _around(array: Any, before: Sequence[int], lengths: Ints) -> Any:
    """An array with zeros before its places, and so many behind that there are `lengths`."""
    places = array.shape[1 : len(lengths) + 1]
    widths = [(first, length - place) for first, length, place in zip(before, lengths, places, strict=True)]
    if not any(map(any, widths)):
        return array
    return pad(array, ((0, 0), *widths, *((0, 0),) * (len(array.shape) - len(lengths) - 1)))


def _part(array: Any, starts: Sequence[int], lengths: Ints) -> Any:
    """The elements from these places of space on."""
    rest = array.shape[len(lengths) + 1 :]
    shape = (array.shape[0], *lengths, *rest)
    if shape == array.shape:
        return array
    return strided_slice(array, (0, *starts, *(0,) * len(rest)), (1,) * len(shape), shape)


def interleaved(out: Any, phases: Ints, strides: Ints, x_shape: Shape) -> Any:
    """An array of `x_shape` whose phases are channels of `out`, those first that are not zeros."""
    if all(stride == 1 for stride in strides):
        return out
    rank, before = len(strides), x_shape[: -1 - len(strides)]
    lengths, count = out.shape[len(before) : -1], len(before)
    out = reshape(out, (*before, *lengths, *phases, x_shape[-1]))
    order = [axis for place in range(count, count + rank) for axis in (place, place + rank)]
    out = permute_dims(out, (*range(count), *order, count + 2 * rank))
    widths = [(0, 0)] * len(out.shape)
    for axis, (stride, phase) in enumerate(zip(strides, phases, strict=True)):
        widths[count + 2 * axis + 1] = (0, stride - phase)
    whole = [length * stride for length, stride in zip(lengths, strides, strict=True)]
    out = pad(out, widths) if any(map(any, widths)) else out
    out = reshape(out, (*before, *whole, x_shape[-1]))
    if out.shape == x_shape:
        return out
    return strided_slice(out, (0,) * len(x_shape), (1,) * len(x_shape), x_shape)
