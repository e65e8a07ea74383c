"""`scan` and its kin `fori_loop` and `map`: loops of a known number of iterations, as users write them."""

from collections.abc import Callable
from dataclasses import replace
from math import isqrt
from operator import index as as_int
from typing import TYPE_CHECKING, Any

from ..errors import DtypeError, ShapeError, TapejitError, at_user_line, name_of
from ..families import as_array
from ..primitive import Value
from ..pytree import TreeDef, flatten, leaf_paths
from .bodies import Words
from .chunks import run_in_chunks
from .loops import Loop, run
from .nests import flattened, is_list_of_numbers
from .where import is_known
from .while_loops import counted_while

if TYPE_CHECKING:
    from ..ops.annotations import ArrayLike

POLICIES = ("carries", "all", "sqrt")


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    *,
    checkpoint: str | int = "carries",
) -> tuple[Any, Any]:
    """Carry a value through the slices of arrays, and stack what each step gives.

    In eager mode this is a Python loop. In a compiled step it is a loop of the kernel, whose code and compile time
    don't grow with its length. ``CompiledStep.scan`` is something else: it calls a whole step many times, without a
    gradient through all of them.

    Parameters
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``: `x` is one slice of `xs`, None without `xs`. The carry keeps its nest, shapes
        and dtypes; `y` is any nest, of None where there is nothing to stack.
    init : nest of array_like
        The first carry. A Python number in it takes the dtype that `f` gives in its place.
    xs : nest of array_like, shapes (n, ...), optional
        What is scanned along first axes.
    length : int, optional
        The number n of steps, needed only without `xs`.
    reverse : bool
        Whether the last slice comes first; ``ys[i]`` is what `f` gave for ``xs[i]`` all the same.
    checkpoint : {"carries", "all", "sqrt"} or int
        What the gradient of a compiled loop finds. "carries": the carry of each step; the step is computed again.
        "all": also what is dear in each step (exponentials, matrix products). An int k: the carry of each k-th step,
        from which k steps are computed again at a time, which takes memory for n / k + k carries; "sqrt" is √n. In
        eager mode tapes keep all, or the carry of each k-th step.

    Returns
    -------
    carry : nest
        Like `init`: the last carry.
    ys : nest
        Like `y`, each leaf stacked along a new first axis.

    Raises
    ------
    ShapeError
        If first axes differ, there is neither `xs` nor `length`, `f` gives no pair, or the carry changes its nest or
        a shape.
    DtypeError
        If the carry changes a dtype.
    ValueError
        If `length` is negative, or `checkpoint` is something else.

    Notes
    -----
    Signature and results are those of ``jax.lax.scan``. Differentiable by `init`, `xs` and whatever `f` reads, to any
    order, in reverse and forward mode. `f` may assign variables and draw random numbers: the gradient, which computes
    it again, sees the same values and draws, and assigns nothing. It must not make variables. Under a trace `f` runs
    once, with tensors that have no values yet.

    Examples
    --------
    >>> def step(total, x):
    ...     total = total + x
    ...     return total, 2 * total
    >>> total, doubled = tj.scan(step, 0.0, np.array([1.0, 2.0, 3.0]))
    >>> total.item(), doubled.tolist()
    (6.0, [2.0, 6.0, 12.0])
    """
    words = Words("scan", name_of(f))
    slices, slices_tree = _slices("scan", xs)
    times = _length(xs, slices, length)
    leaves, tree = flattened(init)

    def step(index: Any, carry: Any, x: Any) -> tuple[Any, Any]:  # noqa: ARG001 (what a loop's step takes)
        return _pair(f(carry, x), words)

    return _run(Loop(step, words, leaves, tree, slices, slices_tree, times, bool(reverse)), checkpoint)


def fori_loop(lower: "ArrayLike", upper: "ArrayLike", body: Callable[[Any, Any], Any], init: Any) -> Any:
    """``for i in range(lower, upper): value = body(i, value)``.

    Parameters
    ----------
    lower, upper : int or integer scalar
        The range. Python ints make it a `scan`; traced bounds make it a `while_loop`.
    body : callable
        ``body(i, value) -> value``, of the same nest, shapes and dtypes; `i` is a Python int, or a
        traced one.
    init : nest of array_like
        The first value; Python numbers as in `scan`.

    Returns
    -------
    nest
        The last value; `init` if the range is empty.

    Raises
    ------
    ShapeError, DtypeError
        If `body` changes the nest, a shape or a dtype.

    Notes
    -----
    Signature and results are those of ``jax.lax.fori_loop``. Differentiable as `scan` is, if the bounds are Python
    ints; else as `while_loop` without ``max_steps``. ``CompiledStep.repeat`` is something else: it calls a whole step.

    Examples
    --------
    >>> tj.fori_loop(0, 5, lambda i, total: total + i, 0).item()
    10
    """
    words = Words("fori_loop", name_of(body))
    bounds = [_bound(lower), _bound(upper)]
    if any(isinstance(bound, Value) for bound in bounds):
        return counted_while(bounds[0], bounds[1], body, init, words)
    first, last = bounds
    leaves, tree = flattened(init)

    def step(index: Any, value: Any, x: Any) -> tuple[Any, Any]:  # noqa: ARG001 (what a loop's step takes)
        return body(index + first if first else index, value), None

    return run(Loop(step, words, leaves, tree, (), flatten(None)[1], max(last - first, 0), reverse=False))[0]


