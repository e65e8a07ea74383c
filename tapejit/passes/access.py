"""What one statement computes: an expression over loads, with all views folded into the index maps of the loads.

A value is named by its `Key`, a node and the index at which it is wanted, in terms of the statement's axes; values with
equal keys are computed once. Walks are iterative.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..aval import Shape
from ..dataclass import dataclass
from ..graph import Literal, Node
from ..lowering import Affine, Gather, IndexMap, Pieces, Pointwise, View
from ..tensor import quietly

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

    def with_operands(self, operands: Sequence[Key]) -> "Compute":
        """The same of other values."""
        return replace(self, operands=tuple(operands))


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; `absent` if it is what stands outside of all pieces."""

    value: Any
    absent: bool = False


Condition = tuple[Affine, int, int]
"""``low <= expression < high``."""


@dataclass(frozen=True, slots=True)
class Choose:
    """The first arm whose conditions hold, else the fill value; `node` is made of the arms."""

    node: Node
    arms: tuple[tuple[tuple[Condition, ...], Key], ...]
    fill: Any

    @property
    def operands(self) -> tuple[Key, ...]:
        """The values of the arms."""
        return tuple(key for _, key in self.arms)

    def with_operands(self, operands: Sequence[Key]) -> "Choose":
        """The same of other values."""
        return replace(self, arms=tuple((each, key) for (each, _), key in zip(self.arms, operands, strict=True)))


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

    def with_operands(self, operands: Sequence[Key]) -> "Fetch":
        """The same of other values."""
        pairs = zip(self.dynamic, operands, strict=True)
        return replace(self, dynamic=tuple((key, stride, length) for (_, stride, length), key in pairs))


@dataclass(frozen=True, slots=True)
class Dot:
    """An element of a product of matrices, or of a convolution: a sum of products of elements of two stored values.

    In both loads the statement's axes are followed by those that are summed over, outermost first, for which it has no
    loops; `lengths` are theirs.
    """

    left: Load
    right: Load
    lengths: tuple[int, ...]

    @property
    def terms(self) -> int:
        """How many products it is the sum of."""
        return prod(self.lengths)


Expression = Load | Compute | Number | Choose | Fetch | Dot
Values = dict[Key, Expression]


def operands_of(expression: Expression) -> tuple[Key, ...]:
    """The values that an expression is made of."""
    return expression.operands if isinstance(expression, (Compute, Choose, Fetch)) else ()


def canonical(index: IndexMap, shape: Shape) -> IndexMap:
    """The index map with axes of length 1 at 0."""
    if 1 not in shape:
        return index
    return tuple(Affine() if length == 1 else affine for affine, length in zip(index, shape, strict=True))


def linear_index(index: IndexMap, shape: Shape) -> Affine:
    """Position in the contiguous order of an array of `shape`."""
    total, stride = Affine(), 1
    for affine, length in zip(reversed(index), reversed(shape), strict=True):
        total = total + affine.scaled(stride)
        stride *= length
    return total


def resolve(node: Node, index: IndexMap, stored: Collection[Node], extents: Sequence[int] = ()) -> tuple[Key, Values]:
    """The value of `node` at `index`, down to loads of the stored nodes.

    What lies outside of all pieces of a padded array adds nothing: where that is so for a whole statement, no addition
    is left of it. It may differ from adding 0 in the sign of a zero.

    Parameters
    ----------
    node : Node
        What is wanted, computed anew even if it is stored.
    index : IndexMap
        Where, in terms of the statement's axes.
    stored : collection of Node
        Nodes whose values can be loaded.
    extents : sequence of int
        Lengths of the statement's axes, as far as known: they decide of conditions.

    Returns
    -------
    tuple of Key and dict
        The key of the value, and the expressions of all keys, operands before their users.
    """
    scope = _Scope(stored, extents)
    top = (node, canonical(index, node.aval.shape))
    values: Values = {}
    same: dict[Key, Key] = {}  # views and sums with nothing: what they are, once that is known
    stack: list[tuple[Key, Expression | Key]] = [(top, scope.behind(top, computed=True))]
    while stack:
        key, found = stack.pop()
        if key in values or key in same:
            continue
        operands = (found,) if isinstance(found, tuple) else operands_of(found)
        missing = [operand for operand in operands if operand not in values and operand not in same]
        if missing:
            stack.append((key, found))
            stack.extend((operand, scope.behind(operand)) for operand in reversed(missing))
            continue
        if isinstance(found, tuple):
            same[key] = same.get(found, found)
            continue
        if same and isinstance(found, (Compute, Choose, Fetch)):
            found = found.with_operands([same.get(operand, operand) for operand in operands])
        if isinstance(found, Compute):
            found = _folded(found, values) or found
        left = _what_is_left(found, values) if isinstance(found, Compute) else None
        if left is None:
            values[key] = found
        else:
            same[key] = left
    return same.get(top, top), values


