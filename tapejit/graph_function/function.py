"""`GraphFunction`: a graph that is called as a function, and what tapes learn of the call."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ..forks import Rank, lock
from ..graph import Graph, Input, Trace
from ..graph.connections import bits_of, connections, positions_of, union
from ..graph.replay import replay
from ..primitive import BASE, STATE, CallPlan, Masked, State, Value, Wanted, current
from ..variable import holding
from .compiled import CompiledGraph, Setting
from .joint import Pattern, differentiate
from .needs import needed
from .reverse import ReverseGraph, places_read, reverse_graph, with_residuals
from .tangents import Tangential

Run = Callable[[Sequence[Any]], list[Any]]
_NOT_CONNECTED: Masked = (None, None)


class GraphFunction:
    """The outputs and effects of a graph as a function of its arguments.

    Parameters
    ----------
    graph : Graph
        Not prepared, so that its operations still have their own derivatives.
    setting : Setting
        What its inputs stand for.
    plain : callable, optional
        The kernel of `graph`, from arguments to outputs, if there is one already.
    """

    def __init__(self, graph: Graph, setting: Setting, plain: Run | None = None) -> None:
        self._graph = graph
        self._setting = setting
        self._plain = plain
        self._lock = lock(Rank.FUNCTION)
        self._differentiable: int | None = None
        self._followed: dict[int, _Followed] = {}
        self._tangential = Tangential(graph, partial(_derived, graph, setting))

    @property
    def trace(self) -> Trace:
        """What the graph's inputs besides its arguments stand for."""
        return self._setting.trace

    def __call__(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs, for values of the graph's arguments; every active tape hears of the call."""
        state = current()
        if state is not BASE[0] and state.interpreter is not BASE[0].interpreter:
            # A gradient that is asked for inside a step becomes part of it, one inside of `vmap` part of the batch.
            known = replay(self._graph, self._inputs(arguments, state), state.interpreter)
            return [known[node] for node in self._graph.outputs]
        if state.tapes:
            with holding(self._setting.trace.variables):  # tapes hear of the values that the kernel reads
                values = self._inputs(arguments, state)
                active = [tape.follows(values) for tape in state.tapes]
                if union(active) & self._follows():
                    return self._heard(arguments, values, state, active)
        return self._run(arguments)

    def _heard(
        self, arguments: Sequence[Any], values: tuple[Value, ...], state: State, active: Sequence[int]
    ) -> list[Any]:
        """The outputs of a call that recorders follow, each these inputs of it."""
        pulling = union(
            bits for tape, bits in zip(state.tapes, active, strict=True) if not getattr(tape, "only_pushes", False)
        )
        if pulling & self._follows():
            followed = self._followed_by(union(active))
            results, plan = tuple(followed.run(_arrays(arguments))), followed.plan
        elif self._can_bring_tangents(state, active):
            return self._with_tangents(values, state)
        else:
            results, plan = tuple(self._run(arguments)), self._tangential.plan
        for tape, bits in zip(state.tapes, active, strict=True):
            made = plan(bits)
            if made.inputs:
                tape.record_call(made, values, results)
        return list(results[: len(self._graph.outputs)])

    def _can_bring_tangents(self, state: State, active: Sequence[int]) -> bool:
        """Whether the last recorder follows the call and works forward, heard by all others that follow it."""
        if not (state.forward and active[-1]) or self._graph.updates:
            return False
        last: Any = state.tapes[-1]
        heard_by = last.outside().tapes
        others = zip(state.tapes[:-1], active[:-1], strict=True)
        return all(any(tape is each for each in heard_by) for tape, bits in others if bits)

    def _with_tangents(self, values: tuple[Value, ...], state: State) -> list[Any]:
        """The outputs of a call that the last recorder follows, which works forward: its tangents come with them.

        All before it hear of both as one function of inputs and tangents.
        """
        last: Any = state.tapes[-1]
        token = STATE.set(last.outside())
        try:
            results, tangents = self._tangential.with_values(values, last.of_all(values))
        finally:
            STATE.reset(token)
        last.keep(results, tangents)
        return list(results)

    def kernels(self) -> Iterator[CompiledGraph]:
        """What was compiled here, the graph itself first, then what tapes made necessary."""
        if isinstance(self._plain, CompiledGraph):
            yield self._plain
        for followed in tuple(self._followed.values()):
            yield from followed.kernels()
        for function in self._tangential.functions():
            yield from function.kernels()

    def _run(self, arguments: Sequence[Any]) -> list[Any]:
        with self._lock:
            if self._plain is None:
                self._plain = CompiledGraph(self._graph, self._setting, self._setting.name)
        return self._plain(_arrays(arguments))

    def _inputs(self, arguments: Sequence[Any], state: State) -> tuple[Value, ...]:
        """Values of all inputs; tapes hear which variables are read."""
        setting, trace, interpreter = self._setting, self._setting.trace, state.interpreter
        reads = [
            variable.read_value() if variable.key in setting.heard else interpreter.read(variable)
            for variable in trace.variables
        ]
        captures = [trace.captured_tensor(position) for position in range(len(trace.captures))]
        numbers = [interpreter.number(number, dtype) for dtype, number in trace.typed_numbers()]
        return (*arguments, *reads, *captures, *numbers)

    def _follows(self) -> int:
        """The bits of the inputs on which any output depends."""
        with self._lock:
            if self._differentiable is None:
                connected = connections(self._graph)
                self._differentiable = union(connected.get(node, 0) for node in self._graph.outputs)
            return self._differentiable

    def _followed_by(self, followed: int) -> "_Followed":
        """What runs for tapes that follow these inputs."""
        with self._lock:
            active = followed & self._follows()
            if active not in self._followed:
                self._followed[active] = _Followed(self._graph, self._setting, active)
            return self._followed[active]


class _Followed:
    """A function that tapes follow: its kernel with residuals, and its reverse pass.

    Parameters
    ----------
    graph : Graph
        The function.
    setting : Setting
        What its inputs stand for.
    active : int
        The bits of the inputs that any tape follows.
    """

    def __init__(self, graph: Graph, setting: Setting, active: int) -> None:
        self._setting = setting
        self._lock = lock(Rank.FUNCTION)
        self._graph, pattern, joint = with_residuals(graph, connections(graph), active)
        self._residuals = self._graph.outputs[len(graph.outputs) :]
        self._connected = connections(self._graph)
        self._joints = {pattern: joint}  # of the reverse pass that is most likely to be asked for
        self._plans: dict[int, tuple[tuple[int, ...], ...]] = {}
        self._patterns: dict[Any, Pattern] = {}
        self._reverse: dict[Any, tuple[ReverseGraph, GraphFunction]] = {}
        self._tangential = Tangential(self._graph, partial(_derived, self._graph, setting))
        self._active, self._read = active, places_read(self._graph, joint)
        self.run = CompiledGraph(self._graph, setting, f"{setting.name}_with_residuals", self._residuals)

    def kernels(self) -> Iterator[CompiledGraph]:
        """What was compiled for calls that tapes follow, in the order of the derivatives."""
        yield self.run
        for function in (*(made for _, made in self._reverse.values()), *self._tangential.functions()):
            yield from function.kernels()

    def plan(self, followed: int) -> CallPlan:
        """What a tape must know that follows these inputs."""
        with self._lock:
            if followed not in self._plans:
                self._plans[followed] = self._planned(followed)
            inputs, results, kept = self._plans[followed]
        return CallPlan(inputs, results, kept, partial(self._pull, inputs, kept), push=self._tangential.push)

    def _planned(self, followed: int) -> tuple[tuple[int, ...], ...]:
        """The inputs that cotangents go to, the results that depend on them, and what to keep."""
        bits = [self._connected.get(node, 0) for node in self._graph.outputs]
        active = followed & union(bits)
        kept = needed(self._graph, self._connected, active, self._residuals)
        if active == self._active:
            kept |= self._read
        results = (place for place, depends in enumerate(bits) if depends & active)
        return tuple(positions_of(active)), tuple(results), tuple(sorted(kept))

    def _pull(
        self,
        inputs: tuple[int, ...],
        places: tuple[int, ...],
        arrived: Sequence[Masked],
        kept: Sequence[Value],
        wanted: Sequence[Wanted],
    ) -> list[Masked]:
        """The reverse pass: see `CallPlan`."""
        what = (inputs, tuple(wanted), tuple([(ct is not None) + (mask is not None) for ct, mask in arrived]))
        pattern = self._patterns.get(what)
        if pattern is None:
            pattern = self._patterns[what] = self._pattern(inputs, arrived, wanted)
        if not pattern.wanted:
            return [_NOT_CONNECTED] * len(inputs)
        reverse, function = self._reverse_of(pattern, places)
        values = dict(zip(places, kept, strict=True))
        first = len(self._graph.inputs) + len(self._graph.outputs)
        cotangents = [value for place, _ in pattern.arrived for value in arrived[place] if value is not None]
        values.update(enumerate(cotangents, first))
        gradients = function([values[place] for place in reverse.operands])
        found: dict[int, Masked] = {}
        for (place, _), (ct, mask) in zip(pattern.wanted, reverse.gradients, strict=True):
            found[place] = (None if ct is None else gradients[ct], None if mask is None else gradients[mask])
        return [found.get(place, _NOT_CONNECTED) for place in inputs]

    def _pattern(self, inputs: Sequence[int], arrived: Sequence[Masked], wanted: Sequence[Wanted]) -> Pattern:
        """Without the cotangents and inputs that have nothing to do with each other."""
        asked = {
            place: wish is Wanted.MASKED
            for place, wish in zip(inputs, wanted, strict=True)
            if wish is not Wanted.NOTHING
        }
        bits = bits_of(asked)
        depends = {
            place: self._connected.get(node, 0) & bits
            for place, node in enumerate(self._graph.outputs)
            if arrived[place][0] is not None
        }
        reached = union(depends.values())
        return Pattern(
            tuple((place, masked) for place, masked in asked.items() if reached >> place & 1),
            tuple((place, arrived[place][1] is not None) for place, inputs_of in depends.items() if inputs_of),
        )

    def _reverse_of(self, pattern: Pattern, places: tuple[int, ...]) -> "tuple[ReverseGraph, GraphFunction]":
        """The reverse pass from what is kept at these places."""
        with self._lock:
            found = self._reverse.get((pattern, places))
            if found is None:
                joint = self._joints.pop(pattern, None) or differentiate(self._graph, pattern)
                reverse = reverse_graph(self._graph, joint, places)
                found = self._reverse[pattern, places] = (
                    reverse,
                    _derived(self._graph, self._setting, reverse, "gradient", "ct"),
                )
        return found


def _derived(graph: Graph, given: Setting, made: ReverseGraph, kind: str, arriving: str) -> GraphFunction:
    """The function of a pass through `graph`, whose name says what `kind` it is of, and `arriving` what arrives."""
    names = _names(graph, given, made.operands, arriving)
    name = f"{given.name}_{kind}"
    return GraphFunction(made.graph, Setting(made.trace, frozenset(), name, names, given.cache, given.strict))


def _names(graph: Graph, given: Setting, operands: Sequence[int], arriving: str) -> dict[Input, str]:
    """Names for the text of a pass: the user's for the inputs, for results what computed them."""
    values = (*graph.inputs, *graph.outputs)
    names: dict[Input, str] = {}
    for position, place in enumerate(operands):
        node = values[place] if place < len(values) else None
        if node is None:
            name = arriving
        elif isinstance(node.op, Input):
            name = given.names.get(node.op, node.op.kind)
        else:
            name = node.primitive.name if node.primitive else "result"
        names[Input("argument", position)] = name
    return names


def _arrays(values: Sequence[Any]) -> list[Any]:
    return [value.array for value in values]
