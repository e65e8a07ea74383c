"""The operations that carry a derivative of the user's own: their results are their first inputs, as they are.

What a function computes is bound as usual, under tapes and in traces. Then its results go through one of these
operations, and it is that one's derivative which tapes see: the inputs after the results are what the derivative is by.
In a kernel nothing is left of it. The derivative is linear, and comes as a Python function (eager mode: called when it
is asked for) or as a region (traces: made once, and bound again where it is asked for). Start reading at `Linear`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..aval import Aval
from ..batching import BatchedTensor, Batching
from ..families.batching import all_batched
from ..graph import Graph, Region
from ..graph.region import trace_region
from ..graph.replay import replay
from ..lowering import Alias
from ..primitive import (
    BASE,
    BatchRule,
    CallPlan,
    Masked,
    Params,
    Primitive,
    Value,
    Wanted,
    add_tape,
    bind,
    current,
    in_role,
    interpreting,
    remove_tape,
)
from ..tape.recording import Recording
from ..tape.reverse import pull_back

_NOTHING: Masked = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A linear function as Python: ``function(operands, captures) -> values``, each may be None."""

    function: Callable[[Sequence[Value], Sequence[Value]], Sequence[Value | None]]


Linear = Call | Region
"""A region's inputs are the function's operands, then captures."""

_TRACED: ContextVar[frozenset[int]] = ContextVar("tapejit_traced_rules", default=frozenset())


@contextmanager
def inside(function: Any) -> Iterator[bool]:
    """A block in which a function's rule is traced or called; says whether one was already, around it.

    A rule may call the function that it belongs to, whose rule then is for the next derivative. It is called when
    someone asks for that: else there would be no end to it.
    """
    before = _TRACED.get()
    token = _TRACED.set(before | {id(function)})
    try:
        yield id(function) in before
    finally:
        _TRACED.reset(token)


def apply_linear(
    linear: Linear, operands: Sequence[Value], captures: Sequence[Value], wanted: Sequence[int]
) -> list[Value | None]:
    """The results of a linear function whose positions are `wanted`, bound in the state of the moment."""
    if isinstance(linear, Call):
        results = linear.function(operands, captures)
        return [results[position] for position in wanted]
    outputs = tuple(linear.graph.outputs[position] for position in wanted)
    known = replay(Graph(linear.graph.inputs, outputs, ()), (*operands, *captures), current().interpreter)
    return [known[node] for node in outputs]


# --- the operations -----------------------------------------------------------------------------------------


def _joint_of_gradient(active: int, count: int, params: Params) -> CallPlan:
    """The reverse rule as the user gave it."""
    rule, results, by, seeds = params["rule"], params["results"], params["by"], params["seeds"]
    inputs = tuple(results + place for place in range(by) if active >> (results + place) & 1)
    avals = params["avals"]

    def pull(arrived: Sequence[Masked], kept: Sequence[Any], wanted: Sequence[Wanted]) -> Sequence[Masked]:
        cts = [_or_zeros(arrived[place][0], aval) for place, aval in zip(seeds, avals, strict=True)]
        asked = [place - results for place, wish in zip(inputs, wanted, strict=True) if wish is not Wanted.NOTHING]
        found = dict(zip(asked, apply_linear(rule, cts, kept, asked), strict=True))
        return [(found[place - results], None) if place - results in found else _NOTHING for place in inputs]

    captures = range(results + by, count)
    return CallPlan(inputs, seeds if inputs else (), tuple(captures), pull)


def _joint_of_tangent(active: int, count: int, params: Params) -> CallPlan:
    """The transpose of the forward rule: cotangents are pulled back through it at zero, as it is linear."""
    rule, results, by, seeds = params["rule"], params["results"], params["by"], params["seeds"]
    inputs = tuple(results + place for place in range(by) if active >> (results + place) & 1)
    avals = params["avals"]

    def pull(arrived: Sequence[Masked], kept: Sequence[Any], wanted: Sequence[Wanted]) -> Sequence[Masked]:
        tangents = [in_role("zeros")(aval.shape, aval.dtype) for aval in avals]
        recording = Recording(watch_accessed=False)
        for place, wish in zip(inputs, wanted, strict=True):
            if wish is not Wanted.NOTHING:
                recording.watch(tangents[place - results])
        add_tape(recording)
        try:
            moved = apply_linear(rule, tangents, kept, range(len(seeds)))
        finally:
            remove_tape(recording)
        cotangents: dict[int, Any] = {}
        for place, out in zip(seeds, moved, strict=True):
            ct = arrived[place][0]
            if ct is not None and out is not None:
                cotangents[out.key] = cotangents[out.key] + ct if out.key in cotangents else ct
        found = pull_back(recording.records, cotangents, [tangent.key for tangent in tangents])
        return [
            (found.get(tangents[place - results].key), None) if wish is not Wanted.NOTHING else _NOTHING
            for place, wish in zip(inputs, wanted, strict=True)
        ]

    captures = range(results + by, count)
    return CallPlan(inputs, seeds if inputs else (), tuple(captures), pull)


