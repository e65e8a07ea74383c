"""How a matrix product is cut into register tiles, and what that may assume of the CPU.

A tile is a block of the result that stays in vector registers while the sum runs: some rows by some vectors of columns.
The larger it is, the fewer numbers are loaded for each multiplication; but it has to fit the registers, and rows or
lanes that stick out of the matrix are lost work. `cut` weighs that for given lengths. Imports no compiler. Start
reading at `cut`.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

SCRATCH_BYTES = 65536
"""The most that a copy of some columns of the right matrix may take, on the stack."""

_MOST_VECTORS = 4
"""The most vectors of columns in a tile; more rows than that are always the better use of registers."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the instructions may assume of the CPU.

    Parameters
    ----------
    vector_bytes : int
        The width of its vector registers: 16, 32 or 64.
    registers : int
        How many of them there are.
    fma : bool
        Whether it multiplies and adds in one instruction, rounding once.
    """

    vector_bytes: int
    registers: int
    fma: bool

    def lanes(self, dtype: str) -> int:
        """How many numbers of a dtype a register holds."""
        return self.vector_bytes // np.dtype(dtype).itemsize


@functools.cache
def target_of(features: str) -> Target:
    """The target that has these features.

    Parameters
    ----------
    features : str
        As from `objects.host_cpu`: ``"+avx2,+fma,-avx512f,…"``.

    Returns
    -------
    Target
        For a CPU that is not known, registers that each 64-bit CPU has, and no fused multiplication.
    """
    have = set(features.split(","))
    if "+neon" in have:
        return Target(16, 32, fma=True)
    fma = "+fma" in have
    if {"+avx512f", "+avx512vl", "+fma"} <= have:
        return Target(64, 32, fma)
    return Target(32 if "+avx2" in have else 16, 16, fma)


@dataclass(frozen=True, slots=True)
class Rows:
    """Tiles that follow each other downwards: `count` of `height` rows each, from row `first` on."""

    first: int
    height: int
    count: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Strips of columns that are cut alike.

    Attributes
    ----------
    first : int
        The first column.
    lanes : tuple of int
        The numbers of lanes of the vectors side by side; the last one may be narrower than the others.
    used : int
        How many lanes of the last vector are columns of the matrix.
    count : int
        How many strips follow each other, each as wide as its lanes.
    rows : tuple of Rows
        How each strip is cut into tiles, of one height or of two.
    """

    first: int
    lanes: tuple[int, ...]
    used: int
    count: int
    rows: tuple[Rows, ...]

    @property
    def width(self) -> int:
        """The lanes of a strip."""
        return sum(self.lanes)


@functools.cache
def cut(m: int, n: int, k: int, dtype: str, target: Target) -> tuple[Columns, ...]:
    """The strips and tiles of an (m, n) result, summed over k.

    Parameters
    ----------
    m, n, k : int
        Lengths, none of them 0.
    dtype : str
        ``"float32"`` or ``"float64"``.
    target : Target
        The CPU.

    Returns
    -------
    tuple of Columns
        One or two, so that there are four shapes of tiles at most, whatever the lengths.
    """
    whole, rest = divmod(n, target.lanes(dtype))
    most = min(_MOST_VECTORS, whole + bool(rest))
    options = [_strips(m, n, k, dtype, target, vectors) for vectors in range(1, most + 1)]
    return min(options, key=lambda option: option[0])[1]


def _strips(m: int, n: int, k: int, dtype: str, target: Target, vectors: int) -> tuple[float, tuple[Columns, ...]]:
    """The strips, `vectors` wide but for the last one, and how long they take."""
    lanes = target.lanes(dtype)
    whole, rest = divmod(n, lanes)
    count, left = divmod(whole, vectors)
    cost, strips = 0.0, []
    kinds = [((lanes,) * vectors, lanes, count)] if count else []
    if left or rest:
        # As narrow as will do, but no register is narrower than 16 bytes.
        narrow = max(1 << (rest - 1).bit_length(), 16 // np.dtype(dtype).itemsize) if rest else 0
        kinds.append(((lanes,) * left + ((narrow,) if rest else ()), rest or lanes, 1))
    first = 0
    for each, used, repeats in kinds:
        each_cost, rows = _tiles(m, k, len(each), target)
        strips.append(Columns(first, each, used, repeats, rows))
        first += repeats * sum(each)
        cost += repeats * each_cost
    return cost, tuple(strips)


def _tiles(m: int, k: int, vectors: int, target: Target) -> tuple[float, tuple[Rows, ...]]:
    """The tiles of one strip, as equal in height as can be, and how long they take."""
    # The accumulators, one row of the right matrix and one number of the left one are in registers.
    highest = (target.registers - vectors - 1) // vectors
    fewest = math.ceil(m / highest)
    options = []
    for count in range(fewest, min(fewest + 2, m) + 1):
        low, more = divmod(m, count)
        rows = [Rows(0, low + 1, more)] if more else []
        rows.append(Rows(more * (low + 1), low, count - more))
        options.append((sum(each.count * _cycles(each.height, vectors, k, target) for each in rows), tuple(rows)))
    return min(options, key=lambda option: option[0])


def _cycles(height: int, vectors: int, k: int, target: Target) -> float:
    """About how many cycles a tile takes.

    Per term of the sum either the multiplications (one vector of 64 bytes or two narrower ones a cycle), the loads
    (two a cycle), or the latency of an addition decides; results are stored at the end.
    """
    multiplied = height * vectors * (1 if target.vector_bytes == 64 else 0.5)
    term = max(multiplied, (height + vectors) / 2, 4)
    return k * term + 2 * height * vectors + 20
