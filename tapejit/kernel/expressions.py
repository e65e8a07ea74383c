"""Scalar expressions as Python text: the kernel expressions of declarations with their operands filled in."""

import ast
import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..lowering import Affine
from ..passes import Compute

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


def depth(tree: ast.expr) -> int:
    """Levels of nesting."""
    return 1 + max((depth(child) for child in ast.iter_child_nodes(tree) if isinstance(child, ast.expr)), default=0)


def is_simple(tree: ast.expr) -> bool:
    """Whether an expression may be written inside another one."""
    return depth(tree) <= _DEEPEST


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
    return ast.unparse(ast.fix_missing_locations(tree))


@lru_cache(maxsize=1024)
def _template(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


class _Fill(ast.NodeTransformer):
    """Puts operands, params and typed constants into a declaration's kernel expression."""

    def __init__(
        self, operands: Mapping[str, ast.expr], params: Mapping[str, Any], operand: np.dtype, result: np.dtype
    ):
        self.operands = operands
        self.params = params
        self.operand = operand
        self.result = result

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.operands:
            return self.operands[node.id]
        if node.id in self.params:
            return ast.Constant(self.params[node.id])
        return ast.Name(node.id)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        function = node.func.id  # type: ignore[attr-defined]
        if function == "const":
            return literal(ast.literal_eval(node.args[0]), self.operand)
        arguments = [self.visit(argument) for argument in node.args]
        return _call(cast_name(self.result) if function == "cast" else function, *arguments)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Invert) and self.operand.kind == "b":
            return _call("logical_not", operand)
        return ast.UnaryOp(node.op, operand)


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
    template = copy.deepcopy(_template(primitive.lowering.expression))
    tree = _Fill(named, dict(node.params), operand, result).visit(template)
    # Python's and Numba's integer and boolean arithmetic widens; NumPy's does not.
    widened = (result.kind in "iu" and result.itemsize < 8) or (result.kind in "bu" and isinstance(tree, ast.BinOp))
    return _call(cast_name(result), tree) if widened else tree
