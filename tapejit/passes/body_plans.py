"""Plans of the bodies of region operations: each a loop tree of its own, in the workspace of what holds it.

What a body carries on it writes where it has read it, if every read of an element comes before its write; else the next
values go to a second array, and the two change places. Start reading at `planned_bodies`.
"""

from collections.abc import Mapping
from dataclasses import field, replace

from ..dataclass import dataclass
from ..graph import Input, Node
from ..lowering import SwitchRegion
from .blocks import block_lengths
from .bodies import Body
from .lanes import mark_lanes
from .loops import Item, Leaf, Loop, leaves
from .schedule import Schedule, schedule
from .stages import Stage
from .storage import Place, in_place, padded, places_of, scatters_in_place, storage_axes
from .targets import targets_of, written_early


@dataclass(frozen=True, slots=True)
class Carry:
    """What a body does with one of the values that it carries on.

    Parameters
    ----------
    stand_in : Node
        The value in the body's graph.
    target : Node, optional
        The stored node of its next value; None where it stays as it is.
    spare : Node, optional
        Stands for a second array, where the next value can't be written over it.
    """

    stand_in: Node
    target: Node | None = None
    spare: Node | None = None


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """One body.

    Parameters
    ----------
    body : Body
        What it computes.
    items : tuple of Item
        Its loop tree.
    outputs : tuple of Node
        The stored nodes of its outputs.
    carries : tuple of Carry
        What is carried on.
    """

    body: Body
    items: tuple[Item, ...]
    outputs: tuple[Node, ...]
    carries: tuple[Carry, ...]


@dataclass(slots=True)
class Bodies:
    """All bodies below a loop tree.

    Attributes
    ----------
    bodies : dict of Leaf to tuple of BodyPlan
        By the statements of region operations, at any depth.
    rooms : dict of Leaf to int
        The bytes of workspace that those of the tree itself need.
    leaves : list of Leaf
        The statements of bodies.
    times : dict of Leaf to int
        How often these run, as far as known.
    blocks : dict of Loop to int
        The loops that run in blocks, and how long these are.
    places : dict of Node to Place
        Where their nodes live, once that is settled.
    """

    bodies: dict[Leaf, tuple[BodyPlan, ...]] = field(default_factory=dict)
    rooms: dict[Leaf, int] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    times: dict[Leaf, int] = field(default_factory=dict)
    blocks: dict[Loop, int] = field(default_factory=dict)
    places: dict[Node, Place] = field(default_factory=dict)
    _pending: list[tuple[Node, int, dict[Node, Place]]] = field(default_factory=list)

    def add(self, leaf: Leaf) -> None:
        """Plan the bodies of a region operation."""
        region = leaf.statement.region
        assert region is not None
        plans: list[BodyPlan] = []
        sizes: list[int] = []
        for body in region.bodies:
            planned = _planned(body)
            plans.append(planned.plan)
            self._take(planned, region.times)
            # Of branches only one runs; a body needs what it carries on while its condition runs.
            apart = not isinstance(region.lowering, SwitchRegion)
            self._pending.append((region.room, sum(sizes) if apart else 0, planned.places))
            sizes.append(planned.workspace)
        self.bodies[leaf] = tuple(plans)
        self.rooms[leaf] = max(sizes) if isinstance(region.lowering, SwitchRegion) else sum(sizes)

    def _take(self, planned: "_Planned", times: int) -> None:
        inner = planned.inner
        own = list(leaves(planned.plan.items))
        self.bodies |= inner.bodies
        self.leaves += [*own, *inner.leaves]
        self.times |= {leaf: inner.times.get(leaf, 1) * times for leaf in (*own, *inner.leaves)}
        self.blocks |= planned.blocks | inner.blocks

    def settle(self, places: Mapping[Node, Place]) -> None:
        """Place what bodies store, given where the rooms of the tree's region operations are."""
        for room, offset, own in self._pending:
            begin = places[room].slot + offset
            for node, place in own.items():
                moved = place.kind == "workspace"
                self.places[node] = replace(place, slot=place.slot + begin) if moved else place


def planned_bodies(tree: Schedule) -> Bodies:
    """Plan the bodies of the region operations of a tree, and those within them."""
    found = Bodies()
    for leaf in leaves(tree.items):
        if leaf.statement.region is not None:
            found.add(leaf)
    return found


@dataclass(frozen=True, slots=True)
class _Planned:
    """A body, and where in the body's own workspace its nodes are."""

    plan: BodyPlan
    inner: Bodies
    blocks: dict[Loop, int]
    places: dict[Node, Place]
    workspace: int


def _planned(body: Body) -> _Planned:
    graph = body.graph
    targets, copies = targets_of(graph, apart=False)
    outputs, following = targets[: len(graph.outputs)], targets[len(graph.outputs) :]
    updates = [(variable, target) for (variable, _), target in zip(graph.updates, following, strict=True)]
    tree = schedule(graph, targets, copies, updates, inside=True)
    inner = planned_bodies(tree)
    mark_lanes(tree.items)
    blocks = block_lengths(leaves(tree.items))
    kinds = {node: ("body", position) for position, node in enumerate(targets) if node.aval.shape}
    stages = (Stage(tuple(tree.items)),)
    places, workspace, _ = places_of(tree, storage_axes(tree), kinds, stages, blocks, inner.rooms)
    inner.settle(places)
    places |= inner.places
    for position, node in enumerate(graph.inputs):
        places[node] = Place("body", position, _axes(node))
    fits = [
        fit and not written_early(target)
        for (_, target), fit in zip(updates, in_place(tree, updates, last=False), strict=True)
    ]
    scattered = [scatters_in_place(tree, variable, target) for variable, target in updates]
    found = {
        variable: Carry(variable, target, None if one or other else _spare(variable))
        for (variable, target), one, other in zip(updates, fits, scattered, strict=True)
    }
    for carry in found.values():
        if carry.spare is not None and carry.spare.aval.shape:
            places[carry.spare] = Place("workspace", workspace, _axes(carry.spare))
            workspace += padded(carry.spare.aval.nbytes)
    carries = tuple(found.get(stand_in, Carry(stand_in)) for stand_in in body.carried)
    plan = BodyPlan(body, tuple(tree.items), tuple(outputs), carries)
    return _Planned(plan, inner, blocks, places, workspace)


def _spare(carried: Node) -> Node:
    return Node(Input("spare", 0), (), (), (carried.aval,))


def _axes(node: Node) -> tuple[int, ...]:
    return tuple(range(len(node.aval.shape)))
