"""Running a graph with NumPy, node by node: the oracle that kernels are held against."""

from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tensor import quietly
from .ir import Graph, Input, Literal, Node, Part

WATCHING: dict[int, Callable[[Graph, Mapping[Node, Any]], None]] = {}
"""By thread, who is shown each graph that was computed, bodies of loops first, with the values of its nodes.

No context variable: loops are computed in a context of their own.
"""


def evaluate(graph: Graph, values: Sequence[Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs, and the new values of the variables that the graph updates.

    Parameters
    ----------
    graph : Graph
        What to compute.
    values : sequence of array_like
        One for each of the graph's inputs, in order.

    Returns
    -------
    tuple of two lists of numpy.ndarray
        In the order of ``graph.outputs`` and ``graph.updates``; they may alias each other and the inputs.
    """
    known: dict[Node, Any] = {
        node: np.asarray(value, node.aval.dtype) for node, value in zip(graph.inputs, values, strict=True)
    }
    for node in graph.nodes():
        if node not in known:
            known[node] = evaluate_node(node, known)
    if WATCHING and get_ident() in WATCHING:
        WATCHING[get_ident()](graph, known)
    return [known[node] for node in graph.outputs], [known[value] for _, value in graph.updates]


def evaluate_node(node: Node, known: Mapping[Node, Any]) -> Any:
    """The value of one node given those of its inputs; a tuple where it has several results."""
    op = node.op
    if isinstance(op, Literal):
        return np.array(op.value, op.dtype)
    if isinstance(op, Part):
        return np.asarray(known[node.inputs[0]][op.index])
    if isinstance(op, Input):
        raise ValueError(f"{op} is not among the graph's inputs")  # noqa: TRY004 (the graph is at fault)
    assert isinstance(op, Primitive)
    out = quietly(op.impl, *[known[value] for value in node.inputs], **dict(node.params))
    return out if op.multiple else np.asarray(out)
