"""`compile(check_finite=True)`: which operation was the first to make a number that is none.

Below `compiled`. After a call, results and assigned variables are looked at. If one has a NaN or an infinity, the
variables get the values from before back, and the step's graph is computed again by NumPy, operation by operation, to
see where that came from. Start reading at `Finite`.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from typing import Any

import numpy as np

from ..errors import NotFiniteError, at_user_line, user_location
from ..graph import Graph, Input, Node, Part
from ..graph.evaluate import WATCHING, evaluate_node
from ..kernel.executable import Executable
from ..kernel.program import Relay, Surroundings
from ..primitive import STATE, Params, Primitive, State, Value, current
from ..pytree import flatten
from ..tensor import BEFORE_ASSIGNING, Tensor
from ..variable import Variable


class Finite:
    """An executable whose results are looked at.

    Parameters
    ----------
    inner : Executable or Relay
        What runs the step.
    graph : Graph
        What the step computes as it was traced, with the user's lines.
    around : Surroundings
        What its inputs stand for.
    name : str
        The user's name of the step.
    names : mapping of Node to str
        The user's names of inputs.
    """

    def __init__(
        self, inner: Executable | Relay, graph: Graph, around: Surroundings, name: str, names: Mapping[Node, str]
    ) -> None:
        self._inner, self._graph, self._around = inner, graph, around
        self._name = name
        self._names = {node.op: text for node, text in names.items()}
        places = [variable.op.position for variable, _ in graph.updates if isinstance(variable.op, Input)]
        self._updated = [around.variables[place] for place in places]
        self.kernels, self.not_compiled, self.report = inner.kernels, inner.not_compiled, inner.report

    def __call__(self, arguments: Sequence[Any]) -> list[Tensor]:
        """Run the step; see `Executable`.

        Raises
        ------
        NotFiniteError
            If a result or an assigned variable is not finite; all variables are as they were.
        """
        # What is exposed is not written any more: these buffers keep the values from before.
        before = [variable.expose() for variable in self._around.variables]
        results = self._inner(arguments)
        wrong = [f"result {number}" for number, result in enumerate(results) if not _is_finite(result.numpy())]
        wrong += [_called(variable) for variable in self._updated if not _is_finite(variable.buffer)]
        if not wrong:
            return results
        for variable, buffer in zip(self._around.variables, before, strict=True):
            variable.replace(buffer, exposed=True)
        cause = self._cause({"argument": arguments, "variable": before})
        raise NotFiniteError(at_user_line(f"{self._name}: {wrong[0]} is not finite: {cause}; nothing was assigned"))

    def _cause(self, values: Mapping[str, Sequence[Any]]) -> str:
        """What made the first of the numbers that are not finite and that results depend on."""
        graph = self._graph
        sources = {"capture": self._around.captures, "number": self._around.numbers, **values}
        known: dict[Node, Any] = {
            node: np.asarray(sources[node.op.kind][node.op.position], node.aval.dtype)
            for node in graph.inputs
            if isinstance(node.op, Input)
        }
        for node in graph.nodes():
            if node not in known:
                known[node] = evaluate_node(node, known)
        first = _culprit(graph, known)
        if first is None:
            return "NumPy finds nothing in the same computation, so it is a matter of rounding near the largest number"
        if isinstance(first.op, Input):
            return f"{self._names.get(first.op, first.op.kind)} came in with {_described(known[first])}"
        first, value = _innermost(first, known)
        name = first.primitive.name if first.primitive else "a number"
        return f"{name}{f' at {first.where}' if first.where else ''} gives {_described(value)} from finite numbers"


def _culprit(graph: Graph, known: Mapping[Node, Any]) -> Node | None:
    """The first node that made finite numbers others, among those on which a result depends that is not finite."""
    nodes = graph.nodes()
    bad = {node for node in nodes if not _all_finite(known[node])}
    wanted = {*graph.outputs, *[value for _, value in graph.updates]} & bad
    for node in reversed(nodes):  # results before what they depend on
        if node in wanted:
            wanted.update(value for value in node.inputs if value in bad)
    return next((n for n in nodes if n in wanted and bad.isdisjoint(n.inputs) and not isinstance(n.op, Part)), None)


def _innermost(node: Node, known: Mapping[Node, Any]) -> tuple[Node, Any]:
    """The node in the body of a loop or a branch that is at fault, and what it gave; or the node itself."""
    found: list[tuple[Node, Any]] = []

    def look(graph: Graph, values: Mapping[Node, Any]) -> None:
        first = None if found else _culprit(graph, values)
        if first is not None and not isinstance(first.op, Input):
            found.append((first, values[first]))

    WATCHING[get_ident()] = look
    try:
        evaluate_node(node, known)
    finally:
        del WATCHING[get_ident()]
    return found[0] if found else (node, known[node])


def eagerly(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a step's function, and look at its results and the variables that it assigns.

    Raises
    ------
    NotFiniteError
        If one is not finite; these variables are as they were.
    """
    listener = _Listener()
    before: dict[int, tuple[Variable, np.ndarray]] = {}
    state = current()
    token = STATE.set(State(state.interpreter, (listener, *state.tapes), state.forward))

    def keep(variable: Variable) -> None:
        before.setdefault(id(variable), (variable, variable.expose()))

    telling = BEFORE_ASSIGNING.set(keep)
    try:
        result = function(*args, **kwargs)
    finally:
        BEFORE_ASSIGNING.reset(telling)
        STATE.reset(token)
    leaves = [leaf for leaf in flatten(result)[0] if isinstance(leaf, (Value, np.ndarray))]
    wrong = [f"result {number}" for number, leaf in enumerate(leaves) if not _is_finite(np.asarray(leaf))]
    wrong += [_called(variable) for variable, _ in before.values() if not _is_finite(variable.buffer)]
    if wrong:
        for variable, buffer in before.values():
            variable.replace(buffer, exposed=True)
        cause = listener.first or "it came in so"
        raise NotFiniteError(at_user_line(f"{name}: {wrong[0]} is not finite: {cause}; nothing was assigned"))
    return result


