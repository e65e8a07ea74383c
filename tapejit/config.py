"""Settings: one value each, read from the environment first, changed by a setter or for a block by a context manager.

Floor 0. Environment variables are read when a setting is first asked for, never at import.

=====================  ==============================================================  ============
variable               meaning                                                         default
=====================  ==============================================================  ============
TAPEJIT_FLOATX         dtype of Python floats and lists of them                        float32
TAPEJIT_CACHE          ``0`` turns the kernel store on disk off                        1
TAPEJIT_CACHE_DIR      folder of the kernel store                                      per user
TAPEJIT_CACHE_SIZE     bytes that the kernel store may take                            1073741824
TAPEJIT_CHECK          ``1`` verifies every graph after every pass                     0
TAPEJIT_EMIT           ``source`` lets Numba compile the text of kernels as it stands  instructions
TAPEJIT_CPU            what kernels are built for: ``native``, or a level that      native
                       several machines share, such as ``x86-64-v3``
TAPEJIT_WINOGRAD       ``0`` computes convolutions of 3×3 places by their definition    1
TAPEJIT_NUM_THREADS    threads of large steps and of the BLAS library inside kernels   1
=====================  ==============================================================  ============
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

_NATIVE = "native"
_V2 = ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
_V4 = (*_V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
X86_LEVELS = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}
"""What the levels of x86-64 add to its first one, in LLVM's words (System V ABI, AMD64 supplement, table 3.1)."""

_FLOATX_CHOICES = ("float32", "float64")


class _Floatx:
    """The process-wide dtype of Python floats, and the override of a ``with`` block."""

    __slots__ = ("default", "override")

    def __init__(self) -> None:
        self.default: np.dtype | None = None
        self.override: ContextVar[np.dtype | None] = ContextVar("floatx", default=None)

    def first(self) -> np.dtype:
        """The default, read from the environment."""
        self.default = _checked_floatx(os.environ.get("TAPEJIT_FLOATX", "float32"), "TAPEJIT_FLOATX")
        return self.default


_FLOATX = _Floatx()


def _checked_floatx(name: object, setting: str = "floatx") -> np.dtype:
    try:
        dtype = None if name is None else np.dtype(name)  # type: ignore[call-overload]
    except TypeError:
        dtype = None
    if dtype is None or dtype.name not in _FLOATX_CHOICES:
        raise ValueError(f"{setting} must be 'float32' or 'float64', got {name!r}")
    return np.dtype(dtype.name)  # type: ignore[no-any-return]  # without a foreign byte order


def floatx_sources() -> tuple[ContextVar[np.dtype | None], Any, str]:
    """What `floatx` depends on: the override of a block, and the object with the attribute that counts without one."""
    return _FLOATX.override, _FLOATX, "default"


def floatx() -> np.dtype:
    """The dtype that Python floats and lists of floats become.

    Returns
    -------
    numpy.dtype
        ``float32`` unless changed by `set_floatx`, `using_floatx` or ``TAPEJIT_FLOATX``.
    """
    return _FLOATX.override.get() or _FLOATX.default or _FLOATX.first()


def set_floatx(dtype: object) -> None:
    """Change the dtype that Python floats become, for the whole process.

    Parameters
    ----------
    dtype : str or dtype
        ``"float32"`` or ``"float64"``.

    Raises
    ------
    ValueError
        For any other dtype.
    """
    _FLOATX.default = _checked_floatx(dtype)


@contextmanager
def using_floatx(dtype: object) -> Iterator[None]:
    """Change the dtype that Python floats become inside a ``with`` block of this thread.

    Parameters
    ----------
    dtype : str or dtype
        ``"float32"`` or ``"float64"``.
    """
    token = _FLOATX.override.set(_checked_floatx(dtype))
    try:
        yield
    finally:
        _FLOATX.override.reset(token)


