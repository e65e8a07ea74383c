"""Matrix products as register tiles: blocks of the result that stay in vector registers while the sum runs.

A round of the innermost loop loads some vectors of a row of the right matrix and, for each row of the tile, one number
of the left matrix, and adds their products to the accumulators. Whoever wants the product says what happens with a
finished vector, so that what follows is computed before it is ever stored. Each element is the sum over p in increasing
order, one (fused) multiplication and addition each, so that it has the same bits whatever the tile, the vectors or the
number of threads; sums of more than `BLOCK` terms are sums of blocks. What is summed over may be several axes, as in a
convolution: then the matrices begin anew at each index of the `outer` ones. Written with llvmlite's `ir` alone. Start
reading at `tiled_product`; `tile_shape` says how a matrix is cut, `terms` what is summed over.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from llvmlite import ir

from ..dataclass import dataclass
from .instructions import FLOATS, I64, Value, own_function
from .packing import pack, packs, scratch, turned
from .terms import BLOCK, Pointers, Steps, count_of, each_block, summed
from .tile_shape import CACHE_LINE, STREAM_BYTES, Columns, Rows, Target, cut
from .vectors import (
    Matrix,
    counted,
    load_vector,
    mask_of,
    multiply_add,
    place,
    prefetch,
    shuffle,
    splat,
    store_vector,
    times,
    zeros,
)

_ROUND = 32
"""A round of the innermost loop is repeated in its body while that has no more multiplications than this."""

Finish = Callable[[ir.IRBuilder, Value, Value, Value, int, Any], object]
"""``finish(builder, row, column, value, lanes, mask)`` emits what happens with one finished vector."""


class Totals(Protocol):
    """What is added up along the rows of a tile, a vector of columns at a time: in registers, while they are done."""

    def begin(self, b: ir.IRBuilder, column: Value, lanes: int, mask: Any) -> Any:
        """Before the rows of a tile: where the totals of these columns are until `end`, as `use` will get it."""

    def use(self, state: Any) -> None:
        """Before each call of `finish` for these columns."""

    def end(self, b: ir.IRBuilder, column: Value, lanes: int, mask: Any, state: Any) -> None:
        """After the rows of a tile."""


def tiled_product(  # noqa: PLR0913, PLR0917 - two matrices, their lengths, and what becomes of the product
    b: ir.IRBuilder,
    dtype: str,
    shape: tuple[int, int, int],
    left: Matrix,
    right: Matrix,
    finish: Finish,
    target: Target,
    *,
    once: bool = False,
    outer: Sequence[Steps] = (),
    totals: Totals | None = None,
) -> None:
    """Emit a matrix product into the current function.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go; it stands in another block afterwards.
    dtype : str
        ``"float32"`` or ``"float64"``.
    shape : tuple of int
        (m, n, k): the product is (m, n), and each element the sum of k products.
    left, right : Matrix
        Of shapes (m, k) and (k, n). What they hold may not change before the product is finished.
    finish : callable
        ``finish(b, row, column, value, lanes, mask)`` is called, while instructions are emitted, for each vector of a
        tile, and emits what happens with it: `row` and `column` are the int64 indices of the element in its first lane,
        `value` is the vector of `lanes` sums of this row, and `mask` is a constant vector of booleans, or None if all
        lanes are elements of the product. Each element comes once, and those of a column come from the first row on.
    target : Target
        The CPU.
    once : bool
        Emit what `finish` emits once for each vector of a tile's row instead of once for each vector of the tile, in a
        loop over its rows, with the sums in memory: for long epilogues, whose code would take too long to compile.
    outer : sequence of Steps
        Axes that are summed over besides the k terms, outermost first: how far both matrices move in each step. Then
        the columns of `right` are neighbours.
    totals : Totals, optional
        What `finish` adds up along the rows.
    """
    m, n, k = shape
    if not m or not n:
        return
    lengths = m, n, count_of(outer) * k
    found = cut(lengths, (left.down, left.across), (right.down, right.across), dtype, target, as_it_is=bool(outer))
    if found.turned:
        m, left, right = n, right.transposed, left.transposed
    size = np.dtype(dtype).itemsize
    streams = not outer and (left.down, left.across) == (k, 1) and m * k * size > STREAM_BYTES
    product = _Product(dtype, k, left, right, finish, target, once, found.turned, streams, tuple(outer), totals)
    for strip in found.strips:
        _strip(b, product, strip, m)


@dataclass(frozen=True, slots=True)
class _Product:
    """What all tiles of a product share."""

    dtype: str
    k: int
    left: Matrix
    right: Matrix
    finish: Finish
    target: Target
    once: bool
    turned: bool
    streams: bool
    outer: tuple[Steps, ...]
    totals: Totals | None

    @property
    def terms(self) -> int:
        """How many products each sum has."""
        return count_of(self.outer) * self.k


def _strip(b: ir.IRBuilder, product: _Product, strip: Columns, m: int) -> None:
    """All strips of columns that are cut alike, one after the other, and in each the tiles downwards."""
    copied = not product.outer and packs(product.right, product.k, strip, m, product.dtype)
    copy = scratch(b, product.dtype) if copied else None

    def one(index: Value) -> None:
        column = b.add(I64(strip.first), times(b, index, strip.width))
        right = product.right.beside(b, I64(0), column)
        if copied:
            pack(b, product.dtype, right, copy, product.k, strip)
            right = Matrix(copy, strip.width, 1)
        for rows in strip.rows:
            _tiles(b, product, _Panel(right, copied), column, strip, rows)

    counted(b, strip.count, one)


class _Panel(NamedTuple):
    """The columns of the right matrix that a strip reads, and whether there are numbers in all of its lanes."""

    matrix: Matrix
    filled: bool


def _tiles(b: ir.IRBuilder, product: _Product, panel: _Panel, column: Value, strip: Columns, rows: Rows) -> None:
    def one(index: Value) -> None:
        row = b.add(I64(rows.first), times(b, index, rows.height))
        tile = _Tile(b, product, panel, strip, rows.height)
        sums = tile.sums(product.left.beside(b, row, I64(0)))
        if product.turned:
            for below, block in tile.turned(column, sums):
                _finish(b, product, below, row, block)
        else:
            _finish(b, product, row, column, _Block(sums, strip.vectors, strip.lanes, strip.used))

    counted(b, rows.count, one)


class _Block(NamedTuple):
    """Finished vectors, row by row: how many each row has, their lanes, and how many of the last one are elements."""

    sums: list[Value]
    across: int
    lanes: int
    used: int


class _Tile:
    """The instructions of one shape of tile."""

    def __init__(self, b: ir.IRBuilder, product: _Product, panel: _Panel, strip: Columns, height: int) -> None:
        self.b = b
        self.product = product
        self.right = panel.matrix
        self.filled = panel.filled
        self.height = height
        self.strip = strip

    def sums(self, left: Matrix) -> list[Value]:
        """The finished accumulators, row by row."""
        product, each = self.product, self.height * self.strip.vectors
        start = [zeros(product.dtype, self.strip.lanes)] * each
        if product.terms == 0:
            return start
        terms = (*product.outer, Steps(left.across, self.right.down, product.k))
        at = left.pointer, self.right.pointer
        if product.terms <= BLOCK:
            most = _ROUND if product.target.fma else 0  # loads that LLVM moves ahead take registers
            unrolled = max((u for u in (1, 2, 4) if product.k % u == 0 and u * each <= most), default=1)
            return self._block(left, I64(0), at, terms, start, unrolled)
        return self._blocks(left, at, terms, start)

    def _blocks(self, left: Matrix, at: Pointers, terms: Sequence[Steps], start: list[Value]) -> list[Value]:
        """The sum of the blocks' sums, which wait in memory while a block is computed."""
        b, dtype = self.b, self.product.dtype
        lanes = self.strip.lanes
        room = place(b, dtype, len(start) * lanes)
        places = [b.gep(room, [I64(i * lanes)]) for i in range(len(start))]
        # A negative zero is what changes no number that is added to it.
        self._store([splat(b, FLOATS[dtype](-0.0), lanes)] * len(start), places)

        def add(at: Pointers, first: Value, axes: Sequence[Steps], *_: Value) -> list[Value]:
            sums = self._block(left, first, at, axes, start, 1)
            self._store(
                [b.fadd(load_vector(b, dtype, at, lanes), one) for at, one in zip(places, sums, strict=True)], places
            )
            return []

        each_block(b, terms, at, add)
        return [load_vector(b, dtype, at, lanes) for at in places]

    def _store(self, values: Sequence[Value], places: Sequence[Value]) -> None:
        for value, at in zip(values, places, strict=True):
            store_vector(self.b, self.product.dtype, value, at)

    def _block(
        self,
        left: Matrix,
        first: Value,
        at: Pointers,
        terms: Sequence[Steps],
        accumulators: list[Value],
        unrolled: int,
    ) -> list[Value]:
        """The sums of so many terms, whose operands begin `at`; of a matrix product they are those from `first` on."""
        b = self.b

        def term(here: Pointers, index: Value, accumulators: list[Value]) -> list[Value]:
            if self.product.streams:
                self._ask_ahead(left, b.add(first, index))
            return self._term(left._replace(pointer=here[0]), self.right._replace(pointer=here[1]), accumulators)

        return summed(b, terms, at, accumulators, term, unrolled)

    def _ask_ahead(self, left: Matrix, p: Value) -> None:
        """Ask for a part of the rows of the next tile, in each term another one."""
        b, size = self.b, np.dtype(self.product.dtype).itemsize
        line = CACHE_LINE // size
        next_rows = b.gep(left.pointer, [b.add(I64(self.height * left.down), times(b, p, self.height))])
        for offset in range(0, self.height, line):
            prefetch(b, b.gep(next_rows, [I64(offset)]))

    def _term(self, left: Matrix, right: Matrix, accumulators: list[Value]) -> list[Value]:
        """The accumulators after one more term: a column of `left` times a row of `right`."""
        b, dtype, fma = self.b, self.product.dtype, self.product.target.fma
        row = [self._vector(right, j) for j in range(self.strip.vectors)]
        result: list[Value] = []
        for i in range(self.height):
            number = splat(b, b.load(b.gep(left.pointer, [I64(i * left.down)])), self.strip.lanes)
            result += [
                multiply_add(b, dtype, number, vector, accumulators[len(result) + j], fma)
                for j, vector in enumerate(row)
            ]
        return result

    def _vector(self, right: Matrix, j: int) -> Value:
        """One vector of a row of `right`; number by number where its columns are no neighbours."""
        b, dtype, lanes = self.b, self.product.dtype, self.strip.lanes
        used = self.strip.used if j == self.strip.vectors - 1 else lanes
        at = b.gep(right.pointer, [I64(j * lanes * right.across)])
        if right.across == 1:
            return load_vector(b, dtype, at, lanes, None if self.filled else mask_of(used, lanes))
        found = zeros(dtype, lanes)
        for lane in range(used):
            found = b.insert_element(found, b.load(b.gep(at, [I64(lane * right.across)])), I64(lane))
        return found

    def turned(self, row: Value, sums: list[Value]) -> Iterator[tuple[Value, _Block]]:
        """The sums of a transposed product as rows of the product itself: a block for each vector.

        `row` is the product's row of the first lane.
        """
        b, strip = self.b, self.strip
        least = max(1 << (self.height - 1).bit_length(), 16 // np.dtype(self.product.dtype).itemsize)
        size = max(strip.lanes, least)
        for j in range(strip.vectors):
            columns = [_widened(b, sums[i * strip.vectors + j], size) for i in range(self.height)]
            used = strip.used if j == strip.vectors - 1 else strip.lanes
            rows = [
                shuffle(b, each, each, range(least)) if size > least else each
                for each in turned(b, columns, self.product.dtype, size)[:used]
            ]
            yield b.add(row, I64(j * strip.lanes)), _Block(rows, 1, least, self.height)


def _widened(b: ir.IRBuilder, vector: Value, lanes: int) -> Value:
    """The vector with more lanes."""
    have = vector.type.count
    return shuffle(b, vector, vector, [lane % have for lane in range(lanes)]) if lanes > have else vector


def _finish(b: ir.IRBuilder, product: _Product, row: Value, column: Value, block: _Block) -> None:
    """What follows for the finished vectors of a block that begins at a row and a column."""
    sums, across, lanes, last = block
    height, totals = len(sums) // across, product.totals
    # For each vector of a row where it begins, and which of its lanes are elements.
    vectors = [
        (b.add(column, I64(j * lanes)), mask_of(last, lanes) if j == across - 1 else None) for j in range(across)
    ]
    states = [None if totals is None else totals.begin(b, at, lanes, mask) for at, mask in vectors]

    def one_row(below: Value, found: Sequence[Value]) -> None:
        for value, (at, mask), state in zip(found, vectors, states, strict=True):
            if totals is not None:
                totals.use(state)
            product.finish(b, below, at, value, lanes, mask)

    if not product.once or height == 1:
        for i in range(height):
            one_row(b.add(row, I64(i)), sums[i * across : (i + 1) * across])
    else:
        room = place(b, product.dtype, len(sums) * lanes)
        for i, value in enumerate(sums):
            store_vector(b, product.dtype, value, b.gep(room, [I64(i * lanes)]))

        def again(i: Value) -> None:
            first = b.gep(room, [b.mul(i, I64(across * lanes))])
            places = [b.gep(first, [I64(j * lanes)]) for j in range(across)]
            one_row(b.add(row, i), [load_vector(b, product.dtype, at, lanes) for at in places])

        counted(b, height, again)
    if totals is not None:
        for (at, mask), state in zip(vectors, states, strict=True):
            totals.end(b, at, lanes, mask, state)


# --- whole products -----------------------------------------------------------------------------------------


def product(  # noqa: PLR0917 - three matrices and their lengths
    b: ir.IRBuilder,
    dtype: str,
    shape: tuple[int, int, int],
    left: Matrix,
    right: Matrix,
    result: Matrix,
    target: Target,
    outer: Sequence[Steps] = (),
) -> Value:
    """Emit the call of a function of the kernel's own that writes a product to memory.

    Parameters
    ----------
    b, dtype, shape, left, right, target, outer
        As for `tiled_product`.
    result : Matrix
        Where the product goes, by rows; it overlaps neither operand.

    Returns
    -------
    Value
        0. Products of the same lengths and strides share one function.
    """

    def body(inner: ir.IRBuilder, *pointers: Value) -> Value:
        x, y, z = (one._replace(pointer=at) for one, at in zip((left, right, result), pointers, strict=True))

        def store(b: ir.IRBuilder, row: Value, column: Value, value: Value, _: int, mask: Value | None) -> None:
            store_vector(b, dtype, value, z.at(b, row, column), mask)

        tiled_product(inner, dtype, shape, x, y, store, target, outer=outer)
        return I64(0)

    numbers = (*shape, left.down, left.across, right.down, right.across, result.down, *sum(outer, ()))
    name = "_".join(["product", dtype, *map(str, numbers)])
    called = own_function(b, name, (left.pointer, right.pointer, result.pointer), body)
    called.callee.attributes.add("noinline")  # its registers are its own
    return called


def dot(
    b: ir.IRBuilder,
    dtype: str,
    terms: Sequence[Steps],
    left: Value,
    right: Value,
    target: Target,
) -> Value:
    """Emit one element of a product, with the bits that it has in a tile.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    dtype : str
        ``"float32"`` or ``"float64"``.
    terms : sequence of Steps
        The axes that are summed over, outermost first.
    left, right : Value
        Where the row and the column begin.
    target : Target
        The CPU.

    Returns
    -------
    Value
        The sum.
    """
    zero = FLOATS[dtype](0)
    if count_of(terms) == 0:
        return zero

    def term(at: Pointers, _: Value, total: list[Value]) -> list[Value]:
        x, y = (b.load(one) for one in at)
        return [multiply_add(b, dtype, x, y, total[0], target.fma)]

    if count_of(terms) <= BLOCK:
        return summed(b, terms, (left, right), [zero], term)[0]

    def block(at: Pointers, _: Value, axes: Sequence[Steps], total: Value) -> list[Value]:
        return [b.fadd(total, summed(b, axes, at, [zero], term)[0])]

    return each_block(b, terms, (left, right), block, [FLOATS[dtype](-0.0)])[0]
