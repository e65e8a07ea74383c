"""The second emitter: straight lines of a kernel's text as LLVM instructions, loops and branches left to Numba.

Type inference statement by statement is what makes Numba slow. So `outline` replaces each run of assignments by one
call, ``a, b = straight(number, table, i, a)``, and `Block.lower` emits the run's instructions where Numba meets the
call. What is computed is the text, line by line: with ``TAPEJIT_EMIT=source`` Numba compiles the text as it stands,
and gets the same bits. The loops of a matrix product become one call with their lines; see `epilogue`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call"

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

import numpy as np
from llvmlite import ir

from ..dataclass import dataclass
from .epilogue import Nest, nest_of
from .instructions import Value
from .lane_loops import LaneLoop, lane_loop_of
from .parallel import MARK, SHORT, is_parallel, is_short, iterations
from .row_loops import RowLoop, row_loop_of
from .straight import Known, Resolve, Scalars, TextError, Typed
from .targets import target_cpu
from .tile_shape import target_of

STRAIGHT = "straight"
"""What the call of a block is called."""

_TABLE = "table"


@dataclass(slots=True)
class Block:
    """A run of assignments, or loops that are emitted as a whole.

    Attributes
    ----------
    statements : list of ast.stmt
        The lines.
    nest : Nest, LaneLoop or RowLoop, optional
        The loops.
    reads : tuple of (str, type)
        What it takes from outside: its parameters.
    writes : tuple of (str, type)
        What it assigns that is read elsewhere: its results.
    """

    statements: list[ast.stmt]
    outline: "Outline"
    nest: Nest | LaneLoop | RowLoop | None = None
    reads: tuple[tuple[str, str], ...] = ()
    writes: tuple[tuple[str, str], ...] = ()

    def lower(self, b: ir.IRBuilder, *values: Value) -> list[Value]:
        """Emit the instructions, given the parameters; returns the results."""
        scope = {name: Typed(type_, value) for (name, type_), value in zip(self.reads, values, strict=True)}
        if self.nest is not None:
            self.nest.lower(b, self.outline.known(), scope, target_of(target_cpu()[1]))
            return [scope[name].value for name, _ in self.writes]
        scalars = Scalars(self.outline.known(), scope, b)
        for statement in self.statements:
            scalars.statement(statement)
        return [scope[name].value for name, _ in self.writes]


@dataclass(slots=True)
class Outline:
    """A kernel's text without its straight lines, and these.

    Parameters
    ----------
    resolve : Resolve
        What is known of the functions that the text calls.
    constants : mapping of str to NumPy scalar
        Typed constants by name.
    fixed : frozenset of int
        Table slots of arrays that do not change while the kernel runs.
    """

    resolve: Resolve
    constants: Mapping[str, np.generic]
    fixed: frozenset[int]
    tree: ast.Module
    blocks: list[Block] = field(default_factory=list)
    addresses: dict[str, ast.expr] = field(default_factory=dict)
    """Pointers and numbers that each block takes from the table by itself, by the names that the text gives them."""

    def known(self) -> Known:
        """What names mean in all of the text."""
        return Known(self.resolve, self.constants, self.addresses)


def marked(source: str) -> ast.Module:
    """A kernel's text with a mark in the loops whose iterations don't meet in memory, for both emitters."""
    tree = ast.parse(source)
    for statement in tree.body:
        assert isinstance(statement, ast.FunctionDef)
        _mark(statement.body)
    return ast.fix_missing_locations(tree)


def _mark(body: Iterable[ast.stmt]) -> None:
    for statement in body:
        match statement:
            case ast.For(ast.Name(name)) if not _nest_of(statement):
                marks = []
                if all(map(_is_line, statement.body)):
                    marks += [MARK] * is_parallel(statement.body, name, iterations(statement))
                    marks += [SHORT] * is_short(statement)
                statement.body[:0] = [ast.Expr(ast.Call(ast.Name(mark, ast.Load()), [], [])) for mark in marks]
                _mark(statement.body)
            case ast.If() | ast.While():
                _mark(statement.body)
                _mark(statement.orelse)


def _nest_of(loop: ast.For) -> Nest | LaneLoop | None:
    """What is emitted as a whole, and not in the text's own loops by either emitter."""
    return nest_of(loop) or lane_loop_of(loop, list(_names_of([loop])[1]))


