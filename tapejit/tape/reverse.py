"""The reverse pass: cotangents walk a recording backwards through each primitive's rules.

The rules are made of tapejit operations, so what happens here is itself recorded by outer tapes and traced by the
compiler. A cotangent may carry a mask, the places where it is not structurally zero because a ``where`` chose the
other branch there. Pointwise rules apply the mask to ``ct * partial``, so that an infinite partial in the branch not
taken can't leak; rules that move elements move the mask as well; at the first other rule it has served.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..aval import Aval, Shape
from ..primitive import CallPlan, Flow, Masked, Pull, Wanted, in_role
from .recording import IDENTITY, READ, Record


def pull_back(
    records: list[Record], seeds: Mapping[int, Any], sources: Iterable[int], masks: dict[int, Any] | None = None
) -> dict[int, Any]:
    """Cotangents of the sources that the targets depend on.

    Parameters
    ----------
    records : list of Record
        In the order of recording.
    seeds : mapping of key to value
        Cotangents of the targets.
    sources : iterable of key
        Where to arrive.
    masks : dict of key to value, optional
        Those of the seeds; afterwards also those of the cotangents that arrived.

    Returns
    -------
    dict of key to value
        That of each source that is connected, among others.
    """
    wanted = frozenset(sources)
    path, reached = _between(records, wanted)
    totals = dict(seeds)
    masks = {} if masks is None else masks  # of the cotangents that have one
    pulled_on: set[int] = set()
    for record in reversed(path):
        plan, inputs, outputs, residuals, avals = record
        if type(plan) is CallPlan:
            _pull_call(record, _asked(inputs, path, reached, pulled_on), totals, masks, wanted)
            continue
        output = outputs[0]
        if avals is None:
            ct = totals.get(output) if output in wanted else totals.pop(output, None)
        else:
            ct = _gathered(outputs, avals, totals, wanted)
        if ct is None:
            continue
        mask = masks.get(output) if masks else None
        for pull, key in zip(plan.pulls, inputs):  # noqa: B905 (as many; `strict` takes time)
            if key not in reached:
                continue
            if mask is None and pull.rule.mask is None:
                value = pull.apply(ct, residuals)
                if pull.shape is not None and value is not None and value.shape != residuals[pull.shape]:
                    value = _sum_to(value, residuals[pull.shape])
                passed = None
            else:
                value, passed = _masked_pull(pull, ct, mask, residuals)
            if value is None:
                continue
            if passed is None and key not in totals:  # `add` without the cost of calling it
                totals[key] = value
                continue
            add(key, (value, passed), totals, masks)
    return totals


def add(key: int, arriving: Masked, totals: dict[int, Any], masks: dict[int, Any]) -> None:
    """Add a cotangent, with its mask, to what arrived at a key before; a sum is masked where both are."""
    ct, mask = arriving
    if key in totals:
        before = masks.pop(key, None)
        ct, mask = totals[key] + ct, None if mask is None or before is None else before | mask
    totals[key] = ct
    if mask is not None:
        masks[key] = mask


def _pull_call(
    record: Record,
    asked: Sequence[Wanted],
    totals: dict[int, Any],
    masks: dict[int, Any],
    sources: frozenset[int],
) -> None:
    """Pull all cotangents of a call of a function back through it."""
    plan, inputs, outputs, residuals, _ = record
    assert type(plan) is CallPlan
    cts = [totals.get(key) if key in sources else totals.pop(key, None) for key in outputs]
    if all(ct is None for ct in cts):
        return
    arrived = [(ct, masks.get(key)) for ct, key in zip(cts, outputs, strict=True)]
    for key, pulled in zip(inputs, plan.pull(arrived, residuals, asked), strict=True):
        if pulled[0] is not None:
            add(key, pulled, totals, masks)


def _asked(inputs: Sequence[int], path: Iterable[Record], reached: set[int], pulled_on: set[int]) -> list[Wanted]:
    """What is asked of a call; `pulled_on` is empty at first, and known from then on."""
    if not pulled_on:
        # A mask serves whoever pulls the cotangent on; a variable's read only hands it on.
        pulled_on.update(key for plan, _, outputs, _, _ in path if plan is not READ for key in outputs)
    return [
        Wanted.NOTHING if key not in reached else Wanted.MASKED if key in pulled_on else Wanted.COTANGENT
        for key in inputs
    ]


def _between(records: list[Record], sources: frozenset[int]) -> tuple[list[Record], set[int]]:
    """The records that depend on the sources, and all keys that do."""
    reached = set(sources)
    path = []
    for record in records:
        _, inputs, outputs, _, _ = record
        if not reached.isdisjoint(inputs):
            reached.update(outputs)
            path.append(record)
    return path, reached


def _gathered(
    outputs: Sequence[int], avals: Sequence[Aval | None], totals: dict[int, Any], sources: frozenset[int]
) -> tuple[Any, ...] | None:
    """The cotangents of an application with several results; zeros, or None, for those that nothing depends on."""
    arrived = [totals.get(key) if key in sources else totals.pop(key, None) for key in outputs]
    if all(ct is None for ct in arrived):
        return None
    zero = in_role("zeros")
    return tuple(
        zero(aval.shape, aval.dtype) if ct is None and aval is not None else ct
        for ct, aval in zip(arrived, avals, strict=True)
    )


def _masked_pull(pull: Pull, ct: Any, mask: Any, residuals: Sequence[Any]) -> tuple[Any, Any]:
    """What a rule makes of a cotangent and its mask."""
    rule = pull.rule
    if rule is IDENTITY:
        return ct, mask
    value = pull.apply(ct, residuals)
    if value is None:
        return None, None
    if rule.mask is not None:
        chosen = rule.mask.function(*[residuals[slot] for slot in pull.mask_arguments])
        mask = chosen if mask is None else mask & chosen
    if rule.flow is Flow.POINTWISE:
        value = in_role("select")(mask, value, 0)
        return _undo_broadcast(value, mask, residuals[pull.shape or 0])
    if rule.flow is Flow.MOVING:
        as_ct = in_role("convert")(mask, ct.dtype)
        moved = pull.apply(as_ct, residuals)
        return value, moved != 0
    return value, None


def _undo_broadcast(value: Any, mask: Any, shape: Shape) -> tuple[Any, Any]:
    """Sum over the axes along which an input of `shape` was broadcast; an element is masked if all its copies are."""
    if mask.shape != value.shape:
        mask = in_role("broadcast")(mask, value.shape)
    if value.shape == shape:
        return value, mask
    counts = in_role("convert")(mask, value.dtype)
    return _sum_to(value, shape), _sum_to(counts, shape) != 0


def _sum_to(value: Any, shape: Shape) -> Any:
    axes, keeps_ones = _broadcast_axes(value.shape, shape)
    summed = in_role("sum")(value, axes)
    return in_role("reshape")(summed, shape) if keeps_ones else summed


@lru_cache(maxsize=4096)
def _broadcast_axes(result: Shape, shape: Shape) -> tuple[tuple[int, ...], bool]:
    """The axes of `result` along which an operand of `shape` was broadcast, and whether it has any of them itself."""
    extra = len(result) - len(shape)
    axes = tuple(
        axis for axis, length in enumerate(result) if axis < extra or (shape[axis - extra] == 1 and length != 1)
    )
    return axes, len(result) - len(axes) != len(shape)
