"""`while_loop`: a loop that runs as long as a condition holds, as users write it."""

from collections.abc import Callable, Sequence
from operator import index as as_int
from typing import Any

from ..errors import DtypeError, ShapeError, TapejitError, at_user_line, name_of
from ..families import as_array
from ..graph.region import RegionTrace
from ..graph.trace import TracedNumber
from ..primitive import current, new_key
from ..pytree import TreeDef, flatten, unflatten
from .applied import apply_while
from .bodies import Words, checked_carry, traced_body
from .branches import cond
from .counting import followed_by, in_int64, truth_of
from .limits import too_many, within
from .loops import Loop, run
from .nests import aval_of, finished, flattened, in_aval, is_weak, of_their_own
from .where import runs_in_python


def while_loop(
    cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Any, *, max_steps: int | None = None
) -> Any:
    """``while cond_fn(value): value = body_fn(value)``.

    Parameters
    ----------
    cond_fn : callable
        ``cond_fn(value) -> scalar``, true as long as the loop goes on. It assigns nothing.
    body_fn : callable
        ``body_fn(value) -> value``, of the same nest, shapes and dtypes.
    init : nest of array_like
        The first value; Python numbers as in `scan`.
    max_steps : int, optional
        How many steps are enough. A compiled loop needs it for reverse mode: it keeps the value that each step begins
        with, in memory for so many; steps that are not run cost a test.

    Returns
    -------
    nest
        The last value, for which the condition does not hold.

    Raises
    ------
    ShapeError
        If the condition is no scalar, or `body_fn` changes the nest or a shape.
    DtypeError
        If `body_fn` changes a dtype.
    IndexRangeError
        If the condition still holds after `max_steps` steps.
    TapejitError
        At a gradient through a compiled loop without `max_steps`.

    Notes
    -----
    Differentiable in forward mode, and in reverse mode with `max_steps`, to any order. In eager mode it is a Python
    loop, whose steps tapes record one by one, and which needs no `max_steps` for that. The names are those of
    ``jax.lax.while_loop``.

    Examples
    --------
    >>> tj.while_loop(lambda x: x < 100.0, lambda x: 2 * x, 3.0).item()
    192.0
    """
    words = Words("while_loop", name_of(body_fn))
    leaves, tree = flattened(init)
    most = None if max_steps is None else _as_steps(max_steps)
    if runs_in_python(current().interpreter):
        return _in_python(cond_fn, body_fn, leaves, tree, most, words)
    if most is not None:
        return _limited(cond_fn, body_fn, leaves, tree, most, words)
    return _as_operation(cond_fn, body_fn, leaves, tree, words)


def _as_steps(max_steps: Any) -> int:
    try:
        most = as_int(max_steps)
    except TapejitError:
        raise
    except TypeError:
        raise DtypeError(at_user_line(f"while_loop: max_steps is an int, got {max_steps!r:.80}")) from None
    if most < 0:
        raise ValueError(at_user_line(f"while_loop: max_steps is {most}, which is negative"))
    return most


def _condition(found: Any) -> Any:
    """What a condition gives, as a scalar."""
    value = found if is_weak(found) else as_array(found)
    aval = aval_of(value)
    if aval.shape:
        raise ShapeError(at_user_line(f"while_loop: the condition is a scalar, got {aval}; use tj.any or tj.all of it"))
    if aval.dtype.kind not in "biuf":
        raise DtypeError(at_user_line(f"while_loop: the condition is a boolean or a number, got {aval}"))
    return value


def _in_python(
    cond_fn: Callable[[Any], Any],
    body_fn: Callable[[Any], Any],
    leaves: list[Any],
    tree: TreeDef,
    most: int | None,
    words: Words,
) -> Any:
    avals, steps = tuple(map(aval_of, leaves)), 0
    leaves = of_their_own(leaves, new_key())
    while bool(_condition(cond_fn(unflatten(tree, leaves)))):
        if steps == most:
            raise too_many(most)
        since = new_key()
        after, avals = checked_carry(body_fn(unflatten(tree, leaves)), tree, avals, words)
        leaves = [
            leaf if is_weak(leaf) == aval.weak else in_aval(leaf, aval) for leaf, aval in zip(after, avals, strict=True)
        ]
        leaves = of_their_own(leaves, since)
        steps += 1
    return unflatten(tree, [as_array(leaf) for leaf in leaves])


# In a graph


def _as_operation(
    cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Sequence[Any], tree: TreeDef, words: Words
) -> Any:
    def step(index: Any, carry: Any, slices: Any) -> tuple[Any, Any]:  # noqa: ARG001 (what a loop's step takes)
        return body_fn(carry), None

    body = traced_body(step, tree, [aval_of(leaf) for leaf in init], flatten(None)[1], (), words)
    test = RegionTrace(body.carried, f"the condition of while_loop ({name_of(cond_fn)})")
    holds = test.run(lambda *values: truth_of(_condition(cond_fn(unflatten(tree, values)))))
    goes_on, carries = [test.node_of(holds)], body.carries()
    variables = body.assigned
    captures = {value.key: value for value in (*body.trace.taken(carries), *test.taken(goes_on))}
    taken = list(captures.values())
    before = [test.value_before(variable) for variable in variables]
    condition = test.region([*test.arguments, *before], goes_on, taken)
    region = body.trace.region(body.arguments()[1:], carries, taken)
    interpreter = current().interpreter
    starts = [in_aval(leaf, aval) for leaf, aval in zip(init, body.carried, strict=True)]
    starts += [interpreter.read(variable) for variable in variables]
    results = apply_while([*starts, *taken], condition=condition, body=region, carries=len(carries))
    for variable, value in zip(variables, results[len(init) :], strict=True):
        interpreter.assign(variable, value)
    ends = [finished(value, aval.weak) for value, aval in zip(results, body.carried, strict=False)]
    return unflatten(tree, ends)


def _limited(
    cond_fn: Callable[[Any], Any],
    body_fn: Callable[[Any], Any],
    init: Sequence[Any],
    tree: TreeDef,
    most: int,
    words: Words,
) -> Any:
    """A loop of so many iterations, each of which tests whether it is to do anything."""

    def body(value: Any) -> Any:
        return body_fn(value)

    def same(value: Any) -> Any:
        return value

    def step(index: Any, carry: Any, slices: Any) -> tuple[Any, Any]:  # noqa: ARG001 (what a loop's step takes)
        return cond(_condition(cond_fn(carry)), body, same, carry), None

    value, _ = run(Loop(step, words, list(init), tree, (), flatten(None)[1], most, reverse=False))
    leaves, _ = flatten(value)
    return unflatten(tree, within(most, _condition(cond_fn(value)), leaves))


def counted_while(lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any, words: Words) -> Any:
    """The loop over a range whose bounds are known where the graph runs."""

    def as_python_int(index: Any) -> Any:
        # Among arrays it is what the Python int is in eager mode.
        return TracedNumber(index.trace, index.node)

    first, last = (in_int64(bound) for bound in (lower, upper))

    def goes_on(state: Any) -> Any:
        return state[0] < last

    def step(state: Any) -> Any:
        index, value = state
        return followed_by(index), body(as_python_int(index), value)

    leaves, tree = flattened((first, init))
    return _as_operation(goes_on, step, leaves, tree, words)[1]
