"""How a matrix product is cut into register tiles, and what that may assume of the CPU.

A tile is a block of the result that stays in vector registers while the sum runs: some rows by some vectors of columns.
The larger it is, the fewer numbers are loaded for each multiplication; but it has to fit the registers, and rows or
lanes that stick out of the matrix are lost work. `cut` weighs that for given lengths. Imports no compiler. Start
reading at `cut`. Which products are made of tiles at all says `passes.tiling`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from ..dataclass import dataclass

SCRATCH_BYTES = 65536
"""The most that a copy of some columns of the right matrix may take, on the stack."""

CACHE_LINE = 64
"""Bytes that come from memory together."""

STREAM_BYTES = 1 << 20
"""A left matrix of more bytes is not in the cache: its rows are asked for one tile ahead."""

FAR = 1024
"""More than `NEAR_ROWS` rows so many bytes apart are far: each has a page, or a set of the cache, of its own."""

NEAR_ROWS = 64

_FAR_TERM = 24
"""The cycles in which a column of the left matrix comes from far: tiles are to be high, so as not to wait for it."""

_UNDER_WAY = 10
"""How many additions a CPU works on at a time; a tile of fewer vectors leaves it waiting."""

_SAME_SET = 2048
"""Rows whose distance is a multiple of so many bytes share one or two sets of the first cache."""

_FEW_ROWS = 7
"""How many such rows a tile may have: a set has eight places (7 rows reach 0.97 of the peak, 14 rows 0.1 to 0.5)."""

_WORTH_TURNING = 0.85
"""The transposed product is computed instead if it takes less than this part of the time."""

_AS_FAST = 1.02
"""What takes at most so many times as long as the fastest is as fast: then there should be little code."""

_PLAIN_CODE = 4
"""The code around the multiplications of a tile, in multiplications for each vector."""

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
        As from `targets.host_cpu`: ``"+avx2,+fma,-avx512f,…"``.

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
    vectors : int
        How many vectors are side by side.
    lanes : int
        The lanes of each of them: those of a register, or fewer if there is one vector.
    used : int
        How many lanes of the last vector are columns of the matrix.
    count : int
        How many strips follow each other, each as wide as its vectors.
    rows : tuple of Rows
        How each strip is cut into tiles, of one height or of two.
    """

    first: int
    vectors: int
    lanes: int
    used: int
    count: int
    rows: tuple[Rows, ...]

    @property
    def width(self) -> int:
        """The lanes of all vectors of a strip."""
        return self.vectors * self.lanes


@dataclass(frozen=True, slots=True)
class Cut:
    """How a product is cut.

    Attributes
    ----------
    strips : tuple of Columns
        One or two, so that there are four shapes of tiles at most, whatever the lengths.
    turned : bool
        Whether it is the transposed product that is cut so: the vectors are columns of the result.
    cycles : float
        About how long it takes.
    """

    strips: tuple[Columns, ...]
    turned: bool
    cycles: float


_Choice = TypeVar("_Choice")

Strides = tuple[int, int]
"""The distances of a matrix's rows and of its columns, in elements."""


@functools.cache
def cut(
    shape: tuple[int, int, int], left: Strides, right: Strides, dtype: str, target: Target, *, as_it_is: bool = False
) -> Cut:
    """The strips and tiles of a product.

    Parameters
    ----------
    shape : tuple of int
        (m, n, k): the lengths of an (m, k) and a (k, n) matrix, m and n not 0.
    left, right : tuple of int
        Their distances of rows and of columns.
    dtype : str
        ``"float32"`` or ``"float64"``.
    target : Target
        The CPU.
    as_it_is : bool
        Whether it may not be the transposed product.
    """
    m, n, k = shape
    straight = _cut(m, n, k, _Operands.of(left, right, k, dtype, target))
    if as_it_is:
        return straight
    other = _Operands.of(right[::-1], left[::-1], k, dtype, target)
    # The finished vectors are turned over in squares.
    turned = _cut(n, m, k, dataclasses.replace(other, rows=min(other.rows, other.lanes), turned=True))
    return turned if turned.cycles < _WORTH_TURNING * straight.cycles else straight


