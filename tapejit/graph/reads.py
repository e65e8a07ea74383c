"""Which variables a function reads in a way that tapes hear of."""

from typing import Any

from ..primitive import CallPlan, Params, Primitive, Value


class Reads:
    """A tape that only notes which variables are read; ``assign_add`` and the like read theirs silently.

    Attributes
    ----------
    keys : set of int
        The keys of the variables.
    """

    def __init__(self) -> None:
        self.keys: set[int] = set()

    def record_read(self, variable: Any, value: Value) -> None:  # noqa: ARG002 (the protocol of tapes)
        """Note the variable."""
        self.keys.add(variable.key)

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Applications are not noted."""

    def follows(self, values: tuple[Value, ...]) -> int:  # noqa: ARG002
        """Nothing."""
        return 0

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Calls are not noted."""
