"""Values that are put together of pieces: each piece is computed where it goes.

A statement that would ask at each index which piece it is in becomes several, one for each part of the index space in
which the answer is the same. Start reading at `statements_for`.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import pairwise

from ..graph import Node
from ..lowering import WORTH_KEEPING, Affine, Pieces, Pointwise, View
from .access import Choose, Compute, Condition, Fetch, Key, Values, operands_of
from .bodies import REGIONS, region_call
from .checks import may_fail
from .keeping import cost_of
from .loops import Leaf
from .statements import Statement, copy_statement, part_statement, statement_for

FEW_PARTS = 3
"""Parts that are made in any case: an array and what is shifted by one place at either end."""

MOST_PARTS = 9
"""Parts that are made so that nothing expensive stands under a condition: a sum of arrays shifted along both axes.

In bodies of region operations parts are made in any case: they are short, and run often. The gradient of Lorenz's
system of 32 equations takes a third of the time."""

FEW_SUMS = 3
"""Sums that ask for each element of an array made of pieces where it is."""

MOST_VALUES = 500
"""Nor are parts made of long statements, unless most of what they compute is for one part only."""


def statements_for(node: Node, stored: Collection[Node], inside: bool) -> list[Statement]:
    """How a stored node that is no input is computed, part by part; `inside` of a body in more parts."""
    if node.primitive is not None and isinstance(node.primitive.lowering, REGIONS):
        return _region_statements(node, stored)
    whole = statement_for(node, stored)
    if node.primitive is None or not isinstance(node.primitive.lowering, (Pointwise, Pieces, View)):
        return [whole]
    done: list[Statement] = []
    rest = [whole]
    most = _most_parts(whole, inside)
    while rest:
        statement = rest.pop()
        axis, cuts = _cuts(statement)
        if not cuts:
            done.append(statement)
            continue
        if len(done) + len(rest) + len(cuts) + 1 > most:
            return [whole]
        starts, lengths = statement.starts_of(node), _lengths(statement)
        borders = [0, *cuts, lengths[axis]]
        arms = _arms_by_begin(statement, axis)
        for low, high in reversed(list(pairwise(borders))):
            part_starts = (*starts[:axis], starts[axis] + low, *starts[axis + 1 :])
            part_lengths = (*lengths[:axis], high - low, *lengths[axis + 1 :])
            rest.append(part_statement(node, part_starts, part_lengths, stored, arms.get(low)))
    done.sort(key=lambda statement: not statement.loads())  # what is only filled goes where the rest is
    total = sum(len(statement.values) for statement in done)
    return done if total <= max(MOST_VALUES, 2 * len(whole.values)) else [whole]


def _region_statements(node: Node, stored: Collection[Node]) -> list[Statement]:
    """The first values of the arrays that a region operation carries on, then the operation."""
    call = region_call(node, stored)
    call = replace(call, may_fail=any(map(may_fail, call.bodies)))
    first = [
        copy_statement(one, value, stored)
        for one, value in zip(call.initial, node.inputs, strict=False)
        if isinstance(one, Node)
    ]
    return [*first, Statement(node, (), (), (), region=call)]


def _arms_by_begin(statement: Statement, axis: int) -> dict[int, Key]:
    """Where along an axis of the node its pieces begin, if it is nothing but pieces; in terms of the node's axes."""
    top = statement.values[statement.value] if statement.value is not None else None
    if not isinstance(top, Choose):
        return {}
    # From axes of the statement to those of the node, which count from where the part begins.
    back: dict[int, Affine] = {}
    for position, (own, start) in enumerate(zip(statement.own_axes, statement.starts_of(statement.node), strict=True)):
        if own is not None:
            back[own] = Affine.axis(position, 1, -start)
    found = {}
    for conditions, (node, index) in top.arms:
        if len(conditions) == 1 and conditions[0][0].terms == ((statement.own_axes[axis], 1),):
            affine, low, _ = conditions[0]
            found[max(low - affine.offset, 0)] = node, tuple(each.substitute(back) for each in index)
    return found


def _most_parts(whole: Statement, inside: bool) -> int:
    choices = [expression for expression in whole.values.values() if isinstance(expression, Choose)]
    most = MOST_PARTS if inside else FEW_PARTS
    if any(_is_costly(arm, whole.values) for choice in choices for arm in choice.operands):
        most = MOST_PARTS
    top = None if whole.value is None else whole.values[whole.value]
    if isinstance(top, Choose) and len(top.arms) > most:
        most = 2 * len(top.arms) + 1  # it is nothing but pieces
    elif isinstance(top, Choose) and len(top.arms) == 1:
        conditions, _ = top.arms[0]
        most = max(most, 2 * len(conditions) + 1)  # what is inside of its padding, and that on either side of each axis
    return most


def _lengths(statement: Statement) -> tuple[int, ...]:
    """The lengths of the part that a statement computes."""
    return tuple(1 if axis is None else statement.extents[axis] for axis in statement.own_axes)


def _cuts(statement: Statement) -> tuple[int, list[int]]:
    """An axis of the node, the outermost there is, and where along it the answers to conditions change."""
    found: dict[int, set[int]] = {}
    for expression in statement.values.values():
        if isinstance(expression, Choose):
            for conditions, _ in expression.arms:
                for condition in conditions:
                    axis, borders = _borders(condition)
                    found.setdefault(axis, set()).update(borders)
    for position, own in enumerate(statement.own_axes):
        if own is not None:
            cuts = sorted(border for border in found.get(own, ()) if 0 < border < statement.extents[own])
            if cuts:
                return position, cuts
    return 0, []


def _borders(condition: Condition) -> tuple[int, tuple[int, ...]]:
    """The axis that a condition is about, and where along it the answer may change; nowhere if it is about several."""
    affine, low, high = condition
    if len(affine.terms) != 1:
        return -1, ()
    ((axis, coefficient),) = affine.terms
    if coefficient > 0:
        return axis, tuple(-((affine.offset - limit) // coefficient) for limit in (low, high))
    return axis, tuple((affine.offset - limit) // -coefficient + 1 for limit in (low, high))


def costly_pieces(leaves: Iterable[Leaf], stored: Collection[Node]) -> set[Node]:
    """What has to be stored because statements that can't be done in parts would compute much under a condition.

    So has what sums ask for at many places, each time where it is: the loops of stored pieces don't.
    """
    more: set[Node] = set()
    asked: Counter[Node] = Counter()
    for leaf in leaves:
        if leaf.statement.reduced:
            choices = (each for each in leaf.statement.values.values() if isinstance(each, Choose))
            asked.update(each.node for each in choices if each.node not in stored)
        for expression in leaf.statement.values.values():
            if not isinstance(expression, Choose):
                continue
            costly = [node for node, index in expression.operands if _is_costly((node, index), leaf.statement.values)]
            joined = expression.node
            nothing_else = sum(value.aval.size for value in joined.inputs) == joined.aval.size
            more.update([joined] if costly and nothing_else and joined not in stored else costly)
    return more | {node for node, count in asked.items() if count > FEW_SUMS}


def _is_costly(wanted: Key, values: Values) -> bool:
    """Whether a value is worth more than a condition; an element at a computed index is no matter for one."""
    cost, stack = 0, [wanted]
    while stack and cost < WORTH_KEEPING:
        expression = values[stack.pop()]
        if isinstance(expression, Fetch):
            return True
        if isinstance(expression, Compute):
            cost += cost_of(expression.node)
        stack.extend(operands_of(expression))
    return cost >= WORTH_KEEPING
