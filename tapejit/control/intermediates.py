"""What a scan keeps of each iteration so that its reverse need not compute it again."""

from typing import Any

from ..graph import Graph, Input, Literal, Node, Region, TracedTensor
from ..graph.ir import in_order
from ..lowering import Pieces, Pointwise, View
from .form import ScanForm
from .scan_reverse import Reverse

DEAR = 12
"""Additions an element: what costs less is computed again, as everywhere in gradients (`passes.keeping`)."""


def with_intermediates(form: ScanForm) -> ScanForm:
    """The scan, which also stacks what its reverse reads and what is dear to compute again."""
    arrived = [place for place, node in enumerate(form.graph.outputs) if form.floats(node) and form.depends[place]]
    wanted = [place for place in range(form.count) if any(bits >> place & 1 for bits in form.depends)]
    reverse = Reverse(form, arrived, wanted)
    if not reverse.is_connected:
        return form
    trace, known, pulled = reverse.traced()
    forward = {value.node: node for node, value in known.items() if isinstance(value, TracedTensor)}
    outputs = [trace.node_of(value) for value in pulled.values() if value is not None]
    cotangents = trace.arguments[len(form.graph.inputs) :]
    kept = [forward[node] for node in _dear(_read(outputs, cotangents), forward)]
    graph = Graph(form.graph.inputs, (*form.graph.outputs, *kept), ())
    return ScanForm(**form.params(body=Region(graph, form.body.captures)))


def _read(outputs: list[Node], cotangents: list[Node]) -> list[Node]:
    """What depends on no cotangent and is read by what does."""
    order = in_order(outputs)
    backward = set(cotangents)
    for node in order:
        if not backward.isdisjoint(node.inputs):
            backward.add(node)
    found = [value for node in order if node in backward for value in node.inputs] + outputs
    return [node for node in dict.fromkeys(found) if node not in backward]


def _dear(read: list[Node], forward: dict[Node, Any]) -> list[Node]:
    """The nearest values of the body from which all that is read is cheap to compute."""
    found: list[Node] = []
    seen = set(read)
    stack = list(reversed(read))
    while stack:
        node = stack.pop()
        if node in forward and _is_dear(node):
            found.append(node)
            continue
        for value in node.inputs:
            if value not in seen:
                seen.add(value)
                stack.append(value)
    return found


def _is_dear(node: Node) -> bool:
    if isinstance(node.op, (Input, Literal)):
        return False
    lowering = None if node.primitive is None else node.primitive.lowering
    if isinstance(lowering, Pointwise):
        return lowering.cost >= DEAR
    return not isinstance(lowering, (View, Pieces))
