"""The forward rules of operations that hold regions: operations whose regions carry tangents along.

The tangents of a body come from running its operations again before an accumulator. A scan's carried values are read
from its history, where it has one, so that only tangents are carried.
"""

from collections.abc import Sequence
from typing import Any

from ..graph import Graph, Node, Region
from ..graph.connections import bits_of
from ..graph.ir import in_order
from ..graph.region import RegionTrace
from ..graph.replay import replay
from ..primitive import Params, Value, add_tape, in_role, interpreting, remove_tape
from ..tape.accumulator import Tangents
from .applied import apply_checkpoint, apply_switch, apply_while
from .assembling import Assembly, closed_together
from .form import ScanForm, carried_depends, connected_of, form_of

Optional = Sequence[Any]
"""Values, some of them None."""


class _Pushed:
    """A graph's operations again, with tangents.

    Parameters
    ----------
    trace : RegionTrace
        Where.
    graph : Graph
        What is run again.
    inputs : sequence of Value
        For each input of the graph a value of the trace.
    tangents : sequence of Value or None
        Their tangents.
    """

    def __init__(self, trace: RegionTrace, graph: Graph, inputs: Sequence[Value], tangents: Optional) -> None:
        self._trace, self._tangents = trace, Tangents()
        for value, tangent in zip(inputs, tangents, strict=True):
            if tangent is not None:
                self._tangents.watch(value, tangent)
        with interpreting(trace):
            add_tape(self._tangents, forward=True)
            try:
                self._known = replay(graph, inputs, trace)
            finally:
                remove_tape(self._tangents)

    def primal(self, node: Node) -> Node:
        """The value of a node of the graph."""
        return self._trace.node_of(self._known[node])

    def tangent(self, node: Node) -> Node:
        """Its tangent, zeros where it depends on nothing."""
        found = self._tangents.of(self._known[node])
        with interpreting(self._trace):
            value = in_role("zeros")(node.aval.shape, node.aval.dtype) if found is None else found
            return self._trace.node_of(value)


# Scan


def scan_tangents(inputs: Sequence[Any], tangents: Optional, outputs: Sequence[Any], params: Params) -> list[Any]:
    """The forward rule of a scan; see `primitive.TangentRule`."""
    form = form_of(params)
    moving = {place for place, tangent in enumerate(tangents) if tangent is not None}
    bits = sum(1 << place for place in moving)
    wanted = [place for place, depends in enumerate(form.depends) if depends & bits]
    if not wanted:
        return [None] * len(outputs)
    if not form.length:
        return [tangents[place] if place in wanted else None for place in range(len(outputs))]
    carried = sorted(form.following(moving))
    results = _scan_of_tangents(form, inputs, tangents, outputs, carried, [p for p in wanted if p >= form.carries])
    return [results.get(place) if place in wanted else None for place in range(len(outputs))]


def _scan_of_tangents(
    form: ScanForm,
    inputs: Sequence[Any],
    tangents: Optional,
    outputs: Sequence[Any],
    carried: list[int],
    stacked: list[int],
) -> dict[int, Any]:
    graph = form.graph
    sources = [*carried, *(place for place in range(form.carries, form.count) if tangents[place] is not None)]
    given_tangents = [None, *(True if place in sources else None for place in range(form.count))]
    trace, pushed = _pushed(graph, given_tangents, "the tangents of scan")
    index, *nodes = trace.arguments[: form.count + 1]
    assembly = Assembly(trace, index)
    for place, node in zip(sources, trace.arguments[form.count + 1 :], strict=True):
        given = tangents[place]
        if place in form.sliced:
            assembly.slices.append((node, given))
        elif place in form.captures:
            assembly.captures.append((node, given))
        else:
            aval = form.argument(place).aval
            start = in_role("zeros")(aval.shape, aval.dtype) if given is None else given
            assembly.carries.append((node, start))
            assembly.following.append(pushed.tangent(graph.outputs[place]))
    assembly.stacked = [pushed.tangent(graph.outputs[place]) for place in stacked]
    _add_primals(assembly, form, pushed, nodes, inputs, outputs)
    last, stacks = assembly.apply(form.length, form.reverse)
    return dict(zip([*carried, *stacked], [*last[: len(carried)], *stacks], strict=True))


def _add_primals(
    assembly: Assembly,
    form: ScanForm,
    pushed: _Pushed,
    nodes: Sequence[Node],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
) -> None:
    """Where the body's own values come from: the history of the scan, or carried along again."""
    used = set(in_order([*assembly.following, *assembly.stacked]))
    missing = [place for place in range(form.carries) if nodes[place] in used and place not in form.history]
    for place, node in enumerate(nodes):
        if place in form.captures:
            assembly.captures.append((node, inputs[place]))
        elif place in form.sliced:
            assembly.slices.append((node, inputs[place]))
        elif missing:
            assembly.carries.append((node, inputs[place]))
            assembly.following.append(pushed.primal(form.graph.outputs[place]))
        elif place in form.history:
            assembly.slices.append((node, outputs[form.history[place]]))


