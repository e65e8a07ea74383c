"""The routines of kernels: what handles whole matrices or rows at a time, as plain Python and NumPy functions.

They take the pointers of `runtime`, which adds them to its names. A call in the text is
``name_dtype(library functions…, operands with their strides…, results…, lengths…, scratch…)``: results are contiguous,
lengths in the order of the declaration (see `lowering.Routine`), and scratch is workspace that nobody reads afterwards.
What is returned is 0, or another number if the matrix is none that the routine can handle. `lapack` and `sorting` have
the second meaning, as LLVM instructions. Start reading at `ROUTINES`, at the end.
"""

from __future__ import annotations  # pointers are defined above, in `runtime`

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dataclass import dataclass
from ..ops import winograd as transforms
from ..ops.linalg import determinants, factors, functions, spectra
from .winograd_shape import apart, block_of_rows, rows_at_once

if TYPE_CHECKING:
    from .runtime import Pointer

Scratch = tuple[tuple[str, np.dtype, int], ...]
"""For each piece of workspace what to call it, its dtype and the number of its elements."""


@dataclass(frozen=True, slots=True)
class Routine:
    """One routine.

    Parameters
    ----------
    plain : callable
        Its meaning on pointers.
    kinds : str
        For which dtypes of the first operand there is one, by NumPy's letters.
    scratch : callable
        From that dtype and the lengths to the workspace that it needs.
    library : tuple of str
        The library functions that it calls, with ``?`` for the letter of the dtype.
    """

    plain: Callable[..., int]
    kinds: str
    scratch: Callable[..., Scratch] = lambda dtype, *lengths: ()
    library: tuple[str, ...] = ()


# --- pointers -----------------------------------------------------------------------------------------------


