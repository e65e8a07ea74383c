"""The loop tree: which statements share which loops.

Statements come in program order. Each goes into the loops that already hold what it needs, outermost axis first, as
deep as it may: an axis can be shared with a loop if everything that the statement reads from inside that loop is read
at the loop's own index and is complete there, which a reduction over that very axis is not. Then values that would be
computed several times at some cost become statements of their own, and the tree is built again.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from ..graph import Graph, Node
from ..lowering import Affine, IndexMap, Pointwise
from .access import Compute, Load
from .statements import Statement, checks_of, copy_statement, necessarily_stored, statement_for

WORTH_KEEPING = 12
"""A value that costs less (in additions) is computed again rather than kept."""


@dataclass(eq=False, slots=True)
class Leaf:
    """A statement at its place; `loops` are those around it, `variable` the loop of each of its axes."""

    statement: Statement
    loops: tuple["Loop", ...]
    variable: tuple["Loop", ...]

    def own_variables(self) -> tuple["Loop | None", ...]:
        """For each axis of the node the loop that runs along it."""
        return tuple(None if axis is None else self.variable[axis] for axis in self.statement.own_axes)

    def in_loops(self, index: IndexMap) -> IndexMap:
        """An index map in terms of loops rather than of the statement's axes, so that those of one body compare."""
        return tuple(
            Affine(part.offset, tuple(sorted((id(self.variable[axis]), c) for axis, c in part.terms))) for part in index
        )

    def position(self, axes: Sequence[int]) -> Affine:
        """Where the statement's element is in a storage that has only `axes` of the node, in terms of loops."""
        variables = self.own_variables()
        position, stride = Affine(), 1
        for axis in reversed(axes):
            loop = variables[axis]
            if loop is not None:
                position = position + Affine.axis(id(loop), stride)
            stride *= self.statement.node.aval.shape[axis]
        return position

    def reduced(self) -> tuple["Loop", ...]:
        """The loops over which the statement combines, outermost first."""
        over = {id(self.variable[axis]) for axis in self.statement.reduced}
        return tuple(loop for loop in self.loops if id(loop) in over)


@dataclass(eq=False, slots=True)
class Loop:
    """A loop and what is in it, in order."""

    extent: int
    body: list["Loop | Leaf"] = field(default_factory=list)


Item = Loop | Leaf


def leaves(items: Sequence[Item]) -> Iterator[Leaf]:
    """All leaves below, in order."""
    stack = list(reversed(items))
    while stack:
        item = stack.pop()
        if isinstance(item, Leaf):
            yield item
        else:
            stack.extend(reversed(item.body))


@dataclass(slots=True)
class Schedule:
    """The tree, and where each stored node is computed."""

    items: list[Item] = field(default_factory=list)
    placed: dict[Node, Leaf] = field(default_factory=dict)

    def add(self, statement: Statement) -> None:
        """Put a statement in its place, after all that came before and that it needs."""
        loads = statement.loads()
        level, path, variable = self.items, [], {}
        remaining = list(statement.order)
        while remaining and statement.check is None:  # a check may leave the kernel, so its loop is its own
            loop = self._shareable(level, statement, loads, remaining[0])
            if loop is None:
                break
            variable[remaining.pop(0)] = loop
            path.append(loop)
            level = loop.body
        for axis in remaining:
            loop = variable[axis] = Loop(statement.extents[axis])
            level.append(loop)
            path.append(loop)
            level = loop.body
        leaf = Leaf(statement, tuple(path), tuple(variable[axis] for axis in range(len(statement.extents))))
        level.append(leaf)
        self.placed[statement.node] = leaf

    def _shareable(self, level: list[Item], statement: Statement, loads: list[Load], axis: int) -> Loop | None:
        """The loop of this level that the statement's axis can join: one with a value it needs, else a shared input."""
        with_input = None
        needed = {load.root for load in loads}
        for item in reversed(level):
            inside = {leaf.statement.node for leaf in leaves([item])}
            checks = any(leaf.statement.check is not None for leaf in leaves([item]))
            fits = isinstance(item, Loop) and item.extent == statement.extents[axis] and not checks
            if fits and self._legal(item, inside, loads, axis):  # type: ignore[arg-type]
                if inside & needed:
                    return item  # type: ignore[return-value]
                if with_input is None and _share_input(item, needed):
                    with_input = item
            if inside & needed or (checks and statement.uses_computed_index()):
                break  # what the statement needs comes no later than it, and so do the checks of its indices
        return with_input  # type: ignore[return-value]

    def _legal(self, loop: Loop, inside: set[Node], loads: list[Load], axis: int) -> bool:
        for load in loads:
            if load.root not in inside:
                continue
            producer = self.placed[load.root]
            if loop in producer.reduced() or load.index is None:
                return False
            along = [position for position, own in enumerate(producer.own_variables()) if own is loop]
            if not along or any(load.index[position] != Affine.axis(axis) for position in along):
                return False
        return True


