"""A graph with the kernel that computes it, and what can be told of that kernel."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..dataclass import dataclass
from ..graph import Graph, Input, Node, Trace
from ..kernel.program import Relay, Surroundings, executable_for, text_of
from ..passes.prepare import prepare
from ..tensor import Tensor


@dataclass(frozen=True, slots=True)
class Setting:
    """What the inputs of a function's graphs stand for, and what is common to the function's kernels.

    Parameters
    ----------
    trace : Trace
        Knows the variables, captures and numbers.
    heard : frozenset of int
        Keys of the variables that the function reads in a way that tapes hear of; an ``assign_add`` is none.
    name : str
        For the text of kernels.
    names : mapping of Input to str
        The user's names of inputs, for the text.
    cache : bool
        Whether kernels are kept on disk.
    strict : bool
        Whether it is an error if a part can't be compiled.
    """

    trace: Trace
    heard: frozenset[int]
    name: str
    names: Mapping[Input, str]
    cache: bool
    strict: bool


class CompiledGraph:
    """A graph, prepared and compiled.

    Parameters
    ----------
    graph : Graph
        Not prepared.
    setting : Setting
        What its inputs stand for.
    name : str
        Of the kernel.
    residuals : sequence of Node
        Which of the graph's outputs are kept for a backward pass.
    """

    def __init__(self, graph: Graph, setting: Setting, name: str, residuals: Sequence[Node] = ()) -> None:
        self.name = name
        self._residual_bytes = sum(node.aval.nbytes for node in residuals)
        self._graph = prepare(graph)
        # Every input's operation is an `Input`.
        self._names = {node: setting.names[node.op] for node in self._graph.inputs if node.op in setting.names}  # type: ignore[index]
        trace = setting.trace
        around = Surroundings(trace.variables, trace.captures, trace.numbers)
        self._runs = executable_for(self._graph, around, name, self._names, cache=setting.cache, strict=setting.strict)

    def __call__(self, arguments: Sequence[Any]) -> list[Tensor]:
        """Run it on the graph's arguments; see `Executable`."""
        return self._runs(arguments)

    def source(self) -> str:
        """The generated source: Python that Numba compiles."""
        return text_of(self._graph, self.name, self._names)

    def report(self) -> dict[str, Any]:
        """``kernel`` (its name), ``residual_bytes``, what `passes.measure` counts, and what it took to make it."""
        runs = self._runs
        kernels = runs.kernels if isinstance(runs, Relay) else (runs.kernel,)
        counts: Mapping[str, int] = runs.report() if isinstance(runs, Relay) else runs.kernel.layout.report
        return {
            "kernel": self.name,
            "residual_bytes": self._residual_bytes,
            **counts,
            "compile_seconds": sum(kernel.compile_seconds for kernel in kernels),
            "load_seconds": sum(kernel.load_seconds for kernel in kernels),
            "from_cache": sum(kernel.from_cache for kernel in kernels),
        }
