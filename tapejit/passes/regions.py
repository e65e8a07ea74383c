"""Graph → Graph: operations that hold regions, with no more in their regions than has to be there.

Results that nobody reads go, and with them what only they are made of; what does not change from one iteration to the
next is computed once, outside; literals are literals inside too. A loop that runs once, or a branch that is known,
needs no region. Start reading at `Regions.rewrite`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from ..dataclass import dataclass
from ..graph import Builder, Graph, Literal, Node, Part, Region, regions_of, with_regions
from ..lowering import (
    Affine,
    Contraction,
    Convolution,
    Pieces,
    Pointwise,
    Reduction,
    ScanRegion,
    SwitchRegion,
    View,
    WhileRegion,
)
from ..primitive import in_role
from .bodies import LONG, behind_views, first_slice, position_of
from .composing import traced
from .orientation import may_be_turned, oriented, transposed
from .rebuilding import closed, copied, is_literal, reached

HELD = 1 << 20
"""What an iteration can compute in passing is not kept for all of them if it takes more bytes."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What a region gets: the argument in its graph, and the outside's value for it."""

    argument: Node
    value: Node


@dataclass(frozen=True, slots=True)
class _Carried:
    """What a loop carries on: the argument, its first value, its next value in the body's graph, which result it is."""

    argument: Node
    value: Node
    following: Node
    place: int


