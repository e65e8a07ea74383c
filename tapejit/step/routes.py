"""Routes: the short ways from a call to the kernel, for calls like earlier ones.

Below `compiled`. A route is tried with each call and knows whether it is its own: by the machine code of an
entry (see `entry`) if there were many, else by a test of the arguments and the guards. Start reading at `Route`.
"""

from collections.abc import Sequence
from typing import Any

from ..aval import Aval
from ..dataclass import dataclass
from ..families import as_array
from ..graph import Graph, Node
from ..graph_function import GraphFunction
from ..guards import GuardSet
from ..kernel.executable import Executable
from ..kernel.plans import MISSED
from ..kernel.program import Relay
from ..primitive import Value, current
from .arguments import Call, describe, matcher
from .entry import Entry, entry_for
from .finite import Finite
from .loops import Steps
from .results import Results

ENTRY_AFTER = 1000
"""After so many calls a route gets an entry, which costs as much as it gains in some hundred calls."""


@dataclass(slots=True)
class Traced:
    """One trace: what was read by name, what came out, and what runs it."""

    guards: GuardSet
    graph: Graph
    executable: Executable | Relay | Finite
    results: Results
    names: dict[Node, str]
    seconds: float
    function: GraphFunction
    steps: Steps | None = None

    def run(self, values: Sequence[Any]) -> Any:
        """The function's result for these values of what varies."""
        return self.results.placed(self.executable(values))

    def recorded(self, call: Call) -> Any:
        """The function's result; the active tapes hear how it depends on everything that came in."""
        return self.results.placed(self.function(list(map(_as_value, call.varying_leaves(), call.avals))))


def _as_value(value: Any, aval: Aval) -> Value:
    """What varies as a tensor: one that was passed as itself, an array without a copy, a number in its own dtype."""
    return current().interpreter.number(value, aval.dtype) if aval.weak else as_array(value, borrow=True)


class Route:
    """The way of calls like one that was made. It keeps none of the arguments that vary.

    Parameters
    ----------
    call : Call
        The call.
    specialized : frozenset of str
        Which integers it had in its signature.
    traced : Traced
        The trace that fits it, as long as the guards hold.

    Attributes
    ----------
    entry : Entry or None
        If there is one, it takes such calls by itself.
    """

    __slots__ = ("_calls", "_match", "_parameters", "_specialized", "entry", "traced")

    def __init__(self, call: Call, specialized: frozenset[str], traced: Traced) -> None:
        self.traced = traced
        self.entry: Entry | None = None
        self._match = matcher(call)
        self._specialized = specialized
        self._parameters = call.parameters
        self._calls = 0  # without those that the entry took

    def values(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
        """What varies in a call; None if it is another one, or the trace doesn't fit any more."""
        values = self._match(args, kwargs)
        return values if values is not None and self.traced.guards.holds() else None

    def follow(self, args: tuple[Any, ...], kwargs: dict[str, Any], tried: Entry | None) -> Any:
        """The result of a call, or `MISSED` if it is another one; the entry `tried` has missed it."""
        entry = self.entry
        if entry is not None and entry is not tried:
            result = entry(*args, **kwargs)
            if result is not MISSED:
                return result
        values = self.values(args, kwargs)
        traced = self.traced
        if values is None:
            return MISSED
        self._calls += 1
        if self._calls >= ENTRY_AFTER:  # or so many missed the entry that there is: for another one, of how things are
            self._calls = 0
            call = describe(args, kwargs, self._specialized, self._parameters)
            self.entry = entry_for(call, traced.guards, traced.executable, traced.results)
        return traced.run(values)
