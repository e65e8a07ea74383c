"""Functions of matrices: powers, the exponential, products of several.

Floor 4, above `systems`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...aval import checked_int
from ...errors import ShapeError, at_user_line
from ...families import Case, as_array, library_call, normal
from ...lowering import Routine
from ..annotations import ArrayLike
from ..arithmetic import abs as absolute
from ..comparison import equal, where
from ..conversion import stop_gradient
from ..creation import eye, zeros
from ..joining import concat
from ..products import matmul, matrix_transpose
from ..reductions import max as largest
from ..shaping import Apply, broadcast_to, reshape
from ..slicing import slice_axis
from .matrices import SINGULAR, square_matrices, square_rule
from .systems import inv

if TYPE_CHECKING:
    from ...tensor import Tensor


def matrix_power(x: ArrayLike, n: int, /) -> "Tensor":
    """The product of `n` times the same matrix.

    Parameters
    ----------
    x : array_like, shape (..., m, m)
        Square matrices of any numeric dtype.
    n : int
        0 gives the identity, a negative one powers of the inverse, in float64 where `x` has integers.

    Returns
    -------
    Tensor, shape (..., m, m)
        A new array.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If `n` is negative and a matrix is singular.

    Notes
    -----
    By repeated squaring, at most ``2 log2 n`` products.

    Examples
    --------
    >>> tj.linalg.matrix_power([[1, 1], [1, 0]], 10).tolist()
    [[89, 55], [55, 34]]
    """
    base: Any = as_array(x)
    shape = base.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(at_user_line(f"matrix_power takes square matrices, shape (..., n, n); got shape {shape}"))
    exponent = checked_int("matrix_power", "n", n)
    if exponent < 0:
        base, exponent = inv(base), -exponent
    if exponent == 0:
        return broadcast_to(eye(shape[-1], dtype=base.dtype), shape)
    power: Any = None
    while True:
        if exponent % 2:
            power = base if power is None else matmul(power, base)
        exponent //= 2
        if not exponent:
            return power  # type: ignore[no-any-return]
        base = matmul(base, base)


# The exponential

APPROXIMANTS: dict[np.dtype, tuple[float, tuple[float, ...]]] = {
    np.dtype(np.float32): (3.925724783138660, (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1)),
    np.dtype(np.float64): (
        5.371920351148152,
        (
            64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
            670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
        ),
    ),
}  # fmt: skip
"""For each dtype the largest norm, and the coefficients, of the Padé approximant: Higham (2005), tables 2.3 and 2.1."""


def exponential(x: np.ndarray) -> np.ndarray:
    """`expm` in NumPy; kernels do the same."""
    if not x.size:
        return x.copy()
    largest, coefficients = APPROXIMANTS[x.dtype]
    norms = np.abs(x).sum(axis=-2).max(axis=-1)
    finite = np.isfinite(norms)[..., None, None]
    fraction, exponent = np.frexp(np.where(finite[..., 0, 0], norms, 0) / largest)
    times = np.maximum(exponent - (fraction == 0.5), 0)[..., None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        out = _approximant(np.ldexp(np.where(finite, x, 0), -times), coefficients)
        for done in range(times.max()):
            out = np.where(times > done, out @ out, out)
    return np.where(finite, out, x.dtype.type(np.nan))


def _approximant(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Numerator and denominator are ``V ± U``, of even and odd powers."""
    scaled = [x.dtype.type(coefficient / coefficients[0]) for coefficient in coefficients]
    square = x @ x
    powers = [np.eye(x.shape[-1], dtype=x.dtype), square, square @ square]
    powers.append(powers[2] @ square)
    parts = []
    for shift in (1, 0):  # odd, even
        part = sum(scaled[2 * k + shift] * powers[k] for k in range(4))
        if len(scaled) > 8:
            part = part + powers[3] @ sum(scaled[2 * k + shift] * powers[k - 3] for k in range(4, 7))
        parts.append(part)
    odd, even = x @ parts[0], parts[1]
    return np.linalg.solve(even - odd, even + odd)


def _expm_vjp(ct: Any, x: Any) -> "Tensor":
    """Mathias (1996), theorem 2.1: the derivative along E is a block of the exponential of ``[[x, E], [0, x]]``.

    It is linear in the cotangent, which is scaled so that it does not count in the norm.
    """
    if not x.shape[-1]:
        return ct  # type: ignore[no-any-return]
    size: Any = stop_gradient(largest(absolute(ct), (-2, -1), keepdims=True))
    size = where(equal(size, 0), 1, size)
    n, last = x.shape[-1], len(x.shape) - 1
    flipped = matrix_transpose(x)
    upper = concat([flipped, ct / size], axis=-1)
    lower = concat([zeros(x.shape, x.dtype), flipped], axis=-1)
    both = _expm(concat([upper, lower], axis=-2))
    return slice_axis(slice_axis(both, last - 1, 0, n), last, n, 2 * n) * size  # type: ignore[no-any-return]


