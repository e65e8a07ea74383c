"""Statistics made of sums and extremes: averages with weights, ranges, counts, closeness of whole arrays.

Floor 4, above `moments`.
"""

from typing import TYPE_CHECKING, Any

from ..aval import normalize_axes
from ..errors import ShapeError, at_user_line
from ..families import as_array
from .annotations import ArrayLike, Axis
from .arithmetic import multiply, subtract
from .comparison import not_equal
from .compositions import floating, isclose
from .moments import mean
from .reductions import all as every
from .reductions import max as largest
from .reductions import min as smallest
from .reductions import sum as total
from .shaping import broadcast_to, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor


def average(
    x: ArrayLike, /, axis: Axis = None, weights: ArrayLike | None = None, *, keepdims: bool = False
) -> "Tensor":
    """Mean along axes in which each element has a weight.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to average along; by default all axes.
    weights : array_like, optional
        Of the shape of `x`, or of the lengths of the axes; by default all are equal.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        ``sum(weights * x) / sum(weights)``, without the axes; nan where the weights sum to 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice, or the weights have another shape.

    Notes
    -----
    With the sum W of the weights, the derivatives are ``weights / W`` and ``(x - average) / W``.

    Examples
    --------
    >>> tj.average([1.0, 4.0], weights=[3.0, 1.0]).item()
    1.75
    """
    array = floating("average", x)
    if weights is None:
        return mean(array, axis, keepdims=keepdims)
    shares = as_array(weights, borrow=True)
    shape = array.shape
    if shares.shape != shape:
        axes = normalize_axes("average", axis, len(shape))
        if shares.shape != tuple(shape[place] for place in axes):
            raise ShapeError(
                at_user_line(
                    f"average: weights of shape {shares.shape} fit neither the shape {shape} nor its axes {axes}"
                )
            )
        along = tuple(length if place in axes else 1 for place, length in enumerate(shape))
        shares = broadcast_to(reshape(shares, along), shape)
    products: Any = total(multiply(array, shares), axis, keepdims=keepdims)
    return products / total(shares, axis, keepdims=keepdims)  # type: ignore[no-any-return]


def ptp(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """The largest element less the smallest, along axes ("peak to peak").

    Parameters
    ----------
    x : array_like, numeric
        Any shape.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes, same dtype. Elements that tie share the derivative equally.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Examples
    --------
    >>> tj.ptp([3.0, 1.0, 7.0]).item()
    6.0
    """
    array = as_array(x)
    return subtract(largest(array, axis, keepdims=keepdims), smallest(array, axis, keepdims=keepdims))  # type: ignore[no-any-return]


def count_nonzero(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """How many elements along axes are not zero.

    Parameters
    ----------
    x : array_like
        Any shape; nan counts.
    axis : int or sequence of int, optional
        What to count along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        int64, without the axes. Not connected.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.count_nonzero([[0, 1], [2, 3]], axis=1).tolist()
    [1, 2]
    """
    return total(not_equal(as_array(x), 0), axis, keepdims=keepdims)  # type: ignore[no-any-return]


def allclose(
    x: ArrayLike, y: ArrayLike, /, rtol: ArrayLike = 1e-5, atol: ArrayLike = 1e-8, *, equal_nan: bool = False
) -> "Tensor":
    """Whether all elements are equal but for a tolerance; see `isclose`.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.
    rtol, atol : array_like
        Relative and absolute tolerance.
    equal_nan : bool
        Whether nan is close to nan.

    Returns
    -------
    Tensor
        Boolean, 0-d. Not connected.

    Examples
    --------
    >>> bool(tj.allclose([1.0, 2.0], [1.0000001, 2.0]))
    True
    """
    return every(isclose(x, y, rtol, atol, equal_nan=equal_nan))  # type: ignore[no-any-return]
