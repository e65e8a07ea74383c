"""How reductions accumulate: which loop has an accumulator, how many terms one takes, where blocks end.

An accumulator belongs to one statement and one of the loops over which it combines. It is a number where all axes of
the result lie outside of that loop; else it is a row, with an element for each index of the result's axes inside of it.
A number is added to in the lanes of a vector, an element of a row one term after the other, and a number too if the
loop itself runs in lanes; these take fewer terms.
Longer loops run in blocks, whose results are combined pairwise, and an inner loop has an accumulator of its own where
sharing the outer one's would exceed the limit. A loop of much work runs in blocks anyway, as threads can't share an
accumulator. Borders of blocks never depend on the number of threads.
"""

from collections.abc import Iterable
from math import prod

from .loops import Leaf, Loop

BLOCK = 1024
"""Terms that a number takes at most."""

ROW_BLOCK = 64
"""Terms that an element of a row takes at most."""

LANE_BLOCK = 128
"""Terms that a number takes at most from a loop that runs in lanes; longer ones run in blocks for rows."""

PAIRWISE = frozenset(("add", "multiply"))
"""What rounds, and so depends on the order."""


def row_axes(leaf: Leaf, loop: Loop) -> tuple[int, ...]:
    """The result's axes whose loops lie inside of `loop`: its accumulator has them."""
    at = leaf.loops.index(loop)
    return tuple(
        axis for axis, own in enumerate(leaf.own_variables()) if own is not None and leaf.loops.index(own) > at
    )


def row_width(leaf: Leaf, loop: Loop) -> int:
    """Elements of one row."""
    return prod(leaf.statement.node.aval.shape[axis] for axis in row_axes(leaf, loop))


def most_terms(leaf: Leaf, loop: Loop) -> int:
    """How many terms the statement's accumulator for `loop` may take."""
    if row_axes(leaf, loop):
        return ROW_BLOCK
    return LANE_BLOCK if loop.lanes else BLOCK


def rounds(leaf: Leaf) -> bool:
    """Whether the order of the terms matters to the statement's result."""
    return leaf.statement.combine in PAIRWISE and leaf.statement.node.aval.dtype.kind == "f"


def owner(leaf: Leaf, loop: Loop) -> Loop:
    """The loop whose accumulator takes what is combined over `loop`: itself, or one around it."""
    limited = rounds(leaf)
    found, terms = leaf.reduced()[0], 0
    for each in leaf.reduced():
        length = min(each.extent, most_terms(leaf, each))
        shares = terms and row_axes(leaf, each) and (not limited or terms * each.extent <= ROW_BLOCK)
        found, terms = (found, terms * length) if shares else (each, length)
        if each is loop:
            break
    return found


def blocked(leaf: Leaf, loop: Loop) -> bool:
    """Whether the statement leaves one partial result for each block of `loop`."""
    if loop.least_blocks:
        return loop in leaf.reduced() and leaf.statement.combine in PAIRWISE
    return loop.extent > most_terms(leaf, loop) and rounds(leaf) and owner(leaf, loop) is loop


def block_lengths(leaves: Iterable[Leaf]) -> dict[Loop, int]:
    """The loops that run in blocks, and how long these are: as long as all statements allow that need them."""
    found: dict[Loop, int] = {}
    for leaf in leaves:
        for loop in leaf.reduced():
            if blocked(leaf, loop):
                most = max(1, loop.extent // loop.least_blocks) if loop.least_blocks else BLOCK
                length = ROW_BLOCK if loop.lanes else most_terms(leaf, loop)
                found[loop] = min(found.get(loop, most), length)
    return found


def blocks_of(loop: Loop, length: int) -> int:
    """The number of blocks."""
    return -(-loop.extent // length)


def holds_partials(leaf: Leaf, kind: str, axes: tuple[int, ...]) -> bool:
    """Whether the rows of partial results begin where the result is stored, so that it is there in the end."""
    outermost = leaf.reduced()[:1]
    return kind == "workspace" and any(blocked(leaf, loop) and row_axes(leaf, loop) == axes for loop in outermost)
