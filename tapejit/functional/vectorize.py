"""`vmap`: a function of one example becomes a function of a batch of them.

Floor 11. `batching` does the work; here are the nests, and which axis of which array is the batch.
"""

from collections.abc import Callable, Sequence
from operator import index as as_int
from typing import Any

from .. import ops
from ..aval import checked_int
from ..batching import RANDOMNESS, BatchedTensor, Batching
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import as_array
from ..primitive import Typed, Value, current, interpreting
from ..pytree import flatten, leaf_paths, unflatten
from .arguments import checked_function, derived

Axes = Any
"""An axis, None, or a nest of them."""


def vmap(
    function: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0, *, randomness: str = "error"
) -> Callable[..., Any]:
    """A function that maps `function` over axes of its arguments, all at once.

    Parameters
    ----------
    function : callable
        Written for one example, with tapejit's operations. It may be a compiled step, use tapes, or be mapped itself.
    in_axes : int, None or nest
        Which axis of each array among the arguments is the batch; None where an argument is the same for all. A tuple
        or list has one entry for each argument; an entry may be a nest like the argument's, or a prefix of that: one
        axis for all that is below it. Arguments passed by keyword are mapped over their axis 0.
    out_axes : int, None or nest
        Where the batch is to be in each result; None for a result that is the same for all.
    randomness : {"error", "same", "different"}
        What a draw of random numbers inside does: it is refused; all examples get the same numbers; or each gets
        numbers of its own, at each draw from a new generator, one of ``generator.split(size)``.

    Returns
    -------
    callable
        With the arguments of `function`. A result that depends on no batched argument is repeated.

    Raises
    ------
    ShapeError
        When called: where the arrays have different lengths along their axes, one has no such axis, nothing is mapped,
        or the nests of axes don't fit.
    BatchingError
        When called: where `function` asks for the value of a batched tensor (``if t:``, ``float(t)``), assigns a
        variable, or draws.
    ValueError
        For another `randomness`.

    Notes
    -----
    There is no loop over the examples: each operation treats the batch as one more axis, so that a mapped product of a
    matrix and a vector is one product of matrices. Only a `numpy_function` is called once for each example. Inside a
    compiled step it all becomes part of the kernel.

    Examples
    --------
    >>> x = tj.constant([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.vmap(tj.vecdot, in_axes=(0, None))(x, x[0]).tolist()
    [5.0, 11.0]
    """
    checked_function("vmap", function)
    if randomness not in RANDOMNESS:
        raise ValueError(
            at_user_line(f"vmap: randomness must be one of {', '.join(map(repr, RANDOMNESS))}, got {randomness!r}")
        )

    @derived(function)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = flatten((args, kwargs))
        axes = _axes_of_arguments(in_axes, args, kwargs)
        values = [
            leaf if axis is None else _operand(leaf, axis, path)
            for leaf, axis, path in zip(leaves, axes, _paths(args, kwargs), strict=True)
        ]
        level = Batching(current(), _size(values, axes, args, kwargs), randomness)
        operands = [
            value if axis is None else BatchedTensor(level, _moved(value, axis, 0))
            for value, axis in zip(values, axes, strict=True)
        ]
        inner_args, inner_kwargs = unflatten(tree, operands)
        with interpreting(level):
            out = function(*inner_args, **inner_kwargs)
            results, out_tree = flatten(out)
            places = _prefix("vmap: out_axes", out_axes, out, "the result")
            found = [_result(level, each, axis) for each, axis in zip(results, places, strict=True)]
        return unflatten(out_tree, found)

    return mapped


def _operand(leaf: Any, axis: int, path: str) -> Value:
    """An argument that is mapped, with its axis checked."""
    if not (isinstance(leaf, Typed) or hasattr(leaf, "shape")):
        raise DtypeError(
            at_user_line(
                f"vmap: the argument {path} is {leaf!r:.60}, which has no axis to be mapped over: make an array of the "
                "list that it is in, or say None for it in in_axes"
            )
        )
    value = as_array(leaf)
    rank = len(value.shape)
    if not -rank <= axis < rank:
        raise ShapeError(
            at_user_line(f"vmap: the argument {path} of shape {value.shape} has no axis {axis} to be mapped over")
        )
    return value


