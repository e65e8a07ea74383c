"""Triangular systems.

Floor 4, above `matrices`. One primitive for lower triangles; an upper triangle is a lower one of the flipped matrix,
and flips are index maps.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import Aval
from ...families import Case, library_call, normal
from ...lowering import Routine
from ..annotations import ArrayLike
from ..comparison import where
from ..products import matmul, matrix_transpose
from ..shaping import Apply, reshape
from ..slicing import flip
from ..triangles import tril
from .matrices import SINGULAR, called, of_one_matrix, on_diagonal, regular_sample, system

if TYPE_CHECKING:
    from ...tensor import Tensor


def _substituted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By LAPACK's general solver, which exchanges no rows of an upper triangle."""
    upper = np.tril(x)[..., ::-1, ::-1]
    found: np.ndarray = np.linalg.solve(upper, y[..., ::-1, :])[..., ::-1, :]
    return found


def _vjp_x(ct: Any, x: Any, out: Any) -> "Tensor":
    return -tril(matmul(solve_upper(matrix_transpose(x), ct), matrix_transpose(out)))  # type: ignore[no-any-return]


def _jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """From ``dx @ z + x @ dz == dy``, of dx the lower triangle."""
    by_x, by_y = tangents
    if by_x is not None:
        moved = matmul(tril(by_x), out)
        by_y = -moved if by_y is None else by_y - moved
    return solve_lower(inputs[0], by_y)


solve_lower: Apply = library_call(
    "triangular_solve",
    inputs=("x", "y"),
    impl=lambda x, y: np.ascontiguousarray(called("triangular_solve", _substituted, x, y, fault=SINGULAR)),
    lowering=Routine("solve_lower", "(n,n),(n,k)->(n,k)", lambda n, k: n**2 * k, SINGULAR),
    rule=lambda x, y: Aval(y.shape, y.dtype),
    vjp={"x": _vjp_x, "y": lambda ct, x: solve_upper(matrix_transpose(x), ct)},
    batch=of_one_matrix,
    jvp=_jvp,
    cases=(
        Case(regular_sample(n=3), normal(3, 2)),
        Case(regular_sample(2, n=2), normal(2, 2, 1)),
        Case(regular_sample(n=2), normal(2, 0)),
        Case(regular_sample(0, n=2), normal(0, 2, 1)),
    ),
    reference=lambda x, y: np.linalg.solve(np.tril(x), y),
)
"""``solve_lower(x, y)``: the solution z of ``tril(x) @ z == y``; both have the same leading axes."""


def solve_upper(x: Any, y: Any) -> "Tensor":
    """The solution z of ``triu(x) @ z == y``."""
    both = (len(x.shape) - 2, len(x.shape) - 1)
    return flip(solve_lower(flip(x, both), flip(y, both[:1])), both[:1])


def triangular_solve(
    x: ArrayLike, y: ArrayLike, /, *, lower: bool = True, transpose: bool = False, unit_diagonal: bool = False
) -> "Tensor":
    """The solution z of ``x @ z == y``, of x one triangle only.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        The other triangle is not read. Integers become float64.
    y : array_like, shape (n,) or (..., n, k)
        Right-hand sides: a vector only if it has one axis. Leading axes broadcast.
    lower : bool
        Whether it is the lower triangle of `x`.
    transpose : bool
        Whether to solve ``x.mT @ z == y``, x being its triangle.
    unit_diagonal : bool
        Whether the diagonal is taken to be ones, whatever it holds.

    Returns
    -------
    Tensor, shape (..., n) or (..., n, k)
        A new array.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a diagonal has a zero.
    ShapeError
        If the matrices are not square, or the shapes do not fit.

    Notes
    -----
    With the cotangent c, the derivative by y is the solution d of the transposed system for c, by x the same triangle
    of ``-d @ z.mT`` (M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
    differentiation", 2008, section 2.3.1).

    Examples
    --------
    >>> tj.linalg.triangular_solve([[2.0, 0.0], [1.0, 4.0]], [2.0, 5.0]).tolist()
    [1.0, 1.0]
    """
    matrix, right, vector = system("triangular_solve", x, y)
    if unit_diagonal:
        matrix = where(on_diagonal(matrix), 1, matrix)
    if transpose:
        matrix, lower = matrix_transpose(matrix), not lower
    out = solve_lower(matrix, right) if lower else solve_upper(matrix, right)
    return reshape(out, out.shape[:-1]) if vector else out
