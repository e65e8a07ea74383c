"""`LoopPlan`: all that emission needs, and the one function that makes it."""

from collections.abc import Iterator, Mapping, Sequence

from ..dataclass import dataclass
from ..graph import Graph, Node
from ..lowering import SwitchRegion
from .blocks import block_lengths, blocked, holds_partials, row_axes
from .body_plans import BodyPlan, planned_bodies
from .lanes import mark_lanes
from .loops import Item, Leaf, Loop, leaves
from .schedule import schedule
from .split import check_lowerable
from .stages import Stage, find_split, stages_of
from .storage import Place, in_place, places_of, storage_axes, users_of
from .targets import targets_of


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """A kernel before it is text.

    Parameters
    ----------
    graph : Graph
        What it computes.
    stages : tuple of Stage
        The loop tree.
    leaves : tuple of Leaf
        All statements at their places, in order.
    blocks : mapping of Loop to int
        The loops that run in blocks, and how long these are.
    places : mapping of Node to Place
        Where each stored node lives.
    targets : tuple of Node
        The stored nodes of the outputs, then those of the updates.
    in_place : tuple of bool
        For each update whether it may be written to the variable's own buffer.
    workspace : int
        Bytes of the buffers between loops, scratch of single statements not included.
    scratch : int
        Bytes of the buffers within split loops, of which each part has its own.
    bodies : mapping of Leaf to tuple of BodyPlan
        The regions of operations, those within others included; their statements and places are among the plan's.
    times : mapping of Leaf to int
        How often the statements of bodies run, where that is known.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    leaves: tuple[Leaf, ...]
    blocks: dict[Loop, int]
    places: dict[Node, Place]
    targets: tuple[Node, ...]
    in_place: tuple[bool, ...]
    workspace: int
    scratch: int
    bodies: Mapping[Leaf, tuple[BodyPlan, ...]]
    times: Mapping[Leaf, int]

    def loop_nests(self) -> int:
        """Number of outermost loops but for those that only fill, or are nothing but a matrix product.

        What fills: accumulators that get their first value, and padding.
        """
        moves = {
            (loop, tuple(leaf.statement.node.aval.shape[axis] for axis in row_axes(leaf, loop)))
            for leaf in self.leaves
            for loop in leaf.loops[:1]
            if loop in self.blocks and loop in leaf.reduced()[:1] and self._leaves_the_workspace(leaf, loop)
        }
        bare = (item for items in self._outermost() for item in items if isinstance(item, Loop))
        return (
            len(moves)
            + self._region_loops()
            + sum(
                not all(leaf.statement.only_fills() or _is_bare(leaf, item) for leaf in leaves([item])) for item in bare
            )
        )

    def _outermost(self) -> Iterator[Sequence[Item]]:
        """What stands outside of loops, in the plan and in each body."""
        yield from (stage.items for stage in self.stages)
        yield from (body.items for bodies in self.bodies.values() for body in bodies)

    def _region_loops(self) -> int:
        """The loops of region operations themselves."""
        regions = (leaf.statement.region for leaf in self.bodies)
        return sum(region is not None and not isinstance(region.lowering, SwitchRegion) for region in regions)

    def _leaves_the_workspace(self, leaf: Leaf, loop: Loop) -> bool:
        """Whether rows that blocks of `loop` leave are not where the result is to be."""
        place = self.places[leaf.statement.node]
        return blocked(leaf, loop) and bool(row_axes(leaf, loop)) and not holds_partials(leaf, place.kind, place.axes)

    def calls(self) -> list[Leaf]:
        """The calls of routines."""
        return [leaf for leaf in self.leaves if leaf.statement.call is not None]

    def matrix_products(self) -> int:
        """Number of matrix products in the text, in tiles or by the BLAS library."""
        return sum(leaf.statement.product is not None or leaf.statement.dot is not None for leaf in self.leaves)


def _is_bare(leaf: Leaf, item: Loop) -> bool:
    """Whether an outermost loop goes over the rows of a matrix product, with which nothing else goes."""
    return leaf.statement.dot is not None and item.tiled and len(leaf.loops[-1].body) == 1


def plan_loops(graph: Graph) -> LoopPlan:
    """Plan a prepared graph.

    Raises
    ------
    split.NotLowerableError
        If an operation has no lowering.
    """
    check_lowerable(graph)
    targets, copies = targets_of(graph, apart=True)
    variables = [variable for variable, _ in graph.updates]
    updates = list(zip(variables, targets[len(graph.outputs) :], strict=True))
    tree = schedule(graph, targets, copies, updates)
    inner = planned_bodies(tree)
    mark_lanes(tree.items)
    axes = storage_axes(tree)
    works = find_split(tree.items, axes, users_of(tree))
    blocks = block_lengths(leaves(tree.items))
    stages = stages_of(tree.items, works, blocks)
    kinds = {node: _target_slot(graph, position) for position, node in enumerate(targets)}
    places, workspace, scratch = places_of(tree, axes, kinds, stages, blocks, inner.rooms)
    for position, node in enumerate(graph.inputs):
        places[node] = Place("input", position, tuple(range(len(node.aval.shape))))
    inner.settle(places)
    return LoopPlan(
        graph,
        stages,
        (*leaves(tree.items), *inner.leaves),
        blocks | inner.blocks,
        places | inner.places,
        tuple(targets),
        in_place(tree, updates),
        workspace,
        scratch,
        inner.bodies,
        inner.times,
    )


def _target_slot(graph: Graph, position: int) -> tuple[str, int]:
    count = len(graph.outputs)
    return ("output", position) if position < count else ("update", position - count)
