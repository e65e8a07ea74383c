"""The reverse pass: cotangents walk a recording backwards through each primitive's rules.

The rules are made of tapejit operations, so what happens here is itself recorded by outer tapes and traced by the
compiler. A cotangent may carry a mask, the places where it is not structurally zero because a ``where`` chose the
other branch there. Pointwise rules apply the mask to ``ct * partial``, so that an infinite partial in the branch not
taken can't leak; rules that move elements move the mask as well; at the first other rule it has served.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..aval import Shape
from ..primitive import Flow, Pull, in_role
from .recording import IDENTITY, Record


class Cotangent(NamedTuple):
    """The derivative of the target by one value, and where it can be other than zero (None: everywhere)."""

    value: Any
    mask: Any = None


def pull_back(records: list[Record], seeds: Mapping[int, Any], sources: Iterable[int]) -> dict[int, Any]:
    """Cotangents of the sources that the targets depend on.

    Parameters
    ----------
    records : list of Record
        In the order of recording.
    seeds : mapping of key to value
        Cotangents of the targets.
    sources : iterable of key
        Where to arrive.

    Returns
    -------
    dict of key to value
        Without the sources that are not connected.
    """
    wanted = frozenset(sources)
    path, reached = _between(records, wanted)
    totals = {key: Cotangent(value) for key, value in seeds.items()}
    for record in reversed(path):
        if record.avals is None:
            key = record.outputs[0]
            incoming = totals.get(key) if key in wanted else totals.pop(key, None)
        else:
            incoming = _gathered(record, totals, wanted)
        if incoming is None:
            continue
        for pull, key in zip(record.plan.pulls, record.inputs, strict=True):
            if key in reached:
                ct = _pull(pull, incoming, record.residuals)
                if ct is not None:
                    totals[key] = _sum(totals[key], ct) if key in totals else ct
    return {key: totals[key].value for key in wanted if key in totals}


def _between(records: list[Record], sources: frozenset[int]) -> tuple[list[Record], set[int]]:
    """The records that depend on the sources, and all keys that do."""
    reached = set(sources)
    path = []
    for record in records:
        for key in record.inputs:
            if key in reached:
                reached.update(record.outputs)
                path.append(record)
                break
    return path, reached


def _gathered(record: Record, totals: dict[int, Cotangent], sources: frozenset[int]) -> Cotangent | None:
    """The cotangents of an application with several results, zeros for those that nothing depends on."""
    arrived = [totals.get(key) if key in sources else totals.pop(key, None) for key in record.outputs]
    if not any(arrived):
        return None
    zero = in_role("zeros")
    return Cotangent(
        tuple(
            zero(aval.shape, aval.dtype) if ct is None else ct.value
            for ct, aval in zip(arrived, record.avals or (), strict=True)
        )
    )


def _sum(left: Cotangent, right: Cotangent) -> Cotangent:
    mask = None if left.mask is None or right.mask is None else left.mask | right.mask
    return Cotangent(left.value + right.value, mask)


def _pull(pull: Pull, incoming: Cotangent, residuals: Sequence[Any]) -> Cotangent | None:
    """What one rule makes of the incoming cotangent; None where the rule says that nothing is connected."""
    rule = pull.rule
    if rule is IDENTITY:
        return incoming
    ct, mask = incoming
    value = rule.function(*[ct if slot < 0 else residuals[slot] for slot in pull.arguments])
    if value is None:
        return None
    if rule.mask is not None:
        chosen = rule.mask.function(*[residuals[slot] for slot in pull.mask_arguments])
        mask = chosen if mask is None else mask & chosen
    if rule.flow is Flow.POINTWISE:
        if mask is not None:
            value = in_role("select")(mask, value, 0)
        shape = residuals[pull.shape]  # type: ignore[index]
        return Cotangent(value, mask) if mask is None and value.shape == shape else _undo_broadcast(value, mask, shape)
    if mask is not None and rule.flow is Flow.MOVING:
        as_ct = in_role("convert")(mask, ct.dtype)
        moved = rule.function(*[as_ct if slot < 0 else residuals[slot] for slot in pull.arguments])
        return Cotangent(value, moved != 0)
    return Cotangent(value)


def _undo_broadcast(value: Any, mask: Any, shape: Shape) -> Cotangent:
    """Sum over the axes along which an input of `shape` was broadcast."""
    if mask is not None:
        counts = in_role("convert")(in_role("broadcast")(mask, value.shape), value.dtype)
        mask = _sum_to(counts, shape) != 0
    return Cotangent(_sum_to(value, shape), mask)


def _sum_to(value: Any, shape: Shape) -> Any:
    extra = len(value.shape) - len(shape)
    axes = tuple(
        axis for axis, length in enumerate(value.shape) if axis < extra or (shape[axis - extra] == 1 and length != 1)
    )
    summed = in_role("sum")(value, axes)
    return summed if summed.shape == shape else in_role("reshape")(summed, shape)
