"""Loops of a known number of iterations, with what each of them takes and gives: the machinery of `scan`.

In eager mode a loop is Python. Elsewhere it is traced once, and is one operation of the graph. Start reading at `run`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from .. import ops
from ..aval import Aval
from ..dataclass import dataclass
from ..families import as_array
from ..primitive import current, new_key
from ..pytree import LEAF, TreeDef, flatten, unflatten
from .applied import apply_scan
from .bodies import Step, Words, checked_carry, traced_body
from .form import ScanForm
from .intermediates import with_intermediates
from .nests import aval_of, finished, in_aval, in_words, is_weak, mismatch, of_their_own
from .rows import joined, rows
from .where import runs_in_python


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop with its operands.

    Parameters
    ----------
    step : callable
        What an iteration does.
    words : Words
        For messages.
    init, slices : list
        Leaves of what it begins with, and of what it takes slices of.
    tree, slices_tree : TreeDef
        Their nests.
    length : int
        Number of iterations.
    reverse : bool
        Whether it begins at the last index.
    keeps_all : bool
        Whether the gradient of a compiled loop finds dear values of each iteration instead of computing them again.
    """

    step: Step
    words: Words
    init: Sequence[Any]
    tree: TreeDef
    slices: Sequence[Any]
    slices_tree: TreeDef
    length: int
    reverse: bool
    keeps_all: bool = False

    def order(self) -> range:
        """The indices, in the order in which they are run."""
        return range(self.length)[:: -1 if self.reverse else 1]


def run(loop: Loop) -> tuple[Any, Any]:
    """The nest of what is carried at the end, and the nest of stacked results."""
    in_python = loop.length > 0 and runs_in_python(current().interpreter)
    return _in_python(loop) if in_python else _as_operation(loop)


def _as_operation(loop: Loop) -> tuple[Any, Any]:
    slices = [Aval(value.shape[1:], value.dtype) for value in loop.slices]
    init = [aval_of(leaf) for leaf in loop.init]
    body = traced_body(loop.step, loop.tree, init, loop.slices_tree, slices, loop.words)
    interpreter, variables = current().interpreter, body.assigned
    starts = [in_aval(leaf, aval) for leaf, aval in zip(loop.init, body.carried, strict=True)]
    starts += [interpreter.read(variable) for variable in variables]
    arguments, carries = body.arguments(), body.carries()
    outputs = [*carries, *body.results, *arguments[1 : 1 + len(carries)]]
    captures = body.trace.taken(outputs)
    region = body.trace.region(arguments, outputs, captures)
    form = ScanForm(region, len(carries), len(slices), loop.length, loop.reverse)
    if loop.keeps_all and loop.length:
        form = with_intermediates(form)
    results = apply_scan([*starts, *loop.slices, *captures], **form.params())
    if loop.length:
        for variable, value in zip(variables, results[len(loop.init) :], strict=False):
            interpreter.assign(variable, value)
    ends = [finished(value, aval.weak) for value, aval in zip(results, body.carried, strict=False)]
    stacked = results[len(carries) : len(carries) + len(body.results)]
    return unflatten(loop.tree, ends), unflatten(body.tree, stacked)


# In Python


def _in_python(loop: Loop) -> tuple[Any, Any]:
    given = _slices(loop)
    avals, carried = tuple(map(aval_of, loop.init)), of_their_own(loop.init, new_key())
    found: list[list[Any]] = []
    tree: TreeDef | None = None
    for index, slices in zip(loop.order(), given, strict=True):
        since = new_key()
        carry, results = loop.step(index, unflatten(loop.tree, carried), unflatten(loop.slices_tree, slices))
        leaves, avals = checked_carry(carry, loop.tree, avals, loop.words)
        carried = of_their_own([_kept(leaf, aval) for leaf, aval in zip(leaves, avals, strict=True)], since)
        outputs, results_tree = flatten(results)
        if tree is not None and results_tree != tree:
            raise _other_results(loop.words, tree, found[-1], results_tree, outputs)
        tree = results_tree
        found.append(outputs)
    assert tree is not None
    columns = zip(*(found[::-1] if loop.reverse else found), strict=True)
    began_weak = any(map(is_weak, loop.init))
    stacked = [_stacked(column, loop, began_weak) for column in columns]
    ends = [as_array(leaf) for leaf in carried]
    return unflatten(loop.tree, ends), unflatten(tree, stacked)


def _slices(loop: Loop) -> Iterator[Sequence[Any]]:
    if not loop.slices:
        return iter([()] * loop.length)
    columns = [rows(value) for value in loop.slices]
    return iter([tuple(column[index] for column in columns) for index in loop.order()])


def _kept(leaf: Any, aval: Aval) -> Any:
    """What is carried on: a Python number only where it was one from the beginning."""
    return leaf if is_weak(leaf) == aval.weak else in_aval(leaf, aval)


def _stacked(column: Sequence[Any], loop: Loop, began_weak: bool) -> Any:
    """One leaf of the results of all iterations."""
    first = 0 if not loop.reverse else len(column) - 1
    values = [as_array(leaf) for leaf in column]
    another = values[first - 1]  # of an iteration that is not the first, where there is one
    aval = another.aval
    if began_weak and values[first].aval != aval and values[first].shape == aval.shape:
        # The first one had Python numbers, which had no dtype yet.
        values[first] = (
            in_aval(column[first], aval) if is_weak(column[first]) else ops.astype(values[first], aval.dtype)
        )
    for value in values:
        if value.aval != aval:
            raise _other_results(loop.words, LEAF, [another], LEAF, [value])
    return joined(values)


def _other_results(
    words: Words, before_tree: TreeDef, before: Sequence[Any], after_tree: TreeDef, after: Sequence[Any]
) -> Exception:
    earlier, later = [as_array(leaf).aval for leaf in before], [as_array(leaf).aval for leaf in after]
    return mismatch(
        earlier,
        later,
        before_tree == after_tree,
        f"{words.operation}: {words.function} gives {in_words(before_tree, earlier)} in one iteration and "
        f"{in_words(after_tree, later)} in another, which can't be stacked: nest, shapes and dtypes must be the same",
    )
