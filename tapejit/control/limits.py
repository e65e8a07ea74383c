"""Values that there are only if a loop came to its end within its largest number of steps.

To the compiler that is an element at a computed index, which is out of range if the loop did not: kernels check such
indices before they assign anything.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..aval import Aval
from ..errors import IndexRangeError, at_user_line
from ..lowering import Gather
from ..primitive import Flow, Params, Primitive, Rule, bind, register
from .counting import place_of

STILL_HOLDS = (
    "while_loop: the condition still holds after max_steps = {steps} steps; give more, or see why the loop goes on"
)


def too_many(steps: int) -> IndexRangeError:
    """The error for a loop that was not done."""
    return IndexRangeError(at_user_line(STILL_HOLDS.format(steps=steps)))


def within(steps: int, goes_on: Any, values: Sequence[Any]) -> list[Any]:
    """The values, unless the loop's condition still holds."""
    place = ops.reshape(place_of(goes_on), (1,))
    return [_checked(value, place, (0,), steps) for value in values]


def _checked(value: Any, place: Any, axes: tuple[int, ...], steps: int) -> Any:
    return bind(_WITHIN, (ops.expand_dims(value, 0), place), {"axes": axes, "steps": steps})


def _value(x: np.ndarray, place: np.ndarray, *, axes: Any, steps: int) -> np.ndarray:  # noqa: ARG001 (as gathers have)
    if place[0]:
        raise too_many(steps)
    return x[0, ...]


def _batched(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
    x, place = inputs
    rest = tuple(range(2, len(x.shape)))
    both = ops.permute_dims(x, (1, 0, *rest)) if batched[0] else ops.broadcast_to(x[:, None], (1, size, *x.shape[1:]))
    return bind(_WITHIN, (both, ops.max(place, 0) if batched[1] else place), params)


def _transposed(ct: Any, place: Any, axes: tuple[int, ...], steps: int) -> Any:
    """The cotangent, checked too: a step may need the derivative alone, and then nothing asks for the value."""
    return ops.expand_dims(_checked(ct, place, axes, steps), 0)


_WITHIN = register(
    Primitive(
        name="within_steps",
        inputs=("x", "place"),
        impl=_value,
        rule=lambda x, place, *, axes, steps: Aval(x.shape[1:], x.dtype),
        vjp={"x": Rule.of(_transposed, Flow.MOVING)},
        lowering=Gather(beyond=STILL_HOLDS),
        cases=(),
        properties={"family": "check", "linear": True},
        batch=_batched,
    )
)
