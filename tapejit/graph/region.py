"""Regions: closed sub-graphs that an operation holds as a parameter, such as the body of a loop.

What a region needs from outside is passed to it: its operation's inputs are its operands and its captures, so that both
receive cotangents. Two regions that compute the same are equal, whatever their values were called; one with effects
there is none. Start reading at `trace_region`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ..aval import Aval
from ..dataclass import dataclass
from ..errors import ConcretizationError, TapejitError, at_user_line
from ..primitive import Value, current, interpreting
from ..variable import Variable
from .evaluate import evaluate
from .ir import Builder, Graph, Input, Node, in_order
from .reads import Reads
from .signature import canonical_lines
from .trace import READ_AGAIN, SpecializeError, Trace, TracedTensor


@dataclass(frozen=True, slots=True)
class Region:
    """A graph of arguments alone, compared by what it computes.

    Parameters
    ----------
    graph : Graph
        Its inputs are arguments: operands first, then captures.
    captures : int
        How many of them are captures.

    Attributes
    ----------
    text : str
        What it computes.
    notes : dict
        What rules found out about it, by whatever they look it up.
    """

    graph: Graph = field(compare=False)
    captures: int = 0
    text: str = field(init=False)
    notes: dict[Any, Any] = field(init=False, compare=False, repr=False, default_factory=dict)

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


class _Heard(Reads):
    """The tape that listens inside a region: the outside's tapes hear which variables are read."""

    def __init__(self, trace: "RegionTrace") -> None:
        super().__init__()
        self._trace = trace

    def record_read(self, variable: Any, value: Value) -> None:
        """Tell those outside, once."""
        if variable.key not in self.keys:
            self._trace.tell(variable)
        super().record_read(variable, value)


@dataclass(slots=True)
class _Place:
    """A variable inside a region.

    Its gradient goes to `anchor`, what the outside reads; `before` stands for the value that it has when the region
    begins, `now` for the present one.
    """

    variable: Variable
    outer: Value
    anchor: Node
    before: Node
    now: Node


