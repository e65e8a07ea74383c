"""What operations on matrices share: their dtypes, checks of shapes, LAPACK's failures, triangles and diagonals.

Floor 4, lowest in the room.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...aval import Aval, Shape, broadcast_shapes
from ...errors import ShapeError, at_user_line, faulty_matrix
from ...families import Sample, coerce, floats
from ...families.batching import rows_at_once, stacked, turned
from ...primitive import BatchRule, Params
from ..annotations import ArrayLike
from ..comparison import equal, greater, where
from ..creation import iota
from ..products import with_batch
from ..shaping import broadcast_to, expand_dims

SINGULAR, INDEFINITE, UNSETTLED = "singular", "not positive definite", "one for which LAPACK's iteration does not end"
_LAPACK = (np.dtype(np.float32), np.dtype(np.float64))


# ---- operands


def _lapack_dtype(kinds: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The operands' common dtype, float64 for integers and booleans, as in `numpy.linalg`."""
    dtype = np.result_type(*[kind(0) if isinstance(kind, type) else kind for kind in kinds])
    if dtype.kind in "biu":
        dtype = np.dtype(np.float64)
    if dtype not in _LAPACK:
        raise TypeError(dtype.name)
    return (dtype,) * len(kinds)


def in_lapack_dtype(operation: str, *operands: ArrayLike) -> tuple[Any, ...]:
    """The operands in one dtype that LAPACK has."""
    return coerce(operation, operands, _lapack_dtype)


def matrices(operation: str, *operands: ArrayLike) -> tuple[Any, ...]:
    """The operands in one dtype; the first must hold matrices."""
    values = in_lapack_dtype(operation, *operands)
    if len(values[0].shape) < 2:
        raise ShapeError(
            at_user_line(f"{operation} takes matrices, shape (..., m, n); got shape {tuple(values[0].shape)}")
        )
    return values


def square_matrices(operation: str, *operands: ArrayLike) -> tuple[Any, ...]:
    """The operands in one dtype; the first must hold square matrices."""
    values = in_lapack_dtype(operation, *operands)
    check_square(operation, values[0].shape)
    return values


def check_square(operation: str, shape: Shape) -> None:
    """Refuse what is no stack of square matrices."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(at_user_line(f"{operation} takes square matrices, shape (..., n, n); got shape {shape}"))


def square_rule(operation: str) -> Callable[[Aval], Aval]:
    """The type rule of an operation from square matrices to such."""

    def rule(x: Aval) -> Aval:
        check_square(operation, x.shape)
        return Aval(x.shape, x.dtype)

    return rule


def system(operation: str, x: ArrayLike, y: ArrayLike) -> tuple[Any, Any, bool]:
    """Square matrices and right-hand sides with equal leading axes, and whether these were a single vector."""
    left, right = square_matrices(operation, x, y)
    n, vector = left.shape[-1], len(right.shape) == 1
    if not right.shape or right.shape[0 if vector else -2] != n:
        raise ShapeError(
            at_user_line(
                f"{operation}: shapes {left.shape} and {right.shape} do not fit: the right-hand sides must have {n} "
                "rows"
            )
        )
    if vector:
        right = expand_dims(right, 1)
    batch = broadcast_shapes(operation, (left.shape[:-2], right.shape[:-2]))
    return with_batch(left, batch), with_batch(right, batch), vector


def of_one_matrix(apply: Callable[..., Any]) -> BatchRule:
    """The batch rule of systems: a matrix that is the same for all meets all right-hand sides next to each other."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        x, y = inputs
        if batched[0]:
            return stacked(apply)(inputs, batched, size, params)
        return turned(rows_at_once(lambda rows, matrix: turned(apply(matrix, turned(rows))), turned(y), x))

    return rule


# ---- LAPACK's failures


def called(operation: str, function: Callable[..., Any], x: np.ndarray, *others: np.ndarray, fault: str) -> Any:
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


def on_finite(function: Callable[[np.ndarray], tuple[np.ndarray, ...]], x: np.ndarray) -> tuple[np.ndarray, ...]:
    """The results of an iteration that must not see infinity or NaN: these matrices have results of NaN."""
    finite = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    if finite.all():
        return function(x)
    results = function(np.where(finite, x, 0))
    return tuple(
        np.where(finite.reshape((*finite.shape[:-2], *(1,) * (out.ndim - x.ndim + 2))), out, out.dtype.type(np.nan))
        for out in results
    )


# ---- triangles and diagonals


def _rows_and_columns(x: Any) -> tuple[Any, Any]:
    return expand_dims(iota(x.shape[-2]), 1), expand_dims(iota(x.shape[-1]), 0)


def lower_half(x: Any) -> Any:
    """The lower triangle with half of the diagonal: Φ of Murray (2016), eq. 8."""
    rows, columns = _rows_and_columns(x)
    return where(greater(rows, columns), x, where(equal(rows, columns), 0.5 * x, 0))


def on_diagonal(x: Any) -> Any:
    """Where the diagonal is, as booleans of the matrices' shape (n, m)."""
    return equal(*_rows_and_columns(x))


def diagonal_matrix(x: Any) -> Any:
    """Matrices with these diagonals."""
    columns = expand_dims(x, -2)
    shape = (*x.shape, x.shape[-1])
    return where(on_diagonal(broadcast_to(columns, shape)), columns, 0)


# ---- samples for tests


def positive_sample(*batch: int, n: int) -> Sample:
    """Positive definite matrices."""

    def draw(generator: "np.random.Generator") -> np.ndarray:
        factor = generator.standard_normal((*batch, n, n))
        return factor @ np.swapaxes(factor, -1, -2) + n * np.eye(n)

    return floats(draw)


def regular_sample(*batch: int, n: int) -> Sample:
    """Matrices far from singular."""
    return floats(lambda generator: generator.standard_normal((*batch, n, n)) + 2 * n**0.5 * np.eye(n))
