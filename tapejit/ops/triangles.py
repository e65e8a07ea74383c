"""Triangles and diagonals of matrices.

Floor 4, above `creation`. A triangle is `where` with a comparison of an element's own indices; a diagonal is a slice
with a step of the flattened matrix, and a matrix made of one is padding: inside kernels all are index maps.
"""

from typing import TYPE_CHECKING, Any

from ..aval import checked_int, normalize_axis
from ..errors import ShapeError, at_user_line
from ..families import as_array
from ..primitive import in_role
from .annotations import ArrayLike, DtypeLike
from .comparison import greater_equal, less_equal, where
from .creation import iota
from .reductions import sum as total
from .shaping import moveaxis, ravel, reshape
from .slicing import strided_slice, unslice

if TYPE_CHECKING:
    from ..tensor import Tensor


def _places(operation: str, x: ArrayLike, k: int) -> tuple[Any, Any, Any]:
    """The array, and for each element of its matrices the column and the diagonal's column in its row."""
    array = as_array(x)
    if len(array.shape) < 2:
        raise ShapeError(at_user_line(f"{operation} takes an array with two axes or more, got shape {array.shape}"))
    offset = checked_int(operation, "k", k)
    rows, columns = array.shape[-2:]
    down: Any = reshape(iota(rows), (rows, 1))
    return array, iota(columns), down + offset if offset else down


def tril(x: ArrayLike, /, *, k: int = 0) -> "Tensor":
    """The lower triangles of matrices: zeros above a diagonal.

    Parameters
    ----------
    x : array_like, shape (..., n, m)
        Any dtype.
    k : int
        The last diagonal that stays: 0 the main one, positive ones lie above it.

    Returns
    -------
    Tensor, shape and dtype of `x`
        A new array.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Notes
    -----
    Linear. The derivative is the triangle of the cotangent.

    Examples
    --------
    >>> tj.tril([[1, 2], [3, 4]]).tolist()
    [[1, 0], [3, 4]]
    """
    array, column, diagonal_column = _places("tril", x, k)
    return where(less_equal(column, diagonal_column), array, in_role("zeros")((), array.dtype))  # type: ignore[no-any-return]


def triu(x: ArrayLike, /, *, k: int = 0) -> "Tensor":
    """The upper triangles of matrices: zeros below a diagonal.

    Parameters
    ----------
    x : array_like, shape (..., n, m)
        Any dtype.
    k : int
        The first diagonal that stays: 0 the main one, positive ones lie above it.

    Returns
    -------
    Tensor, shape and dtype of `x`
        A new array.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Notes
    -----
    Linear. The derivative is the triangle of the cotangent.

    Examples
    --------
    >>> tj.triu([[1, 2], [3, 4]]).tolist()
    [[1, 2], [0, 4]]
    """
    array, column, diagonal_column = _places("triu", x, k)
    return where(greater_equal(column, diagonal_column), array, in_role("zeros")((), array.dtype))  # type: ignore[no-any-return]


def diagonal(x: ArrayLike, /, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> "Tensor":
    """The elements on a diagonal of the matrices that two axes make.

    Parameters
    ----------
    x : array_like
        Any dtype, two axes at least.
    offset : int
        Which diagonal: 0 the main one, positive ones lie above it.
    axis1, axis2 : int
        Along the rows' numbers and along the columns'.

    Returns
    -------
    Tensor, dtype of `x`
        Without the two axes, with the diagonal as the last one.

    Raises
    ------
    ShapeError
        If there are no two such axes.

    Notes
    -----
    Linear. The derivative puts the cotangent on the diagonal of zeros.

    Examples
    --------
    >>> tj.diagonal([[1, 2], [3, 4]]).tolist()
    [1, 4]
    """
    return _diagonal("diagonal", x, offset, axis1, axis2)


def _diagonal(operation: str, x: ArrayLike, offset: int, axis1: int, axis2: int) -> "Tensor":
    array: Any = as_array(x)
    rank = len(array.shape)
    first, second = (normalize_axis(operation, axis, rank) for axis in (axis1, axis2))
    if first == second:
        raise ShapeError(
            at_user_line(f"{operation}: axes {axis1} and {axis2} are the same axis of shape {array.shape}")
        )
    if (first, second) != (rank - 2, rank - 1):
        array = moveaxis(array, (first, second), (-2, -1))
    *batch, rows, columns = array.shape
    k = checked_int(operation, "an offset", offset)
    start = k if k >= 0 else -k * columns
    length = max(min(rows, columns - k) if k >= 0 else min(rows + k, columns), 0)
    flat = reshape(array, (*batch, rows * columns))
    ones = (1,) * len(batch)
    return strided_slice(flat, (*(0,) * len(batch), start if length else 0), (*ones, columns + 1), (*batch, length))


def trace(x: ArrayLike, /, *, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DtypeLike = None) -> "Tensor":
    """The sum of a diagonal of the matrices that two axes make.

    Parameters
    ----------
    x : array_like
        Any dtype, two axes at least.
    offset : int
        Which diagonal: 0 the main one, positive ones lie above it.
    axis1, axis2 : int
        Along the rows' numbers and along the columns'.
    dtype : dtype, optional
        What to convert to before the sum.

    Returns
    -------
    Tensor
        Without the two axes.

    Raises
    ------
    ShapeError
        If there are no two such axes.

    Notes
    -----
    Linear. The derivative by each element of the diagonal is 1.

    Examples
    --------
    >>> tj.trace([[1.0, 2.0], [3.0, 4.0]]).item()
    5.0
    """
    return total(_diagonal("trace", x, offset, axis1, axis2), -1, dtype=dtype)  # type: ignore[no-any-return]


def diag(x: ArrayLike, /, k: int = 0) -> "Tensor":
    """A matrix with `x` on a diagonal, or, of a matrix, the elements of one.

    Parameters
    ----------
    x : array_like, shape (n,) or (n, m)
        Any dtype.
    k : int
        Which diagonal: 0 the main one, positive ones lie above it.

    Returns
    -------
    Tensor, shape (n + abs(k), n + abs(k)), or that of the diagonal
        Zeros off the diagonal.

    Raises
    ------
    ShapeError
        If `x` has no axis, or more than two.

    Notes
    -----
    Linear. The derivative of the one is the other.

    Examples
    --------
    >>> tj.diag([1, 2]).tolist(), tj.diag([[1, 2], [3, 4]]).tolist()
    ([[1, 0], [0, 2]], [1, 4])
    """
    array = as_array(x)
    if len(array.shape) == 2:
        return _diagonal("diag", array, k, 0, 1)
    if len(array.shape) != 1:
        raise ShapeError(at_user_line(f"diag takes an array with one axis or two, got shape {array.shape}"))
    offset = checked_int("diag", "k", k)
    length = array.shape[0]
    size = length + abs(offset)
    start = offset if offset >= 0 else -offset * size
    flat = unslice(array, (size * size,), (start,), (size + 1,))
    return reshape(flat, (size, size))


def diagflat(x: ArrayLike, /, k: int = 0) -> "Tensor":
    """A matrix with the elements of `x`, flattened, on a diagonal.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    k : int
        Which diagonal: 0 the main one, positive ones lie above it.

    Returns
    -------
    Tensor, shape (size + abs(k), size + abs(k)), dtype of `x`
        Zeros off the diagonal.

    Notes
    -----
    Linear. The derivative is the diagonal of the cotangent.

    Examples
    --------
    >>> tj.diagflat([[1, 2]]).tolist()
    [[1, 0], [0, 2]]
    """
    return diag(ravel(x), k)
