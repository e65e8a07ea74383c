"""The two graphs that take the place of a function's own where tapes follow it: with residuals, and the reverse."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..dataclass import dataclass
from ..graph import Builder, Graph, Input, Node, Trace
from ..graph.connections import Connections, positions_of
from ..graph.ir import in_order
from .joint import Joint, Pattern, differentiate
from .needs import places
from .residuals import residuals


def with_residuals(graph: Graph, connected: Connections, active: int) -> tuple[Graph, Pattern, Joint]:
    """A function that also gives what its gradients by the `active` inputs need.

    Parameters
    ----------
    graph : Graph
        The function.
    connected : mapping of Node to int
        Its `connections`.
    active : int
        The bits of the inputs that are followed.

    Returns
    -------
    tuple of Graph, Pattern and Joint
        The function, whose outputs are followed by the residuals; its reverse pass if all results have cotangents, and
        the joint graph for that.
    """
    arrived = [(place, False) for place, node in enumerate(graph.outputs) if connected.get(node, 0) & active]
    pattern = Pattern(tuple((place, False) for place in positions_of(active)), tuple(arrived))
    joint = differentiate(graph, pattern)
    kept = residuals(joint, [joint.forward[node] for node in places(graph)])
    own = _copied(kept, {new: old for old, new in joint.forward.items()}, Builder())
    joint = replace(joint, forward={**joint.forward, **dict(zip(own, kept, strict=True))})
    return replace(graph, outputs=(*graph.outputs, *own)), pattern, joint


@dataclass(frozen=True, slots=True)
class ReverseGraph:
    """From residuals, inputs and cotangents to cotangents of the inputs.

    Attributes
    ----------
    graph : Graph
        Its arguments are the operands.
    trace : Trace
        What its other inputs stand for.
    operands : tuple of int
        Positions in the function's inputs, its results, and what arrives, joined.
    gradients : tuple of (int or None, int or None)
        For each wanted input which outputs are its cotangent and the mask of that; None where there is none.
    """

    graph: Graph
    trace: Trace
    operands: tuple[int, ...]
    gradients: tuple[tuple[int | None, int | None], ...]


def reverse_graph(graph: Graph, joint: Joint, kept: Collection[int]) -> ReverseGraph:
    """What remains of a joint graph where some inputs and results of the function `graph` are known.

    Parameters
    ----------
    graph : Graph
        The function.
    joint : Joint
        Of the function and its gradient.
    kept : collection of int
        The `places` of what is known.
    """
    given = set(kept)
    known = {joint.forward[node]: place for node, place in places(graph).items() if place in given}
    count = len(graph.inputs) + len(graph.outputs)
    known.update((node, count + place) for place, node in enumerate(joint.arriving))
    builder = Builder()
    read = _read(joint, known)
    copies = {node: builder.input("argument", position, node.aval) for position, node in enumerate(read)}
    operands = tuple(known[node] for node in read)
    own = set(joint.trace.arguments)
    captured = [node for node in joint.trace.finish([]).inputs if node not in own]
    inputs = (*copies.values(), *(builder.again(node, ()) for node in captured))
    copies.update(zip(captured, inputs[len(operands) :], strict=True))
    roots = joint.roots
    numbers = iter(range(len(roots)))
    gradients = tuple(
        (None if ct is None else next(numbers), None if mask is None else next(numbers)) for ct, mask in joint.gradients
    )
    return ReverseGraph(Graph(inputs, tuple(_copied(roots, copies, builder)), ()), joint.trace, operands, gradients)


def places_read(graph: Graph, joint: Joint) -> set[int]:
    """The `places` of all inputs and results that the reverse pass has a use for."""
    known = {joint.forward[node]: place for node, place in places(graph).items()}
    return {known[node] for node in _read(joint, {*known, *joint.arriving}) if node in known}


def _read(joint: Joint, known: Collection[Node]) -> list[Node]:
    """Which of the known nodes the reverse pass reads."""
    inner = (value for node in in_order(joint.roots, known) for value in node.inputs)
    return [node for node in dict.fromkeys([*joint.roots, *inner]) if node in known]


def _copied(roots: Sequence[Node], known: Mapping[Node, Node], builder: Builder) -> list[Node]:
    """The same values in terms of other nodes."""
    new = dict(known)
    for node in in_order(roots, known):
        assert not isinstance(node.op, Input), "what is known does not suffice"
        new[node] = builder.again(node, tuple(new[value] for value in node.inputs))
    return [new[node] for node in roots]
