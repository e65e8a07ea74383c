"""A matrix product with what is done to its elements: two loops of the text that run in register tiles.

The loop over rows has some lines, perhaps, and the loop over columns; among the lines of this one is one call of
``dot_float32`` or ``dot_float64``. Instead of the loops, `Nest.lower` emits tiles, and for each the lines for its
elements, of which a vector holds as many as it has lanes. Used by `outline`; start reading at `nest_of`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from llvmlite import ir

from ..dataclass import dataclass
from .indices import offset, slope
from .instructions import FLOATS, I64, Value
from .packing import scratch
from .straight import Known, Scalars, TextError, Typed
from .terms import terms_of
from .tile_shape import SCRATCH_BYTES, Target
from .tiles import product, tiled_product
from .vector_lines import Vectors
from .vectors import Matrix, counted, load_vector, mask_of, place, store_vector


@dataclass(frozen=True, slots=True)
class Nest:
    """The two loops.

    Attributes
    ----------
    row, column : str
        Their indices.
    first : ast.expr
        Where the loop over rows begins.
    rows : int
        How long it is.
    limit : int, optional
        Where it ends in any case.
    columns : int
        The length of the loop over columns.
    lines : list of ast.stmt
        What they do.
    product : ast.Call
        The call that gives an element of the product.
    """

    row: str
    column: str
    first: ast.expr
    rows: int
    limit: int | None
    columns: int
    lines: list[ast.stmt]
    product: ast.Call

    def lower(self, b: ir.IRBuilder, known: Known, scope: Mapping[str, Typed], target: Target) -> None:
        """Emit the loops, given what is known around them."""
        tiles = _Tiles(self, b, known, scope, target)
        if self.limit is None:
            tiles.emit(self.rows)
            return
        whole = b.icmp_signed("<=", b.add(tiles.first, I64(self.rows)), I64(self.limit))
        with b.if_else(whole) as (then, otherwise):
            with then:
                tiles.emit(self.rows)
            with otherwise:
                tiles.emit(self.limit % self.rows)

    def runs_on(self) -> bool:
        """Whether what the lines read and write goes on from the end of one row to the next, as the elements do."""
        indices: set[int] = set()
        for part in _parts(self.lines):
            if isinstance(part, ast.Subscript):
                if slope(part.slice, self.row) != self.columns * slope(part.slice, self.column):
                    return False
                indices.update(map(id, _parts([part.slice])))
            elif part is self.product:
                indices.update(map(id, _parts([part])))
        names = (part for part in _parts(self.lines) if isinstance(part, ast.Name))
        return not any(name.id in {self.row, self.column} and id(name) not in indices for name in names)


class _Tiles:
    """Writes the instructions of a nest."""

    def __init__(self, nest: Nest, b: ir.IRBuilder, known: Known, scope: Mapping[str, Typed], target: Target) -> None:
        self.nest = nest
        self.b = b
        self.known = known
        self.target = target
        self.scope = dict(scope)
        scalars = Scalars(known, self.scope, b)
        # Addresses are taken from the table once, and not for each vector.
        for part in _parts([*nest.lines, nest.first]):
            if isinstance(part, ast.Name) and part.id in known.addresses:
                self.scope[part.id] = scalars.value(part)
        self.scope[nest.column] = Typed("int64", I64(0))
        self.scope[nest.row] = scalars.value(nest.first)
        left, left_first, left_step, right, right_first, right_step, count, *outer = nest.product.args
        self.left = self._matrix(left, left_first, slope(left_first, nest.row), offset(left_step))
        self.right = self._matrix(right, right_first, offset(right_step), slope(right_first, nest.column))
        self.terms = offset(count)
        numbers = [offset(each) for each in (left_step, right_step, count, *outer)]
        self.outer = terms_of(numbers)[:-1]
        self.dtype = self.scope[_name(left)].type[:-1]

    @property
    def first(self) -> Value:
        """The first row."""
        return self.scope[self.nest.row].value

    def _matrix(self, pointer: ast.expr, first: ast.expr, down: int, across: int) -> Matrix:
        """An operand, from the first row and the first column on."""
        scalars = Scalars(self.known, self.scope, self.b)
        at = self.b.gep(scalars.value(pointer).value, [scalars.value(first).value])
        return Matrix(at, down, across)

    def emit(self, rows: int) -> None:
        """So many rows."""
        nest, lanes = self.nest, self.target.lanes(self.dtype)
        shape = rows, nest.columns, self.terms
        match nest.lines:
            case [ast.Assign([ast.Subscript(pointer, index)], value)] if (
                value is nest.product and slope(index, nest.column) == 1
            ):
                result = self._matrix(pointer, index, slope(index, nest.row), slope(index, nest.column))
                product(self.b, self.dtype, shape, self.left, self.right, result, self.target, self.outer)
                return
        size = rows * nest.columns * np.dtype(self.dtype).itemsize
        if nest.columns % lanes and size <= SCRATCH_BYTES and nest.runs_on():
            self._stored(shape)
            return
        start, totals = self.first, _Totals(self)

        def finish(b: ir.IRBuilder, row: Value, column: Value, value: Value, lanes: int, mask: Value | None) -> None:
            totals.lines(b.add(start, row), column, value, lanes, mask)

        tiled_product(
            self.b, self.dtype, shape, self.left, self.right, finish, self.target, once=True, outer=self.outer,
            totals=totals,
        )  # fmt: skip

    def _stored(self, shape: tuple[int, int, int]) -> None:
        """Rows that do not fill their vectors: once all are computed, the lines for all elements as one long row."""
        b, dtype, lanes = self.b, self.dtype, self.target.lanes(self.dtype)
        rows, columns, _ = shape
        count = rows * columns
        at = scratch(b, dtype)
        product(b, dtype, shape, self.left, self.right, Matrix(at, columns, 1), self.target, self.outer)

        def some(first: Value, mask: Value | None) -> None:
            value = load_vector(b, dtype, b.gep(at, [first]), lanes, mask)
            self._lines(self.first, first, value, lanes, mask)

        whole, rest = count - count % lanes, count % lanes
        if whole:
            counted(b, whole, lambda first: some(first, None), step=lanes)
        if rest:
            some(I64(whole), mask_of(rest, lanes))

    def _lines(self, row: Value, column: Value, value: Value, lanes: int, mask: Value | None) -> None:
        """What is done to the elements of one vector."""
        vectors = self.vectors(self.scope_at(row, column), lanes, mask, value)
        for line in self.nest.lines:
            vectors.statement(line)

    def scope_at(self, row: Value, column: Value) -> dict[str, Typed]:
        """What names mean in a row, from a column on."""
        return {**self.scope, self.nest.row: Typed("int64", row), self.nest.column: Typed("int64", column, 1)}

    def vectors(self, scope: dict[str, Typed], lanes: int, mask: Value | None, value: Value | None = None) -> Vectors:
        """What writes lines for the elements of one vector of the product."""
        given = None if value is None else (_name(self.nest.product.func), Typed(self.dtype, value))
        return Vectors(self.known, scope, self.b, lanes=lanes, mask=mask, product=given, fma=self.target.fma)


class _Totals:
    """Lines that add to the same place in each row: in registers while the rows of a tile are done.

    Each of them adds to a name instead, of which the value is kept in a slot that LLVM makes a register of.
    """

    def __init__(self, tiles: _Tiles) -> None:
        self._tiles = tiles
        nest = tiles.nest
        found = {number: cell for number, line in enumerate(nest.lines) if (cell := _total(line, nest)) is not None}
        self._cells = {f"total_{number}": cell for number, cell in found.items() if self._fits(cell)}
        self._lines = [
            _Replaced(found[number], f"total_{number}").visit(copy.deepcopy(line))
            if f"total_{number}" in self._cells
            else line
            for number, line in enumerate(nest.lines)
        ]
        self._slots: dict[str, Value] = {}

    def _fits(self, cell: ast.Subscript) -> bool:
        return self._tiles.scope[_name(cell.value)].type[:-1] in FLOATS

    def begin(self, b: ir.IRBuilder, column: Value, lanes: int, mask: Value | None) -> dict[str, Value]:
        """Slots with the totals so far."""
        vectors = self._tiles.vectors(self._tiles.scope_at(I64(0), column), lanes, mask)
        slots = {}
        for name, cell in self._cells.items():
            found = vectors.value(cell)
            slots[name] = place(b, found.type, lanes)
            store_vector(b, found.type, found.value, slots[name])
        return slots

    def use(self, state: dict[str, Value]) -> None:
        """The slots for the columns that come next."""
        self._slots = state

    def lines(self, row: Value, column: Value, value: Value, lanes: int, mask: Value | None) -> None:
        """All lines, for the elements of one vector."""
        b, scope = self._tiles.b, self._tiles.scope_at(row, column)
        vectors = self._tiles.vectors(scope, lanes, mask, value)
        scope |= self._loaded(b, self._slots, lanes)
        for line in self._lines:
            vectors.statement(line)
        for name, slot in self._slots.items():
            store_vector(b, scope[name].type, vectors.spread(scope[name]), slot)

    def end(self, b: ir.IRBuilder, column: Value, lanes: int, mask: Value | None, state: dict[str, Value]) -> None:
        """Put the totals where they are to be."""
        scope = self._tiles.scope_at(I64(0), column) | self._loaded(b, state, lanes)
        vectors = self._tiles.vectors(scope, lanes, mask)
        for name in state:
            vectors.statement(ast.Assign([self._cells[name]], ast.Name(name, ast.Load())))

    def _loaded(self, b: ir.IRBuilder, slots: Mapping[str, Value], lanes: int) -> dict[str, Typed]:
        types = {name: self._type(name) for name in slots}
        return {name: Typed(types[name], load_vector(b, types[name], slot, lanes)) for name, slot in slots.items()}

    def _type(self, name: str) -> str:
        return self._tiles.scope[_name(self._cells[name].value)].type[:-1]


class _Replaced(ast.NodeTransformer):
    """A name for an element."""

    def __init__(self, cell: ast.Subscript, name: str) -> None:
        self._cell = ast.unparse(cell)
        self._name = name

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return ast.Name(self._name, node.ctx) if ast.unparse(node) == self._cell else node


def _total(line: ast.stmt, nest: Nest) -> ast.Subscript | None:
    """The element that a line adds to in each row, if nothing else has to do with that array."""
    match line:
        case ast.Assign([ast.Subscript(ast.Name(pointer), index) as cell], ast.Call(_, [ast.Subscript() as old, *_])):
            pass
        case _:
            return None
    if ast.unparse(old) != ast.unparse(cell) or slope(index, nest.row) or slope(index, nest.column) != 1:
        return None
    uses = [part for part in _parts(nest.lines) if isinstance(part, ast.Name) and part.id == pointer]
    assigned = {
        part.id for part in _parts(nest.lines) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    moving = any(isinstance(part, ast.Name) and part.id in assigned for part in _parts([index]))
    return cell if len(uses) == 2 and not moving else None


def nest_of(loop: ast.For) -> Nest | None:
    """What a loop is, if it goes over the rows of a product."""
    match loop:
        case ast.For(
            ast.Name(row),
            ast.Call(_, bounds),
            [*before, ast.For(ast.Name(column), ast.Call(_, [ast.Constant(int(columns))]), inside)],
        ):
            lines = [*before, *inside]
        case _:
            return None
    if not all(isinstance(line, ast.Assign) for line in lines):
        return None
    calls = (part for part in _parts(inside) if isinstance(part, ast.Call))
    product = next((call for call in calls if _name(call.func).startswith("dot_")), None)
    return Nest(row, column, *_bounds(bounds), columns, lines, product) if product is not None else None


def _name(tree: ast.expr) -> str:
    assert isinstance(tree, ast.Name)
    return tree.id


def _parts(trees: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for tree in trees:
        yield from ast.walk(tree)


def _bounds(bounds: list[ast.expr]) -> tuple[ast.expr, int, int | None]:
    """Where the loop over rows begins, how long it is, and where it ends in any case: all rows, or a block of them."""
    match bounds:
        case [ast.Constant(int(rows))]:
            return ast.Constant(0), rows, None
        case [first, ast.Call(ast.Name("min"), [stop, ast.Constant(int(limit))])]:
            return first, offset(stop) - offset(first), limit
        case [first, stop]:
            return first, offset(stop) - offset(first), None
    raise TextError("a loop has one bound or two")
