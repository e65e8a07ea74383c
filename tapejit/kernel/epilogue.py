"""A matrix product with what is done to its elements: two loops of the text that run in register tiles.

The loop over rows has some lines, perhaps, and the loop over columns; among the lines of this one is one call of
``dot_float32`` or ``dot_float64``. Instead of the loops, `Nest.lower` emits tiles, and for each the lines for its
elements while they are in registers. Used by `outline`; start reading at `nest_of`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llvmlite import ir

from .instructions import I64, Value
from .straight import Known, Scalars, TextError, Typed
from .tile_shape import Target
from .tiles import tiled_product
from .vector_lines import Vectors
from .vectors import Matrix


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
        around = dict(scope)
        outer = Scalars(known, around, b)
        # Addresses are taken from the table once, and not for each vector.
        for name in dict.fromkeys(_names([*self.lines, ast.Expr(self.first)])):
            if name in known.addresses:
                around[name] = outer.value(ast.Name(name))
        around[self.column] = Typed("int64", I64(0))
        first = around[self.row] = outer.value(self.first)
        if self.limit is None:
            self._tiles(b, known, around, self.rows, target)
            return
        whole = b.icmp_signed("<=", b.add(first.value, I64(self.rows)), I64(self.limit))
        with b.if_else(whole) as (then, otherwise):
            with then:
                self._tiles(b, known, around, self.rows, target)
            with otherwise:
                self._tiles(b, known, around, self.limit % self.rows, target)

    def _tiles(self, b: ir.IRBuilder, known: Known, around: dict[str, Typed], rows: int, target: Target) -> None:
        """The tiles of so many rows; the indices in `around` are those of the first element."""
        if not (rows and self.columns):
            return
        outer = Scalars(known, around, b)
        left, left_first, left_step, right, right_first, right_step, count = self.product.args
        k, left_across, right_down = (_offset(tree) for tree in (count, left_step, right_step))
        x, y = (
            Matrix(b.gep(outer.value(pointer).value, [outer.value(begin).value]), down, across)
            for pointer, begin, down, across in (
                (left, left_first, _slope(left_first, self.row), left_across),
                (right, right_first, right_down, _slope(right_first, self.column)),
            )
        )
        dtype = outer.value(left).type[:-1]
        start = around[self.row].value

        def finish(
            inner: ir.IRBuilder, row: Value, column: Value, value: Value, lanes: int, mask: Value | None
        ) -> None:
            scope = dict(around)
            scope[self.row] = Typed("int64", inner.add(start, row))
            scope[self.column] = Typed("int64", column, 1)
            vectors = Vectors(known, scope, inner, lanes, mask, (_function(self.product), Typed(dtype, value)))
            for line in self.lines:
                vectors.statement(line)

        tiled_product(b, dtype, (rows, self.columns, k), x, y, finish, target, once=len(self.lines) > 1)


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
    parts = (part for line in inside for part in ast.walk(line))
    products = [part for part in parts if isinstance(part, ast.Call) and _function(part).startswith("dot_")]
    return Nest(row, column, *_bounds(bounds), columns, lines, products[0]) if products else None


def _function(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return call.func.id


def _bounds(bounds: list[ast.expr]) -> tuple[ast.expr, int, int | None]:
    """Where the loop over rows begins, how long it is, and where it ends in any case: all rows, or a block of them."""
    match bounds:
        case [ast.Constant(int(rows))]:
            return ast.Constant(0), rows, None
        case [first, ast.Call(ast.Name("min"), [stop, ast.Constant(int(limit))])]:
            return first, _offset(stop) - _offset(first), limit
        case [first, stop]:
            return first, _offset(stop) - _offset(first), None
    raise TextError("a loop has one bound or two")


def _offset(tree: ast.expr) -> int:
    """An index expression where all indices are 0."""
    return _at(tree, {})


def _slope(tree: ast.expr, name: str) -> int:
    """By how much an index expression grows with an index."""
    return _at(tree, {name: 1}) - _at(tree, {})


def _at(tree: ast.expr, indices: Mapping[str, int]) -> int:
    """An affine expression at certain indices, the others being 0."""
    match tree:
        case ast.Constant(int(value)):
            return value
        case ast.Name(name):
            return indices.get(name, 0)
        case ast.BinOp(left, ast.Add(), right):
            return _at(left, indices) + _at(right, indices)
        case ast.BinOp(left, ast.Sub(), right):
            return _at(left, indices) - _at(right, indices)
        case ast.BinOp(left, ast.Mult(), right):
            return _at(left, indices) * _at(right, indices)
        case ast.UnaryOp(ast.USub(), operand):
            return -_at(operand, indices)
    raise TextError(f"not an index: {ast.unparse(tree)}")


def _names(trees: list[ast.stmt]) -> Iterator[str]:
    for tree in trees:
        for part in ast.walk(tree):
            if isinstance(part, ast.Name):
                yield part.id