def _row_loop_of(loop: ast.For) -> RowLoop | None:
    """What is emitted as a whole, and is a loop like others where Numba compiles the text."""
    return row_loop_of(loop, list(_names_of([loop])[1]))


def outline(tree: ast.Module, resolve: Resolve, constants: Mapping[str, np.generic], fixed: frozenset[int]) -> Outline:
    """Take the straight lines out of a kernel's text.

    Parameters
    ----------
    tree : ast.Module
        Text of one function ``name(table, stage, lo, hi)``, as from `marked`; it is changed.
    resolve, constants, fixed
        See `Outline`.
    """
    result = Outline(resolve, constants, fixed, tree)
    function = result.tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    known: list[ast.stmt] = []
    body: list[ast.stmt] = []
    for statement in function.body:
        (known if _is_address(result, statement) else body).append(statement)
    types = {argument.arg: Typed("int64") for argument in function.args.args}
    types[_TABLE] = Typed("int64*")
    function.body = _without_runs(result, body, types)
    _find_parameters(result, function, types)
    _Calls(result).visit(function)
    # What Numba's own lines ask for: the pointers in the condition of a branch.
    wanted = set(_read([function]))
    for statement in reversed(known):
        match statement:
            case ast.Assign([ast.Name(name)]) if name in wanted:
                function.body.insert(0, statement)
                wanted.update(_read([statement]))
    ast.fix_missing_locations(result.tree)
    return result


def _is_address(result: Outline, statement: ast.stmt) -> bool:
    """Whether a line says where something is: a pointer of the table, one beside it, an entry of a fixed array."""
    match statement:
        case ast.Assign([ast.Name(name)], value):
            pass
        case _:
            return False
    match value:
        case ast.Call(ast.Name(function), [ast.Name(id="table"), ast.Constant()]):
            known = function.endswith("_at")
        case ast.Call(ast.Name(id="shifted"), [ast.Name(base), ast.Constant()]):
            known = base in result.addresses
        case ast.Subscript(ast.Name(base), ast.Constant()):
            known = _is_fixed(result, base)
        case _:
            known = False
    if known:
        result.addresses[name] = value
    return known


def _is_fixed(result: Outline, base: str) -> bool:
    match result.addresses.get(base):
        case ast.Call(_, [_, ast.Constant(value=slot)]):
            return slot in result.fixed
    return False


def _without_runs(result: Outline, body: list[ast.stmt], types: dict[str, Typed]) -> list[ast.stmt]:
    """The body with a bare call for each run of assignments; `types` learns the names on the way."""
    new: list[ast.stmt] = []
    run: list[ast.stmt] = []

    def add(block: Block) -> None:
        number = ast.Constant(len(result.blocks))
        new.append(ast.Expr(ast.Call(ast.Name(STRAIGHT, ast.Load()), [number], [])))
        result.blocks.append(block)

    def close() -> None:
        if run:
            add(Block(run.copy(), result))
            run.clear()

    scalars = Scalars(result.known(), types, None)
    for statement in body:
        if _is_line(statement):
            _learn(scalars, types, [statement])
            run.append(statement)
            continue
        match statement:
            case ast.For(ast.Name(name)):
                close()
                types[name] = Typed("int64")
                nest = _nest_of(statement) or _row_loop_of(statement)
                if nest is not None:
                    _learn(scalars, types, statement.body)
                    add(Block([statement], result, nest))
                    continue
                statement.body = _without_runs(result, statement.body, types)
            case ast.If() | ast.While():
                close()
                statement.body = _without_runs(result, statement.body, types)
                statement.orelse = _without_runs(result, statement.orelse, types)
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)):  # what was carried on changes places
                close()
                found = [scalars.value(value) for value in values]
                types.update(
                    (target.id, one) for target, one in zip(targets, found, strict=True) if isinstance(target, ast.Name)
                )
            case ast.Assign([ast.Tuple(targets)]):  # first, last = span(…)
                close()
                types.update((target.id, Typed("int64")) for target in targets if isinstance(target, ast.Name))
            case _:
                close()
        new.append(statement)
    close()
    return new


