"""`LoopPlan`: all that emission needs, and the one function that makes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..graph import Graph, Input, Literal, Node
from ..lowering import Contraction, Reduction, Scatter
from .schedule import Item, Leaf, Loop, leaves, schedule
from .statements import check_lowerable
from .storage import Place, in_place, places_of

SPLIT_WORK = 1 << 16
"""Top-level loops with at least this many iterations in all are stages of their own, which threads may split."""

BLOCK = 1024
"""Reductions over more terms than this run in blocks of as many, whose results are combined pairwise."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Top-level items that run together; `split` is the loop that [lo, hi) applies to, None for a serial stage."""

    items: tuple[Item, ...]
    split: Loop | None


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """A kernel before it is text.

    Parameters
    ----------
    graph : Graph
        What it computes.
    stages : tuple of Stage
        The loop tree.
    placed : mapping of Node to Leaf
        Where each stored node is computed.
    places : mapping of Node to Place
        Where each stored node lives.
    targets : tuple of Node
        The stored nodes of the outputs, then those of the updates.
    in_place : tuple of bool
        For each update whether it may be written to the variable's own buffer.
    workspace : int
        Bytes of the buffers between loops, partial results of blocked reductions not included.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    placed: dict[Node, Leaf]
    places: dict[Node, Place]
    targets: tuple[Node, ...]
    in_place: tuple[bool, ...]
    workspace: int

    def loop_nests(self) -> int:
        """Number of outermost loops."""
        return sum(isinstance(item, Loop) for stage in self.stages for item in stage.items)

    def matrix_products(self) -> int:
        """Number of calls of the BLAS library in the text."""
        return sum(leaf.statement.product is not None for leaf in self.placed.values())


def plan_loops(graph: Graph) -> LoopPlan:
    """Plan a prepared graph.

    Raises
    ------
    statements.NotLowerableError
        If an operation has no lowering.
    """
    check_lowerable(graph)
    targets, copies = _targets(graph)
    tree = schedule(graph, copies)
    stages = _stages(tree.items)
    stage_of = {id(item): number for number, stage in enumerate(stages) for item in stage.items}
    kinds = {node: _target_slot(graph, position) for position, node in enumerate(targets)}
    places, workspace = places_of(tree, kinds, stage_of)
    for position, node in enumerate(graph.inputs):
        places[node] = Place("input", position, tuple(range(len(node.aval.shape))))
    updated = targets[len(graph.outputs) :]
    fits = tuple(in_place(tree, variable, target) for (variable, _), target in zip(graph.updates, updated, strict=True))
    return LoopPlan(graph, stages, tree.placed, places, tuple(targets), fits, workspace)


def _target_slot(graph: Graph, position: int) -> tuple[str, int]:
    count = len(graph.outputs)
    return ("output", position) if position < count else ("update", position - count)


def _targets(graph: Graph) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """The stored node of each output and update; what can't be computed in place there is copied at the end."""
    targets: list[Node] = []
    copies: list[tuple[Node, Node]] = []
    for position, node in enumerate(graph.roots):
        updates = position >= len(graph.outputs)
        lowering = None if node.primitive is None else node.primitive.lowering
        accumulates = updates and isinstance(lowering, (Reduction, Contraction, Scatter))
        if isinstance(node.op, (Input, Literal)) or node in targets or accumulates:
            target = Node(Input("copy", position), (), (), (node.aval,))
            copies.append((target, node))
            targets.append(target)
        else:
            targets.append(node)
    return targets, copies


def _stages(items: Sequence[Item]) -> tuple[Stage, ...]:
    """Large loops by themselves, everything else with its neighbours."""
    stages: list[Stage] = []
    pending: list[Item] = []
    for item in items:
        if isinstance(item, Loop) and _splittable(item):
            if pending:
                stages.append(Stage(tuple(pending), None))
                pending = []
            stages.append(Stage((item,), item))
        else:
            pending.append(item)
    if pending or not stages:
        stages.append(Stage(tuple(pending), None))
    return tuple(stages)


def _splittable(loop: Loop) -> bool:
    """Whether parts of the loop may run side by side: large, and each part keeps its results to itself."""
    total = max((prod(inner.extent for inner in leaf.loops) for leaf in leaves([loop])), default=0)
    if total < SPLIT_WORK:
        return False
    sequential = any(
        loop in leaf.reduced() or leaf.statement.scanned is not None or leaf.statement.check is not None
        for leaf in leaves([loop])
    )
    return not sequential and _no_shared_scratch(loop)


def _no_shared_scratch(loop: Loop) -> bool:
    """Whether the loop holds no inner loops, whose row scratch the parts would share."""
    return all(isinstance(item, Leaf) for item in loop.body)
