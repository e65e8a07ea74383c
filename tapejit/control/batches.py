"""The batch rules of operations that hold regions: the same operations, with bodies that compute a batch.

What a body carries is batched if what it begins with is, or becomes so. Where the examples of a batch go different
ways, all branches are computed and each example takes its own; a loop runs as long as any example goes on, and those
that are done keep their values. What could fail (an index out of range) or not come to an end on values that an
example's own way would never have met gets those of an example that is on that way.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..aval import Aval
from ..batching import BatchedTensor, Batching
from ..graph import Graph, Node, Region, regions_of
from ..graph.region import RegionTrace
from ..graph.replay import replay
from ..lowering import Composite, Contraction, Convolution, Pieces, Pointwise, Reduction, Scan, View
from ..primitive import Params, State, Value, current, in_role, interpreting
from .applied import apply_checkpoint, apply_switch, apply_while
from .assembling import Assembly, closed_together
from .form import form_of

_TOTAL = (Pointwise, Reduction, View, Pieces, Contraction, Convolution, Scan, Composite)
"""What is computed for any values, in a known time."""


class _Batch:
    """A graph's operations again, for a batch of inputs.

    Parameters
    ----------
    graph : Graph
        What is run again.
    batched : sequence of bool
        Which of its inputs have the batch axis.
    size : int
        The length of that axis.
    what : str
        For messages.
    """

    def __init__(self, graph: Graph, batched: Sequence[bool], size: int, what: str) -> None:
        avals = [_with_axis(node.aval, has, size) for node, has in zip(graph.inputs, batched, strict=True)]
        self.trace = RegionTrace(avals, what)
        self.level = Batching(State(self.trace, ()), size)
        inputs = [self.trace.argument(position) for position in range(len(avals))]
        self._known = replayed(graph, inputs, batched, self.level)
        self.outputs = [self._known[node] for node in graph.outputs]

    def is_batched(self, place: int) -> bool:
        """Whether an output has the batch axis."""
        return self.level.value_of(self.outputs[place]) is not self.outputs[place]

    def output(self, place: int, everywhere: bool) -> Node:
        """An output's node; with the batch axis if it has to be there."""
        value = self.outputs[place]
        found = self.level.all_of(value) if everywhere else self.level.value_of(value)
        return self.trace.node_of(found)


def _with_axis(aval: Aval, batched: bool, size: int) -> Aval:
    return Aval((size, *aval.shape), aval.dtype) if batched else aval


def replayed(graph: Graph, inputs: Sequence[Any], batched: Sequence[bool], level: Batching) -> dict[Node, Any]:
    """The graph's operations on these inputs, some of which are all examples of a batch."""
    values = [BatchedTensor(level, value) if has else value for value, has in zip(inputs, batched, strict=True)]
    with interpreting(level):
        return replay(graph, values, level)


def _everywhere(value: Any, batched: bool, size: int) -> Any:
    return value if batched else ops.broadcast_to(value, (size, *value.shape))


# Scan


def scan_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> list[Any]:
    """The batch rule of a scan; see `primitive.BatchRule`."""
    form = form_of(params)
    flags = list(batched)
    while True:
        batch = _Batch(form.graph, [False, *flags], size, "a batch of scans")
        after = [flags[place] or batch.is_batched(place) for place in range(form.carries)]
        if after == flags[: form.carries]:
            break
        flags[: form.carries] = after
    index, *nodes = batch.trace.arguments
    assembly = Assembly(batch.trace, index, keeps_history=False)
    for place, node in enumerate(nodes):
        if place < form.carries:
            assembly.carries.append((node, _everywhere(inputs[place], batched[place] or not flags[place], size)))
            assembly.following.append(batch.output(place, flags[place]))
        elif place in form.sliced:
            assembly.slices.append((node, _exchanged(inputs[place]) if flags[place] else inputs[place]))
        else:
            assembly.captures.append((node, inputs[place]))
    assembly.stacked = [batch.output(place, False) for place in form.stacks]
    last, stacks = assembly.apply(form.length, form.reverse)
    results = [_everywhere(value, flags[place], size) for place, value in enumerate(last)]
    for place, value in zip(form.stacks, stacks, strict=True):
        has = batch.is_batched(place)
        results.append(_exchanged(value) if has else _everywhere(value, False, size))
    return results


