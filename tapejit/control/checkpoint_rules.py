"""The operation that a function under `checkpoint` is in a graph, and its derivatives.

Its reverse computes the function again, from inputs that are known only when a cotangent is: `AFTER` says so, so that
what is computed again is not taken for what was computed before, and comes after it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..graph import Region
from ..graph.connections import positions_of, union
from ..graph.replay import replay
from ..primitive import CallPlan, Masked, Params, Value, Wanted, add_tape, current, in_role, remove_tape
from ..tape.recording import Recording
from ..tape.reverse import add, pull_back
from .applied import apply_after
from .form import connected_of

_NOTHING: Masked = (None, None)


def checkpoint_joint(active: int, count: int, params: Params) -> CallPlan:
    """The reverse rule; see `primitive.JointRule`."""
    body: Region = params["body"]
    depends = connected_of(body)
    inputs = tuple(positions_of(union(depends) & active))
    results = tuple(place for place, bits in enumerate(depends) if bits & active)
    return CallPlan(inputs, results, tuple(range(count)), partial(_pull, body, inputs, depends), depends)


def _pull(
    body: Region,
    inputs: tuple[int, ...],
    depends: tuple[int, ...],
    arrived: Sequence[Masked],
    kept: Sequence[Value],
    wanted: Sequence[Wanted],
) -> list[Masked]:
    """Compute again, and pull back: see `CallPlan`."""
    cotangents = {place: masked for place, masked in enumerate(arrived) if masked[0] is not None and depends[place]}
    reached = union(depends[place] for place in cotangents)
    asked = [
        place for place, wish in zip(inputs, wanted, strict=True) if wish is not Wanted.NOTHING and reached >> place & 1
    ]
    if not asked:
        return [_NOTHING] * len(inputs)
    signal = _scalar_of(next(iter(cotangents.values()))[0])
    values = [apply_after(value, signal) for value in kept]
    recording = Recording(watch_accessed=False)
    for place in asked:
        recording.watch(values[place])
    add_tape(recording)
    try:
        known = replay(body.graph, values, current().interpreter)
    finally:
        remove_tape(recording)
    seeds: dict[int, Any] = {}
    masks: dict[int, Any] = {}
    for place, masked in cotangents.items():
        add(known[body.graph.outputs[place]].key, masked, seeds, masks)
    found = pull_back(recording.records, seeds, [values[place].key for place in asked], masks)
    keys = {place: values[place].key for place in asked}
    return [
        (found.get(keys[place]), masks.get(keys[place])) if place in keys and keys[place] in found else _NOTHING
        for place in inputs
    ]


def _scalar_of(ct: Any) -> Any:
    """A number that is known when a cotangent is."""
    if ct.shape == ():
        return ct
    if 0 in ct.shape:
        return in_role("zeros")((), ct.dtype)
    for axis in range(len(ct.shape)):
        ct = in_role("slice")(ct, axis, 0, 1)
    return in_role("reshape")(ct, ())


def after_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:  # noqa: ARG001
    """The batch rule of `AFTER`."""
    x, signal = inputs
    first = in_role("reshape")(in_role("slice")(signal, 0, 0, 1), ()) if batched[1] and size else signal
    found = apply_after(x, first) if size else x
    return found if batched[0] else in_role("broadcast")(found, (size, *x.shape))
