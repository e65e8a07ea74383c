"""The operations that carry a derivative of the user's own: their results are their first inputs, as they are.

What a function computes is bound as usual, under tapes and in traces. Then its results go through one of these
operations, and it is that one's derivative which tapes see: the inputs after the results are what the derivative is by.
In a kernel nothing is left of it. The derivative is linear, and comes as a Python function (eager mode: called when it
is asked for) or as a region (traces: made once, and bound again where it is asked for). What else it reads are the
inputs after those, and results of the operation itself. Start reading at `Linear`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import Any

from ..aval import Aval, is_floating
from ..batching import BatchedTensor, Batching
from ..dataclass import dataclass
from ..errors import RuleError, at_user_line
from ..graph import Graph, Region, trace_region
from ..graph.replay import replay
from ..lowering import Alias
from ..primitive import (
    BASE,
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
    new_key,
    remove_tape,
)
from ..tape.recording import Recording
from ..tape.reverse import pull_back

_NOTHING: Masked = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A linear function as Python: ``function(operands, captures) -> values``, each may be None.

    `number` tells it from others in the text of regions, by which these are compared.
    """

    function: Callable[[Sequence[Value], Sequence[Value]], Sequence[Value | None]]
    number: int = field(default_factory=new_key)

    def __repr__(self) -> str:
        return f"rule {self.number}"


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


def floating(values: Sequence[Value]) -> tuple[int, ...]:
    """Positions of the floating ones."""
    return tuple(place for place, value in enumerate(values) if is_floating(value.dtype))


def without_own(captures: Sequence[Value], own: Mapping[int, int]) -> tuple[list[Value], tuple[int | None, ...]]:
    """The captures of a rule but for the results that it belongs to.

    Parameters
    ----------
    captures : sequence of Value
        What a region asks for.
    own : mapping of int to int
        From the keys of results to their positions.

    Returns
    -------
    tuple of list of Value and tuple of (int or None)
        The others; and for each capture the position of the result that it is, None for the others.
    """
    places = tuple([own.get(value.key) for value in captures])
    return [value for value, place in zip(captures, places, strict=True) if place is None], places


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

    return CallPlan(inputs, seeds if inputs else (), _places_of_captures(count, params), pull)


def _places_of_captures(count: int, params: Params) -> tuple[int, ...]:
    """Where the captures of a rule are, among inputs and results joined."""
    others = iter(range(params["results"] + params["by"], count))
    return tuple([next(others) if place is None else count + place for place in params["own"]])


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

    return CallPlan(inputs, seeds if inputs else (), _places_of_captures(count, params), pull)


def _forward_of_tangent(inputs: Sequence[Any], tangents: Sequence[Any], outputs: Any, params: Params) -> list[Any]:
    """The forward rule as the user gave it."""
    results, by, seeds = params["results"], params["by"], params["seeds"]
    moving = tangents[results : results + by]
    found: list[Any] = [None] * results
    if all(tangent is None for tangent in moving):
        return found
    operands = [_or_zeros(tangent, aval) for tangent, aval in zip(moving, params["avals"], strict=True)]
    both = (*inputs, *outputs)
    captures = [both[place] for place in _places_of_captures(len(inputs), params)]
    moved = apply_linear(params["rule"], operands, captures, range(len(seeds)))
    for place, tangent in zip(seeds, moved, strict=True):
        found[place] = tangent
    return found


def _or_zeros(value: Any, aval: Aval) -> Any:
    return in_role("zeros")(aval.shape, aval.dtype) if value is None else value.settled()


# --- batches ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Batched:
    """A linear function of one example as one of a batch of them.

    Attributes
    ----------
    linear : Linear
        Of one example.
    size : int
        How many there are.
    operands, captures : tuple of bool
        Which of these have the batch as their first axis; the others are the same for all.
    results : tuple of bool
        Which results are to have it; the others are added up over the batch, as what they are of is the same for all.
    """

    linear: Linear
    size: int
    operands: tuple[bool, ...]
    captures: tuple[bool, ...]
    results: tuple[bool, ...]

    def __call__(self, operands: Sequence[Value], captures: Sequence[Value]) -> list[Value | None]:
        """As for `Call`."""
        level = Batching(current(), self.size)

        def inside_of(values: Sequence[Value], batched: Sequence[bool]) -> list[Value]:
            return [BatchedTensor(level, value) if has else value for value, has in zip(values, batched, strict=True)]

        given, captured = inside_of(operands, self.operands), inside_of(captures, self.captures)
        with interpreting(level):
            found = apply_linear(self.linear, given, captured, range(len(self.results)))
            whole = [None if each is None else level.all_of(each) for each in found]
        return [
            each if has or each is None else in_role("sum")(each, (0,))
            for each, has in zip(whole, self.results, strict=True)
        ]


def _batch_rule(
    primitive: Primitive, inputs: Sequence[Value], batched: Sequence[bool], size: int, params: Params
) -> Any:
    """The results of a batch, with a rule for all of it; called where the batch was entered."""
    results, by, seeds = params["results"], params["by"], params["seeds"]
    values = [
        value if has else in_role("broadcast")(value, (size, *value.shape))
        for value, has in zip(inputs[:results], batched[:results], strict=True)
    ]
    sources, captures, own = inputs[results : results + by], inputs[results + by :], params["own"]
    places = [
        place - len(inputs) if place >= len(inputs) else place for place in _places_of_captures(len(inputs), params)
    ]
    everything = [*values, *inputs[results:]]
    of_sources = tuple(batched[results : results + by])
    of_captures = tuple([place < results or batched[place] for place in places])
    of_seeds = (True,) * len(seeds)
    forward = primitive is WITH_TANGENT
    operands = sources if forward else [values[place] for place in seeds]
    avals = tuple([value.aval for value in operands])
    function = _Batched(
        params["rule"],
        size,
        of_sources if forward else of_seeds,
        of_captures,
        of_seeds if forward else of_sources,
    )
    linear: Linear = Call(function)
    if isinstance(params["rule"], Region) and current().interpreter is not BASE[0].interpreter:
        captured = [everything[place] for place in places]
        # The results of a region are all there.
        linear, taken = trace_region(lambda *cts: function(cts, captured), avals, primitive.name)  # type: ignore[arg-type]
        captures, own = without_own(taken, {values[place].key: place for place in own if place is not None})
    params = {**params, "avals": avals, "rule": linear, "own": own}
    return bind(primitive, (*values, *sources, *captures), params)


def _primitive(name: str, joint: Any, jvp: Any = None) -> Primitive:
    made: Primitive
    made = Primitive(
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
        batch=lambda *call: _batch_rule(made, *call),
    )
    return made


WITH_GRADIENT = _primitive("custom_gradient", _joint_of_gradient)
WITH_TANGENT = _primitive("custom_jvp", _joint_of_tangent, _forward_of_tangent)


def refusing(values: Sequence[Value], by: Sequence[Value], message: str) -> Sequence[Value]:
    """The values, for which it is an error to ask for a derivative by `by`."""
    if not floating(values):
        return values

    def refuse(*_: Any) -> Any:
        raise RuleError(at_user_line(message))

    seeds = floating(values)
    avals = tuple([values[place].aval for place in seeds])
    params = {"results": len(values), "by": len(by), "seeds": seeds, "avals": avals, "rule": Call(refuse), "own": ()}
    return bind(WITH_GRADIENT, (*values, *by), params)  # type: ignore[no-any-return]