def _exchanged(x: Any) -> Any:
    """With the first two axes exchanged."""
    return ops.permute_dims(x, (1, 0, *range(2, len(x.shape))))


# Branches


def switch_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> list[Any]:
    """The batch rule of a switch."""
    index, *operands = inputs
    branches: tuple[Region, ...] = params["branches"]
    if batched[0]:
        return _each_its_own(index, operands, batched[1:], size, branches)
    regions, lifted, flags = _batched_regions(branches, batched[1:], size)
    results = apply_switch([index, *operands, *lifted], branches=regions)
    return [_everywhere(value, has, size) for value, has in zip(results, flags, strict=True)]


def checkpoint_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> list[Any]:
    """The batch rule of a function under `checkpoint`."""
    regions, lifted, flags = _batched_regions((params["body"],), batched, size)
    results = apply_checkpoint([*inputs, *lifted], body=regions[0])
    return [_everywhere(value, has, size) for value, has in zip(results, flags, strict=True)]


def _batched_regions(
    branches: Sequence[Region], batched: Sequence[bool], size: int, everywhere: bool = False
) -> tuple[tuple[Region, ...], list[Value], list[bool]]:
    """Branches for a batch, what they get behind their operands, and which results have the batch axis."""
    made = [_Batch(branch.graph, batched, size, "a batch of branches") for branch in branches]
    count = len(branches[0].graph.outputs)
    flags = [everywhere or any(batch.is_batched(place) for batch in made) for place in range(count)]
    outputs = [[batch.output(place, has) for place, has in enumerate(flags)] for batch in made]
    traced = [(batch.trace, batch.trace.arguments, nodes) for batch, nodes in zip(made, outputs, strict=True)]
    regions, lifted = closed_together(traced)
    return regions, lifted, flags


def _each_its_own(
    index: Any, operands: Sequence[Any], batched: Sequence[bool], size: int, branches: Sequence[Region]
) -> list[Any]:
    """For each example what its branch gives."""
    places = in_role("iota")(length=len(branches))
    chosen = ops.equal(ops.expand_dims(index, 1), places)
    results: list[Any] = []
    for place, branch in enumerate(branches):
        mine = chosen[:, place]
        run = _guarded if is_partial(branch.graph) else _plainly
        found = run(branch, operands, batched, size, mine)
        results = [_chosen(mine, one, other) for one, other in zip(found, results, strict=True)] if results else found
    return results


def _plainly(branch: Region, operands: Sequence[Any], batched: Sequence[bool], size: int, mine: Any) -> list[Any]:  # noqa: ARG001
    """What a branch gives for all examples."""
    level = Batching(current(), size)
    known = replayed(branch.graph, operands, batched, level)
    return [level.all_of(known[node]) for node in branch.graph.outputs]


def _guarded(branch: Region, operands: Sequence[Any], batched: Sequence[bool], size: int, mine: Any) -> list[Any]:
    """What a branch gives for examples that take it, and others for values of one of those; zeros if none does."""
    (region,), lifted, _ = _batched_regions((branch,), batched, size, everywhere=True)
    inputs = [_of_those(mine, value) if has else value for value, has in zip(operands, batched, strict=True)] + lifted
    avals = [Aval(value.shape, value.dtype) for value in inputs]
    trace = RegionTrace(avals, "a branch that no example takes")
    with interpreting(trace):
        zeros = [in_role("zeros")(node.aval.shape, node.aval.dtype) for node in region.graph.outputs]
        nothing = trace.region(trace.arguments, [trace.node_of(value) for value in zeros], [])
    nothing = Region(nothing.graph, len(nothing.graph.inputs))
    anyone = ops.astype(ops.any(mine), np.int64)
    return list(apply_switch([anyone, *inputs], branches=(nothing, region)))


