"""A loop plan as the text of one Python function, which Numba compiles and which also runs as it stands.

Start reading at `emit`. `_Walk` goes through the loop tree once; `addresses` has the pointers, `values` what statements
compute, `reductions` the accumulators, `text` the lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Node
from ..lowering import Affine
from ..passes import Item, Leaf, Loop, LoopPlan
from ..passes.plan import BLOCK, Stage
from ..passes.schedule import leaves
from ..passes.statements import Operand
from . import expressions as ex
from .addresses import Addresses
from .computed import Computed
from .layout import Layout, Slot
from .naming import with_assigned
from .reductions import Reductions
from .text import Text, identifier, indented
from .values import Values

_GEMM = {"float32": "cblas_sgemm", "float64": "cblas_dgemm"}


@dataclass(frozen=True, slots=True)
class Emitted:
    """The text of a kernel and how to call it."""

    name: str
    source: str
    layout: Layout
    constants: Mapping[str, np.generic]


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
    addresses = Addresses(plan, with_assigned(plan.graph, names), text)
    walk = _Walk(plan, addresses, text)
    for number in range(len(plan.stages)):
        walk.stage(number)
    function = identifier(name)
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

    def stage(self, number: int) -> None:
        """One stage, behind a test where there are several."""
        stage = self.plan.stages[number]
        if len(self.plan.stages) == 1:
            self.body(stage.items)
        elif stage.split is None:
            with self.text.block(f"if stage == RUN_ALL or stage == {number}:"):
                self.body(stage.items)
        else:
            self.split(stage, stage.split, number)

    def split(self, stage: Stage, loop: Loop, number: int) -> None:
        """A stage that is one loop, of which a call may run a part."""
        self.values.enter(stage.items)
        self.values.hoist(loop)
        first, last = self.text.fresh("first"), self.text.fresh("last")
        self.text.line(f"{first}, {last} = span(stage, {number}, lo, hi, {loop.extent})")
        with self.text.loop(loop, f"{first}, {last}"):
            self.body(loop.body)
        self.values.leave()

    def body(self, items: Sequence[Item]) -> None:
        """What stands in one body, in order."""
        self.values.enter(items)
        for item in items:
            if isinstance(item, Loop):
                self.loop(item)
            elif item.statement.product is not None:
                self.product(item)
            else:
                self.leaf(item)
        self.values.leave()

    def loop(self, loop: Loop) -> None:
        """A loop, with what has to happen before and after it for the reductions over it."""
        inside = list(leaves([loop]))
        over = [leaf for leaf in inside if leaf.statement.combine is not None and loop in leaf.reduced()]
        self.values.hoist(loop)
        self.computed.start(loop, inside)
        self.reductions.start(loop, over)
        if any(self.reductions.blocked(leaf, loop) for leaf in over):
            self.blocks(loop, over)
        else:
            with self.text.loop(loop, str(loop.extent)):
                self.body(loop.body)
        self.reductions.finish(loop, over)
        for leaf in inside:
            if leaf.statement.target is not None and loop is leaf.loops[0]:
                self.values.finish(leaf.statement.node)

    def blocks(self, loop: Loop, over: Sequence[Leaf]) -> None:
        """A loop in blocks, each of which leaves partial results."""
        with self.text.counting("block", -(-loop.extent // BLOCK)) as block:
            self.reductions.block(loop, block)
            self.reductions.start(loop, over)
            stop = f"{block} * {BLOCK} + {BLOCK}"
            if loop.extent % BLOCK:
                stop = f"min({stop}, {loop.extent})"
            with self.text.loop(loop, f"{block} * {BLOCK}, {stop}"):
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

    def product(self, leaf: Leaf) -> None:
        """A call of the BLAS library."""
        statement = leaf.statement
        product = statement.product
        assert product is not None
        dtype = statement.node.aval.dtype.name
        address = self.addresses.slot(Slot("library", name=_GEMM[dtype]))
        m, n, k = product.shape
        left = self.operand(leaf, product.left, m if product.left.transposed else k)
        right = self.operand(leaf, product.right, k if product.right.transposed else n)
        place = self.plan.places[statement.node]
        target = _shifted(self.addresses.pointer(statement.node), self.addresses.position(leaf, place.axes))
        flags = f"{int(product.left.transposed)}, {int(product.right.transposed)}"
        self.text.line(f"gemm_{dtype}(table[{address}], {flags}, {m}, {n}, {k}, {left}, {right}, {target}, {n})")
        self.values.finish(statement.node)

    def operand(self, leaf: Leaf, operand: Operand, columns: int) -> str:
        """Where a matrix begins, and the distance of its stored rows, in the storage that its root has."""
        root = operand.load.root
        linear = self.plan.places[root].linear(operand.load)
        batch = len(leaf.statement.extents)
        strides = dict(linear.terms)
        along = strides.get(batch + 1 if operand.transposed else batch, 0)
        offset = Affine(linear.offset, tuple((axis, stride) for axis, stride in linear.terms if axis < batch))
        text = ex.unparse(ex.affine(offset, lambda axis: self.text.loops[id(leaf.variable[axis])]))
        return f"{_shifted(self.addresses.pointer(root), text)}, {max(along, columns)}"


def _shifted(pointer: str, offset: str) -> str:
    return pointer if offset == "0" else f"shifted({pointer}, {offset})"
