"""Index expressions of a kernel's text: sums of indices with factors, and what they are at given indices."""

import ast
from collections.abc import Mapping

from .straight import TextError


def offset(tree: ast.expr) -> int:
    """An index expression where all indices are 0."""
    return _at(tree, {})


def slope(tree: ast.expr, name: str) -> int:
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
