"""The reverse rules of branches and of loops that end by a condition.

The reverse of a switch is a switch by the same index, whose branches are the reverses of the branches: each runs its
operations again under a tape. A source on which only some branches depend gets zeros where another one runs. A loop
that runs nobody knows how many times has no reverse.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..errors import TapejitError, at_user_line
from ..graph import Graph, Node, Region
from ..graph.connections import positions_of, union
from ..graph.ir import in_order
from ..graph.region import RegionTrace
from ..graph.replay import replay
from ..primitive import CallPlan, Masked, Params, Value, Wanted, in_role, interpreting
from ..tape.recording import Recording
from ..tape.reverse import add, pull_back
from .applied import apply_switch
from .form import carried_depends, connected_of

_NOTHING: Masked = (None, None)


def switch_joint(active: int, count: int, params: Params) -> CallPlan:  # noqa: ARG001 (the protocol of joint rules)
    """The reverse rule of a switch; see `primitive.JointRule`."""
    form = _form_of(params["branches"])
    inputs = tuple(positions_of(union(form.depends) & active))
    results = tuple(place for place, bits in enumerate(form.depends) if bits & active)
    kept = form.kept(results, inputs) if inputs else ()
    return CallPlan(inputs, results, kept, partial(_pull, form, inputs, kept), form.depends)


class _Form:
    """The branches of a switch, and what is known of them.

    Attributes
    ----------
    depends : tuple of int
        For each result the bits of the inputs of the switch on which it depends in any branch.
    """

    def __init__(self, branches: tuple[Region, ...]) -> None:
        self.branches = branches
        found = [connected_of(branch) for branch in branches]
        self.depends = tuple(union(column) << 1 for column in zip(*found, strict=True))
        self._kept: dict[Any, tuple[int, ...]] = {}

    def kept(self, results: tuple[int, ...], inputs: tuple[int, ...]) -> tuple[int, ...]:
        """The inputs that the reverse needs."""
        if (results, inputs) not in self._kept:
            self._kept[results, inputs] = _SwitchReverse(self.branches, results, inputs).kept()
        return self._kept[results, inputs]


def _form_of(branches: tuple[Region, ...]) -> _Form:
    """The same object for the same branches."""
    # The form has the branches, so that these identities stay theirs.
    form: _Form | None = branches[0].notes.get(tuple(map(id, branches)))
    if form is None:
        form = branches[0].notes[tuple(map(id, branches))] = _Form(branches)
    return form


def _pull(
    form: _Form,
    inputs: tuple[int, ...],
    kept: tuple[int, ...],
    arrived: Sequence[Masked],
    values: Sequence[Value],
    wanted: Sequence[Wanted],
) -> list[Masked]:
    """The reverse pass: see `CallPlan`."""
    depends = form.depends
    cotangents = {place: ct for place, (ct, _) in enumerate(arrived) if ct is not None and depends[place]}
    reached = union(depends[place] for place in cotangents)
    asked = [
        place for place, wish in zip(inputs, wanted, strict=True) if wish is not Wanted.NOTHING and reached >> place & 1
    ]
    if not asked:
        return [_NOTHING] * len(inputs)
    reverse = _SwitchReverse(form.branches, tuple(cotangents), tuple(asked))
    at = dict(zip(kept, values, strict=True))
    found = dict(zip(asked, reverse.apply(list(cotangents.values()), at), strict=True))
    return [(found.get(place), None) for place in inputs]


class _SwitchReverse:
    """The reverses of branches for cotangents of some results, to those of some inputs."""

    def __init__(self, branches: Sequence[Region], arrived: Sequence[int], wanted: Sequence[int]) -> None:
        self._wanted = wanted
        self._traced = [self._trace(branch.graph, arrived) for branch in branches]
        self._cts = len(arrived)
        self._used = sorted({place for trace, outputs in self._traced for place in self._read(trace, outputs)})

    def kept(self) -> tuple[int, ...]:
        """The inputs of the switch that it needs."""
        return (0, *(place + 1 for place in self._used))

    def apply(self, cotangents: Sequence[Value], at: dict[int, Value]) -> Sequence[Any]:
        """The cotangents of what is wanted."""
        lifted = {value.key: value for trace, outputs in self._traced for value in trace.taken(outputs)}
        regions = []
        for trace, outputs in self._traced:
            count = len(trace.arguments) - self._cts
            own = [*trace.arguments[count:], *(trace.arguments[place] for place in self._used)]
            region = trace.region(own, outputs, list(lifted.values()))
            regions.append(Region(region.graph, len(region.graph.inputs)))
        kept = [at[place + 1] for place in self._used]
        return apply_switch([at[0], *cotangents, *kept, *lifted.values()], branches=tuple(regions))

    def _trace(self, graph: Graph, arrived: Sequence[int]) -> tuple[RegionTrace, list[Node]]:
        avals = [node.aval for node in graph.inputs]
        trace = RegionTrace([*avals, *(graph.outputs[place].aval for place in arrived)], "the reverse of switch")
        arguments = [trace.argument(position) for position in range(len(trace.arguments))]
        inputs, cts = arguments[: len(avals)], arguments[len(avals) :]
        recording = Recording(watch_accessed=False)
        for place in self._wanted:
            recording.watch(inputs[place - 1])
        with interpreting(trace, (recording,)):
            known = replay(graph, inputs, trace)
        seeds: dict[int, Any] = {}
        with interpreting(trace):
            for place, ct in zip(arrived, cts, strict=True):
                add(known[graph.outputs[place]].key, (ct, None), seeds, {})
            keys = [inputs[place - 1].key for place in self._wanted]
            found = pull_back(recording.records, seeds, keys)
            pulled = [self._value(found.get(inputs[place - 1].key), inputs[place - 1]) for place in self._wanted]
        return trace, [trace.node_of(value) for value in pulled]

    @staticmethod
    def _value(ct: Any, source: Value) -> Any:
        return in_role("zeros")(source.shape, source.dtype) if ct is None else ct

    def _read(self, trace: RegionTrace, outputs: Sequence[Node]) -> list[int]:
        """Which of the branch's arguments its reverse reads."""
        used = set(in_order(outputs))
        return [place for place, node in enumerate(trace.arguments[: len(trace.arguments) - self._cts]) if node in used]


def while_joint(active: int, count: int, params: Params) -> CallPlan:
    """The plan of a loop of which nobody knows how many times it runs: it can be followed, but not pulled back."""
    body: Region = params["body"]
    state = carried_depends(body, params["carries"])
    inputs = tuple(positions_of(union(state) & active))
    results = tuple(place for place, bits in enumerate(state) if bits & active)
    assert len(body.graph.inputs) == count
    return CallPlan(inputs, results, (), partial(_refuse, inputs, state), state)


def _refuse(
    inputs: Sequence[int],
    depends: Sequence[int],
    arrived: Sequence[Masked],
    kept: Sequence[Value],  # noqa: ARG001 (the protocol of call plans)
    wanted: Sequence[Wanted],
) -> list[Masked]:
    reached = union(bits for bits, (ct, _) in zip(depends, arrived, strict=True) if ct is not None)
    asked = [place for place, wish in zip(inputs, wanted, strict=True) if wish is not Wanted.NOTHING]
    if not any(reached >> place & 1 for place in asked):
        return [_NOTHING] * len(wanted)
    raise TapejitError(
        at_user_line(
            "while_loop: a compiled loop has no reverse-mode derivative, since nobody knows how often it runs; give "
            "it max_steps=, a number of steps that is enough, or use forward mode"
        )
    )
