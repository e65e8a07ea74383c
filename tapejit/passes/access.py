"""What one statement computes: an expression over loads, with all views folded into the index maps of the loads.

A value is named by its `Key`, a node and the index at which it is wanted, in terms of the statement's axes; values with
equal keys are computed once. Walks are iterative.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..aval import Shape
from ..graph import Literal, Node
from ..lowering import Affine, Gather, IndexMap, Pieces, Pointwise, View

Key = tuple[Node, IndexMap]


@dataclass(frozen=True, slots=True)
class Load:
    """An element of a stored value: at `linear` in its contiguous order, and at `index` where the map is affine."""

    root: Node
    linear: Affine
    index: IndexMap | None


@dataclass(frozen=True, slots=True)
class Compute:
    """A pointwise operation on other values."""

    node: Node
    operands: tuple[Key, ...]
    index: IndexMap


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: Any


@dataclass(frozen=True, slots=True)
class Choose:
    """The first arm whose conditions (``low <= expression < high``) hold, else the fill value."""

    arms: tuple[tuple[tuple[tuple[Affine, int, int], ...], Key], ...]
    fill: Any

    @property
    def operands(self) -> tuple[Key, ...]:
        """The values of the arms."""
        return tuple(key for _, key in self.arms)


@dataclass(frozen=True, slots=True)
class Fetch:
    """An element of a stored value at an index that is itself computed.

    It is at ``linear + Σ index · stride``; `dynamic` has for each computed index its value, the stride and the length
    of the axis.
    """

    root: Node
    linear: Affine
    dynamic: tuple[tuple[Key, int, int], ...]

    @property
    def operands(self) -> tuple[Key, ...]:
        """The computed indices."""
        return tuple(key for key, _, _ in self.dynamic)


Expression = Load | Compute | Number | Choose | Fetch
Values = dict[Key, Expression]


def operands_of(expression: Expression) -> tuple[Key, ...]:
    """The values that an expression is made of."""
    return expression.operands if isinstance(expression, (Compute, Choose, Fetch)) else ()


def canonical(index: IndexMap, shape: Shape) -> IndexMap:
    """The index map with axes of length 1 at 0."""
    return tuple(Affine() if length == 1 else affine for affine, length in zip(index, shape, strict=True))


def linear_index(index: IndexMap, shape: Shape) -> Affine:
    """Position in the contiguous order of an array of `shape`."""
    total, stride = Affine(), 1
    for affine, length in zip(reversed(index), reversed(shape), strict=True):
        total = total + affine.scaled(stride)
        stride *= length
    return total


def resolve(node: Node, index: IndexMap, stored: Collection[Node]) -> tuple[Key, Values]:
    """The value of `node` at `index`, down to loads of the stored nodes.

    Parameters
    ----------
    node : Node
        What is wanted, computed anew even if it is stored.
    index : IndexMap
        Where, in terms of the statement's axes.
    stored : collection of Node
        Nodes whose values can be loaded.

    Returns
    -------
    tuple of Key and dict
        The key of the value, and the expressions of all keys, operands before their users.
    """
    top = (node, canonical(index, node.aval.shape))
    values: Values = {}
    stack: list[tuple[Key, Expression | None]] = [(top, _expression(top, stored, computed=True))]
    while stack:
        key, expression = stack.pop()
        if key in values:
            continue
        if expression is None:
            expression = _expression(key, stored)
        missing = [operand for operand in operands_of(expression) if operand not in values]
        if missing:
            stack.append((key, expression))
            stack.extend((operand, None) for operand in reversed(missing))
        else:
            values[key] = expression
    return top, values


def _expression(key: Key, stored: Collection[Node], computed: bool = False) -> Expression:
    node, index = key
    shape = node.aval.shape
    if isinstance(node.op, Literal):
        return Number(node.op.value)
    if node in stored and not computed:
        return Load(node, linear_index(index, shape), index)
    primitive = node.primitive
    lowering = None if primitive is None else primitive.lowering
    if isinstance(lowering, Pointwise):
        return Compute(node, tuple(_broadcast(value, index, shape) for value in node.inputs), index)
    if isinstance(lowering, View):
        return _through_view(node, lowering, index, stored)
    if isinstance(lowering, Pieces):
        return _pieces(node, lowering, index, stored)
    if isinstance(lowering, Gather):
        count = len(node.inputs[1].aval.shape) - 1
        x, indices = node.inputs
        return Fetch(x, *indexed(x, indices, index[:count], index[count:], dict(node.params)["axes"]))
    # What is neither computed in place nor a view is stored: an input, a reduction, a product.
    return Load(node, linear_index(index, shape), index)


def _broadcast(value: Node, index: IndexMap, shape: Shape) -> Key:
    """The operand of a pointwise operation at the operation's index."""
    own = value.aval.shape
    return value, canonical(index[len(shape) - len(own) :], own)


def _through_view(node: Node, lowering: View, index: IndexMap, stored: Collection[Node]) -> Expression:
    source = node.inputs[0]
    inner = lowering.index(source.aval.shape, node.aval.shape, dict(node.params))
    if inner is None:
        return Load(source, linear_index(index, node.aval.shape), None)
    composed = canonical(tuple(affine.substitute(index) for affine in inner), source.aval.shape)
    return _expression((source, composed), stored)


def indexed(
    x: Node, indices: Node, batch: IndexMap, rest: IndexMap, axes: tuple[int, ...]
) -> tuple[Affine, tuple[tuple[Key, int, int], ...]]:
    """Where an index tuple leads: the affine part of the position in `x`, and the computed part.

    Parameters
    ----------
    x, indices : Node
        What is indexed, and the index tuples, shape (..., k).
    batch, rest : IndexMap
        The index of the tuple, and the index along the axes of `x` that it does not name.
    axes : tuple of int
        The k axes that it names.
    """
    shape = x.aval.shape
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    others = [axis for axis in range(len(shape)) if axis not in axes]
    linear = Affine()
    for axis, affine in zip(others, rest, strict=True):
        linear = linear + affine.scaled(strides[axis])
    dynamic = tuple(
        ((indices, canonical((*batch, Affine(column)), indices.aval.shape)), strides[axis], shape[axis])
        for column, axis in enumerate(axes)
    )
    return linear, dynamic


def _pieces(node: Node, lowering: Pieces, index: IndexMap, stored: Collection[Node]) -> Expression:
    shapes = tuple(value.aval.shape for value in node.inputs)
    params = dict(node.params)
    arms = []
    for value, piece in zip(node.inputs, lowering.pieces(shapes, node.aval.shape, params), strict=True):
        if value.aval.size == 0:
            continue
        conditions = tuple(
            (index[axis], low, high)
            for axis, (low, high) in enumerate(piece.ranges)
            if (low, high) != (0, node.aval.shape[axis])
        )
        known = [low <= affine.offset < high for affine, low, high in conditions if not affine.terms]
        if not all(known):
            continue
        inner = canonical(tuple(affine.substitute(index) for affine in piece.index), value.aval.shape)
        if len(known) == len(conditions):
            return _expression((value, inner), stored)
        arms.append((conditions, (value, inner)))
    return Choose(tuple(arms), node.aval.dtype.type(params.get("fill", 0)))
