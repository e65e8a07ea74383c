"""What a plan costs when it runs, counted from the plan: deterministic, and independent of the machine."""

from math import prod

from ..graph import Node
from .access import Compute, Key
from .loops import Leaf, Loop
from .plan import LoopPlan


def measure(plan: LoopPlan, workspace: int) -> dict[str, int]:
    """Counts for a report.

    Parameters
    ----------
    plan : LoopPlan
        The plan.
    workspace : int
        Bytes of all buffers between loops, partial results of reductions included.

    Returns
    -------
    dict
        ``loop_nests``, ``matrix_products`` (in tiles or by the library), ``library_calls`` (the library's matrix
        products, linear algebra and sorts, as they stand in the text), ``intermediate_bytes``, ``bytes_read`` (inputs,
        once each), ``bytes_written`` (results and assigned variables), and ``flops`` (elementary operations, one for
        each function such as ``exp`` as well; two for each term of a matrix product).
    """
    library_products = sum(leaf.statement.product is not None for leaf in plan.leaves)
    read: set[Node] = set()
    for leaf in plan.leaves:
        read.update(load.root for load in leaf.statement.loads())
    return {
        "loop_nests": plan.loop_nests(),
        "matrix_products": plan.matrix_products(),
        "library_calls": library_products + len(plan.calls()),
        "intermediate_bytes": workspace,
        "bytes_read": sum(node.aval.nbytes for node in plan.graph.inputs if node in read),
        "bytes_written": sum(node.aval.nbytes for node in plan.targets),
        "flops": _flops(plan),
    }


def _flops(plan: LoopPlan) -> int:
    counted: set[tuple[int, Key]] = set()
    total = sum(
        leaf.statement.call.routine.cost(*leaf.statement.call.lengths)
        * prod(leaf.statement.extents)
        * plan.times.get(leaf, 1)
        for leaf in plan.calls()
        if leaf.statement.call is not None
    )
    for leaf in plan.leaves:
        iterations = prod(loop.extent for loop in leaf.loops) * plan.times.get(leaf, 1)
        if leaf.statement.product is not None:
            total += 2 * prod(leaf.statement.product.shape) * iterations
            continue
        if leaf.statement.dot is not None:
            total += 2 * leaf.statement.dot.terms * iterations
            continue
        total += iterations * (_new_values(leaf, counted) + bool(leaf.statement.reduced))
    return total


def _new_values(leaf: Leaf, counted: set[tuple[int, Key]]) -> int:
    """The operations of a statement that no other statement of the same body computes."""
    body: Loop | None = leaf.loops[-1] if leaf.loops else None
    own = {
        (id(body), (key[0], leaf.in_loops(key[1])))
        for key, expression in leaf.statement.values.items()
        if isinstance(expression, Compute)
    }
    new = own - counted
    counted |= new
    return len(new)
