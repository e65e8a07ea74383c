"""Forward rules: from the tangents of an operation's inputs to those of its results.

They follow from what the declarations have for the reverse pass. Where elements depend on their own elements only, the
Jacobian is diagonal, and the reverse rule applied to a tangent is the forward rule. A linear operation moves tangents
as it moves values, a product is linear in each factor, and any other reverse rule is linear in its cotangent, so that
its transpose, which the reverse pass finds, is the forward rule. Start reading at `push_forward`.

The rules are made of tapejit operations, as those of the reverse pass are. A tangent may carry a mask too: the places
where it is not structurally zero. A ``where``, a padding or a constant in a concatenation begin one; pointwise rules
apply it to ``partial * tangent``, so that an infinite partial leaks no NaN where nothing depends on anything; rules
that move elements move it; at the first other rule it has served. So kinks are the same in both directions.
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

from ..aval import Shape, is_floating
from ..primitive import (
    CallPlan,
    Flow,
    Masked,
    Params,
    Primitive,
    Pull,
    ReversePlan,
    Value,
    Wanted,
    bind,
    heard_by,
    in_role,
    input_name,
)
from .recording import Recording
from .reverse import add, pull_back

NOTHING: Masked = (None, None)
"""The tangent of what depends on nothing that is differentiated by."""


def push_forward(
    primitive: Primitive, inputs: Sequence[Value], tangents: Sequence[Masked], outputs: Any, params: Params
) -> Sequence[Masked]:
    """Tangents of the results of an application, for each of them.

    Parameters
    ----------
    primitive : Primitive
        What was applied.
    inputs : sequence of Value
        To what.
    tangents : sequence of (Value or None, Value or None)
        For each input its tangent and the mask of that.
    outputs : Value or tuple of Value
        What came out.
    params : mapping
        Its parameters.
    """
    results = outputs if primitive.multiple else (outputs,)
    if primitive.jvp is not None:
        found = primitive.jvp(inputs, [tangent for tangent, _ in tangents], outputs, params)
        # What converts one input element by element leaves zeros where they are.
        mask = tangents[0][1] if primitive.properties.get("family") == "pointwise" and len(inputs) == 1 else None
        return [(tangent, mask) for tangent in (found if primitive.multiple else (found,))]
    active, bit = 0, 1
    for tangent, _ in tangents:
        if tangent is not None:
            active += bit
        bit += bit
    if primitive.joint is not None:
        return push_through(primitive.joint(active, len(inputs), params), inputs, tangents, results)
    plan = primitive.reverse_plan(active, len(inputs))
    if not plan.pulls:
        return [NOTHING] * len(results)
    rules = plan.pulls
    if not primitive.multiple:
        if rules[0].rule.flow is Flow.POINTWISE and all(pull.rule.flow is Flow.POINTWISE for pull in rules):
            return [_Application(plan, inputs, tangents, outputs, params).pointwise(outputs.shape)]
        if primitive.properties.get("linear"):
            return [_linear(primitive, plan, inputs, tangents, params)]
        if primitive.properties.get("family") == "contraction":
            return [_product(primitive, plan, inputs, tangents, params)]
    return _Application(plan, inputs, tangents, outputs, params).transposed(outputs)


class _Application:
    """What the reverse rules of an application need, and the tangents of its inputs.

    The rules are called from here, where a number among what they need is in no argument: it is the operation's, and
    no number of the program that called it (see `graph.origin`).
    """

    __slots__ = ("_pulls", "_residuals", "_tangents")

    def __init__(
        self, plan: ReversePlan, inputs: Sequence[Value], tangents: Sequence[Masked], outputs: Any, params: Params
    ) -> None:
        self._pulls = plan.pulls
        _, self._residuals = plan.keep(inputs, outputs, params)
        self._tangents = [tangents[pull.input] for pull in plan.pulls]

    # Element by element

    def pointwise(self, shape: Shape) -> Masked:
        """The sum over the inputs of each one's partial derivative times its tangent."""
        pulls = self._pulls
        if len(pulls) == 2 and pulls[0].rule.mask is not None and pulls[1].rule.mask is not None:
            total, mask = self._chosen()
        else:
            total, mask = self._summed()
        if total is not None and total.shape != shape:
            total = in_role("broadcast")(total, shape)
        if mask is not None and mask.shape != shape:
            mask = in_role("broadcast")(mask, shape)
        return total, mask

    def _summed(self) -> Masked:
        """The sum of what all inputs add; it is masked where all of that is."""
        total: Any = None
        masks: list[Any] | None = []  # None once something is not masked
        for pull, (tangent, mask) in zip(self._pulls, self._tangents, strict=True):
            value = pull.apply(tangent, self._residuals)
            if value is None:
                continue
            if mask is not None or pull.rule.mask is not None:
                value, mask = self._masked(pull, value, mask)  # noqa: PLW2901
            total = value if total is None else total + value
            masks = None if mask is None or masks is None else [*masks, mask]
        return total, reduce(or_, masks) if masks else None

    def _masked(self, pull: Pull, value: Any, mask: Any) -> Masked:
        """What one input adds, 0 where nothing depends on it."""
        if pull.rule.mask is not None:
            chosen = self._mask_of(pull)
            mask = chosen if mask is None else mask & chosen
        elif pull.rule.names == ("ct",):  # times a number: zeros stay zeros
            return value, mask
        return in_role("select")(mask, value, 0), mask

    def _chosen(self) -> Masked:
        """The tangent of what selects between two inputs: each element is from the one or the other."""
        select = in_role("select")
        values = [
            pull.apply(tangent, self._residuals) for pull, (tangent, _) in zip(self._pulls, self._tangents, strict=True)
        ]
        condition = self._mask_of(self._pulls[0])
        value = select(condition, *values)
        masks = [mask for _, mask in self._tangents]
        if masks[0] is None and masks[1] is None:
            return value, None
        mask = select(condition, *[True if mask is None else mask for mask in masks])
        return select(mask, value, 0), mask

    def _mask_of(self, pull: Pull) -> Any:
        """Where an operation selects from an input."""
        assert pull.rule.mask is not None
        return pull.rule.mask.function(*[self._residuals[slot] for slot in pull.mask_arguments])

    # Any reverse rule

    def transposed(self, outputs: Any) -> Sequence[Masked]:
        """The tangents by which the reverse rules, linear in the cotangent, multiply it."""
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        cts, recording = _zeros_to_follow(results)
        with heard_by(recording):
            given = tuple(cts) if isinstance(outputs, tuple) else cts[0]
            pulled = [(pull.apply(given, self._residuals), None) for pull in self._pulls]
        return _pulled_back(recording, cts, pulled, self._tangents)