def _size(values: Sequence[Any], axes: Sequence[int | None], args: Any, kwargs: Any) -> int:
    """How many examples there are."""
    lengths: dict[str, int] = {
        path: value.shape[axis]
        for path, value, axis in zip(_paths(args, kwargs), values, axes, strict=True)
        if axis is not None
    }
    if not lengths:
        raise ShapeError(at_user_line("vmap: no argument is mapped; say in in_axes which axis of which array is"))
    (first, size), *others = lengths.items()
    for path, length in others:
        if length != size:
            raise ShapeError(
                at_user_line(
                    f"vmap: the mapped axes differ in length: {first} has {size}, {path} has {length}; say None in "
                    "in_axes for what is the same for all"
                )
            )
    return size


def _paths(args: Sequence[Any], kwargs: dict[str, Any]) -> list[str]:
    """How to call each leaf of the arguments in messages."""
    numbered = [path for place, arg in enumerate(args) for path in leaf_paths(arg, f"number {place}")]
    return numbered + [path for name, value in kwargs.items() for path in leaf_paths(value, name)]


def _axes_of_arguments(in_axes: Axes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | None]:
    """For each leaf of the arguments its axis, or None."""
    if isinstance(in_axes, (list, tuple)):
        if len(in_axes) != len(args):
            raise ShapeError(
                at_user_line(f"vmap: in_axes has {len(in_axes)} entries for {len(args)} positional arguments")
            )
        each = [
            axis
            for place, (entry, arg) in enumerate(zip(in_axes, args, strict=True))
            for axis in _prefix(f"vmap: in_axes[{place}]", entry, arg, "the argument")
        ]
    elif in_axes is None or hasattr(in_axes, "__index__"):
        each = [None if in_axes is None else as_int(in_axes)] * len(flatten(args)[0])
    else:
        raise DtypeError(at_user_line(f"vmap: in_axes is an int, None, or a tuple of them, got {in_axes!r:.80}"))
    return each + [0] * len(flatten(kwargs)[0])


def _prefix(what: str, axes: Axes, nest: Any, whose: str) -> list[int | None]:
    """For each leaf of a nest its axis, given a nest of axes that is a prefix of it."""
    if axes is None:
        return [None] * len(flatten(nest)[0])
    if isinstance(axes, dict):
        if isinstance(nest, dict) and axes.keys() == nest.keys():
            return [
                axis for key in nest for axis in _prefix(f"{what}[{key!r}]", axes[key], nest[key], f"{whose}[{key!r}]")
            ]
    elif isinstance(axes, (list, tuple)):
        if isinstance(nest, (list, tuple)) and len(axes) == len(nest):
            return [
                axis
                for place, (entry, part) in enumerate(zip(axes, nest, strict=True))
                for axis in _prefix(f"{what}[{place}]", entry, part, f"{whose}[{place}]")
            ]
    else:
        return [checked_int("vmap", what.removeprefix("vmap: "), axes)] * len(flatten(nest)[0])
    raise ShapeError(
        at_user_line(
            f"{what} is {axes!r:.80}, which is no prefix of {whose}, {_in_words(nest)}: it takes an int, None, or a "
            "nest with the same keys or as many members"
        )
    )


def _in_words(nest: Any) -> str:
    if isinstance(nest, dict):
        return f"a dict with the keys {', '.join(map(repr, nest))}"
    if isinstance(nest, (list, tuple)):
        return f"a {type(nest).__name__} of {len(nest)}"
    return "one array" if nest is not None else "None"


def _moved(value: Value, axis: int, place: int) -> Value:
    """`value` with an axis moved to a place."""
    rank = len(value.shape)
    source, target = axis % rank, place % rank
    return value if source == target else ops.moveaxis(value, source, target)


def _result(level: Batching, result: Any, axis: int | None) -> Value:
    """What becomes of a result outside."""
    value = as_array(result)
    own = level.value_of(value)
    if axis is None:
        if own is not value:
            raise ShapeError(
                at_user_line(
                    f"vmap: out_axes is None for a result that differs from example to example: {value!r}; say where "
                    "the batch is to be"
                )
            )
        return value
    rank = len(value.shape) + 1
    if not -rank <= axis < rank:
        raise ShapeError(at_user_line(f"vmap: out_axes is {axis} for a result that has {rank} axes with the batch"))
    whole = level.all_of(value)
    with level.outside():
        return _moved(whole, 0, axis)
