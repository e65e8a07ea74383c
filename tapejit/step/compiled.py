"""`compile`: from a call of a user's function to the kernel that does the same.

A call is described by its *call signature*; for each signature there are traces, each with the guards of what
the function read by name while it was traced. If a trace's guards hold, its executable runs. Else the function is
traced again, which costs milliseconds; a compilation it costs only if the graph is a new one.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

import numpy as np

from ..config import check_graphs
from ..errors import CompileError, ConcretizationError, at_user_line, is_library, name_of, warn
from ..forks import Rank, lock
from ..graph import Graph, Input, Node, Trace, show, verify
from ..graph.reads import Reads
from ..graph.trace import SpecializeError
from ..graph_function import CompiledGraph, GraphFunction, Setting
from ..guards import AssignedOnceError, GuardSet, Recorder
from ..kernel.executable import Executable
from ..kernel.kernels import without_collections
from ..kernel.layout import MEASURED
from ..kernel.plans import MISSED
from ..kernel.program import Relay, Surroundings, executable_for, text_of
from ..passes.prepare import prepare
from ..primitive import BASE, STATE, Typed, interpreting
from ..pytree import flatten
from ..variable import Variable
from .arguments import Call, describe, eager_arguments
from .entry import Entry
from .epochs import Trainable, gathered
from .finite import Finite, eagerly
from .loops import Looped, Steps
from .portable import Portable
from .results import Results, is_output
from .retraces import RETRACES_BEFORE_WARNING, Counts
from .routes import Route, Traced

ROUTES = 4
"""How many kinds of calls are recognised without being described."""


class CompiledStep(Trainable, Portable):
    """A function that is traced, fused and run as one kernel; made by `compile`.

    Calling it does what calling the function does. `source` shows the kernel, `graph` what it computes, `report` what
    it cost, `explain` why it was traced; `eager` calls the function without compiling; `repeat` and `scan` run it many
    times in one call.
    """

    def __init__(self, function: Callable[..., Any], *, strict: bool, cache: bool, check_finite: bool = False) -> None:
        super().__init__(function, strict=strict, cache=cache, check_finite=check_finite)
        self._name = name_of(function)
        self.parameters = _positional_parameters(function)
        self._strict = strict
        self._cache = cache
        self._check_finite = check_finite
        self._traces: dict[Any, list[Traced]] = {}
        self._last: Traced | None = None
        self._routes: tuple[Route, ...] = ()  # the last call's first
        self._entry: Entry | None = None  # of the first one
        self._specialized: frozenset[str] = frozenset()
        self._lock = lock(Rank.STEP)
        self._counts = Counts()
        self._eager_because: str | None = None
        self._gathering: CompiledStep | None = None
        self._assigned: set[Any] = set()  # signatures whose next trace assigns again what it reads

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the function does, by its kernel; it is traced first where no trace fits the call."""
        entry = self._entry
        if entry is not None:
            result = entry(*args, **kwargs)
            if result is not MISSED:
                return result
        state = STATE.get(BASE[0])
        if state is BASE[0]:
            for route in self._routes:
                result = route.follow(args, kwargs, entry)
                if result is not MISSED:
                    if route.entry is not self._entry or route.traced is not self._last:
                        self._prefer(route)
                    return result
        if state.interpreter is not BASE[0].interpreter:
            return self.eager(*args, **kwargs)  # a step inside a step becomes part of it
        if self._eager_because is not None:
            return self.eager(*args, **kwargs)
        call = describe(args, kwargs, self._specialized, self.parameters)
        call.refuse_specs()
        self._counts.looked_up += 1
        traced, call = self._ready(call)
        if traced is None:
            return self.eager(*args, **kwargs)
        self._last = traced
        if state.tapes:
            return traced.recorded(call)
        self._add_route(call, traced)
        return traced.run(call.values)

    def _add_route(self, call: Call, traced: Traced) -> None:
        route = Route(call, self._specialized, traced)
        self._routes, self._entry = (route, *self._routes[: ROUTES - 1]), None

    def _prefer(self, route: Route) -> None:
        """Try this route first from now on."""
        self._last, self._entry = route.traced, route.entry
        self._routes = (route, *[other for other in self._routes if other is not route])

    def eager(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function without compiling; arrays and lists of numbers become tensors, as in compiled calls."""
        args, kwargs = eager_arguments(args, kwargs, self.parameters)
        if self._check_finite and not STATE.get(BASE[0]).interpreter.traces:
            return eagerly(self._name, self._function, args, kwargs)
        return self._function(*args, **kwargs)

    def looped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Looped | Callable[..., Any]":
        """See `Loopable`."""
        state = STATE.get(BASE[0])
        if state is BASE[0]:
            for route in self._routes:
                values = route.values(args, kwargs)
                if values is not None and route.traced.steps is not None:
                    return route.traced.steps, values
        if state.interpreter is not BASE[0].interpreter or state.tapes or self._eager_because is not None:
            return self
        call = describe(args, kwargs, self._specialized, self.parameters)
        call.refuse_specs()
        self._counts.looked_up += 1
        traced, call = self._ready(call)
        if traced is None:
            return self.eager
        self._last = traced
        self._add_route(call, traced)
        if not isinstance(traced.executable, Executable):
            return self
        if traced.steps is None:
            traced.steps = Steps(traced.executable, traced.graph, call.varying, traced.results.stacked)
        return traced.steps, call.values

    def unlooped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `Loopable`."""
        call = describe(args, kwargs, self._specialized, self.parameters)
        traced, call = self._ready(call) if self._eager_because is None else (None, call)
        if traced is None:
            raise CompileError(at_user_line(f"{self._name} runs eagerly, so only a step shows what it returns"))
        self._assigned.discard(call.key)  # nothing ran
        return traced.results.stacked(
            [np.empty((0, *node.aval.shape), node.aval.dtype) for node in traced.graph.outputs]
        )

    def looped_rows(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Looped | None:
        """See `Trainable`."""
        if self._eager_because is not None:
            return None
        if self._gathering is None:
            gathering = CompiledStep(gathered(self._function), **self._options)
            gathering._name, gathering._counts = self._name, self._counts
            gathering.parameters = ("order", *self.parameters)
            self._gathering = gathering
        gathering = self._gathering
        found = gathering.looped(args, kwargs)
        self._eager_because = gathering._eager_because  # noqa: SLF001 (of a step of its own)
        self._last, self._entry = gathering._last or self._last, None  # noqa: SLF001
        return None if callable(found) else found

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
        again = call.key in self._assigned
        self._assigned.discard(call.key)
        try:
            traced = self._trace(call, again=again)
        except SpecializeError:
            raise
        except AssignedOnceError as error:
            if error.again:
                self._assigned.add(call.key)
            self._counts.ran_eagerly[1:] = [str(error)]
            return None
        except (ConcretizationError, CompileError) as error:
            self._give_up(error)
            return None
        self._count(call, traced)
        known = self._traces.setdefault(call.key, [])
        # Of two traces of one signature the older one's guards failed; what they read may come back, so keep a few.
        known.insert(0, traced)
        del known[RETRACES_BEFORE_WARNING:]
        return traced

    def _trace(self, call: Call, *, again: bool = False, assigned: object = None) -> Traced:
        """Run the function with traced arguments; `again` after a first trace made variables or assigned what it read.

        A function that keeps those variables makes no more then. One that does, or that goes on counting, has no state
        that a compiled call could treat as such. One that `assigned` something but made no variable runs eagerly once.
        """
        recorder = Recorder(is_library, lambda value: isinstance(value, Typed))
        try:
            with without_collections():
                return self._recorded(call, Trace(call.avals), recorder, again, assigned)
        except BaseException as error:
            runs_again = isinstance(error, (SpecializeError, ConcretizationError, CompileError, AssignedOnceError))
            recorder.undo(runs_again=runs_again)
            raise

    def _recorded(self, call: Call, trace: Trace, recorder: Recorder, again: bool, assigned: object) -> Traced:
        started = time.perf_counter()
        args, kwargs = call.arguments([trace.argument(position) for position in range(len(call.avals))])
        reads = Reads()
        with interpreting(trace, (reads,)), recorder.recording(self._function):
            result = self._function(*args, **kwargs)
        if (trace.created or recorder.changed) and not again:
            return self._trace(call, again=True, assigned=None if trace.created else recorder.changed[0])
        leaves, tree = flatten(result)
        _check_repeatable(trace, recorder, leaves)
        if assigned is not None:
            raise AssignedOnceError(assigned, again=bool(recorder.changed))
        graph = trace.finish([trace.lift(leaf, False) for leaf in leaves if is_output(leaf)])
        if check_graphs():
            verify(graph, "trace")
        graph, differentiable = prepare(graph), graph
        guards = recorder.guards(trace.borrows)
        names = _names(graph, call, trace, guards)
        traced_in = time.perf_counter() - started
        around = Surroundings(trace.variables, trace.captures, trace.numbers)
        executable: Executable | Relay | Finite
        executable = executable_for(graph, around, self._name, names, cache=self._cache, strict=self._strict)
        shown = {node.op: text for node, text in names.items() if isinstance(node.op, Input)}
        if self._check_finite:
            executable = Finite(executable, differentiable, around, self._name, names)
        setting = Setting(trace, frozenset(reads.keys), self._name, shown, self._cache, self._strict)
        function = GraphFunction(differentiable, setting, executable)
        return Traced(guards, graph, executable, Results(leaves, tree), names, traced_in, function)

    def _count(self, call: Call, traced: Traced) -> None:
        known = [kernel for group in self._traces.values() for other in group for kernel in other.executable.kernels]
        fresh = [k for k in traced.executable.kernels if not any(k is other for other in known)]
        earlier = self._traces.get(call.key)
        changes = earlier[0].guards.changes() if earlier else ()
        self._counts.add(call, traced.seconds, fresh, changes if earlier else None, self._name)

    def _give_up(self, error: Exception) -> None:
        reason = str(error)
        if self._strict:
            raise CompileError(f"{self._name} can't be compiled: {reason}") from error
        self._eager_because = reason
        warn(f"{self._name} runs eagerly from now on: {reason}. @tapejit.compile(strict=True) makes this an error")

    def executable_for(self, *args: Any) -> Executable | Relay | Finite:
        """What runs calls with arguments like these, for those who call kernels in ways of their own.

        Raises
        ------
        CompileError
            If the step runs eagerly.
        """
        return self.traced_for(*args).executable

    def traced_for(self, *args: Any) -> Traced:
        """The trace of calls with arguments like these; as for `executable_for`, which is a part of it."""
        traced, call = self._ready(describe(args, {}, self._specialized, self.parameters))
        if traced is None:
            raise CompileError(at_user_line(f"{self._name} runs eagerly: {self._eager_because}"))
        self._assigned.discard(call.key)  # nothing ran
        return traced

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
        traced, call = self._ready(describe(args, kwargs, self._specialized, self.parameters))
        self._last, self._entry = traced, None  # so that the next call says which one was the last
        self._assigned.discard(call.key)  # nothing ran
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
        return text_of(traced.graph, self._name, traced.names)

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
            ``bytes_written``, ``flops`` of the last call's kernel (see `passes.measure`; None where there is no
            kernel; loops that only fill an array are not counted); ``traces``, ``compilations``,
            ``from_cache`` (kernels from the store), ``trace_seconds``, ``compile_seconds``, ``load_seconds``
            of all calls; ``eager_because`` (why it runs eagerly, or None); ``not_compiled`` (which operations run in
            Python between the last call's kernels, where they stand, and why); ``differentiated``, a list of the
            reports of the kernels that tapes around the last call's trace made necessary (see `differentiated`).
        """
        counts = self._counts
        plan = self._last.executable.report() if self._last else dict.fromkeys(MEASURED)
        return {
            **plan,
            "traces": counts.traces,
            "compilations": counts.compilations,
            "from_cache": counts.from_cache,
            "trace_seconds": counts.trace_seconds,
            "compile_seconds": counts.compile_seconds,
            "load_seconds": counts.load_seconds,
            "eager_because": self._eager_because,
            "not_compiled": list(self._last.executable.not_compiled) if self._last else [],
            "differentiated": [kernel.report() for kernel in self.differentiated()],
        }

    def differentiated(self) -> list[CompiledGraph]:
        """The kernels besides the step's own that exist because tapes around the step follow its calls.

        Returns
        -------
        list of CompiledGraph
            Of the last call's trace. Each has a ``name``, ``source()`` and ``report()``. One called
            ``…_with_residuals`` does what the step does, and keeps what gradients need; it is built at the first call
            under a tape that watches something that the results depend on. One called ``…_gradient`` computes
            gradients from that; it is built at the first one. Derivatives of derivatives have both again.

        Examples
        --------
        >>> @tj.compile
        ... def power(x):
        ...     return tj.exp(x) ** 2
        >>> x = tj.constant(1.0)
        >>> with tj.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = power(x)
        >>> dy = tape.gradient(y, x)
        >>> [kernel.name for kernel in power.differentiated()]
        ['power_with_residuals', 'power_gradient']
        """
        return [] if self._last is None else list(self._last.function.kernels())

    def explain(self) -> str:
        """Why the step was traced each time, one line a trace; of very many the first and the latest."""
        lines = self._counts.lines()
        if self._eager_because is not None:
            lines.append(f"runs eagerly: {self._eager_because}")
        return "\n".join(lines) or "not called yet"

    @property
    def latest(self) -> Traced | None:
        """The trace of the last call; None where it ran eagerly."""
        return None if self._eager_because is not None else self._last

    def _latest(self, wanted: str) -> Traced:
        if self._last is None:
            why = f"it runs eagerly: {self._eager_because}" if self._eager_because else "call it first"
            raise CompileError(f"{at_user_line(f'{self._name}.{wanted}(): there is no kernel')}; {why}")
        return self._last

    def __repr__(self) -> str:
        return f"<compiled step {self._name}>"


def compile(  # noqa: A001 (the name that users know from TensorFlow's and PyTorch's)
    function: Callable[..., Any] | None = None,
    *,
    strict: bool = False,
    cache: bool = True,
    check_finite: bool = False,
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
    check_finite : bool
        Look after each call whether results and assigned variables are finite. If one isn't, `NotFiniteError` names the
        first operation that made a NaN or an infinity of finite numbers, and the variables are as they were before. For
        finding out what is wrong: such a step costs more, and runs in loops and epochs one call at a time.

    Returns
    -------
    CompiledStep
        Called like the function. Without `function` a decorator.

    Notes
    -----
    Python runs when the step is traced: at its first call, and again for arguments of other shapes, dtypes or static
    values (booleans, strings, tuples of ints and other hashables), and when something that it reads by name has
    changed. Arrays and Python numbers are inputs, and so are captured arrays and variables. A step that looks at a
    value of a tensor runs eagerly, with a warning. ``step.source()``, ``step.report()`` and ``step.explain()`` show the
    kernel, its costs, and why it was traced.

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
    options = {"strict": strict, "cache": cache, "check_finite": check_finite}
    if function is None:
        return functools.partial(compile, strict=strict, cache=cache, check_finite=check_finite)
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(compile(function.__func__, strict=strict, cache=cache, check_finite=check_finite))
    if isinstance(function, CompiledStep):
        return function.compiled_as(**options)
    if not callable(function):
        raise TypeError(at_user_line(f"compile takes a function, got {type(function).__name__}"))
    return CompiledStep(function, **options)


def _positional_parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that positional arguments belong to, up to ``*args``."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in function without a signature
        return ()
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)


def _check_repeatable(trace: Trace, recorder: Recorder, leaves: Sequence[Any]) -> None:
    """Refuse what calls that run no Python could not do again.

    Raises
    ------
    ConcretizationError
        Naming what it is and the way out.
    """
    if trace.created:
        raise ConcretizationError(
            "it makes a Variable or a random Generator at each call; make it once, outside or in the first call"
        )
    if recorder.repeats is not None:
        raise ConcretizationError(recorder.repeats)
    for change in recorder.changed:
        if change.goes_on:
            raise ConcretizationError(
                f"it changes what it reads at each call, and compiled calls run no Python: {change}; keep it in a "
                "tj.Variable, or pass it as an argument"
            )
    for leaf in leaves:
        if not is_output(leaf) and trace.is_hidden_in(leaf):
            raise ConcretizationError(
                f"it returns a {type(leaf).__name__} that holds tensors, or makes them later; return tensors in lists, "
                "tuples, named tuples or dicts"
            )


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
