"""Statements whose place is computed: writing at computed indices, checking them, and running results."""

import ast

import numpy as np

from ..lowering import Scan, Scatter
from ..passes.loops import Leaf, Loop
from ..passes.statements import initial_number
from . import expressions as ex
from .addresses import Addresses
from .layout import Failure
from .text import Text
from .values import Values


class Computed:
    """Writes these statements of one kernel."""

    def __init__(self, addresses: Addresses, values: Values, text: Text) -> None:
        self._addresses = addresses
        self._values = values
        self._text = text
        self._carries: dict[int, str] = {}

    def start(self, loop: Loop, inside: list[Leaf]) -> None:
        """Before `loop`: the array that is written to gets its first values, a running result where it begins."""
        for leaf in inside:
            statement = leaf.statement
            if statement.target is not None and loop is leaf.loops[0]:
                self._initial(leaf)
            if statement.scanned is not None and leaf.variable[statement.scanned] is loop:
                dtype = statement.node.aval.dtype
                carry = self._carries[id(leaf)] = self._text.fresh(self._addresses.label(statement.node))
                self._text.line(f"{carry} = {ex.unparse(ex.literal(_neutral(_combine(leaf), dtype), dtype))}")

    def leaf(self, leaf: Leaf, value: ast.expr) -> None:
        """One statement at its place."""
        statement = leaf.statement
        if statement.target is not None:
            self._scatter(leaf, ex.unparse(value))
        elif statement.check is not None:
            self._check(leaf, ex.unparse(value))
        else:
            carry = self._carries[id(leaf)]
            total = ex.narrow(self._next(leaf, ex.name(carry), value), statement.node.aval.dtype)
            self._text.line(f"{carry} = {ex.unparse(total)}")
            self._values.settle(leaf, carry)

    def _next(self, leaf: Leaf, carry: ast.expr, value: ast.expr) -> ast.expr:
        """The running result at this index, given the one before."""
        combine = _combine(leaf)
        if combine == "add":
            return ex.add(carry, value)
        if combine == "multiply":
            return ast.BinOp(carry, ast.Mult(), value)
        if combine == "recurrence":
            return ex.add(ast.BinOp(carry, ast.Mult(), self._values.factor(leaf)), value)
        return ex.call(combine, carry, value)

    def _initial(self, leaf: Leaf) -> None:
        node = leaf.statement.node
        number = initial_number(node)
        if number is None and self._addresses.pointer(node.inputs[0]) == self._addresses.pointer(node):
            return  # what a loop carries on is written where it is
        with self._text.counting("i", str(node.aval.size)) as variable:
            if number is not None:
                value = ex.unparse(ex.literal(number.value, node.aval.dtype))
            else:
                value = f"{self._addresses.pointer(node.inputs[0])}[{variable}]"
            self._text.line(f"{self._addresses.pointer(node)}[{variable}] = {value}")

    def _scatter(self, leaf: Leaf, value: str) -> None:
        target = leaf.statement.target
        assert target is not None
        if not leaf.loops:
            self._initial(leaf)
        element = ex.unparse(self._values.fetch(leaf, target))
        combine = _combine(leaf)
        if combine != "set":
            value = f"{'accumulate' if combine == 'add' else combine}({element}, {value})"
        self._text.line(f"{element} = {value}")
        if not leaf.loops:
            self._values.finish(leaf.statement.node)

    def _check(self, leaf: Leaf, value: str) -> None:
        check = leaf.statement.check
        assert check is not None
        index = self._text.fresh("index")
        self._text.line(f"{index} = int64({value})")
        with self._text.block(f"if {index} < {check.lowest} or {index} >= {check.length}:"):
            batch = leaf.statement.node.aval.shape
            failure = Failure("indexing", (check.length, *batch), beyond=check.beyond)
            place = self._addresses.position(leaf, tuple(range(len(batch)))) if "{place}" in check.beyond else None
            self._text.line(f"return {self._addresses.status(failure, index, place)}")


def _combine(leaf: Leaf) -> str:
    """How a statement combines its values."""
    primitive = leaf.statement.node.primitive
    assert primitive is not None
    assert isinstance(primitive.lowering, (Scan, Scatter))
    return primitive.lowering.combine


def _neutral(combine: str, dtype: np.dtype) -> float:
    """What a running result begins with, before the first element."""
    if combine in ("add", "multiply", "recurrence"):
        return int(combine == "multiply")
    low = combine != "minimum"
    if dtype.kind == "f":
        return -np.inf if low else np.inf
    if dtype.kind == "b":
        return not low
    return int(np.iinfo(dtype).min if low else np.iinfo(dtype).max)
