"""Where stored values live: outside, in the workspace, in a row's scratch, or in a local variable."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod

import numpy as np

from ..aval import Shape
from ..dataclass import dataclass
from ..graph import Node
from ..lowering import Affine, Scatter
from .access import Fetch, Load, linear_index
from .blocks import blocks_of, holds_partials
from .loops import Leaf, Loop, item_in, leaves, shared_loops
from .schedule import Schedule
from .stages import Stage, stored_along

ALIGNMENT = 64

_Span = tuple[int, int]  # the first and the last outermost item that write or read a node


@dataclass(frozen=True, slots=True)
class Place:
    """Where one stored node lives.

    `kind` is "input", "output", "update", "workspace" or "local"; `slot` the position within inputs, outputs or
    updates, or the byte offset in the workspace. `axes` are the node's axes that the storage has: those whose loops
    enclose producer and all consumers need none. What is `private` is in the scratch of one part of a split loop.
    """

    kind: str
    slot: int
    axes: tuple[int, ...]
    private: bool = False

    def linear(self, load: Load) -> Affine:
        """The position of a load in this storage, in terms of the loading statement's axes."""
        shape = load.root.aval.shape
        if all(axis in self.axes or length == 1 for axis, length in enumerate(shape)):
            return load.linear
        assert load.index is not None
        return linear_index(tuple(load.index[axis] for axis in self.axes), tuple(shape[axis] for axis in self.axes))


def storage_axes(tree: Schedule) -> dict[Node, tuple[int, ...]]:
    """For each node that the tree computes its axes that need storage."""
    consumers = _consumers(list(leaves(tree.items)))
    return {
        node: _own_storage(node, producers, consumers.get(node, ()))
        for node, producers in tree.placed.items()
        if producers[0].statement.check is None
    }


def users_of(tree: Schedule) -> dict[Node, list[Leaf]]:
    """The statements that read each node."""
    return _consumers(list(leaves(tree.items)))


def places_of(
    tree: Schedule,
    axes: Mapping[Node, tuple[int, ...]],
    targets: Mapping[Node, tuple[str, int]],
    stages: Sequence[Stage],
    blocks: Mapping[Loop, int],
    rooms: Mapping[Leaf, int],
) -> tuple[dict[Node, Place], int, int]:
    """A place for each node that the tree computes, and the bytes of workspace and of scratch.

    What a region operation carries on has its first value where it has its last one. The workspace of its bodies is
    where the node is that stands for it, `RegionCall.room`.

    Parameters
    ----------
    tree : Schedule
        The loop tree.
    axes : mapping of Node to tuple of int
        The axes that need storage.
    targets : mapping
        For nodes that leave the kernel ("output" or "update", position).
    stages : sequence of Stage
        What crosses stages can't be local; within a split loop each part has buffers of its own.
    blocks : mapping of Loop to int
        The loops that run in blocks, and how long these are.
    rooms : mapping of Leaf to int
        The region operations, and how many bytes of workspace their bodies need.
    """
    every = list(leaves(tree.items))
    first = {result: one for leaf in rooms for one, result in _carries(leaf)}  # which share their memory
    consumers = _consumers(every)
    stage_of = {id(item): number for number, stage in enumerate(stages) for item in stage.items}
    split = {stage.split for stage in stages if stage.split is not None}
    by_address = {node for leaf in every for node in leaf.statement.by_address()}
    places: dict[Node, Place] = {}
    sizes: dict[Node, int] = {}
    spans: dict[Node, _Span] = {}
    begun = set(first.values())
    for node in (node for node in axes if node not in begun):
        around = (*tree.placed[node], *tree.placed.get(first.get(node, node), ()), *consumers.get(node, ()))
        crosses = len({stage_of[id(item_in(leaf, 0))] for leaf in around}) > 1
        if node in targets:
            places[node] = Place(*targets[node], tuple(range(len(node.aval.shape))))
        elif not axes[node] and not crosses and node not in by_address:
            places[node] = Place("local", 0, ())
        else:
            sizes[node] = _size(node, axes[node], tree.placed[node][0], blocks)
            used = [item_in(leaf, 0).place for leaf in around]
            spans[node] = min(used), max(used)
    private = {node for node in sizes if _is_private(node, tree.placed[node][0], consumers.get(node, ()), axes, split)}
    totals = []
    for chosen in (sizes.keys() - private, private):
        own_sizes = {node: size for node, size in sizes.items() if node in chosen}
        own_spans = {node: spans[node] for node in own_sizes}
        successions = _successions(tree, axes, own_spans, consumers)
        if chosen is not private:
            own_sizes |= {_room(leaf): size for leaf, size in rooms.items()}
            own_spans |= {_room(leaf): (leaf.place, leaf.place) for leaf in rooms}
        offsets, total = _packed(own_sizes, own_spans, successions)
        for node, offset in offsets.items():
            places[node] = Place("workspace", offset, axes.get(node, ()), node in private)
        totals.append(total)
    return places | {one: places[result] for result, one in first.items()}, totals[0], totals[1]