def _share_input(item: Item, needed: set[Node]) -> bool:
    """Whether the loop reads an array that the statement reads as well."""
    return any(
        load.root in needed and load.root.aval.size > 1 for leaf in leaves([item]) for load in leaf.statement.loads()
    )


def schedule(graph: Graph, copies: Sequence[tuple[Node, Node]]) -> Schedule:
    """The loop tree of a graph.

    Parameters
    ----------
    graph : Graph
        Prepared and lowerable.
    copies : sequence of (Node, Node)
        Additional stored nodes, each with the stored node or literal whose value it takes.
    """
    stored = necessarily_stored(graph)
    while True:
        tree = _built(graph, copies, stored)
        more = _worth_keeping(tree, stored)
        if not more:
            return tree
        stored |= more


def _built(graph: Graph, copies: Sequence[tuple[Node, Node]], stored: Collection[Node]) -> Schedule:
    tree = Schedule()
    inputs = set(graph.inputs)
    checks = checks_of(graph, stored)
    for node in graph.nodes():
        for user, check in checks:
            if user is node:
                tree.add(check)
        if node in stored and node not in inputs:
            tree.add(statement_for(node, stored))
    for target, source in copies:
        tree.add(copy_statement(target, source, stored))
    return tree


def _worth_keeping(tree: Schedule, stored: Collection[Node]) -> set[Node]:
    """Nodes that are expensive and computed more often than they have elements.

    Of a chain of such nodes only the last is returned: once it is kept, the others may be computed once.
    """
    evaluations: dict[Node, set[tuple[int, IndexMap, int]]] = {}
    cost: dict[Node, int] = {}
    below: dict[Node, set[Node]] = {}
    for leaf in leaves(tree.items):
        values = leaf.statement.values
        body = id(leaf.loops[-1]) if leaf.loops else 0
        for (node, index), expression in values.items():
            if not isinstance(expression, Compute):
                continue
            place = (body, leaf.in_loops(index), prod(loop.extent for loop in leaf.loops))
            evaluations.setdefault(node, set()).add(place)
            below.setdefault(node, set()).update(key[0] for key in expression.operands)
            if node not in cost:
                cost[node] = _cost(expression, cost)
    candidates = {
        node
        for node, places in evaluations.items()
        if node not in stored and cost[node] >= WORTH_KEEPING and sum(count for *_, count in places) > node.aval.size
    }
    hidden: set[Node] = set()
    for node in candidates:
        hidden |= _within(node, below) & candidates
    return candidates - hidden or candidates


def _cost(expression: Compute, known: dict[Node, int]) -> int:
    """An upper bound of what a value costs, with all that is computed only for it."""
    primitive = expression.node.primitive
    assert primitive is not None
    assert isinstance(primitive.lowering, Pointwise)
    parts = sum(known.get(node, 0) for node, _ in expression.operands)
    return min(primitive.lowering.cost + parts, 1 << 20)


def _within(node: Node, below: dict[Node, set[Node]]) -> set[Node]:
    """What is computed inline for `node`, itself not included."""
    found: set[Node] = set()
    stack = list(below.get(node, ()))
    while stack:
        inner = stack.pop()
        if inner not in found:
            found.add(inner)
            stack.extend(below.get(inner, ()))
    return found
