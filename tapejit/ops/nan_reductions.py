"""Reductions that leave out elements that are nan: `nansum` and its like.

Floor 4, above `moments`. An element that is left out is replaced by what changes nothing, through `where`, so that its
derivative is 0.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..families import as_array
from .annotations import ArrayLike, Axis, DtypeLike
from .arithmetic import divide
from .comparison import isnan, logical_not, where
from .compositions import floating
from .conversion import astype
from .elementwise import sqrt
from .powers import square
from .product_reduction import prod
from .reductions import all as every
from .reductions import max as largest
from .reductions import min as smallest
from .reductions import sum as total

if TYPE_CHECKING:
    from ..tensor import Tensor


def _replaced(x: ArrayLike, number: float) -> Any:
    """`x` with a number in the place of nan."""
    array = as_array(x, borrow=True)
    return where(isnan(array), number, array) if array.dtype.kind == "f" else array


def nansum(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False, dtype: DtypeLike = None) -> "Tensor":
    """Sum along axes of the elements that are numbers.

    Parameters
    ----------
    x : array_like
        Any shape. Booleans and integers narrower than int64 are summed as int64 (unsigned: uint64).
    axis : int or sequence of int, optional
        What to sum along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.
    dtype : dtype, optional
        What to convert to before the sum.

    Returns
    -------
    Tensor
        Without the axes; 0 where there is no number. The derivative by each number is 1, by each nan 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.nansum([1.0, float("nan"), 2.0]).item()
    3.0
    """
    return total(_replaced(x, 0), axis, keepdims=keepdims, dtype=dtype)  # type: ignore[no-any-return]


def nanprod(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False, dtype: DtypeLike = None) -> "Tensor":
    """Product along axes of the elements that are numbers.

    Parameters
    ----------
    x : array_like
        Any shape. Booleans and integers narrower than int64 are multiplied as int64 (unsigned: uint64).
    axis : int or sequence of int, optional
        What to multiply along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.
    dtype : dtype, optional
        What to convert to before the product.

    Returns
    -------
    Tensor
        Without the axes; 1 where there is no number. The derivative by a number is the product of the others, by each
        nan 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.nanprod([2.0, float("nan"), 3.0]).item()
    6.0
    """
    return prod(_replaced(x, 1), axis, keepdims=keepdims, dtype=dtype)  # type: ignore[no-any-return]


def _extreme(reduce: Any, worst: float, x: ArrayLike, axis: Axis, keepdims: bool) -> Any:
    array = as_array(x, borrow=True)
    if array.dtype.kind != "f":
        return reduce(array, axis, keepdims=keepdims)
    out = reduce(where(isnan(array), worst, array), axis, keepdims=keepdims)
    return where(every(isnan(array), axis, keepdims=keepdims), float("nan"), out)


def nanmax(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Largest number along axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes, same dtype; nan where there is no number, without a warning. Elements that tie share the
        derivative equally; that by each nan is 0.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Examples
    --------
    >>> tj.nanmax([1.0, float("nan"), 2.0]).item()
    2.0
    """
    return _extreme(largest, -np.inf, x, axis, keepdims)  # type: ignore[no-any-return]


def nanmin(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Smallest number along axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Without the axes, same dtype; nan where there is no number, without a warning. Elements that tie share the
        derivative equally; that by each nan is 0.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Examples
    --------
    >>> tj.nanmin([1.0, float("nan"), 2.0]).item()
    1.0
    """
    return _extreme(smallest, np.inf, x, axis, keepdims)  # type: ignore[no-any-return]


def _numbers(array: Any, axis: Axis, keepdims: bool) -> Any:
    """How many elements are numbers, in the array's dtype."""
    return total(astype(logical_not(isnan(array)), array.dtype), axis, keepdims=keepdims)


def nanmean(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Arithmetic mean along axes of the elements that are numbers.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to average along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes; nan where there is no number, without a warning. The derivative by each of n
        numbers is ``1 / n``, by each nan 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.nanmean([1.0, float("nan"), 2.0]).item()
    1.5
    """
    array = floating("nanmean", x)
    return divide(nansum(array, axis, keepdims=keepdims), _numbers(array, axis, keepdims))  # type: ignore[no-any-return]


def nanvar(
    x: ArrayLike, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False, ddof: float | None = None
) -> "Tensor":
    """Variance along axes of the elements that are numbers.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    correction : float
        The sum of squares of n numbers is divided by ``n - correction``.
    keepdims : bool
        Whether the axes stay, with length 1.
    ddof : float, optional
        NumPy's name for `correction`.

    Returns
    -------
    Tensor
        Floating, without the axes; nan where ``n <= correction``. The derivative by a number is ``2 (x - mean) / (n -
        correction)``, by each nan 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.nanvar([1.0, float("nan"), 3.0]).item()
    1.0
    """
    array = floating("nanvar", x)
    apart = array - nanmean(array, axis, keepdims=True)
    squares = nansum(square(where(isnan(array), 0, apart)), axis, keepdims=keepdims)
    count = _numbers(array, axis, keepdims) - (correction if ddof is None else ddof)
    return divide(squares, where(count > 0, count, float("nan")))  # type: ignore[no-any-return]


def nanstd(
    x: ArrayLike, /, axis: Axis = None, *, correction: float = 0, keepdims: bool = False, ddof: float | None = None
) -> "Tensor":
    """Standard deviation along axes of the elements that are numbers: the root of `nanvar`.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    correction : float
        The sum of squares of n numbers is divided by ``n - correction``.
    keepdims : bool
        Whether the axes stay, with length 1.
    ddof : float, optional
        NumPy's name for `correction`.

    Returns
    -------
    Tensor
        Floating, without the axes; nan where ``n <= correction``. The derivative by a number is ``(x - mean) / ((n -
        correction) std)``: 0/0, nan, where all numbers are equal. That by each nan is 0.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.nanstd([1.0, float("nan"), 3.0]).item()
    1.0
    """
    return sqrt(nanvar(x, axis, correction=correction, keepdims=keepdims, ddof=ddof))  # type: ignore[no-any-return]
