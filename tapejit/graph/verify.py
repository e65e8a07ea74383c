"""The verifier: is this graph well-formed? Run after every pass under ``TAPEJIT_CHECK=1``, and in the tests."""

from ..primitive import Primitive
from .ir import Graph, Input, Node, Part
from .region import regions_of


class GraphError(AssertionError):
    """A pass or the tracer produced a graph that breaks a rule; a defect of tapejit, never of the user's program."""


def verify(graph: Graph, stage: str) -> None:
    """Check a graph.

    Parameters
    ----------
    graph : Graph
        What to check.
    stage : str
        Which pass it comes from; for the message.

    Raises
    ------
    GraphError
        With the node, its inputs and what is wrong.
    """
    inputs = set(graph.inputs)
    for node in graph.nodes():
        regions = regions_of(node.params)
        for region in regions:
            verify(region.graph, stage)
        fault = _fault(node, inputs) or "; ".join(fault for region in regions for fault in region.faults())
        if fault:
            near = "\n".join(f"    input {value!r} {value.where}" for value in node.inputs)
            raise GraphError(f"after {stage}: {fault}\n  {node!r} {node.where}\n{near}")
    for variable, value in graph.updates:
        if not (isinstance(variable.op, Input) and variable.op.kind == "variable"):
            raise GraphError(f"after {stage}: {variable!r} is assigned but no variable")
        if (variable.aval.shape, variable.aval.dtype) != (value.aval.shape, value.aval.dtype):
            raise GraphError(f"after {stage}: {variable!r} is assigned {value!r}, which has another type")
    if len({variable for variable, _ in graph.updates}) != len(graph.updates):
        raise GraphError(f"after {stage}: a variable is assigned twice")


def _fault(node: Node, inputs: set[Node]) -> str:
    if isinstance(node.op, Input) and node not in inputs:
        return "an input that the graph does not list"
    if isinstance(node.op, Part) and node.avals[0] != node.inputs[0].avals[node.op.index]:
        return "a part whose type is not that of the result it names"
    if isinstance(node.op, Primitive):
        result = node.op.rule(*[value.aval for value in node.inputs], **dict(node.params))
        expected = result if node.op.multiple else (result,)
        if tuple((a.shape, a.dtype) for a in expected) != tuple((a.shape, a.dtype) for a in node.avals):
            return f"its type should be {', '.join(map(str, expected))}"
    return ""
