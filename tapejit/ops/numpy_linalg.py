"""The functions of `numpy.linalg` applied to tensors, in terms of `tj.linalg`.

Floor 4, below `numpy_names`, which looks them up. They have NumPy's parameters; what tapejit does not have is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DtypeError, at_user_line
from . import linalg
from .products import matmul, matrix_transpose, outer, tensordot, vecdot
from .triangles import diagonal, trace
from .vector_products import cross


def _refuse(label: str, reason: str) -> None:
    raise DtypeError(
        at_user_line(f"np.linalg.{label} of a tensor {reason}; use np.linalg.{label}(t.numpy(), ...) on the numbers")
    )


def _solve(a: Any, b: Any) -> Any:
    return linalg.solve(a, b)


def _eigh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 (NumPy's name)
    return linalg.eigh(a if UPLO in "Ll" else matrix_transpose(a))


def _eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803 (NumPy's name)
    return linalg.eigvalsh(a if UPLO in "Ll" else matrix_transpose(a))


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if hermitian:
        _refuse("svd", "takes no hermitian=True")
    if not compute_uv:
        return linalg.svdvals(a)
    if full_matrices and a.shape[-2:-1] != a.shape[-1:]:
        _refuse("svd", "takes full_matrices=False where matrices are not square")
    return linalg.svd(a)


def _qr(a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "r"):
        _refuse("qr", f"takes mode='reduced' or 'r', not {mode!r}")
    return linalg.qr(a) if mode == "reduced" else linalg.qr(a)[1]


def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    if hermitian:
        _refuse("pinv", "takes no hermitian=True")
    return linalg.pinv(a, rtol=rtol if rcond is None else rcond)


def _matrix_rank(A: Any, tol: None = None, hermitian: bool = False, *, rtol: Any = None) -> Any:  # noqa: N803 (NumPy's name)
    if hermitian or tol is not None:
        _refuse("matrix_rank", "takes rtol=, but no tol= or hermitian=True")
    return linalg.matrix_rank(A, rtol=rtol)


def _matrix_power(a: Any, n: int) -> Any:
    return linalg.matrix_power(a, n)


def _multi_dot(arrays: Any, *, out: None = None) -> Any:
    return linalg.multi_dot(arrays)


def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    return linalg.lstsq(a, b, rcond=rcond)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return linalg.norm(x, ord, axis, keepdims=keepdims)


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return linalg.matrix_norm(x, keepdims=keepdims, ord=ord)


def of_a(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array, with NumPy's parameter."""

    def of_array(a: Any) -> Any:
        return function(a)

    return of_array


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "cholesky": of_a(linalg.cholesky),
    "cond": lambda x, p=None: linalg.cond(x, p),
    "cross": lambda x1, x2, /, *, axis=-1: cross(x1, x2, axis=axis),
    "det": of_a(linalg.det),
    "diagonal": lambda x, /, *, offset=0: diagonal(x, offset=offset, axis1=-2, axis2=-1),
    "eigh": _eigh,
    "eigvalsh": _eigvalsh,
    "inv": of_a(linalg.inv),
    "lstsq": _lstsq,
    "matmul": matmul,
    "matrix_norm": _matrix_norm,
    "matrix_power": _matrix_power,
    "matrix_rank": _matrix_rank,
    "matrix_transpose": matrix_transpose,
    "multi_dot": _multi_dot,
    "norm": _norm,
    "outer": outer,
    "pinv": _pinv,
    "qr": _qr,
    "slogdet": of_a(linalg.slogdet),
    "solve": _solve,
    "svd": _svd,
    "svdvals": lambda x, /: linalg.svdvals(x),
    "tensordot": lambda x1, x2, /, *, axes=2: tensordot(x1, x2, axes=axes),
    "trace": lambda x, /, *, offset=0, dtype=None: trace(x, offset=offset, axis1=-2, axis2=-1, dtype=dtype),
    "vecdot": lambda x1, x2, /, *, axis=-1: vecdot(x1, x2, axis=axis),
    "vector_norm": _vector_norm,
}
"""By the names that they have in `numpy.linalg`."""
