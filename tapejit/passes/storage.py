"""Where stored values live: outside, in the workspace, in a row's scratch, or in a local variable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from ..graph import Node
from ..lowering import Affine
from .access import Load, linear_index
from .schedule import Item, Leaf, Loop, Schedule, leaves

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where one stored node lives.

    `kind` is "input", "output", "update", "workspace" or "local"; `slot` the position within inputs, outputs or
    updates, or the byte offset in the workspace. `axes` are the node's axes that the storage has: those whose loops
    enclose producer and all consumers need none.
    """

    kind: str
    slot: int
    axes: tuple[int, ...]

    def linear(self, load: Load) -> Affine:
        """The position of a load in this storage, in terms of the loading statement's axes."""
        shape = load.root.aval.shape
        if all(axis in self.axes or length == 1 for axis, length in enumerate(shape)):
            return load.linear
        assert load.index is not None
        return linear_index(tuple(load.index[axis] for axis in self.axes), tuple(shape[axis] for axis in self.axes))


def places_of(
    tree: Schedule, targets: Mapping[Node, tuple[str, int]], stage_of: Mapping[int, int]
) -> tuple[dict[Node, Place], int]:
    """A place for each node that the tree computes, and the bytes of workspace.

    Parameters
    ----------
    tree : Schedule
        The loop tree.
    targets : mapping
        For nodes that leave the kernel ("output" or "update", position).
    stage_of : mapping
        From ``id(top-level item)`` to its stage: what crosses stages can't be local.
    """
    consumers = _consumers(tree)
    shared: dict[Node, tuple[int, ...]] = {}
    places: dict[Node, Place] = {}
    sizes: dict[Node, int] = {}
    for node, leaf in tree.placed.items():
        if leaf.statement.check is not None:
            continue
        users = consumers.get(node, [])
        every_axis = tuple(range(len(node.aval.shape)))
        if node in targets:
            places[node] = Place(*targets[node], every_axis)
            continue
        axes = _own_storage(leaf, users)
        shared[node] = axes
        crosses = len({stage_of.get(id(_top(other)), 0) for other in (leaf, *users)}) > 1
        if not axes and not crosses:
            places[node] = Place("local", 0, ())
        else:
            sizes[node] = _padded(prod(node.aval.shape[a] for a in axes) * node.aval.dtype.itemsize)
    offsets, total = _packed(tree, sizes, consumers)
    for node, offset in offsets.items():
        places[node] = Place("workspace", offset, shared[node])
    return places, total


def _top(leaf: Leaf) -> Item:
    return leaf.loops[0] if leaf.loops else leaf


def _consumers(tree: Schedule) -> dict[Node, list[Leaf]]:
    found: dict[Node, list[Leaf]] = {}
    for leaf in leaves(tree.items):
        for load in leaf.statement.loads():
            users = found.setdefault(load.root, [])
            if leaf not in users:
                users.append(leaf)
    return found


def _own_storage(leaf: Leaf, users: Sequence[Leaf]) -> tuple[int, ...]:
    """The node's axes that need storage: those whose loop does not enclose all users at the same index."""
    common = list(leaf.loops)
    for user in users:
        common = [loop for loop, other in zip(common, user.loops, strict=False) if loop is other]
    reduced = leaf.reduced()
    if reduced:
        # An accumulator outlives the loops over which it combines.
        common = common[: leaf.loops.index(reduced[0])]
    inside = {id(loop) for loop in common}
    variables = leaf.own_variables()
    shape = leaf.statement.node.aval.shape
    return tuple(
        axis
        for axis, loop in enumerate(variables)
        if (id(loop) not in inside if loop is not None else shape[axis] != 1)
    )


def _packed(
    tree: Schedule, sizes: Mapping[Node, int], consumers: Mapping[Node, Sequence[Leaf]]
) -> tuple[dict[Node, int], int]:
    """Offsets in the workspace; a buffer whose last reader is done serves again (first fit)."""
    position = {id(item): number for number, item in enumerate(tree.items)}
    spans = {}
    for node in sizes:
        leaf = tree.placed[node]
        ends = [position[id(_top(user))] for user in consumers.get(node, ())]
        spans[node] = (position[id(_top(leaf))], max(ends, default=position[id(_top(leaf))]))
    offsets: dict[Node, int] = {}
    total = 0
    for node, size in sizes.items():
        first, last = spans[node]
        taken = sorted(
            (offsets[other], offsets[other] + sizes[other])
            for other in offsets
            if not (spans[other][1] < first or last < spans[other][0])
        )
        offset = 0
        for low, high in taken:
            if offset + size <= low:
                break
            offset = max(offset, high)
        offsets[node] = offset
        total = max(total, offset + size)
    return offsets, total


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def in_place(tree: Schedule, variable: Node, target: Node) -> bool:
    """Whether the variable's own buffer may take its new value: if every read of an element comes before its write."""
    order = {id(leaf): number for number, leaf in enumerate(leaves(tree.items))}
    writer = tree.placed[target]
    checks = [leaf for leaf in tree.placed.values() if leaf.statement.check is not None]
    if any(order[id(check)] > order[id(writer)] or _shared(check, writer) for check in checks):
        return False  # a step that fails must leave the variable as it was
    return all(
        order[id(leaf)] <= order[id(writer)] and _reads_own_part(load, leaf, writer)
        for leaf in leaves(tree.items)
        for load in leaf.statement.loads()
        if load.root is variable
    )


def _shared(left: Leaf, right: Leaf) -> list[Loop]:
    """The loops around both."""
    return [loop for loop, other in zip(left.loops, right.loops, strict=False) if loop is other]


def _reads_own_part(load: Load, leaf: Leaf, writer: Leaf) -> bool:
    """Whether an iteration of the shared loops reads only what the same iteration writes, and no other one."""
    shared = _shared(leaf, writer)
    if not shared:
        return True
    if load.index is None:
        return False
    index = leaf.in_loops(load.index)
    axes = writer.own_variables()
    return all(loop in axes and index[axes.index(loop)] == Affine.axis(id(loop)) for loop in shared)
