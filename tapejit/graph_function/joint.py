"""The joint graph of a function and its derivative: the function's operations again, under a tape in a trace."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..aval import Aval
from ..dataclass import dataclass
from ..graph import Graph, Node, Trace, TracedTensor
from ..graph.replay import replay
from ..primitive import Masked, Value, interpreting
from ..tape.accumulator import Tangents
from ..tape.recording import Recording
from ..tape.reverse import add, pull_back

_BOOL = np.dtype(np.bool_)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is given to a reverse pass and what is asked of it.

    Attributes
    ----------
    wanted : tuple of (int, bool)
        Positions of the inputs whose cotangents are asked for, and whether their masks are as well.
    arrived : tuple of (int, bool)
        Positions of the results that have cotangents, and whether these carry masks.
    """

    wanted: tuple[tuple[int, bool], ...]
    arrived: tuple[tuple[int, bool], ...]


@dataclass(frozen=True, slots=True)
class Joint:
    """Forward and backward pass in one graph.

    Attributes
    ----------
    trace : Trace
        Whose graph it is; knows what the rules captured.
    forward : dict of Node to Node
        From the nodes of the function's graph to those here.
    arriving : tuple of Node
        In the order of the pattern the cotangents that arrive, each followed by its mask if it carries one.
    gradients : tuple of (Node or None, Node or None)
        For each wanted input its cotangent and the mask of that; None where it is not connected or not asked for.
    """

    trace: Trace
    forward: dict[Node, Node]
    arriving: tuple[Node, ...]
    gradients: tuple[tuple[Node | None, Node | None], ...]

    @property
    def roots(self) -> list[Node]:
        """All that is to be computed."""
        return [node for pair in self.gradients for node in pair if node is not None]


def differentiate(graph: Graph, pattern: Pattern) -> Joint:
    """The joint graph of the function `graph`; its updates are left out."""
    count = len(graph.inputs)
    trace = Trace((*(node.aval for node in graph.inputs), *_arriving(graph.outputs, pattern.arrived)))
    arguments = [trace.argument(position) for position in range(len(trace.arguments))]
    inputs, given = arguments[:count], iter(arguments[count:])
    recording = Recording(watch_accessed=False)
    for position, _ in pattern.wanted:
        recording.watch(inputs[position])
    with interpreting(trace, (recording,)):
        known = replay(graph, inputs, trace)
    with interpreting(trace):
        seeds: dict[int, Any] = {}
        masks: dict[int, Any] = {}
        for position, masked in pattern.arrived:
            arriving = (next(given), next(given) if masked else None)
            add(known[graph.outputs[position]].key, arriving, seeds, masks)
        keys = [inputs[position].key for position, _ in pattern.wanted]
        found = pull_back(recording.records, seeds, keys, masks)
    pairs = [
        (found.get(key), masks.get(key) if pass_on and key in found else None)
        for key, (_, pass_on) in zip(keys, pattern.wanted, strict=True)
    ]
    return _joint(trace, known, pairs, count)


def along(graph: Graph, arrived: Sequence[tuple[int, bool]]) -> Joint:
    """The joint graph of the function `graph` and its derivative along tangents; its updates are left out.

    What is said of cotangents in `Joint` holds for tangents, with inputs and results exchanged.

    Parameters
    ----------
    graph : Graph
        The function.
    arrived : sequence of (int, bool)
        Positions of the inputs that have tangents, and whether these carry masks.
    """
    count = len(graph.inputs)
    trace = Trace((*(node.aval for node in graph.inputs), *_arriving(graph.inputs, arrived)))
    arguments = [trace.argument(position) for position in range(len(trace.arguments))]
    inputs, given = arguments[:count], iter(arguments[count:])
    tangents = Tangents()
    for position, masked in arrived:
        tangents.watch(inputs[position], next(given), next(given) if masked else None)
    with interpreting(trace, (tangents,), forward=1):
        known = replay(graph, inputs, trace)
    pairs = tangents.of_all([known[node] for node in graph.outputs])
    return _joint(trace, known, pairs, count)


def _joint(trace: Trace, known: Mapping[Node, Any], pairs: Iterable[Masked], count: int) -> Joint:
    forward = {node: value.node for node, value in known.items() if isinstance(value, TracedTensor)}
    found = tuple((_node(trace, value), _node(trace, mask)) for value, mask in pairs)
    return Joint(trace, forward, tuple(trace.arguments[count:]), found)


def _arriving(values: Sequence[Node], arrived: Sequence[tuple[int, bool]]) -> list[Aval]:
    avals = []
    for position, masked in arrived:
        aval = values[position].aval
        avals += [aval, Aval(aval.shape, _BOOL)] if masked else [aval]
    return avals


def _node(trace: Trace, value: Value | None) -> Node | None:
    return None if value is None else trace.node_of(value)
