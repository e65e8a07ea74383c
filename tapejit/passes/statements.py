"""From a graph to statements: which nodes are stored, and over which axes each is computed.

A stored node is an input, a result of a reduction or a product, something that leaves the kernel, or what `schedule`
found to be worth keeping rather than computing twice. Everything else is computed where it is used.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from ..aval import Aval, Shape, without
from ..graph import Graph, Input, Literal, Node
from ..lowering import Affine, Contraction, Gather, IndexMap, Pieces, Pointwise, Reduction, Scan, Scatter, View
from .access import (
    Compute,
    Expression,
    Fetch,
    Key,
    Load,
    Number,
    Values,
    canonical,
    indexed,
    linear_index,
    resolve,
)

KERNEL_DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
)


class NotLowerableError(Exception):
    """The graph has an operation that kernels can't hold yet; `node` is the first of them."""

    def __init__(self, node: Node) -> None:
        assert node.primitive is not None
        super().__init__(node.primitive.name)
        self.node = node


@dataclass(frozen=True, slots=True)
class Operand:
    """A matrix of a product as BLAS sees it: rows of a stored value, transposed or not.

    In `load` the statement's (batch) axes are followed by one axis along the rows and one along the columns.
    """

    load: Load
    transposed: bool


@dataclass(frozen=True, slots=True)
class Product:
    """``C = A B`` for one index of the batch axes."""

    left: Operand
    right: Operand
    shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Check:
    """An index that must lie in ``[-length, length)``, or nothing may be assigned; `number` counts the checks."""

    number: int
    length: int


@dataclass(eq=False, slots=True)
class Statement:
    """One stored node, computed over its own axes.

    Parameters
    ----------
    node : Node
        What is stored.
    extents : tuple of int
        Lengths of the iteration axes; none is 1.
    own_axes : tuple of int or None
        For each axis of the node the iteration axis that runs along it; None where its length is 1 or where the
        statement computes the whole axis at once.
    order : tuple of int
        Iteration axes from outer to inner loop.
    reduced : frozenset of int
        Iteration axes over which it combines.
    value : Key, optional
        What is stored or combined at each index; None for a product.
    values : dict
        The expressions of all keys.
    product : Product, optional
        The library call, where it is one.
    scanned : int, optional
        The iteration axis along which it sums up.
    target : Fetch, optional
        Where it adds its values, if that is computed.
    check : Check, optional
        What it checks, if that is all it does.
    """

    node: Node
    extents: tuple[int, ...]
    own_axes: tuple[int | None, ...]
    order: tuple[int, ...]
    reduced: frozenset[int] = frozenset()
    value: Key | None = None
    values: Values = field(default_factory=dict)
    product: Product | None = None
    scanned: int | None = None
    target: Fetch | None = None
    check: Check | None = None

    @property
    def combine(self) -> str | None:
        """How the reduction combines; None where there is none."""
        if not self.reduced or self.node.primitive is None:
            return None
        lowering = self.node.primitive.lowering
        return lowering.combine if isinstance(lowering, Reduction) else None

    def uses_computed_index(self) -> bool:
        """Whether it reads or writes where a value says."""
        return self.target is not None or any(isinstance(expression, Fetch) for expression in self.values.values())

    def loads(self) -> list[Load]:
        """All loads, those of a product's matrices included."""
        if self.product is not None:
            return [self.product.left.load, self.product.right.load]
        found = [expression for expression in self.values.values() if isinstance(expression, Load)]
        fetched = {expression.root for expression in self.values.values() if isinstance(expression, Fetch)}
        if self.target is not None and initial_number(self.node) is None:
            fetched.add(self.node.inputs[0])
        return [*found, *(Load(root, Affine(), None) for root in fetched)]


def check_lowerable(graph: Graph) -> None:
    """Raise for the first operation that has no lowering or a dtype that kernels don't hold.

    Raises
    ------
    NotLowerableError
        With the node.
    """
    for node in graph.nodes():
        if node.primitive is None:
            continue
        known = isinstance(
            node.primitive.lowering, (Pointwise, Reduction, View, Pieces, Contraction, Scan, Gather, Scatter)
        )
        if not known or any(aval.dtype.name not in KERNEL_DTYPES for aval in node.avals):
            raise NotLowerableError(node)


def necessarily_stored(graph: Graph) -> set[Node]:
    """Inputs, results, and what reductions, products and uneven reshapes produce or need."""
    stored = set(graph.inputs)
    stored.update(node for node in graph.roots)
    for node in graph.nodes():
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, (Reduction, Contraction, Scan, Scatter)):
            stored.add(node)
        if isinstance(lowering, Gather) or (isinstance(lowering, Scatter) and initial_number(node) is None):
            stored.add(node.inputs[0])
        if isinstance(lowering, View) and _index(node, lowering) is None:
            stored.add(node.inputs[0])
    for node in graph.nodes():
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, Contraction):
            for value in node.inputs:
                if _operand(value, stored) is None:
                    stored.add(_behind_views(value))
                if _operand(value, stored) is None:
                    stored.add(value)
        if isinstance(lowering, Pieces):
            # A piece is read under a condition; what is computed before the condition must not read out of bounds.
            stored.update(value for value in _guarded_inputs(node, lowering) if not _is_load(value, stored))
    return stored


