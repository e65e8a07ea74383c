"""Matrix products that are simpler than they look: with operands that do not vary, and transposed ones."""

from collections.abc import Collection, Iterable
from typing import Any

from ..graph import Builder, Node
from ..lowering import Affine, Contraction, IndexMap, Pointwise, Reduction, View
from ..primitive import in_role
from .composing import traced


def used_once(nodes: Iterable[Node], roots: Iterable[Node]) -> set[Node]:
    """The nodes of a graph that one other node reads, and nobody outside."""
    uses: dict[Node, int] = dict.fromkeys(roots, 2)
    for node in nodes:
        for value in node.inputs:
            uses[value] = uses.get(value, 0) + 1
    return {node for node, count in uses.items() if count == 1}


def transposed(builder: Builder, node: Node, inputs: tuple[Node, ...], once: set[Node]) -> Node | None:
    """``(x y)ᵀ`` as ``yᵀ xᵀ``: it comes out as it is wanted, and transposed operands cost nothing."""
    source = inputs[0] if inputs else None
    if source is None or source.primitive is None or not isinstance(source.primitive.lowering, Contraction):
        return None
    if node.inputs[0] not in once or not _swaps(node, source):
        return None
    assert node.primitive is not None
    x, y = source.inputs
    left, right = (builder.apply(node.primitive, (value,), dict(node.params), node.where) for value in (y, x))
    if not (_swaps(left, y) and _swaps(right, x)):
        return None
    return builder.apply(source.primitive, (left, right), dict(source.params), node.where)


def _swaps(node: Node, source: Node) -> bool:
    """Whether the view `node` of `source` exchanges the last two axes and does nothing else."""
    index = _index(node, source)
    count = len(source.aval.shape)
    if index is None or len(node.aval.shape) != count:
        return False
    return index == (*map(Affine.axis, range(count - 2)), Affine.axis(count - 1), Affine.axis(count - 2))


def summed(builder: Builder, node: Node, inputs: tuple[Node, ...], once: set[Node]) -> Node | None:
    """The sum over rows of ``x y``, or of ``-x y``, as the sum over rows of x, times y; and so for columns.

    That is one product of a row, where it were as many as x has rows.
    """
    lowering = None if node.primitive is None else node.primitive.lowering
    if not isinstance(lowering, Reduction) or lowering.combine != "add" or node.aval.dtype.kind != "f":
        return None
    (old,), (source,) = node.inputs, inputs
    negative = _is_negation(source)
    if negative and old in once:
        (old,), (source,) = old.inputs, source.inputs
    if old not in once or source.primitive is None or not isinstance(source.primitive.lowering, Contraction):
        return None
    axes, shape = dict(node.params)["axes"], source.aval.shape
    along = [axis for axis in (len(shape) - 2, len(shape) - 1) if axis in axes and shape[axis] > 1]
    if not along or source.aval.dtype != node.aval.dtype:
        return None
    return traced(builder, product_of_sums, source.inputs, node.where, axes=axes, along=along, negative=negative)


def _is_negation(node: Node) -> bool:
    lowering = None if node.primitive is None else node.primitive.lowering
    return isinstance(lowering, Pointwise) and lowering.expression == "-x"


def product_of_sums(x: Any, y: Any, axes: tuple[int, ...], along: Collection[int], negative: bool) -> Any:
    """The sum over `axes` of ``x y``, with public operations; x and y are summed up before `along` rows and columns."""
    total, reshape = in_role("sum"), in_role("reshape")
    rows, columns = len(x.shape) - 2, len(x.shape) - 1
    if rows in along:
        x = reshape(total(x, (rows,)), (*x.shape[:rows], 1, x.shape[columns]))
    if columns in along:
        y = reshape(total(y, (columns,)), (*y.shape[:columns], 1))
    found = total(x @ y, axes)
    return -found if negative else found


def _index(node: Node, source: Node) -> IndexMap | None:
    lowering = None if node.primitive is None else node.primitive.lowering
    if not isinstance(lowering, View):
        return None
    return lowering.index(source.aval.shape, node.aval.shape, dict(node.params))


def steady_axes(value: Node) -> set[int]:
    """Those of the last two axes, of more than one element, along which a value is the same, as its views show."""
    shape = value.aval.shape
    index: IndexMap = tuple(map(Affine.axis, range(len(shape))))
    while value.primitive is not None and isinstance(value.primitive.lowering, View):
        inner = _index(value, value.inputs[0])
        if inner is None:
            break
        index = tuple(affine.substitute(index) for affine in inner)
        value = value.inputs[0]
    lengths = zip(index, value.aval.shape, strict=True)
    moving = {axis for affine, length in lengths if length > 1 for axis, _ in affine.terms}
    return {axis for axis in range(len(shape))[-2:] if shape[axis] > 1 and axis not in moving}


def sum_of_products(x: Any, y: Any) -> Any:
    """``sum(x[..., i, :, None] * y[..., None, :, j])`` over the middle axis, with public operations."""
    *batch, m, k = x.shape
    n = y.shape[-1]
    reshape = in_role("reshape")
    left = reshape(x, (*batch, m, k, 1))
    right = reshape(y, (*batch, 1, k, n))
    return in_role("sum")(left * right, (len(batch) + 1,))


def product_with_steady(x: Any, y: Any, steady_x: Collection[int], steady_y: Collection[int]) -> Any:
    """``x y`` with public operations, where an operand does not vary along one of its last two axes.

    Along the axis that is summed over, the product is a sum of the other operand; along another one it is the same
    everywhere as well.
    """
    first, broadcast, total, reshape = map(in_role, ("slice", "broadcast", "sum", "reshape"))
    *batch, m, _ = x.shape
    n = y.shape[-1]
    rows, columns = len(batch), len(batch) + 1
    if columns in steady_x:
        return first(x, columns, 0, 1) * reshape(total(y, (rows,)), (*batch, 1, n))
    if rows in steady_y:
        return reshape(total(x, (columns,)), (*batch, m, 1)) * first(y, rows, 0, 1)
    if rows in steady_x:
        return broadcast(sum_of_products(first(x, rows, 0, 1), y), (*batch, m, n))
    return broadcast(sum_of_products(x, first(y, columns, 0, 1)), (*batch, m, n))
