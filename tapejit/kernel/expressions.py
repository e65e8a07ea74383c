"""Scalar expressions as Python text: the kernel expressions of declarations with their operands filled in."""

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..dataclass import dataclass
from ..lowering import Affine
from ..passes.access import Compute

_DEEPEST = 5

_CASTS = {"bool": "bool_"}


def cast_name(dtype: np.dtype) -> str:
    """The name of the function that converts to `dtype`, in kernels."""
    return _CASTS.get(dtype.name, dtype.name)


def literal(value: Any, dtype: np.dtype) -> ast.expr:
    """A typed constant, such as ``float32(0.5)``."""
    number = dtype.type(value)
    if dtype.kind == "b":
        return ast.Constant(bool(number))
    if dtype.kind == "f" and not np.isfinite(number):
        name = "nan" if np.isnan(number) else "inf"
        special: ast.expr = ast.Name(f"{name}_{dtype.name}")
        return ast.UnaryOp(ast.USub(), special) if number < 0 else special
    shown = float(str(number)) if dtype.kind == "f" else int(number)
    text: ast.expr = ast.Constant(abs(shown))
    if shown < 0 or (shown == 0 and np.signbit(number)):
        text = ast.UnaryOp(ast.USub(), text)
    return _call(cast_name(dtype), text)


def special_constants() -> dict[str, np.generic]:
    """The typed constants that have no literal."""
    return {
        f"{name}_{dtype}": np.dtype(dtype).type(name) for name in ("inf", "nan") for dtype in ("float32", "float64")
    }


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name), list(arguments), [])


call = _call


def add(left: ast.expr, right: ast.expr) -> ast.expr:
    """``left + right``, without a zero."""
    if isinstance(left, ast.Constant) and left.value == 0:
        return right
    return ast.BinOp(left, ast.Add(), right)


def binary(left: str, operator: ast.operator, right: str) -> ast.expr:
    """An operation on the texts of two expressions."""
    one, other = (ast.parse(text, mode="eval").body for text in (left, right))
    return ast.BinOp(one, operator, other)


def scaled(tree: ast.expr, factor: int) -> ast.expr:
    """``tree * factor``."""
    return tree if factor == 1 else ast.BinOp(tree, ast.Mult(), ast.Constant(factor))


def counted_from_front(index: ast.expr, length: int) -> ast.expr:
    """An index within ``[-length, length)`` as one within ``[0, length)``."""
    negative = ast.Compare(index, [ast.Lt()], [ast.Constant(0)])
    return _call("select", negative, ast.BinOp(index, ast.Add(), ast.Constant(length)), index)


def narrow(tree: ast.expr, dtype: np.dtype) -> ast.expr:
    """A sum in its dtype: Python's and Numba's integers are wider than NumPy's."""
    return _call(cast_name(dtype), tree) if dtype.kind in "iu" and dtype.itemsize < 8 else tree


def is_simple(tree: ast.expr, levels: int = _DEEPEST) -> bool:
    """Whether an expression may be written inside another one: it nests in at most so many levels."""
    if levels == 0:
        return False
    return all(is_simple(part, levels - 1) for part in _parts(tree))


def _parts(tree: ast.expr) -> Sequence[ast.expr]:
    match tree:
        case ast.Call(_, arguments):
            return arguments
        case ast.BinOp(left, _, right) | ast.Subscript(left, right):
            return left, right
        case ast.UnaryOp(_, operand):
            return (operand,)
        case ast.Compare(left, _, others):
            return left, *others
        case ast.BoolOp(_, conditions):
            return conditions
        case ast.IfExp(test, chosen, other):
            return test, chosen, other
    return ()


def name(text: str) -> ast.expr:
    """A variable."""
    return ast.Name(text)


def element(pointer: str, index: ast.expr) -> ast.expr:
    """``pointer[index]``."""
    return ast.Subscript(ast.Name(pointer), index)


