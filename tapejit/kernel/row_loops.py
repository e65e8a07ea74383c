"""Loops over short rows whose elements are added up, each over all rows: the sums stay in registers.

Such a loop has a short one inside, with a line like ``s[k] = accumulate(s[k], x[i * 10 + k])``. As it stands each row
would wait for the one before: the sums go to memory and come back, the slow way where a part of a vector is masked off.
Rows come in their order, as in the text. Used by `outline`; start reading at `row_loop_of`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from llvmlite import ir

from ..dataclass import dataclass
from .indices import slope
from .instructions import I64, Value, variable
from .parallel import is_parallel
from .scalar_functions import known_functions
from .straight import Known, Scalars, TextError, Typed
from .tile_shape import Target
from .vector_lines import Vectors
from .vectors import counted, mask_of

SHORT_ROW = range(4, 33)
"""Elements of a row: with more there are too few registers for the sums."""


class Sums(NamedTuple):
    """A row that is added up: one of its elements, the index that runs along it, and its length."""

    element: ast.Subscript
    along: str
    length: int


@dataclass(frozen=True, slots=True)
class RowLoop:
    """One of these loops.

    Attributes
    ----------
    variable : str
        What it counts.
    bounds : list of ast.expr
        The arguments of ``range``.
    body : list of ast.stmt
        Lines, and short loops of lines.
    carried : tuple of str
        The names that iterations hand on to the next one.
    sums : mapping of str to Sums
        The rows that are added up, by the text of an element.
    """

    variable: str
    bounds: list[ast.expr]
    body: list[ast.stmt]
    carried: tuple[str, ...]
    sums: Mapping[str, Sums]

    def lower(self, b: ir.IRBuilder, known: Known, scope: dict[str, Typed], target: Target) -> None:
        """Emit the loop; `scope` gets what the last iteration hands on."""
        rows = _Rows(self, b, known, scope, target)
        first, stop = (rows.scalars.value(tree).value for tree in (ast.Constant(0), *self.bounds)[-2:])
        slots = {name: variable(b, scope[name].value) for name in self.carried}

        def once(index: Value) -> None:
            own = {name: Typed(scope[name].type, b.load(slot)) for name, slot in slots.items()}
            inside = {**rows.scope, **own, self.variable: Typed("int64", b.add(first, index))}
            rows.iteration(inside)
            for name, slot in slots.items():
                b.store(inside[name].value, slot)

        count = b.sub(stop, first)
        with b.if_then(b.icmp_signed(">", count, I64(0))):
            counted(b, count, once)
        rows.finish()
        for name, slot in slots.items():
            scope[name] = Typed(scope[name].type, b.load(slot))


class _Rows:
    """Writes the instructions for rows; the sums are in registers from the start until `finish`."""

    def __init__(
        self, loop: RowLoop, b: ir.IRBuilder, known: Known, scope: Mapping[str, Typed], target: Target
    ) -> None:
        self._loop = loop
        self._b = b
        self._known = known
        self._target = target
        self.scope = dict(scope)
        self.scalars = Scalars(known, self.scope, b)
        for part in _parts(loop.body):  # addresses are taken from the table once
            if isinstance(part, ast.Name) and part.id in known.addresses:
                self.scope[part.id] = self.scalars.value(part)
        doubles = "float64*" in {each.type for each in self.scope.values()}
        self._lanes = target.lanes("float64" if doubles else "float32")
        self._slots = {
            text: [variable(b, lines.all(sums.element)) for lines in self._vectors(self.scope, sums.along, sums.length)]
            for text, sums in loop.sums.items()
        }

    def _vectors(self, scope: Mapping[str, Typed], along: str, length: int) -> Iterator["_Lines"]:
        """Lines for each vector of a row."""
        for start in range(0, length, self._lanes):
            inside = {**scope, along: Typed("int64", I64(start), 1)}
            mask = mask_of(min(self._lanes, length - start), self._lanes)
            yield _Lines(self._known, inside, self._b, lanes=self._lanes, mask=mask, fma=self._target.fma)

    def iteration(self, scope: dict[str, Typed]) -> None:
        """What the loop does once; `scope` gets the names that it assigns."""
        lines = Scalars(self._known, scope, self._b)
        for line in self._loop.body:
            match line:
                case ast.For(ast.Name(along), ast.Call(_, [ast.Constant(int(length))]), short):
                    for part, vectors in enumerate(self._vectors(scope, along, length)):
                        vectors.sums = {text: row[part] for text, row in self._slots.items() if part < len(row)}
                        for each in _without_marks(short):
                            vectors.statement(each)
                case _:
                    lines.statement(line)

    def finish(self) -> None:
        """Bring the sums to memory."""
        for text, sums in self._loop.sums.items():
            for slot, lines in zip(self._slots[text], self._vectors(self.scope, sums.along, sums.length), strict=True):
                lines.keep(sums.element, self._b.load(slot))


class _Lines(Vectors):
    """The lines of one vector of a row; `sums` has the registers for it of the rows that are added up."""

    sums: Mapping[str, Value] = MappingProxyType({})

    def statement(self, statement: ast.stmt) -> None:
        """A line, which may add to the sums."""
        match statement:
            case ast.Assign([ast.Subscript() as target], value) if ast.unparse(target) in self.sums:
                total = self._converted(self.value(value), self.value(target).type)
                self._b.store(self.spread(total), self.sums[ast.unparse(target)])
            case _:
                super().statement(statement)

    def value(self, tree: ast.expr) -> Typed:
        """The value of an expression; that of a sum is in a register."""
        if isinstance(tree, ast.Subscript) and self.sums:
            slot = self.sums.get(ast.unparse(tree))
            if slot is not None:
                return Typed(self.value(tree.value).type[:-1], self._b.load(slot))
        return super().value(tree)

    def all(self, tree: ast.Subscript) -> Value:
        """The elements in memory."""
        return self.spread(self.value(tree))

    def keep(self, tree: ast.Subscript, value: Value) -> None:
        """Bring elements to memory."""
        pointer = self.value(tree.value)
        self._store(pointer, self.value(tree.slice), Typed(pointer.type[:-1], value))


def row_loop_of(loop: ast.For, carried: Sequence[str]) -> RowLoop | None:
    """What a loop is, if it adds up rows; `carried` are the names that iterations hand on."""
    match loop:
        case ast.For(ast.Name(name), ast.Call(ast.Name("range"), ([_] | [_, _]) as bounds), marked):
            body = list(_without_marks(marked))
        case _:
            return None
    if not any(isinstance(line, ast.For) for line in body) or not all(map(_is_known, body)):
        return None
    try:
        sums = _sums(body, name)
    except TextError:  # an index that is computed
        return None
    return RowLoop(name, bounds, body, tuple(carried), sums) if sums else None


def _is_known(line: ast.stmt) -> bool:
    """Whether it is a line that goes on vectors too, or a short loop of such lines, which goes along memory."""
    match line:
        case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [ast.Constant(int(length))]), marked):
            body = list(_without_marks(marked))
            if length not in SHORT_ROW or not all(isinstance(each, ast.Assign) and _is_known(each) for each in body):
                return False
            return is_parallel(body, name, length) and not _hands_on(body)
        case ast.Assign([ast.Name() | ast.Subscript()], value):
            return not any(isinstance(part, ast.IfExp) or _is_foreign(part) for part in ast.walk(value))
    return False


def _is_foreign(part: ast.AST) -> bool:
    """Whether it is an element of a matrix product, or a function of the user's: that may not end for any number."""
    match part:
        case ast.Call(ast.Name(name)):
            return name.startswith("dot_") or name in known_functions()
    return False


