"""`cond` and `switch`: one of several functions, as users write it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..aval import PYTHON_NUMBERS, Aval
from ..errors import ConcretizationError, DtypeError, ShapeError, at_user_line, name_of
from ..families import as_array
from ..families.operands import number_dtype
from ..graph import Region
from ..graph.region import RegionTrace
from ..primitive import Value, current, interpreting
from ..pytree import TreeDef, unflatten
from ..variable import Variable
from .applied import apply_checkpoint, apply_switch
from .counting import clamped, place_of
from .nests import aval_of, flattened, in_aval, in_words, is_weak, met, mismatch
from .where import is_known

Traced = tuple[RegionTrace, list[Any], TreeDef]
"""A function's trace, and the leaves and the nest of what it gives."""


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """``true_fn(*operands) if pred else false_fn(*operands)``.

    In eager mode, and where `pred` is a Python bool, this is Python's ``if``. In a compiled step with a traced `pred`
    it is a branch of the kernel: only the function that is chosen is computed, in each iteration of a loop as well.
    `where` is something else: it computes both and chooses element by element.

    Parameters
    ----------
    pred : scalar
        A boolean, or a number, which counts as true if it is not 0.
    true_fn, false_fn : callable
        Functions of the operands. Under a trace both are traced, and must give equal nests, shapes and dtypes; a
        Python number takes the dtype that the other function gives in its place.
    *operands
        What the functions take; what they read otherwise is theirs as well.

    Returns
    -------
    nest
        What the function gives, its leaves as tensors.

    Raises
    ------
    ShapeError
        If `pred` is no scalar, or the functions give other nests or shapes.
    DtypeError
        If they give other dtypes.

    Notes
    -----
    Differentiable to any order, in both modes. A source on which only one of the functions depends has a gradient of
    zeros where the other one was chosen by a traced `pred`. The functions may assign variables and draw random
    numbers: only those of the chosen one happen. The names are those of ``jax.lax.cond``.

    Examples
    --------
    >>> tj.cond(tj.constant(2.0) > 1.0, lambda x: 2 * x, lambda x: x, 3.0).item()
    6.0
    """
    value = _scalar("cond", "pred", pred)
    branches = [partial(false_fn, *operands), partial(true_fn, *operands)]
    names = [name_of(false_fn), name_of(true_fn)]
    if is_known(value):
        return _taken(branches, names, int(bool(value)), "cond")
    return _as_operation(branches, names, place_of(value), "cond")


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``, with the index clamped to those that there are.

    Parameters
    ----------
    index : integer scalar
        Which function; below 0 it is the first one, beyond the end the last one.
    branches : sequence of callable
        At least one; as in `cond`.
    *operands
        As in `cond`.

    Returns
    -------
    nest
        As in `cond`.

    Raises
    ------
    ShapeError
        If there are no branches, the index is no scalar, or the functions give other nests or shapes.
    DtypeError
        If the index is no integer, or the functions give other dtypes.

    Notes
    -----
    Those of `cond`. The names, and what is done with an index out of range, are those of ``jax.lax.switch``.

    Examples
    --------
    >>> tj.switch(5, [tj.sin, tj.cos, tj.square], 3.0).item()
    9.0
    """
    value = _scalar("switch", "index", index)
    if aval_of(value).dtype.kind not in "iu":
        raise DtypeError(at_user_line(f"switch: the index is an integer, got {aval_of(value)}; use tj.cond for a bool"))
    if not branches:
        raise ShapeError(at_user_line("switch: there are no branches; give at least one function"))
    functions = [partial(branch, *operands) for branch in branches]
    names = [name_of(branch) for branch in branches]
    if is_known(value):
        place = min(max(int(value), 0), len(branches) - 1)
        return _taken(functions, names, place, "switch")
    if len(functions) == 1:
        return _taken(functions, names, 0, "switch")
    return _as_operation(functions, names, clamped(value, functions), "switch")


def _scalar(operation: str, what: str, value: Any) -> Any:
    if type(value) in PYTHON_NUMBERS:
        return value
    scalar = as_array(value) if not (isinstance(value, Value) and value.aval.weak) else value
    if scalar.shape:
        raise ShapeError(
            at_user_line(f"{operation}: {what} is a scalar, got {scalar.aval}; use tj.where to choose for each element")
        )
    if scalar.dtype.kind not in "biuf":
        raise DtypeError(at_user_line(f"{operation}: {what} is a boolean or a number, got {scalar.aval}"))
    return scalar


# The branch is known


def _taken(branches: Sequence[Callable[[], Any]], names: Sequence[str], place: int, operation: str) -> Any:
    leaves, tree = flattened(branches[place]())
    if len(branches) > 1 and any(map(is_weak, leaves)):
        avals = _avals_of_others(branches, names, place, (leaves, tree), operation)
        return unflatten(tree, [as_array(in_aval(leaf, aval)) for leaf, aval in zip(leaves, avals, strict=True)])
    return unflatten(tree, [as_array(leaf) for leaf in leaves])


def _avals_of_others(
    branches: Sequence[Callable[[], Any]],
    names: Sequence[str],
    place: int,
    found: tuple[list[Any], TreeDef],
    operation: str,
) -> list[Aval]:
    """The types of a branch's results; where they are Python numbers those that the other branches give there."""
    outcomes = {place: found}
    for other, branch in enumerate(branches):
        if other != place:
            try:
                outcomes[other] = _traced(branch, names[other], operation)[1:]
            except ConcretizationError:
                continue  # a branch that is Python's alone
    return _common({place: outcomes[place] for place in sorted(outcomes)}, names, operation)


