"""The regions of an operation as a kernel has them: graphs with stand-ins for what they get from outside.

What a region reads from outside it reads where it is: views go along into its graph, so that index maps compose, and a
stand-in takes the place of the stored value behind them. Of an array of slices it is the array itself, moved on in
memory at each iteration. Numbers are local variables in there. Start reading at `region_call`.
"""

from collections.abc import Collection, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ..aval import Aval
from ..dataclass import dataclass
from ..graph import Builder, Graph, Input, Literal, Node, Part, Region
from ..lowering import Affine, IndexMap, ScanRegion, SwitchRegion, View, WhileRegion
from ..primitive import in_role
from .access import linear_index
from .composing import traced
from .orientation import may_be_turned

REGIONS = (ScanRegion, WhileRegion, SwitchRegion)

LONG = 16
"""Iterations that are worth a copy of a matrix."""

_BYTE = np.dtype(np.uint8)
_INDEX = np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A value of the outside that a body reads.

    Parameters
    ----------
    stand_in : Node
        What it is in the body's graph: a number, or an array with the source's shape.
    source : Node
        The stored value, or the literal.
    offset : int
        Where in the source the number is; 0 for an array.
    step : int
        By how many elements it moves on from one index to the next.
    """

    stand_in: Node
    source: Node
    offset: int = 0
    step: int = 0

    @property
    def is_scalar(self) -> bool:
        """Whether it is a number."""
        return is_scalar(self.stand_in)


@dataclass(frozen=True, slots=True)
class Body:
    """A region's graph: its outputs leave it, its updates are the next values of what it carries on.

    Parameters
    ----------
    graph : Graph
        Of stand-ins alone.
    borrowed : tuple of Borrowed
        What it reads.
    carried : tuple of Node
        The stand-ins of what is carried on, whether or not they change.
    index : Node, optional
        The stand-in of the index.
    """

    graph: Graph
    borrowed: tuple[Borrowed, ...]
    carried: tuple[Node, ...] = ()
    index: Node | None = None


@dataclass(frozen=True, slots=True)
class RegionCall:
    """An operation that holds regions, as one statement.

    Parameters
    ----------
    lowering : ScanRegion, WhileRegion or SwitchRegion
        How the bodies run.
    bodies : tuple of Body
        The body; condition and body; or the branches.
    results : tuple of Node
        All that it stores, those that nobody reads included: carried values first.
    initial : tuple of Node or Borrowed
        The first values of what is carried on: a node that shares its memory with the result, or a number.
    params : mapping
        Of the operation.
    selector : Borrowed, optional
        The index of the branch.
    may_fail : bool
        Whether the kernel may end in one of the bodies.
    """

    lowering: ScanRegion | WhileRegion | SwitchRegion
    bodies: tuple[Body, ...]
    results: tuple[Node, ...]
    initial: tuple["Node | Borrowed", ...]
    params: dict[str, Any]
    selector: Borrowed | None = None
    may_fail: bool = False
    room: Node = field(default_factory=lambda: Node(Input("room", 0), (), (), (Aval((), _BYTE),)))
    """Stands for the workspace that the bodies share."""

    @property
    def times(self) -> int:
        """How often the body runs, where that is known; else 1."""
        return int(self.params.get("length", 1))

    def carries(self) -> list[tuple[Node, Node]]:
        """The arrays that are carried on: first value and result, which share their memory."""
        return [(one, result) for one, result in zip(self.initial, self.results, strict=False) if isinstance(one, Node)]

    def sources(self) -> list[Node]:
        """The stored values that it reads."""
        found = [borrowed for body in self.bodies for borrowed in body.borrowed]
        found += [one for one in (*self.initial, self.selector) if isinstance(one, Borrowed)]
        sources = [borrowed.source for borrowed in found if not isinstance(borrowed.source.op, Literal)]
        return list(dict.fromkeys([*sources, *(first for first, _ in self.carries())]))

    def by_address(self) -> list[Node]:
        """What has to be in memory: all but numbers."""
        return [node for node in (*self.sources(), *self.results) if node.aval.shape]


def is_scalar(node: Node) -> bool:
    """Whether a stand-in is a number, which has no address."""
    return isinstance(node.op, Input) and node.op.kind in {"number", "scalar", "index"}


def sources_of(node: Node) -> list[Node]:
    """The nodes that have to be stored so that a region operation can read them."""
    params = dict(node.params)
    first = params.get("carries", 0)
    sliced = first + params.get("slices", 0)
    carried = [value for value in node.inputs[:first] if not value.aval.shape]
    found = [behind_views(value) for value in (*carried, *node.inputs[first:sliced])]
    found += [root_of_capture(value, params) for value in node.inputs[sliced:]]
    return [root for root in found if not isinstance(root.op, Literal)]


def behind_views(value: Node) -> Node:
    """What a value is a view of, as far as index maps are affine."""
    while _index(value) is not None:
        value = value.inputs[0]
    return value


def root_of_capture(value: Node, params: dict[str, Any]) -> Node:
    """The stored value that a body reads a capture from: a transposed small matrix is copied before a long loop."""
    root = behind_views(value)
    if params.get("length", 0) < LONG or not may_be_turned(value.aval) or isinstance(root.op, Literal):
        return root
    steps = dict(position_of(value, root, (Affine.axis(0), Affine.axis(1))).terms)
    return value if steps.get(0) == 1 and steps.get(1, 0) > 1 else root


def _index(value: Node) -> IndexMap | None:
    lowering = None if value.primitive is None else value.primitive.lowering
    if not isinstance(lowering, View):
        return None
    return lowering.index(value.inputs[0].aval.shape, value.aval.shape, dict(value.params))


def region_call(node: Node, stored: Collection[Node]) -> RegionCall:
    """A region operation as a statement has it, given what is stored, its own results among it."""
    assert node.primitive is not None
    lowering, params = node.primitive.lowering, dict(node.params)
    assert isinstance(lowering, REGIONS)
    results = results_of(node, stored)
    if isinstance(lowering, SwitchRegion):
        bodies = tuple(_Maker().plain(branch, node.inputs[1:]) for branch in params["branches"])
        return RegionCall(lowering, bodies, results, (), params, _element(node.inputs[0]))
    count = params["carries"]
    initial = tuple(_initial(value, place) for place, value in enumerate(node.inputs[:count]))
    if isinstance(lowering, ScanRegion):
        return RegionCall(lowering, (_Maker().step(node, params),), results, initial, params)
    carried, captures = node.inputs[:count], node.inputs[count:]
    bodies = (
        _Maker().plain(params["condition"], captures, carried),
        _Maker().plain(params["body"], captures, carried, updates=True),
    )
    return RegionCall(lowering, bodies, results, initial, params)


def results_of(node: Node, stored: Collection[Node]) -> tuple[Node, ...]:
    """The results of an operation that has several: those that are read, and nodes of their own for the others."""
    read = {part.op.index: part for part in stored if isinstance(part.op, Part) and part.inputs[0] is node}
    return tuple(read.get(index) or Node(Part(index), (node,), (), (aval,)) for index, aval in enumerate(node.avals))


def _initial(value: Node, place: int) -> Node | Borrowed:
    if not value.aval.shape:
        return _element(value)
    return Node(Input("initial", place), (), (), (value.aval,))


def _element(value: Node) -> Borrowed:
    """A number, which stands for itself."""
    root = behind_views(value)
    return Borrowed(Node(Input("scalar", 0), (), (), (value.aval,)), root, position_of(value, root, ()).offset)


def position_of(value: Node, root: Node, index: IndexMap) -> Affine:
    """Where in its root an element of a value is; `index` are the first expressions of its index, others being 0."""
    index = (*index, *(Affine(),) * (len(value.aval.shape) - len(index)))
    while value is not root:
        inner = _index(value)
        assert inner is not None
        index = tuple(affine.substitute(index) for affine in inner)
        value = value.inputs[0]
    return linear_index(index, root.aval.shape)


def first_slice(stacked: Any) -> Any:
    """The first slice."""
    return in_role("reshape")(in_role("slice")(stacked, 0, 0, 1), stacked.shape[1:])


class _Maker:
    """Makes the graph of one body."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._borrowed: list[Borrowed] = []
        self._inputs: list[Node] = []
        self._known: dict[Node, Node] = {}

    def step(self, node: Node, params: dict[str, Any]) -> Body:
        """The body of a scan."""
        count, sliced = params["carries"], params["carries"] + params["slices"]
        index = self._input("index", Aval((), _INDEX), params["length"])
        carried = tuple(self._carried(value) for value in node.inputs[:count])
        slices = [self._sliced(value, node.where) for value in node.inputs[count:sliced]]
        captures = [self._captured(value, root_of_capture(value, params)) for value in node.inputs[sliced:]]
        found = self._outputs(params["body"], [index, *carried, *slices, *captures])
        return self._body(found[count:], carried, found[:count], index)

    def plain(
        self, region: Region, captures: Sequence[Node], carried: Sequence[Node] = (), updates: bool = False
    ) -> Body:
        """A region of carried values and captures; its results are the next carried values if they are `updates`."""
        stand_ins = tuple(self._carried(value) for value in carried)
        found = self._outputs(region, [*stand_ins, *map(self._captured, captures)])
        return self._body(() if updates else found, stand_ins, found if updates else (), None)

    def _body(
        self, outputs: Sequence[Node], carried: tuple[Node, ...], following: Sequence[Node], index: Node | None
    ) -> Body:
        updates = tuple(zip(carried, following, strict=False))
        graph = Graph(tuple(self._inputs), tuple(outputs), updates).pruned()
        return Body(graph, tuple(self._borrowed), carried, index)

    def _outputs(self, region: Region, inputs: Sequence[Node]) -> list[Node]:
        """The results of a region for other inputs."""
        known = dict(zip(region.graph.inputs, inputs, strict=True))
        for node in region.graph.nodes():
            if node not in known:
                known[node] = self._builder.again(node, tuple(known[value] for value in node.inputs))
        return [known[node] for node in region.graph.outputs]

    def _input(self, kind: str, aval: Aval, position: int | None = None) -> Node:
        found = self._builder.input(kind, len(self._inputs) if position is None else position, aval)
        self._inputs.append(found)
        return found

    def _carried(self, value: Node) -> Node:
        return self._input("carried" if value.aval.shape else "scalar", value.aval)

    def _captured(self, value: Node, root: Node | None = None) -> Node:
        """A value of the outside by way of the stored value behind its views."""
        root = root or behind_views(value)
        if root not in self._known:
            self._known[root] = self._stand_in(root)
        return self._through(value, root, self._known[root])

    def _stand_in(self, root: Node, step: int = 0) -> Node:
        if isinstance(root.op, Literal):
            return self._builder.again(root, ())
        found = self._input("outside" if root.aval.shape else "scalar", root.aval)
        self._borrowed.append(Borrowed(found, root, 0, step))
        return found

    def _through(self, value: Node, root: Node, stand_in: Node) -> Node:
        """The views of a root, seen from its stand-in."""
        views = []
        while value is not root:
            views.append(value)
            value = value.inputs[0]
        for view in reversed(views):
            stand_in = self._builder.again(view, (stand_in,))
        return stand_in

    def _sliced(self, value: Node, place: str) -> Node:
        """One slice of an array: its first one, in memory that moves on."""
        root = behind_views(value)
        if not root.aval.shape:
            return traced(self._builder, first_slice, (self._captured(value),), place)
        position = position_of(value, root, (Affine.axis(0),))
        step = dict(position.terms).get(0, 0)
        aval = Aval(value.aval.shape[1:], value.aval.dtype)
        if not aval.shape:
            found = self._input("scalar", aval)
            self._borrowed.append(Borrowed(found, root, position.offset, step))
            return found
        return traced(self._builder, first_slice, (self._through(value, root, self._stand_in(root, step)),), place)
