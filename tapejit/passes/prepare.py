"""Graph → Graph: composites expanded, small products turned into loops, algebra that is exact."""

import functools
from collections.abc import Callable
from math import prod

import numpy as np

from ..config import check_graphs
from ..graph import Builder, Graph, Literal, Node, Part, regions_of, verify
from ..graph.signature import canonical_lines
from ..lowering import Alias, Composite, Contraction, Pointwise, Reduction, View
from ..primitive import Primitive, in_role
from ..tensor import quietly
from .composing import traced
from .convolutions import convolutions
from .inlining import inlined
from .products import product_with_steady, steady_axes, sum_of_products, summed, transposed, used_once
from .regions import Regions

LOOP_PRODUCT = 512
"""Matrix products of at most this many multiplications are loops, which fuse with what comes before and after."""

_ROUNDS = 16
"""The most runs over the regions of a graph."""

_CHOICE = "select(condition, x, y)"


def prepare(graph: Graph) -> Graph:
    """The simplest graph that computes the same numbers."""
    return _prepared(graph, {})


def _prepared(graph: Graph, known: dict[str, Graph]) -> Graph:
    """The same; `known` are the graphs of regions that are prepared already, by their text."""
    builder = Builder()
    graph = inlined(builder, graph)
    graph = _with_regions(builder, _rewritten(builder, graph, "expand", _expand), known)
    sums = functools.partial(summed, once=used_once(graph.nodes(), graph.roots))
    passes = (
        ("convolutions", convolutions), ("sums", sums), ("products", _products), ("simplify", _simplify),
    )  # fmt: skip
    for name, rewrite in passes:
        graph = _rewritten(builder, graph, name, rewrite)
    transposes = functools.partial(transposed, once=used_once(graph.nodes(), graph.roots))
    return _rewritten(builder, graph, "transposes", transposes).pruned()


def _with_regions(builder: Builder, graph: Graph, known: dict[str, Graph]) -> Graph:
    """With regions as small as can be: what leaves one of them may leave another with less to do."""

    def prepared(region: Graph) -> Graph:
        text = "\n".join(canonical_lines(region))
        if text not in known:
            known[text] = _prepared(region, known)
        return known[text]

    if not any(regions_of(node.params) for node in graph.nodes()):
        return graph
    for _ in range(_ROUNDS):
        before = graph.roots
        graph = _rewritten(builder, graph, "regions", Regions(graph, prepared).rewrite)
        # A loop that runs once leaves its body here, as it was traced.
        graph = _rewritten(builder, inlined(builder, graph), "expand", _expand)
        if graph.roots == before:
            break
    return graph


def _rewritten(builder: Builder, graph: Graph, name: str, rewrite: Callable[..., Node | None]) -> Graph:
    graph = graph.rebuilt(builder, functools.partial(rewrite, builder))
    if check_graphs():
        verify(graph, name)
    return graph


