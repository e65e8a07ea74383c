"""`LoopPlan`: all that emission needs, and the one function that makes it."""

from dataclasses import dataclass

from ..graph import Graph, Input, Literal, Node, Part
from ..lowering import Affine, Contraction, Lowering, Reduction, Routine, Scatter, View
from .access import Load, canonical, linear_index, resolve
from .blocks import block_lengths, blocked, holds_partials, row_axes
from .lanes import mark_lanes
from .loops import Leaf, Loop, leaves
from .schedule import schedule
from .split import check_lowerable
from .stages import Stage, find_split, stages_of
from .storage import Place, in_place, places_of, storage_axes, users_of


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """A kernel before it is text.

    Parameters
    ----------
    graph : Graph
        What it computes.
    stages : tuple of Stage
        The loop tree.
    leaves : tuple of Leaf
        All statements at their places, in order.
    blocks : mapping of Loop to int
        The loops that run in blocks, and how long these are.
    places : mapping of Node to Place
        Where each stored node lives.
    targets : tuple of Node
        The stored nodes of the outputs, then those of the updates.
    in_place : tuple of bool
        For each update whether it may be written to the variable's own buffer.
    workspace : int
        Bytes of the buffers between loops, scratch of single statements not included.
    scratch : int
        Bytes of the buffers within split loops, of which each part has its own.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    leaves: tuple[Leaf, ...]
    blocks: dict[Loop, int]
    places: dict[Node, Place]
    targets: tuple[Node, ...]
    in_place: tuple[bool, ...]
    workspace: int
    scratch: int

    def loop_nests(self) -> int:
        """Number of outermost loops but for those that only fill, or are nothing but a matrix product.

        What fills: accumulators that get their first value, and padding.
        """
        moves = {
            (loop, tuple(leaf.statement.node.aval.shape[axis] for axis in row_axes(leaf, loop)))
            for leaf in self.leaves
            for loop in leaf.loops[:1]
            if loop in self.blocks and loop in leaf.reduced()[:1] and self._leaves_the_workspace(leaf, loop)
        }
        return len(moves) + sum(
            isinstance(item, Loop)
            and not all(leaf.statement.only_fills() or _is_bare(leaf, item) for leaf in leaves([item]))
            for stage in self.stages
            for item in stage.items
        )

    def _leaves_the_workspace(self, leaf: Leaf, loop: Loop) -> bool:
        """Whether rows that blocks of `loop` leave are not where the result is to be."""
        place = self.places[leaf.statement.node]
        return blocked(leaf, loop) and bool(row_axes(leaf, loop)) and not holds_partials(leaf, place.kind, place.axes)

    def calls(self) -> list[Leaf]:
        """The calls of routines."""
        return [leaf for leaf in self.leaves if leaf.statement.call is not None]

    def matrix_products(self) -> int:
        """Number of matrix products in the text, in tiles or by the BLAS library."""
        return sum(leaf.statement.product is not None or leaf.statement.dot is not None for leaf in self.leaves)


def _is_bare(leaf: Leaf, item: Loop) -> bool:
    """Whether an outermost loop goes over the rows of a matrix product, with which nothing else goes."""
    return leaf.statement.dot is not None and item.tiled and len(leaf.loops[-1].body) == 1


def plan_loops(graph: Graph) -> LoopPlan:
    """Plan a prepared graph.

    Raises
    ------
    split.NotLowerableError
        If an operation has no lowering.
    """
    check_lowerable(graph)
    targets, copies = _targets(graph)
    variables = [variable for variable, _ in graph.updates]
    updates = list(zip(variables, targets[len(graph.outputs) :], strict=True))
    tree = schedule(graph, targets, copies, updates)
    mark_lanes(tree.items)
    axes = storage_axes(tree)
    works = find_split(tree.items, axes, users_of(tree))
    blocks = block_lengths(leaves(tree.items))
    stages = stages_of(tree.items, works, blocks)
    kinds = {node: _target_slot(graph, position) for position, node in enumerate(targets)}
    places, workspace, scratch = places_of(tree, axes, kinds, stages, blocks)
    for position, node in enumerate(graph.inputs):
        places[node] = Place("input", position, tuple(range(len(node.aval.shape))))
    fits = in_place(tree, updates)
    return LoopPlan(graph, stages, tuple(leaves(tree.items)), blocks, places, tuple(targets), fits, workspace, scratch)


def _target_slot(graph: Graph, position: int) -> tuple[str, int]:
    count = len(graph.outputs)
    return ("output", position) if position < count else ("update", position - count)


def _targets(graph: Graph) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """The stored node of each output and update; what can't be computed in place there is copied at the end."""
    targets: list[Node] = []
    copies: list[tuple[Node, Node]] = []
    for position, node in enumerate(graph.roots):
        updates = position >= len(graph.outputs)
        # What is written before all operands are read, or else before it is known whether the step fails.
        early = isinstance(_lowering(node), (*_WHOLE, Routine)) or isinstance(node.op, Part)
        source = node if updates else _reshaped(node)
        if isinstance(source.op, (Input, Literal)) or source in targets or (updates and early):
            target = Node(Input("copy", position), (), (), (node.aval,))
            copies.append((target, node))
            targets.append(target)
        else:
            targets.append(source)
    return targets, copies


_WHOLE = (Reduction, Contraction, Scatter)


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