def _guarded_inputs(node: Node, lowering: Pieces) -> list[Node]:
    """The pieces whose index would leave them where their condition does not hold: those longer than 1."""
    shapes = tuple(value.aval.shape for value in node.inputs)
    found = []
    for value, piece in zip(node.inputs, lowering.pieces(shapes, node.aval.shape, dict(node.params)), strict=True):
        guarded = {axis for axis, limits in enumerate(piece.ranges) if limits != (0, node.aval.shape[axis])}
        if any(
            length != 1 and any(axis in guarded for axis, _ in affine.terms)
            for length, affine in zip(value.aval.shape, piece.index, strict=True)
        ):
            found.append(value)
    return found


def initial_number(scatter: Node) -> Literal | None:
    """The number that an array to be added to is full of, if it is."""
    source = _behind_views(scatter.inputs[0])
    return source.op if isinstance(source.op, Literal) else None


def _behind_views(value: Node) -> Node:
    """What a view is a view of: stored itself, it serves its transpose as well."""
    while value.primitive is not None and isinstance(value.primitive.lowering, View):
        value = value.inputs[0]
    return value


def _is_load(value: Node, stored: Collection[Node]) -> bool:
    """Whether the value is stored, or a view of something stored, or a literal."""
    if value in stored:
        return True
    key, values = resolve(value, iteration(value.aval.shape)[1], stored)
    return isinstance(values[key], (Load, Number))


def _index(node: Node, lowering: View) -> IndexMap | None:
    return lowering.index(node.inputs[0].aval.shape, node.aval.shape, dict(node.params))


def statement_for(node: Node, stored: Collection[Node]) -> Statement:
    """How a stored node that is no input is computed."""
    lowering = None if node.primitive is None else node.primitive.lowering
    if isinstance(lowering, Reduction):
        return _reduction(node, stored)
    if isinstance(lowering, Contraction):
        return _product(node, stored)
    if isinstance(lowering, Scatter):
        return _scatter(node, stored)
    if isinstance(lowering, Scan):
        return _scan(node, stored)
    return _stored_value(node, *resolve(node, iteration(node.aval.shape)[1], stored))


def copy_statement(node: Node, copied: Node, stored: Collection[Node]) -> Statement:
    """Storing under `node` the value of another stored one."""
    return _stored_value(node, *_value_of(copied, iteration(node.aval.shape)[1], stored))


def _stored_value(node: Node, key: Key, values: Values) -> Statement:
    """Computing a value for each element of a node."""
    shape = node.aval.shape
    axes, _ = iteration(shape)
    return _ordered(Statement(node, tuple(shape[a] for a in axes), _own(shape, axes), (), value=key, values=values))


def iteration(shape: Shape) -> tuple[tuple[int, ...], IndexMap]:
    """The axes of `shape` worth a loop, and the identity map in terms of them."""
    axes = tuple(axis for axis, length in enumerate(shape) if length != 1)
    return axes, tuple(Affine.axis(axes.index(axis)) if axis in axes else Affine() for axis in range(len(shape)))


