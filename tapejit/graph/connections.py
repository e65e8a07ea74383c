"""What depends on what in a graph, as tapes would find it if its operations were recorded one by one.

Sets of inputs are the bits of an int, as in `primitive`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_

from ..aval import is_floating
from ..primitive import Primitive
from .ir import Graph, Node, Part, in_order

Connections = Mapping[Node, int]


def bits_of(positions: Iterable[int]) -> int:
    """The set of these positions."""
    return sum(1 << position for position in positions)


def union(sets: Iterable[int]) -> int:
    """All that is in any of these sets."""
    return reduce(or_, sets, 0)


def positions_of(bits: int) -> Iterator[int]:
    """The positions in a set, in order."""
    return (position for position in range(bits.bit_length()) if bits >> position & 1)


def connections(graph: Graph) -> Connections:
    """For each node that the outputs need the inputs on which it depends through reverse rules, if there are any."""
    found = {node: 1 << place for place, node in enumerate(graph.inputs) if is_floating(node.aval.dtype)}
    several: dict[Node, list[int]] = {}  # of operations whose results depend on different inputs
    for node in in_order(graph.outputs):
        if not any(is_floating(aval.dtype) for aval in node.avals):
            continue
        if isinstance(node.op, Primitive):
            each = _connected_results(node, node.op, found)
            total = union(each)
            several[node] = each
        elif isinstance(node.op, Part):
            total = several[node.inputs[0]][node.op.index] if is_floating(node.aval.dtype) else 0
        else:
            total = found.get(node, 0)
        if total:
            found[node] = total
    return found


def _connected_results(node: Node, primitive: Primitive, found: Connections) -> list[int]:
    """For each result of an operation the inputs of the graph on which it depends."""
    sources = [found.get(value, 0) for value in node.inputs]
    active, count = bits_of(place for place, bits in enumerate(sources) if bits), len(sources)
    if primitive.joint is None:
        followed = [pull.input for pull in primitive.reverse_plan(active, count).pulls]
        return [union(sources[place] for place in followed)] * len(node.avals)
    plan = primitive.joint(active, count, dict(node.params))
    if plan.depends:
        return [union(sources[place] for place in positions_of(bits & active)) for bits in plan.depends]
    total = union(sources[place] for place in plan.inputs)
    return [total if place in plan.results else 0 for place in range(len(node.avals))]
