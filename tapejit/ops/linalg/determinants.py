"""Determinants.

Floor 4, above `spectra`. That of a singular matrix has a derivative too, the matrix of cofactors, which is made of the
singular value decomposition.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import Aval
from ...families import Case, composite, floats, library_call
from ...families.batching import stacked
from ...lowering import Routine
from ..annotations import ArrayLike
from ..comparison import logical_or, where
from ..conversion import stop_gradient
from ..elementwise import exp
from ..product_reduction import prod
from ..products import matmul, matrix_transpose
from ..reductions import sum as total
from ..shaping import Apply, expand_dims, reshape
from ..triangles import diagonal, trace
from .matrices import check_square, diagonal_matrix, on_diagonal, regular_sample, square_matrices, square_rule
from .named import SlogdetResult
from .spectra import decomposed, tall_svd
from .systems import inverse, solve

if TYPE_CHECKING:
    from ...tensor import Tensor


def logarithm(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sign and logarithm of the size of determinants in NumPy.

    LAPACK's, but nan where it takes a matrix with nan for a singular one.
    """
    sign, size = (np.asarray(part) for part in np.linalg.slogdet(x))
    if sign.all():
        return sign, size
    unknown = (sign == 0) & ~np.isfinite(x).all(axis=(-2, -1))
    missing = x.dtype.type(np.nan)
    return np.where(unknown, missing, sign), np.where(unknown, missing, size)


def _slogdet_rule(x: Aval) -> tuple[Aval, Aval]:
    check_square("slogdet", x.shape)
    batch = Aval(x.shape[:-2], x.dtype)
    return batch, batch


def _slogdet_vjp(ct: Any, x: Any) -> "Tensor":
    weights = reshape(ct[1], (*ct[1].shape, 1, 1))
    return weights * matrix_transpose(inverse(x))  # type: ignore[no-any-return]


def _slogdet_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    return None, trace(solve(inputs[0], tangents[0]), axis1=-2, axis2=-1)