def is_partial(graph: Graph) -> bool:
    """Whether it may fail, or run on, for values that it was not meant for."""
    return any(
        bool(regions_of(node.params)) or not isinstance(node.primitive.lowering, _TOTAL)
        for node in graph.nodes()
        if node.primitive is not None
    )


def _of_those(mine: Any, values: Any) -> Any:
    """Values for each example: its own if it is one of those, else those of the first that is."""
    first = ops.gather(values, ops.reshape(ops.argmax(mine), (1,)), (0,))
    return _chosen(mine, values, ops.broadcast_to(first, values.shape))


def _chosen(mine: Any, values: Any, others: Any) -> Any:
    condition = ops.reshape(mine, (*mine.shape, *(1,) * (len(values.shape) - 1)))
    return ops.where(condition, values, others)


# Loops that end by a condition


def while_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> list[Any]:
    """The batch rule of a loop."""
    condition: Region = params["condition"]
    body: Region = params["body"]
    carries: int = params["carries"]
    flags = list(batched)
    while True:
        batch = _Batch(body.graph, flags, size, "a batch of loops")
        test = _Batch(condition.graph, flags, size, "the condition of a batch of loops")
        apart = test.is_batched(0)
        after = [apart or flags[place] or batch.is_batched(place) for place in range(carries)]
        if after == flags[:carries]:
            break
        flags[:carries] = after
    starts = [_everywhere(inputs[place], batched[place] or not flags[place], size) for place in range(carries)]
    operands = [*starts, *inputs[carries:]]
    if apart:
        return _each_as_long(operands, flags, size, condition, body, carries)
    following = [batch.output(place, flags[place]) for place in range(carries)]
    both = [(test.trace, test.trace.arguments, [test.output(0, False)])]
    both.append((batch.trace, batch.trace.arguments, following))
    (test_region, region), lifted = closed_together(both)
    results = apply_while([*operands, *lifted], condition=test_region, body=region, carries=carries)
    return [_everywhere(value, has, size) for value, has in zip(results, flags, strict=False)]


def _each_as_long(
    operands: Sequence[Any], flags: Sequence[bool], size: int, condition: Region, body: Region, carries: int
) -> list[Any]:
    """The loop in which each example goes on as long as its own condition holds; the last thing carried says which."""
    level = Batching(current(), size)
    goes_on = level.all_of(replayed(condition.graph, operands, flags, level)[condition.graph.outputs[0]])
    avals = [Aval(value.shape, value.dtype) for value in operands]
    going = Aval((size,), np.dtype(np.bool_))
    trace = RegionTrace([*avals, going], "a batch of loops")
    arguments = [trace.argument(position) for position in range(len(trace.arguments))]
    *inputs, mine = arguments
    partial = is_partial(body.graph)
    with interpreting(trace):
        inner = Batching(current(), size)
        safe = [_of_those(mine, value) for value in inputs[:carries]] if partial else inputs[:carries]
        known = replayed(body.graph, [*safe, *inputs[carries:]], flags, inner)
        given = [inner.all_of(known[node]) for node in body.graph.outputs]
        following = [_chosen(mine, one, other) for one, other in zip(given, inputs, strict=False)]
        tested = replayed(condition.graph, [*following, *inputs[carries:]], flags, inner)
        following.append(ops.logical_and(mine, inner.all_of(tested[condition.graph.outputs[0]])))
        outputs = [trace.node_of(value) for value in following]
    test = RegionTrace([*avals, going], "the condition of a batch of loops")
    with interpreting(test):
        anyone = test.node_of(ops.any(test.argument(len(avals))))
    both = [
        (each, [*each.arguments[:carries], each.arguments[-1], *each.arguments[carries:-1]], nodes)
        for each, nodes in ((test, [anyone]), (trace, outputs))
    ]
    (test_region, region), lifted = closed_together(both)
    inputs_of_all = [*operands[:carries], goes_on, *operands[carries:], *lifted]
    results = apply_while(inputs_of_all, condition=test_region, body=region, carries=carries + 1)
    return list(results[:carries])
