"""`compile`: from a call of a user's function to the kernel that does the same.

Floor 13. A call is described by its *call signature*; for each signature there are traces, each with the guards of what
the function read by name while it was traced. If a trace's guards hold, its executable runs. Else the function is
traced again, which costs milliseconds; a compilation it costs only if the graph is a new one.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from inspect import Parameter, signature
from typing import Any

import numpy as np

from .arguments import Call, Match, describe, matcher
from .config import check_graphs
from .errors import CompileError, ConcretizationError, at_user_line, is_library, warn
from .families import as_array
from .graph import Graph, Input, Node, Trace, show, verify
from .graph.trace import SpecializeError
from .graph_function import GraphFunction
from .guards import Change, GuardSet, Recorder
from .kernel.executable import Executable
from .kernel.kernels import Kernel, kernel_for, source_of
from .passes import prepare
from .passes.statements import NotLowerableError
from .primitive import BASE, NO_PARAMS, STATE, State, Typed, Value, interpreting
from .pytree import TreeDef, flatten, unflatten
from .variable import Variable

RETRACES_BEFORE_WARNING = 8
HISTORY = 100
"""How many reasons for traces are remembered, besides the first."""


@dataclass(slots=True)
class Traced:
    """One trace: what was read by name, what came out, and what runs it."""

    guards: GuardSet
    graph: Graph
    executable: Executable
    results: TreeDef
    leaves: list[Any]
    names: dict[Node, str]
    seconds: float
    trace: Trace
    function: GraphFunction

    def run(self, values: Sequence[Any]) -> Any:
        """The function's result for these values of what varies."""
        return self.placed(self.executable(values))

    def recorded(self, call: Call, state: State) -> Any:
        """The function's result, and for each active tape a record of how it depends on everything that came in."""
        arguments = [as_array(value) for value in call.varying_leaves()]
        reads = [variable.read_value() for variable in self.trace.variables]
        captures = [self.trace.captured_tensor(position) for position in range(len(self.trace.captures))]
        numbers = [state.interpreter.number(number, np.dtype(dtype)) for dtype, number in self.trace.typed_numbers()]
        outputs = tuple(self.executable([argument.numpy() for argument in arguments]))
        for tape in state.tapes:
            tape.record(self.function.primitive, (*arguments, *reads, *captures, *numbers), outputs, NO_PARAMS)
        return self.placed(list(outputs))

    def placed(self, outputs: list[Any]) -> Any:
        """The kernel's outputs in their places."""
        if not self.leaves:
            return unflatten(self.results, ())
        fresh = iter(outputs)
        return unflatten(self.results, [_FRESH[leaf](fresh) if type(leaf) is _Fresh else leaf for leaf in self.leaves])


class _Fresh(Enum):
    """What stands in a result for what the kernel computes."""

    TENSOR = "a tensor"
    NUMBER = "a Python number, made of Python numbers"


_FRESH: dict[Any, Callable[[Iterator[Any]], Any]] = {
    _Fresh.TENSOR: next,
    _Fresh.NUMBER: lambda outputs: next(outputs).item(),
}


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


