"""Recording: for each application of a primitive to something watched, the least that its reverse rules need."""

from collections.abc import Callable, Sequence
from typing import Any

from ..aval import Aval, is_floating
from ..primitive import CallPlan, Flow, Params, Primitive, Pull, ReversePlan, Rule, Value
from ..tensor import BorrowedTensor
from ..variable import Variable

IDENTITY = Rule(lambda ct: ct, ("ct",), Flow.MOVING)
"""The rule of a variable's read: the value is the variable."""

READ = ReversePlan((), (Pull(0, IDENTITY, lambda ct, residuals: ct, ()),))


class Record:
    """One application or call: where cotangents come from, where they go, and the residuals.

    `inputs` are the keys that the plan's cotangents go to, `outputs` the keys of all results. `avals` are those of the
    results where an application has several, since cotangents that nobody sent are then zeros.
    """

    __slots__ = ("avals", "inputs", "outputs", "plan", "residuals")

    def __init__(
        self,
        plan: ReversePlan | CallPlan,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        residuals: Sequence[Any],
        avals: tuple[Aval, ...] | None,
    ) -> None:
        self.plan = plan
        self.inputs = inputs
        self.outputs = outputs
        self.residuals = residuals
        self.avals = avals


class Recording:
    """The records of one tape, in order, and the keys of all that depends on something watched."""

    __slots__ = ("_active", "records", "variables", "watch_accessed")

    def __init__(self, watch_accessed: bool) -> None:
        self.watch_accessed = watch_accessed
        self.records: list[Record] = []
        self.variables: dict[int, Variable] = {}
        self._active: set[int] = set()

    def watch(self, value: Value | Variable) -> None:
        """Follow what is computed from `value` from now on."""
        self._active.add(value.key)
        if isinstance(value, Variable):
            self.variables[value.key] = value

    def record(  # noqa: PLR0912 (the tape's part of every eager operation: calls of helpers would cost more than they say)
        self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params
    ) -> None:
        """Note an application if any of its inputs is followed and the primitive has a derivative there."""
        active = self._active
        bits, bit = 0, 1
        for value in inputs:
            if value.key in active:
                bits |= bit
            bit += bit
        if not bits:
            return
        plan = primitive.plans.get((bits, len(inputs))) or primitive.reverse_plan(bits, len(inputs))
        if not plan.pulls:
            return
        if not (
            is_floating(outputs.dtype) if not primitive.multiple else any(is_floating(part.dtype) for part in outputs)
        ):
            return
        # Residuals come first: a borrowed input is made the tape's own before anyone can change it.
        residuals = []
        for tag, which in plan.slots:
            if tag == "shape":
                residuals.append(inputs[which].shape)
            elif tag == "value":
                value = inputs[which]
                if type(value) is BorrowedTensor:
                    value.own()
                residuals.append(value)
            elif tag == "out":
                residuals.append(outputs)
            else:
                residuals.append(_RESIDUAL[tag](which, inputs, params))
        if primitive.multiple:
            avals = tuple([result.aval for result in outputs])
            keys = tuple([result.key for result in outputs])
            active.update([result.key for result in outputs if is_floating(result.dtype)])
        else:
            avals, keys = None, (outputs.key,)
            active.add(outputs.key)
        pulls = plan.pulls
        sources = (inputs[pulls[0].input].key,) if len(pulls) == 1 else tuple([inputs[p.input].key for p in pulls])
        self.records.append(Record(plan, sources, keys, residuals, avals))

    def record_read(self, variable: Variable, value: Value) -> None:
        """Note that a variable was read, if it is followed or to be followed."""
        key = variable.key
        if key not in self._active:
            if not (self.watch_accessed and variable.trainable and is_floating(variable.dtype)):
                return
            self.watch(variable)
        self._active.add(value.key)
        self.records.append(Record(READ, (key,), (value.key,), (), None))

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of the values that are followed."""
        return sum(1 << position for position, value in enumerate(values) if value.key in self._active)

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Note a call of a function, of which `plan` says all that a tape must know."""
        both = (*inputs, *results)
        kept = [both[position] for position in plan.kept]
        for value in kept:
            if type(value) is BorrowedTensor:
                value.own()
        self._active.update([results[position].key for position in plan.results])
        sources = tuple([inputs[position].key for position in plan.inputs])
        self.records.append(Record(plan, sources, tuple([value.key for value in results]), kept, None))


_RESIDUAL: dict[str, Callable[..., Any]] = {
    "shapes": lambda which, inputs, params: tuple(value.shape for value in inputs),
    "dtype": lambda which, inputs, params: inputs[which].dtype,
    "given": lambda which, inputs, params: which,
    "param": lambda which, inputs, params: params[which],
}
