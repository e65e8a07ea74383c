"""Nodes that functions written with public operations compute."""

from collections.abc import Callable
from typing import Any

from ..graph import Builder, Node, Trace, TracedTensor
from ..primitive import interpreting


def traced(builder: Builder, function: Callable[..., Any], inputs: tuple[Node, ...], place: str, **params: Any) -> Node:
    """The node that `function`, written with public operations, computes from `inputs` for the line `place`."""
    trace = Trace(())
    trace.builder = builder
    trace.place = place
    with interpreting(trace):
        result = function(*[TracedTensor(trace, node) for node in inputs], **params)
    # It would be taken for the one that the graph itself captures at this position.
    assert not trace.captures, f"{function} captures an array"
    return trace.node_of(result)
