"""Regions: closed sub-graphs that an operation holds as a parameter, such as the body of a loop.

What a region needs from outside is passed to it: its operation's inputs are its operands and its captures, so that both
receive cotangents. Two regions that compute the same are equal, whatever their values were called; one with effects
there is none. Start reading at `trace_region`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..aval import Aval
from ..errors import TapejitError, at_user_line
from ..primitive import Value, current, interpreting
from .evaluate import evaluate
from .ir import Graph, Input, Node
from .signature import canonical_lines
from .trace import Trace, TracedTensor


@dataclass(frozen=True, slots=True)
class Region:
    """A graph of arguments alone, compared by what it computes.

    Parameters
    ----------
    graph : Graph
        Its inputs are arguments: operands first, then captures.
    captures : int
        How many of them are captures.
    """

    graph: Graph = field(compare=False)
    captures: int = 0
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", "\n".join(canonical_lines(self.graph)))

    def __repr__(self) -> str:
        return "{ " + self.text.replace("\n", "; ") + " }"

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """Its outputs for arrays, with NumPy."""
        return evaluate(self.graph, arrays)[0]

    def faults(self) -> list[str]:
        """What makes it no region."""
        found = []
        places = [node.op.position if isinstance(node.op, Input) else -1 for node in self.graph.inputs]
        if places != list(range(len(places))) or any(
            isinstance(node.op, Input) and node.op.kind != "argument" for node in self.graph.inputs
        ):
            found.append("a region whose inputs are not its arguments in order")
        if self.graph.updates:
            found.append("a region that assigns")
        if not 0 <= self.captures <= len(places):
            found.append("a region with more captures than inputs")
        return found


def regions_of(params: Iterable[tuple[str, Any]]) -> list[Region]:
    """The regions among the parameters of an operation, those in tuples included."""
    values = [each for _, value in params for each in (value if isinstance(value, tuple) else (value,))]
    return [each for each in values if isinstance(each, Region)]


def with_regions(value: Any, change: Callable[[Region], Region]) -> Any:
    """A parameter with each region in it changed."""
    if isinstance(value, tuple):
        return tuple([change(each) if isinstance(each, Region) else each for each in value])
    return change(value) if isinstance(value, Region) else value


class _RegionTrace(Trace):
    """The interpreter inside a region: what comes from outside becomes a capture."""

    def __init__(self, operands: tuple[Aval, ...], what: str) -> None:
        super().__init__(operands)
        self.outside = current()
        self.what = what
        self.taken: list[Value] = []
        self._capture_nodes: dict[int, Node] = {}
        self._read: dict[int, Value] = {}

    def captured(self, value: Value) -> TracedTensor:
        """The argument that stands for a value of the outside."""
        node = self._capture_nodes.get(value.key)
        if node is None:
            aval = Aval(value.aval.shape, value.aval.dtype)
            node = self.builder.input("argument", len(self.arguments), aval)
            self.arguments.append(node)
            self._capture_nodes[value.key] = node
            self.taken.append(value)
        return TracedTensor(self, node)

    def node_of(self, value: Value) -> Node:
        """The node of a value; one from outside becomes a capture."""
        if isinstance(value, TracedTensor) and value.trace is self:
            return value.node
        return self.captured(value).node

    def lift(self, value: Any, borrow: bool) -> Value:
        """What the outside makes of it, captured where it is used."""
        return value if isinstance(value, Value) else self.outside.interpreter.lift(value, borrow)

    def user_number(self, number: float, dtype: np.dtype) -> Value:
        """What the outside makes of it."""
        return self.captured(self.outside.interpreter.number(number, dtype))

    def read(self, variable: Any) -> TracedTensor:
        """The value that the variable has where the region stands; the outside's tapes hear of it."""
        value = self._read.get(variable.key)
        if value is None:
            value = self._read[variable.key] = self.outside.interpreter.read(variable)
            for tape in self.outside.tapes:
                tape.record_read(variable, value)
        return self.captured(value)

    def assign(self, variable: Any, value: Value) -> None:  # noqa: ARG002 (the protocol of interpreters)
        """Not to be had: a region may run any number of times.

        Raises
        ------
        TapejitError
            Always.
        """
        name = variable.name or "a Variable"
        raise TapejitError(at_user_line(f"{self.what} assigns {name}; return the value instead"))

    def create(self, variable: Any, initial: Value) -> None:  # noqa: ARG002
        """Not to be had.

        Raises
        ------
        TapejitError
            Always.
        """
        raise TapejitError(at_user_line(f"{self.what} makes a Variable; make it outside"))


def trace_region(
    function: Callable[..., Sequence[Value]], operands: Sequence[Aval], what: str
) -> tuple[Region, tuple[Value, ...]]:
    """A function as a region.

    Parameters
    ----------
    function : callable
        ``function(*tensors) -> sequence of values``, written with tapejit's operations.
    operands : sequence of Aval
        Of its arguments.
    what : str
        What to call it in messages: "the body of scan".

    Returns
    -------
    tuple of Region and tuple of Value
        The region, and the outside's values for its captures, in order.

    Raises
    ------
    TapejitError
        If the function assigns or makes a variable.
    ConcretizationError
        If it asks for a value.
    """
    trace = _RegionTrace(tuple(operands), what)
    with interpreting(trace):
        results = function(*[trace.argument(position) for position in range(len(operands))])
        outputs = tuple(trace.node_of(trace.lift(result, False)) for result in results)
    graph = Graph(tuple(trace.arguments), outputs, ())
    return Region(graph, len(trace.arguments) - len(operands)), tuple(trace.taken)
