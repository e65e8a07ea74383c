"""BLAS and LAPACK by address, from the package `scipy-openblas32`.

Kernels call these functions through addresses in their table; nothing here is called per step. The library is
loaded when an address is first asked for. Start reading at `address`.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from .. import config
from . import door, host

_PREFIX = "scipy_"  # the package renames its symbols, so as not to meet another OpenBLAS in the process


def core_type(features: str) -> str | None:
    """The OpenBLAS kernel set for a CPU, where OpenBLAS's own choice is a slow one.

    Parameters
    ----------
    features : str
        As from `host.features`.

    Returns
    -------
    str or None
        ``"SkylakeX"`` with AVX-512, on AMD's CPUs too; None where its own choice is right.

    Notes
    -----
    OpenBLAS takes some of AMD's CPUs for Zen, whose kernels have no AVX-512: half the speed on Zen 5 (a product of
    512³ at 118 instead of 225 GF/s). On Zen 4, which works at vectors of 64 bytes in halves, it makes no difference
    that matters (float32 at 64×128×64, 256³, 512³: 97, 104, 107 GF/s, and 85, 109, 112 with those for AVX2).
    """
    have = set(features.split(","))
    return "SkylakeX" if {"+avx512f", "+avx512dq", "+avx512bw", "+avx512vl"} <= have else None


@contextlib.contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable for a block, unless the user has set it."""
    if value is None or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library, with its number of threads set from `config.num_threads`.

    Returns
    -------
    ctypes.CDLL
        Loaded once per process.
    """
    package = door.openblas()
    path = Path(package.get_lib_dir()) / package.get_library(fullname=True)
    chosen = core_type(host.features())  # no such features but on x86
    with _environment("OPENBLAS_CORETYPE", chosen):
        loaded = ctypes.CDLL(str(path))
    loaded[_PREFIX + "openblas_set_num_threads"](ctypes.c_int(config.num_threads()))
    return loaded


def set_num_threads(count: int) -> None:
    """Change the number of threads that matrix products use, for the whole process."""
    library()[_PREFIX + "openblas_set_num_threads"](ctypes.c_int(count))


def num_threads() -> int:
    """The number of threads that matrix products use."""
    return int(library()[_PREFIX + "openblas_get_num_threads"]())


def function_name(name: str, dtype: str) -> str:
    """What a function is called for a dtype.

    Parameters
    ----------
    name : str
        With ``?`` for the letter of the dtype: ``"cblas_?gemm"``, ``"?potrf_"``.
    dtype : str
        ``"float32"`` or ``"float64"``.

    Returns
    -------
    str
        Such as ``"cblas_sgemm"``, ``"dpotrf_"``.
    """
    return name.replace("?", {"float32": "s", "float64": "d"}[dtype])


@functools.cache
def address(name: str) -> int:
    """The address of a BLAS or LAPACK function, for a kernel's table.

    Parameters
    ----------
    name : str
        C or Fortran name with 32-bit integers: ``"cblas_sgemm"``, ``"dpotrf_"``.

    Returns
    -------
    int

    Raises
    ------
    LookupError
        The library has no such function.
    """
    try:
        function = library()[_PREFIX + name]
    except AttributeError:
        raise LookupError(f"OpenBLAS has no function {name!r}") from None
    found = ctypes.cast(function, ctypes.c_void_p).value
    if not found:
        raise LookupError(f"OpenBLAS has no function {name!r}")
    return found