def _expand(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """A composite becomes what it is composed of, a result of an alias what it stands for."""
    if isinstance(node.op, Part):
        return _part(builder, inputs[0], node.op.index)
    if node.primitive is None or node.primitive.multiple or not isinstance(node.primitive.lowering, Composite):
        return None
    return traced(builder, node.primitive.lowering.expand, inputs, node.where, **dict(node.params))


def _part(builder: Builder, whole: Node, index: int) -> Node | None:
    """One result of an alias or a composite."""
    lowering = whole.primitive.lowering if whole.primitive is not None else None
    if isinstance(lowering, Alias):
        return whole.inputs[index]
    if not isinstance(lowering, Composite):
        return None
    expand = lowering.expand
    params = dict(whole.params)
    return traced(builder, lambda *values: expand(*values, **params)[index], whole.inputs, whole.where)


def _products(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """A small matrix product, or one with a vector, becomes a sum of products, which fuses with its neighbours."""
    if node.primitive is None or not isinstance(node.primitive.lowering, Contraction):
        return None
    *_, m, k = inputs[0].aval.shape
    n = inputs[1].aval.shape[-1]
    steady = [steady_axes(value) for value in inputs]
    if any(steady):
        return traced(builder, product_with_steady, inputs, node.where, steady_x=steady[0], steady_y=steady[1])
    integers = node.aval.dtype.kind != "f"
    if not integers and min(m, n, k) > 1 and m * n * k > LOOP_PRODUCT:
        return None
    return traced(builder, sum_of_products, inputs, node.where)


def _simplify(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    primitive = node.primitive
    if primitive is None:
        return None
    lowering = primitive.lowering
    if isinstance(lowering, Pointwise):
        if lowering.expression in ("x", "cast(x)") and inputs[0].aval == node.aval:
            return inputs[0]
        if lowering.expression == _CHOICE:
            return _folded(builder, node, inputs) or _chosen(builder, node, inputs)
        return _folded(builder, node, inputs) or _neutral(builder, node, inputs) or _cancelled(node, inputs)
    if isinstance(lowering, Reduction):
        return _of_one_element(builder, node, inputs)
    if isinstance(lowering, View) and inputs[0].aval == node.aval and _is_identity(node, inputs):
        return inputs[0]
    return None


def _folded(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """An operation on literals, or on arrays full of one, is a literal too."""
    literals = [literal for value in inputs if (literal := _constant(value)) is not None]
    if not inputs or len(literals) != len(inputs) or not isinstance(node.op, Primitive):
        return None
    if "axis" in node.op.lowering.expression:
        return None  # its elements differ though its operands don't
    value = quietly(node.op.impl, *[np.array(op.value, op.dtype) for op in literals], **dict(node.params))
    folded, shape = builder.literal(value, node.aval.dtype), node.aval.shape
    if not shape:
        return folded
    return traced(builder, in_role("broadcast"), (folded,), node.where, shape=shape)


def _neutral(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """``x * 1``, ``x / 1`` and what else a declaration says leaves an operand exactly as it is."""
    assert node.primitive is not None
    neutral: tuple[tuple[int, float], ...] = node.primitive.properties.get("neutral", ())
    for position, number in neutral:
        literal = _constant(inputs[position])
        other = inputs[1 - position]
        same = literal is not None and literal.bits == np.array(number, literal.dtype).tobytes()
        if same and other.aval.dtype == node.aval.dtype:
            if other.aval.shape == node.aval.shape:
                return other
            return traced(builder, in_role("broadcast"), (other,), node.where, shape=node.aval.shape)
    return None


def _chosen(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """A choice within a choice by the same condition: one of its values is never seen."""
    assert node.primitive is not None
    condition, *arms = inputs
    seen = [_seen(builder, arm, condition, place) for place, arm in enumerate(arms, start=1)]
    if seen == arms:
        return None
    found = builder.apply(node.primitive, (condition, *seen), dict(node.params), node.where)
    return found if found.aval == node.aval else None


def _seen(builder: Builder, arm: Node, condition: Node, place: int) -> Node:
    """The arm at a place of a choice; what an operator makes it of may be chosen by that condition too.

    A function may be kept from numbers by the inner choice, on which it would fail or never end; it stays as it is.
    """

    def behind(value: Node) -> Node:
        return value.inputs[place] if _is_choice(value) and value.inputs[0] is condition else value

    lowering = None if arm.primitive is None else arm.primitive.lowering
    operands = tuple(map(behind, arm.inputs))
    if behind(arm) is not arm or operands == arm.inputs:
        return behind(arm)
    if type(lowering) is not Pointwise or "(" in lowering.expression:
        return arm
    assert arm.primitive is not None
    found = builder.apply(arm.primitive, operands, dict(arm.params), arm.where)
    return (_folded(builder, found, operands) or found) if found.aval.dtype == arm.aval.dtype else arm


def _is_choice(node: Node) -> bool:
    lowering = None if node.primitive is None else node.primitive.lowering
    return isinstance(lowering, Pointwise) and lowering.expression == _CHOICE


def _constant(node: Node) -> Literal | None:
    """The literal behind views of it."""
    while node.primitive is not None and isinstance(node.primitive.lowering, View):
        node = node.inputs[0]
    return node.op if isinstance(node.op, Literal) else None


def _of_one_element(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """A reduction over axes of length 1 is the elements as they are."""
    (value,) = inputs
    if value.aval.size != node.aval.size or not value.aval.size or value.aval.dtype != node.aval.dtype:
        return None
    return traced(builder, in_role("reshape"), (value,), node.where, shape=node.aval.shape)


def _cancelled(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """The same involution twice."""
    assert node.primitive is not None
    if node.primitive.properties.get("involution") and inputs[0].primitive is node.primitive:
        return inputs[0].inputs[0]
    return None


def _is_identity(node: Node, inputs: tuple[Node, ...]) -> bool:
    """Whether a view between equal shapes leaves every element where it is."""
    assert node.primitive is not None
    assert isinstance(node.primitive.lowering, View)
    shape = node.aval.shape
    index = node.primitive.lowering.index(inputs[0].aval.shape, shape, dict(node.params))
    if index is None:
        return False
    return prod(shape) == 0 or all(
        length == 1 or (affine.offset == 0 and affine.terms == ((axis, 1),))
        for axis, (affine, length) in enumerate(zip(index, shape, strict=True))
    )