def _read(pointer: Pointer, strides: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """The elements at ``pointer[i * strides[0] + …]``."""
    array = np.zeros(shape, pointer.dtype)
    for index in np.ndindex(*shape):
        array[index] = pointer[int(np.dot(index, strides))]
    return array


def _write(pointer: Pointer, array: Any) -> None:
    for index, value in enumerate(np.ravel(array)):
        pointer[index] = value


def _written(result: Callable[[], Any], *targets: Pointer) -> int:
    """Write the result, or one result to each target; 1 if there is none."""
    try:
        found = result()
    except np.linalg.LinAlgError:
        return 1
    for target, array in zip(targets, (found,) if len(targets) == 1 else found, strict=True):
        _write(target, array)
    return 0


# --- linear algebra -----------------------------------------------------------------------------------------


def cholesky(_potrf: int, x: Pointer, down: int, across: int, factor: Pointer, n: int) -> int:
    """The lower triangular factor of `x`, of which only the lower triangle is read."""
    matrix = np.zeros((n, n), x.dtype)
    for row in range(n):
        for column in range(row + 1):
            matrix[row, column] = x[row * down + column * across]
    return _written(lambda: np.linalg.cholesky(matrix), factor)


def solve(  # noqa: PLR0913, PLR0917 - two matrices with their strides
    _getrf: int, _trsm: int, x: Pointer, down: int, across: int, y: Pointer, y_down: int, y_across: int,
    out: Pointer, n: int, k: int, _factor: Pointer, _pivots: Pointer,
) -> int:  # fmt: skip
    """The solution z of ``x @ z == y``."""
    matrix, right = _read(x, (down, across), (n, n)), _read(y, (y_down, y_across), (n, k))
    return _written(lambda: np.linalg.solve(matrix, right), out)


def inverse(
    _getrf: int, _trsm: int, x: Pointer, down: int, across: int, out: Pointer, n: int, _factor: Pointer,
    _pivots: Pointer,
) -> int:  # fmt: skip
    """The inverse matrix."""
    matrix = _read(x, (down, across), (n, n))
    return _written(lambda: np.linalg.inv(matrix), out)


def slogdet(
    _getrf: int, x: Pointer, down: int, across: int, sign: Pointer, logarithm: Pointer, n: int, _factor: Pointer,
    _pivots: Pointer,
) -> int:  # fmt: skip
    """Sign of the determinant and logarithm of its absolute value; a singular matrix has 0 and -inf."""
    matrix = _read(x, (down, across), (n, n))
    return _written(lambda: determinants.logarithm(matrix), sign, logarithm)


def solve_lower(  # noqa: PLR0913, PLR0917 - two matrices with their strides
    _trsm: int, x: Pointer, down: int, across: int, y: Pointer, y_down: int, y_across: int, out: Pointer, n: int,
    k: int, _triangle: Pointer,
) -> int:  # fmt: skip
    """The solution z of ``x @ z == y``, of `x` only the lower triangle."""
    matrix, right = np.tril(_read(x, (down, across), (n, n))), _read(y, (y_down, y_across), (n, k))
    return _written(lambda: np.linalg.solve(matrix, right), out)


def eigh(
    _syevd: int, x: Pointer, down: int, across: int, values: Pointer, vectors: Pointer, n: int, _work: Pointer,
    _whole: Pointer,
) -> int:  # fmt: skip
    """Eigenvalues and eigenvectors of `x`, of which only the lower triangle is read."""
    matrix = np.tril(_read(x, (down, across), (n, n)))
    return _written(lambda: spectra.symmetric_spectrum(matrix), values, vectors)


def svd(  # noqa: PLR0917 - three results
    _gesdd: int, x: Pointer, down: int, across: int, u: Pointer, s: Pointer, vh: Pointer, m: int, n: int,
    _copy: Pointer, _work: Pointer, _whole: Pointer,
) -> int:  # fmt: skip
    """Reduced singular value decomposition of a matrix with at least as many rows as columns."""
    matrix = _read(x, (down, across), (m, n))
    return _written(lambda: spectra.decomposed(matrix), u, s, vh)


def qr(  # noqa: PLR0917 - two results
    _geqrf: int, _orgqr: int, x: Pointer, down: int, across: int, q: Pointer, r: Pointer, m: int, n: int,
    _factored: Pointer, _tau: Pointer, _work: Pointer,
) -> int:  # fmt: skip
    """Reduced QR factorisation of such a matrix."""
    matrix = _read(x, (down, across), (m, n))
    return _written(lambda: factors.orthogonalised(matrix), q, r)


def expm(
    _getrf: int, _trsm: int, _gemm: int, x: Pointer, down: int, across: int, out: Pointer, n: int, _powers: Pointer,
    _factors: Pointer, _pivots: Pointer,
) -> int:  # fmt: skip
    """The exponential of a matrix."""
    matrix = _read(x, (down, across), (n, n))
    return _written(lambda: functions.exponential(matrix), out)


SVD_WORK, QR_WORK = 72, 64
"""How much workspace LAPACK gets for each row and column: enough for its blocks."""


def _spectral(dtype: np.dtype, n: int) -> Scratch:
    return ("work", dtype, 2 * n * n + 6 * n + 1), ("whole", np.dtype(np.int32), 5 * n + 3)


def _singular(dtype: np.dtype, m: int, n: int) -> Scratch:
    work = 4 * n * n + SVD_WORK * (m + n + 1)
    return ("copy", dtype, m * n), ("work", dtype, work), ("whole", np.dtype(np.int32), 8 * n)


def _orthogonal(dtype: np.dtype, m: int, n: int) -> Scratch:
    return ("copy", dtype, m * n), ("tau", dtype, n), ("work", dtype, max(QR_WORK * n, 1))


POWERS = 6
"""How many matrices the exponential needs beside its result and the factors."""


def _powers(dtype: np.dtype, n: int) -> Scratch:
    return ("powers", dtype, POWERS * n * n), *_factors(dtype, n)


def _factors(dtype: np.dtype, n: int, *_others: int) -> Scratch:
    """What an LU factorisation leaves: both factors, and which rows were exchanged."""
    return ("factors", dtype, n * n), ("pivots", np.dtype(np.int32), n)


# --- sorting ------------------------------------------------------------------------------------------------


def sort(x: Pointer, stride: int, out: Pointer, n: int, _scratch: Pointer) -> int:
    """The elements in ascending order, equal ones as they stood, NaN last."""
    row = _read(x, (stride,), (n,))
    return _written(lambda: np.sort(row, kind="stable"), out)


def argsort(x: Pointer, stride: int, out: Pointer, n: int, _scratch: Pointer) -> int:
    """Where the elements of that order stood."""
    row = _read(x, (stride,), (n,))
    return _written(lambda: np.argsort(row, kind="stable"), out)


def _search(side: Any) -> Callable[..., int]:
    def search(  # noqa: PLR0917 - two rows with their strides
        x: Pointer, stride: int, values: Pointer, step: int, out: Pointer, n: int, m: int
    ) -> int:  # fmt: skip
        """Before which element of `x`, which is in order, each value belongs."""
        row, wanted = _read(x, (stride,), (n,)), _read(values, (step,), (m,))
        return _written(lambda: np.searchsorted(row, wanted, side), out)

    return search


# --- convolutions -------------------------------------------------------------------------------------------


def winograd_kernel(  # noqa: PLR0913, PLR0917 - strides along each axis
    kernel: Pointer, down: int, across: int, channel_in: int, channel_out: int, out: Pointer, m: int, n: int, c: int,
    d: int,
) -> int:  # fmt: skip
    """The matrices that a kernel of 3×3 places becomes."""
    array = _read(kernel, (down, across, channel_in, channel_out), (m, n, c, d))
    return _written(lambda: transforms.transformed(array), out)


def winograd_conv(  # noqa: PLR0913, PLR0917 - two arrays with their strides
    x: Pointer, down: int, across: int, channel: int, kernel: Pointer, place: int, channel_in: int, channel_out: int,
    out: Pointer, h: int, w: int, c: int, p: int, d: int, _spread: Pointer, _products: Pointer,
) -> int:  # fmt: skip
    """A convolution by those matrices."""
    array = _read(x, (down, across, channel), (h, w, c))
    weights = _read(kernel, (place, channel_in, channel_out), (p, c, d))
    return _written(lambda: transforms.convolved(array, weights), out)


def winograd_by_kernel(  # noqa: PLR0913, PLR0917 - two arrays with their strides
    x: Pointer, down: int, across: int, channel: int, ct: Pointer, ct_down: int, ct_across: int, ct_channel: int,
    out: Pointer, h: int, w: int, c: int, i: int, j: int, d: int, _spread: Pointer, _scattered: Pointer,
    _totals: Pointer,
) -> int:  # fmt: skip
    """The cotangent of a kernel of 3×3 places, from an input and the cotangent of the result."""
    array = _read(x, (down, across, channel), (h, w, c))
    cotangent = _read(ct, (ct_down, ct_across, ct_channel), (i, j, d))
    return _written(lambda: transforms.by_kernel(array, cotangent), out)


def _tiles(dtype: np.dtype, h: int, w: int, c: int, p: int, d: int) -> Scratch:
    tiles = rows_at_once(h - 2, w - 2, c, d, dtype.name) * transforms.tiles_along(w - 2)
    return ("spread", dtype, p * apart(tiles * c, dtype.name)), ("products", dtype, p * apart(tiles * d, dtype.name))


def _tiles_by_kernel(dtype: np.dtype, _h: int, _w: int, c: int, i: int, j: int, d: int) -> Scratch:
    tiles = block_of_rows(i, j, c, d, dtype.name) * transforms.tiles_along(j)
    counts = {"spread": tiles * c, "scattered": tiles * d, "totals": c * d}
    return tuple((name, dtype, transforms.PLACES * apart(count, dtype.name)) for name, count in counts.items())


ROUTINES: Mapping[str, Routine] = {
    "cholesky": Routine(cholesky, "f", library=("?potrf_",)),
    "solve": Routine(solve, "f", _factors, ("?getrf_", "cblas_?trsm")),
    "inverse": Routine(inverse, "f", _factors, ("?getrf_", "cblas_?trsm")),
    "slogdet": Routine(slogdet, "f", _factors, ("?getrf_",)),
    "solve_lower": Routine(solve_lower, "f", lambda dtype, n, k: (("triangle", dtype, n * n),), ("cblas_?trsm",)),
    "eigh": Routine(eigh, "f", _spectral, ("?syevd_",)),
    "svd": Routine(svd, "f", _singular, ("?gesdd_",)),
    "qr": Routine(qr, "f", _orthogonal, ("?geqrf_", "?orgqr_")),
    "expm": Routine(expm, "f", _powers, ("?getrf_", "cblas_?trsm", "cblas_?gemm")),
    "sort": Routine(sort, "biuf", lambda dtype, n: (("runs", dtype, n),)),
    "search_left": Routine(_search("left"), "biuf"),
    "search_right": Routine(_search("right"), "biuf"),
    "argsort": Routine(argsort, "biuf", lambda _, n: (("runs", np.dtype(np.int64), n),)),
    "winograd_kernel": Routine(winograd_kernel, "f"),
    "winograd_conv": Routine(winograd_conv, "f", _tiles),
    "winograd_by_kernel": Routine(winograd_by_kernel, "f", _tiles_by_kernel),
}