# Branches


def switch_tangents(inputs: Sequence[Any], tangents: Optional, outputs: Sequence[Any], params: Params) -> list[Any]:
    """The forward rule of a switch."""
    places = _depending(params["branches"], tangents[1:])
    if not places:
        return [None] * len(outputs)
    regions, lifted = _tangent_regions(params["branches"], tangents[1:], places)
    moving = [tangent for tangent in tangents[1:] if tangent is not None]
    return _at(places, apply_switch([*inputs, *moving, *lifted], branches=regions), len(outputs))


def checkpoint_tangents(inputs: Sequence[Any], tangents: Optional, outputs: Sequence[Any], params: Params) -> list[Any]:
    """The forward rule of a function under `checkpoint`."""
    body = (params["body"],)
    places = _depending(body, tangents)
    if not places:
        return [None] * len(outputs)
    regions, lifted = _tangent_regions(body, tangents, places)
    moving = [tangent for tangent in tangents if tangent is not None]
    return _at(places, apply_checkpoint([*inputs, *moving, *lifted], body=regions[0]), len(outputs))


def _at(places: Sequence[int], values: Sequence[Any], count: int) -> list[Any]:
    found = dict(zip(places, values, strict=True))
    return [found.get(place) for place in range(count)]


def _depending(branches: Sequence[Region], tangents: Optional) -> list[int]:
    """Which results have tangents in any branch."""
    bits = bits_of(place for place, tangent in enumerate(tangents) if tangent is not None)
    depends = [0] * len(branches[0].graph.outputs)
    for branch in branches:
        depends = [one | other for one, other in zip(depends, connected_of(branch), strict=True)]
    return [place for place, sources in enumerate(depends) if sources & bits]


def _tangent_regions(
    branches: Sequence[Region], tangents: Optional, places: Sequence[int]
) -> tuple[tuple[Region, ...], list[Value]]:
    """For branches those that give the tangents of these results, from their inputs and the tangents that there are."""
    traced = []
    for branch in branches:
        trace, pushed = _pushed(branch.graph, tangents, "the tangents of a branch")
        traced.append((trace, trace.arguments, [pushed.tangent(branch.graph.outputs[place]) for place in places]))
    return closed_together(traced)


def _pushed(graph: Graph, tangents: Sequence[Any], what: str) -> tuple[RegionTrace, _Pushed]:
    """A graph run again in a trace, whose arguments are the inputs, and tangents for those for which there is one."""
    avals = [node.aval for node in graph.inputs]
    sources = [place for place, tangent in enumerate(tangents) if tangent is not None]
    trace = RegionTrace([*avals, *(avals[place] for place in sources)], what)
    arguments = [trace.argument(position) for position in range(len(trace.arguments))]
    moving: list[Any] = [None] * len(avals)
    for place, argument in zip(sources, arguments[len(avals) :], strict=True):
        moving[place] = argument
    return trace, _Pushed(trace, graph, arguments[: len(avals)], moving)


# Loops of nobody knows how many iterations


def while_tangents(inputs: Sequence[Any], tangents: Optional, outputs: Sequence[Any], params: Params) -> list[Any]:
    """The forward rule of a loop: it carries the tangents behind the values."""
    body: Region = params["body"]
    carries: int = params["carries"]
    depends = carried_depends(body, carries)
    bits = bits_of(place for place, tangent in enumerate(tangents) if tangent is not None)
    moving = [place for place, sources in enumerate(depends) if sources & bits]
    if not moving:
        return [None] * len(outputs)
    given = [place in moving if place < carries else tangent is not None for place, tangent in enumerate(tangents)]
    trace, pushed = _pushed(body.graph, [True if has else None for has in given], "the tangents of while_loop")
    count = len(inputs)
    values, along = trace.arguments[:count], trace.arguments[count:]
    following = [pushed.primal(node) for node in body.graph.outputs]
    following += [pushed.tangent(body.graph.outputs[place]) for place in moving]
    own = [*values[:carries], *along[: len(moving)], *values[carries:], *along[len(moving) :]]
    condition: Region = params["condition"]
    test, tested = _pushed(condition.graph, [None] * count, "the condition of while_loop")
    stands = [test.builder.input("tangent", place, node.aval) for place, node in enumerate(along)]
    inner = [*test.arguments[:carries], *stands[: len(moving)], *test.arguments[carries:], *stands[len(moving) :]]
    goes_on = [tested.primal(node) for node in condition.graph.outputs]
    (region, test_region), lifted = closed_together([(trace, own, following), (test, inner, goes_on)])
    zeros = in_role("zeros")
    starts = [
        zeros(inputs[place].shape, inputs[place].dtype) if tangents[place] is None else tangents[place]
        for place in moving
    ]
    rest = [tangents[place] for place in range(carries, count) if tangents[place] is not None]
    results = apply_while(
        [*inputs[:carries], *starts, *inputs[carries:], *rest, *lifted],
        condition=test_region,
        body=region,
        carries=carries + len(moving),
    )
    return _at(moving, results[carries:], len(outputs))
