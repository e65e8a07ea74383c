"""A graph as a compiled function that tapes can differentiate, to any order.

Floor 12, below `step`. To a tape a call is one application of a primitive of its own. The primitive's reverse rule is
another `GraphFunction`: the gradient of the replayed graph, traced, fused and compiled like everything else. It
computes again what it needs of the forward pass, so that a call keeps only its inputs.
"""

import threading
from functools import cached_property
from typing import Any

import numpy as np

from .aval import Aval, is_floating
from .graph import Graph, Trace
from .graph.replay import replay
from .kernel.executable import Executable
from .kernel.kernels import kernel_for
from .passes import prepare
from .primitive import Primitive, Rule, Value, bind, interpreting
from .tape import GradientTape


class GraphFunction:
    """The outputs of a graph as a function of its inputs.

    Parameters
    ----------
    graph : Graph
        Not prepared, so that its operations still have their own derivatives; updates are ignored.
    name : str
        For the text of kernels.
    cache : bool
        Whether kernels are kept on disk.
    """

    def __init__(self, graph: Graph, name: str, *, cache: bool) -> None:
        self._graph = graph
        self._name = name
        self._cache = cache
        self._lock = threading.RLock()
        self._backward: dict[int, GraphFunction] = {}
        self.primitive = Primitive(
            name=name,
            inputs=("*values",),
            impl=self._run,
            rule=self._types,
            vjp={"*values": Rule.of(self._gradient)},
            lowering=None,
            cases=(),
            multiple=True,
        )

    def __call__(self, values: tuple[Value, ...]) -> Any:
        """The outputs, a tuple of tensors."""
        return bind(self.primitive, values)

    @cached_property
    def _executable(self) -> Executable:
        trace = Trace(tuple(node.aval for node in self._graph.inputs))
        with interpreting(trace):
            outputs = replay(self._graph, [trace.argument(i) for i in range(len(self._graph.inputs))], trace)
        graph = prepare(trace.finish(outputs))
        return Executable(kernel_for(graph, self._name, {}, self._cache), graph, (), (), ())

    def _run(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        with self._lock:
            executable = self._executable
        return tuple(tensor.array for tensor in executable(arrays))

    def _types(self, *_: Aval) -> tuple[Aval, ...]:
        return tuple(node.aval for node in self._graph.outputs)

    def _gradient(
        self, ct: tuple[Any, ...], values: tuple[Any, ...], active: int, index: int, memo: dict[str, Any]
    ) -> Any:
        """The cotangent of one input; all of them come out of one call, which `memo` remembers."""
        if memo.get("ct") is not ct:
            memo["ct"] = ct
            memo["gradients"] = self._gradients_of(active)((*values, *ct))
        position = sum(active >> earlier & 1 for earlier in range(index))
        return memo["gradients"][position]

    def _gradients_of(self, active: int) -> "GraphFunction":
        with self._lock:
            found = self._backward.get(active)
            if found is None:
                graph = self._reverse(active)
                found = self._backward[active] = GraphFunction(graph, self._name + "_gradient", cache=self._cache)
        return found

    def _reverse(self, active: int) -> Graph:
        """The graph of the cotangents of the active inputs, given inputs and cotangents of outputs."""
        inputs, outputs = self._graph.inputs, self._graph.outputs
        trace = Trace(tuple(node.aval for node in (*inputs, *outputs)))
        values = [trace.argument(position) for position in range(len(inputs) + len(outputs))]
        sources = [value for position, value in enumerate(values[: len(inputs)]) if active >> position & 1]
        with interpreting(trace), GradientTape() as tape:
            tape.watch(sources)
            results = replay(self._graph, values[: len(inputs)], trace)
            pairs = [
                (result, ct)
                for result, ct in zip(results, values[len(inputs) :], strict=True)
                if is_floating(result.dtype)
            ]
            gradients = tape.gradient(
                [result for result, _ in pairs],
                sources,
                output_gradients=[ct for _, ct in pairs],
                unconnected_gradients="zero",
            )
        return trace.finish(gradients)