# ---- linear operations and products


def _linear(
    primitive: Primitive, plan: ReversePlan, inputs: Sequence[Value], tangents: Sequence[Masked], params: Params
) -> Masked:
    """The operation on tangents, zeros for an input that has none; where it moves elements also on the masks."""
    changed: Params | None = primitive.properties.get("tangent_params")
    moved = {**params, **changed} if changed else params
    zeros = in_role("zeros")
    places = [place for place in range(len(inputs)) if input_name(primitive, place) in primitive.vjp]
    operands = list(inputs)
    for place in places:
        tangent = tangents[place][0]
        operands[place] = zeros(inputs[place].shape, inputs[place].dtype) if tangent is None else tangent
    value = bind(primitive, tuple(operands), moved)
    whole = not changed and all(
        tangent is not None and mask is None for tangent, mask in map(tangents.__getitem__, places)
    )
    if whole or plan.pulls[0].rule.flow is not Flow.MOVING:
        return value, None
    for place in places:
        tangent, mask = tangents[place]
        if mask is not None:
            operands[place] = in_role("convert")(mask, value.dtype)
        elif tangent is not None:
            operands[place] = in_role("ones")(inputs[place].shape, value.dtype)
    return value, bind(primitive, tuple(operands), moved) != 0


def _product(
    primitive: Primitive, plan: ReversePlan, inputs: Sequence[Value], tangents: Sequence[Masked], params: Params
) -> Masked:
    """The sum over the factors of the product in which this one is replaced by its tangent."""
    terms = []
    for pull in plan.pulls:
        operands = list(inputs)
        operands[pull.input] = tangents[pull.input][0]
        terms.append(bind(primitive, tuple(operands), params))
    return sum(terms[1:], start=terms[0]), None


# ---- the transpose of a reverse rule


def push_through(
    plan: CallPlan, inputs: Sequence[Value], tangents: Sequence[Masked], results: Sequence[Value]
) -> Sequence[Masked]:
    """Tangents of the results of a call, as in `push_forward`."""
    if plan.push is not None:
        return plan.push(inputs, tangents, results)
    active = [tangents[place] for place in plan.inputs]
    if all(tangent is None for tangent, _ in active):
        return [NOTHING] * len(results)
    both = (*inputs, *results)
    kept = [both[place].kept() for place in plan.kept]
    cts, recording = _zeros_to_follow(results)
    arrived = [(ct if place in plan.results else None, None) for place, ct in enumerate(cts)]
    wanted = [Wanted.NOTHING if tangent is None else Wanted.COTANGENT for tangent, _ in active]
    with heard_by(recording):
        pulled = plan.pull(arrived, kept, wanted)
    found = _pulled_back(recording, cts, pulled, active)
    return [found[place] if place in plan.results else NOTHING for place in range(len(results))]


def _zeros_to_follow(results: Sequence[Value]) -> tuple[list[Any], Recording]:
    """A cotangent for each result, and what records that is made of those that are floating."""
    cts = [in_role("zeros")(result.shape, result.dtype) for result in results]
    recording = Recording(watch_accessed=False)
    for ct in cts:
        if is_floating(ct.dtype):
            recording.watch(ct)
    return cts, recording


def _pulled_back(
    recording: Recording, cts: Sequence[Any], pulled: Sequence[Masked], tangents: Sequence[Masked]
) -> list[Masked]:
    """From the cotangents of inputs, which were made of those of results, and from tangents to tangents of results.

    A result that a rule says nothing of is connected all the same, as it is in reverse: its tangent is 0.
    """
    seeds: dict[int, Any] = {}
    for (ct, _), (tangent, _) in zip(pulled, tangents, strict=True):
        if ct is not None and tangent is not None:
            # A rule without the sum over the axes of a broadcast, which is left to whoever calls it.
            whole = tangent if tangent.shape == ct.shape else in_role("broadcast")(tangent, ct.shape)
            add(ct.key, (whole, None), seeds, {})
    found = pull_back(recording.records, seeds, [ct.key for ct in cts])
    return [(found.get(ct.key, ct), None) if is_floating(ct.dtype) else NOTHING for ct in cts]
