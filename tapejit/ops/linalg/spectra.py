"""Eigenvalues of symmetric matrices, and singular values, with their vectors.

Floor 4, above `matrices`. A reverse rule takes no part in what nobody asked for: where only the values are used, equal
ones do no harm. Start reading at `eigh`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import Aval
from ...errors import ShapeError, at_user_line
from ...families import Case, floats, library_call, normal
from ...lowering import Routine
from ..annotations import ArrayLike
from ..comparison import where
from ..products import matmul, matrix_transpose
from ..shaping import expand_dims
from ..triangles import diagonal
from .matrices import UNSETTLED, called, diagonal_matrix, matrices, on_diagonal, on_finite, square_matrices
from .named import EighResult, SVDResult

if TYPE_CHECKING:
    from ...tensor import Tensor

MARKED = 0.37
"""The sign of a vector is that of its first component that is at least this large against the largest.

An odd number, since components of vectors that people meet are often equal but for rounding, or half as large.
"""


def _signs(vectors: np.ndarray) -> np.ndarray:
    """What columns are to be multiplied by, so that their marked components are positive; shape (..., 1, n)."""
    if not vectors.size:
        return np.ones_like(vectors[..., :1, :])
    sizes = np.abs(vectors)
    largest = sizes.max(axis=-2, keepdims=True, initial=0)
    first = np.argmax(sizes >= vectors.dtype.type(MARKED) * largest, axis=-2, keepdims=True)
    return np.where(np.take_along_axis(vectors, first, axis=-2) < 0, -1, 1).astype(vectors.dtype)


def _inverse_differences(x: Any) -> Any:
    """``1 / (x[j] - x[i])`` at [i, j], 0 in the diagonal; infinite where two are equal."""
    differences = expand_dims(x, -2) - expand_dims(x, -1)
    same = on_diagonal(differences)
    return where(same, 0, 1 / where(same, 1, differences))


# Eigenvalues


def symmetric_spectrum(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Eigenvalues and eigenvectors in NumPy, of the lower triangles, with chosen signs."""

    def found(matrix: np.ndarray) -> tuple[np.ndarray, ...]:
        values, vectors = called("eigh", np.linalg.eigh, matrix, fault=UNSETTLED)
        return values, vectors * _signs(vectors)

    return on_finite(found, np.tril(x))


def _eigh_vjp(ct: Any, out: Any) -> "Tensor":
    """Giles (2008), section 3.1: ``V (diag(c) + F ∘ Vᵀ d) Vᵀ``, shared by both triangles."""
    (values, vectors), (by_values, by_vectors) = out, ct
    transposed = matrix_transpose(vectors)
    inner: Any = 0
    if by_vectors is not None:
        inner = _inverse_differences(values) * matmul(transposed, by_vectors)
    if by_values is not None:
        inner = inner + diagonal_matrix(by_values)
    both: Any = matmul(matmul(vectors, inner), transposed)
    return 0.5 * (both + matrix_transpose(both))  # type: ignore[no-any-return]


def _eigh_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    values, vectors = out
    change = 0.5 * (tangents[0] + matrix_transpose(tangents[0]))
    turned = matmul(matmul(matrix_transpose(vectors), change), vectors)
    return diagonal(turned, axis1=-2, axis2=-1), matmul(vectors, _inverse_differences(values) * turned)


def _eigh_rule(x: Aval) -> tuple[Aval, Aval]:
    return Aval(x.shape[:-1], x.dtype), Aval(x.shape, x.dtype)


_eigh: Any = library_call(
    "eigh",
    inputs=("x",),
    impl=symmetric_spectrum,
    lowering=Routine("eigh", "(n,n)->(n),(n,n)", lambda n: 9 * n**3, UNSETTLED),
    rule=_eigh_rule,
    vjp={"x": _eigh_vjp},
    jvp=_eigh_jvp,
    # Larger matrices are tested along symmetric changes, to which the derivative belongs: tests/ops/linalg.
    cases=(Case(normal(1, 1)), Case(normal(2, 1, 1)), Case(normal(0, 2, 2)), Case(normal(0, 0))),
    multiple=True,
    partial=True,
    reference=symmetric_spectrum,
)


