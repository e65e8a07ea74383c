"""Addresses of arrays, and arrays that stand still: what a table is filled with."""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np

from ..aval import Shape

ALIGNMENT = 64
"""A cache line."""


@cache
def _data_offset() -> int | None:
    """Where an array object keeps its data pointer; None if it is not where NumPy puts it today."""
    offset = 16  # PyObject_HEAD, then the pointer
    for probe in (np.zeros(3), np.zeros((2, 2), np.float32)[1:], np.zeros(0, np.int8)):
        if ctypes.c_int64.from_address(id(probe) + offset).value != probe.ctypes.data:
            return None
    return offset


def address_of(array: np.ndarray) -> int:
    """The address of an array's first element.

    Read from the array object itself, which is eight times as fast as ``array.ctypes.data``.
    """
    offset = _data_offset()
    if offset is None:
        return int(array.ctypes.data)
    return ctypes.c_int64.from_address(id(array) + offset).value


def addressable(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether a kernel may read `array` where it is: contiguous, aligned, and of this dtype in this byte order."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned and (array.dtype is dtype or array.dtype == dtype)


def side_by_side(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where memory of these sizes begins in one piece, each at a cache line, and how large that is."""
    offsets, total = [], 0
    for size in sizes:
        offsets.append(total)
        total += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, total


def aligned(shape: Shape, dtype: np.dtype) -> np.ndarray:
    """An uninitialised contiguous array that begins at a cache line."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -address_of(raw) % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def _references(arrays: list[np.ndarray]) -> int:
    for array in arrays:
        return sys.getrefcount(array)
    return 0


_IN_A_LIST = _references([np.empty(0)])
"""How many references `_references`, and so `Recycled.take`, sees of an array that only a list holds."""
# Without the GIL other threads may hold references that are not counted yet.
_COUNTS = not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled()  # noqa: SLF001 (its name)
_KEPT_BYTES = 1 << 28


class Recycled:
    """Arrays of one shape and dtype, each handed out again once nobody holds it: memory that is mapped already.

    Two are kept, as a loop that binds its results to the same name holds one while the next is made. What a user
    holds, and any view of it, refers to the array itself, because it owns its memory.
    """

    __slots__ = ("_arrays", "_dtype", "_keeps", "_shape")

    def __init__(self, shape: Shape, dtype: np.dtype) -> None:
        self._shape = shape
        self._dtype = dtype
        self._arrays: list[np.ndarray] = []
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._keeps = _COUNTS and 2 * size <= _KEPT_BYTES

    def take(self) -> np.ndarray:
        """An array with any numbers in it, which nobody else holds."""
        for array in self._arrays:
            if sys.getrefcount(array) == _IN_A_LIST:
                return array
        array = np.empty(self._shape, self._dtype)
        if self._keeps:
            del self._arrays[:-1]  # the older one is its holder's
            self._arrays.append(array)
        return array
