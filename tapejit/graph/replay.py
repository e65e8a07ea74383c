"""Running a graph's operations again on other values: under a tape to differentiate it, in a trace to build on it."""

from collections.abc import Sequence
from typing import Any

from ..primitive import Primitive, Value, bind
from .ir import Graph, Literal, Node, Part
from .trace import Trace, TracedTensor


def replay(graph: Graph, values: Sequence[Value], trace: Trace) -> list[Value]:
    """The outputs of `graph`, bound anew for `values` instead of its inputs.

    Parameters
    ----------
    graph : Graph
        What to compute; its updates are left out.
    values : sequence of Value
        One for each input.
    trace : Trace
        Where it happens; for literals.
    """
    known: dict[Node, Any] = dict(zip(graph.inputs, values, strict=True))
    for node in graph.nodes():
        if node in known:
            continue
        op = node.op
        if isinstance(op, Literal):
            known[node] = TracedTensor(trace, trace.builder.literal(op.value, op.dtype))
        elif isinstance(op, Part):
            known[node] = known[node.inputs[0]][op.index]
        elif isinstance(op, Primitive):
            known[node] = bind(op, tuple(known[value] for value in node.inputs), dict(node.params))
        else:
            raise ValueError(f"{op} is not among the graph's inputs")  # noqa: TRY004 (the graph is at fault)
    return [known[node] for node in graph.outputs]