def _own(shape: Shape, axes: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(axes.index(axis) if axis in axes else None for axis in range(len(shape)))


def _reduction(node: Node, stored: Collection[Node]) -> Statement:
    source = node.inputs[0]
    shape = source.aval.shape
    dropped = dict(node.params)["axes"]
    axes, index = iteration(shape)
    key, values = _value_of(source, index, stored)
    kept = [axis for axis in range(len(shape)) if axis not in dropped]
    own = tuple(axes.index(axis) if axis in axes else None for axis in kept)
    reduced = frozenset(axes.index(axis) for axis in dropped if axis in axes)
    return _ordered(Statement(node, tuple(shape[a] for a in axes), own, (), reduced, key, values))


def _value_of(node: Node, index: IndexMap, stored: Collection[Node]) -> tuple[Key, Values]:
    """A value at an index: loaded if it is stored."""
    if node in stored:
        key = (node, canonical(index, node.aval.shape))
        return key, {key: Load(node, linear_index(key[1], node.aval.shape), key[1])}
    return resolve(node, index, stored)


def _scan(node: Node, stored: Collection[Node]) -> Statement:
    axes, index = iteration(node.aval.shape)
    along = dict(node.params)["axis"]
    ordered = _stored_value(node, *_value_of(node.inputs[0], index, stored))
    if along in axes:
        scanned = axes.index(along)
        ordered.scanned = scanned
        # Innermost, so that one number is carried along.
        ordered.order = (*(axis for axis in ordered.order if axis != scanned), scanned)
    return ordered


def _scatter(node: Node, stored: Collection[Node]) -> Statement:
    x, indices, updates = node.inputs
    count = len(indices.aval.shape) - 1
    shape = (*indices.aval.shape[:-1], *without(x.aval.shape, dict(node.params)["axes"]))
    axes, index = iteration(shape)
    key, values = _value_of(updates, index[len(shape) - len(updates.aval.shape) :], stored)
    linear, dynamic = indexed(x, indices, index[:count], index[count:], dict(node.params)["axes"])
    for wanted, _, _ in dynamic:
        values = {**_value_of(indices, wanted[1], stored)[1], **values}
    reduced = frozenset(range(len(axes)))
    own: tuple[int | None, ...] = (None,) * len(x.aval.shape)
    statement = Statement(node, tuple(shape[a] for a in axes), own, tuple(range(len(axes))), reduced, key, values)
    statement.target = Fetch(node, linear, dynamic)
    return statement


def checks_of(graph: Graph, stored: Collection[Node]) -> list[tuple[Node, Statement]]:
    """For each use of computed indices the statements that check them, and the node that must come after them."""
    found: list[tuple[Node, Statement]] = []
    known: set[tuple[Node, int, int]] = set()
    inputs = set(graph.inputs)
    for node in graph.nodes():
        lowering = None if node.primitive is None else node.primitive.lowering
        if not isinstance(lowering, (Gather, Scatter)):
            continue
        x, indices = node.inputs[:2]
        batch = indices.aval.shape[:-1]
        index = iteration(batch)[1]
        for column, axis in enumerate(dict(node.params)["axes"]):
            length = x.aval.shape[axis]
            if (indices, column, length) in known:
                continue
            known.add((indices, column, length))
            wanted = canonical((*index, Affine(column)), indices.aval.shape)
            plain, expressions = resolve(indices, wanted, inputs)
            if _always_within(expressions[plain], length):
                continue
            key, values = _value_of(indices, wanted, stored)
            mark = Node(Input("check", len(known)), (), (), (Aval(batch, indices.aval.dtype),))
            statement = _stored_value(mark, key, values)
            statement.check = Check(len(found), length)
            found.append((node, statement))
    return found


def _always_within(expression: Expression, length: int) -> bool:
    """Whether an index can't be out of range: it counts along an axis that is short enough."""
    if not isinstance(expression, Compute) or expression.operands:
        return False
    shape = expression.node.aval.shape
    lowering = expression.node.primitive.lowering if expression.node.primitive else None
    counts = isinstance(lowering, Pointwise) and lowering.expression == "axis0"
    return counts and shape[0] <= length


def _product(node: Node, stored: Collection[Node]) -> Statement:
    *batch, m, n = node.aval.shape
    axes, _ = iteration(tuple(batch))
    left, right = (_operand(value, stored) for value in node.inputs)
    assert left is not None
    assert right is not None
    own = (*(axes.index(axis) if axis in axes else None for axis in range(len(batch))), None, None)
    k = node.inputs[0].aval.shape[-1]
    extents = tuple(batch[axis] for axis in axes)
    return Statement(node, extents, own, tuple(range(len(axes))), product=Product(left, right, (m, n, k)))


def _operand(value: Node, stored: Collection[Node]) -> Operand | None:
    """A product's input as a matrix inside a stored value; None where it has to be stored itself."""
    *batch, rows, columns = value.aval.shape
    axes, outer = iteration(tuple(batch))
    count = len(axes)
    index = (*outer, Affine.axis(count), Affine.axis(count + 1))
    if value in stored:
        load = Load(value, linear_index(index, value.aval.shape), index)
    else:
        key, values = resolve(value, index, stored)
        found = values[key]
        if len(values) != 1 or not isinstance(found, Load) or found.index is None:
            return None
        load = found
    strides = dict(load.linear.terms)
    down, across = strides.get(count, 0), strides.get(count + 1, 0)
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return Operand(load, transposed=False)
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return Operand(load, transposed=True)
    return None


def _ordered(statement: Statement) -> Statement:
    """With the loops ordered so that the innermost runs along memory; by position where it makes no difference."""
    weight = [0] * len(statement.extents)
    targets = [linear_index(_target_index(statement), statement.node.aval.shape)]
    for affine in (*(load.linear for load in statement.loads()), *targets):
        for axis, coefficient in affine.terms:
            weight[axis] += abs(coefficient)
    statement.order = tuple(sorted(range(len(weight)), key=lambda axis: -weight[axis]))
    return statement


def _target_index(statement: Statement) -> IndexMap:
    return tuple(Affine() if axis is None else Affine.axis(axis) for axis in statement.own_axes)
