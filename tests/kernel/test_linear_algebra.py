"""The functions that object files bring with them for BLAS's and LAPACK's: against NumPy, by their conventions."""

import itertools

import numpy as np
import pytest

from tapejit.kernel import linear_algebra
from tapejit.kernel.blas import function_name
from tapejit.kernel.routines import ROUTINES
from tests.kernel.library_functions import DTYPES, drawn, loaded, whole

NO, YES = 111, 112  # transposed


@pytest.mark.parametrize("letter", DTYPES)
def test_products(letter: str) -> None:
    gemm, dtype = loaded(f"cblas_{letter}gemm"), DTYPES[letter]
    shapes = [(1, 1, 1), (5, 17, 3), (4, 16, 256), (6, 33, 300), (3, 2, 513)]
    for (m, n, k), first, second in itertools.product(shapes, (NO, YES), (NO, YES)):
        x, y = drawn(dtype, *((m, k) if first == NO else (k, m))), drawn(dtype, *((k, n) if second == NO else (n, k)))
        out = np.full((m, n + 3), 9, dtype)
        gemm(101, first, second, m, n, k, 1.0, x, x.shape[1], y, y.shape[1], 0.0, out, n + 3)
        expected = (x if first == NO else x.T) @ (y if second == NO else y.T)
        np.testing.assert_allclose(out[:, :n], expected, rtol=0, atol=40 * np.sqrt(k) * np.finfo(dtype).eps)
        assert np.all(out[:, n:] == 9)


@pytest.mark.parametrize("letter", DTYPES)
def test_triangular_systems(letter: str) -> None:
    trsm, dtype = loaded(f"cblas_{letter}trsm"), DTYPES[letter]
    for (n, k), upper, trans, unit in itertools.product([(1, 1), (6, 1), (9, 5)], (121, 122), (NO, YES), (131, 132)):
        a = (np.triu if upper == 121 else np.tril)(drawn(dtype, n, n)) * dtype(0.3) + 2 * np.eye(n, dtype=dtype)
        matrix = a - np.diag(np.diag(a)) + np.eye(n, dtype=dtype) if unit == 132 else a
        matrix = matrix.T if trans == YES else matrix
        right = drawn(dtype, n, k)
        found = right.copy()
        stored = a + (np.tril if upper == 121 else np.triu)(np.full((n, n), np.nan, dtype), -1 if upper == 121 else 1)
        trsm(101, 141, upper, trans, unit, n, k, 1.0, stored, n, found, k)
        np.testing.assert_allclose(matrix @ found, right, rtol=0, atol=300 * np.finfo(dtype).eps)


@pytest.mark.parametrize("letter", DTYPES)
def test_cholesky(letter: str) -> None:
    potrf, dtype = loaded(f"{letter}potrf_"), DTYPES[letter]
    for n in (1, 2, 7, 40):
        root = drawn(dtype, n, n)
        matrix = root @ root.T + n * np.eye(n, dtype=dtype)
        found, info = matrix.copy(), np.array(9, np.int32)
        potrf(np.array(ord("U"), np.int8), *whole(n), found, *whole(n), info, 1)
        assert info == 0
        np.testing.assert_allclose(
            np.tril(found), np.linalg.cholesky(matrix), rtol=300 * np.finfo(dtype).eps, atol=1e-5
        )
    for bad, place in ((np.diag([1.0, 0.0, 1.0]), 2), (np.diag([1.0, 2.0, np.nan]), 3), (-np.eye(3), 1)):
        info = np.array(9, np.int32)
        potrf(np.array(ord("U"), np.int8), *whole(3), bad.astype(dtype), *whole(3), info, 1)
        assert info == place


@pytest.mark.parametrize("letter", DTYPES)
def test_factors(letter: str) -> None:
    getrf, dtype = loaded(f"{letter}getrf_"), DTYPES[letter]
    for n in (1, 2, 8, 33):
        matrix = drawn(dtype, n, n)
        found, pivots, info = matrix.T.copy(), np.zeros(n, np.int32), np.array(9, np.int32)
        getrf(*whole(n, n), found, *whole(n), pivots, info)
        assert info == 0
        low, up = np.tril(found.T, -1) + np.eye(n, dtype=dtype), np.triu(found.T)
        assert np.all(np.abs(low) <= 1)  # the largest pivots
        for row, other in reversed(list(enumerate(pivots - 1))):
            low[[row, other]] = low[[other, row]]
        np.testing.assert_allclose(low @ up, matrix, rtol=0, atol=50 * n * np.finfo(dtype).eps)
    for bad, place in ((np.zeros((2, 2)), 1), (np.ones((3, 3)), 2), (np.full((2, 2), np.nan), 0)):
        pivots, info = np.zeros(3, np.int32), np.array(9, np.int32)
        getrf(*whole(len(bad), len(bad)), bad.astype(dtype), *whole(len(bad)), pivots, info)
        assert info == place


def test_all_that_kernels_call_is_there() -> None:
    for pattern in {"cblas_?gemm", *(name for routine in ROUTINES.values() for name in routine.library)}:
        for dtype in ("float32", "float64"):
            name = function_name(pattern, dtype)
            assert f'@"{name}"' in linear_algebra.function_text(name)
    for name in ("potrf", "cblas_dgemv", "dgemm_", ""):
        with pytest.raises(LookupError, match="to bring along"):
            linear_algebra.function_text(name)