def eigh(x: ArrayLike, /) -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Symmetric; only the lower triangle is read. Integers become float64.

    Returns
    -------
    eigenvalues : Tensor, shape (..., n)
        In ascending order.
    eigenvectors : Tensor, shape (..., n, n)
        In columns, orthonormal. Their signs are such that the first component which is not small (0.37 of the largest)
        is positive.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Notes
    -----
    A matrix with infinity or nan has results of nan. With cotangents c of the values and d of the vectors V, the
    derivative is ``V (diag(c) + F ∘ Vᵀ d) Vᵀ``, symmetrised, with ``F[i, j] = 1 / (w[j] - w[i])``, 0 in the diagonal
    (M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008,
    section 3.1). It is the derivative along symmetric changes of x, shared equally by both triangles. Eigenvectors of
    equal eigenvalues are arbitrary and have no derivative: it is infinite or nan. Where only eigenvalues are used, F
    takes no part, so the first derivative is finite in any case; the second is nan where eigenvalues are equal.

    Examples
    --------
    >>> values, vectors = tj.linalg.eigh([[2.0, 1.0], [1.0, 2.0]])
    >>> values.numpy().round(4), vectors.numpy().round(4)
    (array([1., 3.], dtype=float32), array([[ 0.7071,  0.7071],
           [-0.7071,  0.7071]], dtype=float32))
    """
    return EighResult(*_eigh(*square_matrices("eigh", x)))


def eigvalsh(x: ArrayLike, /) -> "Tensor":
    """Eigenvalues of symmetric matrices.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Symmetric; only the lower triangle is read. Integers become float64.

    Returns
    -------
    Tensor, shape (..., n)
        In ascending order.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Notes
    -----
    The first result of `eigh`. With the cotangent c and eigenvectors V, the derivative is ``V diag(c) Vᵀ``: finite,
    also for equal eigenvalues, which share it as their arbitrary vectors do.

    Examples
    --------
    >>> tj.linalg.eigvalsh([[2.0, 0.0], [0.0, 1.0]]).tolist()
    [1.0, 2.0]
    """
    return _eigh(*square_matrices("eigvalsh", x))[0]  # type: ignore[no-any-return]


# Singular values


def decomposed(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Reduced singular value decomposition in NumPy, with chosen signs."""

    def found(matrix: np.ndarray) -> tuple[np.ndarray, ...]:
        u, s, vh = called("svd", lambda a: np.linalg.svd(a, full_matrices=False), matrix, fault=UNSETTLED)
        signs = _signs(u)
        return u * signs, s, np.swapaxes(signs, -1, -2) * vh

    return on_finite(found, x)


def _skew(x: Any) -> Any:
    return x - matrix_transpose(x)


def _svd_vjp(ct: Any, out: Any) -> "Tensor":
    """Townsend (2016), for matrices with at least as many rows as columns."""
    (u, s, vh), (by_u, by_s, by_vh) = out, ct
    ut = matrix_transpose(u)
    row = expand_dims(s, -2)
    inner: Any = 0
    if by_u is not None:
        inner = _inverse_differences(s * s) * _skew(matmul(ut, by_u)) * row
    if by_vh is not None:
        turned = _inverse_differences(s * s) * _skew(matmul(vh, matrix_transpose(by_vh)))
        inner = inner + expand_dims(s, -1) * turned
    if by_s is not None:
        inner = inner + diagonal_matrix(by_s)
    left: Any = matmul(u, inner)
    if by_u is not None and u.shape[-2] > u.shape[-1]:
        left = left + (by_u - matmul(u, matmul(ut, by_u))) / row
    return matmul(left, vh)


def _svd_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """Townsend (2016), eqs. 14 to 17."""
    u, s, vh = out
    row, column, v = expand_dims(s, -2), expand_dims(s, -1), matrix_transpose(vh)
    moved: Any = matmul(tangents[0], v)
    turned: Any = matmul(matrix_transpose(u), moved)
    back, factors = matrix_transpose(turned), _inverse_differences(s * s)
    by_u: Any = matmul(u, factors * (turned * row + column * back))
    by_v = matmul(v, factors * (column * turned + back * row))
    if u.shape[-2] > u.shape[-1]:
        by_u = by_u + (moved - matmul(u, turned)) / row
    return by_u, diagonal(turned, axis1=-2, axis2=-1), matrix_transpose(by_v)


