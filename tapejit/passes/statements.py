"""From a graph to statements: which nodes are stored, and over which axes each is computed.

A stored node is an input, a result of a reduction or a product, something that leaves the kernel, or what `schedule`
found to be worth keeping rather than computing twice. Everything else is computed where it is used.
"""

from collections.abc import Collection, Sequence
from dataclasses import field

from ..aval import Shape, without
from ..dataclass import dataclass
from ..graph import Graph, Literal, Node, Part
from ..lowering import (
    Affine,
    Contraction,
    Convolution,
    Gather,
    IndexMap,
    Reduction,
    Routine,
    Scan,
    Scatter,
    View,
)
from .access import (
    Choose,
    Dot,
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
from .bodies import REGIONS, RegionCall, is_scalar, results_of, sources_of
from .convolutions import row_axis, runs_along_columns, summed_windows
from .tiling import in_tiles


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
class Call:
    """One call of a routine for each index of the batch axes.

    In `operands`, one for each input, the statement's (batch) axes are followed by those that the routine goes through
    itself. `results` are all that it stores, those that nobody reads included.
    """

    routine: Routine
    operands: tuple[Load, ...]
    results: tuple[Node, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """An index that must lie in ``[lowest, length)``, or nothing may be assigned; `beyond` says it in other words."""

    length: int
    lowest: int
    beyond: str = ""


@dataclass(eq=False, slots=True)
class Statement:
    """One stored node, computed over its own axes; or the results of one operation.

    Parameters
    ----------
    node : Node
        What is stored; for a call the operation.
    extents : tuple of int
        Lengths of the iteration axes; none is 1.
    own_axes : tuple of int or None
        For each axis of the node the iteration axis that runs along it; None where its length is 1 or where the
        statement computes the whole axis at once. For a call only the batch axes, which all results begin with.
    order : tuple of int
        Iteration axes from outer to inner loop.
    reduced : frozenset of int
        Iteration axes over which it combines.
    value : Key, optional
        What is stored or combined at each index; None for a product or a call.
    values : dict
        The expressions of all keys.
    product : Product, optional
        The matrix product, where it is one that the library computes.
    call : Call, optional
        The call of a routine, where it is one.
    region : RegionCall, optional
        The operation that holds regions, where it is one.
    scanned : int, optional
        The iteration axis along which it runs, each result being made of the one before.
    factor : Key, optional
        What the result before is multiplied by, in a recurrence.
    target : Fetch, optional
        Where it adds its values, if that is computed.
    check : Check, optional
        What it checks, if that is all it does.
    starts : tuple of int
        Where on each axis of the node the part begins that it computes; empty where it computes all of it.
    """

    node: Node
    extents: tuple[int, ...]
    own_axes: tuple[int | None, ...]
    order: tuple[int, ...]
    reduced: frozenset[int] = frozenset()
    value: Key | None = None
    values: Values = field(default_factory=dict)
    product: Product | None = None
    call: Call | None = None
    region: RegionCall | None = None
    scanned: int | None = None
    factor: Key | None = None
    target: Fetch | None = None
    check: Check | None = None
    starts: tuple[int, ...] = ()

    @property
    def combine(self) -> str | None:
        """How the reduction combines; None where there is none."""
        if not self.reduced or self.node.primitive is None:
            return None
        lowering = self.node.primitive.lowering
        return lowering.combine if isinstance(lowering, Reduction) else None

    @property
    def dot(self) -> Dot | None:
        """The sum that an element of a matrix product is, where the statement is one without the library."""
        expression = None if self.value is None else self.values[self.value]
        return expression if isinstance(expression, Dot) else None

    @property
    def results(self) -> tuple[Node, ...]:
        """All nodes that it stores."""
        several = self.call or self.region
        return (self.node,) if several is None else several.results

    @property
    def may_fail(self) -> bool:
        """Whether the kernel may end here; then nothing may have been assigned."""
        if self.region is not None:
            return self.region.may_fail
        return self.check is not None or (self.call is not None and bool(self.call.routine.fault))

    def is_plain(self) -> bool:
        """Whether it computes each element by itself, once, at its own index."""
        special = (self.product, self.call, self.region, self.target, self.check, self.scanned)
        return not self.reduced and all(each is None for each in special)

    def goes_in_lanes(self, axis: int) -> bool:
        """Whether it can be computed for neighbouring indices of an axis at once, as what it does there is the same."""
        special = (self.product, self.call, self.region, self.target, self.check, self.scanned)
        alike = axis not in self.reduced and all(each is None for each in special)
        return alike and not any(isinstance(each, (Choose, Fetch, Dot)) for each in self.values.values())

    def wanted(self) -> list[Key]:
        """The values that it needs at each index: what it stores or combines, and computed indices."""
        found = [self.value, self.factor, *(self.target.operands if self.target else ())]
        return [key for key in found if key is not None]

    def axes_of(self, node: Node) -> tuple[int | None, ...]:
        """`own_axes` for one of the results."""
        return (*self.own_axes, *(None,) * (len(node.aval.shape) - len(self.own_axes)))

    def starts_of(self, node: Node) -> tuple[int, ...]:
        """`starts` for one of the results, with an entry for each axis."""
        return self.starts or (0,) * len(node.aval.shape)

    def by_address(self) -> list[Node]:
        """What a routine or a computed index reaches by address, which a local variable doesn't have."""
        if self.region is not None:
            return self.region.by_address()
        if self.call is not None:
            return [*self.results, *(load.root for load in self.call.operands)]
        return [*self._fetched(), self.node] if self.target is not None else self._fetched()

    def _fetched(self) -> list[Node]:
        """What it reads at computed indices, and the array that it adds to."""
        roots = dict.fromkeys(each.root for each in self.values.values() if isinstance(each, Fetch))
        if self.target is not None and initial_number(self.node) is None:
            roots[self.node.inputs[0]] = None
        return list(roots)

    def only_fills(self) -> bool:
        """Whether it stores one number everywhere."""
        return self.value is not None and not self.reduced and isinstance(self.values[self.value], Number)

    def computes(self, nodes: Collection[Node]) -> bool:
        """Whether it computes one of these for what it stores."""
        return any(
            node in nodes or (isinstance(expression, Choose) and expression.node in nodes)
            for (node, _), expression in self.values.items()
        )

    def uses_computed_index(self) -> bool:
        """Whether it reads or writes where a value says."""
        return self.target is not None or any(isinstance(expression, Fetch) for expression in self.values.values())

    def loads(self) -> list[Load]:
        """All loads, those of the operands of products and calls included."""
        if self.product is not None:
            return [self.product.left.load, self.product.right.load]
        if self.call is not None:
            return list(self.call.operands)
        if self.region is not None:
            return [Load(root, Affine(), None) for root in self.region.sources()]
        if self.dot is not None:
            return [self.dot.left, self.dot.right]
        found = [expression for expression in self.values.values() if isinstance(expression, Load)]
        return [*found, *(Load(root, Affine(), None) for root in self._fetched())]


def necessarily_stored(graph: Graph, targets: Collection[Node]) -> set[Node]:
    """Inputs, results, and what reductions, products, calls and uneven reshapes produce or need."""
    stored = {*graph.inputs, *targets}
    for node in graph.nodes():
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, (Reduction, Contraction, Convolution, Scan, Scatter, Routine)) or isinstance(
            node.op, Part
        ):
            stored.add(node)
        if isinstance(lowering, REGIONS):
            stored.update((node, *sources_of(node)))
        if isinstance(lowering, Gather) or (isinstance(lowering, Scatter) and initial_number(node) is None):
            stored.add(node.inputs[0])
        if isinstance(lowering, View) and _index(node, lowering) is None:
            stored.add(node.inputs[0])
    for node in graph.nodes():
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, (Contraction, Convolution, Routine)):
            for position, value in enumerate(node.inputs):
                for source in (_behind_views(value), value):
                    if not _in_memory(node, position, stored) and not isinstance(source.op, Literal):
                        stored.add(source)
    return stored