class RegionTrace(Trace):
    """The interpreter inside a region: what comes from outside becomes a capture.

    Parameters
    ----------
    operands : tuple of Aval
        Of its arguments.
    what : str
        What to call it in messages: "the body of scan".
    effects : bool
        Whether it may assign variables; `assigned` has them, and whoever makes the region passes their values on.
    """

    def __init__(self, operands: Sequence[Aval], what: str, effects: bool = False) -> None:
        super().__init__(tuple(operands))
        self.outside = current()
        self.what = what
        self.effects = effects
        self._taken: dict[int, tuple[Value, Node]] = {}
        self._places: dict[int, _Place] = {}
        self._lifted: dict[int, tuple[Any, Value]] = {}

    def run(self, function: Callable[..., Any]) -> Any:
        """What the function gives for the arguments, written down here."""
        with interpreting(self, (_Heard(self),)):
            return function(*[self.argument(position) for position in range(len(self.arguments))])

    # The interpreter

    def captured(self, value: Value) -> TracedTensor:
        """The input that stands for a value of the outside."""
        return TracedTensor(self, self._input_for(value))

    def _input_for(self, value: Value) -> Node:
        found = self._taken.get(value.key)
        if found is None:
            aval = Aval(value.aval.shape, value.aval.dtype)
            found = self._taken[value.key] = value, self.builder.input("capture", len(self._taken), aval)
        return found[1]

    def node_of(self, value: Value) -> Node:
        """The node of a value; one from outside becomes a capture."""
        if isinstance(value, TracedTensor) and value.trace is self:
            return value.node
        return self._input_for(value)

    def lift(self, value: Any, borrow: bool) -> Value:  # noqa: ARG002 (the protocol of interpreters)
        """What the outside makes of it, captured where it is used."""
        if isinstance(value, Value):
            return value
        if not isinstance(value, np.ndarray):
            return self.outside.interpreter.lift(value, False)
        if id(value) not in self._lifted:
            self._lifted[id(value)] = value, self.outside.interpreter.lift(value, False)
        return self._lifted[id(value)][1]

    def user_number(self, number: float, dtype: np.dtype) -> Value:
        """What the outside makes of it."""
        return self.captured(self.outside.interpreter.number(number, dtype))

    def read(self, variable: Any) -> TracedTensor:
        """The value that the variable has at this point of the region."""
        place = self._place(variable)
        return TracedTensor(self, self.builder.apply(READ_AGAIN, (place.now, place.anchor), {}))

    def tell(self, variable: Any) -> None:
        """Let the outside's tapes hear that the variable was read."""
        for tape in self.outside.tapes:
            tape.record_read(variable, self._place(variable).outer)

    def assign(self, variable: Any, value: Value) -> None:
        """The variable's value from this point of the region on.

        Raises
        ------
        TapejitError
            If the region may have no effects.
        """
        if not self.effects:
            name = variable.name or "a Variable"
            raise TapejitError(at_user_line(f"{self.what} assigns {name}; return the value instead"))
        self._place(variable).now = self.node_of(value)

    def create(self, variable: Any, initial: Value) -> None:  # noqa: ARG002
        """Not to be had: a region may run any number of times.

        Raises
        ------
        TapejitError
            Always.
        """
        raise TapejitError(at_user_line(f"{self.what} makes a Variable; make it outside"))

    def _place(self, variable: Any) -> _Place:
        place = self._places.get(variable.key)
        if place is None:
            outer = self.outside.interpreter.read(variable)
            before = self.builder.input("variable", len(self._places), variable.aval)
            place = self._places[variable.key] = _Place(variable, outer, self._input_for(outer), before, before)
        return place

    # Messages

    def weak_positions(self, node: Node) -> tuple[int, ...] | None:
        """Where the Python numbers are among the step's arguments that a value depends on alone; None if on more."""
        captures = {taken: value for value, taken in self._taken.values()}
        found: list[int] = []
        for source in in_order((node,)):
            if isinstance(source.op, Input):
                value = captures.get(source)
                below = value.trace.weak_positions(value.node) if isinstance(value, TracedTensor) else None
                if below is None:
                    return None
                found += below
        return tuple(dict.fromkeys(found))

    def refusal(self, error: ConcretizationError) -> ConcretizationError:
        """The error, which says where it is; it stands for the outside too."""
        if not isinstance(error, SpecializeError):
            error = type(error)(f"in {self.what}: {error}")
        outer = self.outside.interpreter
        return super().refusal(outer.refusal(error) if isinstance(outer, Trace) else error)

    def kept_after(self) -> str:
        """What to say of a tensor that was used outside."""
        return (
            f"a tensor of {self.what} was used outside of it: it has no numbers there. Return it from the function "
            "(through the carry or the results), or assign it to a Variable"
        )

    # The result

    @property
    def assigned(self) -> list[Variable]:
        """The variables that have another value at the end, in order."""
        return [place.variable for place in self._places.values() if place.now is not place.before]

    def value_before(self, variable: Variable) -> Node:
        """The input that stands for the variable's value where the region begins."""
        return self._place(variable).before

    def value_after(self, variable: Variable) -> Node:
        """The variable's value at the end."""
        return self._place(variable).now

    def taken(self, outputs: Sequence[Node]) -> list[Value]:
        """The outside's values that the outputs need."""
        needed = set(in_order(outputs))
        return [value for value, node in self._taken.values() if node in needed]

    def region(self, arguments: Sequence[Node], outputs: Sequence[Node], captures: Sequence[Value]) -> Region:
        """The region from its arguments and then `captures`.

        An argument may be a variable's value before the region, or a value that is computed, and then is not.

        Raises
        ------
        ConcretizationError
            If the program asked for a value in vain and went on.
        """
        if self._refusal is not None:
            raise self._refusal
        builder = Builder()
        avals = [*(node.aval for node in arguments), *(Aval(value.shape, value.dtype) for value in captures)]
        inputs = [builder.input("argument", position, aval) for position, aval in enumerate(avals)]
        known = dict(zip(arguments, inputs, strict=False))
        for value, node in zip(captures, inputs[len(arguments) :], strict=True):
            if value.key in self._taken:
                known[self._taken[value.key][1]] = node
        for node in in_order(outputs, known):
            if node.op is READ_AGAIN and node.inputs[0] not in known:
                known[node] = known[node.inputs[1]]  # never assigned
            elif not isinstance(node.op, Input):
                known[node] = builder.again(node, tuple([known[value] for value in node.inputs]))
        return Region(Graph(tuple(inputs), tuple(known[node] for node in outputs), ()), len(captures))


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
    trace = RegionTrace(operands, what)
    outputs = [trace.node_of(trace.lift(result, False)) for result in trace.run(function)]
    captures = trace.taken(outputs)
    return trace.region(trace.arguments, outputs, captures), tuple(captures)