def _size(node: Node, axes: tuple[int, ...], producer: Leaf, blocks: Mapping[Loop, int]) -> int:
    """The bytes of a buffer for these axes of a node, and for the partial results of blocks where it holds them."""
    count = prod(node.aval.shape[axis] for axis in axes)
    if holds_partials(producer, "workspace", axes):
        loop = producer.reduced()[0]
        count *= blocks_of(loop, blocks[loop])
    return padded(count * node.aval.dtype.itemsize)


def _carries(leaf: Leaf) -> list[tuple[Node, Node]]:
    return [] if leaf.statement.region is None else leaf.statement.region.carries()


def _room(leaf: Leaf) -> Node:
    assert leaf.statement.region is not None
    return leaf.statement.region.room


def _is_private(
    node: Node, producer: Leaf, users: Sequence[Leaf], axes: Mapping[Node, tuple[int, ...]], split: Collection[Loop]
) -> bool:
    """Whether a node's storage serves one iteration of a split loop after the other."""
    loop = item_in(producer, 0)
    if loop not in split or loop in producer.reduced() or loop in stored_along(producer, node, axes[node]):
        return False
    return all(item_in(user, 0) is loop for user in users)


def _consumers(every: Sequence[Leaf]) -> dict[Node, list[Leaf]]:
    found: dict[Node, list[Leaf]] = {}
    for leaf in every:
        for root in dict.fromkeys(load.root for load in leaf.statement.loads()):
            found.setdefault(root, []).append(leaf)
    return found


def _own_storage(node: Node, producers: Sequence[Leaf], users: Sequence[Leaf]) -> tuple[int, ...]:
    """The node's axes that need storage: those whose loop does not enclose all users at the same index."""
    first = producers[0]
    common = list(first.loops)
    for leaf in (*producers[1:], *users):
        common = common[: len(shared_loops(first, leaf))]
    reduced = first.reduced()
    if reduced:
        # An accumulator outlives the loops over which it combines.
        common = common[: first.loops.index(reduced[0])]
    inside = {id(loop) for loop in common}
    variables = first.own_variables(node)
    shape = node.aval.shape
    return tuple(
        axis
        for axis, loop in enumerate(variables)
        # What is computed in parts goes along an axis in several loops, or not with the whole of one.
        if (id(loop) not in inside or loop.extent != shape[axis] if loop is not None else shape[axis] != 1)
    )


def _successions(
    tree: Schedule,
    axes: Mapping[Node, tuple[int, ...]],
    spans: Mapping[Node, _Span],
    consumers: Mapping[Node, Sequence[Leaf]],
) -> dict[Node, Node]:
    """For nodes that may take the buffer of another one, element by element, that one: it is read for the last time.

    The outermost item that computes the new node reads the old one's elements before it writes them, each iteration
    its own, and did not compute them.
    """
    order = _positions(leaves(tree.items))
    whole = [node for node in spans if len(axes[node]) == sum(length != 1 for length in node.aval.shape)]
    ending: dict[tuple[int, Shape, np.dtype], list[Node]] = {}
    for node in whole:
        computed, ended = max(item_in(leaf, 0).place for leaf in tree.placed[node]), spans[node][1]
        if computed < ended:
            ending.setdefault((ended, node.aval.shape, node.aval.dtype), []).append(node)
    found: dict[Node, Node] = {}
    for node in whole:
        candidates = ending.get((spans[node][0], node.aval.shape, node.aval.dtype), [])
        writers = tree.placed[node]
        item = item_in(writers[0], 0)
        if not all(writer.statement.is_plain() and item_in(writer, 0) is item for writer in writers):
            continue
        for old in candidates:
            here = [leaf for leaf in consumers[old] if item_in(leaf, 0) is item]
            if all(leaf.statement.is_plain() or leaf.statement.reduced for leaf in here) and all(
                _is_read_before(old, here, writer, order) for writer in writers
            ):
                found[node] = old
                candidates.remove(old)
                break
    return found


