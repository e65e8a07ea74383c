"""Which values are worth keeping rather than computing again where they are wanted.

Both questions are answered by one walk from the results to the inputs, so that of a chain of such values the last one
is kept first, and what it is made of counts as computed once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import field
from typing import Any

from ..dataclass import dataclass
from ..graph import Literal, Node
from ..lowering import WORTH_KEEPING, Pieces, Pointwise, View
from .access import Compute, Fetch, operands_of
from .loops import Leaf

MANY = 8
"""A value that so many others want, or one at so many places, is kept before anything is planned."""

_MOST = 1 << 20

Inlined = Compute | Fetch
"""What is computed where it is wanted."""


@dataclass(slots=True)
class _Demand:
    """Where the statements of a tree compute a node."""

    cost: int
    wanted: list[tuple[Node | None, Any, Any]] = field(default_factory=list)
    """Who wants it (None for the statement itself), where that is computed, and where it is wanted."""


def worth_keeping(order: Sequence[Node], leaves: Iterable[Leaf], stored: Collection[Node]) -> set[Node]:
    """Nodes that are expensive and computed more often than they have elements.

    Parameters
    ----------
    order : sequence of Node
        All nodes, inputs before their users.
    leaves : iterable of Leaf
        The statements of a tree.
    stored : collection of Node
        What is stored in it.
    """
    demands = _demands(leaves)
    kept: set[Node] = set()
    live: dict[Node, dict[Any, int]] = {}
    for node in reversed(order):
        demand = demands.get(node)
        if demand is None:
            continue
        places = live[node] = {}
        first: dict[Node, Any] = {}
        for user, at, (place, count) in demand.wanted:
            if user is None or user in stored:
                places[place] = count
            elif user in kept:
                # It will be computed once, with what it wants at one of its places.
                if first.setdefault(user, at) == at:
                    places[user, place] = user.aval.size
            elif at in live[user]:
                places[place] = count
        if node not in stored and demand.cost >= WORTH_KEEPING and sum(places.values()) > node.aval.size:
            kept.add(node)
    return kept


def _demands(leaves: Iterable[Leaf]) -> dict[Node, _Demand]:
    demands: dict[Node, _Demand] = {}
    cost: dict[Node, int] = {}
    for leaf in leaves:
        statement = leaf.statement
        body, count = (id(leaf.loops[-1]), 1) if leaf.loops else (0, 1)
        for loop in leaf.loops:
            count *= loop.extent
        at = {key: (body, leaf.in_loops(key[1])) for key, each in statement.values.items() if isinstance(each, Inlined)}
        for (node, _), expression in statement.values.items():
            if isinstance(expression, Inlined) and node not in demands:
                if isinstance(expression, Fetch):
                    # Where elements are at computed indices a loop can't run in lanes; what needs one isn't costly.
                    cost[node], demands[node] = 0, _Demand(WORTH_KEEPING)
                    continue
                cost[node] = cost_of(expression.node, [cost.get(operand, 0) for operand, _ in expression.operands])
                demands[node] = _Demand(cost[node])
        for key in statement.wanted():
            if key in at:
                demands[key[0]].wanted.append((None, None, (at[key], count)))
        for key, expression in statement.values.items():
            user = key[0] if key in at else None
            for operand in operands_of(expression):
                if operand in at:
                    demands[operand[0]].wanted.append((user, at.get(key), (at[operand], count)))
    return demands


def cost_of(node: Node, operands: Iterable[int] = ()) -> int:
    """What a value costs with what its operands cost: an upper bound, as they may be computed for others as well."""
    lowering = None if node.primitive is None else node.primitive.lowering
    return min((lowering.cost if isinstance(lowering, Pointwise) else 0) + sum(operands), _MOST)


def wanted_by_many(order: Sequence[Node], stored: Collection[Node]) -> set[Node]:
    """Nodes that cost something and that many stored values would compute again, or one through many views.

    What a tree would show as well, but only after it was computed everywhere; chains of sums would make that long.
    """
    cost: dict[Node, int] = {}
    for node in order:
        inline = not (node in stored or isinstance(node.op, Literal))
        cost[node] = cost_of(node, [cost[value] for value in node.inputs]) if inline else 0
    wanted: dict[Node, set[Any]] = {}
    kept: set[Node] = set()
    for node in reversed(order):
        ways = wanted.pop(node, set())
        if node in stored:
            ways = {node}
        elif len(ways) >= MANY and cost[node] >= WORTH_KEEPING:
            kept.add(node)
            ways = {node}
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, (View, Pieces)):
            ways = {hash((node, way)) for way in ways}
        for value in node.inputs:
            if cost[value]:
                wanted.setdefault(value, set()).update(ways)
    return kept
