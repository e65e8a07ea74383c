"""Linear systems and the inverse.

Floor 4, above `triangular`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import Aval
from ...families import Case, library_call, normal
from ...lowering import Routine
from ..annotations import ArrayLike
from ..arithmetic import negative
from ..products import matmul, matrix_transpose
from ..shaping import Apply, reshape
from .matrices import SINGULAR, called, of_one_matrix, regular_sample, square_matrices, square_rule, system
from .triangular import solve_lower, solve_upper

if TYPE_CHECKING:
    from ...tensor import Tensor

# solve


def _solve_rule(x: Aval, y: Aval) -> Aval:
    return Aval(y.shape, y.dtype)


def _solve_vjp_x(ct: Any, x: Any, out: Any) -> "Tensor":
    return -matmul(_solve(matrix_transpose(x), ct), matrix_transpose(out))  # type: ignore[no-any-return]


def _solve_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """From ``dx @ z + x @ dz == dy``."""
    by_x, by_y = tangents
    right = by_y if by_x is None else -matmul(by_x, out) if by_y is None else by_y - matmul(by_x, out)
    return _solve(inputs[0], right)


_solve: Apply = library_call(
    "solve",
    inputs=("x", "y"),
    impl=lambda x, y: called("solve", np.linalg.solve, x, y, fault=SINGULAR),
    lowering=Routine("solve", "(n,n),(n,k)->(n,k)", lambda n, k: 2 * n**3 // 3 + 2 * n**2 * k, SINGULAR),
    rule=_solve_rule,
    vjp={"x": _solve_vjp_x, "y": lambda ct, x: _solve(matrix_transpose(x), ct)},
    batch=of_one_matrix,
    jvp=_solve_jvp,
    cases=(
        Case(regular_sample(n=3), normal(3, 2)),
        Case(regular_sample(n=3), normal(3)),
        Case(regular_sample(2, n=2), normal(2)),
        Case(regular_sample(2, 1, n=2), normal(3, 2, 1)),
        Case(regular_sample(n=2), normal(2, 0)),
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
    left, right, vector = system("solve", x, y)
    out = _solve(left, right)
    return reshape(out, out.shape[:-1]) if vector else out


def cholesky_solve(factor: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The solution z of ``x @ z == y``, given the Cholesky factor of x.

    Parameters
    ----------
    factor : array_like, shape (..., n, n), float32 or float64
        Lower triangular L with ``L @ L.mT == x``, as from `cholesky`; what is above its diagonal is not read.
    y : array_like, shape (n,) or (..., n, k)
        Right-hand sides: a vector only if it has one axis. Leading axes broadcast.

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
    Two triangular systems, ``L w = y`` and ``Lᵀ z = w``, with their derivatives: see `triangular_solve`.

    Examples
    --------
    >>> tj.linalg.cholesky_solve([[2.0, 0.0], [0.0, 3.0]], [4.0, 18.0]).tolist()
    [1.0, 2.0]
    """
    lower, right, vector = system("cholesky_solve", factor, y)
    out = solve_upper(matrix_transpose(lower), solve_lower(lower, right))
    return reshape(out, out.shape[:-1]) if vector else out


# inv


def _inv_vjp(ct: Any, out: Any) -> "Tensor":
    flipped = matrix_transpose(out)
    return -matmul(flipped, matmul(ct, flipped))  # type: ignore[no-any-return]


inverse: Apply = library_call(
    "inv",
    inputs=("x",),
    impl=lambda x: called("inv", np.linalg.inv, x, fault=SINGULAR),
    lowering=Routine("inverse", "(n,n)->(n,n)", lambda n: 8 * n**3 // 3, SINGULAR),
    rule=square_rule("inv"),
    vjp={"x": _inv_vjp},
    jvp=lambda inputs, tangents, out, params: negative(matmul(matmul(out, tangents[0]), out)),
    cases=(Case(regular_sample(n=3)), Case(regular_sample(2, n=2)), Case(regular_sample(0, n=2))),
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
    return inverse(*square_matrices("inv", x))
