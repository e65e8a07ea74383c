"""The largest element, or the mean, of windows of arrays with channels last.

Floor 4, above `convolution`, with which windows, strides and padding are shared. One step for tapes; for the compiler
made of slices, one for each place of the window, so that they fuse with what comes before and after, as do the reverse
rules.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..errors import ShapeError, at_user_line
from ..families import Case, as_array, composite, integers, spaced
from ..primitive import in_role
from .annotations import ArrayLike
from .arithmetic import add, divide, maximum
from .comparison import equal, less_equal, logical_and, logical_not, where
from .conversion import astype
from .convolution import each_axis, pad_widths
from .padding import pad
from .phases import phase_by_phase
from .slicing import strided_slice
from .values import asarray

if TYPE_CHECKING:
    from ..tensor import Tensor

Ints = tuple[int, ...]


def _places(
    operation: str, array: Any, pool_size: Any, strides: Any, padding: Any
) -> tuple[Ints, Ints, tuple[tuple[int, int], ...], Ints]:
    """Size and strides of the windows, widths of the padding, lengths of the result."""
    rank = len(array.shape) - 2
    if rank < 1:
        raise ShapeError(at_user_line(f"{operation} takes (batch, space, channels), got {array.shape}"))
    size = each_axis(operation, "pool_size", pool_size, rank)
    steps = size if strides is None else each_axis(operation, "strides", strides, rank)
    widths = pad_widths(operation, padding, array.shape[1:-1], size, steps)
    padded = [length + sum(pair) for length, pair in zip(array.shape[1:-1], widths, strict=True)]
    lengths = tuple((length - own) // step + 1 for length, own, step in zip(padded, size, steps, strict=True))
    if any(own > length for own, length in zip(size, padded, strict=True)):
        raise ShapeError(
            at_user_line(f"{operation}: windows {size} are larger than the input {array.shape}; use padding='same'")
        )
    return size, steps, widths, lengths


def _lengths(shape: Shape, size: Ints, strides: Ints) -> Ints:
    return tuple((length - own) // step + 1 for length, own, step in zip(shape[1:-1], size, strides, strict=True))


def _taps(x: Any, size: Ints, strides: Ints) -> list[Any]:
    """What is at each place of the windows."""
    shape = (x.shape[0], *_lengths(x.shape, size, strides), x.shape[-1])
    return [strided_slice(x, (0, *place, 0), (1, *strides, 1), shape) for place in product(*map(range, size))]


def _rule(x: Aval, *, size: Ints, strides: Ints) -> Aval:
    return Aval((x.shape[0], *_lengths(x.shape, size, strides), x.shape[-1]), x.dtype)


def _with_numpy(combine: np.ufunc) -> Callable[..., np.ndarray]:
    def impl(x: np.ndarray, *, size: Ints, strides: Ints) -> np.ndarray:
        lengths = _lengths(x.shape, size, strides)
        total: Any = None
        for place in product(*map(range, size)):
            index = tuple(
                slice(at, at + (length - 1) * step + 1, step)
                for at, length, step in zip(place, lengths, strides, strict=True)
            )
            found = x[(slice(None), *index)]
            total = found.copy() if total is None else combine(total, found, out=total)
        return total  # type: ignore[no-any-return]

    return impl


def _largest(x: Any, size: Ints, strides: Ints) -> Any:
    """The number of the place where the largest element of each window is, the first one of equals; or of NaN."""
    taps = _taps(x, size, strides)
    best, found = taps[0], in_role("zeros")(taps[0].shape, np.dtype(np.int32))
    for number, tap in enumerate(taps[1:], start=1):
        better = logical_and(logical_not(less_equal(tap, best)), equal(best, best))
        found, best = where(better, number, found), where(better, tap, best)
    return found


def _to_largest(ct: Any, x: Any, size: Ints, strides: Ints) -> Any:
    largest = _largest(x, size, strides)

    def given(place: Ints) -> Any:
        return where(equal(largest, int(np.ravel_multi_index(place, size))), ct, 0)

    return phase_by_phase(given, (size, strides, (1,) * len(size)), x.shape)


def _to_all(ct: Any, x_shape: Shape, size: Ints, strides: Ints) -> Any:
    return phase_by_phase(lambda place: ct, (size, strides, (1,) * len(size)), x_shape)


def _windows(x: Any, pool_size: Any, strides: Any) -> np.ndarray:
    """All elements of each window, along the last axis."""
    rank = x.ndim - 2
    size = (pool_size,) * rank if isinstance(pool_size, int) else pool_size
    steps = size if strides is None else (strides,) * rank if isinstance(strides, int) else strides
    under = np.lib.stride_tricks.sliding_window_view(x, size, axis=tuple(range(1, rank + 1)))
    under = under[(slice(None), *(slice(None, None, step) for step in steps))]
    return under.reshape(*under.shape[: x.ndim], -1)


_CASES = (
    Case(spaced(1, 4, 6, 2), 2),
    Case(spaced(2, 7, 2), 3, strides=2),
    Case(spaced(1, 5, 7, 1), (2, 3), strides=(3, 1)),
    Case(spaced(1, 7, 2), 2, strides=3),
)
_max_pool: Any = composite(
    "max_pool",
    impl=_with_numpy(np.maximum),
    rule=_rule,
    vjp={"x": _to_largest},
    expand=lambda x, size, strides: reduce(maximum, _taps(x, size, strides)),
    cases=(*_CASES, Case(integers(0, 9, 1, 4, 4, 1), 2)),
    reference=lambda x, pool_size, strides=None: _windows(x, pool_size, strides).max(axis=-1),
)
_sum_pool: Any = composite(
    "average_pool",
    impl=_with_numpy(np.add),
    rule=_rule,
    vjp={"x": _to_all},
    expand=lambda x, size, strides: reduce(add, _taps(x, size, strides)),
    cases=_CASES,
    linear=True,
    reference=lambda x, pool_size, strides=None: _windows(x, pool_size, strides).mean(axis=-1),
)


def max_pool(
    x: ArrayLike,
    /,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
) -> "Tensor":
    """The largest element of each window, channel by channel.

    Parameters
    ----------
    x : array_like, shape (batch, *space, channels), floating
        Any number of spatial axes, at least one.
    pool_size : int or sequence of int
        Lengths of the windows.
    strides : int or sequence of int, optional
        Their distances; by default their lengths.
    padding : {"valid", "same"}
        See `conv`; what is put around counts for nothing.

    Returns
    -------
    Tensor, shape (batch, *places, channels)
        The dtype of `x`.

    Raises
    ------
    ShapeError
        If a window is larger than the input.
    ValueError
        For another padding, or lengths below 1.

    Notes
    -----
    The derivative goes to the largest element, of several equal ones to the first. NaN gives NaN.

    Examples
    --------
    >>> tj.max_pool(tj.reshape(tj.arange(4.0), (1, 4, 1)), 2).numpy().ravel().tolist()
    [1.0, 3.0]
    """
    array = as_array(x)
    size, steps, widths, _ = _places("max_pool", array, pool_size, strides, padding)
    if any(map(sum, widths)):
        lowest = -np.inf if array.dtype.kind == "f" else np.iinfo(array.dtype).min
        array = pad(array, ((0, 0), *widths, (0, 0)), constant_values=lowest)
    return _max_pool(array, size=size, strides=steps)  # type: ignore[no-any-return]


def average_pool(
    x: ArrayLike,
    /,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
) -> "Tensor":
    """The mean of each window, channel by channel.

    Parameters
    ----------
    x : array_like, shape (batch, *space, channels), floating
        Any number of spatial axes, at least one.
    pool_size, strides, padding
        See `max_pool`.

    Returns
    -------
    Tensor, shape (batch, *places, channels)
        The dtype of `x`.

    Raises
    ------
    ShapeError
        If a window is larger than the input.
    ValueError
        For another padding, or lengths below 1.

    Notes
    -----
    Linear; of windows that reach over the border the mean is that of the elements inside.

    Examples
    --------
    >>> tj.average_pool(tj.reshape(tj.arange(4.0), (1, 4, 1)), 2).numpy().ravel().tolist()
    [0.5, 2.5]
    """
    array = as_array(x)
    size, steps, widths, lengths = _places("average_pool", array, pool_size, strides, padding)
    if not any(map(sum, widths)):
        return divide(_sum_pool(array, size=size, strides=steps), float(prod(size)))  # type: ignore[no-any-return]
    total = _sum_pool(pad(array, ((0, 0), *widths, (0, 0))), size=size, strides=steps)
    counts = astype(asarray(_counts(array.shape[1:-1], size, steps, widths, lengths)), total.dtype)
    return divide(total, counts)  # type: ignore[no-any-return]


def _counts(spatial: Ints, size: Ints, steps: Ints, widths: tuple[tuple[int, int], ...], lengths: Ints) -> np.ndarray:
    """How many elements of the input are in each window, shape (*places, 1)."""
    counts = np.ones((), np.int64)
    for length, own, step, (before, _), places in zip(spatial, size, steps, widths, lengths, strict=True):
        begin = np.arange(places) * step - before
        inside = np.minimum(begin + own, length) - np.maximum(begin, 0)
        counts = counts[..., None] * inside
    return counts[..., None]
