"""Functions of the user's without a derivative: an error in transforms, where tapes and accumulators say None.

`Recording` knows of them itself, since a cotangent tells whether it matters that a derivative is missing. A tangent
doesn't: what depends on such a function is marked, and the error is that of a result which does.
"""

from typing import Any

from ..aval import is_floating
from ..errors import RuleError
from ..primitive import CallPlan, Params, Primitive, Recorder, Value
from ..variable import Variable
from .accumulator import Tangents
from .requests import is_underivable, no_derivative


class RefusingTangents(Tangents):
    """Tangents of which none is left out silently.

    Parameters
    ----------
    audience : tuple of Recorder, optional
        As of `Tangents`.
    """

    __slots__ = ("_refused",)

    def __init__(self, audience: tuple[Recorder, ...] | None = None) -> None:
        super().__init__(audience)
        self._refused: dict[int, str] = {}  # by key what to say of a value

    def of(self, value: Value | Variable) -> Any:
        """The tangent of a value; None where it depends on nothing.

        Raises
        ------
        RuleError
            If it depends on a function without a derivative.
        """
        if value.key in self._refused:
            raise RuleError(self._refused[value.key])
        return super().of(value)

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Compute the tangents of an application's results, or mark them."""
        results = outputs if primitive.multiple else (outputs,)
        reason = self._reason(inputs)
        if reason is None and is_underivable(primitive, results) and self.follows(inputs):
            reason = no_derivative(params)
        if reason is None:
            super().record(primitive, inputs, outputs, params)
        else:
            self._mark(results, reason)

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Compute the tangents of the results of a call of a whole function, whatever is in it, or mark them."""
        reason = self._reason(inputs)
        if reason is None:
            for result in results:
                self._refused.pop(result.key, None)
            super().record_call(plan, inputs, results)
        else:
            self._mark(results, reason)

    def _reason(self, inputs: tuple[Value, ...]) -> str | None:
        refused = self._refused
        return next((refused[value.key] for value in inputs if value.key in refused), None) if refused else None

    def _mark(self, results: tuple[Value, ...], reason: str) -> None:
        self._refused.update({result.key: reason for result in results if is_floating(result.dtype)})
