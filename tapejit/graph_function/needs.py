"""Where to find what a call of a graph takes and gives, and what its reverse rules need of it."""

from collections.abc import Iterable, Iterator, Mapping

from ..aval import is_floating
from ..graph import Graph, Literal, Node, Part
from ..graph.connections import Connections, bits_of
from ..graph.ir import in_order
from ..primitive import Primitive


def places(graph: Graph) -> dict[Node, int]:
    """Where to find what a call of the graph takes and gives: positions in inputs and outputs joined."""
    found: dict[Node, int] = {}
    for place, node in enumerate((*graph.inputs, *graph.outputs)):
        if not isinstance(node.op, Literal):
            found.setdefault(node, place)
    return found


def needed(graph: Graph, connected: Connections, active: int, residuals: Iterable[Node]) -> set[int]:
    """The `places` from which the reverse rules of a graph can be served, to any order.

    What a rule names and is at no place itself is computed again from what is. A residual that is no floating value
    may stand for what the backward pass makes of such values, and is needed without being named.

    Parameters
    ----------
    graph : Graph
        The function, with its residuals among its outputs.
    connected : mapping of Node to int
        Its `connections`.
    active : int
        The inputs that cotangents are asked for.
    residuals : iterable of Node
        The outputs that are residuals.
    """
    named = {node: None for node in residuals if not is_floating(node.aval.dtype)}  # a set, in order
    order = in_order(graph.outputs)
    parts = {(node.inputs[0], node.op.index): node for node in order if isinstance(node.op, Part)}
    for node in order:
        if isinstance(node.op, Part) and node.inputs[0] in named:
            named[node] = None
        if not isinstance(node.op, Primitive) or not connected.get(node, 0) & active:
            continue
        bits = bits_of(place for place, value in enumerate(node.inputs) if connected.get(value, 0) & active)
        if node.op.joint is not None:
            kept = node.op.joint(bits, len(node.inputs), dict(node.params)).kept
            named.update(dict.fromkeys(_kept_of_a_call(node, kept, parts)))
            continue
        for tag, which in node.op.reverse_plan(bits, len(node.inputs)).slots:
            if tag == "value":
                named[node.inputs[which]] = None
            elif tag == "out":
                named[node] = None
    known = places(graph)
    computed = in_order(named, known)
    return {known[node] for node in (*named, *(value for each in computed for value in each.inputs)) if node in known}


def _kept_of_a_call(node: Node, kept: Iterable[int], parts: Mapping[tuple[Node, int], Node]) -> Iterator[Node]:
    """What a joint rule keeps, by position in inputs and results joined; a result that nobody reads is computed."""
    count = len(node.inputs)
    for place in kept:
        yield node.inputs[place] if place < count else parts.get((node, place - count), node)