class _Listener:
    """Hears what is computed, and notes the first operation that makes of finite numbers others."""

    def __init__(self) -> None:
        self.first = ""

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:  # noqa: ARG002
        """See `Recorder`."""
        several = outputs if primitive.multiple else (outputs,)
        arrays = [output.numpy() for output in several]
        if not self.first and not _all_finite(tuple(arrays)) and _all_finite(tuple(each.numpy() for each in inputs)):
            wrong = next(array for array in arrays if not _is_finite(array))
            self.first = f"{primitive.name} at {user_location()} gives {_described(wrong)} from finite numbers"

    def record_read(self, variable: Any, value: Value) -> None:
        """See `Recorder`: what is read is heard of by what is computed with it."""

    def follows(self, values: tuple[Value, ...]) -> int:  # noqa: ARG002
        """See `Recorder`: nothing is asked of it."""
        return 0

    def record_call(self, plan: Any, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """See `Recorder`: a compiled step inside says by itself what is wrong."""


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def _all_finite(value: Any) -> bool:
    """Whether an operation's result is finite, or all are if it has several."""
    return all(map(_is_finite, value)) if isinstance(value, tuple) else _is_finite(value)


def _called(variable: Variable) -> str:
    return f"variable {variable.name!r}" if variable.name else "a variable"


def _described(value: Any) -> str:
    """What is not finite in a result."""
    array = next(each for each in (value if isinstance(value, tuple) else (value,)) if not _is_finite(each))
    missing, count = int(np.isnan(array).sum()), int((~np.isfinite(array)).sum())
    kind = "nan" if missing == count else "inf" if not missing else "nan and inf"
    return kind if array.ndim == 0 else f"{kind} in {count} of the {array.size} elements of shape {array.shape}"
