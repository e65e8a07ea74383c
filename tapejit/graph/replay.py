"""Running a graph's operations again on other values: under a tape to differentiate it, in a trace to build on it."""

from collections.abc import Sequence
from typing import Any

from ..primitive import Primitive, Value, bind, current
from .ir import Graph, Literal, Node, Part, in_order
from .trace import Trace, TracedTensor


def replay(graph: Graph, values: Sequence[Value], trace: Trace | None) -> dict[Node, Any]:
    """What the outputs of `graph` are, and all that they need, bound anew for `values` instead of its inputs.

    Parameters
    ----------
    graph : Graph
        What to compute; its updates are left out.
    values : sequence of Value
        One for each input.
    trace : Trace, optional
        Where it happens; for literals, and to give each operation its own line of the user's program. None where
        the interpreter is none.
    """
    known: dict[Node, Any] = dict(zip(graph.inputs, values, strict=True))
    if trace is None:
        for node in in_order(graph.outputs, graph.inputs):
            known[node] = _value(node, known, None)
        return known
    place = trace.place
    try:
        for node in in_order(graph.outputs, graph.inputs):
            trace.place = node.where
            known[node] = _value(node, known, trace)
    finally:
        trace.place = place
    return known


def _value(node: Node, known: dict[Node, Any], trace: Trace | None) -> Any:
    op = node.op
    if isinstance(op, Literal):
        if trace is None:
            return current().interpreter.number(op.value, op.dtype)
        return TracedTensor(trace, trace.builder.literal(op.value, op.dtype))
    if isinstance(op, Part):
        return known[node.inputs[0]][op.index]
    if isinstance(op, Primitive):
        return bind(op, tuple(known[value] for value in node.inputs), dict(node.params))
    raise ValueError(f"{op} is not among the graph's inputs")
