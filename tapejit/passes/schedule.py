"""Which statements share which loops, and what comes before what.

Statements come in program order, and each goes into loops that are there already, outermost axis first, as deep as it
may. An axis can be shared with a loop if everything that the statement reads from inside that loop is read at the
loop's own index and is complete there, which a reduction over that very axis is not, and if what else it needs can come
before the loop. Program order is no reason to stand somewhere: each body is a partial order (`after`), and what a
statement needs is moved in front of the loop that it joins. Then values that would be computed several times at some
cost become statements of their own, and the tree is built again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import field

from ..dataclass import dataclass
from ..graph import Graph, Node
from ..lowering import Affine
from .access import Load
from .checks import checks_of
from .keeping import wanted_by_many, worth_keeping
from .loops import Item, Leaf, Loop, item_in, leaves, shared_loops
from .parts import costly_pieces, statements_for
from .rows import arranged, costly_in_rows, goes_with, in_columns
from .statements import Statement, copy_statement, necessarily_stored

CANDIDATES = 4
"""Of the loops that read what a statement reads as well so many are tried, the latest first."""

FARTHEST = 256
"""A statement does not join a loop if more than so many others had to be moved for it."""


@dataclass(slots=True)
class Schedule:
    """The tree, and where each stored node is computed."""

    inside: bool = False
    """Whether it is the body of a region operation."""
    root: Loop = field(default_factory=lambda: Loop(1))
    placed: dict[Node, list[Leaf]] = field(default_factory=dict)
    fallible: list[Leaf] = field(default_factory=list)
    """What may end the kernel: checks of indices, and routines that can fail."""

    @property
    def items(self) -> list[Item]:
        """What is outermost, in order."""
        return self.root.body

    def add(self, statement: Statement) -> None:
        """Put a statement in its place, after all that it needs."""
        loads = statement.loads()
        needs = [leaf for root in dict.fromkeys(load.root for load in loads) for leaf in self.placed.get(root, ())]
        if statement.uses_computed_index():
            needs += self.fallible
        around, variable = [self.root], {}
        remaining = list(statement.order)
        own = 2 if statement.dot is not None else 0  # a product has rows and columns of its own, which others join
        while len(remaining) > own and statement.check is None:  # a check may leave the kernel: its loop is its own
            loop = self._shareable(around, statement, remaining, loads, needs)
            if loop is None:
                break
            variable[remaining.pop(0)] = loop
            around.append(loop)
        for axis in remaining:
            loop = variable[axis] = Loop(statement.extents[axis], alone=statement.check is not None)
            loop.tiled = bool(own) and axis == remaining[-2]
            loop.columns = self.inside and len(around) == 1 and in_columns(statement)
            _append(around[-1], loop)
            around.append(loop)
        leaf = Leaf(statement, tuple(around[1:]), tuple(variable[axis] for axis in range(len(statement.extents))))
        _append(around[-1], leaf)
        self._note(leaf, loads, needs)

    def _note(self, leaf: Leaf, loads: Sequence[Load], needs: Iterable[Leaf]) -> None:
        """Remember what a new leaf stores, reads, and needs."""
        statement = leaf.statement
        for node in statement.results:
            self.placed.setdefault(node, []).append(leaf)
        if statement.may_fail:
            self.fallible.append(leaf)
        for other in needs:
            depth = len(shared_loops(leaf, other))
            item_in(leaf, depth).after.add(item_in(other, depth))
        read = {load.root for load in loads if load.root.aval.size > 1}
        for outer, loop in zip((self.root, *leaf.loops), leaf.loops, strict=False):
            loop.results.update(statement.results)
            for node in read:
                readers = outer.readers.setdefault(node, [])
                if not readers or readers[-1] is not loop:
                    readers.append(loop)

    def _shareable(
        self,
        around: Sequence[Loop],
        statement: Statement,
        remaining: Sequence[int],
        loads: Sequence[Load],
        needs: Sequence[Leaf],
    ) -> Loop | None:
        """The loop of this body that the statement's axis can join: one with a value it needs, else a shared input.

        What reads nothing joins another part of the same value.

        What is computed in tiles, but read by another loop as well, is in memory for that one: there it costs no more.
        """
        body, depth, axis = around[-1], len(around) - 1, remaining[0]
        extent = statement.extents[axis]
        here = {item_in(leaf, depth) for leaf in needs if depth == 0 or leaf.loops[depth - 1 : depth] == (body,)}
        producers = [item for item in here if isinstance(item, Loop)]
        tiled = [loop for loop in producers if loop.tiled]
        roots = dict.fromkeys(load.root for load in loads)
        readers = {root: body.readers.get(root, ())[-CANDIDATES:] for root in roots}
        with_input = {loop for root in roots for loop in readers[root]}
        parts = () if loads else self.placed.get(statement.node, ())
        beside = {item_in(leaf, depth) for leaf in parts if depth == 0 or leaf.loops[depth - 1 : depth] == (body,)}
        with_tiled = {loop for root in roots if any(root in each.results for each in tiled) for loop in readers[root]}
        for loops in (
            [loop for loop in with_tiled if not loop.tiled],
            tiled,
            [loop for loop in producers if not loop.tiled],
            with_input - here,
            [loop for loop in beside if isinstance(loop, Loop) and not loop.tiled],
        ):
            for loop in sorted(loops, key=lambda item: -item.place):
                if loop.extent != extent or loop.alone or not self._aligned(loop, loads, axis):
                    continue
                if self.inside and not goes_with(loop, statement, axis, innermost=len(remaining) == 1):
                    continue
                if loop.tiled and not self._goes_in_tiles(loop, statement, remaining, loads):
                    continue
                if _placed_before(body, here - {loop}, loop):
                    return loop
        return None

    def _goes_in_tiles(self, rows: Loop, statement: Statement, remaining: Sequence[int], loads: Sequence[Load]) -> bool:
        """Whether a statement can share both loops of a product: element by element, or added up over rows."""
        (columns,) = rows.body
        assert isinstance(columns, Loop)
        return (
            len(remaining) == 2
            and columns.extent == statement.extents[remaining[1]]
            and statement.goes_in_lanes(remaining[1])
            and self._aligned(columns, loads, remaining[1])
        )

    def _aligned(self, loop: Loop, loads: Sequence[Load], axis: int) -> bool:
        """Whether all that is read from inside the loop is complete there at the loop's own index."""
        for load in loads:
            if load.root not in loop.results:
                continue
            for producer in self.placed[load.root]:
                if loop not in producer.loops:
                    continue
                if loop in producer.reduced() or load.index is None:
                    return False
                starts = producer.statement.starts_of(load.root)
                along = [place for place, own in enumerate(producer.own_variables(load.root)) if own is loop]
                if not along or any(load.index[place] != Affine.axis(axis, 1, starts[place]) for place in along):
                    return False
        return True

    def prefer_in_place(self, updates: Sequence[tuple[Node, Node]]) -> None:
        """Move what reads a variable, or may fail, before what computes its new value, as far as that can be.

        Parameters
        ----------
        updates : sequence of (Node, Node)
            The variables and the nodes of their new values.
        """
        readers: dict[Node, list[Leaf]] = {variable: [] for variable, _ in updates}
        for leaf in leaves(self.items):
            for root in {load.root for load in leaf.statement.loads()}:
                if root in readers:
                    readers[root].append(leaf)
        pairs = [
            (leaf, writer)
            for variable, target in updates
            for writer in self.placed[target]
            for leaf in (*readers[variable], *(() if self.inside else self.fallible))
            if leaf is not writer
        ]
        # What is in order already shall stay so; then comes what has to be moved.
        for moving in (False, True):
            for leaf, writer in pairs:
                self._prefer(leaf, writer, moving)

    def _prefer(self, first: Leaf, then: Leaf, moving: bool) -> None:
        shared = shared_loops(first, then)
        one, other = (item_in(leaf, len(shared)) for leaf in (first, then))
        if one.place < other.place or (moving and _placed_before(shared[-1] if shared else self.root, {one}, other)):
            other.after.add(one)