def _in_memory(node: Node, position: int, stored: Collection[Node]) -> bool:
    """Whether an input of a product or a routine is part of a stored value as it is."""
    assert node.primitive is not None
    lowering, value = node.primitive.lowering, node.inputs[position]
    if isinstance(lowering, Routine):
        core = len(lowering.axes()[0][position])
        load = _whole(value, core, stored)
        return load is not None and not (lowering.neighbours and _is_apart(load, value.aval.shape, core))
    if isinstance(lowering, Convolution):
        load = _whole(value, 0, stored)
        return load is not None and (position == 0 or runs_along_columns(load, value.aval.shape))
    return _operand(value, stored) is not None


def _is_apart(load: Load, shape: Shape, core: int) -> bool:
    """Whether elements along the last axis are no neighbours, in a load in terms of `core` axes of an operand."""
    last = len(iteration(shape[:-core])[0]) + core - 1
    return shape[-1] != 1 and dict(load.linear.terms).get(last) != 1


def initial_number(scatter: Node) -> Literal | None:
    """The number that an array to be added to is full of, if it is."""
    source = _behind_views(scatter.inputs[0])
    return source.op if isinstance(source.op, Literal) else None


def _behind_views(value: Node) -> Node:
    """What a view is a view of: stored itself, it serves its transpose as well."""
    while value.primitive is not None and isinstance(value.primitive.lowering, View):
        value = value.inputs[0]
    return value


