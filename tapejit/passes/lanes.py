"""Which loops run in lanes: several iterations at once, each in a lane of vectors, with short loops inside.

A row of ten elements does not fill a vector, and what is computed once for a row fills none. So where rows are short
and functions such as `exp` are called, the loop over rows runs in lanes: a vector holds one element of each of several
rows. Sums are then added up in the order of the text, inside of a row as well as over rows. Start reading at
`mark_lanes`.
"""

from collections.abc import Iterator, Sequence
from math import prod

from ..lowering import WORTH_KEEPING
from .access import Choose, Compute, Dot, Expression, Fetch
from .blocks import owner
from .keeping import cost_of
from .loops import Item, Leaf, Loop, leaves

SHORT = 32
"""Loops of at most so many iterations are worth it: softmax of 1,000 rows takes half the time in lanes where these have
8 to 32 elements, and a fifth more where they have 64."""

FEWEST = 32
"""Fewer iterations of the loop itself are less than two vectors."""

MOST_INSIDE = 256
"""The most iterations of all loops inside: what they keep has to be near."""


def mark_lanes(items: Sequence[Item]) -> None:
    """Mark the loops that run in lanes, each as far out as can be."""
    for loop in _loops(items):
        if _runs_in_lanes(loop) or loop.columns:
            loop.lanes = True
        elif loop.extent:
            mark_lanes(loop.body)


def _loops(items: Sequence[Item]) -> Iterator[Loop]:
    return (item for item in items if isinstance(item, Loop))


def _runs_in_lanes(loop: Loop) -> bool:
    if loop.extent < FEWEST or loop.tiled or loop.alone:
        return False
    inside = list(leaves([loop]))
    lengths = [[inner.extent for inner in leaf.loops[leaf.loops.index(loop) + 1 :]] for leaf in inside]
    return (
        any(lengths)
        and any(_is_of_a_row(leaf, loop) for leaf in inside)
        and any(map(_is_costly, inside))
        and all(0 < length <= SHORT for each in lengths for length in each)
        and all(prod(each) <= MOST_INSIDE for each in lengths)
        and all(_is_alike(leaf, loop) for leaf in inside)
    )


def _is_of_a_row(leaf: Leaf, loop: Loop) -> bool:
    """Whether a statement computes something once for each iteration."""
    return leaf.loops[-1] is loop or any(inner is not loop for inner in leaf.reduced()[-1:])


def _is_costly(leaf: Leaf) -> bool:
    """Whether a statement calls a function that is worth more than the way of elements into lanes and back."""
    computed = (each for each in leaf.statement.values.values() if isinstance(each, Compute))
    return any(cost_of(each.node) >= WORTH_KEEPING for each in computed)


def _is_foreign(expression: Expression) -> bool:
    """Whether it calls a function of the user's, which has no form for vectors, nor an end for any number."""
    primitive = expression.node.primitive if isinstance(expression, Compute) else None
    return primitive is not None and "signature" in primitive.properties


def _is_alike(leaf: Leaf, loop: Loop) -> bool:
    """Whether a statement does the same in each iteration, in an order that lanes keep."""
    statement = leaf.statement
    special = (statement.product, statement.call, statement.target, statement.check, statement.scanned)
    if any(each is not None for each in special):
        return False
    if any(isinstance(each, (Choose, Fetch, Dot)) or _is_foreign(each) for each in statement.values.values()):
        return False
    reduced, dtype = leaf.reduced(), statement.node.aval.dtype
    if reduced and dtype.kind in "iu" and dtype.itemsize < 8:
        return False  # sums of these are narrowed at each step
    # What is added up over rows and inside of them goes through rows first, unless these have a sum of their own.
    return loop not in reduced or reduced[-1] is loop or owner(leaf, reduced[-1]) is reduced[-1]
