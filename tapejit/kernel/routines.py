"""The routines of kernels: what handles whole matrices or rows at a time, as plain Python and NumPy functions.

They take the pointers of `runtime`, which adds them to its names. A call in the text is
``name_dtype(library functions…, operands with their strides…, results…, lengths…, scratch…)``: results are contiguous,
lengths in the order of the declaration (see `lowering.Routine`), and scratch is workspace that nobody reads afterwards.
What is returned is 0, or another number if the matrix is none that the routine can handle. `lapack` and `sorting` have
the second meaning, as LLVM instructions. Start reading at `ROUTINES`, at the end.
"""

from __future__ import annotations  # pointers are defined above, in `runtime`

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
    return _written(lambda: np.linalg.slogdet(matrix), sign, logarithm)


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


ROUTINES: Mapping[str, Routine] = {
    "cholesky": Routine(cholesky, "f", library=("?potrf_",)),
    "solve": Routine(solve, "f", _factors, ("?getrf_", "cblas_?trsm")),
    "inverse": Routine(inverse, "f", _factors, ("?getrf_", "cblas_?trsm")),
    "slogdet": Routine(slogdet, "f", _factors, ("?getrf_",)),
    "sort": Routine(sort, "biuf", lambda dtype, n: (("runs", dtype, n),)),
    "search_left": Routine(_search("left"), "biuf"),
    "search_right": Routine(_search("right"), "biuf"),
    "argsort": Routine(argsort, "biuf", lambda _, n: (("runs", np.dtype(np.int64), n),)),
}