def _index(node: Node, lowering: View) -> IndexMap | None:
    return lowering.index(node.inputs[0].aval.shape, node.aval.shape, dict(node.params))


def statement_for(node: Node, stored: Collection[Node]) -> Statement:
    """How a stored node that is no input is computed."""
    lowering = None if node.primitive is None else node.primitive.lowering
    if isinstance(lowering, Reduction):
        return _reduction(node, stored)
    if isinstance(lowering, Contraction):
        return _product(node, stored)
    if isinstance(lowering, Convolution):
        return _convolution(node, stored)
    if isinstance(lowering, Routine):
        return _call(node, lowering, stored)
    if isinstance(lowering, Scatter):
        return _scatter(node, stored)
    if isinstance(lowering, Scan):
        return _scan(node, stored)
    return part_statement(node, (0,) * len(node.aval.shape), node.aval.shape, stored)


def part_statement(
    node: Node, starts: Shape, lengths: Shape, stored: Collection[Node], piece: Key | None = None
) -> Statement:
    """How the part of a node is computed that begins at `starts`, element by element.

    If it is known, `piece` says which value it is there, at an index in terms of the node's axes.
    """
    axes, index = iteration(lengths)
    extents = tuple(lengths[axis] for axis in axes)
    shifted = tuple(affine + Affine(start) for affine, start in zip(index, starts, strict=True))
    if piece is None:
        key, values = resolve(node, shifted, stored, extents)
    else:
        key, values = value_of(piece[0], tuple(affine.substitute(shifted) for affine in piece[1]), stored, extents)
    statement = Statement(node, extents, _own(lengths, axes), (), value=key, values=values)
    statement.starts = starts if any(starts) else ()
    return _ordered(statement)


def copy_statement(node: Node, copied: Node, stored: Collection[Node]) -> Statement:
    """Storing under `node` the value of another stored one."""
    return stored_value(node, *value_of(copied, iteration(node.aval.shape)[1], stored))


def stored_value(node: Node, key: Key, values: Values) -> Statement:
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
    key, values = value_of(source, index, stored)
    kept = [axis for axis in range(len(shape)) if axis not in dropped]
    own = tuple(axes.index(axis) if axis in axes else None for axis in kept)
    reduced = frozenset(axes.index(axis) for axis in dropped if axis in axes)
    return _ordered(Statement(node, tuple(shape[a] for a in axes), own, (), reduced, key, values))


def value_of(node: Node, index: IndexMap, stored: Collection[Node], extents: Sequence[int] = ()) -> tuple[Key, Values]:
    """A value at an index: loaded if it is stored."""
    if node in stored:
        key = (node, canonical(index, node.aval.shape))
        return key, {key: Load(node, linear_index(key[1], node.aval.shape), key[1])}
    return resolve(node, index, stored, extents)


def _scan(node: Node, stored: Collection[Node]) -> Statement:
    axes, index = iteration(node.aval.shape)
    along = dict(node.params)["axis"]
    key, values = value_of(node.inputs[-1], index, stored)
    factor = None
    if len(node.inputs) > 1:
        factor, more = value_of(node.inputs[0], index, stored)
        values = {**more, **values}
    ordered = stored_value(node, key, values)
    ordered.factor = factor
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
    key, values = value_of(updates, index[len(shape) - len(updates.aval.shape) :], stored)
    linear, dynamic = indexed(x, indices, index[:count], index[count:], dict(node.params)["axes"])
    found = []
    for (_, wanted), stride, length in dynamic:
        place, more = value_of(indices, wanted, stored)
        found.append((place, stride, length))
        values = {**more, **values}
    reduced = frozenset(range(len(axes)))
    own: tuple[int | None, ...] = (None,) * len(x.aval.shape)
    statement = Statement(node, tuple(shape[a] for a in axes), own, tuple(range(len(axes))), reduced, key, values)
    statement.target = Fetch(node, linear, tuple(found))
    return statement


