"""Recording: for each application of a primitive to something watched, the least that its reverse rules need."""

from collections.abc import Sequence
from typing import Any

from ..aval import Aval, is_floating
from ..errors import RuleError
from ..primitive import CallPlan, Flow, Params, Primitive, Pull, ReversePlan, Rule, Value
from ..variable import Variable
from .requests import is_underivable, no_derivative

IDENTITY = Rule(lambda ct: ct, ("ct",), Flow.MOVING)
"""The rule of a variable's read: the value is the variable."""

READ = ReversePlan((), (Pull(0, IDENTITY, lambda ct, residuals: ct, ()),), lambda *_: ((), ()))


Record = tuple[ReversePlan | CallPlan, tuple[int, ...], tuple[int, ...], Sequence[Any], tuple[Aval | None, ...] | None]
"""One application or call: its plan, the keys that the plan's cotangents go to, the keys of all results, the residuals.

Last come the avals of the results where an application has several, since cotangents that nobody sent are then zeros;
None in their place where the rules take None for such a cotangent.
A plain tuple is made and taken apart in a fifth of the time of anything with names.
"""


class Recording:
    """The records of one tape, in order, and the keys of all that depends on something watched.

    Parameters
    ----------
    watch_accessed : bool
        Whether trainable variables are followed once they are read.
    refusing : bool
        Whether a cotangent that arrives at a function without a derivative is an error; else it goes no further.
    """

    __slots__ = ("_active", "_refusing", "records", "variables", "watch_accessed")

    def __init__(self, watch_accessed: bool, refusing: bool = False) -> None:
        self.watch_accessed = watch_accessed
        self._refusing = refusing
        self.forget()

    def forget(self) -> None:
        """Be as new: nothing was recorded or watched."""
        self.records: list[Record] = []
        self.variables: dict[int, Variable] = {}
        self._active: set[int] = set()

    def without_records(self) -> "Recording":
        """A recording that knows what was watched, and nothing else."""
        bare = Recording(self.watch_accessed)
        bare.variables = self.variables.copy()
        return bare

    def watch(self, value: Value | Variable) -> None:
        """Follow what is computed from `value` from now on."""
        self._active.add(value.key)
        if isinstance(value, Variable):
            self.variables[value.key] = value

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Note an application if any of its inputs is followed and the primitive has a derivative there."""
        active = self._active
        bits, bit = 0, 1
        for value in inputs:
            if value.key in active:
                bits += bit
            bit += bit
        if not bits:
            return
        plan = primitive.plans.get(bits + bit) or primitive.reverse_plan(bits, len(inputs))
        if not plan.pulls:
            if primitive.joint is not None:
                call = primitive.joint(bits, len(inputs), params)
                if call.inputs:
                    self.record_call(call, inputs, outputs if primitive.multiple else (outputs,))
            elif self._refusing and is_underivable(primitive, outputs):  # which has several
                self._record_refused(inputs, outputs, params)
            return
        if primitive.multiple:
            self._record_parts(plan, inputs, outputs, params, bool(primitive.properties.get("partial")))
        elif outputs.dtype.kind == "f":
            # Residuals come first: a borrowed input is made the tape's own before anyone can change it.
            sources, residuals = plan.keep(inputs, outputs, params)
            key = outputs.key
            active.add(key)
            self.records.append((plan, sources, (key,), residuals, None))

    def _record_parts(
        self, plan: ReversePlan, inputs: tuple[Value, ...], outputs: tuple[Value, ...], params: Params, partial: bool
    ) -> None:
        """Note an application that has several results."""
        floating = [output.key for output in outputs if is_floating(output.dtype)]
        if not floating:
            return
        sources, residuals = plan.keep(inputs, outputs, params)
        self._active.update(floating)
        keys = tuple([output.key for output in outputs])
        avals = tuple([None if partial else output.aval for output in outputs])
        self.records.append((plan, sources, keys, residuals, avals))

    def _record_refused(self, inputs: tuple[Value, ...], outputs: tuple[Value, ...], params: Params) -> None:
        """Note a function without a derivative."""
        message = no_derivative(params)  # with the line of the call

        def pull(*_: object) -> Any:
            raise RuleError(message)

        followed = tuple([place for place, value in enumerate(inputs) if value.key in self._active])
        results = tuple([place for place, output in enumerate(outputs) if is_floating(output.dtype)])
        self.record_call(CallPlan(followed, results, (), pull), inputs, outputs)

    def record_read(self, variable: Variable, value: Value) -> None:
        """Note that a variable was read, if it is followed or to be followed."""
        key = variable.key
        active = self._active
        if key not in active:
            if not (self.watch_accessed and variable.trained and is_floating(variable.dtype)):
                return
            active.add(key)
            self.variables[key] = variable
        result = value.key
        active.add(result)
        self.records.append((READ, (key,), (result,), (), None))

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of the values that are followed."""
        return sum(1 << position for position, value in enumerate(values) if value.key in self._active)

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Note a call of a function, of which `plan` says all that a tape must know."""
        both = (*inputs, *results)
        kept = [both[position].kept() for position in plan.kept]
        self._active.update([results[position].key for position in plan.results])
        sources = tuple([inputs[position].key for position in plan.inputs])
        self.records.append((plan, sources, tuple([value.key for value in results]), kept, None))
