"""Where a kernel finds things: the slots of its table, the pointers that it takes from them, the layout for callers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from ..graph import Graph, Input, Node, Part
from ..passes.loops import Leaf
from ..passes.measure import measure
from ..passes.plan import LoopPlan
from ..passes.storage import ALIGNMENT
from . import expressions as ex
from .layout import Failure, Layout, Slot, number_places
from .text import Text


def kind_of(node: Node) -> str:
    """The kind of an input, empty for other nodes."""
    return node.op.kind if isinstance(node.op, Input) else ""


class Addresses:
    """The pointers of one kernel.

    Parameters
    ----------
    plan : LoopPlan
        The plan.
    names : mapping of Node to str
        The user's names.
    text : Text
        Of the kernel, which knows the names that are taken.
    """

    def __init__(self, plan: LoopPlan, names: Mapping[Node, str], text: Text) -> None:
        self.plan = plan
        self._names = names
        self._text = text
        self._slots: list[Slot] = []
        self._pointers: dict[Node, str] = {}
        self._numbers: dict[Node, str] = {}
        self._constants: dict[str, str] = {}
        self._bases: dict[tuple[str, bool], str] = {}
        self._failures: list[Failure] = []
        self._workspace = plan.workspace
        self._scratch = plan.scratch
        self.private = False
        """Whether a part of a split loop is being written, whose scratch is its own."""
        self._prologue: list[str] = []
        regions = [leaf.statement.region for leaf in plan.bodies]
        self._same = dict(pair for region in regions if region is not None for pair in region.carries())
        dtypes = [node.aval.dtype.name for node in plan.graph.inputs if kind_of(node) == "number"]
        self._number_places = number_places(dtypes)
        self._take_from_outside(plan.graph)

    def _take_from_outside(self, graph: Graph) -> None:
        """Pointers to inputs that are read, to results, to new values of variables, and the constants by name."""
        read = {load.root for leaf in self.plan.leaves for load in leaf.statement.loads()}
        used = [node for node in graph.inputs if node in read]
        for node in used:
            if kind_of(node) != "number":
                slot = Slot(kind_of(node), node.op.position)  # type: ignore[union-attr]
                self._pointers[node] = self._at(self.label(node), slot, node.aval.dtype)
        for node in self.plan.targets:
            place = self.plan.places[node]
            wanted = self.label(node) if place.kind == "output" else f"{self.label(graph.updates[place.slot][0])}_next"
            self._pointers[node] = self._at(wanted, Slot(place.kind, place.slot), node.aval.dtype)
        for node in used:
            if kind_of(node) == "number":
                self._numbers[node] = self._constant(node)

    def _at(self, wanted: str, slot: Slot, dtype: np.dtype) -> str:
        name = self._text.fresh(wanted)
        self._prologue.append(f"{name} = {dtype.name}_at(table, {self.slot(slot)})")
        return name

    def _constant(self, node: Node) -> str:
        dtype, place = self._number_places[node.op.position]  # type: ignore[union-attr]
        if dtype not in self._constants:
            self._constants[dtype] = self._at("constant", Slot("numbers", dtype=dtype), node.aval.dtype)
        name = self._text.fresh(self.label(node))
        self._prologue.append(f"{name} = {self._constants[dtype]}[{place}]")
        return name

    def slot(self, slot: Slot) -> int:
        """The table index of a slot."""
        if slot not in self._slots:
            self._slots.append(slot)
        return self._slots.index(slot)

    def status(self, failure: Failure, index: str, place: str | None = None) -> str:
        """The call that notes at which index a failure happened, maybe its place too, and gives the status for it."""
        self._failures.append(failure)
        status = str(len(self._failures))
        if place is not None:
            status = f"status(table, {self.slot(Slot('detail', 1))}, {status}, {place})"
        return f"status(table, {self.slot(Slot('detail'))}, {status}, {index})"

    def label(self, node: Node) -> str:
        """What to call a value."""
        if node in self._names:
            return self._names[node]
        if isinstance(node.op, Part):
            return self.label(node.inputs[0])
        if node.primitive is not None:
            return node.primitive.name
        return kind_of(node)

    def number(self, node: Node) -> str | None:
        """The variable of a Python number of the program; None for other nodes."""
        return self._numbers.get(node)

    def pointer(self, node: Node) -> str:
        """The pointer to a stored value."""
        node = self._same.get(node, node)
        if node not in self._pointers:
            place = self.plan.places[node]
            self._pointers[node] = self._in_workspace(self.label(node), place.slot, node.aval.dtype, place.private)
        return self._pointers[node]

    def bind(self, node: Node, name: str) -> None:
        """The pointer to a stored value has a name already."""
        self._pointers[node] = name

    @contextmanager
    def in_part(self) -> Iterator[None]:
        """While a part of a split loop is being written."""
        self.private = True
        yield
        self.private = False

    def row(self, wanted: str, count: int, dtype: np.dtype, shared: bool = False) -> str:
        """A pointer to `count` elements of the workspace that nothing else uses.

        In a split loop they are in the scratch that each part has for itself, unless they are `shared`.
        """
        private = self.private and not shared
        name = self._in_workspace(wanted, self._scratch if private else self._workspace, dtype, private)
        size = -(-count * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        if private:
            self._scratch += size
        else:
            self._workspace += size
        return name

    def _in_workspace(self, wanted: str, offset: int, dtype: np.dtype, private: bool) -> str:
        key = dtype.name, private
        if key not in self._bases:
            kind = "scratch" if private else "workspace"
            self._bases[key] = self._at(f"{kind}_{dtype.name}", Slot(kind), dtype)
        name = self._text.fresh(wanted)
        self._prologue.append(f"{name} = shifted({self._bases[key]}, {offset // dtype.itemsize})")
        return name

    def shifted(self, node: Node, offset: str) -> str:
        """The pointer to a part of a stored value."""
        pointer = self.pointer(node)
        return pointer if offset == "0" else f"shifted({pointer}, {offset})"

    def result(self, leaf: Leaf, node: Node) -> str:
        """The pointer to what a statement stores of one of its results at the current index."""
        position = leaf.position(self.plan.places[node].axes, node)
        return self.shifted(node, ex.unparse(ex.affine(position, self._text.loops.__getitem__)))

    def element(self, leaf: Leaf) -> str:
        """The element of a statement's storage at the current index."""
        node = leaf.statement.node
        return f"{self.pointer(node)}[{self.position(leaf, self.plan.places[node].axes)}]"

    def position(self, leaf: Leaf, axes: tuple[int, ...]) -> str:
        """The current index of a statement's node in a storage that has only `axes`."""
        return ex.unparse(ex.affine(leaf.position(axes), self._text.loops.__getitem__))

    # What the text and its callers have to know

    def prologue(self) -> list[str]:
        """Comments that say what is what, and the pointers."""
        graph = self.plan.graph
        described = [f"{self._pointers[node]}: {node.aval}" for node in graph.inputs if node in self._pointers]
        lines = ["# " + ", ".join(described)] if described else []
        pairs = zip(graph.outputs, self.plan.targets, strict=False)
        results = [f"{self._pointers[target]}: {output.aval}" for output, target in pairs]
        if results:
            lines.append("# returns " + ", ".join(results))
        for (variable, _), fits in zip(graph.updates, self.plan.in_place, strict=True):
            lines.append(f"# assigns {self.label(variable)}: {variable.aval}{' in place' if fits else ''}")
        return lines + self._prologue

    def layout(self) -> Layout:
        """How to call the kernel."""
        graph = self.plan.graph
        variables = [node for node in graph.inputs if kind_of(node) == "variable"]
        return Layout(
            slots=tuple(self._slots),
            numbers=self._number_places,
            outputs=tuple((node.aval.shape, node.aval.dtype.name) for node in graph.outputs),
            in_place=self.plan.in_place,
            updates=tuple(variables.index(variable) for variable, _ in graph.updates),
            workspace=self._workspace,
            scratch=self._scratch,
            stages=tuple((stage.parts, stage.grain, stage.work) for stage in self.plan.stages),
            report=measure(self.plan, self._workspace + self._scratch),
            failures=tuple(self._failures),
        )
