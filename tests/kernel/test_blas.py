"""Addresses of BLAS functions, and the setting of the library."""

import ctypes
import os
import subprocess
import sys

import pytest

from tapejit.kernel import blas, targets

AVX512 = "+avx512f,+avx512dq,+avx512bw,+avx512vl"
CORE = """
import ctypes, os
from tapejit.kernel import blas
name = blas.library().scipy_openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode(), os.environ.get("OPENBLAS_CORETYPE"))
"""


@pytest.mark.parametrize("name", ["cblas_sgemm", "cblas_dgemm", "dpotrf_"])
def test_functions_have_addresses(name: str) -> None:
    assert blas.address(name) == blas.address(name) != 0


def test_an_unknown_function_is_an_error() -> None:
    with pytest.raises(LookupError, match="no_such_function"):
        blas.address("no_such_function")


def test_a_product_by_address() -> None:
    pointer, number = ctypes.POINTER(ctypes.c_double), ctypes.c_double
    types = [ctypes.c_int] * 6 + [
        number,
        pointer,
        ctypes.c_int,
        pointer,
        ctypes.c_int,
        number,
        pointer,
        ctypes.c_int,
    ]
    dgemm = ctypes.CFUNCTYPE(None, *types)(blas.address("cblas_dgemm"))
    a, b, c = ((ctypes.c_double * 4)(*cells) for cells in ([1, 2, 3, 4], [5, 6, 7, 8], [0] * 4))
    dgemm(101, 111, 111, 2, 2, 2, 1.0, a, 2, b, 2, 0.0, c, 2)
    assert list(c) == [19, 22, 43, 50]


def test_the_core_type_follows_the_features() -> None:
    assert blas.core_type("+sse2," + AVX512) == "SkylakeX"
    assert blas.core_type("+sse2,+avx2,-avx512f") is None
    assert blas.core_type("+avx512f") is None


def test_threads_are_set() -> None:
    before = blas.num_threads()
    try:
        blas.set_num_threads(2)
        assert blas.num_threads() == 2
    finally:
        blas.set_num_threads(before)


@pytest.mark.skipif(blas.core_type(targets.target_cpu()[1]) is None, reason="OpenBLAS's own choice stands here")
@pytest.mark.parametrize(("given", "expected"), [(None, "SkylakeX None"), ("Haswell", "Haswell Haswell")])
def test_the_users_core_type_is_respected_and_the_environment_restored(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    if given is not None:
        environment["OPENBLAS_CORETYPE"] = given
    done = subprocess.run([sys.executable, "-c", CORE], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == expected.split()
