"""Convolutions of 3×3 places by Winograd's transforms: the routines of `ops.winograd` as LLVM instructions.

Tiles of some rows of the result at a time are transformed into scratch, then multiplied by the transformed kernel in
register tiles, then transformed back, so that all of it stays in the near caches. Channels are lanes. Every length and
distance is a literal of the text, and a function of the kernel's own is made for each combination. Written with
llvmlite's `ir` alone. Start reading at `ROUTINES`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping, Sequence

from llvmlite import ir

from ..dataclass import dataclass
from ..ops.winograd import PLACES, tiles_along
from .instructions import FLOATS, I64, Value, extreme, own_function
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


def _square(values: Sequence[Value]) -> Square:
    """What comes by rows as a tile."""
    return [list(values[row * 4 : row * 4 + 4]) for row in range(4)]


def _origin(b: ir.IRBuilder, index: Value, length: int) -> Value:
    """Where a tile begins along an axis of the result of so many places."""
    doubled = times(b, index, 2)
    return extreme("minimum")(b, "int64", doubled, I64(length - 2)) if length % 2 else doubled


def _each_tile(
    b: ir.IRBuilder, first: Value, rows: int, size: tuple[int, int], body: Callable[[Value, Value, Value], None]
) -> None:
    """Emit ``body(number, row, column)`` for the tiles of `rows` rows of tiles, given where they begin in a result."""
    across = tiles_along(size[1])

    def row(i: Value) -> None:
        begin = _origin(b, b.add(first, i), size[0])

        def tile(j: Value) -> None:
            body(b.add(times(b, i, across), j), begin, _origin(b, j, size[1]))

        counted(b, across, tile)

    counted(b, rows, row)


@dataclass(frozen=True, slots=True)
class _Input:
    """An array of shape (h, w, c): where it begins, its strides, how many channels it has."""

    pointer: Value
    down: int
    across: int
    channels: int

    def at(self, b: ir.IRBuilder, row: Value, column: Value, channel: Value) -> Value:
        """The address of an element."""
        return b.gep(self.pointer, [b.add(b.add(times(b, row, self.down), times(b, column, self.across)), channel)])


def _spread(v: _Lanes, x: _Input, to: Value, first: Value, rows: int, size: tuple[int, int], distance: int) -> None:
    """Rows of tiles of the input, transformed: 16 matrices with a row for each tile, so far from one another."""
    b = v.b

    def tile(number: Value, row: Value, column: Value) -> None:
        def vector(channel: Value, mask: Value | None) -> None:
            places = v.load_square(x.at(b, row, column, channel), 4, x.down, x.across, mask)
            at = b.gep(to, [b.add(times(b, number, x.channels), channel)])
            v.store(_along_both(places, v.spread), at, distance, mask)

        v.each(x.channels, vector)

    _each_tile(b, first, rows, size, tile)


def _each_place(b: ir.IRBuilder, product: Callable[[Value], None]) -> None:
    counted(b, PLACES, product)


def _convolution(
    b: ir.IRBuilder, dtype: str, target: Target, pointers: Sequence[Value], numbers: Sequence[int]
) -> None:
    x, kernel, out, spread, products = pointers
    down, across, _, kernel_place, kernel_down, kernel_across, h, w, c, _, d = numbers
    size = h - 2, w - 2
    count = tiles_along(size[0])
    v = _Lanes(b, dtype, target.lanes(dtype))
    rows = rows_at_once(*size, c, d, dtype)
    tiles = rows * tiles_along(size[1])
    near, far = apart(tiles * c, dtype), apart(tiles * d, dtype)

    def block(index: Value) -> None:
        # The last block begins where it has all its rows: some of them are computed twice.
        first = extreme("minimum")(b, "int64", times(b, index, rows), I64(count - rows))
        _spread(v, _Input(x, down, across, c), spread, first, rows, size, near)

        def product(place: Value) -> None:
            left = Matrix(b.gep(spread, [times(b, place, near)]), c, 1)
            right = Matrix(b.gep(kernel, [times(b, place, kernel_place)]), kernel_down, kernel_across)
            result = Matrix(b.gep(products, [times(b, place, far)]), d, 1)

            def store(b: ir.IRBuilder, row: Value, column: Value, value: Value, _: int, mask: Value | None) -> None:
                store_vector(b, dtype, value, result.at(b, row, column), mask)

            tiled_product(b, dtype, (tiles, d, c), left, right, store, target)

        _each_place(b, product)

        def tile(number: Value, row: Value, column: Value) -> None:
            def vector(channel: Value, mask: Value | None) -> None:
                begin = b.gep(products, [b.add(times(b, number, d), channel)])
                found = v.load_square(begin, 4, 4 * far, far, mask)
                places = _along_both(found, v.gathered)
                to = _Input(out, size[1] * d, d, d).at(b, row, column, channel)
                for line in range(2):
                    v.store(places[2 * line : 2 * line + 2], b.gep(to, [I64(line * size[1] * d)]), d, mask)

            v.each(d, vector)

        _each_tile(b, first, rows, size, tile)

    counted(b, -(-count // rows), block)


def _kernel(b: ir.IRBuilder, dtype: str, target: Target, pointers: Sequence[Value], numbers: Sequence[int]) -> None:
    kernel, out = pointers
    down, across, channel_in, channel_out, _, _, c, d = numbers
    v = _Lanes(b, dtype, target.lanes(dtype) if channel_out == 1 else _FEW_LANES)

    def row(i: Value) -> None:
        def vector(j: Value, mask: Value | None) -> None:
            at = b.gep(kernel, [b.add(times(b, i, channel_in), times(b, j, channel_out))])
            places = v.load_square(at, 3, down, across, mask, channel_out)
            v.store(_along_both(places, v.weights), b.gep(out, [b.add(times(b, i, d), j)]), c * d, mask)

        v.each(d, vector)

    counted(b, c, row)


def _by_kernel(b: ir.IRBuilder, dtype: str, target: Target, pointers: Sequence[Value], numbers: Sequence[int]) -> None:
    x, ct, out, spread, scattered, totals = pointers
    down, across, _, ct_down, ct_across, _, h, w, c, _, _, d = numbers
    size = h - 2, w - 2
    v = _Lanes(b, dtype, target.lanes(dtype))
    own = _Input(ct, ct_down, ct_across, d)
    far = apart(c * d, dtype)

    def add_up(first: Value, rows: int) -> None:
        tiles = rows * tiles_along(size[1])
        fresh = b.icmp_signed("==", first, I64(0))
        near, beside = apart(tiles * c, dtype), apart(tiles * d, dtype)
        _spread(v, _Input(x, down, across, c), spread, first, rows, size, near)
        _scatter(v, own, scattered, first, rows, size, beside)

        def product(place: Value) -> None:
            left = Matrix(b.gep(spread, [times(b, place, near)]), 1, c)
            right = Matrix(b.gep(scattered, [times(b, place, beside)]), d, 1)
            result = Matrix(b.gep(totals, [times(b, place, far)]), d, 1)

            def add(b: ir.IRBuilder, row: Value, column: Value, value: Value, lanes: int, mask: Value | None) -> None:
                at = result.at(b, row, column)
                # What is there before the first block is left from another example.
                before = b.select(fresh, zeros(dtype, lanes), load_vector(b, dtype, at, lanes, mask))
                store_vector(b, dtype, b.fadd(before, value), at, mask)

            tiled_product(b, dtype, (c, d, tiles), left, right, add, target)

        _each_place(b, product)

    count, rows = tiles_along(size[0]), block_of_rows(*size, c, d, dtype)
    counted(b, count // rows, lambda index: add_up(times(b, index, rows), rows))
    if count % rows:
        add_up(I64(count - count % rows), count % rows)

    def row(i: Value) -> None:
        def vector(j: Value, mask: Value | None) -> None:
            place = b.add(times(b, i, d), j)
            found = v.load_square(b.gep(totals, [place]), 4, 4 * far, far, mask)
            v.store(_along_both(found, v.weights_back), b.gep(out, [place]), c * d, mask)

        v.each(d, vector)

    counted(b, c, row)


def _scatter(v: _Lanes, ct: _Input, to: Value, first: Value, rows: int, size: tuple[int, int], distance: int) -> None:
    """Rows of tiles of a cotangent, transformed; what a tile shares with the one before is 0."""
    b, zero = v.b, zeros(v.dtype, v.lanes)

    def tile(number: Value, row: Value, column: Value) -> None:
        shared = [
            b.trunc(begin, ir.IntType(1)) if length % 2 else None
            for begin, length in zip((row, column), size, strict=True)
        ]

        def vector(channel: Value, mask: Value | None) -> None:
            places = v.load_square(ct.at(b, row, column, channel), 2, ct.down, ct.across, mask)
            for other in range(2):
                if shared[0] is not None:
                    places[0][other] = b.select(shared[0], zero, places[0][other])
                if shared[1] is not None:
                    places[other][0] = b.select(shared[1], zero, places[other][0])
            at = b.gep(to, [b.add(times(b, number, ct.channels), channel)])
            v.store(_along_both(places, v.scattered), at, distance, mask)

        v.each(ct.channels, vector)

    _each_tile(b, first, rows, size, tile)


ROUTINES: Mapping[str, Lower] = {
    "winograd_kernel": _shaped("winograd_kernel", _kernel),
    "winograd_conv": _shaped("winograd_conv", _convolution),
    "winograd_by_kernel": _shaped("winograd_by_kernel", _by_kernel),
}
