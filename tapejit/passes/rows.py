"""What is costly and computed once a row, in the bodies of region operations: in a loop of its own.

A function of each sum over a row, next to the loop that sums up, would be computed for one number at a time. Arrays of
bodies are near, as they are used again in each iteration, so that the numbers are better kept for all rows first, and
the function then computed in vectors: a recurrent layer of 32 units takes a third of the time that it takes in lanes.

A matrix times a vector is the exception, where neighbours of the result are next to each other in the matrix: its loop
runs in lanes, without a number that they have to add up together, and whatever is computed of its sums goes along.
"""

from collections.abc import Collection, Iterable
from math import prod

from ..graph import Node
from ..lowering import WORTH_KEEPING
from .access import Choose, Compute, Dot, Fetch, Key
from .keeping import cost_of
from .loops import Leaf, Loop
from .orientation import FEWEST, LARGEST, MOST_TERMS
from .statements import Statement


def in_columns(statement: Statement) -> bool:
    """Whether it is a matrix times a vector, with neighbours of the result next to each other in the matrix."""
    if statement.combine != "add" or len(statement.extents) != 2 or len(statement.reduced) != 1:
        return False
    (summed,) = statement.reduced
    length, terms = statement.extents[1 - summed], statement.extents[summed]
    if length < FEWEST or not 1 < terms <= MOST_TERMS or statement.node.aval.dtype.kind != "f":
        return False
    if any(isinstance(each, (Choose, Dot, Fetch)) for each in statement.values.values()):
        return False
    steps = [dict(load.linear.terms) for load in statement.loads()]
    matrices = [each for each in steps if len(each) == 2]
    small = all(abs(each[summed]) * terms * statement.node.aval.dtype.itemsize <= LARGEST for each in matrices)
    return bool(matrices) and small and all(each.get(1 - summed, 0) in {0, 1} for each in steps)


def arranged(statement: Statement) -> Statement:
    """The statement with its sums inside, where it goes in columns."""
    if in_columns(statement):
        (summed,) = statement.reduced
        statement.order = (1 - summed, summed)
    return statement


def goes_with(loop: Loop, statement: Statement, axis: int, *, innermost: bool) -> bool:
    """Whether a statement may share a loop for an axis, which is its `innermost` one or has others of its inside."""
    if loop.columns or in_columns(statement):
        alike = in_columns(statement) or (innermost and statement.goes_in_lanes(axis))
        return loop.columns and alike
    if innermost:
        return not (_is_costly(statement) and any(isinstance(item, Loop) for item in loop.body))
    return not any(isinstance(item, Leaf) and _is_costly(item.statement) for item in loop.body)


def _is_costly(statement: Statement) -> bool:
    """Whether it computes something costly element by element."""
    return statement.is_plain() and any(
        isinstance(each, Compute) and _is_worth_it(each) for each in statement.values.values()
    )


def costly_in_rows(leaves: Iterable[Leaf], stored: Collection[Node]) -> set[Node]:
    """What is computed next to loops that do not need it at each index, and so has to be stored.

    If it is costly; or whatever it costs if it is what a matrix is multiplied by in lanes, which would all wait for it.
    """
    found: set[Node] = set()
    for leaf in leaves:
        statement = leaf.statement
        cheap = _factors(statement) if in_columns(statement) else ()
        for key, each in statement.values.items():
            if isinstance(each, Compute) and each.node not in stored and (_is_worth_it(each) or key in cheap):
                axes = _axes_of(each)
                length = prod(statement.extents[axis] for axis in axes)
                if 0 < len(axes) < len(statement.extents) and each.node.aval.size <= 2 * length:
                    found.add(each.node)
    return found


def _factors(statement: Statement) -> set[Key]:
    """What is computed along the summed axis alone, and used along both."""
    values = statement.values
    users = [each for each in values.values() if isinstance(each, Compute) and len(_axes_of(each)) == 2]
    operands = {key for user in users for key in user.operands}
    return {key for key in operands if isinstance(each := values[key], Compute) and _axes_of(each) == statement.reduced}


def _axes_of(each: Compute) -> set[int]:
    """The axes along which a value differs, as its index says."""
    return {axis for affine in each.index for axis, _ in affine.terms}


def _is_worth_it(each: Compute) -> bool:
    return cost_of(each.node) >= WORTH_KEEPING
