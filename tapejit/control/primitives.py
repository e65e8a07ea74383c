"""The operations that hold regions: `scan`, `while_loop`, `switch`, as graphs have them.

What their inputs, params and results are is said where their lowering is: `ScanRegion`, `WhileRegion`, `SwitchRegion`.
In a graph all of it was checked before; a type rule that fails here is a fault of tapejit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..aval import Aval
from ..graph import Region
from ..lowering import Inlined, Pointwise, ScanRegion, SwitchRegion, WhileRegion
from ..primitive import BatchRule, Flow, JointRule, Primitive, Rule, TangentRule, register
from .batches import checkpoint_batch, scan_batch, switch_batch, while_batch
from .checkpoint_rules import after_batch, checkpoint_joint
from .scan_reverse import scan_joint
from .switch_reverse import switch_joint, while_joint
from .tangents import checkpoint_tangents, scan_tangents, switch_tangents, while_tangents

INDEX = Aval((), np.dtype(np.int64))
"""What the index of an iteration, or of a branch, is."""


def _scan(
    *operands: np.ndarray, body: Region, carries: int, slices: int, length: int, reverse: bool
) -> tuple[np.ndarray, ...]:
    carried = list(operands[:carries])
    sliced, captures = operands[carries : carries + slices], operands[carries + slices :]
    stacked = [np.empty((length, *node.aval.shape), node.aval.dtype) for node in body.graph.outputs[carries:]]
    for index in range(length)[:: -1 if reverse else 1]:
        found = body(np.int64(index), *carried, *[array[index] for array in sliced], *captures)
        carried = found[:carries]
        for array, value in zip(stacked, found[carries:], strict=True):
            array[index] = value
    return (*carried, *stacked)


def _scan_type(*avals: Aval, body: Region, carries: int, slices: int, length: int, reverse: bool) -> tuple[Aval, ...]:
    sliced = avals[carries : carries + slices]
    assert all(aval.shape[:1] == (length,) for aval in sliced), (length, reverse, sliced)
    given = [Aval(aval.shape[1:], aval.dtype) for aval in sliced]
    _hold(body, (INDEX, *avals[:carries], *given, *avals[carries + slices :]))
    results = [node.aval for node in body.graph.outputs]
    assert _types(results[:carries]) == _types(avals[:carries]), "what is carried changes its type"
    return (*results[:carries], *(Aval((length, *aval.shape), aval.dtype) for aval in results[carries:]))


def _while(*operands: np.ndarray, condition: Region, body: Region, carries: int) -> tuple[np.ndarray, ...]:
    carried, captures = list(operands[:carries]), operands[carries:]
    while condition(*carried, *captures)[0]:
        carried = body(*carried, *captures)
    return tuple(carried)


def _while_type(*avals: Aval, condition: Region, body: Region, carries: int) -> tuple[Aval, ...]:
    _hold(condition, avals)
    _hold(body, avals)
    results = [node.aval for node in body.graph.outputs]
    assert _types(results) == _types(avals[:carries]), "what is carried changes its type"
    return tuple(results)


def _switch(index: np.ndarray, *captures: np.ndarray, branches: tuple[Region, ...]) -> tuple[np.ndarray, ...]:
    return tuple(branches[int(index)](*captures))


def _switch_type(index: Aval, *avals: Aval, branches: tuple[Region, ...]) -> tuple[Aval, ...]:
    assert _types([index]) == _types([INDEX])
    results = [[node.aval for node in branch.graph.outputs] for branch in branches]
    for branch, given in zip(branches, results, strict=True):
        _hold(branch, avals)
        assert _types(given) == _types(results[0]), "the branches give different types"
    return tuple(results[0])


def _hold(region: Region, avals: Sequence[Aval]) -> None:
    assert _types([node.aval for node in region.graph.inputs]) == _types(avals), "a region that does not fit its inputs"


def _types(avals: Sequence[Aval]) -> list[tuple[Any, ...]]:
    return [(aval.shape, aval.dtype) for aval in avals]


Rules = tuple[JointRule, TangentRule, BatchRule]
"""The rules of the reverse pass, of forward mode, and for batches."""


def _primitive(name: str, impl: Any, rule: Any, lowering: Any, rules: Rules) -> Primitive:
    return register(
        Primitive(
            name=name,
            inputs=("*operands",),
            impl=impl,
            rule=rule,
            vjp={},
            lowering=lowering,
            cases=(),
            multiple=True,
            properties={"family": "region"},
            joint=rules[0],
            jvp=rules[1],
            batch=rules[2],
        )
    )


def _region(*operands: np.ndarray, body: Region) -> tuple[np.ndarray, ...]:
    return tuple(body(*operands))


def _region_type(*avals: Aval, body: Region) -> tuple[Aval, ...]:
    _hold(body, avals)
    return tuple(node.aval for node in body.graph.outputs)


SCAN = _primitive("scan", _scan, _scan_type, ScanRegion(), (scan_joint, scan_tangents, scan_batch))
WHILE = _primitive("while_loop", _while, _while_type, WhileRegion(), (while_joint, while_tangents, while_batch))
SWITCH = _primitive("switch", _switch, _switch_type, SwitchRegion(), (switch_joint, switch_tangents, switch_batch))
CHECKPOINT = _primitive(
    "checkpoint", _region, _region_type, Inlined(), (checkpoint_joint, checkpoint_tangents, checkpoint_batch)
)

AFTER = register(
    Primitive(
        name="after",
        inputs=("x", "ct"),
        impl=lambda x, ct: x,
        rule=lambda x, ct: x,
        vjp={"x": Rule(lambda ct: ct, ("ct",), Flow.MOVING)},
        # What an expression in parentheses is, no pass takes for `x` itself.
        lowering=Pointwise("(x)", cost=0),
        cases=(),
        properties={"family": "region"},
        batch=after_batch,
    )
)
