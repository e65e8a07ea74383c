"""Stages: which top-level loops stand alone, so that threads may split them, and what runs between them.

A loop is split where its parts, [lo, hi) of its iterations or of its blocks, never write the same memory: results at
the loop's own index, partial results of reductions in a row for each block, and everything else in scratch that each
part has for itself (`Place.private`). So the numbers do not depend on the number of parts. Start reading at
`stages_of`.
"""

from collections.abc import Collection, Mapping, Sequence
from math import prod

from ..dataclass import dataclass
from ..graph import Node
from ..lowering import Pointwise
from .access import Compute, Key
from .blocks import PAIRWISE, blocked, blocks_of
from .loops import Item, Leaf, Loop, item_in, leaves

SPLIT_WORK = 1 << 16
"""Loops with at least this much work, in additions, are stages of their own."""

BLOCK_WORK = 1 << 22
"""Loops with at least this much work run in blocks for the threads' sake, where they would not otherwise."""

LEAST_BLOCKS = 16
"""How many blocks these are at least."""

GRAIN = 64
"""Borders of parts are multiples of this, which those of vectors and unrolled iterations divide, where LLVM could make
vectors along the loop. It does not where there is a loop inside, unless that is so short that it unrolls it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Top-level items that run together.

    Parameters
    ----------
    items : tuple of Item
        What runs.
    split : Loop, optional
        The only item, where [lo, hi) applies to it; None for a serial stage.
    finishes : Loop, optional
        The loop of the stage before, whose blocks are combined first.
    parts : int
        What is shared out: the iterations or blocks of the loop; 0 for a serial stage.
    grain : int
        Borders between parts are multiples of this.
    work : int
        Of the loop, in additions, about.
    """

    items: tuple[Item, ...]
    split: Loop | None = None
    finishes: Loop | None = None
    parts: int = 0
    grain: int = 1
    work: int = 0


def find_split(
    items: Sequence[Item], axes: Mapping[Node, tuple[int, ...]], users: Mapping[Node, Sequence[Leaf]]
) -> dict[Loop, int]:
    """Mark the outermost loops that threads may split, and estimate their work.

    Parameters
    ----------
    items : sequence of Item
        What is outermost.
    axes : mapping of Node to tuple of int
        The axes that need storage.
    users : mapping of Node to sequence of Leaf
        What reads each node.
    """
    found: dict[Loop, int] = {}
    for item in items:
        if not isinstance(item, Loop) or (work := _work(item)) < SPLIT_WORK or not _splittable(item, axes, users):
            continue
        sums = [leaf for leaf in leaves([item]) if item in leaf.reduced()]
        if sums and work >= BLOCK_WORK:
            item.least_blocks = LEAST_BLOCKS
        item.split = all(blocked(leaf, item) for leaf in sums)
        if item.split:
            found[item] = work
    return found


def stages_of(items: Sequence[Item], works: Mapping[Loop, int], blocks: Mapping[Loop, int]) -> tuple[Stage, ...]:
    """Split loops by themselves, everything else with its neighbours.

    Parameters
    ----------
    items : sequence of Item
        What is outermost, in order.
    works : mapping of Loop to int
        From `find_split`.
    blocks : mapping of Loop to int
        The loops that run in blocks, and how long these are.
    """
    stages: list[Stage] = []
    pending: list[Item] = []
    unfinished: Loop | None = None
    for item in items:
        if not isinstance(item, Loop) or not item.split:
            pending.append(item)
            continue
        if pending or unfinished:
            stages.append(Stage(tuple(pending), finishes=unfinished))
        pending, unfinished = [], item if item in blocks else None
        parts = blocks_of(item, blocks[item]) if item in blocks else item.extent
        grain = 1 if item in blocks or not _may_be_innermost(item) else GRAIN
        stages.append(Stage((item,), item, parts=parts, grain=grain, work=works[item]))
    if pending or unfinished or not stages:
        stages.append(Stage(tuple(pending), finishes=unfinished))
    return tuple(stages)


def _may_be_innermost(loop: Loop) -> bool:
    """Whether nothing is left inside of the loop that LLVM would have to keep as a loop."""
    return all(not isinstance(item, Loop) or (item.extent <= GRAIN and _may_be_innermost(item)) for item in loop.body)


def _work(loop: Loop) -> int:
    """About how many additions a loop is worth; what statements of one body share counts once."""
    known: set[tuple[int, Key]] = set()
    total = 0
    for leaf in leaves([loop]):
        statement = leaf.statement
        each = 1
        if statement.product is not None:
            each = 2 * prod(statement.product.shape)
        elif statement.dot is not None:
            each = 2 * statement.dot.terms
        elif statement.call is not None:
            each = statement.call.routine.cost(*statement.call.lengths)
        for key, expression in statement.values.items():
            shared = id(leaf.loops[-1]), (key[0], leaf.in_loops(key[1]))
            if isinstance(expression, Compute) and shared not in known:
                known.add(shared)
                primitive = expression.node.primitive
                lowering = None if primitive is None else primitive.lowering
                each += lowering.cost if isinstance(lowering, Pointwise) else 1
        total += each * prod(around.extent for around in leaf.loops)
    return total


def _splittable(loop: Loop, axes: Mapping[Node, tuple[int, ...]], users: Mapping[Node, Sequence[Leaf]]) -> bool:
    """Whether parts of the loop may run side by side; tiles are cut for a number of rows that is known."""
    return not loop.tiled and not any(
        _goes_on(leaf, loop) or not all(_is_apart(node, leaf, loop, axes, users) for node in _stored(leaf))
        for leaf in leaves([loop])
    )


def _goes_on(leaf: Leaf, loop: Loop) -> bool:
    """Whether an iteration needs what an earlier one has left, but for the sums of blocks."""
    statement = leaf.statement
    if statement.target is not None:  # it may add to any element
        return True
    if statement.scanned is not None and leaf.variable[statement.scanned] is loop:
        return True
    return loop in leaf.reduced() and statement.combine not in PAIRWISE


def _stored(leaf: Leaf) -> Collection[Node]:
    return () if leaf.statement.check is not None else leaf.statement.results


def _is_apart(
    node: Node,
    leaf: Leaf,
    loop: Loop,
    axes: Mapping[Node, tuple[int, ...]],
    users: Mapping[Node, Sequence[Leaf]],
) -> bool:
    """Whether each iteration writes elements of its own, or what only the same iteration reads."""
    if loop in leaf.reduced() or loop in stored_along(leaf, node, axes[node]):
        return True
    return all(item_in(user, 0) is loop for user in users.get(node, ()))


def stored_along(leaf: Leaf, node: Node, axes: tuple[int, ...]) -> list[Loop | None]:
    """The loops of a statement that run along the axes of its result's storage."""
    variables = leaf.own_variables(node)
    return [variables[axis] for axis in axes]