def _folded(expression: Compute, values: Values) -> Number | None:
    """The number that an operation on numbers gives."""
    primitive, numbers = expression.node.primitive, [values[operand] for operand in expression.operands]
    if primitive is None or not numbers or not all(isinstance(number, Number) for number in numbers):
        return None
    if all(number.absent for number in numbers if isinstance(number, Number)) and _what_is_left(expression, values):
        return None
    operands = [np.asarray(number.value) for number in numbers if isinstance(number, Number)]
    value = quietly(primitive.impl, *operands, **dict(expression.node.params))
    return Number(expression.node.aval.dtype.type(value))


def _what_is_left(expression: Compute, values: Values) -> Key | None:
    """The one operand that counts, where the other is absent and would leave it as it is."""
    assert expression.node.primitive is not None
    neutral: tuple[tuple[int, float], ...] = expression.node.primitive.properties.get("neutral", ())
    for position, number in neutral:
        absent, other = values[expression.operands[position]], expression.operands[1 - position]
        if isinstance(absent, Number) and absent.absent and absent.value == number:
            left = values[other]
            dtype = left.value.dtype if isinstance(left, Number) else other[0].aval.dtype
            if dtype == expression.node.aval.dtype:
                return other
    return None


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is known while one statement is resolved."""

    stored: Collection[Node]
    extents: Sequence[int]

    def behind(self, key: Key, computed: bool = False) -> Expression | Key:
        """A value over its operands, or the value that it is a view or a piece of.

        It is not loaded though it is stored if it is to be `computed`.
        """
        node, index = key
        shape = node.aval.shape
        if isinstance(node.op, Literal):
            return Number(node.op.value)
        if node in self.stored and not computed:
            return Load(node, linear_index(index, shape), index)
        primitive = node.primitive
        lowering = None if primitive is None else primitive.lowering
        if isinstance(lowering, Pointwise):
            return Compute(node, tuple(_broadcast(value, index, shape) for value in node.inputs), index)
        if isinstance(lowering, View):
            return self._through_view(node, lowering, index)
        if isinstance(lowering, Pieces):
            return self._pieces(node, lowering, index)
        if isinstance(lowering, Gather):
            count = len(node.inputs[1].aval.shape) - 1
            x, indices = node.inputs
            return Fetch(x, *indexed(x, indices, index[:count], index[count:], dict(node.params)["axes"]))
        # What is neither computed in place nor a view is stored: an input, a reduction, a product.
        return Load(node, linear_index(index, shape), index)

    def _through_view(self, node: Node, lowering: View, index: IndexMap) -> Expression | Key:
        source = node.inputs[0]
        inner = lowering.index(source.aval.shape, node.aval.shape, dict(node.params))
        if inner is None:
            return Load(source, linear_index(index, node.aval.shape), None)
        return source, canonical(tuple(affine.substitute(index) for affine in inner), source.aval.shape)

    def _pieces(self, node: Node, lowering: Pieces, index: IndexMap) -> Expression | Key:
        shapes = tuple(value.aval.shape for value in node.inputs)
        params = dict(node.params)
        arms = []
        for value, piece in zip(node.inputs, lowering.pieces(shapes, node.aval.shape, params), strict=True):
            if value.aval.size == 0:
                continue
            conditions = [
                (self._holds(index[axis], low, high), (index[axis], low, high))
                for axis, (low, high) in enumerate(piece.ranges)
                if (low, high) != (0, node.aval.shape[axis])
            ]
            if any(holds is False for holds, _ in conditions):
                continue
            inner = canonical(tuple(affine.substitute(index) for affine in piece.index), value.aval.shape)
            open_ones = tuple(condition for holds, condition in conditions if holds is None)
            if not open_ones:
                return value, inner
            arms.append((open_ones, (value, inner)))
        fill = node.aval.dtype.type(params.get("fill", 0))
        return Choose(node, tuple(arms), fill) if arms else Number(fill, absent=True)

    def _holds(self, affine: Affine, low: int, high: int) -> bool | None:
        """Whether ``low <= affine < high`` everywhere, nowhere, or (None) here and there."""
        smallest = largest = affine.offset
        for axis, coefficient in affine.terms:
            if axis >= len(self.extents):
                return None
            reach = coefficient * (self.extents[axis] - 1)
            smallest, largest = smallest + min(reach, 0), largest + max(reach, 0)
        if low <= smallest and largest < high:
            return True
        return False if largest < low or high <= smallest else None


def _broadcast(value: Node, index: IndexMap, shape: Shape) -> Key:
    """The operand of a pointwise operation at the operation's index."""
    own = value.aval.shape
    return value, canonical(index[len(shape) - len(own) :], own)


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
