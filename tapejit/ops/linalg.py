"""Linear algebra, public as ``tj.linalg``: Cholesky factor, linear systems, inverse, determinant.

Floor 4. Each is one call of LAPACK over stacks of matrices; the reverse rules are made of the same
operations and matrix products, so derivatives of any order exist.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, broadcast_shapes
from ..errors import ShapeError, at_user_line, faulty_matrix
from ..families import Case, coerce, floats, library_call, normal
from ..families.batching import rows_at_once, stacked, turned
from ..lowering import Routine
from ..primitive import BatchRule, Params
from .annotations import ArrayLike
from .arithmetic import negative
from .comparison import equal, greater, where
from .conversion import stop_gradient
from .creation import arange
from .products import matmul, matrix_transpose
from .shaping import Apply, broadcast_to, expand_dims, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["cholesky", "inv", "slogdet", "solve"]

_LAPACK = (np.dtype(np.float32), np.dtype(np.float64))
_SINGULAR, _INDEFINITE = "singular", "not positive definite"


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return __all__


def _lapack_dtype(kinds: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The operands' common dtype, float64 for integers and booleans, as in `numpy.linalg`."""
    dtype = np.result_type(*[kind(0) if isinstance(kind, type) else kind for kind in kinds])
    if dtype.kind in "biu":
        dtype = np.dtype(np.float64)
    if dtype not in _LAPACK:
        raise TypeError(dtype.name)
    return (dtype,) * len(kinds)


def _matrices(operation: str, *operands: ArrayLike) -> tuple[Any, ...]:
    """The operands in one dtype; the first must hold square matrices."""
    values = coerce(operation, operands, _lapack_dtype)
    _check_square(operation, values[0].shape)
    return values


def _check_square(operation: str, shape: Shape) -> None:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(at_user_line(f"{operation} takes square matrices, shape (..., n, n); got shape {shape}"))


def _called(operation: str, function: Callable[..., Any], x: np.ndarray, *others: np.ndarray, fault: str) -> Any:
    """LAPACK's answer; where it fails, which matrix it was and what is wrong with it."""
    try:
        return function(x, *others)
    except np.linalg.LinAlgError:
        number = _first_failure(function, x.reshape((-1, *x.shape[-2:])), others)
        raise np.linalg.LinAlgError(at_user_line(faulty_matrix(operation, x.shape, number, fault))) from None


def _first_failure(function: Callable[..., Any], stack: np.ndarray, others: tuple[np.ndarray, ...]) -> int:
    column = [np.zeros((stack.shape[-1], 1), stack.dtype) for _ in others]
    for place, matrix in enumerate(stack):
        try:
            function(matrix, *column)
        except np.linalg.LinAlgError:
            return place
    return 0


# Cholesky


def _positive(*batch: int, n: int) -> Any:
    def draw(generator: "np.random.Generator") -> np.ndarray:
        factor = generator.standard_normal((*batch, n, n))
        return factor @ np.swapaxes(factor, -1, -2) + n * np.eye(n)

    return floats(draw)


def _regular(*batch: int, n: int) -> Any:
    return floats(lambda generator: generator.standard_normal((*batch, n, n)) + 2 * n**0.5 * np.eye(n))


def _square_rule(operation: str) -> Callable[[Aval], Aval]:
    def rule(x: Aval) -> Aval:
        _check_square(operation, x.shape)
        return Aval(x.shape, x.dtype)

    return rule


def _lower_half(x: Any) -> "Tensor":
    """The lower triangle with half of the diagonal: Φ of Murray (2016), eq. 8."""
    rows = expand_dims(arange(x.shape[-1]), 1)
    columns = expand_dims(arange(x.shape[-1]), 0)
    return where(greater(rows, columns), x, where(equal(rows, columns), 0.5 * x, 0))  # type: ignore[no-any-return]


def _cholesky_vjp(ct: Any, out: Any) -> "Tensor":
    """Murray (2016), eq. 10, with the derivative shared by both triangles: L⁻ᵀ Φ(Lᵀ c) L⁻¹, symmetrised."""
    upper = matrix_transpose(out)
    inner = _lower_half(matmul(upper, ct))
    left = solve(upper, inner)
    both: Any = matrix_transpose(solve(upper, matrix_transpose(left)))
    return 0.5 * (both + matrix_transpose(both))  # type: ignore[no-any-return]


