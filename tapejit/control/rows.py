"""The rows of arrays, and arrays made of rows, for loops that run in Python.

Taking one row after the other would give each a cotangent of the whole array's size. Both operations are linear, and
each is the transpose of the other. Under a trace they are slices and a concatenation.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..aval import Aval
from ..families.batching import all_batched
from ..graph.connections import positions_of
from ..lowering import Composite
from ..primitive import CallPlan, Masked, Params, Primitive, Rule, Value, Wanted, bind, current, in_role


def rows(x: Any) -> list[Any]:
    """The slices of an array along its first axis."""
    if current().interpreter.traces:
        return [x[place] for place in range(x.shape[0])]
    return list(bind(_ROWS, (x,)))


def joined(parts: Sequence[Any]) -> Any:
    """The array whose slices along the first axis these are."""
    return ops.stack(parts) if current().interpreter.traces else bind(_JOINED, tuple(parts))


def _rows_impl(x: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple([x[place, ...] for place in range(len(x))])


def _rows_type(x: Aval) -> tuple[Aval, ...]:
    return (Aval(x.shape[1:], x.dtype),) * x.shape[0]


def _joined_joint(active: int, count: int, params: Params) -> CallPlan:  # noqa: ARG001 (the protocol of joint rules)
    inputs = tuple(positions_of(active))
    return CallPlan(inputs, (0,), (), partial(_pull_joined, inputs))


def _pull_joined(
    inputs: Sequence[int],
    arrived: Sequence[Masked],
    kept: Sequence[Value],  # noqa: ARG001 (the protocol of call plans)
    wanted: Sequence[Wanted],
) -> list[Masked]:
    parts = rows(arrived[0][0])
    return [
        (None if wish is Wanted.NOTHING else parts[place], None) for place, wish in zip(inputs, wanted, strict=True)
    ]


def _rows_tangent(inputs: Sequence[Any], tangents: Sequence[Any], outputs: Any, params: Params) -> Any:  # noqa: ARG001
    return rows(tangents[0])


def _joined_tangent(inputs: Sequence[Any], tangents: Sequence[Any], outputs: Any, params: Params) -> Any:  # noqa: ARG001
    zero = in_role("zeros")(inputs[0].shape, inputs[0].dtype)
    return joined([zero if tangent is None else tangent for tangent in tangents])


def _rows_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:  # noqa: ARG001
    (x,) = inputs
    return rows(ops.moveaxis(x, 1, 0))


def _joined_batch(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:  # noqa: ARG001
    return ops.moveaxis(joined(all_batched(inputs, batched, size)), 1, 0)


# Of eager mode: graphs hold them only where a function that was linearized there is called, and declarations none, so
# that they are in no registry.
_ROWS = Primitive(
    name="rows",
    inputs=("x",),
    impl=_rows_impl,
    rule=_rows_type,
    vjp={"x": Rule(joined, ("ct",))},
    lowering=Composite(lambda x: x),  # its parts are its rows
    cases=(),
    multiple=True,
    jvp=_rows_tangent,
    batch=_rows_batch,
)
_JOINED = Primitive(
    name="joined",
    inputs=("*parts",),
    impl=lambda *parts: np.stack(parts),
    rule=lambda *parts: Aval((len(parts), *parts[0].shape), parts[0].dtype),
    vjp={},
    lowering=Composite(lambda *parts: ops.stack(parts)),
    cases=(),
    joint=_joined_joint,
    jvp=_joined_tangent,
    batch=_joined_batch,
)