def _packed(
    sizes: Mapping[Node, int], spans: Mapping[Node, _Span], successions: Mapping[Node, Node]
) -> tuple[dict[Node, int], int]:
    """Offsets in the workspace, the largest buffers first; one whose last reader is done serves again."""
    first = {}  # of those that share a buffer
    for node in sizes:
        first[node] = node
        while first[node] in successions:
            first[node] = successions[first[node]]
    numbers = {node: number for number, node in enumerate(dict.fromkeys(first.values()))}
    taken = np.full((len(numbers), 2), (np.iinfo(np.int64).max, -1))
    for node, (begun, ended) in spans.items():
        span = taken[numbers[first[node]]]
        span[:] = min(span[0], begun), max(span[1], ended)
    lengths = np.array([sizes[node] for node in numbers], np.int64)
    order = np.argsort(-lengths, kind="stable")
    begins, ends = np.zeros_like(lengths), np.zeros_like(lengths)
    for count, number in enumerate(order):
        placed = order[:count]
        meets = placed[(taken[placed, 0] <= taken[number, 1]) & (taken[number, 0] <= taken[placed, 1])]
        meets = meets[np.argsort(begins[meets], kind="stable")]
        free = np.concatenate(([0], np.maximum.accumulate(ends[meets])))  # from where on, behind each of them
        fits = begins[meets] - free[:-1] >= lengths[number]
        begins[number] = free[int(np.argmax(fits)) if fits.any() else -1]
        ends[number] = begins[number] + lengths[number]
    offsets = begins.tolist()
    return {node: offsets[numbers[first[node]]] for node in sizes}, int(ends.max(initial=0))


def padded(size: int) -> int:
    """Bytes that a buffer takes."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def in_place(tree: Schedule, updates: Sequence[tuple[Node, Node]], last: bool = True) -> tuple[bool, ...]:
    """For each update whether the variable's own buffer may take its new value.

    It may if every read of an element comes before its write, and if it is the `last` that happens, all that may fail
    as well: a step that fails must leave the variable as it was.

    Parameters
    ----------
    tree : Schedule
        The loop tree.
    updates : sequence of (Node, Node)
        The variables and the stored nodes of their new values.
    """
    every = list(leaves(tree.items))
    order = _positions(every)
    readers = _consumers(every)

    def fits(variable: Node, writer: Leaf) -> bool:
        if last and any(order[id(leaf)] > order[id(writer)] or shared_loops(leaf, writer) for leaf in tree.fallible):
            return False
        return _is_read_before(variable, readers.get(variable, ()), writer, order)

    return tuple(all(fits(variable, writer) for writer in tree.placed[target]) for variable, target in updates)


def scatters_in_place(tree: Schedule, old: Node, target: Node) -> bool:
    """Whether what is written at computed indices of an array may be written there, and not to a copy of it.

    It may if all that reads the array is done. What is written at one index only is computed before.
    """
    lowering = None if target.primitive is None else target.primitive.lowering
    if not isinstance(lowering, Scatter) or target.inputs[0] is not old:
        return False
    (writer,) = tree.placed[target]
    every = list(leaves(tree.items))
    order = _positions(every)
    readers = [leaf for leaf in _consumers(every).get(old, ()) if leaf is not writer]
    if any(order[id(leaf)] > order[id(writer)] or shared_loops(leaf, writer) for leaf in readers):
        return False
    values = writer.statement.values.values()
    return not writer.loops or not any(isinstance(each, (Fetch, Load)) and each.root is old for each in values)


def _positions(every: Iterable[Leaf]) -> dict[int, int]:
    """Where each leaf stands among all, by ``id(leaf)``."""
    return {id(leaf): number for number, leaf in enumerate(every)}


def _is_read_before(node: Node, readers: Iterable[Leaf], writer: Leaf, order: Mapping[int, int]) -> bool:
    """Whether what is written in a node's place comes after every read of the element that it overwrites."""
    return all(
        (order[id(leaf)] <= order[id(writer)] and _reads_own_part(load, leaf, writer))
        or _reads_other_part(load, leaf, writer)
        for leaf in readers
        for load in leaf.statement.loads()
        if load.root is node
    )


def _reads_other_part(load: Load, leaf: Leaf, writer: Leaf) -> bool:
    """Whether what is read lies beside what a statement writes that computes a part of a node."""
    extents = leaf.statement.extents
    if load.index is None or not writer.statement.is_plain():
        return False
    if any(axis >= len(extents) for affine in load.index for axis, _ in affine.terms):
        return False  # a matrix as a whole
    starts, own = writer.statement.starts_of(writer.statement.node), writer.own_variables()
    for affine, start, loop in zip(load.index, starts, own, strict=True):
        first = last = affine.offset
        for axis, factor in affine.terms:
            reach = factor * (extents[axis] - 1)
            first, last = first + min(reach, 0), last + max(reach, 0)
        if last < start or first >= start + (1 if loop is None else loop.extent):
            return True
    return False


def _reads_own_part(load: Load, leaf: Leaf, writer: Leaf) -> bool:
    """Whether an iteration of the shared loops reads only what the same iteration writes, and no other one."""
    shared = shared_loops(leaf, writer)
    if not shared:
        return True
    if load.index is None:
        return False
    index, own, axes = leaf.in_loops(load.index), writer.own_index(), writer.own_variables()
    return all(loop in axes and index[axes.index(loop)] == own[axes.index(loop)] for loop in shared)
