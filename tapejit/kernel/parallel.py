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


def is_parallel(body: Sequence[ast.stmt], variable: str) -> bool:
    """Whether each iteration of a loop writes elements that no other one reads or writes.

    Parameters
    ----------
    body : sequence of ast.stmt
        Assignments, and nothing else.
    variable : str
        What the loop counts.
    """
    places: dict[str, set[str]] = {}
    written: dict[str, ast.expr] = {}
    for statement in body:
        for tree in ast.walk(statement):
            match tree:
                case ast.Subscript(ast.Name(pointer), index, context):
                    places.setdefault(pointer, set()).add(ast.unparse(index))
                    if isinstance(context, ast.Store):
                        written[pointer] = index
                case ast.Subscript() | ast.IfExp():
                    return False
                case ast.Call(ast.Name(function), arguments) if _takes_addresses(function, arguments):
                    return False
    return all(len(places[pointer]) == 1 and _moves(index, variable) for pointer, index in written.items())


def is_short(loop: ast.For) -> bool:
    """Whether a loop of lines has few iterations, and adds something up in them or goes along memory."""
    match loop:
        case ast.For(ast.Name(name), ast.Call(ast.Name("range"), [ast.Constant(int(count))])) if count in _FEW:
            calls = (part for line in loop.body for part in ast.walk(line) if isinstance(part, ast.Call))
            sums = any(isinstance(call.func, ast.Name) and call.func.id == "accumulate" for call in calls)
            return sums or (is_parallel(loop.body, name) and _goes_along_memory(loop.body, name))
    return False


def _goes_along_memory(body: Sequence[ast.stmt], variable: str) -> bool:
    """Whether iterations that follow each other write neighbours, and read neighbours or the same element."""
    parts = [part for line in body for part in ast.walk(line) if isinstance(part, ast.Subscript)]
    steps = {_factor(part.slice, variable) for part in parts}
    return steps <= {0, 1} and any(isinstance(part.ctx, ast.Store) for part in parts)


def _takes_addresses(function: str, arguments: Sequence[ast.expr]) -> bool:
    """Whether a function is handed memory, not numbers."""
    addresses = any(isinstance(part, ast.Name) and part.id == "table" for part in arguments)
    return addresses or function == "shifted"


def _moves(index: ast.expr, variable: str) -> bool:
    """Whether an index is another one at each iteration: the variable with a factor, plus what stays."""
    factor = _factor(index, variable)
    return factor is not None and factor != 0


def _factor(index: ast.expr, variable: str) -> int | None:
    """By how much an index grows with the variable; None where it does not do so evenly."""
    match index:
        case ast.Name(name):
            return int(name == variable)
        case ast.Constant():
            return 0
        case ast.BinOp(left, ast.Add() | ast.Sub() as operator, right):
            one, other = _factor(left, variable), _factor(right, variable)
            if one is None or other is None:
                return None
            return one + other if isinstance(operator, ast.Add) else one - other
        case ast.BinOp(left, ast.Mult(), ast.Constant(int(times))):
            factor = _factor(left, variable)
            return None if factor is None else factor * times
        case ast.UnaryOp(ast.USub(), operand):
            factor = _factor(operand, variable)
            return None if factor is None else -factor
    return None
