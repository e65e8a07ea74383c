"""Where the results of a graph are stored: as the nodes that compute them, or as copies of other stored values."""

from ..graph import Graph, Input, Literal, Node, Part
from ..lowering import Affine, Contraction, Convolution, Lowering, Reduction, Routine, Scatter, View
from .access import Load, canonical, linear_index, resolve

_WHOLE = (Reduction, Contraction, Convolution, Scatter)


def targets_of(graph: Graph, *, apart: bool) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """The stored node of each output and update, and what is copied.

    Parameters
    ----------
    graph : Graph
        Prepared.
    apart : bool
        Whether an update that is written early takes its value from a copy at the end: it may have the memory of the
        old value.

    Returns
    -------
    tuple of list of Node, and list of (Node, Node)
        Additional stored nodes come with the stored node or literal whose value they take.
    """
    targets: list[Node] = []
    copies: list[tuple[Node, Node]] = []
    for position, node in enumerate(graph.roots):
        updates = position >= len(graph.outputs)
        source = node if updates else _reshaped(node)
        early = updates and apart and written_early(node)
        if isinstance(source.op, (Input, Literal)) or source in targets or early:
            target = Node(Input("copy", position), (), (), (node.aval,))
            copies.append((target, node))
            targets.append(target)
        else:
            targets.append(source)
    return targets, copies


def written_early(node: Node) -> bool:
    """Whether it is written before all operands are read, or else before it is known whether the step fails."""
    return isinstance(_lowering(node), (*_WHOLE, Routine)) or isinstance(node.op, Part)


def _reshaped(node: Node) -> Node:
    """What a result is a reshape of, if that is stored in any case: then it is stored as the result."""
    source = node
    while isinstance(_lowering(source), View):
        source = source.inputs[0]
    if source is node or not isinstance(_lowering(source), _WHOLE) or source.aval.size != node.aval.size:
        return node
    shape = node.aval.shape
    identity = canonical(tuple(map(Affine.axis, range(len(shape)))), shape)
    key, values = resolve(node, identity, {source})
    load = values[key]
    same = isinstance(load, Load) and load.root is source and load.linear == linear_index(identity, shape)
    return source if same else node


def _lowering(node: Node) -> Lowering:
    return None if node.primitive is None else node.primitive.lowering