def _svd_rule(x: Aval) -> tuple[Aval, Aval, Aval]:
    *batch, _, n = x.shape
    return Aval(x.shape, x.dtype), Aval((*batch, n), x.dtype), Aval((*batch, n, n), x.dtype)


def _apart(*batch: int, m: int, n: int) -> Any:
    """Matrices whose singular values are far apart, and from 0."""

    def draw(generator: "np.random.Generator") -> np.ndarray:
        u, _, vh = np.linalg.svd(generator.standard_normal((*batch, m, n)), full_matrices=False)
        return np.asarray((u * np.arange(1, n + 1)) @ vh)

    return floats(draw)


tall_svd: Any = library_call(
    "svd",
    inputs=("x",),
    impl=decomposed,
    lowering=Routine("svd", "(m,n)->(m,n),(n),(n,n)", lambda m, n: 6 * m * n**2 + 20 * n**3, UNSETTLED),
    rule=_svd_rule,
    vjp={"x": _svd_vjp},
    jvp=_svd_jvp,
    cases=(Case(_apart(m=3, n=3)), Case(_apart(2, m=4, n=2)), Case(normal(0, 3, 2)), Case(normal(3, 0))),
    multiple=True,
    partial=True,
    reference=decomposed,
)
"""Singular value decomposition of matrices with at least as many rows as columns."""


def any_svd(x: Any) -> tuple[Any, Any, Any]:
    """Singular value decomposition, also of wide matrices, by the transposed ones."""
    if x.shape[-2] >= x.shape[-1]:
        return tall_svd(x)  # type: ignore[no-any-return]
    v, s, uh = tall_svd(matrix_transpose(x))
    return matrix_transpose(uh), s, matrix_transpose(v)


def svd(x: ArrayLike, /, *, full_matrices: bool = False) -> SVDResult:
    """Singular value decomposition ``x == u @ diag(s) @ vh``, reduced.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; integers become float64.
    full_matrices : bool
        False; where m is n it makes no difference. (The Array API's and NumPy's default is True.)

    Returns
    -------
    U : Tensor, shape (..., m, k)
        k is the smaller of m and n. Orthonormal columns.
    S : Tensor, shape (..., k)
        Not negative, in descending order.
    Vh : Tensor, shape (..., k, n)
        Orthonormal rows. Signs are such that in each column of U (in each row of Vh, if m < n) the first component
        which is not small (0.37 of the largest) is positive.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes, or `full_matrices` is true and m is not n: the vectors that would be added are
        arbitrary, and have no derivative.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Notes
    -----
    What `numpy.linalg.svd` has with ``full_matrices=False``. A matrix with infinity or nan has results of nan. The
    derivative is that of J. Townsend, "Differentiating the singular value decomposition", 2016, eqs. 18 to 31. By the
    vectors it is infinite or nan where two singular values are equal (and for the longer vectors where one is 0), since
    these vectors are arbitrary. Where only the values are used it is ``u diag(c) vh``, finite in any case.

    Examples
    --------
    >>> u, s, vh = tj.linalg.svd([[0.0, 2.0], [1.0, 0.0]])
    >>> s.numpy().round(4)
    array([2., 1.], dtype=float32)
    """
    (matrix,) = matrices("svd", x)
    if full_matrices and matrix.shape[-2] != matrix.shape[-1]:
        raise ShapeError(
            at_user_line(
                f"svd has full_matrices=True for square matrices only, got {matrix.aval}; use full_matrices=False"
            )
        )
    return SVDResult(*any_svd(matrix))


def svdvals(x: ArrayLike, /) -> "Tensor":
    """Singular values.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; integers become float64.

    Returns
    -------
    Tensor, shape (..., k)
        Not negative, in descending order; k is the smaller of m and n.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    numpy.linalg.LinAlgError
        If LAPACK's iteration does not end.

    Notes
    -----
    The second result of `svd`. With the cotangent c, the derivative is ``u diag(c) vh``: finite, also for values that
    are equal or 0.

    Examples
    --------
    >>> tj.linalg.svdvals([[0.0, 2.0], [1.0, 0.0]]).numpy().round(4)
    array([2., 1.], dtype=float32)
    """
    return any_svd(*matrices("svdvals", x))[1]  # type: ignore[no-any-return]
