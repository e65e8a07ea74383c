"""A prepared graph, ready to run: one kernel, or several with calls of Python functions between them.

Start reading at `executable_for`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..dataclass import dataclass
from ..errors import CompileError, warn
from ..graph import Graph, Input, Literal, Node, Part
from ..graph.evaluate import evaluate_node
from ..lowering import Opaque
from ..passes.split import CallPart, KernelPart, obstacle, split
from ..tensor import Tensor
from ..variable import Variable, holding
from .executable import Executable
from .kernels import Kernel, kernel_for, source_of


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the inputs of a graph stand for, by position within their kinds."""

    variables: Sequence[Variable]
    captures: Sequence[np.ndarray]
    numbers: Sequence[float]


def executable_for(
    graph: Graph, around: Surroundings, name: str, names: Mapping[Node, str], *, cache: bool, strict: bool = False
) -> "Executable | Relay":
    """What runs a prepared graph.

    Parameters
    ----------
    graph : Graph
        Prepared.
    around : Surroundings
        What its inputs stand for.
    name : str
        The user's name of the step.
    names : mapping of Node to str
        The user's names of values, for the text.
    cache : bool
        Whether the store on disk is used.
    strict : bool
        Raise where a part of the graph can't be compiled, instead of warning and running it in Python.

    Raises
    ------
    CompileError
        If a kernel can't be built or, with `strict`, an operation can't be compiled.
    """
    if obstacle(graph) is None:
        kernel = kernel_for(graph, name, names, cache)
        return Executable(kernel, graph, around.variables, around.captures, around.numbers)
    parts = split(graph)
    unwanted = [part for part in parts if isinstance(part, CallPart) and not _is_opaque(part)]
    if unwanted and strict:
        raise CompileError(described(unwanted[0]))
    if unwanted:
        more = f", and {len(unwanted) - 1} more" if len(unwanted) > 1 else ""
        warn(
            f"{name} is compiled in parts: {described(unwanted[0])}{more}. It runs in NumPy between kernels; "
            "report()['not_compiled'] lists all; @tapejit.compile(strict=True) makes this an error"
        )
    return Relay(graph, parts, around, name, cache=cache)


def text_of(graph: Graph, name: str, names: Mapping[Node, str]) -> str:
    """The generated source of everything that runs a graph, calls between kernels as comments."""
    if obstacle(graph) is None:
        return source_of(graph, name, names).source
    texts = []
    for number, part in enumerate(split(graph)):
        if isinstance(part, CallPart):
            texts.append(f"# then {described(part)}\n")
        else:
            named = {new: names[old] for old, new in zip(part.reads, part.graph.inputs, strict=True) if old in names}
            texts.append(source_of(part.graph, f"{name}_{number}", named).source)
    return "\n".join(texts)


def described(part: CallPart) -> str:
    """Which operation a call is, where it stands, and why no kernel holds it."""
    assert part.node.primitive is not None
    place = f" at {part.node.where}" if part.node.where else ""
    return f"{part.node.primitive.name}{place} ({part.reason})"


def _is_opaque(part: CallPart) -> bool:
    return part.node.primitive is not None and isinstance(part.node.primitive.lowering, Opaque)


class Relay:
    """Kernels and calls in turn; called like an `Executable`.

    Variables take their new values when all have succeeded. Values between the parts are fresh arrays at each call.
    """

    def __init__(
        self,
        graph: Graph,
        parts: Sequence[KernelPart | CallPart],
        around: Surroundings,
        name: str,
        *,
        cache: bool,
    ) -> None:
        self._graph = graph
        self._around = around
        self._steps: list[Callable[[dict[Node, Any]], None]] = []
        self.not_compiled = tuple(described(part) for part in parts if isinstance(part, CallPart))
        results: dict[Node, list[Node]] = {}  # of operations that have several
        for node in graph.nodes():
            if isinstance(node.op, Part):
                results.setdefault(node.inputs[0], []).append(node)
        kernels = []
        for number, part in enumerate(parts):
            if isinstance(part, CallPart):
                self._steps.append(_calling(part.node, results.get(part.node, ())))
            else:
                kernels.append(kernel_for(part.graph, f"{name}_{number}", {}, cache))
                self._steps.append(_running(part, kernels[-1]))
        self.kernels: tuple[Kernel, ...] = tuple(kernels)

    def report(self) -> dict[str, int]:
        """The counts of all kernels together; values that go from one part to the next count as written and read."""
        total: dict[str, int] = {}
        for kernel in self.kernels:
            for key, count in kernel.layout.report.items():
                total[key] = total.get(key, 0) + count
        return total

    def __call__(self, arguments: Sequence[Any]) -> list[Tensor]:
        """Run all parts; see `Executable`."""
        with holding(self._around.variables):
            return self._run(arguments)

    def _run(self, arguments: Sequence[Any]) -> list[Tensor]:
        graph, around = self._graph, self._around
        sources: dict[str, Sequence[Any]] = {
            "argument": arguments,
            "variable": [variable.buffer for variable in around.variables],
            "capture": around.captures,
            "number": around.numbers,
        }
        values: dict[Node, Any] = {}
        for node in graph.inputs:
            assert isinstance(node.op, Input)
            values[node] = np.asarray(sources[node.op.kind][node.op.position], node.aval.dtype)
        for step in self._steps:
            step(values)
        results = [_fresh(node, values) for node in graph.outputs]
        assigned = [_fresh(value, values) for _, value in graph.updates]
        for (variable, _), array in zip(graph.updates, assigned, strict=True):
            assert isinstance(variable.op, Input)
            around.variables[variable.op.position].replace(array, exposed=False)
        return [Tensor(array) for array in results]


def _running(part: KernelPart, kernel: Kernel) -> Callable[[dict[Node, Any]], None]:
    executable = Executable(kernel, part.graph, (), (), ())

    def run(values: dict[Node, Any]) -> None:
        results = executable([values[node] for node in part.reads])
        values.update((node, result.array) for node, result in zip(part.gives, results, strict=True))

    return run


def _calling(node: Node, results: Sequence[Node]) -> Callable[[dict[Node, Any]], None]:
    """An operation in NumPy; `results` are those of its results that are wanted, where it has several."""

    def call(values: dict[Node, Any]) -> None:
        for value in node.inputs:
            if isinstance(value.op, Literal):
                values[value] = np.array(value.op.value, value.op.dtype)
        values[node] = evaluate_node(node, values)
        values.update((result, evaluate_node(result, values)) for result in results)

    return call


def _fresh(node: Node, values: dict[Node, Any]) -> np.ndarray:
    """The value of a result, in memory that nobody else has."""
    if isinstance(node.op, Literal):
        return np.array(node.op.value, node.op.dtype)
    return np.array(values[node], node.aval.dtype)
