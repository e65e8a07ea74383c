"""Loops whose gradient finds the carry of each k-th iteration only: loops of k iterations within a loop.

The reverse of the outer loop has the carries that its iterations began with, and computes k iterations again at a time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import ops
from ..primitive import current
from ..pytree import flatten, unflatten
from .loops import Loop, run
from .nests import flattened
from .recomputing import checkpoint
from .where import runs_in_python


def run_in_chunks(loop: Loop, every: int) -> tuple[Any, Any]:
    """The results of a loop that doesn't look at its index; see `loops.run`.

    The iterations that are left over are run behind the chunks.
    """
    count, rest = divmod(loop.length, every)
    if not count:
        return run(loop)
    # A loop that begins at the end has what is left over in front.
    first = rest if loop.reverse else 0
    chunked = [_cut(value, first, count, every) for value in loop.slices]
    carry, results = run(replace(loop, step=_chunk(loop, every), slices=chunked, length=count, keeps_all=False))
    results = _mapped(lambda leaf: ops.reshape(leaf, (count * every, *leaf.shape[2:])), results)
    if not rest:
        return carry, results
    begin = 0 if loop.reverse else count * every
    slices = [value[begin : begin + rest] for value in loop.slices]
    leaves, tree = flattened(carry)
    carry, others = run(replace(loop, init=leaves, tree=tree, slices=slices, length=rest))
    parts = [flatten(part)[0] for part in ((others, results) if loop.reverse else (results, others))]
    _, results_tree = flatten(results)
    return carry, unflatten(results_tree, [ops.concat(pair, axis=0) for pair in zip(*parts, strict=True)])


def _chunk(loop: Loop, every: int) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """A step that runs a chunk of a loop."""

    def chunk(carry: Any, slices: Any) -> tuple[Any, Any]:
        leaves, tree = flattened(carry)
        return run(replace(loop, init=leaves, tree=tree, slices=flatten(slices)[0], length=every))

    def step(index: Any, carry: Any, slices: Any) -> tuple[Any, Any]:  # noqa: ARG001 (what a loop's step takes)
        # In a graph the outer loop's reverse computes the chunk again by itself.
        in_python = runs_in_python(current().interpreter)
        return checkpoint(chunk)(carry, slices) if in_python else chunk(carry, slices)

    return step


def _cut(value: Any, first: int, count: int, every: int) -> Any:
    """Chunks of an array's rows."""
    chosen = value[first : first + count * every] if value.shape[0] != count * every else value
    return ops.reshape(chosen, (count, every, *value.shape[1:]))


def _mapped(function: Callable[[Any], Any], nest: Any) -> Any:
    leaves, tree = flatten(nest)
    return unflatten(tree, [function(leaf) for leaf in leaves])