def map(f: Callable[[Any], Any], xs: Any) -> Any:  # noqa: A001 (the name in jax.lax)
    """``f`` of each slice of arrays along their first axes, one after the other, stacked.

    Parameters
    ----------
    f : callable
        ``f(x) -> y``, nests both.
    xs : nest of array_like, shapes (n, ...)
        What is sliced.

    Returns
    -------
    nest
        Like `y`, each leaf stacked along a new first axis.

    Raises
    ------
    ShapeError
        If first axes differ, or there is none.

    Notes
    -----
    A `scan` that carries nothing: less memory than `vmap`, which computes all slices at once.

    Examples
    --------
    >>> tj.map(lambda x: x @ x, np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [5.0, 25.0]
    """
    words = Words("map", name_of(f))
    slices, slices_tree = _slices("map", xs)
    times = _length(xs, slices, None, "map")

    def step(index: Any, carry: Any, x: Any) -> tuple[Any, Any]:  # noqa: ARG001 (what a loop's step takes)
        return carry, f(x)

    return run(Loop(step, words, [], flatten(None)[1], slices, slices_tree, times, reverse=False))[1]


# Arguments


def _run(loop: Loop, policy: str | int) -> tuple[Any, Any]:
    if policy == "carries":
        return run(loop)
    if policy == "all":
        return run(replace(loop, keeps_all=True))
    every = max(isqrt(loop.length), 1) if policy == "sqrt" else policy
    if isinstance(every, (str, bool)) or as_int(every) < 1:
        raise ValueError(
            at_user_line(f"scan: checkpoint is 'carries', 'all', 'sqrt' or a number of steps from 1 on, got {policy!r}")
        )
    return run_in_chunks(loop, as_int(every))


def _pair(result: Any, words: Words) -> tuple[Any, Any]:
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return tuple(result)
    raise ShapeError(
        at_user_line(
            f"{words.operation}: {words.function} must return a pair (carry, y), got {type(result).__name__}"
            f"{f' of {len(result)}' if isinstance(result, (tuple, list)) else ''}; return (carry, None) where there is "
            "nothing to stack"
        )
    )


def _slices(operation: str, xs: Any) -> tuple[list[Any], TreeDef]:
    leaves, tree = flatten(xs, is_list_of_numbers)
    values = [as_array(leaf) for leaf in leaves]
    for place, value in enumerate(values):
        if not value.shape:
            raise ShapeError(
                at_user_line(
                    f"{operation}: {leaf_paths(xs, 'xs', is_list_of_numbers)[place]} is a scalar, {value.aval}: it has "
                    "no axis to take slices of; put into init, or use in the function, what is the same at each step"
                )
            )
    return values, tree


def _length(xs: Any, slices: list[Any], length: Any, operation: str = "scan") -> int:
    """The number of steps."""
    given = None if length is None else _as_length(length)
    if not slices:
        if given is None:
            way = "length=" if operation == "scan" else "an array"
            raise ShapeError(at_user_line(f"{operation}: xs has no arrays, so nobody knows how many steps; give {way}"))
        return given
    lengths = [value.shape[0] for value in slices]
    expected = lengths[0] if given is None else given
    for place, found in enumerate(lengths):
        if found != expected:
            paths = leaf_paths(xs, "xs", is_list_of_numbers)
            other = f"length is {expected}" if given is not None else f"{paths[0]} {slices[0].aval} has {expected}"
            raise ShapeError(
                at_user_line(
                    f"{operation}: {paths[place]} {slices[place].aval} has {found} slices, but {other}; all must have "
                    "the same number"
                )
            )
    return expected


def _as_length(length: Any) -> int:
    try:
        times = as_int(length)
    except TapejitError:
        raise
    except TypeError:
        raise DtypeError(at_user_line(f"scan: length is an int, got {length!r:.80}")) from None
    if times < 0:
        raise ValueError(at_user_line(f"scan: length is {times}, which is negative"))
    return times


def _bound(bound: Any) -> Any:
    """A Python int where the number is known, else the traced scalar."""
    value = bound if type(bound) is int else as_array(bound) if not isinstance(bound, Value) else bound
    return value if type(value) is int else _known_bound(value)


def _known_bound(value: Any) -> Any:
    if value.shape or value.dtype.kind not in "iu":
        raise DtypeError(at_user_line(f"fori_loop: lower and upper are integer scalars, got {value.aval}"))
    if is_known(value) or value.aval.weak:  # a traced Python int becomes part of the call signature
        return as_int(value)
    return value
