"""The names that a user's program gives to results: from the lines in which they were computed.

Only for people: what a kernel is called by, and what it computes, never depends on it.
"""

import linecache
import re
from collections.abc import Mapping

from ..graph import Graph, Node
from ..graph.ir import users_of
from ..lowering import View
from ..passes.plan import LoopPlan

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*(?::[^=]+)?=(?!=)")


def with_assigned(graph: Graph, names: Mapping[Node, str]) -> dict[Node, str]:
    """`names`, and for each line of the form ``name = …`` the node that is its value, if there is exactly one.

    Parameters
    ----------
    graph : Graph
        Its nodes know their lines.
    names : mapping of Node to str
        Names that are known already.
    """
    found = dict(names)
    lines: dict[str, list[Node]] = {}
    nodes = graph.nodes()
    users = users_of(nodes)
    for node in nodes:
        if node.primitive is not None and all(user.where != node.where for user in users[node]):
            lines.setdefault(node.where, []).append(node)
    for where, results in lines.items():
        name = _assigned_name(where)
        values = {_behind_views(node) for node in results}
        if name is not None and len(values) == 1:
            found.setdefault(values.pop(), name)
    return found


def with_bodies(plan: LoopPlan, names: Mapping[Node, str]) -> dict[Node, str]:
    """`names`, and those in the bodies of region operations, by which their results are called."""
    found = dict(names)
    for bodies in plan.bodies.values():
        for body in bodies:
            found = with_assigned(body.body.graph, found)
    for leaf, bodies in reversed(list(plan.bodies.items())):  # what is outside comes first
        region = leaf.statement.region
        assert region is not None
        for body in bodies:
            for borrowed in body.body.borrowed:
                if borrowed.source in found:
                    found.setdefault(borrowed.stand_in, found[borrowed.source])
            results = region.results[len(body.carries) :]
            following = dict(body.body.graph.updates)
            for carry, result in zip(body.carries, region.results, strict=False):
                name = found.get(following.get(carry.stand_in, carry.stand_in))
                found.setdefault(carry.stand_in, name or found.get(result) or "carried")
                found.setdefault(result, found[carry.stand_in])
            for output, result in zip(body.outputs, results, strict=False):
                if output in found and output.aval != result.aval:
                    found.setdefault(result, f"{found[output]}_stacked")
    return found


def _behind_views(node: Node) -> Node:
    """What a view of the same line shows: views have no place of their own in a kernel."""
    while (
        node.primitive is not None and isinstance(node.primitive.lowering, View) and node.inputs[0].where == node.where
    ):
        node = node.inputs[0]
    return node


def _assigned_name(where: str) -> str | None:
    """The name on the left of the line ``file:number``."""
    file, _, number = where.rpartition(":")
    if not number.isdigit():
        return None
    line = linecache.getline(file, int(number))
    match = _ASSIGNMENT.match(line)
    return match[1] if match and ";" not in line else None  # the name of one of two statements would be a guess