def _hands_on(body: Sequence[ast.stmt]) -> bool:
    """Whether a number is handed on from one element of a row to the next."""
    later = {part.id for line in body for part in ast.walk(line) if _is_assigned(part)}
    for line in body:
        if any(isinstance(part, ast.Name) and not _is_assigned(part) and part.id in later for part in ast.walk(line)):
            return True
        later -= {part.id for part in ast.walk(line) if _is_assigned(part)}
    return False


def _is_assigned(part: ast.AST) -> bool:
    return isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)


def _sums(body: Sequence[ast.stmt], variable: str) -> dict[str, Sums]:
    """The rows that lines in short loops add to, the same ones in each iteration of the loop around."""
    places: dict[str, set[str]] = {}
    for part in _parts(body):
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
            places.setdefault(part.value.id, set()).add(ast.unparse(part))
    found: dict[str, Sums] = {}
    changing = {variable, *(part.id for line in body for part in ast.walk(line) if _is_assigned(part))}
    for loop in body:
        match loop:
            case ast.For(ast.Name(along), ast.Call(_, [ast.Constant(int(length))]), lines):
                steps = {slope(part.slice, along) for part in _parts(lines) if isinstance(part, ast.Subscript)}
                if not steps <= {0, 1}:
                    return {}
                for line in _without_marks(lines):
                    match line:
                        case ast.Assign([ast.Subscript(ast.Name(pointer), index) as target], ast.Call(_, [left, _])):
                            text = ast.unparse(target)
                            names = {part.id for part in _parts([index]) if isinstance(part, ast.Name)}
                            alone = places[pointer] == {text} and names & changing <= {along} and text not in found
                            if alone and ast.unparse(left) == text:
                                found[text] = Sums(target, along, length)
    return found


def _without_marks(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The lines but for what is said about the loop."""
    return (line for line in body if not isinstance(line, ast.Expr))


def _parts(trees: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for tree in trees:
        yield from ast.walk(tree)