def cache_enabled() -> bool:
    """Whether kernels are kept on disk (``TAPEJIT_CACHE``).

    Raises
    ------
    ValueError
        If it is neither 0 nor 1.
    """
    return _flag("TAPEJIT_CACHE", default=True)


def transforms_enabled() -> bool:
    """Whether kernels compute convolutions of 3×3 places by Winograd's transforms (``TAPEJIT_WINOGRAD``).

    Raises
    ------
    ValueError
        If it is neither 0 nor 1.
    """
    return _flag("TAPEJIT_WINOGRAD", default=True)


def cache_dir() -> str | None:
    """The folder of the kernel store from ``TAPEJIT_CACHE_DIR``; None for the user's default."""
    return os.environ.get("TAPEJIT_CACHE_DIR") or None


def cache_size() -> int:
    """How many bytes the kernel store may take (``TAPEJIT_CACHE_SIZE``).

    Raises
    ------
    ValueError
        If it is no whole number, or negative.
    """
    return _whole_number("TAPEJIT_CACHE_SIZE", 1 << 30, least=0)


def emits_source() -> bool:
    """Whether Numba compiles kernels' readable source as it stands (``TAPEJIT_EMIT``).

    Raises
    ------
    ValueError
        If it is neither ``source`` nor ``instructions``.
    """
    chosen = os.environ.get("TAPEJIT_EMIT", "instructions")
    if chosen not in ("source", "instructions"):
        raise ValueError(f"TAPEJIT_EMIT must be source or instructions, got {chosen!r}")
    return chosen == "source"


def cpu() -> str:
    """What kernels are built for (``TAPEJIT_CPU``): this CPU as it is, or a level of x86-64 that others have as well.

    Raises
    ------
    ValueError
        If it is neither ``native`` nor one of the levels.
    """
    chosen = os.environ.get("TAPEJIT_CPU") or _NATIVE
    if chosen not in (_NATIVE, *X86_LEVELS):
        raise ValueError(f"TAPEJIT_CPU must be one of {', '.join((_NATIVE, *X86_LEVELS))}, got {chosen!r}")
    return chosen


def check_graphs() -> bool:
    """Whether every graph is verified after every pass (``TAPEJIT_CHECK``).

    Raises
    ------
    ValueError
        If it is neither 0 nor 1.
    """
    return _flag("TAPEJIT_CHECK", default=False)


class _Threads:
    """The process-wide number of threads; None while it is that of the environment."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count: int | None = None


_THREADS = _Threads()


def num_threads() -> int:
    """How many threads kernels and the BLAS library use (``TAPEJIT_NUM_THREADS``, `set_num_threads`).

    Raises
    ------
    ValueError
        If the environment has no whole number, or one below 1.
    """
    return _THREADS.count or _whole_number("TAPEJIT_NUM_THREADS", 1, least=1)


def num_threads_source() -> tuple[Any, str]:
    """The object on which `num_threads` depends, and its attribute."""
    return _THREADS, "count"


def set_num_threads(count: int) -> None:
    """Change how many threads kernels use, for the whole process; see `kernel.threads.set_num_threads`.

    Raises
    ------
    ValueError
        If it is less than 1.
    """
    if count != int(count) or count < 1:
        raise ValueError(f"the number of threads must be a whole number from 1 up, got {count!r}")
    _THREADS.count = int(count)


def _flag(variable: str, *, default: bool) -> bool:
    text = os.environ.get(variable, "")
    if text not in ("", "0", "1"):  # "off" and "yes" could each be taken for the other
        raise ValueError(f"{variable} must be 0 or 1, got {text!r}")
    return text == "1" if text else default


def _whole_number(variable: str, default: int, least: int) -> int:
    text = os.environ.get(variable, "")
    try:
        number = int(text) if text else default
    except ValueError:
        number = least - 1
    if number < least:
        raise ValueError(f"{variable} must be a whole number from {least} up, got {text!r}")
    return number