class Regions:
    """One run over a graph.

    Parameters
    ----------
    graph : Graph
        The graph: which results of its operations are read.
    prepare : callable
        Prepares the graph of a region.
    """

    def __init__(self, graph: Graph, prepare: Callable[[Graph], Graph]) -> None:
        self._prepare = prepare
        self._used: dict[Node, set[int]] = {}
        self._found: dict[Node, dict[int, Node]] = {}
        for node in graph.nodes():
            if isinstance(node.op, Part):
                self._used.setdefault(node.inputs[0], set()).add(node.op.index)

    def rewrite(self, builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        """The node in the new graph; None for the same operation."""
        if isinstance(node.op, Part) and node.inputs[0] in self._found:
            return self._found[node.inputs[0]][node.op.index]
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, ScanRegion):
            self._found[node] = self._scan(builder, node, inputs)
        elif isinstance(lowering, WhileRegion):
            self._found[node] = self._while(builder, node, inputs)
        elif isinstance(lowering, SwitchRegion):
            self._found[node] = self._switch(builder, node, inputs)
        else:
            return self._others(builder, node, inputs)
        return inputs[0] if inputs else builder.literal(0, node.aval.dtype)  # only its results are asked for

    def _others(self, builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        """Of an operation that no kernel holds the regions are prepared."""
        if node.primitive is None or not regions_of(node.params):
            return None

        def prepared(region: Region) -> Region:
            return Region(self._prepare(region.graph), region.captures)

        params = {name: with_regions(value, prepared) for name, value in node.params}
        return builder.apply(node.primitive, inputs, params, node.where)

    # Loops of known length

    def _scan(self, builder: Builder, node: Node, inputs: tuple[Node, ...]) -> dict[int, Node]:
        params = dict(node.params)
        count, sliced, length = params["carries"], params["carries"] + params["slices"], params["length"]
        graph, used = params["body"].graph, self._used.get(node, set())
        index, *arguments = graph.inputs
        if length == 0:
            return _of_no_iteration(builder, node, inputs, count)
        carried = [
            _Carried(*three, place)
            for place, three in enumerate(zip(arguments, inputs[:count], graph.outputs, strict=False))
        ]
        stacked = {place: root for place, root in enumerate(graph.outputs) if place >= count and place in used}
        carried, fixed, found = _changing(carried, used, list(stacked.values()))
        given = [_Given(*two) for two in zip(arguments[count:], inputs[count:], strict=True)]
        slices, captures = given[: sliced - count], [*given[sliced - count :], *fixed]
        slices, steady = _sliced(builder, slices, node.where)
        loop = _Loop(index, carried, slices, [*captures, *steady], stacked)
        loop = loop.prepared(self._prepare)
        if length == 1:
            return found | loop.once(builder, node.where)
        loop = loop.without_steady(builder).oriented(builder, length, node.where)
        found |= loop.steady_results(builder, length, node.where)
        return found | loop.bound(builder, node, params)

    # Loops of unknown length

    def _while(self, builder: Builder, node: Node, inputs: tuple[Node, ...]) -> dict[int, Node]:
        params = dict(node.params)
        count, used = params["carries"], self._used.get(node, set())
        condition, body = (self._prepare(params[name].graph) for name in ("condition", "body"))
        joint = Builder()  # the condition's arguments are the body's
        arguments = [joint.input("argument", place, each.aval) for place, each in enumerate(body.inputs)]
        following = copied(joint, body.outputs, dict(zip(body.inputs, arguments, strict=True)))
        (tested,) = copied(joint, condition.outputs, dict(zip(condition.inputs, arguments, strict=True)))
        carried = [
            _Carried(*three, place)
            for place, three in enumerate(zip(arguments, inputs[:count], following, strict=False))
        ]
        carried, fixed, found = _changing(carried, used, [tested])
        given = [_Given(*two) for two in zip(arguments[count:], inputs[count:], strict=True)]
        captures = [*given, *fixed]
        first = [each.argument for each in carried]
        steady = _steady(builder, arguments, captures, [tested, *(each.following for each in carried)])
        captures += [each for each in steady if _always_succeeds(each.argument)]
        names = ("condition", "body")
        roots = ([tested], [each.following for each in carried])
        regions, captures = self._regions(first, captures, roots)
        params |= dict(zip(names, regions, strict=True)) | {"carries": len(carried)}
        values = (*(each.value for each in carried), *(each.value for each in captures))
        assert node.primitive is not None
        made = builder.apply(node.primitive, values, params, node.where)
        return found | {each.place: builder.part(made, at) for at, each in enumerate(carried)}

    # Branches

    def _switch(self, builder: Builder, node: Node, inputs: tuple[Node, ...]) -> dict[int, Node]:
        branches = [branch.graph for branch in dict(node.params)["branches"]]
        chosen, values = inputs[0], inputs[1:]
        places = sorted(self._used.get(node, set()))
        if isinstance(chosen.op, Literal):
            graph = self._prepare(branches[int(chosen.op.value)])
            roots = [graph.outputs[place] for place in places]
            taken = copied(builder, roots, dict(zip(graph.inputs, values, strict=True)))
            return dict(zip(places, taken, strict=True))
        joint = Builder()
        arguments = [joint.input("argument", place, value.aval) for place, value in enumerate(values)]
        given = [copied(joint, graph.outputs, dict(zip(graph.inputs, arguments, strict=True))) for graph in branches]
        outside = dict(zip(arguments, values, strict=True))
        alike = {place for place in places if len({each[place] for each in given}) == 1 and given[0][place] in outside}
        found = {place: outside[given[0][place]] for place in alike}
        places = [place for place in places if place not in alike]
        if not places:
            return found
        captures = [_Given(*two) for two in outside.items()]
        regions, captures = self._regions([], captures, [[each[place] for place in places] for each in given])
        assert node.primitive is not None
        read = (chosen, *(each.value for each in captures))
        made = builder.apply(node.primitive, read, {"branches": tuple(regions)}, node.where)
        return found | {place: builder.part(made, at) for at, place in enumerate(places)}

    def _regions(
        self, first: Sequence[Node], captures: Sequence[_Given], roots: Sequence[Sequence[Node]]
    ) -> tuple[list[Any], list[_Given]]:
        """Regions of the same arguments, prepared, with the captures that any of them reads."""
        captures, known = _without_literals(captures)
        inputs = [*first, *(each.argument for each in captures)]
        made = [closed(inputs, each, known, len(captures)) for each in roots]
        graphs = [self._prepare(region.graph) for region in made]
        read = [_read(graph.outputs) for graph in graphs]
        kept = [
            place
            for place in range(len(first), len(inputs))
            if any(graph.inputs[place] in nodes for graph, nodes in zip(graphs, read, strict=True))
        ]
        places = [*range(len(first)), *kept]
        regions = [closed([graph.inputs[place] for place in places], graph.outputs, {}, len(kept)) for graph in graphs]
        return regions, [captures[place - len(first)] for place in kept]


@dataclass(frozen=True, slots=True)
class _Loop:
    """A scan while it is put together; `stacked` are the results in the body's graph, by their place."""

    index: Node
    carried: list[_Carried]
    slices: list[_Given]
    captures: list[_Given]
    stacked: dict[int, Node]

    def arguments(self) -> list[Node]:
        """The arguments of its body."""
        given = [each.argument for each in (*self.slices, *self.captures)]
        return [self.index, *(each.argument for each in self.carried), *given]

    def roots(self) -> list[Node]:
        """What its body gives."""
        return [*(each.following for each in self.carried), *self.stacked.values()]

    def once(self, builder: Builder, where: str) -> dict[int, Node]:
        """The results of one iteration."""
        values = {each.argument: each.value for each in self.carried}
        values |= {each.argument: each.value for each in self.captures}
        values |= {each.argument: traced(builder, first_slice, (each.value,), where) for each in self.slices}
        values[self.index] = builder.literal(0, self.index.aval.dtype)
        found = copied(builder, self.roots(), values)
        count = len(self.carried)
        stacked = [traced(builder, _alone, (value,), where) for value in found[count:]]
        places = [*(each.place for each in self.carried), *self.stacked]
        return dict(zip(places, [*found[:count], *stacked], strict=True))

    def prepared(self, prepare: Callable[[Graph], Graph]) -> "_Loop":
        """With the body prepared, and without captures that are literals."""
        captures, known = _without_literals(self.captures)
        loop = replace(self, captures=captures)
        graph = prepare(closed(loop.arguments(), self.roots(), known, 0).graph)
        return loop.in_terms_of(graph)

    def in_terms_of(self, graph: Graph) -> "_Loop":
        """The same in terms of another graph of its arguments and roots."""
        index, *arguments = graph.inputs
        count, sliced = len(self.carried), len(self.carried) + len(self.slices)
        carried = [
            replace(each, argument=argument, following=root)
            for each, argument, root in zip(self.carried, arguments, graph.outputs, strict=False)
        ]
        slices = [replace(each, argument=one) for each, one in zip(self.slices, arguments[count:], strict=False)]
        captures = [replace(each, argument=one) for each, one in zip(self.captures, arguments[sliced:], strict=True)]
        return _Loop(index, carried, slices, captures, dict(zip(self.stacked, graph.outputs[count:], strict=True)))

    def without_steady(self, builder: Builder) -> "_Loop":
        """With what depends on captures alone computed outside."""
        moved = _steady(builder, self.arguments(), self.captures, self.roots())
        return replace(self, captures=[*self.captures, *moved])

    def oriented(self, builder: Builder, length: int, where: str) -> "_Loop":
        """With copies of matrices that are better read the other way round."""
        values = {each.argument: each.value for each in self.captures if may_be_turned(each.argument.aval)}
        if length < LONG or not values:
            return self
        roots, turned = oriented(self.roots(), values)
        if not turned:
            return self
        more = [_Given(new, traced(builder, transposed, (values[matrix],), where)) for matrix, new in turned.items()]
        carried = [replace(each, following=root) for each, root in zip(self.carried, roots, strict=False)]
        stacked = dict(zip(self.stacked, roots[len(carried) :], strict=True))
        return replace(self, carried=carried, stacked=stacked, captures=[*self.captures, *more])

    def steady_results(self, builder: Builder, length: int, where: str) -> dict[int, Node]:
        """The stacked results that are the same at each index; they are no longer the loop's."""
        outside = {each.argument: each.value for each in self.captures}
        found = {}
        for place, root in list(self.stacked.items()):
            if behind_views(root) in outside or is_literal(root):
                (value,) = copied(builder, [root], outside)
                found[place] = traced(builder, _repeated, (value,), where, length=length)
                del self.stacked[place]
        return found

    def bound(self, builder: Builder, node: Node, params: dict[str, Any]) -> dict[int, Node]:
        """The operation in the new graph, without what its body does not read."""
        roots = self.roots()
        if not roots:
            return {}
        known = {each.argument for each in self.captures}
        read = _read(roots, known)
        loop = replace(
            self,
            slices=[each for each in self.slices if each.argument in read],
            captures=[each for each in self.captures if each.argument in read],
        )
        body = closed(loop.arguments(), roots, {}, len(loop.captures))
        params = params | {"body": body, "carries": len(loop.carried), "slices": len(loop.slices)}
        values = (*(each.value for each in loop.carried), *(each.value for each in (*loop.slices, *loop.captures)))
        assert node.primitive is not None
        made = builder.apply(node.primitive, values, params, node.where)
        places = [*(each.place for each in loop.carried), *loop.stacked]
        return {place: builder.part(made, at) for at, place in enumerate(places)}


def _changing(
    carried: list[_Carried], used: set[int], roots: list[Node]
) -> tuple[list[_Carried], list[_Given], dict[int, Node]]:
    """What has to be carried on, what stays as it is and so is a capture, and the results of the latter."""
    fixed = [each for each in carried if each.following is each.argument]
    changing = [each for each in carried if each.following is not each.argument]
    live = [each for each in changing if each.place in used]
    roots = [*roots, *(each.following for each in live)]
    while roots:
        read = set[Node]().union(*map(reached, roots))
        more = [each for each in changing if each not in live and each.argument in read]
        live += more
        roots = [each.following for each in more]
    live.sort(key=lambda each: each.place)
    captures = [_Given(each.argument, each.value) for each in fixed]
    return live, captures, {each.place: each.value for each in fixed}


def _sliced(builder: Builder, slices: list[_Given], where: str) -> tuple[list[_Given], list[_Given]]:
    """Slices, and those that are the same at each index: captures."""
    moving, steady = [], []
    for each in slices:
        root = behind_views(each.value)
        if isinstance(root.op, Literal) or not position_of(each.value, root, (Affine.axis(0),)).terms:
            steady.append(_Given(each.argument, traced(builder, first_slice, (each.value,), where)))
        else:
            moving.append(each)
    return moving, steady


def _without_literals(captures: Sequence[_Given]) -> tuple[list[_Given], dict[Node, Node]]:
    """Captures that are computed, each once; and for the arguments of the others what they are."""
    first: dict[Node, Node] = {}
    known: dict[Node, Node] = {}
    for each in captures:
        if is_literal(each.value):
            known[each.argument] = each.value
        elif first.setdefault(each.value, each.argument) is not each.argument:
            known[each.argument] = first[each.value]
    return [each for each in captures if each.argument not in known], known


def _read(roots: Sequence[Node], known: Collection[Node] = ()) -> set[Node]:
    """What roots are made of, down to what is known."""
    found: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(() if node in known else node.inputs)
    return found


def _steady(
    builder: Builder, arguments: Sequence[Node], captures: Sequence[_Given], roots: Sequence[Node]
) -> list[_Given]:
    """What a body computes of captures alone and is better computed once, with the outside's value for it."""
    outside = {each.argument: each.value for each in captures}
    moving = set(arguments) - outside.keys()
    order = Graph(tuple(arguments), tuple(roots), ()).nodes()
    steady: set[Node] = set()
    for node in order:
        if node not in moving and all(value in steady for value in node.inputs):
            steady.add(node)
    users = [value for node in order if node not in steady for value in node.inputs]
    border = dict.fromkeys(behind_views(node) for node in (*users, *roots) if node in steady)
    moved = [node for node in border if node not in outside and _is_worth_moving(node, outside)]
    return [_Given(*two) for two in zip(moved, copied(builder, moved, outside), strict=True)]


def _always_succeeds(node: Node) -> bool:
    """Whether it can be computed though nobody may want it: without checks, and in known time."""
    lowerings = (each.primitive.lowering for each in reached(node) if each.primitive is not None)
    return all(isinstance(each, (Pointwise, Reduction, View, Pieces, Contraction, Convolution)) for each in lowerings)


def _is_worth_moving(node: Node, captures: dict[Node, Node]) -> bool:
    """Whether it is better computed once; what is computed of literals in passing is not."""
    lowering = None if node.primitive is None else node.primitive.lowering
    if lowering is None and not isinstance(node.op, Part):
        return False
    if not isinstance(lowering, Pointwise):
        return True
    return node.aval.nbytes <= HELD and any(value in captures for value in reached(node))


def _of_no_iteration(builder: Builder, node: Node, inputs: tuple[Node, ...], count: int) -> dict[int, Node]:
    """The first values, and empty arrays."""
    found = dict(enumerate(inputs[:count]))
    for place, aval in enumerate(node.avals[count:], start=count):
        zero = builder.literal(0, aval.dtype)
        found[place] = traced(builder, in_role("broadcast"), (zero,), node.where, shape=aval.shape)
    return found


def _alone(value: Any) -> Any:
    return in_role("reshape")(value, (1, *value.shape))


def _repeated(value: Any, length: int) -> Any:
    return in_role("broadcast")(value, (length, *value.shape))
