"""Programs with regions, written with the primitives that graphs have: `scan`, `while_loop`, `switch`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import tapejit as tj
from tapejit.aval import Aval
from tapejit.control.primitives import INDEX, SCAN, SWITCH, WHILE
from tapejit.graph import trace_region
from tapejit.primitive import bind


def scan(
    body: Callable[..., tuple[Sequence[Any], Sequence[Any]]],
    carried: Sequence[Any],
    slices: Sequence[Any] = (),
    *,
    length: int | None = None,
    reverse: bool = False,
) -> list[Any]:
    """``body(index, *carried, *slices) -> next values, results`` for each index: last values, then stacked results."""
    carried, slices = list(map(tj.asarray, carried)), list(map(tj.asarray, slices))
    length = slices[0].shape[0] if length is None else length
    avals = [INDEX, *(x.aval for x in carried), *(Aval(x.shape[1:], x.dtype) for x in slices)]

    def flat(*given: Any) -> list[Any]:
        following, results = body(*given)
        return [*map(tj.asarray, following), *map(tj.asarray, results)]

    region, taken = trace_region(flat, avals, "the body of scan")
    params = {"body": region, "carries": len(carried), "slices": len(slices), "length": length, "reverse": reverse}
    return list(bind(SCAN, (*carried, *slices, *taken), params))


def while_loop(condition: Callable[..., Any], body: Callable[..., Sequence[Any]], carried: Sequence[Any]) -> list[Any]:
    """The carried values once the condition does not hold."""
    carried = list(map(tj.asarray, carried))
    avals = [x.aval for x in carried]
    both, taken = [], []

    def gather(*given: Any) -> list[Any]:
        return [tj.asarray(condition(*given)), *map(tj.asarray, body(*given))]

    joint, taken = trace_region(gather, avals, "a while loop")
    both = [part_of(joint, slice(0, 1)), part_of(joint, slice(1, None))]
    params = {"condition": both[0], "body": both[1], "carries": len(carried)}
    return list(bind(WHILE, (*carried, *taken), params))


def switch(index: Any, branches: Sequence[Callable[[], Sequence[Any]]]) -> list[Any]:
    """What one of the branches gives."""

    def gather() -> list[Any]:
        return [tj.asarray(value) for branch in branches for value in branch()]

    joint, taken = trace_region(gather, [], "a switch")
    count = len(joint.graph.outputs) // len(branches)
    regions = tuple(part_of(joint, slice(at * count, (at + 1) * count)) for at in range(len(branches)))
    return list(bind(SWITCH, (tj.asarray(index), *taken), {"branches": regions}))


def part_of(region: Any, outputs: slice) -> Any:
    """The same region with some of its outputs."""
    graph = region.graph
    return type(region)(replace(graph, outputs=graph.outputs[outputs]), region.captures)
