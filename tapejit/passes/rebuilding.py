"""Parts of graphs in other graphs: what passes over regions put together anew."""

from collections.abc import Iterable, Mapping, Sequence

from ..graph import Builder, Graph, Literal, Node, Region
from ..graph.ir import in_order
from ..lowering import View


def copied(builder: Builder, roots: Iterable[Node], known: Mapping[Node, Node]) -> list[Node]:
    """The nodes of `builder` for roots of another graph, given those for some of its nodes."""
    found = dict(known)
    roots = list(roots)
    for node in in_order(roots, known):
        found[node] = builder.again(node, tuple(found[value] for value in node.inputs))
    return [found[root] for root in roots]


def closed(inputs: Sequence[Node], outputs: Sequence[Node], known: Mapping[Node, Node], captures: int) -> Region:
    """A region of some nodes of a graph.

    Parameters
    ----------
    inputs : sequence of Node
        What becomes its arguments, in order.
    outputs : sequence of Node
        What it gives.
    known : mapping of Node to Node
        For other nodes what takes their place: an argument, or something made of literals alone.
    captures : int
        How many of the arguments are captures.
    """
    builder = Builder()
    arguments = [builder.input("argument", place, node.aval) for place, node in enumerate(inputs)]
    found = dict(zip(inputs, arguments, strict=True))
    found |= {node: copied(builder, [other], found)[0] for node, other in known.items()}
    results = copied(builder, outputs, found)
    return Region(Graph(tuple(arguments), tuple(results), ()), captures)


def is_literal(node: Node) -> bool:
    """Whether it is a literal or a view of one."""
    while node.primitive is not None and isinstance(node.primitive.lowering, View):
        node = node.inputs[0]
    return isinstance(node.op, Literal)


def reached(root: Node) -> set[Node]:
    """All that a node depends on, itself included."""
    return set(in_order([root]))
