"""LAPACK's decompositions as object files bring them along: what they are defined by, at all scales and ranks."""

from typing import Any

import mpmath
import numpy as np
import pytest

from tests.kernel.library_functions import DTYPES, drawn, loaded, whole

V, L, S = (np.array(ord(letter), np.int8) for letter in "VLS")


def scales(dtype: Any) -> tuple[float, ...]:
    return (1.0, 1e-30, 1e30) if dtype == np.float32 else (1.0, 1e-250, 1e250)


def close(found: np.ndarray, wanted: Any, size: float = 1.0) -> None:
    np.testing.assert_allclose(found / size, wanted / size, rtol=0, atol=200 * np.finfo(found.dtype).eps)


@pytest.mark.parametrize("letter", DTYPES)
def test_qr(letter: str) -> None:
    geqrf, orgqr, dtype = loaded(f"{letter}geqrf_"), loaded(f"{letter}orgqr_"), DTYPES[letter]
    for m, n in ((1, 1), (3, 3), (9, 4)):
        for scale in scales(dtype):
            x = drawn(dtype, m, n) * dtype(scale)
            x[:, n // 2] = x[:, 0]  # dependent columns
            x[1:, n - 1] = 0  # nothing to reflect
            found, tau, work, info = x.T.copy(), np.zeros(n, dtype), np.zeros(64 * n, dtype), np.array(9, np.int32)
            geqrf(*whole(m, n), found, *whole(m), tau, work, *whole(64 * n), info)
            r = np.triu(found.T[:n])
            orgqr(*whole(m, n, n), found, *whole(m), tau, work, *whole(64 * n), info)
            assert info == 0
            close(found @ found.T, np.eye(n))
            close(found.T @ r, x, scale)


@pytest.mark.parametrize("letter", DTYPES)
def test_eigenvalues(letter: str) -> None:
    syevd, dtype = loaded(f"{letter}syevd_"), DTYPES[letter]
    for n in (1, 2, 7, 20):
        root = drawn(dtype, n, n)
        for matrix in (root + root.T, np.eye(n, dtype=dtype), np.zeros((n, n), dtype), np.ones((n, n), dtype)):
            for scale in scales(dtype):
                vectors, values, info = matrix * dtype(scale), np.zeros(n, dtype), np.array(9, np.int32)
                work, more = np.zeros(2 * n * n + 6 * n + 1, dtype), np.zeros(5 * n + 3, np.int32)
                syevd(V, L, *whole(n), vectors, *whole(n), values, work, *whole(work.size), more, *whole(more.size),
                      info, 1, 1)  # fmt: skip
                assert info == 0
                assert np.all(np.diff(values) >= 0)
                close(vectors @ vectors.T, np.eye(n))
                close(vectors.T * values @ vectors, matrix * dtype(scale), scale)


@pytest.mark.parametrize("letter", DTYPES)
def test_singular_values(letter: str) -> None:
    gesdd, dtype = loaded(f"{letter}gesdd_"), DTYPES[letter]
    for m, n in ((1, 1), (3, 3), (4, 9)):
        x = drawn(dtype, m, n)
        for matrix in (x, np.outer(x[:, 0], x[0]), np.zeros((m, n), dtype), np.eye(m, n, dtype=dtype)):
            for scale in scales(dtype):
                wanted = (matrix * dtype(scale)).astype(dtype)
                a, values, info = wanted.T.copy(), np.zeros(m, dtype), np.array(9, np.int32)
                u, vt, work, more = np.zeros((m, m), dtype), np.zeros((n, m), dtype), np.zeros(1, dtype), whole(0)[0]
                gesdd(
                    S, *whole(m, n), a, *whole(m), values, u, *whole(m), vt, *whole(m), work, *whole(1), more, info, 1
                )
                assert info == 0
                assert np.all(np.diff(values) <= 0)
                assert np.all(values >= 0)
                close(u @ u.T, np.eye(m))
                close(vt.T @ vt, np.eye(m))
                close(u.T * values @ vt.T, wanted, scale)


def test_small_singular_values_are_right() -> None:
    gesdd, n = loaded("dgesdd_"), 8
    hilbert = 1 / (np.arange(n)[:, None] + np.arange(n) + 1.0)
    a, values, u, vt, info = hilbert.copy(), np.zeros(n), np.zeros((n, n)), np.zeros((n, n)), np.array(9, np.int32)
    gesdd(S, *whole(n, n), a, *whole(n), values, u, *whole(n), vt, *whole(n), np.zeros(1), *whole(1, 0), info, 1)
    with mpmath.workdps(50):
        exact = [float(value) for value in mpmath.svd_r(mpmath.matrix(hilbert.tolist()), compute_uv=False)]
    np.testing.assert_allclose(values[3:], exact[3:], rtol=0, atol=1e-16)
    np.testing.assert_allclose(values, exact, rtol=0, atol=1e-15)