# The branch is chosen where the graph runs


def _as_operation(branches: Sequence[Callable[[], Any]], names: Sequence[str], index: Value, operation: str) -> Any:
    traced = [_traced(branch, name, operation) for branch, name in zip(branches, names, strict=True)]

    def apply(regions: Sequence[Region], inputs: Sequence[Value]) -> Sequence[Any]:
        return apply_switch([index, *inputs], branches=tuple(regions))

    return _applied(traced, names, operation, apply)


def as_region(function: Callable[[], Any], name: str) -> Any:
    """What a function gives, as one operation, whose gradient computes it again."""
    trace = RegionTrace([], f"the function under checkpoint ({name})", effects=True)
    leaves, tree = trace.run(lambda: flattened(function()))

    def apply(regions: Sequence[Region], inputs: Sequence[Value]) -> Sequence[Any]:
        return apply_checkpoint(inputs, body=regions[0])

    return _applied([(trace, leaves, tree)], [name], "checkpoint", apply)


def _applied(
    traced: Sequence[Traced],
    names: Sequence[str],
    operation: str,
    apply: Callable[[Sequence[Region], Sequence[Value]], Sequence[Any]],
) -> Any:
    """What `apply` makes of regions that have the same inputs and results, variables among them."""
    avals = _common({place: (leaves, tree) for place, (_, leaves, tree) in enumerate(traced)}, names, operation)
    variables = _assigned([trace for trace, _, _ in traced])
    outputs = []
    for trace, leaves, _ in traced:
        with interpreting(trace):
            nodes = [trace.node_of(in_aval(leaf, aval)) for leaf, aval in zip(leaves, avals, strict=True)]
        outputs.append([*nodes, *(trace.value_after(variable) for variable in variables)])
    captures: dict[int, Value] = {}
    for (trace, _, _), nodes in zip(traced, outputs, strict=True):
        captures.update((value.key, value) for value in trace.taken(nodes))
    regions = []
    for (trace, _, _), nodes in zip(traced, outputs, strict=True):
        before = [trace.value_before(variable) for variable in variables]
        region = trace.region(before, nodes, list(captures.values()))
        regions.append(Region(region.graph, len(region.graph.inputs)))
    interpreter = current().interpreter
    states = [interpreter.read(variable) for variable in variables]
    results = apply(regions, [*states, *captures.values()])
    for variable, value in zip(variables, results[len(avals) :], strict=True):
        interpreter.assign(variable, value)
    return unflatten(traced[0][2], results[: len(avals)])


def _traced(branch: Callable[[], Any], name: str, operation: str) -> Traced:
    """A branch's trace, and the leaves and the nest of what it gives."""
    trace = RegionTrace([], f"a branch of {operation} ({name})", effects=True)
    leaves, tree = trace.run(lambda: flattened(branch()))
    return trace, leaves, tree


def _assigned(traces: Sequence[RegionTrace]) -> list[Variable]:
    """The variables that any branch assigns."""
    return list({variable.key: variable for trace in traces for variable in trace.assigned}.values())


def _common(outcomes: Mapping[int, tuple[list[Any], TreeDef]], names: Sequence[str], operation: str) -> list[Aval]:
    """The types of the results of all branches.

    Raises
    ------
    ShapeError, DtypeError
        If two branches give different nests or types.
    """
    (first, (leaves, tree)), *others = outcomes.items()
    avals = [aval_of(leaf) for leaf in leaves]
    for other, (other_leaves, other_tree) in others:
        merged = [met(aval, leaf) for aval, leaf in zip(avals, other_leaves, strict=False)]
        if other_tree != tree or None in merged:
            own, theirs = [aval_of(leaf) for leaf in leaves], [aval_of(leaf) for leaf in other_leaves]
            raise mismatch(
                own,
                theirs,
                tree == other_tree,
                f"{operation}: {names[first]} gives {in_words(tree, own)} and {names[other]} gives "
                f"{in_words(other_tree, theirs)}; nests, shapes and dtypes must be the same: convert one of them "
                "(tj.astype, tj.reshape)",
            )
        avals = [aval for aval in merged if aval is not None]
    return [_settled(aval) for aval in avals]


def _settled(aval: Aval) -> Aval:
    """The type of a Python number that no branch gives another type."""
    if not aval.weak:
        return aval
    kind = next(kind for kind, dtype in PYTHON_NUMBERS.items() if dtype.kind == aval.dtype.kind)
    return Aval((), number_dtype(kind))
