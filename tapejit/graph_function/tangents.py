"""The passes of a function along tangents: beside its values, or from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..forks import Rank, lock
from ..graph import Graph
from ..graph.connections import connections, positions_of, union
from ..primitive import CallPlan, Masked, Value
from .joint import along
from .reverse import ReverseGraph, reverse_graph

Arrived = tuple[tuple[int, bool], ...]
Derive = Callable[[ReverseGraph, str, str], Any]
"""``derive(graph, kind, arriving)``: a pass as a function that tapes follow; `kind` and `arriving` name it and what
arrives."""


class Tangential:
    """A function's graph along tangents of its inputs.

    Parameters
    ----------
    graph : Graph
        The function.
    derive : callable
        Makes functions of graphs.
    """

    def __init__(self, graph: Graph, derive: Derive) -> None:
        self._graph = graph
        self._derive = derive
        self._lock = lock(Rank.FUNCTION)
        self._depends: tuple[int, ...] | None = None
        self._passes: dict[tuple[Arrived, bool], tuple[ReverseGraph, Any]] = {}

    def functions(self) -> Iterator[Any]:
        """What was made here."""
        return (function for _, function in tuple(self._passes.values()))

    def plan(self, followed: int) -> CallPlan:
        """What one must know who follows these inputs and pulls nothing back."""
        if self._depends is None:
            connected = connections(self._graph)
            self._depends = tuple(connected.get(node, 0) for node in self._graph.outputs)
        active = followed & union(self._depends)
        results = tuple(place for place, bits in enumerate(self._depends) if bits & active)
        return CallPlan(tuple(positions_of(active)), results, (), _pulls_nothing, push=self.push)

    def push(self, inputs: Sequence[Value], tangents: Sequence[Masked], results: Sequence[Value]) -> list[Masked]:
        """The tangents of results that are there already: see `CallPlan`."""
        return self._passed((*inputs, *results), tangents, beside=False)

    def with_values(self, inputs: Sequence[Value], tangents: Sequence[Masked]) -> tuple[list[Value], list[Masked]]:
        """The results and their tangents, in one pass."""
        found = self._passed(inputs, tangents, beside=True)
        count = len(self._graph.outputs)
        return [value for value, _ in found[:count]], found[count:]

    def _passed(self, known: Sequence[Value], tangents: Sequence[Masked], *, beside: bool) -> list[Masked]:
        arrived = tuple(
            (place, mask is not None) for place, (tangent, mask) in enumerate(tangents) if tangent is not None
        )
        with self._lock:
            if (arrived, beside) not in self._passes:
                self._passes[arrived, beside] = self._made(arrived, beside)
            graph, function = self._passes[arrived, beside]
        moving = [value for place, _ in arrived for value in tangents[place] if value is not None]
        # What arrives has places after those of all inputs and results, of which not all need be known.
        first = len(self._graph.inputs) + len(self._graph.outputs)
        values = {**dict(enumerate(known)), **dict(enumerate(moving, first))}
        found = function([values[place] for place in graph.operands])
        return [
            (None if value is None else found[value], None if mask is None else found[mask])
            for value, mask in graph.gradients
        ]

    def _made(self, arrived: Arrived, beside: bool) -> tuple[ReverseGraph, Any]:
        joint = along(self._graph, arrived)
        known = len(self._graph.inputs)
        if beside:
            own = tuple((joint.forward[node], None) for node in self._graph.outputs)
            joint = replace(joint, gradients=(*own, *joint.gradients))
        else:
            known += len(self._graph.outputs)
        made = reverse_graph(self._graph, joint, range(known))
        return made, self._derive(made, "with_tangents" if beside else "tangent", "tangent")


def _pulls_nothing(*_: Any) -> Any:
    raise NotImplementedError("what follows this call only pushes tangents")
