"""Gradients of opaque functions: for `ops.opaque.numpy_function`, which is below."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..aval import is_floating
from ..errors import RuleError, at_user_line
from ..ops.opaque import call_opaque, opaque_function
from ..primitive import Value, claim
from ..pytree import flatten, unflatten
from .arguments import Arguments, arguments_of, described, results_of
from .gradient import Result, with_gradient
from .hearing import watching
from .rules import refusing


def _with_gradient(
    function: Any,
    values: Sequence[Value],
    call: Callable[..., Any],
    gradient: Callable[..., Any] | None,
    numpy_gradient: Callable[..., Any] | None,
) -> Any:
    """The result of a call whose gradient is the user's."""
    label = f"numpy_function: {described(function.call)}"

    def forward(given: Arguments) -> Result:
        with watching(given.values) as heard:
            found = call(*given.given)
        kept: list[Any] = []

        def rule(ct: Any) -> Any:
            assert gradient is not None
            # The result as its derivative is known, for a second one; it is not there yet while the rule is traced.
            out = kept[0] if kept else with_gradient(function, forward, given)
            return gradient(*given.given, out, ct)

        by_numpy = gradient is None and _by_numpy(label, numpy_gradient, given, found, function.vectorized)
        leaves, treedef = results_of(label, found)
        return Result(
            label, leaves, treedef, given, by_numpy or rule, nested=True, loose=heard.loose(leaves), kept=kept
        )

    return with_gradient(function, forward, arguments_of(values))


def _by_numpy(
    label: str, gradient: Callable[..., Any] | None, given: Arguments, found: Any, vectorized: bool
) -> Callable[[Any], list[Any]]:
    """A gradient that is an opaque function itself, and has no derivative."""
    assert gradient is not None
    avals = tuple([given.leaves[place].aval for place in given.by])
    count = len(given.leaves)
    outputs, nest = flatten(found)

    def arrays(*flat: np.ndarray) -> list[np.ndarray]:
        inputs, rest = flat[:count], flat[count:]
        out, ct = (unflatten(nest, rest[: len(outputs)]), unflatten(nest, rest[len(outputs) :]))
        returned = gradient(*inputs, out, ct)
        if not isinstance(returned, (list, tuple)):
            returned = (returned,)
        if len(returned) != count:
            raise RuleError(
                at_user_line(f"{label}: its numpy_gradient gave {len(returned)} gradients for {count} inputs")
            )
        return [
            np.zeros(inputs[place].shape, inputs[place].dtype) if returned[place] is None else returned[place]
            for place in given.by
        ]

    arrays.__name__ = getattr(gradient, "__name__", "numpy_gradient")
    called = opaque_function(arrays, flatten(list(range(len(avals))))[1], vectorized)

    def rule(ct: Any) -> list[Any]:
        operands = (*given.tensors, *outputs, *flatten(ct)[0])
        gradients: Any = call_opaque(*operands, function=called, avals=avals)
        followed = [value for value in operands if is_floating(value.dtype)]
        refused = refusing(
            gradients,
            followed,
            f"{label}: its numpy_gradient has no derivative, for a second one or in forward mode; give a gradient that "
            "is written with tapejit's operations",
        )
        leaves: list[Any] = [None] * count
        for place, each in zip(given.by, refused, strict=True):
            leaves[place] = each
        return leaves

    return rule


claim("opaque_gradient", _with_gradient)
