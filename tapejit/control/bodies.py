"""The body of a loop as a region: what it carries, with the variables that it assigns, settles on its types here.

Start reading at `LoopBody`. Python numbers that a loop begins with take the types that the body gives; it is traced
again until these stay the same. A variable that the body assigns, a generator's state among them, is carried along.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..aval import Aval
from ..dataclass import dataclass
from ..families import as_array
from ..graph import Node
from ..graph.region import RegionTrace
from ..pytree import TreeDef, flatten, unflatten
from ..variable import Variable
from .nests import aval_of, in_aval, in_words, lifted, met, mismatch

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""``step(index, carry, slices) -> (carry, results)``, nests all of them but the index."""

INDEX = Aval((), np.dtype(np.int64), weak=True)
"""What an iteration's index is to its body: it computes as the Python int does that it is in eager mode."""


@dataclass(frozen=True, slots=True)
class Words:
    """How messages speak of a loop: its operation, and the user's function."""

    operation: str
    function: str

    @property
    def body(self) -> str:
        """The body."""
        return f"the body of {self.operation} ({self.function})"

    def changed(self, tree: TreeDef, before: Sequence[Aval], other: TreeDef, after: Sequence[Aval]) -> Exception:
        """The error for a carry that changes its type."""
        return mismatch(
            before,
            after,
            tree == other,
            f"{self.operation}: {self.function} takes a carry {in_words(tree, before)} and gives "
            f"{in_words(other, after)}; nest, shapes and dtypes must stay the same: convert what it gives "
            "(tj.astype, tj.reshape), or begin with an init of that type",
        )


@dataclass(eq=False)
class LoopBody:
    """A body that was traced.

    Parameters
    ----------
    trace : RegionTrace
        Its arguments are the index, carried values and slices.
    carried : tuple of Aval
        The types of what is carried; weak where a Python number stays one.
    next, results : tuple of Node
        What it gives: the next carried values, and for each leaf of the results one.
    tree : TreeDef
        The nest of the results.
    """

    trace: RegionTrace
    carried: tuple[Aval, ...]
    next: tuple[Node, ...]
    results: tuple[Node, ...]
    tree: TreeDef

    @property
    def assigned(self) -> list[Variable]:
        """The variables that it assigns, which are carried behind the rest."""
        return self.trace.assigned

    def arguments(self) -> list[Node]:
        """The index, what is carried, variables included, and slices."""
        index, *rest = self.trace.arguments
        count = len(self.carried)
        variables = [self.trace.value_before(variable) for variable in self.assigned]
        return [index, *rest[:count], *variables, *rest[count:]]

    def carries(self) -> list[Node]:
        """What is carried on, variables included."""
        return [*self.next, *(self.trace.value_after(variable) for variable in self.assigned)]


def traced_body(
    step: Step, tree: TreeDef, init: Sequence[Aval], slices_tree: TreeDef, slices: Sequence[Aval], words: Words
) -> LoopBody:
    """Trace a step until the types of what it carries stay the same.

    Raises
    ------
    ShapeError, DtypeError
        If what it carries changes its nest or type.
    """
    carried = tuple(init)
    while True:
        trace = RegionTrace([INDEX, *carried, *slices], words.body, effects=True)
        body, after = _traced_once(trace, step, tree, carried, slices_tree, words)
        if after == carried:
            return body
        carried = after


def _traced_once(
    trace: RegionTrace, step: Step, tree: TreeDef, carried: tuple[Aval, ...], slices_tree: TreeDef, words: Words
) -> tuple[LoopBody, tuple[Aval, ...]]:
    count = len(carried)

    def run(index: Any, *values: Any) -> tuple[LoopBody, tuple[Aval, ...]]:
        carry, results = step(index, unflatten(tree, values[:count]), unflatten(slices_tree, values[count:]))
        leaves, after = checked_carry(carry, tree, carried, words)
        following = [trace.node_of(in_aval(leaf, aval)) for leaf, aval in zip(leaves, after, strict=True)]
        outputs, results_tree = flatten(results)
        given = [trace.node_of(as_array(leaf)) for leaf in outputs]
        return LoopBody(trace, carried, tuple(following), tuple(given), results_tree), after

    return trace.run(run)  # type: ignore[no-any-return]


def checked_carry(
    carry: Any, tree: TreeDef, before: Sequence[Aval], words: Words
) -> tuple[list[Any], tuple[Aval, ...]]:
    """The leaves of what a step carries on, and their types.

    Raises
    ------
    ShapeError, DtypeError
        If nest or types changed.
    """
    leaves, after_tree = flatten(carry)
    leaves = [lifted(leaf) for leaf in leaves]
    after = [met(aval, leaf) for aval, leaf in zip(before, leaves, strict=False)]
    if after_tree != tree or None in after:
        raise words.changed(tree, before, after_tree, [aval_of(leaf) for leaf in leaves])
    return leaves, tuple(aval for aval in after if aval is not None)
