"""Running a graph's operations again on other values: under a tape to differentiate it, in a trace to build on it."""

from collections.abc import Sequence
from typing import Any

from ..primitive import Interpreter, Primitive, Value, bind
from .ir import Graph, Literal, Node, Part, in_order
from .trace import Trace, TracedTensor


def replay(graph: Graph, values: Sequence[Value], interpreter: Interpreter) -> dict[Node, Any]:
    """What the outputs of `graph` are, and all that they need, bound anew for `values` instead of its inputs.

    Parameters
    ----------
    graph : Graph
        What to compute; its updates are left out.
    values : sequence of Value
        One for each input.
    interpreter : Interpreter
        Where it happens; for literals, and to give each operation its own line of the user's program in a trace.
    """
    known: dict[Node, Any] = dict(zip(graph.inputs, values, strict=True))
    while interpreter.outer is not None:
        interpreter = interpreter.outer.interpreter
    if not isinstance(interpreter, Trace):
        for node in in_order(graph.outputs, graph.inputs):
            known[node] = _value(node, known, interpreter)
        return known
    trace = interpreter
    place = trace.place
    try:
        for node in in_order(graph.outputs, graph.inputs):
            trace.place = node.where
            known[node] = _value(node, known, trace)
    finally:
        trace.place = place
    return known


def _value(node: Node, known: dict[Node, Any], interpreter: Interpreter) -> Any:
    op = node.op
    if isinstance(op, Literal):
        if isinstance(interpreter, Trace):
            return TracedTensor(interpreter, interpreter.builder.literal(op.value, op.dtype))
        return interpreter.number(op.value, op.dtype)
    if isinstance(op, Part):
        return known[node.inputs[0]][op.index]
    if isinstance(op, Primitive):
        return bind(op, tuple(known[value] for value in node.inputs), dict(node.params))
    raise ValueError(f"{op} is not among the graph's inputs")
