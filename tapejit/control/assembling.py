"""Operations that rules make of traces: of what they could read only what they do read becomes an operand."""

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from ..dataclass import dataclass
from ..graph import Node, Region
from ..graph.ir import in_order
from ..graph.region import RegionTrace
from ..primitive import Value
from .applied import apply_scan


@dataclass(eq=False)
class Assembly:
    """A scan in the making.

    Parameters
    ----------
    trace : RegionTrace
        Of the body.
    carries, slices, captures : list of (Node, Value)
        For arguments of the trace the operands: what a carried value begins with, what slices are taken of, captures.
    following : list of Node
        The next carried values.
    stacked : list of Node
        What is stacked.
    keeps_history : bool
        Whether what each iteration began with is stacked as well, for the reverse of this scan.
    """

    trace: RegionTrace
    index: Node
    carries: list[tuple[Node, Value]] = field(default_factory=list)
    slices: list[tuple[Node, Value]] = field(default_factory=list)
    captures: list[tuple[Node, Value]] = field(default_factory=list)
    following: list[Node] = field(default_factory=list)
    stacked: list[Node] = field(default_factory=list)
    keeps_history: bool = True

    def apply(self, length: int, reverse: bool) -> tuple[list[Any], list[Any]]:
        """The last carried values, and what was stacked."""
        history = [node for node, _ in self.carries] if self.keeps_history else []
        outputs = [*self.following, *self.stacked, *history]
        used = set(in_order(outputs))
        slices = [pair for pair in self.slices if pair[0] in used]
        captures = [pair for pair in self.captures if pair[0] in used]
        lifted = self.trace.taken(outputs)
        own = [self.index, *(node for node, _ in (*self.carries, *slices, *captures))]
        region = self.trace.region(own, outputs, lifted)
        results = apply_scan(
            [*(value for _, value in (*self.carries, *slices, *captures)), *lifted],
            body=Region(region.graph, len(captures) + len(lifted)),
            carries=len(self.carries),
            slices=len(slices),
            length=length,
            reverse=reverse,
        )
        count = len(self.following)
        return list(results[:count]), list(results[count : count + len(self.stacked)])


def closed_together(traced: Sequence[tuple[RegionTrace, Sequence[Node], Sequence[Node]]]) -> tuple[Any, list[Value]]:
    """Regions of traces with their arguments and outputs, and what they all get behind those arguments.

    That is what rules brought along from elsewhere.
    """
    lifted = {value.key: value for trace, _, outputs in traced for value in trace.taken(outputs)}
    regions = [trace.region(arguments, outputs, list(lifted.values())) for trace, arguments, outputs in traced]
    return tuple([Region(region.graph, len(region.graph.inputs)) for region in regions]), list(lifted.values())