_slogdet: Callable[..., Any] = library_call(
    "slogdet",
    inputs=("x",),
    impl=logarithm,
    lowering=Routine("slogdet", "(n,n)->(),()", lambda n: 2 * n**3 // 3),
    rule=_slogdet_rule,
    vjp={"x": _slogdet_vjp},
    jvp=_slogdet_jvp,
    cases=(
        Case(regular_sample(n=3)),
        Case(regular_sample(2, n=2)),
        Case(regular_sample(0, n=2)),
        Case(floats(lambda _: -np.eye(3))),
    ),
    multiple=True,
    reference=np.linalg.slogdet,
)


def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """Sign of the determinant, and logarithm of its absolute value, which does not overflow.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Square matrices. Integers become float64.

    Returns
    -------
    sign : Tensor, shape (...)
        -1, 0 or 1.
    logabsdet : Tensor, shape (...)
        -inf for a singular matrix.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        In the derivative at a singular matrix.

    Notes
    -----
    The derivative of logabsdet is ``inv(x).mT``; the sign is not connected.

    Examples
    --------
    >>> sign, logabsdet = tj.linalg.slogdet([[2.0, 0.0], [0.0, -0.5]])
    >>> sign.item(), logabsdet.item()
    (-1.0, 0.0)
    """
    sign, logabsdet = _slogdet(*square_matrices("slogdet", x))
    return SlogdetResult(stop_gradient(sign), logabsdet)


# det


def _cofactors_impl(x: np.ndarray) -> np.ndarray:
    """``det(U) det(V) U diag(Π s[j], j ≠ i) Vᵀ``."""
    u, s, vh = decomposed(x)
    sign = np.linalg.slogdet(u)[0] * np.linalg.slogdet(vh)[0]
    others = np.prod(np.where(np.eye(x.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    found: np.ndarray = (sign[..., None, None] * u * others[..., None, :]) @ vh
    return found.astype(x.dtype, copy=False)


def _decomposed(x: Any) -> tuple[Any, Any, Any, Any]:
    """The sign ``det(U) det(V)``, for each matrix, and U, the singular values, and Vᵀ."""
    u, s, vh = tall_svd(x)
    sign = stop_gradient(_slogdet(u)[0] * _slogdet(vh)[0])
    return reshape(sign, (*sign.shape, 1, 1)), u, s, vh


def _cofactors_expand(x: Any) -> "Tensor":
    sign, u, s, vh = _decomposed(x)
    others: Any = prod(where(on_diagonal(x), 1, expand_dims(s, -2)), axis=-1)
    return matmul(sign * u * expand_dims(others, -2), vh)


def _cofactors_vjp(ct: Any, x: Any) -> "Tensor":
    """The second derivative of a determinant along `ct`.

    That of diag(s) along B has, with P[i, k] the product of all values but two, ``Σ P[i, k] B[k, k]`` in its diagonal
    and ``-P[i, j] B[j, i]`` beside it.
    """
    sign, u, s, vh = _decomposed(x)
    same = on_diagonal(x)
    left_out = logical_or(expand_dims(same, 0), expand_dims(same, 1))  # [i, k, l]: l is i or k
    pairs: Any = prod(where(left_out, 1, expand_dims(s, (-3, -2))), axis=-1)
    products = where(same, 0, pairs)
    turned = matmul(matmul(matrix_transpose(u), ct), matrix_transpose(vh))
    sums: Any = matmul(products, expand_dims(diagonal(turned, axis1=-2, axis2=-1), -1))
    inner = diagonal_matrix(reshape(sums, sums.shape[:-1])) - products * matrix_transpose(turned)
    return sign * matmul(matmul(u, inner), vh)  # type: ignore[no-any-return]


cofactors: Apply = composite(
    "cofactors",
    impl=_cofactors_impl,
    rule=square_rule("cofactors"),
    vjp={"x": _cofactors_vjp},
    expand=_cofactors_expand,
    batch=stacked,
    cases=(Case(regular_sample(n=3)), Case(regular_sample(2, n=2)), Case(regular_sample(n=1))),
    reference=lambda x: np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2),
)


def _det_rule(x: Aval) -> Aval:
    check_square("det", x.shape)
    return Aval(x.shape[:-2], x.dtype)


def _det_impl(x: np.ndarray) -> np.ndarray:
    sign, size = logarithm(x)
    return np.asarray(sign * np.exp(size))


def _det_vjp(ct: Any, x: Any) -> "Tensor":
    weights: Any = reshape(ct, (*ct.shape, 1, 1))
    return weights * cofactors(x)  # type: ignore[no-any-return]


def _det_expand(x: Any) -> "Tensor":
    sign, size = _slogdet(x)
    return sign * exp(size)  # type: ignore[no-any-return]


_det: Apply = composite(
    "det",
    impl=_det_impl,
    rule=_det_rule,
    vjp={"x": _det_vjp},
    jvp=lambda inputs, tangents, out, params: total(cofactors(inputs[0]) * tangents[0], axis=(-2, -1)),
    expand=_det_expand,
    batch=stacked,
    cases=(
        Case(regular_sample(n=3)),
        Case(regular_sample(2, n=2)),
        Case(regular_sample(0, n=2)),
        Case(floats(lambda _: np.ones((3, 3)))),
        Case(floats(lambda _: np.diag([0.0, 2.0, 3.0]))),
    ),
    reference=np.linalg.det,
)


def det(x: ArrayLike, /) -> "Tensor":
    """Determinant. It overflows easily: see `slogdet`.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Square matrices. Integers become float64.

    Returns
    -------
    Tensor, shape (...)
        A new array.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    The derivative is the matrix of cofactors, which is ``det(x) inv(x).mT`` where there is an inverse. It is made of
    the singular value decomposition ``x = U diag(s) Vᵀ``, as ``det(U) det(V) U diag(Π s[j], j ≠ i) Vᵀ``, so it is right
    at singular matrices too, and so is the second derivative. The third derivative differentiates U and V: it is nan
    where singular values are equal.

    Examples
    --------
    >>> tj.linalg.det([[1.0, 2.0], [3.0, 5.0]]).numpy().round(4)
    np.float32(-1.0)
    """
    return _det(*square_matrices("det", x))
