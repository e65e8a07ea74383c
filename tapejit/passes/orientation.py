"""Small matrices that a loop multiplies vectors by, turned so that their columns are read in vectors.

``W h`` is a sum over each row of W. With the transposed matrix in memory the elements of the result are neighbours, and
so are the numbers that are added to them: they are computed side by side, in registers, without a sum over the lanes of
a vector. A copy is soon paid for if it is made before a loop. Start reading at `oriented`.
"""

from collections.abc import Collection, Sequence
from typing import Any

from ..aval import Aval
from ..graph import Builder, Input, Node
from ..graph.ir import in_order
from ..lowering import Affine, Pointwise, Reduction, View
from ..primitive import in_role
from .access import Choose, Dot, Fetch, Load, resolve
from .composing import traced

LARGEST = 1 << 15
"""Bytes of a matrix: more do not fit into the first cache."""

FEWEST = 8
"""Elements of a result."""

MOST_TERMS = 128
"""Of a sum that is added up in order."""


def oriented(roots: Sequence[Node], matrices: Collection[Node]) -> tuple[list[Node], dict[Node, Node]]:
    """The roots of a graph with its products of matrices and vectors as they are computed best.

    Parameters
    ----------
    roots : sequence of Node
        What is computed.
    matrices : collection of Node
        Inputs that may be turned.

    Returns
    -------
    tuple of list of Node and dict
        The new roots, and for matrices the inputs that stand for their transposed copies.
    """
    builder = Builder()
    turned: dict[Node, Node] = {}
    found: dict[Node, Node] = {}
    for node in in_order(roots):
        inputs = tuple([found[value] for value in node.inputs])
        matrix = read_along_rows(node, matrices)
        if matrix is not None:
            if matrix not in turned:
                shape = matrix.aval.shape[::-1]
                turned[matrix] = Node(Input("turned", len(turned)), (), (), (Aval(shape, matrix.aval.dtype),))
            back = traced(builder, transposed, (turned[matrix],), node.where)
            found[node] = _instead(builder, node, matrix, back, found)
        else:
            found[node] = node if inputs == node.inputs else builder.again(node, inputs)
    return [found[root] for root in roots], turned


def transposed(x: Any) -> Any:
    """The matrix with its axes exchanged, with public operations."""
    return in_role("permute")(x, (1, 0))


def may_be_turned(aval: Aval) -> bool:
    """Whether it is a matrix that is small enough."""
    return len(aval.shape) == 2 and min(aval.shape) > 1 and aval.nbytes <= LARGEST


def read_along_rows(node: Node, matrices: Collection[Node]) -> Node | None:
    """The matrix whose rows a node sums up, each with another matrix that is no such one, or a vector."""
    lowering = None if node.primitive is None else node.primitive.lowering
    if not isinstance(lowering, Reduction) or lowering.combine != "add" or node.aval.dtype.kind != "f":
        return None
    source = node.inputs[0]
    long = [axis for axis, length in enumerate(source.aval.shape) if length > 1]
    summed = [axis for axis in long if axis in dict(node.params)["axes"]]
    if len(long) != 2 or len(summed) != 1 or source.aval.shape[summed[0]] > MOST_TERMS or node.aval.size < FEWEST:
        return None
    (own,) = set(long) - set(summed)
    index = tuple(Affine.axis(axis) if axis in long else Affine() for axis in range(len(source.aval.shape)))
    _, values = resolve(source, index, matrices)
    if any(isinstance(each, (Choose, Dot, Fetch)) for each in values.values()):
        return None
    wrong = []
    for each in values.values():
        if isinstance(each, Load):
            steps = dict(each.linear.terms)
            if steps.get(own, 0) not in {0, 1}:
                wrong.append(each)
    if len(wrong) != 1 or wrong[0].root not in matrices:
        return None
    return wrong[0].root if dict(wrong[0].linear.terms).get(summed[0]) == 1 else None


def _instead(builder: Builder, node: Node, matrix: Node, other: Node, found: dict[Node, Node]) -> Node:
    """A node with another value in place of a matrix, where it reads that through what is computed in place."""
    new = {matrix: other}
    for each in in_order([node]):
        lowering = None if each.primitive is None else each.primitive.lowering
        inline = each is node or isinstance(lowering, (Pointwise, View))
        if inline and any(value in new for value in each.inputs):
            inputs = tuple(new[value] if value in new else found[value] for value in each.inputs)
            new[each] = builder.again(each, inputs)
    return new[node]