def _append(loop: Loop, item: Item) -> None:
    item.place = len(loop.body)
    loop.body.append(item)


def _placed_before(body: Loop, items: Collection[Item], loop: Item) -> bool:
    """Move `items` of a body, with what they need, before `loop`; False if that can't be."""
    moved = {item for item in items if item.place > loop.place}
    stack = list(moved)
    while stack:
        for item in stack.pop().after:
            if item is loop or len(moved) > FARTHEST:
                return False
            if item.place > loop.place and item not in moved:
                moved.add(item)
                stack.append(item)
    if moved:
        region = slice(loop.place, max(item.place for item in moved) + 1)
        part = body.body[region]
        body.body[region] = [item for item in part if item in moved] + [item for item in part if item not in moved]
        for place in range(region.start, region.stop):
            body.body[place].place = place
    return True


def schedule(
    graph: Graph,
    targets: Collection[Node],
    copies: Sequence[tuple[Node, Node]],
    updates: Sequence[tuple[Node, Node]],
    *,
    inside: bool = False,
) -> Schedule:
    """The loop tree of a graph.

    Parameters
    ----------
    graph : Graph
        Prepared and lowerable.
    targets : collection of Node
        What is stored because it leaves the kernel.
    copies : sequence of (Node, Node)
        Additional stored nodes, each with the stored node or literal whose value it takes.
    updates : sequence of (Node, Node)
        The variables and the stored nodes of their new values.
    inside : bool
        Whether it is the body of a region operation: something may fail after updates, and see `rows`.
    """
    order = graph.nodes()
    stored = necessarily_stored(graph, targets)
    stored |= wanted_by_many(order, stored)
    statements: dict[Node, list[Statement]] = {}
    while True:
        tree = _built(graph, order, copies, stored, statements, inside)
        more = costly_pieces(leaves(tree.items), stored) or worth_keeping(order, leaves(tree.items), stored)
        if inside and not more:
            more = costly_in_rows(leaves(tree.items), stored)
        if not more:
            tree.prefer_in_place(updates)
            return tree
        stored |= more
        statements = {
            node: parts for node, parts in statements.items() if not any(part.computes(more) for part in parts)
        }


def _built(
    graph: Graph,
    order: Sequence[Node],
    copies: Sequence[tuple[Node, Node]],
    stored: Collection[Node],
    statements: dict[Node, list[Statement]],
    inside: bool,
) -> Schedule:
    """The tree for what is stored; `statements` has those that are known, and gets the others."""
    tree = Schedule(inside)
    inputs = set(graph.inputs)
    checks: dict[Node, list[Statement]] = {}
    for user, check in checks_of(graph, stored):
        checks.setdefault(user, []).append(check)
    for node in order:
        for check in checks.get(node, ()):
            tree.add(check)
        if node in stored and node not in inputs and node not in tree.placed:
            if node not in statements:
                statements[node] = statements_for(node, stored, inside)
                if inside:
                    statements[node] = [arranged(statement) for statement in statements[node]]
            for statement in statements[node]:
                tree.add(statement)
    for target, source in copies:
        tree.add(copy_statement(target, source, stored))
    return tree
