"""Which values of a forward pass are kept for the backward pass, and which it computes again.

The rule: the backward pass never repeats work that costs something. A value that the forward pass computes is computed
again only if it is a view, moves elements (a concatenation, a padding), or is a pointwise operation that costs less
than `WORTH_KEEPING` additions an element. Of all choices that allow that the one is taken for which
what is kept (`KEPT_BYTE` additions a byte) and what is computed again cost the least together, which is a minimum cut
of the joint graph. So never more bytes are kept than the backward pass would read if it computed nothing again.

Inputs and results cost nothing, since they are held by reference. What only the backward pass computes, such as a
partial derivative, is computed there; but where it is no floating value (the mask of a ``where``) it may be kept
instead of the larger values that it is made of.
"""

from collections.abc import Collection

from ..aval import is_floating
from ..graph import Input, Literal, Node, Part
from ..graph.ir import in_order
from ..lowering import WORTH_KEEPING, Alias, Pieces, Pointwise, View
from .joint import Joint
from .minimum_cut import Network

KEPT_BYTE = WORTH_KEEPING // 4
"""What it costs to keep a byte, in additions: a float32 costs as much as the dearest operation that is repeated."""


def residuals(joint: Joint, available: Collection[Node]) -> list[Node]:
    """The nodes of the forward pass to keep, in order.

    Parameters
    ----------
    joint : Joint
        Forward and backward pass.
    available : collection of Node
        Inputs and results, as nodes of the joint graph.
    """
    given = {*available, *(node for node in in_order(joint.roots) if isinstance(node.op, Input))}
    read = _read(joint)
    region = in_order(read, given)
    computed = set(joint.forward.values())
    computed.update(node.inputs[0] for node in joint.forward.values() if isinstance(node.op, Part))
    forward = set(computed)  # with what can be made of it; a rule may have captured something else
    forward.update(node for node in region if all(value in forward for value in node.inputs))
    keeping = [_price_of_keeping(node, node in computed) if node in forward else None for node in region]
    repeating = [_price_of_repeating(node, node in computed) for node in region]
    endless = 1 + sum(price for price in (*keeping, *repeating) if price is not None)
    source, sink = 2 * len(region), 2 * len(region) + 1
    network = Network(sink + 1)
    # A value has two vertices: beyond the cut, the first says that it is computed again, the second that it is there.
    vertex = {node: 2 * number for number, node in enumerate(region)}
    for node, keep, repeat in zip(region, keeping, repeating, strict=True):
        network.connect(source, vertex[node], endless if repeat is None else repeat)
        network.connect(vertex[node], vertex[node] + 1, endless if keep is None else keep)
        for value in node.inputs:
            if value in vertex:
                network.connect(vertex[value] + 1, vertex[node], endless)
    for node in read:
        if node in vertex:
            network.connect(vertex[node] + 1, sink, endless)
    before = network.source_side(source, sink)
    return [node for node in region if vertex[node] in before and vertex[node] + 1 not in before]


def _read(joint: Joint) -> list[Node]:
    """What the backward pass reads of what does not depend on any cotangent."""
    order = in_order(joint.roots)
    backward = set(joint.arriving)
    for node in order:
        if any(value in backward for value in node.inputs):
            backward.add(node)
    found = [value for node in order if node in backward for value in node.inputs] + joint.roots
    return [node for node in dict.fromkeys(found) if node not in backward]


def _price_of_keeping(node: Node, computed: bool) -> int | None:
    """In additions; None for what can't be kept. `computed` says whether the forward pass has the value."""
    several = node.primitive is not None and node.primitive.multiple
    if isinstance(node.op, Literal) or several or (not computed and is_floating(node.aval.dtype)):
        return None
    return max(KEPT_BYTE * node.aval.nbytes, 1)


def _price_of_repeating(node: Node, computed: bool) -> int | None:
    """In additions; None for what is not computed again."""
    lowering = None if node.primitive is None else node.primitive.lowering
    if not computed or isinstance(node.op, (Literal, Part)) or isinstance(lowering, (Alias, View)):
        return 0
    if isinstance(lowering, Pieces):
        return node.aval.size
    if isinstance(lowering, Pointwise) and lowering.cost < WORTH_KEEPING:
        return lowering.cost * node.aval.size
    return None
