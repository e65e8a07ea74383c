"""Checks of computed indices, and what else may end a kernel before it is done.

Such an index must lie in the axis that it goes along. Start reading at `checks_of`.
"""

from collections.abc import Collection

from ..aval import Aval
from ..graph import Graph, Input, Node, regions_of
from ..lowering import Affine, Below, Gather, Pointwise, Routine, Scatter
from .access import Compute, Expression, Load, canonical, resolve
from .bodies import Body
from .statements import Check, Statement, iteration, stored_value, value_of


def checks_of(graph: Graph, stored: Collection[Node]) -> list[tuple[Node, Statement]]:
    """For each use of computed indices the statements that check them, and the node that must come after them."""
    found: list[tuple[Node, Statement]] = []
    known: set[tuple[Node, int, int]] = set()
    inputs = set(graph.inputs)
    for node in graph.nodes():
        lowering = None if node.primitive is None else node.primitive.lowering
        if isinstance(lowering, Below):
            found.append((node, _below(node, lowering, stored, len(found))))
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
            key, values = value_of(indices, wanted, stored)
            mark = Node(Input("check", len(found)), (), (), (Aval(batch, indices.aval.dtype),))
            statement = stored_value(mark, key, values)
            beyond = lowering.beyond if isinstance(lowering, Gather) else ""
            statement.check = Check(length, -length, beyond.format(**dict(node.params)))
            found.append((node, statement))
    return found


def _below(node: Node, lowering: Below, stored: Collection[Node], number: int) -> Statement:
    """The statement that checks what a node passes on."""
    (values,), params = node.inputs, dict(node.params)
    key, found = value_of(values, iteration(values.aval.shape)[1], stored)
    statement = stored_value(Node(Input("check", number), (), (), (values.aval,)), key, found)
    statement.check = Check(params["limit"], 0, lowering.beyond.format(**params))
    return statement


def _always_within(expression: Expression, length: int) -> bool:
    """Whether an index can't be out of range: it counts along an axis, or up to a length, that is short enough."""
    if isinstance(expression, Load):
        source = expression.root.op
        if isinstance(source, Input) and source.kind == "index":
            return source.position <= length
        made_by = expression.root.primitive
        if made_by is None or not isinstance(made_by.lowering, Routine) or not made_by.lowering.below:
            return False
        shapes = tuple(value.aval.shape for value in expression.root.inputs)
        return made_by.lowering.lengths(shapes)[made_by.lowering.below] <= length
    if not isinstance(expression, Compute) or expression.operands:
        return False
    shape = expression.node.aval.shape
    lowering = expression.node.primitive.lowering if expression.node.primitive else None
    counts = isinstance(lowering, Pointwise) and lowering.expression == "axis0"
    return counts and shape[0] <= length


def lines_of(graph: Graph, operation: str, shape: tuple[int, ...], fault: str) -> set[str]:
    """The user's lines with a check, or with a routine that can fail, for which this may have been reported.

    Parameters
    ----------
    graph : Graph
        What the kernel computes.
    operation, shape, fault
        What went wrong, as the kernel's layout has it.
    """
    lines, graphs = set(), [graph]
    for each in graphs:
        for node in each.nodes():
            lowering = None if node.primitive is None else node.primitive.lowering
            fails = fault and isinstance(lowering, Routine) and lowering.fault == fault
            if fails and node.primitive.name == operation and node.inputs[0].aval.shape == shape:  # type: ignore[union-attr]
                lines.add(node.where)
            graphs.extend(region.graph for region in regions_of(node.params))
        for node, statement in () if fault else checks_of(each, set(each.inputs)):
            if statement.check is not None and (statement.check.length, *statement.node.aval.shape) == shape:
                lines.add(node.where)
    return lines


def may_fail(body: Body) -> bool:
    """Whether the kernel may end in a body."""
    graphs = [body.graph]
    for graph in graphs:
        for node in graph.nodes():
            lowering = None if node.primitive is None else node.primitive.lowering
            if isinstance(lowering, Routine) and lowering.fault:
                return True
            graphs.extend(region.graph for region in regions_of(node.params))
    return any(checks_of(graph, set(graph.inputs)) for graph in graphs)