def _forward_of_tangent(inputs: Sequence[Any], tangents: Sequence[Any], _outputs: Any, params: Params) -> list[Any]:
    """The forward rule as the user gave it."""
    results, by, seeds = params["results"], params["by"], params["seeds"]
    moving = tangents[results : results + by]
    found: list[Any] = [None] * results
    if all(tangent is None for tangent in moving):
        return found
    operands = [_or_zeros(tangent, aval) for tangent, aval in zip(moving, params["avals"], strict=True)]
    moved = apply_linear(params["rule"], operands, inputs[results + by :], range(len(seeds)))
    for place, tangent in zip(seeds, moved, strict=True):
        found[place] = tangent
    return found


def _or_zeros(value: Any, aval: Aval) -> Any:
    return in_role("zeros")(aval.shape, aval.dtype) if value is None else value.settled()


# --- batches ------------------------------------------------------------------------------------------------


def _batch_of_gradient(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
    """The rule for each example; what is the same for all gets the sum of what all send."""
    results, by = params["results"], params["by"]
    has = batched[results:]

    def gradients(cts: Sequence[Value], captures: Sequence[Value]) -> list[Value | None]:
        level = Batching(current(), size)
        found = _in_batch(level, params["rule"], (cts, [True] * len(cts)), (captures, has[by:]), by)
        whole = [None if ct is None else level.all_of(ct) for ct in found]
        return [
            ct if ct is None or each else in_role("sum")(ct, (0,)) for ct, each in zip(whole, has[:by], strict=True)
        ]

    avals = tuple([_of_all(aval, size) for aval in params["avals"]])
    return _bound(WITH_GRADIENT, inputs, batched, size, {**params, "avals": avals}, gradients)


def _batch_of_tangent(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
    """The rule for each example."""
    results, by = params["results"], params["by"]
    has = batched[results:]

    def tangents(moving: Sequence[Value], captures: Sequence[Value]) -> list[Value | None]:
        level = Batching(current(), size)
        found = _in_batch(level, params["rule"], (moving, has[:by]), (captures, has[by:]), len(params["seeds"]))
        return [None if tangent is None else level.all_of(tangent) for tangent in found]

    avals = tuple([_of_all(aval, size) if each else aval for aval, each in zip(params["avals"], has, strict=False)])
    return _bound(WITH_TANGENT, inputs, batched, size, {**params, "avals": avals}, tangents)


Flagged = tuple[Sequence[Value], Sequence[bool]]
"""Values, and which of them have the batch axis."""


def _in_batch(level: Batching, linear: Linear, operands: Flagged, captures: Flagged, count: int) -> list[Value | None]:
    given, known = (
        [BatchedTensor(level, value) if has else value for value, has in zip(*flagged, strict=True)]
        for flagged in (operands, captures)
    )
    with interpreting(level):
        return apply_linear(linear, given, known, range(count))


def _of_all(aval: Aval, size: int) -> Aval:
    return Aval((size, *aval.shape), aval.dtype)


def _bound(
    primitive: Primitive,
    inputs: Sequence[Any],
    batched: Sequence[bool],
    size: int,
    params: Params,
    function: Callable[[Sequence[Value], Sequence[Value]], list[Value | None]],
) -> Any:
    """The operation for the whole batch, with `function` as its rule: as Python, or as a region where that was one."""
    results, by = params["results"], params["by"]
    values = all_batched(inputs[:results], batched[:results], size)
    captures = inputs[results + by :]
    linear: Linear = Call(function)
    if isinstance(params["rule"], Region) and current().interpreter is not BASE[0].interpreter:
        linear, captures = trace_region(
            partial(_of_operands, function, captures), params["avals"], "the rule of a batch"
        )
    operands = (*values, *inputs[results : results + by], *captures)
    return bind(primitive, operands, {**params, "rule": linear})


def _of_operands(function: Any, captures: Sequence[Value], *operands: Value) -> Sequence[Value]:
    return function(operands, captures)  # type: ignore[no-any-return]


def _primitive(name: str, joint: Any, batch: BatchRule, jvp: Any = None) -> Primitive:
    return Primitive(
        name=name,
        inputs=("*values",),
        impl=lambda *values, results, **_: values[:results],
        rule=lambda *avals, results, **_: avals[:results],
        vjp={},
        lowering=Alias(),
        cases=(),
        multiple=True,
        properties={"family": "custom"},
        joint=joint,
        jvp=jvp,
        batch=batch,
    )


WITH_GRADIENT = _primitive("custom_gradient", _joint_of_gradient, _batch_of_gradient)
WITH_TANGENT = _primitive("custom_jvp", _joint_of_tangent, _batch_of_tangent, _forward_of_tangent)
