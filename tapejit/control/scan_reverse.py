"""The reverse rule of scan: a scan in the other direction, whose body is the reverse of the body.

The reverse body runs the body's operations again, from what the scan kept of each iteration, under a tape, and pulls
back what arrives: the cotangents of carried values, which it carries itself, and of the stacked results, of which it
gets slices. It gives the cotangents of the slices; those of captures are summed up. Start reading at `scan_joint`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property, partial
from typing import Any

from ..aval import Aval
from ..dataclass import dataclass
from ..graph import Node, Region, TracedTensor
from ..graph.connections import positions_of, union
from ..graph.ir import in_order
from ..graph.region import RegionTrace
from ..graph.replay import replay
from ..primitive import CallPlan, Masked, Params, Value, Wanted, in_role, interpreting
from ..tape.recording import Recording
from ..tape.reverse import add, pull_back
from .applied import apply_scan
from .form import ScanForm, form_of
from .sums import Chain, Part, combined, parted, through

NOTHING: Masked = (None, None)


def scan_joint(active: int, count: int, params: Params) -> CallPlan:  # noqa: ARG001 (the protocol of joint rules)
    """The reverse rule of a scan; see `primitive.JointRule`."""
    form = form_of(params)
    depends = form.depends
    inputs = tuple(positions_of(union(depends) & active))
    results = tuple(place for place, bits in enumerate(depends) if bits & active)
    kept = _kept(form, inputs, results)
    return CallPlan(inputs, results, kept, partial(_pull, form, inputs, kept), depends)


def _kept(form: ScanForm, inputs: tuple[int, ...], results: tuple[int, ...]) -> tuple[int, ...]:
    """What the reverse reads if all results have cotangents and those of all inputs are asked for."""
    key = inputs, results
    if key not in form.kept:
        with_cotangents = [place for place in results if form.floats(form.graph.outputs[place])]
        reverse = Reverse(form, with_cotangents, inputs) if form.length else None
        form.kept[key] = reverse.body.kept(form) if reverse is not None and reverse.is_connected else ()
    return form.kept[key]


def _pull(
    form: ScanForm,
    inputs: tuple[int, ...],
    kept: tuple[int, ...],
    arrived: Sequence[Masked],
    values: Sequence[Value],
    wanted: Sequence[Wanted],
) -> list[Masked]:
    """The reverse pass: see `CallPlan`."""
    cotangents = {place: ct for place, (ct, _) in enumerate(arrived) if ct is not None}
    asked = [place for place, wish in zip(inputs, wanted, strict=True) if wish is not Wanted.NOTHING]
    if not form.length:
        found = {place: cotangents.get(place) for place in asked}
        return [(found.get(place), None) for place in inputs]
    reverse = Reverse(form, list(cotangents), asked)
    if not reverse.is_connected:
        return [NOTHING] * len(inputs)
    at = dict(zip(kept, values, strict=True))
    if reverse.lacks_history(at):
        at = _with_history(form, at)
    pulled = reverse.apply(cotangents, at)
    return [(pulled.get(place), None) for place in inputs]


def _with_history(form: ScanForm, at: Mapping[int, Value]) -> dict[int, Value]:
    """What is kept, and the history of a scan that gave none: it runs again."""
    graph = form.graph
    more = [place for place in range(form.carries) if place not in form.history]
    outputs = (*graph.outputs[: form.carries], *(form.argument(place) for place in more))
    body = Region(type(graph)(graph.inputs, outputs, ()), form.body.captures)
    results = apply_scan([at[place] for place in range(form.count)], **form.params(body=body))
    first = form.count + len(graph.outputs)
    return {**at, **dict(enumerate(results[form.carries :], first))}


@dataclass(frozen=True, slots=True)
class _Body:
    """The reverse body, and where its slices and captures come from.

    `slices` and `captures` are places, in inputs, results and histories that had to be made, joined; `lifted` are
    arrays that reverse rules brought along. `carried` are the carries whose cotangents it carries, `summed` the
    captures whose cotangents it sums up, with the types of the sums and what is made of them in the end; `given` are
    the inputs whose cotangents it gives slice by slice. `parts` has for captures parts of their cotangents that are
    summed up from what is stacked behind those, so many values of each, with their types and what is made of them.
    """

    region: Region
    slices: tuple[int, ...]
    captures: tuple[int, ...]
    lifted: tuple[Value, ...]
    carried: tuple[int, ...]
    summed: tuple[tuple[int, Aval, Chain], ...]
    given: tuple[int, ...]
    parts: tuple[tuple[int, Aval, Chain, Part, int], ...]

    def kept(self, form: ScanForm) -> tuple[int, ...]:
        """The places of what has to be kept for it."""
        both = form.count + len(form.graph.outputs)
        places = {*self.slices, *self.captures}
        if any(place >= both for place in places):
            places = {place for place in places if place < both} | set(range(form.count))
        return tuple(sorted(places))


@dataclass(eq=False)
class Reverse:
    """The reverse of a scan for cotangents of some results, to those of some inputs.

    Parameters
    ----------
    form : ScanForm
        The scan, of one iteration at least.
    arrived : sequence of int
        The results that have cotangents.
    wanted : sequence of int
        The inputs whose cotangents are asked for.
    """

    form: ScanForm
    arrived: Sequence[int]
    wanted: Sequence[int]
    following: set[int] = field(init=False)
    first: set[int] = field(init=False)
    carried: list[int] = field(init=False)
    reached: int = field(init=False)

    def __post_init__(self) -> None:
        form = self.form
        self.arrived = [place for place in self.arrived if form.depends[place]]
        self.following = form.following(self.wanted)
        self.first, states = form.leading(self.arrived, self.following)
        self.carried = sorted(set().union(self.first, *states))
        self.reached = form.reached(self.arrived, states)

    @property
    def is_connected(self) -> bool:
        """Whether any cotangent gets anywhere."""
        return any(self._is_reached(place) for place in self.wanted)

    def _is_reached(self, place: int) -> bool:
        return place in self.first if place < self.form.carries else bool(self.reached >> place & 1)

    def lacks_history(self, at: Mapping[int, Value]) -> bool:
        """Whether carried values are needed that were not kept."""
        form = self.form
        if all(place in form.history for place in range(form.carries)):
            return False
        both = form.count + len(form.graph.outputs)
        return any(place >= both or place not in at for place in self.body.slices)

    def apply(self, cotangents: Mapping[int, Value], at: Mapping[int, Value]) -> dict[int, Any]:
        """The cotangents of the inputs, from those that arrived and what was kept."""
        form, body, zeros = self.form, self.body, in_role("zeros")
        starts = [cotangents.get(place) for place in body.carried]
        inputs = [
            zeros(form.aval_of(place).shape, form.aval_of(place).dtype) if start is None else start
            for place, start in zip(body.carried, starts, strict=True)
        ]
        inputs += [zeros(aval.shape, aval.dtype) for _, aval, _ in body.summed]
        carries = len(inputs)
        sliced = [cotangents[place] for place in self._stacked()]
        sliced += [at[place] for place in body.slices]
        inputs += [*sliced, *(at[place] for place in body.captures), *body.lifted]
        results = apply_scan(
            inputs,
            body=body.region,
            carries=carries,
            slices=len(sliced),
            length=form.length,
            reverse=not form.reverse,
        )
        return self._cotangents(body, results)

    def _cotangents(self, body: _Body, results: Sequence[Any]) -> dict[int, Any]:
        rest = iter(results)
        found: dict[int, Any] = {}

        def more(place: int, total: Any) -> None:
            found[place] = found[place] + total if place in found else total

        for place in body.carried:
            ct = next(rest)
            if place in self.first:
                found[place] = ct
        for place, _, chain in body.summed:
            more(place, through(chain, next(rest)))
        for place in body.given:
            found[place] = next(rest)
        for place, aval, chain, part, count in body.parts:
            more(place, through(chain, part.total(aval, [next(rest) for _ in range(count)])))
        return {place: ct for place, ct in found.items() if place in self.wanted}

    def _stacked(self) -> list[int]:
        return [place for place in self.arrived if place >= self.form.carries]

    @cached_property
    def body(self) -> _Body:
        """The reverse body, traced where the reverse pass stands."""
        trace, known, pulled = self.traced()
        stands = {known[node].node: result for node, result in self.form.intermediates.items()}
        return _Closing(self, trace, pulled, stands).body()

    def traced(self) -> tuple[RegionTrace, dict[Node, Any], dict[int, Any]]:
        """The body's operations again, under a tape: the trace, the body's values, and the cotangents by input."""
        form = self.form
        avals = [node.aval for node in form.graph.inputs]
        cts = [form.graph.outputs[place].aval for place in (*self.carried, *self._stacked())]
        trace = RegionTrace([*avals, *cts], "the reverse of scan")
        arguments = [trace.argument(position) for position in range(len(trace.arguments))]
        inputs, rest = arguments[: len(avals)], arguments[len(avals) :]
        watched = [place for place in (*sorted(self.following), *self.wanted) if self._is_watched(place)]
        recording = Recording(watch_accessed=False)
        for place in watched:
            recording.watch(inputs[place + 1])
        with interpreting(trace, (recording,)):
            known = replay(form.graph, inputs, trace)
        seeds: dict[int, Any] = {}
        with interpreting(trace):
            for place, ct in zip((*self.carried, *self._stacked()), rest, strict=True):
                add(known[form.graph.outputs[place]].key, (ct, None), seeds, {})
            found = pull_back(recording.records, seeds, [inputs[place + 1].key for place in watched])
        return trace, known, {place: found.get(inputs[place + 1].key) for place in watched}

    def _is_watched(self, place: int) -> bool:
        if place < self.form.carries:
            return place in self.following
        return self._is_reached(place)


@dataclass(eq=False)
class _Closing:
    """The way from what a tape found in the body to the reverse body.

    Parameters
    ----------
    reverse : _Reverse
        What is reversed.
    trace : RegionTrace
        Its arguments are the body's, and the cotangents.
    pulled : mapping of int to Value
        The cotangents of the body's arguments, by input.
    stands : mapping of Node to int
        For intermediate values the results that have them.
    """

    reverse: Reverse
    trace: RegionTrace
    pulled: Mapping[int, Value | None]
    stands: Mapping[Node, int]

    def body(self) -> _Body:
        """The reverse body with the arguments that it needs."""
        reverse, trace, form = self.reverse, self.trace, self.reverse.form
        with interpreting(trace):
            carried = [self._value(place) for place in reverse.carried]
            given = [place for place in form.sliced if self.pulled.get(place) is not None]
            summed, sums, found = self._sums()
            outputs = [trace.node_of(value) for value in (*carried, *sums, *(self.pulled[place] for place in given))]
            nodes = [part.given(trace) for *_, part in found]
        parts = tuple((*one, len(each)) for one, each in zip(found, nodes, strict=True))
        outputs += [node for each in nodes for node in each]
        count = len(form.graph.inputs)
        cotangents = trace.arguments[count : count + len(reverse.carried)]
        outputs += cotangents  # the history of the reverse, for its own reverse
        return self._closed(tuple(reverse.carried), summed, tuple(given), parts, outputs)

    def _value(self, place: int) -> Any:
        """The cotangent of a carried value."""
        aval = self.reverse.form.argument(place).aval
        ct = self.pulled.get(place)
        return in_role("zeros")(aval.shape, aval.dtype) if ct is None else ct

    def _sums(self) -> tuple[list[tuple[int, Node, Chain]], list[Any], list[tuple[int, Aval, Chain, Part]]]:
        """The captures whose cotangents are summed up, each with the input that has the sum so far; the new sums."""
        summed: list[tuple[int, Node, Chain]] = []
        sums: list[Any] = []
        found: list[tuple[int, Aval, Chain, Part]] = []
        for place in self.reverse.form.captures:
            ct = self.pulled.get(place)
            if ct is None:
                continue
            dense, parts = parted(self.trace.node_of(ct))
            found += [(place, aval, chain, part) for chain, aval, part in parts]
            for terms in dense:
                before = self.trace.builder.input("sum", len(summed), terms.nodes[0].aval)
                summed.append((place, before, terms.chain))
                sums.append(combined([TracedTensor(self.trace, node) for node in (before, *terms.nodes)]))
        return summed, sums, found

    def _closed(
        self,
        carried: tuple[int, ...],
        summed: Sequence[tuple[int, Node, Chain]],
        given: tuple[int, ...],
        parts: tuple[tuple[int, Aval, Chain, Part, int], ...],
        outputs: Sequence[Node],
    ) -> _Body:
        form, trace = self.reverse.form, self.trace
        count, results = len(form.graph.inputs), len(form.graph.outputs)
        index, *arguments = trace.arguments[:count]
        cts = trace.arguments[count:]
        order = in_order(outputs, self.stands)
        used = {*outputs, *order, *(value for node in order for value in node.inputs)}
        missing = iter(range(form.count + results, form.count + results + form.carries))
        made = {place: next(missing) for place in range(form.carries) if place not in form.history}
        origin = {place: form.count + form.history[place] for place in form.history} | made
        origin.update((place, place) for place in form.sliced)
        slices = {arguments[place]: origin[place] for place in range(form.carries + form.slices)}
        slices.update((node, form.count + result) for node, result in self.stands.items())
        slices = {node: place for node, place in slices.items() if node in used}
        captures = {arguments[place]: place for place in form.captures if arguments[place] in used}
        lifted = trace.taken(outputs)
        ends = cts[: len(carried)]
        own = [index, *ends, *(node for _, node, _ in summed), *cts[len(carried) :], *slices, *captures]
        region = trace.region(own, outputs, lifted)
        region = Region(region.graph, len(captures) + len(lifted))
        places = tuple(slices.values()), tuple(captures.values())
        sums = tuple((place, node.aval, chain) for place, node, chain in summed)
        return _Body(region, *places, tuple(lifted), carried, sums, given, parts)