def affine(expression: Affine, axis_name: Callable[[int], str]) -> ast.expr:
    """An index expression, such as ``i * 10 + j``."""
    result: ast.expr | None = None
    for axis, coefficient in sorted(expression.terms, key=lambda term: -abs(term[1])):
        term: ast.expr = ast.Name(axis_name(axis))
        if abs(coefficient) != 1:
            term = ast.BinOp(term, ast.Mult(), ast.Constant(abs(coefficient)))
        if result is None:
            result = ast.UnaryOp(ast.USub(), term) if coefficient < 0 else term
        else:
            result = ast.BinOp(result, ast.Sub() if coefficient < 0 else ast.Add(), term)
    if result is None:
        return ast.Constant(expression.offset)
    if expression.offset:
        operator = ast.Sub() if expression.offset < 0 else ast.Add()
        result = ast.BinOp(result, operator, ast.Constant(abs(expression.offset)))
    return result


def unparse(tree: ast.AST) -> str:
    """The text of an expression."""
    return ast.unparse(tree)


@lru_cache(maxsize=1024)
def _template(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


@dataclass(frozen=True, slots=True)
class _Fill:
    """Puts operands, params and typed constants into a declaration's kernel expression."""

    operands: Mapping[str, ast.expr]
    params: Mapping[str, Any]
    operand: np.dtype
    result: np.dtype

    def __call__(self, tree: ast.expr) -> ast.expr:
        match tree:
            case ast.Name(name):
                filled = ast.Constant(self.params[name]) if name in self.params else tree
                return self.operands.get(name, filled)
            case ast.Call(ast.Name("const"), [number]):
                return literal(ast.literal_eval(number), self.operand)
            case ast.Call(ast.Name(function), arguments):
                target = cast_name(self.result) if function == "cast" else function
                return _call(target, *map(self, arguments))
            case ast.UnaryOp(operator, operand):
                logical = isinstance(operator, ast.Invert) and self.operand.kind == "b"
                return _call("logical_not", self(operand)) if logical else ast.UnaryOp(operator, self(operand))
            case ast.BinOp(left, operator, right):
                return ast.BinOp(self(left), operator, self(right))
            case ast.Compare(left, operators, others):
                return ast.Compare(self(left), operators, list(map(self, others)))
            case ast.Constant():
                return tree
        raise ValueError(f"not known in kernel expressions: {ast.unparse(tree)}")


def occurrences(expression: Compute) -> tuple[int, ...]:
    """How many times the text of a pointwise operation has each of its operands."""
    primitive = expression.node.primitive
    assert primitive is not None
    names = [tree.id for tree in ast.walk(_template(primitive.lowering.expression)) if isinstance(tree, ast.Name)]
    return tuple(names.count(name) for name in primitive.inputs)


def compute(expression: Compute, operands: tuple[ast.expr, ...], axis: Callable[[int], ast.expr]) -> ast.expr:
    """The text of a pointwise operation.

    Parameters
    ----------
    expression : Compute
        The operation.
    operands : tuple of ast.expr
        Texts of its operands.
    axis : callable
        From an axis of the operation's result to the text of the index along it.
    """
    node = expression.node
    primitive = node.primitive
    assert primitive is not None
    named = dict(zip(primitive.inputs, operands, strict=True))
    for position in range(len(node.aval.shape)):
        if f"axis{position}" in primitive.lowering.expression:
            named[f"axis{position}"] = _call("int64", axis(position))
    result = node.aval.dtype
    operand = node.inputs[-1].aval.dtype if node.inputs else result
    tree = _Fill(named, dict(node.params), operand, result)(_template(primitive.lowering.expression))
    # Python's and Numba's integer and boolean arithmetic widens; NumPy's does not.
    widened = (result.kind in "iu" and result.itemsize < 8) or (result.kind in "bu" and isinstance(tree, ast.BinOp))
    return _call(cast_name(result), tree) if widened else tree