class CompiledStep:
    """A function that is traced, fused and run as one kernel; made by `compile`.

    Calling it does what calling the function does. `source` shows the kernel, `graph` what it computes, `report` what
    it cost, `explain` why it was traced; `eager` calls the function without compiling.
    """

    def __init__(self, function: Callable[..., Any], *, strict: bool, cache: bool) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._name: str = getattr(function, "__name__", type(function).__name__)
        self._parameters = _positional_parameters(function)
        self._strict = strict
        self._cache = cache
        self._traces: dict[Any, list[Traced]] = {}
        self._last: Traced | None = None
        self._recent: tuple[Match | None, Any] = None, None
        self._specialized: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._counts = Counts()
        self._eager_because: str | None = None
        self._warned_of_retraces = False

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A compiled method: one step for each instance, as the instance's attributes are what it reads."""
        if instance is None:
            return self
        name = f"_compiled_{self._name}"
        bound = getattr(instance, "__dict__", {}).get(name)
        if bound is None:
            bound = CompiledStep(self._function.__get__(instance, owner), strict=self._strict, cache=self._cache)
            instance.__dict__[name] = bound
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the function does, by its kernel; it is traced first where no trace fits the call."""
        state = STATE.get(BASE[0])
        match, last = self._recent
        if match is not None and state is BASE[0] and not kwargs:
            values = match(args)
            if values is not None and last.guards.holds():
                return last.run(values)
        if isinstance(state.interpreter, Trace):
            return self._function(*args, **kwargs)  # a step inside a step becomes part of it
        if self._eager_because is not None:
            return self.eager(*args, **kwargs)
        call = describe(args, kwargs, self._specialized, self._parameters)
        self._counts.looked_up += 1
        traced, call = self._ready(call)
        if traced is None:
            return self.eager(*args, **kwargs)
        self._last = traced
        self._recent = matcher(call), traced
        return traced.recorded(call, state) if state.tapes else traced.run(call.values)

    def eager(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function without compiling; nested lists of numbers become arrays as in compiled calls."""
        call = describe(args, kwargs, frozenset(), self._parameters)
        args, kwargs = call.arguments(call.eager_values())
        return self._function(*args, **kwargs)

    # From a call to a trace

    def _ready(self, call: Call) -> tuple[Traced | None, Call]:
        """The trace whose guards hold, made now if there is none; None where the step has to run eagerly.

        The call comes back too, since tracing may find that more of its arguments have to be fixed.
        """
        for traced in self._traces.get(call.key, ()):
            if traced.guards.holds():
                return traced, call
        with self._lock:
            while True:
                for traced in self._traces.get(call.key, ()):
                    if traced.guards.holds():
                        return traced, call
                try:
                    return self._traced(call), call
                except SpecializeError as error:
                    self._specialized |= {call.paths[position] for position in error.positions}
                    call = call.again(self._specialized)

    def _traced(self, call: Call) -> Traced | None:
        try:
            traced = self._trace(call)
        except SpecializeError:
            raise
        except (ConcretizationError, NotLowerableError, CompileError) as error:
            self._give_up(error)
            return None
        self._count(call, traced)
        known = self._traces.setdefault(call.key, [])
        # Of two traces of one signature the older one's guards failed; what they read may come back, so keep a few.
        known.insert(0, traced)
        del known[RETRACES_BEFORE_WARNING:]
        return traced

    def _trace(self, call: Call, *, again: bool = False) -> Traced:
        """Run the function with traced arguments; `again` after a first trace made variables.

        A function that keeps those variables makes no more then. One that does has no state that a compiled call could
        treat as such.
        """
        started = time.perf_counter()
        trace = Trace(call.avals)
        recorder = Recorder(is_library, lambda value: isinstance(value, Typed))
        args, kwargs = call.arguments([trace.argument(position) for position in range(len(call.avals))])
        with interpreting(trace), recorder.recording(self._function):
            result = self._function(*args, **kwargs)
        if trace.created and not again:
            return self._trace(call, again=True)
        if trace.created:
            raise ConcretizationError(
                "it makes a Variable or a random Generator at each call; make it once, outside or in the first call"
            )
        if recorder.drew_random is not None:
            raise ConcretizationError(
                f"{recorder.drew_random} draws a number while the step is traced, and compiled calls would repeat it; "
                "use tj.random.Generator, or draw outside and pass the number as an argument"
            )
        leaves, results = flatten(result)
        graph = trace.finish([trace.lift(leaf, False) for leaf in leaves if _is_output(leaf)])
        if check_graphs():
            verify(graph, "trace")
        function = GraphFunction(Graph(graph.inputs, graph.outputs, ()), self._name, cache=self._cache)
        graph = prepare(graph)
        guards = recorder.guards()
        names = _names(graph, call, trace, guards)
        traced_in = time.perf_counter() - started
        kernel = kernel_for(graph, self._name, names, self._cache)
        executable = Executable(kernel, graph, trace.variables, trace.captures, trace.numbers)
        placed = [_placeholder(leaf) if _is_output(leaf) else leaf for leaf in leaves]
        return Traced(guards, graph, executable, results, placed, names, traced_in, trace, function)

    def _count(self, call: Call, traced: Traced) -> None:
        counts = self._counts
        kernel: Kernel = traced.executable.kernel
        known = [other.executable.kernel for group in self._traces.values() for other in group]
        changes = self._traces[call.key][0].guards.changes() if self._traces.get(call.key) else ()
        counts.traces += 1
        counts.trace_seconds += traced.seconds
        if not any(kernel is other for other in known):
            counts.compilations += not kernel.from_cache
            counts.from_cache += kernel.from_cache
            counts.compile_seconds += kernel.compile_seconds
            counts.load_seconds += kernel.load_seconds
        counts.history.append(self._reason(call, changes))
        del counts.history[1:-HISTORY]
        if changes and all(change.is_number for change in changes):
            counts.numbers += 1
            frequent = counts.numbers >= RETRACES_BEFORE_WARNING and 2 * counts.numbers > counts.looked_up
            way_out = "Pass a number that changes often as an argument, or keep it in a tj.Variable"
        else:
            counts.others += 1
            frequent = counts.others > RETRACES_BEFORE_WARNING
            way_out = (
                "Pass what varies as an array, keep shapes the same, and let the step not depend on Python values that "
                "change"
            )
        if frequent and not self._warned_of_retraces:
            self._warned_of_retraces = True
            warn(
                f"{self._name} was traced {counts.traces} times; the last time because of {counts.history[-1]}. "
                f"{way_out}"
            )

    def _reason(self, call: Call, changes: Sequence[Change]) -> str:
        """Why this call had to be traced, against the nearest earlier trace."""
        if not self._traces:
            return f"first call: {call}"
        if call.key in self._traces:
            return "; ".join(map(str, changes)) or "a value that the step reads changed"
        return f"new call signature: {call}"

    def _give_up(self, error: Exception) -> None:
        reason = str(error)
        if isinstance(error, NotLowerableError):
            place = f" at {error.node.where}" if error.node.where else ""
            reason = f"{error.node.primitive.name}{place} can't be compiled yet"  # type: ignore[union-attr]
        if self._strict:
            raise CompileError(f"{self._name} can't be compiled: {reason}") from error
        self._eager_because = reason
        warn(f"{self._name} runs eagerly from now on: {reason}. @tapejit.compile(strict=True) makes this an error")

    def lower(self, *args: Any, **kwargs: Any) -> "CompiledStep":
        """Trace and build for arguments like these, without running.

        Parameters
        ----------
        *args, **kwargs
            What the step would be called with; a `TensorSpec` stands for an array.

        Returns
        -------
        CompiledStep
            Itself: `source`, `graph` and `report` then speak of this signature.

        Raises
        ------
        CompileError
            If the step runs eagerly.
        """
        traced, _ = self._ready(describe(args, kwargs, self._specialized, self._parameters))
        self._last = traced
        self._latest("lower")
        return self

    # What it did

    def source(self) -> str:
        """The generated source of the kernel of the last call: Python that Numba compiles.

        Raises
        ------
        CompileError
            If there is no kernel: the step was not called yet, or runs eagerly.
        """
        traced = self._latest("source")
        return source_of(traced.graph, self._name, traced.names).source

    def graph(self) -> str:
        """The graph of the last call as text: one operation a line, with the user's lines."""
        traced = self._latest("graph")
        return show(traced.graph, traced.names)

    def report(self) -> dict[str, Any]:
        """What the step did and cost.

        Returns
        -------
        dict
            ``loop_nests``, ``matrix_products``, ``library_calls``, ``intermediate_bytes``, ``bytes_read``,
            ``bytes_written``, ``flops`` of the last call's kernel (see `passes.measure`); ``traces``, ``compilations``,
            ``from_cache`` (kernels from the store), ``trace_seconds``, ``compile_seconds``, ``load_seconds``
            of all calls; ``eager_because`` (why it runs eagerly, or None).
        """
        counts = self._counts
        plan = dict(self._last.executable.kernel.layout.report) if self._last else {}
        return {
            **plan,
            "traces": counts.traces,
            "compilations": counts.compilations,
            "from_cache": counts.from_cache,
            "trace_seconds": counts.trace_seconds,
            "compile_seconds": counts.compile_seconds,
            "load_seconds": counts.load_seconds,
            "eager_because": self._eager_because,
        }

    def explain(self) -> str:
        """Why the step was traced each time, one line a trace."""
        lines = [f"{number}. {reason}" for number, reason in enumerate(self._counts.history, 1)]
        if self._eager_because is not None:
            lines.append(f"runs eagerly: {self._eager_because}")
        return "\n".join(lines) or "not called yet"

    def _latest(self, wanted: str) -> Traced:
        if self._last is None:
            why = f"it runs eagerly: {self._eager_because}" if self._eager_because else "call it first"
            raise CompileError(at_user_line(f"{self._name}.{wanted}(): there is no kernel; {why}"))
        return self._last

    def __repr__(self) -> str:
        return f"<compiled step {self._name}>"


