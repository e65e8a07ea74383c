"""How a matrix product is cut into register tiles, and what that may assume of the CPU.

A tile is a block of the result that stays in vector registers while the sum runs: some rows by some vectors of columns.
The larger it is, the fewer numbers are loaded for each multiplication; but it has to fit the registers, and rows or
lanes that stick out of the matrix are lost work. `cut` weighs that for given lengths. Imports no compiler. Start
reading at `cut`. Which products are made of tiles at all says `passes.tiling`.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SCRATCH_BYTES = 65536
"""The most that a copy of some columns of the right matrix may take, on the stack."""

_SAME_SET = 2048
"""Rows whose distance is a multiple of so many bytes share one or two sets of the first cache."""

_FEW_ROWS = 7
"""How many such rows a tile may have: a set has eight places (7 rows reach 0.97 of the peak, 14 rows 0.1 to 0.5)."""

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


@dataclass(frozen=True, slots=True)
class Limits:
    """What the matrices' places in memory ask of the tiles.

    Parameters
    ----------
    rows : int
        The most rows that a tile may have.
    vectors : int
        The most vectors of columns.
    """

    rows: int
    vectors: int


def limits_of(left: tuple[int, int], right: tuple[int, int], k: int, dtype: str, target: Target) -> Limits:
    """The limits of a product's tiles.

    Parameters
    ----------
    left, right : tuple of int
        Each matrix's distances of rows and of columns, in elements.
    k : int
        The number of terms of a sum.
    dtype : str
        ``"float32"`` or ``"float64"``.
    target : Target
        The CPU.
    """
    crowded = left[1] == 1 and left[0] * np.dtype(dtype).itemsize % _SAME_SET == 0
    fitting = SCRATCH_BYTES // (target.vector_bytes * max(k, 1)) if right[1] != 1 else _MOST_VECTORS
    return Limits(_FEW_ROWS if crowded else target.registers, max(1, min(fitting, _MOST_VECTORS)))


@functools.cache
def cut(m: int, n: int, k: int, dtype: str, target: Target, limits: Limits) -> tuple[Columns, ...]:
    """The strips and tiles of an (m, n) result, summed over k.

    Parameters
    ----------
    m, n, k : int
        Lengths, none of them 0.
    dtype : str
        ``"float32"`` or ``"float64"``.
    target : Target
        The CPU.
    limits : Limits
        As from `limits_of`.

    Returns
    -------
    tuple of Columns
        One or two, so that there are four shapes of tiles at most, whatever the lengths.
    """
    lanes = target.lanes(dtype)
    whole, rest = divmod(n, lanes)
    most = min(limits.vectors, whole + bool(rest))

    def option(vectors: int) -> tuple[float, tuple[Columns, ...]]:
        """The strips, `vectors` wide but for the last one, and how long they take."""
        cost, first, strips = 0.0, 0, []
        for each, used, count in _strips(whole, rest, lanes, 16 // np.dtype(dtype).itemsize, vectors):
            each_cost, rows = _tiles(m, k, len(each), target, limits.rows)
            strips.append(Columns(first, each, used, count, rows))
            first += count * sum(each)
            cost += count * each_cost
        return cost, tuple(strips)

    return min(map(option, range(1, most + 1)), key=lambda found: found[0])[1]


def _strips(whole: int, rest: int, lanes: int, fewest: int, vectors: int) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """For each kind of strip the lanes of its vectors, those of the last one that are used, and how many there are."""
    count, left = divmod(whole, vectors)
    if count:
        yield (lanes,) * vectors, lanes, count
    if rest:
        narrow = max(1 << (rest - 1).bit_length(), fewest)  # as narrow as will do, and as a register can be
        yield (*(lanes,) * left, narrow), rest, 1
    elif left:
        yield (lanes,) * left, lanes, 1


def _tiles(m: int, k: int, vectors: int, target: Target, most: int) -> tuple[float, tuple[Rows, ...]]:
    """The tiles of one strip, as equal in height as can be, and how long they take."""
    # The accumulators, one row of the right matrix and one number of the left one are in registers; so are products
    # that are not added at once.
    highest = min((target.registers - vectors - (1 if target.fma else 3)) // vectors, most)
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
