"""The name of a graph: SHA-256 of its canonical text.

The text holds everything that machine code depends on: operations, parameters, shapes, dtypes, literals by type and
bits, which inputs there are and which variables are assigned. It does not hold the numbers in the constant table.
"""

import hashlib
from typing import Any

from .ir import Graph, Input, Literal, Node, Part


def graph_signature(graph: Graph) -> str:
    """64 hexadecimal digits, equal for equal graphs."""
    return hashlib.sha256("\n".join(canonical_lines(graph)).encode()).hexdigest()


def canonical_lines(graph: Graph) -> list[str]:
    """One line a node, then outputs and updates."""
    number: dict[Node, int] = {}
    lines = []
    for node in graph.nodes():
        number[node] = len(number)
        operands = ", ".join(f"%{number[value]}" for value in node.inputs)
        params = "".join(f" {name}={_canonical(value)}" for name, value in node.params)
        types = ", ".join(str(aval) for aval in node.avals)
        lines.append(f"%{number[node]} = {_name(node)}({operands}){params} : {types}")
    lines.append("return " + ", ".join(f"%{number[node]}" for node in graph.outputs))
    lines.extend(f"assign %{number[variable]} <- %{number[value]}" for variable, value in graph.updates)
    return lines


def _name(node: Node) -> str:
    op = node.op
    if isinstance(op, Input):
        return f"{op.kind} {op.position}"
    if isinstance(op, Literal):
        return f"literal {op.dtype.str} {op.bits.hex()}"
    if isinstance(op, Part):
        return f"part {op.index}"
    return str(op.properties.get("signature", op.name))


def _canonical(value: Any) -> str:
    """A parameter, with its type where equal values of other types print alike."""
    if isinstance(value, tuple):
        return "(" + ",".join(map(_canonical, value)) + ")"
    return f"{type(value).__name__}:{value!r}"
