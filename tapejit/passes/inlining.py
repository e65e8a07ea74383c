"""Regions that are computed where they stand become part of the graph around them."""

from collections.abc import Sequence

from ..graph import Builder, Graph, Node, Part
from ..graph.ir import in_order
from ..lowering import Inlined


def inlined(builder: Builder, graph: Graph) -> Graph:
    """The graph, in which nothing is `Inlined` any more."""
    if not any(_is_inlined(node) for node in graph.nodes()):
        return graph
    new: dict[Node, Node] = {}
    _copy(builder, graph.nodes(), new)
    return Graph(
        tuple(new[node] for node in graph.inputs),
        tuple(new[node] for node in graph.outputs),
        tuple((new[variable], new[value]) for variable, value in graph.updates),
    )


def _is_inlined(node: Node) -> bool:
    return node.primitive is not None and isinstance(node.primitive.lowering, Inlined)


def _copy(builder: Builder, nodes: Sequence[Node], new: dict[Node, Node]) -> None:
    """Copy nodes, inputs first; `new` has what they become."""
    several: dict[Node, list[Node]] = {}
    for node in nodes:
        if isinstance(node.op, Part) and node.inputs[0] in several:
            new[node] = several[node.inputs[0]][node.op.index]
        elif _is_inlined(node):
            several[node] = _results(builder, node, [new[value] for value in node.inputs])
        else:
            new[node] = builder.again(node, tuple([new[value] for value in node.inputs]))


def _results(builder: Builder, node: Node, inputs: Sequence[Node]) -> list[Node]:
    """What the region of a node gives for these inputs."""
    graph: Graph = dict(node.params)["body"].graph
    known = dict(zip(graph.inputs, inputs, strict=True))
    _copy(builder, in_order(graph.outputs, known), known)
    return [known[output] for output in graph.outputs]
