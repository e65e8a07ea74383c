"""Loops that run in lanes: several iterations at once, short loops inside of them and all.

What a name or a scratch element is in one iteration is a vector here, with a lane for each iteration; what all
iterations add to is a scalar, or an element in memory, that gets the lanes in their order. Used by `outline`; start
reading at `LaneLoop.lower`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from llvmlite import ir

from ..dataclass import dataclass
from .indices import slope
from .instructions import I8, I64, Value, call_function, extreme, for_, kind, truth, type_of, variable
from .mathlib.lanes import suffix_of
from .packing import turned
from .straight import Known, Scalars, TextError, Typed
from .tile_shape import Target
from .vector_lines import Vectors
from .vectors import counted, load_vector, mask_of

WORTH_TURNING = 8
"""Rows are turned over if loops read at least so many elements of them, one after the other."""

_SIDE_BY_SIDE = (4, 2, 1)

_CALLS = {"maximum": "maximum", "minimum": "minimum", "logical_or": "or", "logical_and": "and"}


@dataclass(frozen=True, slots=True)
class LaneLoop:
    """One of these loops.

    Attributes
    ----------
    variable : str
        What it counts.
    bounds : list of ast.expr
        The arguments of ``lanes``, as of ``range``.
    body : list of ast.stmt
        Lines, and loops over ``range``.
    carried : tuple of str
        The names that iterations hand on to the next one.
    """

    variable: str
    bounds: list[ast.expr]
    body: list[ast.stmt]
    carried: tuple[str, ...]

    def lower(self, b: ir.IRBuilder, known: Known, scope: dict[str, Typed], target: Target) -> None:
        """Emit the loop; `scope` gets what the last iteration hands on."""
        around = dict(scope)
        scalars = Scalars(known, around, b)
        for part in _parts(self.body):  # addresses are taken from the table once
            if isinstance(part, ast.Name) and part.id in known.addresses:
                around[part.id] = scalars.value(part)
        first, stop = (scalars.value(tree).value for tree in (ast.Constant(0), *self.bounds)[-2:])
        lanes = target.lanes("float64" if "float64*" in {each.type for each in around.values()} else "float32")
        lanes *= self._together(lanes)
        slots = {name: variable(b, scope[name].value) for name in self.carried}
        private = {name: _room(b, around[name].type, count, lanes) for name, count in self._private().items()}
        rows = {
            text: (row, _room(b, around[row.pointer].type, row.length, lanes))
            for text, row in self._rows().items()
            if kind(around[row.pointer].type[:-1]) == "f"
        }

        def some(start: Value, mask: Value | None) -> None:
            own = {name: Typed(scope[name].type, b.load(slot)) for name, slot in slots.items()}
            inside = {**around, **own, self.variable: Typed("int64", start, 1)}
            lines = _Lines(known, inside, b, lanes=lanes, mask=mask, fma=target.fma)
            lines.private, lines.together = private, frozenset(self.carried)
            lines.take(rows)
            for line in self.body:
                lines.statement(line)
            for name, slot in slots.items():
                b.store(inside[name].value, slot)

        count = b.sub(stop, first)
        whole, rest = b.sdiv(count, I64(lanes)), b.srem(count, I64(lanes))
        for_(b, whole, lambda index: some(b.add(first, b.mul(index, I64(lanes))), None))
        with b.if_then(b.icmp_signed(">", rest, I64(0))):
            numbers = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
            every = Typed("int64", rest)
            mask = b.icmp_signed("<", numbers, _Lines(known, {}, b, lanes=lanes, mask=None, fma=False).spread(every))
            some(b.add(first, b.mul(whole, I64(lanes))), mask)
        for name, slot in slots.items():
            scope[name] = Typed(scope[name].type, b.load(slot))

    def _together(self, lanes: int) -> int:
        """How many vectors go side by side, so that the sums of one need not wait for those of another."""
        sums = any(isinstance(part, ast.Name) and part.id == "multiply_add" for part in _parts(self.body))
        match self.bounds:
            case [ast.Constant(int(count))] if sums and not (self.carried or self._private() or self._rows()):
                vectors = -(-count // lanes)
                return next(each for each in _SIDE_BY_SIDE if each * -(-vectors // each) == vectors)
        return 1

    def _private(self) -> dict[str, int]:
        """The pointers to scratch that each iteration has for itself, and how many elements it has."""
        found: dict[str, int] = {}
        for line, extents in _lines(self.body, {}):
            match line:
                case ast.Assign([ast.Subscript(ast.Name(pointer), index) as target], value):
                    names = {part.id for part in ast.walk(index) if isinstance(part, ast.Name)}
                    if self.variable not in names and _term(target, value) is None:
                        found[pointer] = max(found.get(pointer, 0), _most(index, extents) + 1)
        return found

    def _rows(self) -> dict[str, "_Row"]:
        """Rows of memory that loops inside read element by element, by the text of an element."""
        found: dict[str, _Row] = {}
        elements: dict[str, int] = {}
        stored = set(self._stored())
        for line, extents in _lines(self.body, {}):
            for part in ast.walk(line.value):
                match part:
                    case ast.Subscript(ast.Name(pointer), index) if pointer not in stored:
                        along = [name for name in extents if slope(index, name)]
                        if [slope(index, name) for name in along] == [1] and slope(index, self.variable) not in {0, 1}:
                            text = ast.unparse(part)
                            row = _Row(pointer, index, along[0], extents[along[0]])
                            found[text] = max(row, found.get(text, row), key=lambda each: each.length)
                            elements[text] = elements.get(text, 0) + row.length
        return {text: row for text, row in found.items() if elements[text] >= WORTH_TURNING}

    def _stored(self) -> Iterator[str]:
        for line, _ in _lines(self.body, {}):
            match line:
                case ast.Assign([ast.Subscript(ast.Name(pointer))]):
                    yield pointer


class _Row(NamedTuple):
    """A row of memory: its elements are ``pointer[place]``, the place running with `along` up to `length`."""

    pointer: str
    place: ast.expr
    along: str
    length: int


class _Lines(Vectors):
    """The lines of one vector of iterations."""

    private: Mapping[str, Value]
    together: frozenset[str]
    """The names that iterations hand on."""
    _taken: Mapping[str, tuple[str, Value]]
    """Scratch with the elements of rows, and the index along them, by the text of an element."""

    def take(self, rows: Mapping[str, tuple[_Row, Value]]) -> None:
        """Read rows of memory, and turn them over: what was one row for each lane is one vector for each element."""
        b = self._b
        for row, room in rows.values():
            pointer = self._scope[row.pointer]
            dtype = pointer.type[:-1]
            self._scope[row.along] = Typed("int64", I64(0))
            starts = [b.gep(pointer.value, [place]) for place in self._places(self.value(row.place))]
            for first in range(0, row.length, self._lanes):
                used = min(self._lanes, row.length - first)
                mask = mask_of(used, self._lanes)
                found = [load_vector(b, dtype, b.gep(at, [I64(first)]), self._lanes, mask) for at in starts]
                for place, vector in enumerate(turned(b, found, dtype, self._lanes)[:used], start=first):
                    b.store(vector, b.gep(room, [I64(place)]))
        self._taken = {text: (row.along, room) for text, (row, room) in rows.items()}

    def statement(self, statement: ast.stmt) -> None:
        """A line, or a loop."""
        match statement:
            case ast.For(ast.Name(name), ast.Call(_, [ast.Constant(int(count))]), body):
                self._loop(name, count, body)
            case ast.Assign([ast.Subscript(ast.Name(pointer), index)], value) if pointer in self.private:
                self._keep(pointer, self.value(index), self.value(value))
            case ast.Assign([ast.Name(name) as target], value) if name in self.together:
                self._scope[name] = self._combined(target, value)
            case ast.Assign([ast.Subscript(at, index) as target], value) if not self.varies(index):
                total = self._combined(target, value)
                Scalars._store(self, self.value(at), self.value(index), total)  # noqa: SLF001 - one for all lanes
            case _:
                super().statement(statement)

    def varies(self, tree: ast.expr) -> bool:
        """Whether an index is another one in each lane."""
        return self.value(tree).step != 0

    def _loop(self, name: str, count: int, body: Sequence[ast.stmt]) -> None:
        """A loop inside, which all lanes go through together."""
        assigned = {line.targets[0].id for line, _ in _lines(body, {}) if isinstance(line.targets[0], ast.Name)}
        if assigned & self.together:
            raise TextError(f"{', '.join(assigned & self.together)}: the lanes would come in another order")
        carried = [each for each in self._scope if each in assigned]
        types = [self._scope[each].type for each in carried]

        def once(index: Value, *values: Value) -> list[Value]:
            self._scope[name] = Typed("int64", index)
            self._scope.update(zip(carried, map(Typed, types, values), strict=True))
            for line in body:
                self.statement(line)
            return [self.spread(self._scope[each]) for each in carried]

        results = counted(self._b, count, once, [self.spread(self._scope[each]) for each in carried])
        self._scope.update(zip(carried, map(Typed, types, results), strict=True))

    # What each iteration has for itself

    def _keep(self, pointer: str, index: Typed, value: Typed) -> None:
        lanes = self.spread(self._converted(value, self._scope[pointer].type[:-1]))
        place = self._b.gep(self.private[pointer], [index.value])
        is_bool = self._scope[pointer].type == "bool*"
        self._b.store(self._b.zext(lanes, place.type.pointee) if is_bool else lanes, place)

    def _subscript(self, tree: ast.Subscript) -> Typed:
        assert isinstance(tree.value, ast.Name)
        taken = self._taken.get(ast.unparse(tree))
        if taken is not None:
            along, room = taken
            found = self._b.load(self._b.gep(room, [self._scope[along].value]))
            return Typed(self._scope[tree.value.id].type[:-1], found)
        if tree.value.id not in self.private:
            return super()._subscript(tree)
        type_ = self._scope[tree.value.id].type[:-1]
        found = self._b.load(self._b.gep(self.private[tree.value.id], [self.value(tree.slice).value]))
        return Typed(type_, truth(self._b, "uint8", found) if type_ == "bool" else found)

    # What they have together

    def _combined(self, target: ast.expr, value: ast.expr) -> Typed:
        """A number that all lanes are added to, or what else combines, in their order."""
        found = _term(target, value)
        if found is None:
            raise TextError(f"not the same in every lane: {ast.unparse(target)} = {ast.unparse(value)}")
        combine, term = found
        b, start, each = self._b, self.value(target), self.value(term)
        each = self._converted(each, start.type)
        lanes = self._counted(combine, start, self.spread(each))
        how = kind(start.type)
        if combine in {"add", "mul"} and how == "f":  # without the flag that would allow another order
            total = self._reduced(f"f{combine}", start.type, start.value, lanes)
        elif combine in {"maximum", "minimum"} and start.type != "bool":
            name = f"f{combine}" if how == "f" else f"{'s' if how == 'i' else 'u'}{combine[:3]}"
            total = extreme(combine)(b, start.type, start.value, self._reduced(name, start.type, lanes))
        else:
            name = {"maximum": "or", "minimum": "and"}.get(combine, combine)
            join = getattr(b, {"or": "or_", "and": "and_"}.get(name, name))
            total = join(start.value, self._reduced(name, start.type, lanes))
        return Typed(start.type, total)

    def _reduced(self, name: str, dtype: str, *operands: Value) -> Value:
        """One number of all lanes of the last operand."""
        function = f"llvm.vector.reduce.{name}.{suffix_of(operands[-1].type)}"
        return call_function(self._b, function, type_of(dtype), *operands)

    def _counted(self, combine: str, start: Typed, lanes: Value) -> Value:
        """The lanes, and what changes nothing where one is not in the loop."""
        if self._mask is None:
            return lanes
        neutral = {"add": -0.0 if kind(start.type) == "f" else 0, "mul": 1}.get(combine)
        other = self.spread(start) if neutral is None else ir.Constant(lanes.type, neutral)
        return self._b.select(self._mask, lanes, other)

    _EXPRESSIONS: ClassVar = {**Vectors._EXPRESSIONS, ast.Subscript: _subscript}  # noqa: SLF001 - its own


def lane_loop_of(loop: ast.For, carried: Sequence[str]) -> LaneLoop | None:
    """What a loop is, if it runs in lanes."""
    match loop:
        case ast.For(ast.Name(name), ast.Call(ast.Name("lanes"), bounds), body):
            return LaneLoop(name, bounds, body, tuple(carried))
    return None


def _term(target: ast.expr, value: ast.expr) -> tuple[str, ast.expr] | None:
    """How and with what a value is combined, if it is what stands in `target` and something else."""
    match value:
        case ast.BinOp(left, ast.Add() | ast.Mult() as operator, right):
            combine = "add" if isinstance(operator, ast.Add) else "mul"
        case ast.Call(ast.Name(name), [left, right]) if name in _CALLS:
            combine = _CALLS[name]
        case _:
            return None
    return (combine, right) if ast.unparse(left) == ast.unparse(target) else None


def _lines(body: Sequence[ast.stmt], extents: Mapping[str, int]) -> Iterator[tuple[ast.Assign, Mapping[str, int]]]:
    """The lines in a body, each with the lengths of the loops around it."""
    for line in body:
        match line:
            case ast.For(ast.Name(name), ast.Call(_, [ast.Constant(int(count))]), inside):
                yield from _lines(inside, {**extents, name: count})
            case ast.Assign():
                yield line, extents


def _most(index: ast.expr, extents: Mapping[str, int]) -> int:
    """The largest value of an index with no negative factors."""
    match index:
        case ast.Constant(int(value)):
            return value
        case ast.Name(name) if name in extents:
            return extents[name] - 1
        case ast.BinOp(left, ast.Add(), right):
            return _most(left, extents) + _most(right, extents)
        case ast.BinOp(left, ast.Mult(), right):
            return _most(left, extents) * _most(right, extents)
    raise TextError(f"not the index of an element of scratch: {ast.unparse(index)}")


def _room(b: ir.IRBuilder, pointer: str, count: int, lanes: int) -> Value:
    """Scratch on the stack: so many vectors."""
    cell = I8 if pointer == "bool*" else type_of(pointer[:-1])
    with b.goto_entry_block():
        return b.alloca(ir.VectorType(cell, lanes), size=count)


def _parts(trees: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for tree in trees:
        yield from ast.walk(tree)
