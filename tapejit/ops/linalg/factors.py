"""Factorisations that end after a known number of steps: Cholesky and QR.

Floor 4, above `triangular`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import Aval
from ...families import Case, library_call, normal
from ...lowering import Routine
from ..annotations import ArrayLike
from ..joining import concat
from ..products import matmul, matrix_transpose
from ..shaping import Apply
from ..slicing import slice_axis
from ..triangles import tril
from .matrices import (
    INDEFINITE,
    called,
    lower_half,
    matrices,
    positive_sample,
    square_matrices,
    square_rule,
)
from .named import QRResult
from .triangular import solve_lower, solve_upper

if TYPE_CHECKING:
    from ...tensor import Tensor

# Cholesky


def _cholesky_vjp(ct: Any, out: Any) -> "Tensor":
    """Murray (2016), eq. 10, with the derivative shared by both triangles: L⁻ᵀ Φ(Lᵀ c) L⁻¹, symmetrised."""
    upper = matrix_transpose(out)
    left = solve_upper(upper, lower_half(matmul(upper, ct)))
    both: Any = matrix_transpose(solve_upper(upper, matrix_transpose(left)))
    return 0.5 * (both + matrix_transpose(both))  # type: ignore[no-any-return]


def _cholesky_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """Murray (2016), eq. 8: ``L Φ(L⁻¹ dx L⁻ᵀ)``."""
    change = 0.5 * (tangents[0] + matrix_transpose(tangents[0]))
    half: Any = solve_lower(out, change)
    return matmul(out, lower_half(solve_lower(out, matrix_transpose(half))))


_cholesky: Apply = library_call(
    "cholesky",
    inputs=("x",),
    impl=lambda x: called("cholesky", np.linalg.cholesky, x, fault=INDEFINITE),
    lowering=Routine("cholesky", "(n,n)->(n,n)", lambda n: n**3 // 3, INDEFINITE),
    rule=square_rule("cholesky"),
    vjp={"x": _cholesky_vjp},
    jvp=_cholesky_jvp,
    # Larger matrices are tested along symmetric changes, to which the derivative belongs: tests/ops/linalg.
    cases=(Case(positive_sample(n=1)), Case(positive_sample(2, n=1)), Case(positive_sample(0, n=2))),
    reference=np.linalg.cholesky,
)


def cholesky(x: ArrayLike, /) -> "Tensor":
    """Lower triangular L with ``L @ L.mT == x``.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Symmetric positive definite; only the lower triangle is read. Integers become float64.

    Returns
    -------
    Tensor, shape (..., n, n)
        A new array, zero above the diagonal.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.
    ShapeError
        If the matrices are not square.

    Notes
    -----
    With the cotangent c, the derivative is ``L⁻ᵀ Φ(Lᵀ c) L⁻¹``, symmetrised: Φ takes the lower triangle and
    half of the diagonal (I. Murray, "Differentiation of the Cholesky decomposition", arXiv:1602.07527, 2016,
    eqs. 8 to 10). It is the derivative along symmetric changes of x, shared equally by both triangles.

    Examples
    --------
    >>> tj.linalg.cholesky([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    return _cholesky(*square_matrices("cholesky", x))


# QR


def orthogonalised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's factors with a diagonal that is not negative."""
    q, r = np.linalg.qr(x)
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(x.dtype)
    return q * signs[..., None, :], np.triu(r * signs[..., :, None])


def _qr_vjp(ct: Any, out: Any) -> "Tensor":
    """Seeger et al. (2017), section 4.3: ``(c_Q + Q S) R⁻ᵀ``, S being symmetric with the lower triangle of M."""
    (q, r), (by_q, by_r) = out, ct
    inner: Any = 0
    if by_r is not None:
        inner = matmul(r, matrix_transpose(by_r))
    if by_q is not None:
        inner = inner - matmul(matrix_transpose(by_q), q)
    half: Any = lower_half(inner)
    total = matmul(q, half + matrix_transpose(half))
    if by_q is not None:
        total = total + by_q
    return matrix_transpose(solve_upper(r, matrix_transpose(total)))


def _qr_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """``dx R⁻¹ = dQ + Q dR R⁻¹``, where ``Qᵀ dQ`` is skew and ``dR R⁻¹`` an upper triangle."""
    q, r = out
    change: Any = matrix_transpose(solve_lower(matrix_transpose(r), matrix_transpose(tangents[0])))
    inside: Any = matmul(matrix_transpose(q), change)
    lower: Any = tril(inside, k=-1)
    turn = lower - matrix_transpose(lower)
    return matmul(q, turn - inside) + change, matmul(inside - turn, r)


_qr: Any = library_call(
    "qr",
    inputs=("x",),
    impl=orthogonalised,
    lowering=Routine("qr", "(m,n)->(m,n),(n,n)", lambda m, n: 4 * m * n**2 - 4 * n**3 // 3),
    rule=lambda x: (Aval(x.shape, x.dtype), Aval((*x.shape[:-2], x.shape[-1], x.shape[-1]), x.dtype)),
    vjp={"x": _qr_vjp},
    jvp=_qr_jvp,
    cases=(Case(normal(3, 3)), Case(normal(2, 4, 2)), Case(normal(0, 3, 2)), Case(normal(3, 0)), Case(normal(1, 1))),
    multiple=True,
    partial=True,
    reference=orthogonalised,
)


def qr(x: ArrayLike, /) -> QRResult:
    """Q with orthonormal columns and upper triangular R with ``Q @ R == x``.

    Parameters
    ----------
    x : array_like, shape (..., m, n), float32 or float64
        Matrices; integers become float64.

    Returns
    -------
    Q : Tensor, shape (..., m, k)
        k is the smaller of m and n: the reduced form.
    R : Tensor, shape (..., k, n)
        Its diagonal is not negative, which makes the factors of a matrix of full rank unique. (LAPACK and
        `numpy.linalg.qr` leave signs as they come.)

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    numpy.linalg.LinAlgError
        In the derivative where R is singular, since there is none.

    Notes
    -----
    By Householder reflections. With cotangents c and d of Q and R, the derivative of a matrix with m ≥ n is ``(c + Q
    S) R⁻ᵀ``, where S is symmetric and has the lower triangle of ``R dᵀ - cᵀ Q`` (M. Seeger et al.,
    "Auto-differentiating linear algebra", arXiv:1710.08717, 2017, section 4.3). A wide matrix is factorised by its
    first m columns.

    Examples
    --------
    >>> q, r = tj.linalg.qr([[0.0, 2.0], [1.0, 3.0]])
    >>> tj.round(r).tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """
    (matrix,) = matrices("qr", x)
    rows, columns = matrix.shape[-2:]
    if rows >= columns:
        return QRResult(*_qr(matrix))
    last = len(matrix.shape) - 1
    q, r = _qr(slice_axis(matrix, last, 0, rows))
    rest = matmul(matrix_transpose(q), slice_axis(matrix, last, rows, columns))
    return QRResult(q, concat([r, rest], axis=-1))
