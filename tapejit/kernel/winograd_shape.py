"""How much of a convolution by Winograd's transforms is worked on at a time, and the scratch that it takes.

By lengths alone, so that plans are the same on every machine. Imports no compiler; used by `routines` and `winograd`.
"""

import numpy as np

from ..ops.winograd import PLACES, tiles_along

FEW_TILES = 16
"""Rows of a register tile, about: more tiles of the result at a time leave the first cache."""

MANY_TILES = 50
"""A large transformed kernel, which comes from far each time, is used for so many of them."""

LARGE_KERNEL = 1 << 18
"""Bytes of a transformed kernel."""

NEAR = 1 << 18
"""Bytes of both operands that are transformed at a time, of a gradient by a kernel: they stay in the second cache."""

_SAME_SET = 1024
"""Matrices whose distance is a multiple of so many bytes share sets of the first cache."""

_LINE = 64


def rows_at_once(height: int, width: int, c: int, d: int, dtype: str) -> int:
    """How many rows of tiles of a result are computed at a time: as many as fit, the fewest of them twice."""
    count, across = tiles_along(height), tiles_along(width)
    large = PLACES * c * d * np.dtype(dtype).itemsize > LARGE_KERNEL
    most = max(1, min((MANY_TILES if large else FEW_TILES) // across, count))
    return min(range(1, most + 1), key=lambda rows: (-(-count // rows) * rows, -rows))


def block_of_rows(height: int, width: int, c: int, d: int, dtype: str) -> int:
    """How many rows of tiles of an input and of a cotangent are added up at a time."""
    count = tiles_along(height)
    row = PLACES * tiles_along(width) * (c + d) * np.dtype(dtype).itemsize
    blocks = -(-count // max(1, min(NEAR // row, count)))
    return -(-count // blocks)


def apart(count: int, dtype: str) -> int:
    """The distance of matrices of so many numbers, so that they don't share sets of the cache."""
    size = np.dtype(dtype).itemsize
    whole = -(-count * size // _LINE) * _LINE
    return (whole + (_LINE if whole % _SAME_SET == 0 else 0)) // size
