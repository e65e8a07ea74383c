"""Graph → parts: kernels, and between them the operations that no kernel can hold.

Such an operation is a call that the user supplied as opaque, one without a lowering, or one of a dtype that kernels
don't know. Everything else is computed as early as it can be; values go from part to part.
"""

from dataclasses import field

import numpy as np

from ..dataclass import dataclass
from ..graph import Builder, Graph, Input, Literal, Node, Part, regions_of
from ..lowering import LOWERED, Opaque, View

_DTYPES = frozenset(map(np.dtype, "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()))


class NotLowerableError(Exception):
    """The graph was not split: it has an operation that no kernel can hold."""


@dataclass(frozen=True, slots=True)
class KernelPart:
    """What one kernel computes: `gives` from `reads`, which are the inputs of `graph` in order."""

    graph: Graph
    reads: tuple[Node, ...]
    gives: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class CallPart:
    """An operation that runs in Python; `reason` says why."""

    node: Node
    reason: str


def reason_against(node: Node) -> str | None:
    """Why no kernel can hold an operation; None if one can."""
    primitive = node.primitive
    if primitive is None:
        return None
    if isinstance(primitive.lowering, Opaque):
        return "an opaque call"
    if not isinstance(primitive.lowering, LOWERED):
        return "it can't be compiled yet"
    for aval in (*node.avals, *(value.aval for value in node.inputs)):
        if aval.dtype not in _DTYPES:
            return f"kernels have no {aval.dtype.name}"
    for region in regions_of(node.params):
        found = obstacle(region.graph)
        if found is not None:
            return f"it holds {found}"
    return None


def obstacle(graph: Graph) -> str | None:
    """The first operation that no kernel can hold, and why; None if one kernel can hold the whole graph."""
    for node in graph.nodes():
        reason = reason_against(node)
        if reason is not None:
            assert node.primitive is not None
            place = f" at {node.where}" if node.where else ""
            return f"{node.primitive.name}{place}: {reason}"
    return None


def check_lowerable(graph: Graph) -> None:
    """Hold that a kernel can be made of a graph.

    Raises
    ------
    NotLowerableError
        With the first operation that no kernel can hold, and why.
    """
    found = obstacle(graph)
    if found is not None:
        raise NotLowerableError(found)


def split(graph: Graph) -> list[KernelPart | CallPart]:
    """The parts of a prepared graph, in the order in which they run.

    Together they give the graph's roots; updates are the caller's to make once all of them have succeeded.
    """
    return _Split(graph).parts()


@dataclass(slots=True)
class _Split:
    """`stage` says for each node which kernel computes it, or after which kernel it is called."""

    graph: Graph
    reasons: dict[Node, str] = field(default_factory=dict)
    stage: dict[Node, int] = field(default_factory=dict)
    fixed: set[Node] = field(default_factory=set)  # made of literals alone

    def __post_init__(self) -> None:
        for node in self.graph.nodes():
            reason = reason_against(node)
            if isinstance(node.op, Part) and node.inputs[0] in self.reasons:
                reason = ""  # a result of a call, not a call
            if reason is not None:
                self.reasons[node] = reason
            later = node not in self.reasons
            self.stage[node] = max(
                (self.stage[value] + (later and value in self.reasons) for value in node.inputs), default=0
            )
            if later and not isinstance(node.op, Input) and all(value in self.fixed for value in node.inputs):
                self.fixed.add(node)

    def parts(self) -> list[KernelPart | CallPart]:
        last = max(self.stage.values(), default=0)
        kernels = [_Kernel(self, number) for number in range(last + 1)]
        wanted = dict.fromkeys(self.graph.roots)
        for node, reason in self.reasons.items():
            if reason:
                wanted.update(dict.fromkeys(node.inputs))
        for kernel in reversed(kernels):
            for node in wanted:
                # Literals are at hand everywhere.
                if self.is_computed(node) and not isinstance(node.op, Literal) and self.stage[node] == kernel.number:
                    kernel.give(node)
            wanted.update(dict.fromkeys(kernel.reads))
        found: list[KernelPart | CallPart] = []
        for kernel in kernels:
            if kernel.gives:
                found.append(kernel.part())
            found.extend(
                CallPart(node, reason)
                for node, reason in self.reasons.items()
                if reason and self.stage[node] == kernel.number
            )
        return found

    def is_computed(self, node: Node) -> bool:
        """Whether a kernel computes it."""
        return node not in self.reasons and not isinstance(node.op, Input)


@dataclass(slots=True)
class _Kernel:
    """A kernel that is being put together."""

    split: _Split
    number: int
    builder: Builder = field(default_factory=Builder)
    reads: dict[Node, Node] = field(default_factory=dict)
    gives: dict[Node, Node] = field(default_factory=dict)
    known: dict[Node, Node] = field(default_factory=dict)

    def give(self, node: Node) -> None:
        """Compute a node of this stage."""
        known = self.known
        stack = [node]
        while stack:
            top = stack[-1]
            if top in known:
                stack.pop()
            elif not self._is_here(top):
                known[top] = self.reads[top] = self.builder.input("argument", len(self.reads), top.aval)
            elif missing := [value for value in top.inputs if value not in known]:
                stack.extend(missing)
            else:
                known[top] = self.builder.again(top, tuple(known[value] for value in top.inputs))
        self.gives[node] = known[node]

    def _is_here(self, node: Node) -> bool:
        """Whether this kernel computes the node, perhaps again: what an earlier one had from literals, and views."""
        if not self.split.is_computed(node):
            return False
        view = node.primitive is not None and isinstance(node.primitive.lowering, View)
        return self.split.stage[node] == self.number or node in self.split.fixed or view

    def part(self) -> KernelPart:
        """The kernel as a graph."""
        return KernelPart(
            Graph(tuple(self.reads.values()), tuple(self.gives.values()), ()), tuple(self.reads), tuple(self.gives)
        )
