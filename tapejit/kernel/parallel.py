"""Which loops have iterations that don't meet in memory, as their text shows.

LLVM can't know that a variable's old and new value are one array or two, and never a part of each other: it would
compare addresses at run time, and give up where they are equal or too many. So it is told. Two different pointers of a
kernel are different arrays, or one array that is read and written at the same place (`passes.storage.in_place`); so
only accesses through one pointer have to be looked at. Start reading at `is_parallel`.
"""

import ast
from collections.abc import Sequence

MARK = "apart"
"""The function that says, at the beginning of a body, that its iterations don't meet in memory."""

SHORT = "short"
"""The function that says so of a short loop that is better made of vectors before it is written out."""

_FEW = range(4, 49)
"""Iterations of a short loop: LLVM would write it out."""

_WRITTEN_OUT = 300
"""LLVM also writes out longer loops, of less than about so many instructions in all: copies, and what is as simple."""


def is_parallel(body: Sequence[ast.stmt], variable: str, count: int | None = None) -> bool:
    """Whether each iteration of a loop writes elements that no other one reads or writes.

    Parameters
    ----------
    body : sequence of ast.stmt
        Assignments, and nothing else.
    variable : str
        What the loop counts.
    count : int, optional
        How many iterations there are, if that is known.
    """
    places: dict[str, dict[str, ast.expr]] = {}
    written: dict[str, dict[str, ast.expr]] = {}
    for statement in body:
        for tree in ast.walk(statement):
            match tree:
                case ast.Subscript(ast.Name(pointer), index, context):
                    text = ast.unparse(index)
                    places.setdefault(pointer, {})[text] = index
                    if isinstance(context, ast.Store):
                        written.setdefault(pointer, {})[text] = index
                case ast.Subscript() | ast.IfExp():
                    return False
                case ast.Call(ast.Name(function), arguments) if _takes_addresses(function, arguments):
                    return False
    return all(
        _are_apart(index, other, variable, count)
        for pointer, indices in written.items()
        for index in indices.values()
        for other in places[pointer].values()
    )


def is_short(loop: ast.For) -> bool:
    """Whether a loop of lines has few or tiny iterations, and adds something up in them or goes along memory."""
    count = iterations(loop)
    if count is None or not isinstance(loop.target, ast.Name):
        return False
    if count not in _FEW and not (count >= _FEW.stop and count * _size(loop.body) < _WRITTEN_OUT):
        return False
    name = loop.target.id
    calls = (part.func for line in loop.body for part in ast.walk(line) if isinstance(part, ast.Call))
    sums = any(isinstance(function, ast.Name) and function.id == "accumulate" for function in calls)
    return sums or (is_parallel(loop.body, name, count) and _goes_along_memory(loop.body, name))


def _size(body: Sequence[ast.stmt]) -> int:
    """How many instructions a body is, about, without the arithmetic of indices but for the counting."""
    size = 1
    stack: list[ast.AST] = list(body)
    while stack:
        part = stack.pop()
        size += isinstance(part, (ast.Subscript, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call))
        stack.extend(ast.iter_child_nodes(part) if not isinstance(part, ast.Subscript) else ())
    return size


def iterations(loop: ast.For) -> int | None:
    """How often a loop over ``range`` runs, if its text says so."""
    match loop.iter:
        case ast.Call(ast.Name("range"), [ast.Constant(int(count))]):
            return count
    return None


def _goes_along_memory(body: Sequence[ast.stmt], variable: str) -> bool:
    """Whether iterations that follow each other write neighbours, and read neighbours or the same element."""
    parts = [part for line in body for part in ast.walk(line) if isinstance(part, ast.Subscript)]
    steps = {None if (place := _affine(part.slice)) is None else place.get(variable, 0) for part in parts}
    return steps <= {0, 1} and any(isinstance(part.ctx, ast.Store) for part in parts)


def _takes_addresses(function: str, arguments: Sequence[ast.expr]) -> bool:
    """Whether a function is handed memory, not numbers."""
    addresses = any(isinstance(part, ast.Name) and part.id == "table" for part in arguments)
    return addresses or function == "shifted"


def _are_apart(index: ast.expr, other: ast.expr, variable: str, count: int | None) -> bool:
    """Whether an index is none that the other one is at another iteration: both go on alike, from what is far apart."""
    one, two = _affine(index), _affine(other)
    if one is None or two is None:
        return False
    step, distance = one.pop(variable, 0), abs(one.pop("", 0) - two.pop("", 0))
    if not step or step != two.pop(variable, 0) or one != two:
        return False
    iterations, rest = divmod(distance, abs(step))
    return bool(rest) or not iterations or (count is not None and iterations >= count)


def _affine(index: ast.expr) -> dict[str, int] | None:
    """The factors of the names in an index, and what is added under an empty name; None where it is no such sum."""
    match index:
        case ast.Name(name):
            return {name: 1}
        case ast.Constant(int(number)):
            return {"": number}
        case ast.BinOp(left, ast.Add() | ast.Sub() as operator, right):
            sign = 1 if isinstance(operator, ast.Add) else -1
            return _sum(_affine(left), _affine(right), sign)
        case ast.BinOp(left, ast.Mult(), ast.Constant(int(times))):
            return _sum({}, _affine(left), times)
        case ast.UnaryOp(ast.USub(), operand):
            return _sum({}, _affine(operand), -1)
    return None


def _sum(one: dict[str, int] | None, other: dict[str, int] | None, times: int) -> dict[str, int] | None:
    """One sum and a multiple of another one."""
    if one is None or other is None:
        return None
    total = {name: one.get(name, 0) + times * other.get(name, 0) for name in {**one, **other}}
    return {name: factor for name, factor in total.items() if factor}
