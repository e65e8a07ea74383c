"""Convolutions of 3×3 places by Winograd's transforms: the routines of `ops.winograd` as LLVM instructions.

Tiles of some rows of the result at a time are transformed into scratch, then multiplied by the transformed kernel in
register tiles, then transformed back, so that all of it stays in the near caches. Channels are lanes. Every length and
distance is a literal of the text, and a function of the kernel's own is made for each combination. Written with
llvmlite's `ir` alone. Start reading at `ROUTINES`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from llvmlite import ir

from ..dataclass import dataclass
from ..ops.winograd import PLACES, tiles_along
from .instructions import FLOATS, I1, I64, Value, extreme, own_function
from .straight import literal
from .tile_shape import Target
from .tiles import tiled_product
from .vectors import Matrix, counted, load_vector, mask_of, splat, store_vector, times, zeros
from .winograd_shape import apart, block_of_rows, rows_at_once

_FEW_LANES = 4
"""Of vectors that are put together number by number, which is much code."""

Lower = Callable[..., Value]
Square = list[list[Value]]
"""Vectors by row and column of a tile."""


def _shaped(name: str, body: Callable[..., None]) -> Lower:
    """A function for the numbers of its call: ``body(builder, dtype, target, pointers, numbers)`` writes it."""

    def lower(b: ir.IRBuilder, dtype: str, target: Target, *values: Value) -> Value:
        pointers = tuple(value for value in values if isinstance(value.type, ir.PointerType))
        numbers = [literal(value) for value in values if not isinstance(value.type, ir.PointerType)]

        def inside(inner: ir.IRBuilder, *given: Value) -> Value:
            body(inner, dtype, target, given, numbers)
            return I64(0)

        called = own_function(b, "_".join([name, dtype, *map(str, numbers)]), pointers, inside)
        called.callee.attributes.add("noinline")
        return called

    return lower


@dataclass(frozen=True, slots=True)
class _Lanes:
    """Vectors along channels, and what is done with them.

    Attributes
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    dtype : str
        Of all numbers.
    lanes : int
        Of a register.
    """

    b: ir.IRBuilder
    dtype: str
    lanes: int

    def each(self, count: int, body: Callable[[Value, Value | None], None]) -> None:
        """Emit ``body(first, mask)`` for each vector of so many channels."""
        whole, rest = count - count % self.lanes, count % self.lanes
        if whole:
            counted(self.b, whole, lambda first: body(first, None), step=self.lanes)
        if rest:
            body(I64(whole), mask_of(rest, self.lanes))

    def load(self, at: Value, mask: Value | None, step: int = 1) -> Value:
        """A vector of numbers so far apart."""
        b = self.b
        if step == 1:
            return load_vector(b, self.dtype, at, self.lanes, mask)
        found = zeros(self.dtype, self.lanes)
        used = self.lanes if mask is None else sum(map(bool, mask.constant))
        for lane in range(used):
            found = b.insert_element(found, b.load(b.gep(at, [I64(lane * step)])), I64(lane))
        return found

    def load_square(self, at: Value, size: int, down: int, across: int, mask: Value | None, step: int = 1) -> Square:
        """Vectors that begin at ``at + row * down + column * across``."""
        b = self.b
        return [
            [self.load(b.gep(at, [I64(row * down + column * across)]), mask, step) for column in range(size)]
            for row in range(size)
        ]

    def store(self, values: Sequence[Value], at: Value, distance: int, mask: Value | None) -> None:
        """Put vectors so far from one another."""
        for number, value in enumerate(values):
            store_vector(self.b, self.dtype, value, self.b.gep(at, [I64(number * distance)]), mask)

    def halved(self, value: Value) -> Value:
        """Half of it."""
        return self.b.fmul(value, splat(self.b, FLOATS[self.dtype](0.5), self.lanes))

    # The transforms along one axis: ``ops.winograd`` has their matrices.

    def spread(self, d: Sequence[Value]) -> list[Value]:
        """4 places of the input."""
        b = self.b
        return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]

    def weights(self, g: Sequence[Value]) -> list[Value]:
        """3 places of the kernel."""
        b, ends = self.b, self.b.fadd(g[0], g[2])
        return [g[0], self.halved(b.fadd(ends, g[1])), self.halved(b.fsub(ends, g[1])), g[2]]

    def gathered(self, m: Sequence[Value]) -> list[Value]:
        """To 2 places of the result."""
        b = self.b
        return [b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])]

    def scattered(self, a: Sequence[Value]) -> list[Value]:
        """The transpose of `gathered`, from 2 places of a cotangent."""
        b = self.b
        return [a[0], b.fadd(a[0], a[1]), b.fsub(a[0], a[1]), b.fneg(a[1])]

    def weights_back(self, m: Sequence[Value]) -> list[Value]:
        """The transpose of `weights`, to 3 places of a kernel's cotangent."""
        b, total = self.b, self.halved(self.b.fadd(m[1], m[2]))
        return [b.fadd(m[0], total), self.halved(b.fsub(m[1], m[2])), b.fadd(total, m[3])]


