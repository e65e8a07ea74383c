"""Pairs of gradients and variables, as `Optimizer.apply_gradients` is given them, and what can be wrong with them."""

from collections.abc import Iterable
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from ..variable import Variable


def checked_pairs(title: str, grads_and_vars: Iterable[Any]) -> list[tuple[Any, Variable]]:
    """The pairs, of which each has a variable of its own.

    Raises
    ------
    TypeError
        If something else is among them.
    ValueError
        If there are none, or a variable comes twice.
    """
    pairs, seen = list(grads_and_vars), set[int]()
    for pair in pairs:
        is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
        if not (is_pair and isinstance(pair[1], Variable)):
            what = f"{type(pair[1]).__name__} for a variable" if is_pair else type(pair).__name__
            raise TypeError(
                at_user_line(
                    f"{title}.apply_gradients takes pairs of gradient and variable, got {what}; "
                    "zip(gradients, variables) makes them"
                )
            )
        if pair[1].key in seen:
            raise ValueError(at_user_line(f"{title}: {label_of(pair[1])} comes twice"))
        seen.add(pair[1].key)
    if not pairs:
        raise ValueError(
            at_user_line(f"{title}: there is no gradient and no variable; a zip that was gone through has no more")
        )
    return pairs


def with_gradient(title: str, pairs: list[tuple[Any, Variable]]) -> list[tuple[Tensor, Variable]]:
    """The pairs that have a gradient, of the variable's shape and dtype.

    Raises
    ------
    ShapeError
        If a gradient has another shape.
    ValueError
        If there is none.
    """
    found = []
    for gradient, variable in pairs:
        if gradient is None:
            continue
        value = ops.asarray(gradient, variable.dtype)
        if value.shape != variable.shape:
            raise ShapeError(
                at_user_line(
                    f"{title}: a gradient of shape {value.shape} for {label_of(variable)} of shape {variable.shape}"
                )
            )
        found.append((value, variable))
    if not found:
        names = ", ".join(label_of(variable) for _, variable in pairs)
        raise ValueError(
            at_user_line(
                f"{title}: no gradient for any variable ({names}); was the loss computed inside the tape, "
                "from these variables?"
            )
        )
    return found


def label_of(variable: Variable) -> str:
    """What to call a variable in messages."""
    return f"variable {variable.name!r}" if variable.name else f"a variable of shape {variable.shape}"
