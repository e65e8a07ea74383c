"""A loop plan as the text of one Python function, which Numba compiles and which also runs as it stands.

Start reading at `emit`. `_Walk` goes through the loop tree once; `addresses` has the pointers, `values` what statements
compute, `reductions` the accumulators, `calls` what works on whole matrices, `text` the lines.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..dataclass import dataclass
from ..graph import Graph, Node
from ..passes.blocks import blocks_of
from ..passes.loops import Item, Leaf, Loop, leaves
from ..passes.plan import LoopPlan, plan_loops
from ..passes.stages import Stage
from . import expressions as ex
from .addresses import Addresses
from .calls import Calls
from .computed import Computed
from .layout import Layout
from .naming import with_assigned, with_bodies
from .reductions import Reductions
from .regions import Regions
from .text import Text, identifier, indented, is_in_use
from .values import Values


@dataclass(frozen=True, slots=True)
class Emitted:
    """The text of a kernel and how to call it."""

    name: str
    source: str
    layout: Layout
    constants: Mapping[str, np.generic]


def of_graph(graph: Graph, name: str, names: Mapping[Node, str]) -> Emitted:
    """The kernel of a prepared graph; see `emit`."""
    return emit(plan_loops(graph), name, names)


def emit(plan: LoopPlan, name: str, names: Mapping[Node, str]) -> Emitted:
    """The kernel of a plan.

    Parameters
    ----------
    plan : LoopPlan
        What to emit.
    name : str
        Name of the function; the user's.
    names : mapping of Node to str
        The user's names of inputs, where known; those of results are taken from the user's lines.
    """
    text = Text()
    addresses = Addresses(plan, with_bodies(plan, with_assigned(plan.graph, names)), text)
    walk = _Walk(plan, addresses, text)
    for number in range(len(plan.stages)):
        walk.stage(number)
    function = identifier(name)
    if is_in_use(function):
        function = text.fresh(f"{function}_step")
    body = [*addresses.prologue(), *text.lines, "return OK"]
    source = "\n".join([f"def {function}(table, stage, lo, hi):", *indented(body)]) + "\n"
    return Emitted(function, source, addresses.layout(), ex.special_constants())


class _Walk:
    """Writes the lines of a loop tree."""

    def __init__(self, plan: LoopPlan, addresses: Addresses, text: Text) -> None:
        self.plan = plan
        self.addresses = addresses
        self.text = text
        self.values = Values(addresses, text)
        self.reductions = Reductions(addresses, self.values, text)
        self.computed = Computed(addresses, self.values, text)
        self.calls = Calls(addresses, self.values, text)
        self.regions = Regions(addresses, self.values, text, self.body)

    def stage(self, number: int) -> None:
        """One stage, behind a test where there are several."""
        stage = self.plan.stages[number]
        if stage.split is not None:
            self.split(stage, stage.split, number)
        elif len(self.plan.stages) == 1:
            self.body(stage.items)
        else:
            with self.text.block(f"if stage == RUN_ALL or stage == {number}:"):
                self.body(stage.items, stage.finishes)

    def split(self, stage: Stage, loop: Loop, number: int) -> None:
        """A stage that is one loop, of which a call may run a part: some of its iterations, or of its blocks."""
        self.values.enter(stage.items)
        self.values.hoist(loop)
        first, last = self.text.fresh("first"), self.text.fresh("last")
        self.text.line(f"{first}, {last} = span(stage, {number}, lo, hi, {stage.parts})")
        with self.addresses.in_part():
            if loop in self.plan.blocks:
                self.blocks(loop, self.plan.blocks[loop], _over(loop), f"{first}, {last}")
            else:
                with self.text.loop(loop, f"{first}, {last}"):
                    self.body(loop.body)
        self.values.leave()

    def body(self, items: Sequence[Item], finishes: Loop | None = None) -> None:
        """What stands in one body, in order; before it, the blocks of the stage before are combined."""
        self.values.enter(items)
        if finishes is not None:
            self.reductions.finish(finishes, _over(finishes))
        for item in items:
            if isinstance(item, Loop):
                self.loop(item)
            elif item.statement.product is not None:
                self.calls.product(item)
            elif item.statement.call is not None:
                self.calls.routine(item)
            elif item.statement.region is not None:
                self.regions.region(item)
            else:
                self.leaf(item)
        self.values.leave()

    def loop(self, loop: Loop) -> None:
        """A loop, with what has to happen before and after it for the reductions over it."""
        inside = list(leaves([loop]))
        over = _over(loop)
        self.values.hoist(loop)
        self.computed.start(loop, inside)
        self.reductions.start(loop, over)
        if loop in self.plan.blocks:
            self.blocks(loop, self.plan.blocks[loop], over, str(blocks_of(loop, self.plan.blocks[loop])))
        else:
            with self.text.loop(loop, str(loop.extent)):
                self.body(loop.body)
        self.reductions.finish(loop, over)
        for leaf in inside:
            if leaf.statement.target is not None and loop is leaf.loops[0]:
                self.values.finish(leaf.statement.node)

    def blocks(self, loop: Loop, length: int, over: Sequence[Leaf], bounds: str) -> None:
        """A loop in blocks, each of which leaves partial results; `bounds` says which of them."""
        with self.text.counting("block", bounds) as block:
            self.reductions.block(loop, block)
            self.reductions.start(loop, over)
            stop = f"{block} * {length} + {length}"
            # In a split loop a fixed number of iterations could tempt LLVM to make vectors across blocks.
            if loop.extent % length or self.addresses.private:
                stop = f"min({stop}, {loop.extent})"
            with self.text.loop(loop, f"{block} * {length}, {stop}"):
                self.body(loop.body)
            self.reductions.end_block(loop, over)
            self.reductions.block(loop, "")

    def leaf(self, leaf: Leaf) -> None:
        """One statement at its place."""
        statement = leaf.statement
        if statement.target is not None or statement.check is not None or statement.scanned is not None:
            self.computed.leaf(leaf, self.values.of(leaf))
            return
        value = ex.unparse(self.values.of(leaf))
        if statement.reduced:
            self.reductions.add(leaf, leaf.reduced()[-1], value)
        else:
            self.values.settle(leaf, value)


def _over(loop: Loop) -> list[Leaf]:
    """The statements that combine over a loop."""
    return [leaf for leaf in leaves([loop]) if leaf.statement.combine is not None and loop in leaf.reduced()]