def _along_both(square: Square, one: Callable[[Sequence[Value]], list[Value]]) -> list[Value]:
    """A transform along the columns, then along the rows, by rows."""
    columns = [one(column) for column in zip(*square, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in one(row)]


def _origin(b: ir.IRBuilder, index: Value, length: int) -> Value:
    """Where a tile begins along an axis of the result of so many places."""
    doubled = times(b, index, 2)
    return extreme("minimum")(b, "int64", doubled, I64(length - 2)) if length % 2 else doubled


@dataclass(frozen=True, slots=True)
class _Tiles:
    """Rows of tiles of a result of a `size`: which one comes first, and how many rows they are."""

    first: Value
    rows: int
    size: tuple[int, int]

    @property
    def count(self) -> int:
        """How many tiles they are."""
        return self.rows * tiles_along(self.size[1])

    def each(self, b: ir.IRBuilder, body: Callable[[Value, Value, Value], None]) -> None:
        """Emit ``body(number, row, column)`` for each of them, given where in the result it begins."""
        across = tiles_along(self.size[1])

        def row(i: Value) -> None:
            begin = _origin(b, b.add(self.first, i), self.size[0])

            def tile(j: Value) -> None:
                body(b.add(times(b, i, across), j), begin, _origin(b, j, self.size[1]))

            counted(b, across, tile)

        counted(b, self.rows, row)


class _Places(NamedTuple):
    """Places of an array of shape (h, w, channels): where it begins, its strides, how many channels it has."""

    pointer: Value
    down: int
    across: int
    channels: int

    def at(self, b: ir.IRBuilder, row: Value, column: Value, channel: Value) -> Value:
        """The address of an element."""
        return b.gep(self.pointer, [b.add(b.add(times(b, row, self.down), times(b, column, self.across)), channel)])


class _Matrices(NamedTuple):
    """One matrix for each place of a tile, in scratch: by rows, so far from one another."""

    pointer: Value
    distance: int
    columns: int

    @classmethod
    def of(cls, pointer: Value, rows: int, columns: int, dtype: str) -> "_Matrices":
        """Matrices of so many rows and columns."""
        return cls(pointer, apart(rows * columns, dtype), columns)

    def matrix(self, b: ir.IRBuilder, place: Value) -> Matrix:
        """The matrix of a place."""
        return Matrix(b.gep(self.pointer, [times(b, place, self.distance)]), self.columns, 1)

    def at(self, b: ir.IRBuilder, row: Value, column: Value) -> Value:
        """The address of an element of the first matrix."""
        return b.gep(self.pointer, [b.add(times(b, row, self.columns), column)])

    def load(self, v: _Lanes, row: Value, column: Value, mask: Value | None) -> Square:
        """A vector of each matrix."""
        return v.load_square(self.at(v.b, row, column), 4, 4 * self.distance, self.distance, mask)


def _spread(v: _Lanes, x: _Places, to: _Matrices, tiles: _Tiles) -> None:
    """Tiles of the input, transformed: a row of each matrix for each tile."""
    b = v.b

    def tile(number: Value, row: Value, column: Value) -> None:
        def vector(channel: Value, mask: Value | None) -> None:
            places = v.load_square(x.at(b, row, column, channel), 4, x.down, x.across, mask)
            v.store(_along_both(places, v.spread), to.at(b, number, channel), to.distance, mask)

        v.each(x.channels, vector)

    tiles.each(b, tile)


def _gather(v: _Lanes, products: _Matrices, out: _Places, tiles: _Tiles) -> None:
    """What products of matrices transform to, where it goes in the result."""
    b = v.b

    def tile(number: Value, row: Value, column: Value) -> None:
        def vector(channel: Value, mask: Value | None) -> None:
            found = _along_both(products.load(v, number, channel, mask), v.gathered)
            at = out.at(b, row, column, channel)
            v.store(found[:2], at, out.across, mask)
            v.store(found[2:], b.gep(at, [I64(out.down)]), out.across, mask)

        v.each(out.channels, vector)

    tiles.each(b, tile)


def _scatter(v: _Lanes, ct: _Places, to: _Matrices, tiles: _Tiles) -> None:
    """Tiles of a cotangent, transformed; what a tile shares with the one before is 0."""
    b, zero = v.b, zeros(v.dtype, v.lanes)

    def tile(number: Value, row: Value, column: Value) -> None:
        begins = zip((row, column), tiles.size, strict=True)
        shared = [b.trunc(begin, I1) if length % 2 else None for begin, length in begins]

        def vector(channel: Value, mask: Value | None) -> None:
            places = v.load_square(ct.at(b, row, column, channel), 2, ct.down, ct.across, mask)
            for other in range(2):
                if shared[0] is not None:
                    places[0][other] = b.select(shared[0], zero, places[0][other])
                if shared[1] is not None:
                    places[other][0] = b.select(shared[1], zero, places[other][0])
            v.store(_along_both(places, v.scattered), to.at(b, number, channel), to.distance, mask)

        v.each(ct.channels, vector)

    tiles.each(b, tile)


# --- the routines ---------------------------------------------------------------------------------------------


def _convolution(
    b: ir.IRBuilder, dtype: str, target: Target, pointers: Sequence[Value], numbers: Sequence[int]
) -> None:
    x, kernel, out, spread, products = pointers
    down, across, _, kernel_place, kernel_down, kernel_across, h, w, c, _, d = numbers
    size = h - 2, w - 2
    v = _Lanes(b, dtype, target.lanes(dtype))
    count, rows = tiles_along(size[0]), rows_at_once(*size, c, d, dtype)

    def block(index: Value) -> None:
        # The last block begins where it has all its rows: some of them are computed twice.
        tiles = _Tiles(extreme("minimum")(b, "int64", times(b, index, rows), I64(count - rows)), rows, size)
        left, results = (
            _Matrices.of(each, tiles.count, columns, dtype) for each, columns in ((spread, c), (products, d))
        )
        _spread(v, _Places(x, down, across, c), left, tiles)

        def product(place: Value) -> None:
            right = Matrix(b.gep(kernel, [times(b, place, kernel_place)]), kernel_down, kernel_across)
            result = results.matrix(b, place)

            def store(b: ir.IRBuilder, row: Value, column: Value, value: Value, _: int, mask: Value | None) -> None:
                store_vector(b, dtype, value, result.at(b, row, column), mask)

            tiled_product(b, dtype, (tiles.count, d, c), left.matrix(b, place), right, store, target)

        counted(b, PLACES, product)
        _gather(v, results, _Places(out, size[1] * d, d, d), tiles)

    counted(b, -(-count // rows), block)


def _kernel(b: ir.IRBuilder, dtype: str, target: Target, pointers: Sequence[Value], numbers: Sequence[int]) -> None:
    kernel, out = pointers
    down, across, channel_in, channel_out, _, _, c, d = numbers
    v = _Lanes(b, dtype, target.lanes(dtype) if channel_out == 1 else _FEW_LANES)
    to = _Matrices(out, c * d, d)

    def row(i: Value) -> None:
        def vector(j: Value, mask: Value | None) -> None:
            at = b.gep(kernel, [b.add(times(b, i, channel_in), times(b, j, channel_out))])
            places = v.load_square(at, 3, down, across, mask, channel_out)
            v.store(_along_both(places, v.weights), to.at(b, i, j), to.distance, mask)

        v.each(d, vector)

    counted(b, c, row)


def _by_kernel(b: ir.IRBuilder, dtype: str, target: Target, pointers: Sequence[Value], numbers: Sequence[int]) -> None:
    x, ct, out, spread, scattered, totals = pointers
    down, across, _, ct_down, ct_across, _, h, w, c, _, _, d = numbers
    size = h - 2, w - 2
    v = _Lanes(b, dtype, target.lanes(dtype))
    results = _Matrices.of(totals, c, d, dtype)

    def add_up(first: Value, rows: int) -> None:
        tiles = _Tiles(first, rows, size)
        left, right = (
            _Matrices.of(each, tiles.count, columns, dtype) for each, columns in ((spread, c), (scattered, d))
        )
        _spread(v, _Places(x, down, across, c), left, tiles)
        _scatter(v, _Places(ct, ct_down, ct_across, d), right, tiles)
        fresh = b.icmp_signed("==", first, I64(0))

        def product(place: Value) -> None:
            result = results.matrix(b, place)

            def add(b: ir.IRBuilder, row: Value, column: Value, value: Value, lanes: int, mask: Value | None) -> None:
                at = result.at(b, row, column)
                # What is there before the first block is left from another example.
                before = b.select(fresh, zeros(dtype, lanes), load_vector(b, dtype, at, lanes, mask))
                store_vector(b, dtype, b.fadd(before, value), at, mask)

            operands = left.matrix(b, place).transposed, right.matrix(b, place)
            tiled_product(b, dtype, (c, d, tiles.count), *operands, add, target)

        counted(b, PLACES, product)

    count, rows = tiles_along(size[0]), block_of_rows(*size, c, d, dtype)
    counted(b, count // rows, lambda index: add_up(times(b, index, rows), rows))
    if count % rows:
        add_up(I64(count - count % rows), count % rows)

    def row(i: Value) -> None:
        def vector(j: Value, mask: Value | None) -> None:
            at = b.gep(out, [b.add(times(b, i, d), j)])
            v.store(_along_both(results.load(v, i, j, mask), v.weights_back), at, c * d, mask)

        v.each(d, vector)

    counted(b, c, row)


ROUTINES: Mapping[str, Lower] = {
    "winograd_kernel": _shaped("winograd_kernel", _kernel),
    "winograd_conv": _shaped("winograd_conv", _convolution),
    "winograd_by_kernel": _shaped("winograd_by_kernel", _by_kernel),
}
