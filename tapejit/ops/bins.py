"""How many values are where: `bincount`, `histogram`.

Floor 4, above `searching`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import checked_int
from ..errors import ShapeError, at_user_line
from ..families import as_array
from ..primitive import in_role
from .annotations import ArrayLike
from .arithmetic import subtract
from .comparison import equal, greater_equal, less, logical_and, where
from .compositions import floating
from .conversion import astype
from .creation import linspace
from .indexing import as_index, scatter_add
from .reductions import max as largest
from .reductions import min as smallest
from .reductions import sum as total
from .searching import searchsorted
from .shaping import ravel, reshape
from .slicing import slice_axis
from .unknown_shapes import numbers_of

if TYPE_CHECKING:
    from ..tensor import Tensor

_INT64 = np.dtype(np.int64)


def _counted(places: Any, weights: Any, length: int) -> Any:
    """The sum of the weights at each place below `length`; other places count nowhere."""
    inside = logical_and(greater_equal(places, 0), less(places, length))
    slots = in_role("zeros")((length + 1,), weights.dtype)
    return slice_axis(scatter_add(slots, where(inside, places, length), weights), 0, 0, length)


def bincount(
    x: ArrayLike, /, weights: ArrayLike | None = None, minlength: int = 0, *, length: int | None = None
) -> "Tensor":
    """How often each integer from 0 on occurs, or the sum of the weights of its occurrences.

    Parameters
    ----------
    x : array_like, shape (n,), integer
        Not negative.
    weights : array_like, shape (n,), optional
        By default each occurrence counts 1.
    minlength : int
        The result is at least so long.
    length : int, optional
        The result is so long, whatever occurs; larger integers are left out, and negative ones too. A compiled step
        needs it, since its shapes can't depend on values.

    Returns
    -------
    Tensor, shape (max(x) + 1,) if that is more than `minlength`
        int64, or the dtype of the weights, to which it is connected.

    Raises
    ------
    DtypeError
        If `x` is not made of integers.
    ShapeError
        If `x` does not have one axis, or the weights have another shape.
    ValueError
        If one is negative.
    ConcretizationError
        In a compiled step without `length`.

    Notes
    -----
    Linear in the weights: the derivative is the cotangent at the integers.

    Examples
    --------
    >>> tj.bincount([0, 2, 2]).tolist(), tj.bincount([0, 2, 2], length=2).tolist()
    ([1, 0, 2], [1, 0])
    """
    array = as_index("bincount", x)
    if len(array.shape) != 1:
        raise ShapeError(at_user_line(f"bincount takes an array with one axis, got shape {array.shape}"))
    if length is None:
        numbers = numbers_of(array, "bincount", "pass length=, the length of the result")
        if numbers.size and numbers.min() < 0:
            raise ValueError(at_user_line(f"bincount: the integers are not negative, got {numbers.min()}"))
        length = max(int(numbers.max()) + 1 if numbers.size else 0, checked_int("bincount", "minlength", minlength))
    shares = in_role("ones")(array.shape, _INT64) if weights is None else as_array(weights)
    if shares.shape != array.shape:
        raise ShapeError(at_user_line(f"bincount: weights of shape {shares.shape} for integers of shape {array.shape}"))
    return _counted(array, shares, checked_int("bincount", "length", length))  # type: ignore[no-any-return]


def histogram(
    x: ArrayLike,
    /,
    bins: int | ArrayLike = 10,
    range: tuple[float, float] | None = None,
    *,
    weights: ArrayLike | None = None,
    density: bool = False,
) -> "tuple[Tensor, Tensor]":
    """How many elements are in each of several intervals.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    bins : int or array_like, shape (n + 1,)
        The number of equal intervals, or the borders in ascending order.
    range : pair of floats, optional
        The ends of equal intervals; by default the smallest and the largest element.
    weights : array_like, shape of `x`, optional
        By default each element counts 1.
    density : bool
        Whether the results are scaled so that their integral is 1.

    Returns
    -------
    counts : Tensor, shape (n,)
        int64, or floating where there are weights or with `density`; connected to the weights. An interval has its left
        border, the last one its right border too; elements outside count nowhere.
    borders : Tensor, shape (n + 1,)
        Floating.

    Raises
    ------
    ShapeError
        If the borders do not have one axis, or the weights have another shape than `x`.
    ValueError
        If the number of intervals is not positive, or the range is empty.

    Examples
    --------
    >>> counts, borders = tj.histogram([0.0, 1.0, 1.5, 4.0], 2)
    >>> counts.tolist(), borders.tolist()
    ([3, 1], [0.0, 2.0, 4.0])
    """
    array: Any = ravel(floating("histogram", x))
    borders = _borders(array, bins, range)
    count = borders.shape[0] - 1
    last = reshape(slice_axis(borders, 0, count, count + 1), ())
    places = where(equal(array, last), count - 1, subtract(searchsorted(borders, array, side="right"), 1))
    shares: Any = in_role("ones")(array.shape, _INT64) if weights is None else ravel(weights)
    if shares.shape != array.shape:
        raise ShapeError(at_user_line(f"histogram: {shares.shape[0]} weights for {array.shape[0]} elements"))
    counts = _counted(places, shares, count)
    if density:
        widths = subtract(slice_axis(borders, 0, 1, count + 1), slice_axis(borders, 0, 0, count))
        counts = floating("histogram", counts)
        counts = counts / astype(widths, counts.dtype) / total(counts)
    return counts, borders


def _borders(array: Any, bins: Any, ends: tuple[float, float] | None) -> Any:
    if isinstance(bins, (list, tuple)) or getattr(bins, "ndim", False):
        borders = floating("histogram", bins)
        if len(borders.shape) != 1 or borders.shape[0] < 2:
            raise ShapeError(at_user_line(f"histogram: borders are two at least, on one axis; got {borders.shape}"))
        return borders
    count = checked_int("histogram", "bins, unless they are borders,", bins)
    if count < 1:
        raise ValueError(at_user_line(f"histogram: the number of bins is positive, got {count}"))
    if ends is not None:
        low, high = map(float, ends)
        if not low <= high:
            raise ValueError(at_user_line(f"histogram: the range from {low} to {high} is empty"))
        wide = 0.5 if low == high else 0.0
        return linspace(low - wide, high + wide, count + 1, dtype=array.dtype)
    if not array.shape[0]:
        return linspace(0, 1, count + 1, dtype=array.dtype)
    least, most = smallest(array), largest(array)
    apart: Any = where(equal(least, most), 0.5, in_role("zeros")((), array.dtype))
    return linspace(least - apart, most + apart, count + 1)
