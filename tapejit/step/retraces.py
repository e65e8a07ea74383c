"""How often a step was traced, why, and what that has cost.

Below `compiled`. Start reading at `Counts.add`.
"""

from collections.abc import Sequence
from dataclasses import field

from ..dataclass import dataclass
from ..errors import warn
from ..guards import Change
from ..kernel.kernels import Kernel
from .arguments import Call, differences

RETRACES_BEFORE_WARNING = 8
HISTORY = 100
"""How many reasons for traces are remembered, besides the first."""


@dataclass(slots=True)
class Counts:
    """What a step has cost so far."""

    traces: int = 0
    compilations: int = 0
    trace_seconds: float = 0.0
    compile_seconds: float = 0.0
    load_seconds: float = 0.0
    from_cache: int = 0
    numbers: int = 0  # traces because a number changed
    others: int = 0
    looked_up: int = 0  # calls that were not like the last one
    history: list[str] = field(default_factory=list)
    ran_eagerly: list[str] = field(default_factory=list)  # calls that did so although the step compiles: first, latest
    calls: list[dict[str, str]] = field(default_factory=list)
    warned: bool = False

    def add(
        self, call: Call, seconds: float, kernels: Sequence[Kernel], changes: Sequence[Change] | None, name: str
    ) -> None:
        """Count a trace, and warn where there are many.

        Parameters
        ----------
        call : Call
            What it was made for.
        seconds : float
            How long it took.
        kernels : sequence of Kernel
            Those that no earlier trace has.
        changes : sequence of Change, optional
            What the guards of the latest trace of this call signature found; None if there is none.
        name : str
            The user's name of the step.
        """
        self.traces += 1
        self.trace_seconds += seconds
        for kernel in kernels:
            self.compilations += not kernel.from_cache
            self.from_cache += kernel.from_cache
            self.compile_seconds += kernel.compile_seconds
            self.load_seconds += kernel.load_seconds
        self.history.append(self._reason(call, changes))
        del self.history[1:-HISTORY]
        self.calls.append(call.described())
        del self.calls[:-HISTORY]
        if changes and all(change.is_number for change in changes):
            self.numbers += 1
            frequent = self.numbers >= RETRACES_BEFORE_WARNING and 2 * self.numbers > self.looked_up
            way_out = "Pass a number that changes often as an argument, or keep it in a tj.Variable"
        else:
            self.others += 1
            frequent = self.others > RETRACES_BEFORE_WARNING
            way_out = (
                "Pass what varies as an array, keep shapes the same, and let the step not depend on Python values that "
                "change"
            )
        if frequent and not self.warned:
            self.warned = True
            warn(f"{name} was traced {self.traces} times; the last time because of {self.history[-1]}. {way_out}")

    def _reason(self, call: Call, changes: Sequence[Change] | None) -> str:
        """Why this call had to be traced, against the nearest earlier trace."""
        if not self.calls:
            return f"first call: {call}"
        if changes is not None:
            return "; ".join(map(str, changes)) or "a value that the step reads changed"
        new = call.described()
        nearest = min((differences(old, new) for old in reversed(self.calls)), key=len, default=[])
        return f"new call signature: {'; '.join(nearest) or call}"

    def lines(self) -> list[str]:
        """Why the step was traced each time, one line a trace; of very many the first and the latest."""
        left_out = self.traces - len(self.history)
        lines = [f"{number + (left_out if number > 1 else 0)}. {why}" for number, why in enumerate(self.history, 1)]
        if left_out > 0:
            lines.insert(1, f"… {left_out} left out …")
        return lines + self.ran_eagerly
