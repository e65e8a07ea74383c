"""The largest element, or the mean, of windows of arrays with channels last.

Floor 4, above `convolution`, with which windows, strides and padding are shared. Made of slices, one for each place of
the window, so that they fuse with what comes before and after.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError, at_user_line
from ..families import as_array
from .annotations import ArrayLike
from .arithmetic import add, divide, maximum
from .conversion import astype
from .convolution import each_axis, pad_widths
from .padding import pad
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


def _combined(array: Any, size: Ints, steps: Ints, lengths: Ints, combine: Callable[[Any, Any], Any]) -> Any:
    shape = (array.shape[0], *lengths, array.shape[-1])
    taps = [strided_slice(array, (0, *place, 0), (1, *steps, 1), shape) for place in product(*map(range, size))]
    return reduce(combine, taps)


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
    size, steps, widths, lengths = _places("max_pool", array, pool_size, strides, padding)
    if any(map(sum, widths)):
        lowest = -np.inf if array.dtype.kind == "f" else np.iinfo(array.dtype).min
        array = pad(array, ((0, 0), *widths, (0, 0)), constant_values=lowest)
    return _combined(array, size, steps, lengths, maximum)  # type: ignore[no-any-return]


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
        return divide(_combined(array, size, steps, lengths, add), float(prod(size)))  # type: ignore[no-any-return]
    total = _combined(pad(array, ((0, 0), *widths, (0, 0))), size, steps, lengths, add)
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