_cholesky: Apply = library_call(
    "cholesky",
    inputs=("x",),
    impl=lambda x: _called("cholesky", np.linalg.cholesky, x, fault=_INDEFINITE),
    lowering=Routine("cholesky", "(n,n)->(n,n)", lambda n: n**3 // 3, _INDEFINITE),
    rule=_square_rule("cholesky"),
    vjp={"x": _cholesky_vjp},
    # Larger matrices are tested along symmetric changes, to which the derivative belongs:
    # tests/ops/test_linalg.py.
    cases=(Case(_positive(n=1)), Case(_positive(2, n=1)), Case(_positive(0, n=2))),
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
    return _cholesky(*_matrices("cholesky", x))


# solve


def _solve_rule(x: Aval, y: Aval) -> Aval:
    return Aval(y.shape, y.dtype)


def _solve_vjp_x(ct: Any, x: Any, out: Any) -> "Tensor":
    return -matmul(_solve(matrix_transpose(x), ct), matrix_transpose(out))  # type: ignore[no-any-return]


def _solve_batch(apply: Callable[..., Any]) -> BatchRule:
    """A matrix that is the same for all is solved once, with all right-hand sides next to each other."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        x, y = inputs
        if batched[0]:
            return stacked(apply)(inputs, batched, size, params)
        return turned(rows_at_once(lambda rows, matrix: turned(apply(matrix, turned(rows))), turned(y), x))

    return rule


def _solve_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """From ``dx @ z + x @ dz == dy``."""
    by_x, by_y = tangents
    right = by_y if by_x is None else -matmul(by_x, out) if by_y is None else by_y - matmul(by_x, out)
    return _solve(inputs[0], right)


_solve: Apply = library_call(
    "solve",
    inputs=("x", "y"),
    impl=lambda x, y: _called("solve", np.linalg.solve, x, y, fault=_SINGULAR),
    lowering=Routine("solve", "(n,n),(n,k)->(n,k)", lambda n, k: 2 * n**3 // 3 + 2 * n**2 * k, _SINGULAR),
    rule=_solve_rule,
    vjp={"x": _solve_vjp_x, "y": lambda ct, x: _solve(matrix_transpose(x), ct)},
    batch=_solve_batch,
    jvp=_solve_jvp,
    cases=(
        Case(_regular(n=3), normal(3, 2)),
        Case(_regular(n=3), normal(3)),
        Case(_regular(2, n=2), normal(2)),
        Case(_regular(2, 1, n=2), normal(3, 2, 1)),
        Case(_regular(n=2), normal(2, 0)),
    ),
    reference=np.linalg.solve,
)


def solve(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The solution z of ``x @ z == y``.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Square matrices. Integers become float64.
    y : array_like, shape (n,) or (..., n, k)
        Right-hand sides: a vector only if it has one axis, as in NumPy 2. Leading axes broadcast.

    Returns
    -------
    Tensor, shape (..., n) or (..., n, k)
        A new array.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular.
    ShapeError
        If the matrices are not square, or the shapes do not fit.

    Notes
    -----
    With the cotangent c, the derivative by y is ``d = solve(x.mT, c)``, by x ``-d @ z.mT``.

    Examples
    --------
    >>> tj.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0]).tolist()
    [1.0, 0.5]
    """
    left, right = _matrices("solve", x, y)
    n, vector = left.shape[-1], len(right.shape) == 1
    if not right.shape or right.shape[0 if vector else -2] != n:
        raise ShapeError(
            at_user_line(
                f"solve: shapes {left.shape} and {right.shape} do not fit: the right-hand sides must have {n} rows"
            )
        )
    if vector:
        right = expand_dims(right, 1)
    batch = broadcast_shapes("solve", (left.shape[:-2], right.shape[:-2]))
    left, right = (
        each if each.shape[:-2] == batch else broadcast_to(each, (*batch, *each.shape[-2:])) for each in (left, right)
    )
    out = _solve(left, right)
    return reshape(out, out.shape[:-1]) if vector else out


# inv and slogdet


def _inv_vjp(ct: Any, out: Any) -> "Tensor":
    flipped = matrix_transpose(out)
    return -matmul(flipped, matmul(ct, flipped))  # type: ignore[no-any-return]


_inv: Apply = library_call(
    "inv",
    inputs=("x",),
    impl=lambda x: _called("inv", np.linalg.inv, x, fault=_SINGULAR),
    lowering=Routine("inverse", "(n,n)->(n,n)", lambda n: 8 * n**3 // 3, _SINGULAR),
    rule=_square_rule("inv"),
    vjp={"x": _inv_vjp},
    jvp=lambda inputs, tangents, out, params: negative(matmul(matmul(out, tangents[0]), out)),
    cases=(Case(_regular(n=3)), Case(_regular(2, n=2)), Case(_regular(0, n=2))),
    reference=np.linalg.inv,
)


def inv(x: ArrayLike, /) -> "Tensor":
    """Inverse matrix. For ``inv(x) @ y``, `solve` is faster and more accurate.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Square matrices. Integers become float64.

    Returns
    -------
    Tensor, shape (..., n, n)
        A new array.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular.
    ShapeError
        If the matrices are not square.

    Notes
    -----
    With the cotangent c and the inverse z, the derivative is ``-z.mT @ c @ z.mT``.

    Examples
    --------
    >>> tj.linalg.inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return _inv(*_matrices("inv", x))


def _slogdet_rule(x: Aval) -> tuple[Aval, Aval]:
    _check_square("slogdet", x.shape)
    batch = Aval(x.shape[:-2], x.dtype)
    return batch, batch


def _slogdet_vjp(ct: Any, x: Any) -> "Tensor":
    weights = reshape(ct[1], (*ct[1].shape, 1, 1))
    return weights * matrix_transpose(_inv(x))  # type: ignore[no-any-return]


_slogdet: Callable[..., Any] = library_call(
    "slogdet",
    inputs=("x",),
    impl=lambda x: tuple(np.linalg.slogdet(x)),
    lowering=Routine("slogdet", "(n,n)->(),()", lambda n: 2 * n**3 // 3),
    rule=_slogdet_rule,
    vjp={"x": _slogdet_vjp},
    cases=(
        Case(_regular(n=3)),
        Case(_regular(2, n=2)),
        Case(_regular(0, n=2)),
        Case(floats(lambda _: -np.eye(3))),
    ),
    multiple=True,
    reference=np.linalg.slogdet,
)


def slogdet(x: ArrayLike, /) -> "tuple[Tensor, Tensor]":
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
    sign, logabsdet = _slogdet(*_matrices("slogdet", x))
    return stop_gradient(sign), logabsdet
