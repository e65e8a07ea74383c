"""The pseudoinverse, and what it answers: least squares, the rank.

Floor 4, above `spectra`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import Aval, broadcast_shapes
from ...errors import ShapeError, at_user_line
from ...families import Case, composite, normal
from ...families.batching import stacked
from ..annotations import ArrayLike
from ..comparison import greater, less_equal, where
from ..products import matmul, matrix_transpose, with_batch
from ..reductions import sum as total
from ..shaping import Apply, expand_dims, reshape
from ..slicing import slice_axis
from .matrices import matrices
from .spectra import any_svd, decomposed, svdvals

if TYPE_CHECKING:
    from ...tensor import Tensor


def _cutoff(s: Any, shape: tuple[int, ...], rtol: float | None) -> Any:
    """Below which singular values count as 0, shape (..., 1); there is at least one value."""
    relative = max(shape[-2:]) * float(np.finfo(s.dtype).eps) if rtol is None else rtol
    return slice_axis(s, len(s.shape) - 1, 0, 1) * relative


# The pseudoinverse


def _pinv_impl(x: np.ndarray, *, rtol: float | None) -> np.ndarray:
    relative = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps) if rtol is None else rtol
    u, s, vh = decomposed(x)
    small = s <= s[..., :1] * x.dtype.type(relative)
    inverted = np.where(small, 0, 1 / np.where(small, 1, s))
    found: np.ndarray = np.swapaxes(vh, -1, -2) @ (inverted[..., None] * np.swapaxes(u, -1, -2))
    return found


def _pinv_expand(x: Any, *, rtol: float | None) -> "Tensor":
    u, s, vh = any_svd(x)
    small = less_equal(s, _cutoff(s, x.shape, rtol))  # so that nan is not small
    inverted = where(small, 0, 1 / where(small, 1, s))
    return matmul(matrix_transpose(vh), expand_dims(inverted, -1) * matrix_transpose(u))


def _pinv_vjp(ct: Any, x: Any, out: Any) -> "Tensor":
    """Golub and Pereyra (1973), eq. 4.12, transposed; the rank is constant."""
    flipped, back = matrix_transpose(out), matrix_transpose(ct)
    total: Any = -matmul(matmul(flipped, ct), flipped)
    outer, inner = matmul(back, matmul(out, flipped)), matmul(matmul(flipped, out), back)
    total = total + outer - matmul(x, matmul(out, outer))
    return total + inner - matmul(matmul(inner, out), x)  # type: ignore[no-any-return]


def _pinv_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """The same equation."""
    x, change, flipped = inputs[0], tangents[0], matrix_transpose(out)
    back = matrix_transpose(change)
    outer: Any = matmul(matmul(out, flipped), back)
    inner: Any = matmul(back, matmul(flipped, out))
    inside = outer - matmul(matmul(outer, x), out) + inner - matmul(out, matmul(x, inner))
    return inside - matmul(matmul(out, change), out)


_pinv: Apply = composite(
    "pinv",
    impl=_pinv_impl,
    rule=lambda x, *, rtol: Aval((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype),
    vjp={"x": _pinv_vjp},
    jvp=_pinv_jvp,
    expand=_pinv_expand,
    batch=stacked,
    cases=(Case(normal(3, 3)), Case(normal(2, 4, 2)), Case(normal(2, 3)), Case(normal(0, 3, 2))),
    reference=np.linalg.pinv,
)


def pinv(x: ArrayLike, /, *, rtol: float | None = None) -> "Tensor":
    """Pseudoinverse of Moore and Penrose.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; integers become float64.
    rtol : float, optional
        Singular values up to `rtol` times the largest count as 0; by default ``max(m, n)`` times the dtype's epsilon.

    Returns
    -------
    Tensor, shape (..., n, m)
        A new array.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Notes
    -----
    With the cotangent c and the result p, the derivative is ``-pᵀ c pᵀ + (1 - x p) cᵀ p pᵀ + pᵀ p cᵀ (1 - p x)``
    (G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
    variables separate", SIAM J. Numer. Anal. 10, 1973, eq. 4.12). It is the derivative along changes that leave the
    rank as it is; where the rank changes the pseudoinverse is not continuous. Equal singular values do no harm.

    Examples
    --------
    >>> tj.linalg.pinv([[2.0], [0.0]]).numpy().round(4)
    array([[0.5, 0. ]], dtype=float32)
    """
    (matrix,) = matrices("pinv", x)
    if not all(matrix.shape[-2:]):
        return matrix_transpose(matrix)
    return _pinv(matrix, rtol=None if rtol is None else float(rtol))


# Least squares and the rank


def lstsq(x: ArrayLike, y: ArrayLike, /, *, rcond: float | None = None) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """The z for which ``x @ z`` is nearest to `y`; of several the shortest.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; integers become float64.
    y : array_like, shape (m,) or (..., m, k)
        Right-hand sides: a vector only if it has one axis. Leading axes broadcast.
    rcond : float, optional
        Singular values up to `rcond` times the largest count as 0; by default ``max(m, n)`` times the dtype's epsilon.

    Returns
    -------
    solution : Tensor, shape (..., n) or (..., n, k)
        z.
    residuals : Tensor, shape (...) or (..., k)
        ``Σ (y - x @ z)²`` for each right-hand side. (NumPy leaves them out where m ≤ n or the rank is less than n.)
    rank : Tensor, shape (...), int64
        How many singular values count. Not connected.
    singular_values : Tensor, shape (..., min(m, n))
        In descending order.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Notes
    -----
    ``z = p @ y`` with the pseudoinverse p, refined once by ``p @ (y - x @ z)``. The derivatives are those of `pinv`:
    for a matrix of full rank those of the normal equations, along changes that leave the rank as it is.

    Examples
    --------
    >>> z, residuals, rank, s = tj.linalg.lstsq([[1.0], [1.0]], [1.0, 3.0])
    >>> z.numpy().round(4), residuals.numpy().round(4)
    (array([2.], dtype=float32), np.float32(2.0))
    """
    matrix, right = matrices("lstsq", x, y)
    rows, vector = matrix.shape[-2], len(right.shape) == 1
    if not right.shape or right.shape[0 if vector else -2] != rows:
        raise ShapeError(
            at_user_line(
                f"lstsq: shapes {matrix.shape} and {right.shape} do not fit: the right-hand sides must have {rows} rows"
            )
        )
    right = expand_dims(right, 1) if vector else right
    batch = broadcast_shapes("lstsq", (matrix.shape[:-2], right.shape[:-2]))
    matrix, right = with_batch(matrix, batch), with_batch(right, batch)
    pseudoinverse = pinv(matrix, rtol=rcond)
    solution: Any = matmul(pseudoinverse, right)
    solution = solution + matmul(pseudoinverse, right - matmul(matrix, solution))
    error = right - matmul(matrix, solution)
    residuals = total(error * error, axis=-2)
    s: Any = svdvals(matrix)
    rank = _counted(s, matrix.shape, rcond)
    if vector:
        return reshape(solution, solution.shape[:-1]), reshape(residuals, residuals.shape[:-1]), rank, s
    return solution, residuals, rank, s


def matrix_rank(x: ArrayLike, /, *, rtol: float | None = None) -> "Tensor":
    """How many singular values are not 0.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; integers become float64.
    rtol : float, optional
        Singular values up to `rtol` times the largest count as 0; by default ``max(m, n)`` times the dtype's epsilon.

    Returns
    -------
    Tensor, shape (...), int64
        Not connected.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Examples
    --------
    >>> tj.linalg.matrix_rank([[1.0, 2.0], [2.0, 4.0]]).item()
    1
    """
    (matrix,) = matrices("matrix_rank", x)
    return _counted(svdvals(matrix), matrix.shape, rtol)


def _counted(s: Any, shape: tuple[int, ...], rtol: float | None) -> "Tensor":
    counts = greater(s, _cutoff(s, shape, rtol)) if s.shape[-1] else greater(s, 0)
    return total(counts, axis=-1)  # type: ignore[no-any-return]