def _learn(scalars: Scalars, types: dict[str, Typed], body: Iterable[ast.stmt]) -> None:
    """Go through lines, and through loops that become one block."""
    for statement in body:
        match statement:
            case ast.For(ast.Name(name)):
                types[name] = Typed("int64")
                _learn(scalars, types, statement.body)
                continue
        try:
            scalars.statement(statement)
        except TextError as error:
            raise TextError(f"{ast.unparse(statement)}: {error}") from error


def _is_line(statement: ast.stmt) -> bool:
    """Whether it is an assignment to a name or an element, or a call for what it does."""
    match statement:
        case ast.Assign([ast.Name() | ast.Subscript()]) | ast.Expr():
            return True
    return False


def _find_parameters(result: Outline, function: ast.FunctionDef, types: Mapping[str, Typed]) -> None:
    """What each block reads that it did not assign before, and what it assigns that anyone else reads."""
    names = [_names_of(block.statements) for block in result.blocks]
    # What Numba's lines read, and what blocks read before they assign it: one of them in its last run, perhaps.
    wanted = set(_read([function])).union(*(reads for reads, _ in names))
    for block, (reads, writes) in zip(result.blocks, names, strict=True):
        outside = [name for name in reads if name in types]
        if any(name in result.addresses for name in reads):
            outside = list(dict.fromkeys([_TABLE, *outside]))
        block.reads = tuple((name, types[name].type) for name in outside)
        block.writes = tuple((name, types[name].type) for name in writes if name in wanted)


def _names_of(statements: Iterable[ast.stmt]) -> tuple[dict[str, None], dict[str, None]]:
    """The names that a run reads before it assigns them, and those that it assigns."""
    reads: dict[str, None] = {}
    writes: dict[str, None] = {}
    for statement in statements:
        match statement:
            case ast.For(ast.Name(name), bounds, body):  # hands on what it reads before it assigns it
                inside, assigned = _names_of(body)
                reads.update((each, None) for each in [*_read([bounds]), *inside] if each not in {*writes, name})
                writes.update((each, None) for each in assigned if each in inside)
                continue
        reads.update((name, None) for name in _read([statement]) if name not in writes)
        match statement:
            case ast.Assign([ast.Name(name)]):
                writes[name] = None
    return reads, writes


def _read(trees: Iterable[ast.AST]) -> Iterator[str]:
    """The variables that are read, functions not included."""
    stack = list(trees)[::-1]
    while stack:
        match stack.pop():
            case ast.Call(_, arguments):
                stack.extend(reversed(arguments))
            case ast.Name(name, ast.Load()):
                yield name
            case tree:
                stack.extend(reversed(list(ast.iter_child_nodes(tree))))


class _Calls(ast.NodeTransformer):
    """Gives the calls of blocks their arguments and targets."""

    def __init__(self, result: Outline) -> None:
        self._result = result

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        assert isinstance(call, ast.Call)
        assert isinstance(call.args[0], ast.Constant)
        block = self._result.blocks[int(call.args[0].value)]  # type: ignore[arg-type]
        call.args.extend(ast.Name(name, ast.Load()) for name, _ in block.reads)
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name, _ in block.writes]
        if not targets:
            return node
        return ast.Assign([targets[0] if len(targets) == 1 else ast.Tuple(targets, ast.Store())], call)
