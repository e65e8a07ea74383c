"""The functions that object files bring with them for BLAS's and LAPACK's, as ctypes calls them."""

import ctypes
from typing import Any

import numpy as np

from tapejit.kernel import assembly, linear_algebra, objects

DTYPES = {"s": np.float32, "d": np.float64}


def loaded(name: str) -> Any:
    """The function, called with integers, floats and arrays."""
    built = assembly.assemble_whole(linear_algebra.function_text(name), name)
    kernel = objects.load(built.code, name, built.symbols)
    number = ctypes.c_float if name.removeprefix("cblas_")[0] == "s" else ctypes.c_double

    def call(*arguments: Any) -> None:
        given = [
            each.ctypes.data_as(ctypes.c_void_p) if isinstance(each, np.ndarray)
            else number(each) if isinstance(each, float)
            else ctypes.c_int(each)
            for each in arguments
        ]  # fmt: skip
        function = ctypes.CFUNCTYPE(None, *map(type, given))(kernel.address)
        function(*given)

    call.kernel = kernel  # type: ignore[attr-defined]  # its code lives as long
    return call


def whole(*numbers: int) -> list[np.ndarray]:
    """Integers by address."""
    return [np.array(each, np.int32) for each in numbers]


def drawn(dtype: Any, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)