def _expm_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    return _expm_vjp(tangents[0], matrix_transpose(inputs[0]))


_expm: Apply = library_call(
    "expm",
    inputs=("x",),
    impl=exponential,
    lowering=Routine("expm", "(n,n)->(n,n)", lambda n: 20 * n**3, SINGULAR),
    rule=square_rule("expm"),
    vjp={"x": _expm_vjp},
    jvp=_expm_jvp,
    cases=(Case(normal(3, 3)), Case(normal(2, 2, 2)), Case(normal(0, 2, 2)), Case(normal(0, 0))),
    reference=exponential,
)


def expm(x: ArrayLike, /) -> "Tensor":
    """Matrix exponential ``Σ x^k / k!``.

    Parameters
    ----------
    x : array_like, shape (..., n, n), float32 or float64
        Square matrices. Integers become float64.

    Returns
    -------
    Tensor, shape (..., n, n)
        A new array; nan for a matrix with infinity or nan.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    Scaling and squaring: the Padé approximant of order 13 (7 in float32) of ``x / 2^s``, squared s times (N. J. Higham,
    "The scaling and squaring method for the matrix exponential revisited", SIAM J. Matrix Anal. Appl. 26, 2005,
    algorithm 2.3). The derivative along E is the upper right block of the exponential of ``[[x, E], [0, x]]``
    (R. Mathias, "A chain rule for matrix functions and applications", SIAM J. Matrix Anal. Appl. 17, 1996, theorem
    2.1); for a cotangent x is transposed.

    Examples
    --------
    >>> tj.linalg.expm([[0.0, 1.0], [0.0, 0.0]]).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    return _expm(*square_matrices("expm", x))


# Products of several


def multi_dot(arrays: Sequence[ArrayLike], /) -> "Tensor":
    """Product of several matrices, in the order of least work.

    Parameters
    ----------
    arrays : sequence of array_like, shape (m, n)
        Two or more; the first may be a row and the last a column, of shape (n,).

    Returns
    -------
    Tensor
        The product.

    Raises
    ------
    ShapeError
        If there are fewer than two, or the shapes do not fit.

    Notes
    -----
    T. H. Cormen et al., "Introduction to Algorithms", section 15.2.

    Examples
    --------
    >>> tj.linalg.multi_dot([tj.ones((2, 3)), tj.ones((3, 4)), tj.ones((4,))]).tolist()
    [12.0, 12.0]
    """
    values: list[Any] = [as_array(array) for array in arrays]
    shapes = [tuple(value.shape) for value in values]
    inside = shapes[1:-1]
    if len(values) < 2 or any(len(shape) != 2 for shape in inside) or not {len(shapes[0]), len(shapes[-1])} <= {1, 2}:
        raise ShapeError(
            at_user_line(f"multi_dot takes two or more matrices, at the ends also vectors; got shapes {shapes}")
        )
    row, column = len(shapes[0]) == 1, len(shapes[-1]) == 1
    if row:
        values[0] = reshape(values[0], (1, *shapes[0]))
    if column:
        values[-1] = reshape(values[-1], (*shapes[-1], 1))
    borders = _borders((*(value.shape[0] for value in values), values[-1].shape[-1]))
    out: Any = _multiplied(values, borders, 0, len(values) - 1)
    return reshape(out, out.shape[int(row) : 2 - int(column)]) if row or column else out


@lru_cache(maxsize=256)
def _borders(lengths: tuple[int, ...]) -> dict[tuple[int, int], int]:
    """Behind which matrix the product of the matrices from i to j is cut in two."""
    count = len(lengths) - 1
    work = {(i, i): 0 for i in range(count)}
    borders = {}
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            costs = {k: work[i, k] + work[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1] for k in range(i, j)}
            borders[i, j] = min(costs, key=costs.__getitem__)
            work[i, j] = costs[borders[i, j]]
    return borders


def _multiplied(values: Sequence[Any], borders: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return values[i]
    k = borders[i, j]
    return matmul(_multiplied(values, borders, i, k), _multiplied(values, borders, k + 1, j))