def compile(  # noqa: A001 (the name that users know from TensorFlow's and PyTorch's)
    function: Callable[..., Any] | None = None, *, strict: bool = False, cache: bool = True
) -> Any:
    """Trace, fuse and run a function as one kernel.

    Parameters
    ----------
    function : callable
        A step: what it computes from its arguments, and what it assigns to variables.
    strict : bool
        Raise `CompileError` where the function can't be compiled, instead of running it eagerly with a warning.
    cache : bool
        Whether machine code is kept on disk for the next process.

    Returns
    -------
    CompiledStep
        Called like the function. Without `function` a decorator.

    Examples
    --------
    >>> w = tj.Variable([1.0, 2.0])
    >>> @tj.compile
    ... def halve():
    ...     w.assign_sub(w / 2)
    ...     return tj.sum(w)
    >>> halve().numpy()
    array(1.5, dtype=float32)
    """
    if function is None:
        return functools.partial(compile, strict=strict, cache=cache)
    if isinstance(function, CompiledStep):
        return function
    return CompiledStep(function, strict=strict, cache=cache)


def _positional_parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that positional arguments belong to, up to ``*args``."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in function without a signature
        return ()
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)


def _is_output(leaf: Any) -> bool:
    """Whether a result is a value that the kernel computes; a variable is returned as itself."""
    return isinstance(leaf, (Typed, np.ndarray)) and not isinstance(leaf, Variable)


def _placeholder(leaf: Any) -> _Fresh:
    return _Fresh.NUMBER if isinstance(leaf, Value) and leaf.aval.weak else _Fresh.TENSOR


def _names(graph: Graph, call: Call, trace: Trace, guards: GuardSet) -> dict[Node, str]:
    """The user's names of a graph's inputs: parameters, and names under which values were read."""
    read = {id(value): path for path, value in reversed(guards.values())}
    things: Mapping[str, Any] = {"variable": trace.variables, "capture": trace.captures, "number": trace.numbers}
    names: dict[Node, str] = {}
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        if node.op.kind == "argument":
            names[node] = call.paths[node.op.position]
            continue
        thing = things[node.op.kind][node.op.position]
        own = thing.name if isinstance(thing, Variable) else None
        found = own or read.get(id(thing))
        if found is not None:
            names[node] = found
    return names
