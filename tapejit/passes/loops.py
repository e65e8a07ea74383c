"""The loop tree: loops, and statements at their places in them."""

from collections.abc import Iterator, Sequence
from dataclasses import field

from ..dataclass import dataclass
from ..graph import Node
from ..lowering import Affine, IndexMap
from .statements import Statement


@dataclass(eq=False, slots=True)
class Leaf:
    """A statement at its place; `loops` are those around it, `variable` the loop of each of its axes."""

    statement: Statement
    loops: tuple["Loop", ...]
    variable: tuple["Loop", ...]
    after: set["Item"] = field(default_factory=set)
    """What has to come before it in the same body."""
    place: int = 0
    """Where it is in its body."""

    def own_variables(self, node: Node | None = None) -> tuple["Loop | None", ...]:
        """For each axis of the node, or of that one of several results, the loop that runs along it."""
        axes = self.statement.axes_of(node or self.statement.node)
        return tuple(None if axis is None else self.variable[axis] for axis in axes)

    def in_loops(self, index: IndexMap) -> IndexMap:
        """An index map in terms of loops rather than of the statement's axes, so that those of one body compare."""
        return tuple(
            Affine(part.offset, tuple(sorted((self._loop_id(axis), c) for axis, c in part.terms))) for part in index
        )

    def _loop_id(self, axis: int) -> int:
        """What stands for an axis in index maps; below 0 where the statement goes along it without a loop."""
        return id(self.variable[axis]) if axis < len(self.variable) else -1 - axis

    def own_index(self, node: Node | None = None) -> IndexMap:
        """The index of what it stores, in terms of loops."""
        node = node or self.statement.node
        starts = self.statement.starts_of(node)
        return tuple(
            Affine(start) if loop is None else Affine.axis(id(loop), 1, start)
            for loop, start in zip(self.own_variables(node), starts, strict=True)
        )

    def position(self, axes: Sequence[int], node: Node | None = None) -> Affine:
        """Where the statement's element is in a storage that has only `axes` of the node, in terms of loops."""
        node = node or self.statement.node
        index = self.own_index(node)
        position, stride = Affine(), 1
        for axis in reversed(axes):
            position = position + index[axis].scaled(stride)
            stride *= node.aval.shape[axis]
        return position

    def reduced(self) -> tuple["Loop", ...]:
        """The loops over which the statement combines, outermost first."""
        over = {id(self.variable[axis]) for axis in self.statement.reduced}
        return tuple(loop for loop in self.loops if id(loop) in over)


@dataclass(eq=False, slots=True)
class Loop:
    """A loop and what is in it, in order."""

    extent: int
    body: list["Item"] = field(default_factory=list)
    after: set["Item"] = field(default_factory=set)
    """What has to come before it in the same body."""
    place: int = 0
    """Where it is in its body."""
    results: set[Node] = field(default_factory=set)
    """What is stored in it, at any depth."""
    readers: dict[Node, list["Loop"]] = field(default_factory=dict)
    """For each value that is read in it the loops of its body that do."""
    alone: bool = False
    """Whether nothing else may join it."""
    lanes: bool = False
    """Whether several iterations run at once (see `lanes`)."""
    columns: bool = False
    """Whether it goes along a matrix times a vector, of which it computes neighbours at once; see `rows`."""
    tiled: bool = False
    """Whether it goes over the rows of a matrix product, with a loop over its columns inside: both run in tiles."""
    split: bool = False
    """Whether threads may run parts of it; only of outermost loops, see `stages`."""
    least_blocks: int = 0
    """Into how many blocks it is divided at least, for the threads' sake; 0 where lengths alone decide."""


Item = Loop | Leaf


def leaves(items: Sequence[Item]) -> Iterator[Leaf]:
    """All leaves below, in order."""
    stack = list(reversed(items))
    while stack:
        item = stack.pop()
        if isinstance(item, Leaf):
            yield item
        else:
            stack.extend(reversed(item.body))


def shared_loops(left: Leaf, right: Leaf) -> list[Loop]:
    """The loops around both."""
    shared = []
    for loop, other in zip(left.loops, right.loops, strict=False):
        if loop is not other:
            break
        shared.append(loop)
    return shared


def item_in(leaf: Leaf, depth: int) -> Item:
    """What holds a leaf in the body that is `depth` loops deep: a loop, or the leaf itself."""
    return leaf.loops[depth] if depth < len(leaf.loops) else leaf