@dataclass(frozen=True, slots=True)
class _Operands:
    """What is known of the matrices besides their lengths.

    Attributes
    ----------
    size : int
        Of a number, in bytes.
    target : Target
        The CPU.
    rows, vectors : int
        The most rows and vectors of columns that a tile may have.
    least : int
        The cycles that a term takes at least: long ones, where the left matrix's columns are read and far apart.
    copied : bool
        Whether the right matrix's columns are copied to where they are neighbours.
    scattered : bool
        Whether they are read one by one, as there is no space for a copy.
    turned : bool
        See `Cut`.
    """

    size: int
    target: Target
    rows: int
    vectors: int
    least: int
    copied: bool
    scattered: bool
    turned: bool = False

    @classmethod
    def of(cls, left: Strides, right: Strides, k: int, dtype: str, target: Target) -> "_Operands":
        size = np.dtype(dtype).itemsize
        crowded = left[1] == 1 and left[0] * size % _SAME_SET == 0
        apart = right[1] != 1
        fitting = SCRATCH_BYTES // (target.vector_bytes * max(k, 1)) if apart else _MOST_VECTORS
        vectors = max(1, min(fitting, _MOST_VECTORS))
        least = _FAR_TERM if left[0] == 1 and left[1] * size >= FAR and k > NEAR_ROWS else 0
        return cls(size, target, _FEW_ROWS if crowded else target.registers, vectors, least, apart, not fitting)

    @property
    def lanes(self) -> int:
        return self.target.vector_bytes // self.size


def _cut(m: int, n: int, k: int, operands: _Operands) -> Cut:
    whole, rest = divmod(n, operands.lanes)
    options = []
    for vectors in range(1, min(operands.vectors, whole + bool(rest)) + 1):
        cycles, first, strips = 0.0, 0, []
        for beside, lanes, used, count in _strips(whole, rest, operands, vectors):
            each, rows = _tiles(m, k, (beside, lanes), operands)
            strips.append(Columns(first, beside, lanes, used, count, rows))
            first += count * beside * lanes
            cycles += count * each
        options.append((cycles, Cut(tuple(strips), operands.turned, cycles)))
    return _simplest(options, lambda found: sum(strip.vectors * _code(strip.rows) for strip in found.strips))


def _simplest(options: Sequence[tuple[float, _Choice]], code: Callable[[_Choice], float]) -> _Choice:
    """Of what takes little more time than the fastest, what is compiled in the least time: the least code."""
    fastest = min(cycles for cycles, _ in options)
    return min((option for cycles, option in options if cycles <= _AS_FAST * fastest), key=code)


def _code(rows: Sequence[Rows]) -> float:
    """How much code tiles are, in multiplications for each vector."""
    return sum(each.height + _PLAIN_CODE for each in rows)


def _strips(whole: int, rest: int, operands: _Operands, vectors: int) -> Iterator[tuple[int, int, int, int]]:
    """For each kind of strip how many vectors it has, their lanes, those used of the last one, and how many it is."""
    lanes = operands.lanes
    count, left = divmod(whole, vectors)
    if count:
        yield vectors, lanes, lanes, count
    if rest and left:
        yield left + 1, lanes, rest, 1
    elif rest:
        yield 1, max(1 << (rest - 1).bit_length(), 16 // operands.size), rest, 1  # as narrow as a register can be
    elif left:
        yield left, lanes, lanes, 1


def _tiles(m: int, k: int, width: tuple[int, int], operands: _Operands) -> tuple[float, tuple[Rows, ...]]:
    """The tiles of one strip of so many vectors and lanes, as equal in height as can be, and how long they take."""
    # The accumulators, one row of the right matrix and one number of the left one are in registers; so are products
    # that are not added at once.
    target, vectors = operands.target, width[0]
    highest = min((target.registers - vectors - (1 if target.fma else 3)) // vectors, operands.rows)
    options = []
    for count in sorted({math.ceil(m / height) for height in range(1, highest + 1)}):
        low, more = divmod(m, count)
        rows = [Rows(0, low + 1, more)] if more else []
        rows.append(Rows(more * (low + 1), low, count - more))
        options.append((sum(each.count * _cycles(each.height, k, width, operands) for each in rows), tuple(rows)))
    chosen = _simplest(options, _code)
    cycles = sum(each.count * _cycles(each.height, k, width, operands) for each in chosen)
    return cycles + (_COPY * k * vectors if operands.copied else 0), chosen


_COPY = 6
"""Cycles for a vector that is turned over: four or five shuffles, and two accesses to memory."""


def _cycles(height: int, k: int, width: tuple[int, int], operands: _Operands) -> float:
    """About how many cycles a tile takes.

    Per term of the sum either the multiplications or the loads decide, each one a cycle for 64 bytes and half a cycle
    for less; results are stored at the end.
    """
    vectors, lanes = width
    loads = height + vectors * (lanes if operands.scattered else 1)
    rate = 1 if lanes * operands.size == 64 else 0.5
    term = max(max(height * vectors, loads, _UNDER_WAY) * rate, operands.least)
    stored = _COPY * operands.lanes if operands.turned else 2 * height
    return k * term + stored * vectors + 20
