"""Norms of vectors and of matrices, and the condition number.

Floor 4, above `spectra`. Compositions; the norm of 0 has the derivative 0.
"""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from ...aval import normalize_axes, normalize_axis, with_ones
from ...errors import ShapeError, at_user_line
from ...families import as_array
from ..annotations import ArrayLike, Axis
from ..arithmetic import abs as size
from ..comparison import isnan, where
from ..compositions import floating
from ..norms import norm as length
from ..reductions import max as largest
from ..reductions import min as smallest
from ..reductions import sum as total
from ..shaping import moveaxis, reshape
from .matrices import matrices, square_matrices
from .spectra import svdvals
from .systems import inv

if TYPE_CHECKING:
    from ...tensor import Tensor

Order = float | str | None


def vector_norm(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> "Tensor":
    """Norm of vectors.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        Along which axes the vectors lie; by default all.
    keepdims : bool
        Whether the axes stay, with length 1.
    ord : float
        p of ``(Σ |x|^p)^(1/p)``; inf is the largest, -inf the smallest absolute value, 0 the number of elements that
        are not 0.

    Returns
    -------
    Tensor
        Floating, without the axes.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    The derivative is ``x |x|^(p-2) / norm^(p-1)``, for p = 2 the unit vector, and 0 where the norm is 0. A tie for the
    largest or smallest shares it equally.

    Examples
    --------
    >>> tj.linalg.vector_norm([3.0, 4.0]).item(), tj.linalg.vector_norm([3.0, -4.0], ord=1).item()
    (5.0, 7.0)
    """
    return length(x, ord, axis=axis, keepdims=keepdims)


_ROWS_OR_COLUMNS: dict[Any, Any] = {1: (-2, largest), -1: (-2, smallest), inf: (-1, largest), -inf: (-1, smallest)}
"""For a norm of sums of absolute values: along which axis is summed, and which sum is taken."""


def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: Order = "fro") -> "Tensor":
    """Norm of matrices.

    Parameters
    ----------
    x : array_like, shape (..., m, n)
        Matrices; integers and booleans are converted to float64.
    keepdims : bool
        Whether the last two axes stay, with length 1.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        Root of the sum of squares; sum of the singular values; largest and smallest sum of absolute values of a column;
        largest and smallest singular value; largest and smallest sum of a row.

    Returns
    -------
    Tensor, shape (...) or (..., 1, 1)
        Floating.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    ValueError
        For another `ord`.

    Notes
    -----
    With ``x = u diag(s) vh``, the derivative of "nuc" is ``u @ vh``, of 2 the product of the first column and row; of
    "fro" it is ``x / norm``, 0 where the norm is 0.

    Examples
    --------
    >>> x = [[3.0, 0.0], [4.0, 0.0]]
    >>> [tj.linalg.matrix_norm(x, ord=ord).numpy().round(4).item() for ord in ("fro", "nuc", 1, 2, np.inf)]
    [5.0, 5.0, 7.0, 5.0, 4.0]
    """
    array: Any = floating("matrix_norm", as_array(x, borrow=True))
    if len(array.shape) < 2:
        raise ShapeError(at_user_line(f"matrix_norm takes matrices, shape (..., m, n); got shape {array.shape}"))
    last: Any = (-2, -1)
    if ord in ("fro", None):
        return vector_norm(array, axis=last, keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        values = svdvals(array)
        take: Any = {"nuc": total, 2: largest, -2: smallest}[ord]
        out = take(values, -1)
    elif ord in _ROWS_OR_COLUMNS:
        axis, take = _ROWS_OR_COLUMNS[ord]
        out = take(total(size(array), axis), -1)
    else:
        raise ValueError(at_user_line(f"matrix_norm: ord is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}"))
    return reshape(out, (*out.shape, 1, 1)) if keepdims else out


def norm(
    x: ArrayLike, /, ord: Order = None, axis: int | Sequence[int] | None = None, *, keepdims: bool = False
) -> "Tensor":
    """Norm of vectors or matrices, as `numpy.linalg.norm` chooses.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    ord : float or str, optional
        As for `vector_norm` or `matrix_norm`; by default the root of the sum of squares.
    axis : int or pair of int, optional
        An int for vectors, a pair for matrices. Without it all elements count for the default `ord`, else `x` must have
        one or two axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes.

    Raises
    ------
    ShapeError
        If the axes do not fit.
    ValueError
        For another `ord`.

    Examples
    --------
    >>> tj.linalg.norm([[3.0, 0.0], [4.0, 0.0]]).item(), tj.linalg.norm([[3.0, 0.0], [4.0, 0.0]], axis=1).tolist()
    (5.0, [3.0, 4.0])
    """
    array: Any = as_array(x)
    rank = len(array.shape)
    if axis is None and (ord is None or (ord == "fro" and rank == 2) or (ord == 2 and rank == 1)):
        return vector_norm(array, keepdims=keepdims)
    axes = tuple(range(rank)) if axis is None else normalize_axes("norm", axis, rank)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(array, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise ShapeError(
            at_user_line(f"norm: ord {ord!r} of shape {tuple(array.shape)} along axes {axes}: two axes for a matrix")
        )
    if axis is not None and not isinstance(axis, int):
        axes = tuple(normalize_axis("norm", each, rank) for each in axis)  # in the given order: rows, columns
    moved = array if axes == (rank - 2, rank - 1) else moveaxis(array, axes, (-2, -1))
    out = matrix_norm(moved, ord=ord)
    return reshape(out, with_ones(array.shape, axes)) if keepdims else out


def cond(x: ArrayLike, /, p: Order = None) -> "Tensor":
    """Condition number: how much a relative error of a right-hand side may grow in a solution.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; square ones unless `p` is None, 2 or -2. Integers become float64.
    p : optional
        Of which norm, see `matrix_norm`; by default 2.

    Returns
    -------
    Tensor, shape (...)
        The largest singular value over the smallest (its inverse for -2), or ``norm(x) * norm(inv(x))``.

    Raises
    ------
    ShapeError
        If the matrices are not square where they must be, or are empty.
    numpy.linalg.LinAlgError
        If a matrix is singular, unless `p` is None, 2 or -2, where the result is inf (0 for -2).

    Examples
    --------
    >>> tj.linalg.cond([[1.0, 0.0], [0.0, 4.0]]).numpy().round(4).item()
    4.0
    """
    if p in (None, 2, -2):
        (matrix,) = matrices("cond", x)
        values: Any = svdvals(matrix)
        ends = largest(values, -1), smallest(values, -1)
        ratio: Any = ends[1] / ends[0] if p == -2 else ends[0] / ends[1]
        # Of a matrix of zeros: infinite, as in NumPy.
        undefined = isnan(ratio) & ~isnan(ends[0])
        return where(undefined, inf, ratio)  # type: ignore[no-any-return]
    (matrix,) = square_matrices("cond", x)
    return matrix_norm(matrix, ord=p) * matrix_norm(inv(matrix), ord=p)  # type: ignore[no-any-return]
