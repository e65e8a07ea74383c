"""Batch rules that families share: a batch is one more axis, in front of all others.

Floor 3, beside the families. A declaration says which of these functions makes its rule, from the function that binds
the operation (`Made`). The rule (`primitive.BatchRule`) gets inputs some of which have the batch axis. What has none is
the same for all, and stays as it is where that is possible: it broadcasts, or is multiplied by all rows at once.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from ..primitive import BatchRule, Params, in_role

Function = Callable[..., Any]
Made = Callable[[Function], BatchRule]
"""What makes a batch rule, given ``apply(*inputs, **params)``, which binds the operation."""


def shifted(change: Callable[..., Mapping[str, Any]]) -> Made:
    """The rule of an operation with one input: ``change(size, **params)`` gives the params where there is a batch."""

    def made(apply: Function) -> BatchRule:
        def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
            return apply(*inputs, **change(size, **params))

        return rule

    return made


def aligned(apply: Function) -> BatchRule:
    """The rule of what works element by element: its inputs broadcast as they did without the batch."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        if len(inputs) == 1:
            return apply(*inputs, **params)
        rank = max([len(x.shape) - has for x, has in zip(inputs, batched, strict=True)])
        operands = [with_rank(x, rank) if has else x for x, has in zip(inputs, batched, strict=True)]
        return apply(*operands, **params)

    return rule


def stacked(apply: Function) -> BatchRule:
    """The rule of what takes any number of leading axes, the same for all inputs."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        return apply(*all_batched(inputs, batched, size), **params)

    return rule


def reduced(apply: Function) -> BatchRule:
    """The rule of what works along the axes in the param ``axes``."""
    return shifted(lambda size, axes, **params: {"axes": after(axes), **params})(apply)


def along(apply: Function) -> BatchRule:
    """The rule of what works along the axis in the param ``axis``, or on the flattened arrays where that is None."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        operands, axis = all_batched(inputs, batched, size), params["axis"]
        if axis is None:
            operands, axis = [in_role("reshape")(x, (size, prod(x.shape[1:]))) for x in operands], 0
        return apply(*operands, **{**params, "axis": axis + 1})

    return rule


def multiplied(apply: Function) -> BatchRule:
    """The rule of the product of matrices, of stacks of them if there are leading axes."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        x, y = inputs
        if all(batched):
            return apply(x, y)
        if batched[0]:
            return rows_at_once(apply, x, y)
        return turned(rows_at_once(apply, turned(y), turned(x)))

    return rule


def rows_at_once(apply: Function, x: Any, y: Any) -> Any:
    """``apply(x, y)``, which treats each row of `x` alike, for `x` with the batch and `y` without it.

    Parameters
    ----------
    apply : callable
        From shapes (..., m, k) and (..., k, n) to (..., m, n).
    x : Value, shape (b, ..., m, k)
        Its rows are put under one another.
    y : Value, shape (..., k, n)
        The same for all.
    """
    size, *stack, rows, inner = x.shape
    count = len(stack)
    if stack:
        x = in_role("permute")(x, (*range(1, count + 1), 0, count + 1, count + 2))
    product = apply(in_role("reshape")(x, (*stack, size * rows, inner)), y)
    product = in_role("reshape")(product, (*stack, size, rows, product.shape[-1]))
    return in_role("permute")(product, (count, *range(count), count + 1, count + 2)) if stack else product


def turned(x: Any) -> Any:
    """The last two axes exchanged."""
    rank = len(x.shape)
    return in_role("permute")(x, (*range(rank - 2), rank - 1, rank - 2))


def with_rank(x: Any, rank: int) -> Any:
    """`x`, which has the batch axis, with axes of length 1 behind that, so that `rank` axes follow it."""
    missing = rank + 1 - len(x.shape)
    return in_role("reshape")(x, (x.shape[0], *(1,) * missing, *x.shape[1:])) if missing else x


def all_batched(inputs: Sequence[Any], batched: Sequence[bool], size: int) -> list[Any]:
    """The inputs, those repeated that have no batch axis."""
    return [x if has else in_role("broadcast")(x, (size, *x.shape)) for x, has in zip(inputs, batched, strict=True)]


def after(axes: Sequence[int]) -> tuple[int, ...]:
    """Axes, counted with the batch axis."""
    return tuple([axis + 1 for axis in axes])


# What is read and written at indices


def gathered(apply: Function) -> BatchRule:
    """The rule of ``gather(x, indices)`` with the param ``axes``."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        (x, indices), axes = inputs, params["axes"]
        if not batched[0]:
            return apply(x, indices, axes=axes)
        if batched[1]:
            return apply(x, _with_place(indices), axes=(0, *after(axes)))
        count = len(indices.shape) - 1
        out = apply(x, indices, axes=after(axes))
        return in_role("permute")(out, (count, *range(count), *range(count + 1, len(out.shape))))

    return rule


def scattered(apply: Function) -> BatchRule:
    """The rule of ``scatter(x, indices, updates)`` with the param ``axes``."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        (x, indices, updates), axes = inputs, params["axes"]
        x, updates = all_batched((x, updates), (batched[0], batched[2]), size)
        if batched[1]:
            return apply(x, _with_place(indices), updates, axes=(0, *after(axes)))
        count = len(indices.shape) - 1
        updates = in_role("permute")(updates, (*range(1, count + 1), 0, *range(count + 1, len(updates.shape))))
        return apply(x, indices, updates, axes=after(axes))

    return rule


def _with_place(indices: Any) -> Any:
    """Index tuples, the batch axis first, with the place in the batch in front of each."""
    size, *others = indices.shape
    place = in_role("reshape")(in_role("iota")(length=size), (size, *(1,) * len(others)))
    places = in_role("broadcast")(place, (*indices.shape[:-1], 1))
    return in_role("concat")((places, in_role("convert")(indices, places.dtype)), len(others))
