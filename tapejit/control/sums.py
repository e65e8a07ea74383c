"""Cotangents of what every iteration reads, summed up over the iterations.

An iteration that reads a row of a large array has a cotangent that is zero elsewhere: a scatter of a row. Summing up
whole arrays would cost their size at each iteration; so the rows and their indices are kept, one after the other, and
scattered at once in the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..aval import Aval
from ..graph import Literal, Node
from ..lowering import Affine, Pointwise, Scatter, View
from ..primitive import Primitive, bind, in_role

_ROWS_WORTH = 4
"""An array is summed up by rows if it has so many times the elements of what an iteration scatters."""


@dataclass(frozen=True, slots=True)
class Scattered:
    """A part of a sum that is a scatter of `updates` into zeros, at `indices`."""

    primitive: Primitive
    params: tuple[tuple[str, Any], ...]
    indices: Node
    updates: Node

    def total(self, aval: Aval, indices: Any, updates: Any) -> Any:
        """The sum over the iterations, whose indices and updates are stacked."""
        return bind(self.primitive, (in_role("zeros")(aval.shape, aval.dtype), indices, updates), dict(self.params))


def parted(ct: Node) -> tuple[list[Node], list[Scattered]]:
    """A cotangent as a sum: what is to be added up as it is, and scatters of little."""
    dense: list[Node] = []
    scattered: list[Scattered] = []
    terms = [ct]
    while terms:
        node = _behind_views(terms.pop())
        found = _scattered(node)
        if found is not None:
            scattered.append(found)
        elif _is_sum(node):
            terms.extend(reversed(node.inputs))
        else:
            dense.append(node)
    # A sum without scatters stays one.
    return (dense, scattered) if scattered else ([ct], [])


def _behind_views(node: Node) -> Node:
    """The value that views leave as it is."""
    while node.primitive is not None and isinstance(node.primitive.lowering, View) and _leaves_alone(node):
        node = node.inputs[0]
    return node


def _leaves_alone(node: Node) -> bool:
    """Whether a view has each element where it was."""
    assert node.primitive is not None
    shape = node.aval.shape
    if node.inputs[0].aval.shape != shape:
        return False
    index = node.primitive.lowering.index(shape, shape, dict(node.params))
    return bool(index == tuple(Affine.axis(axis) if length > 1 else Affine() for axis, length in enumerate(shape)))


def _is_sum(node: Node) -> bool:
    lowering = None if node.primitive is None else node.primitive.lowering
    same = all(value.aval == node.aval for value in node.inputs)
    return isinstance(lowering, Pointwise) and lowering.expression == "x + y" and same


def _scattered(node: Node) -> Scattered | None:
    primitive = node.primitive
    if primitive is None or not isinstance(primitive.lowering, Scatter) or not _is_zero(node.inputs[0]):
        return None
    if primitive.lowering.combine != "add":
        return None
    _, indices, updates = node.inputs
    if _ROWS_WORTH * updates.aval.size > node.aval.size:
        return None
    return Scattered(primitive, node.params, indices, updates)


def _is_zero(node: Node) -> bool:
    """Whether a value is made of a literal zero."""
    while node.primitive is not None and isinstance(node.primitive.lowering, View):
        node = node.inputs[0]
    return isinstance(node.op, Literal) and bool(node.op.value == 0) and not np.signbit(node.op.value)


def combined(nodes: Sequence[Any]) -> Any:
    """The sum of values."""
    total = nodes[0]
    for value in nodes[1:]:
        total = total + value
    return total
