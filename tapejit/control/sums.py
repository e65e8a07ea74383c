"""Cotangents of what every iteration reads, summed up over the iterations.

Summing up whole arrays costs their size at each iteration. Where an iteration reads a row of a large array, its
cotangent is a scatter of a row into zeros: the rows and their indices are kept, one after the other, and scattered at
once in the end. Where it multiplies a matrix and a vector, the matrix' cotangent is a product of two vectors: these are
kept, and what would be so many updates of the whole matrix is one product of matrices in the end. Slices, pads and
other linear operations wait for the sum.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..aval import Aval
from ..dataclass import dataclass
from ..graph import Input, Literal, Node, TracedTensor
from ..graph.region import RegionTrace
from ..lowering import Affine, Contraction, Pointwise, Scatter, View
from ..primitive import Primitive, bind, in_role

_ROWS_WORTH = 4
"""An array is summed up by rows if it has so many times the elements of what an iteration scatters."""

_FACTORS_WORTH = 4
"""A matrix is summed up by its factors if it has so many times their elements."""


@dataclass(frozen=True, slots=True)
class Scattered:
    """A part of a sum that is a scatter of `updates` into zeros, at `indices`."""

    primitive: Primitive
    params: tuple[tuple[str, Any], ...]
    indices: Node
    updates: Node

    def given(self, trace: RegionTrace) -> list[Node]:  # noqa: ARG002 (as `Products` has it)
        """What an iteration gives: indices and updates."""
        return [self.indices, self.updates]

    def total(self, aval: Aval, stacked: Sequence[Any]) -> Any:
        """The sum, of this type, from what the iterations gave."""
        return bind(self.primitive, (in_role("zeros")(aval.shape, aval.dtype), *stacked), dict(self.params))


@dataclass(frozen=True, slots=True)
class Products:
    """A part of a sum that is the sum of products ``left @ right`` with few terms, some of them transposed."""

    factors: tuple[tuple[Node, Node, bool], ...]

    def given(self, trace: RegionTrace) -> list[Node]:
        """What an iteration gives: the columns of all left factors as rows, and the rows of all right ones."""
        columns, rows = [], []
        for left, right, turned in self.factors:
            one, other = ops.matrix_transpose(TracedTensor(trace, left)), TracedTensor(trace, right)
            columns.append(other if turned else one)
            rows.append(one if turned else other)
        both = [parts[0] if len(parts) == 1 else ops.concat(parts, axis=0) for parts in (columns, rows)]
        return [trace.node_of(value) for value in both]

    def total(self, aval: Aval, stacked: Sequence[Any]) -> Any:  # noqa: ARG002 (as `Scattered` has it)
        """The sum: one product, whose terms are those of all iterations."""
        columns, rows = (ops.reshape(each, (-1, each.shape[-1])) for each in stacked)
        return ops.matmul(ops.matrix_transpose(columns), rows)


Part = Scattered | Products


Chain = tuple[tuple[Primitive, tuple[tuple[str, Any], ...]], ...]
"""Linear operations with one input each, the first one first: they are applied to a sum, not to each of its terms."""


def through(chain: Chain, value: Any) -> Any:
    """What a chain of operations makes of a value."""
    for primitive, params in chain:
        value = bind(primitive, (value,), dict(params))
    return value


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a sum as they are, before a chain of operations."""

    chain: Chain
    nodes: list[Node]


def parted(ct: Node) -> tuple[list[Terms], list[tuple[Chain, Aval, Part]]]:
    """A cotangent as a sum: terms to be added up, and parts that cost less; each before a chain of operations.

    So of a matrix of which a row is read, the cotangent of the row is added up, and made one of the matrix in the end.
    """
    dense: dict[Chain, list[Node]] = {}
    factors: dict[Chain, list[tuple[Node, Node, bool]]] = {}
    parts: list[tuple[Chain, Aval, Part]] = []
    avals: dict[Chain, Aval] = {}
    terms: list[tuple[Node, Chain]] = [(ct, ())]
    while terms:
        node, chain = terms.pop()
        scattered, product = _scattered(node), _product(node)
        if scattered is not None:
            parts.append((chain, node.aval, scattered))
        elif product is not None:
            factors.setdefault(chain, []).append(product)
            avals[chain] = node.aval
        elif _is_sum(node):
            terms.extend((value, chain) for value in reversed(node.inputs))
        elif _is_linear(node):
            assert node.primitive is not None
            terms.append((node.inputs[0], ((node.primitive, node.params), *chain)))
        else:
            dense.setdefault(chain, []).append(node)
    parts.extend((chain, avals[chain], Products(tuple(found))) for chain, found in factors.items())
    return [Terms(chain, nodes) for chain, nodes in dense.items()], parts


def _is_linear(node: Node) -> bool:
    """Whether a value is made of one that is no larger, by an operation that may as well be applied to a sum."""
    primitive = node.primitive
    if primitive is None or len(node.inputs) != 1 or node.inputs[0].aval.size > node.aval.size:
        return False
    linear = isinstance(primitive.lowering, View) or bool(primitive.properties.get("linear"))
    return (
        linear and not isinstance(node.inputs[0].op, (Input, Literal)) and node.inputs[0].aval.dtype == node.aval.dtype
    )


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


def _product(node: Node) -> tuple[Node, Node, bool] | None:
    """The factors of a matrix, or of its transpose."""
    turned = _is_transpose(node)
    product = node.inputs[0] if turned else node
    primitive = product.primitive
    if primitive is None or not isinstance(primitive.lowering, Contraction) or len(product.aval.shape) != 2:
        return None
    left, right = product.inputs
    if _FACTORS_WORTH * (left.aval.size + right.aval.size) > node.aval.size:
        return None
    return left, right, turned


def _is_transpose(node: Node) -> bool:
    """Whether a view exchanges the two axes of a matrix."""
    if node.primitive is None or not isinstance(node.primitive.lowering, View):
        return False
    shape = node.inputs[0].aval.shape
    if len(shape) != 2 or min(shape) < 2 or node.aval.shape != shape[::-1]:
        return False
    index = node.primitive.lowering.index(shape, node.aval.shape, dict(node.params))
    return bool(index == (Affine.axis(1), Affine.axis(0)))


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