def _product(node: Node, stored: Collection[Node]) -> Statement:
    *batch, m, n = node.aval.shape
    left, right = (_operand(value, stored) for value in node.inputs)
    assert left is not None
    assert right is not None
    k = node.inputs[0].aval.shape[-1]
    if min(m, n) > 1 and in_tiles((m, n, k), node.aval.dtype, right_transposed=right.transposed):
        return _dot(node, left.load, right.load, k)
    axes, _ = iteration(tuple(batch))
    own = (*(axes.index(axis) if axis in axes else None for axis in range(len(batch))), None, None)
    extents = tuple(batch[axis] for axis in axes)
    return Statement(node, extents, own, tuple(range(len(axes))), product=Product(left, right, (m, n, k)))


def _dot(node: Node, left: Load, right: Load, k: int) -> Statement:
    """A product element by element, each a sum over k; the operands are in terms of rows and columns of their own."""
    shape = node.aval.shape
    axes, index = iteration(shape)
    count = len(axes)  # the last two of them are rows and columns of the product, the one after them is summed over
    row, column, term = (Affine.axis(axis) for axis in (count - 2, count - 1, count))
    outer = tuple(map(Affine.axis, range(count - 2)))
    dot = Dot(_substituted(left, (*outer, row, term)), _substituted(right, (*outer, term, column)), (k,))
    extents = tuple(shape[axis] for axis in axes)
    return Statement(
        node, extents, _own(shape, axes), tuple(range(count)), value=(node, index), values={(node, index): dot}
    )


def _convolution(node: Node, stored: Collection[Node]) -> Statement:
    """A convolution element by element; the last two loops are those of the rows and the columns of its tiles."""
    axes, index = iteration(node.aval.shape)
    left, right = (_whole(value, 0, stored) for value in node.inputs)
    assert left is not None
    assert right is not None
    dot = summed_windows(node, left, right)
    extents = tuple(node.aval.shape[axis] for axis in axes)
    statement = Statement(
        node, extents, _own(node.aval.shape, axes), (), value=(node, index), values={(node, index): dot}
    )
    order = _ordered(statement).order
    inner = axes.index(row_axis(node)), len(axes) - 1
    statement.order = (*(axis for axis in order if axis not in inner), *inner)
    return statement


def _substituted(load: Load, axes: IndexMap) -> Load:
    index = None if load.index is None else tuple(affine.substitute(axes) for affine in load.index)
    return Load(load.root, load.linear.substitute(axes), index)


def _call(node: Node, routine: Routine, stored: Collection[Node]) -> Statement:
    """One call for each index of the batch axes; of several results those that nobody reads get a node here."""
    assert node.primitive is not None
    results = results_of(node, stored) if node.primitive.multiple else (node,)
    cores = routine.axes()[0]
    operands = [_whole(value, len(core), stored) for value, core in zip(node.inputs, cores, strict=True)]
    shapes = tuple(value.aval.shape for value in node.inputs)
    call = Call(routine, tuple(filter(None, operands)), results, tuple(routine.lengths(shapes).values()))
    batch = shapes[0][: len(shapes[0]) - len(cores[0])]
    axes, _ = iteration(batch)
    order = tuple(range(len(axes)))
    return Statement(node, tuple(batch[axis] for axis in axes), _own(batch, axes), order, call=call)


def _whole(value: Node, core: int, stored: Collection[Node]) -> Load | None:
    """A value as part of a stored one, its last `core` axes as a whole; None where it has to be stored itself.

    In terms of the batch axes worth a loop, followed by the last axes.
    """
    shape = value.aval.shape
    axes, outer = iteration(shape[: len(shape) - core])
    index = (*outer, *(Affine.axis(len(axes) + position) for position in range(core)))
    key, values = value_of(value, index, stored)
    load = values[key]
    if len(values) != 1 or not isinstance(load, Load):
        return None
    return None if is_scalar(load.root) else load


def _operand(value: Node, stored: Collection[Node]) -> Operand | None:
    """A product's input as a matrix inside a stored value; None where it has to be stored itself."""
    load = _whole(value, 2, stored)
    if load is None:
        return None
    *batch, rows, columns = value.aval.shape
    count = len(iteration(tuple(batch))[0])
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
            if axis < len(weight):  # what a convolution sums over has no loop
                weight[axis] += abs(coefficient)
    statement.order = tuple(sorted(range(len(weight)), key=lambda axis: -weight[axis]))
    return statement


def _target_index(statement: Statement) -> IndexMap:
    return tuple(Affine() if axis is None else Affine.axis(axis) for axis in statement.own_axes)
