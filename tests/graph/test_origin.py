"""Numbers of a user's program are entries of the constant table, whichever operation hands them on."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.graph import Literal
from tests.agreement import trace

X = np.array([0.1, 0.7, 2.0], np.float32)
settings = SimpleNamespace(c=0.5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * settings.c,
        lambda x: settings.c**x,
        lambda x: tj.clip(x, -settings.c, settings.c),
        lambda x: tj.clip(x, max=settings.c),
        lambda x: tj.where(x > 1, x, settings.c),
        lambda x: x + tj.full((3,), settings.c),
        lambda x: x + tj.full(3, fill_value=settings.c),
        lambda x: x + tj.full_like(x, settings.c),
        lambda x: x + tj.asarray([settings.c, settings.c, 1.0]),
        lambda x: x + tj.constant(settings.c),
        lambda x: tj.maximum(x, settings.c),
        lambda x: np.where(x > 1, x, settings.c),
        lambda x: np.clip(x, 0, settings.c),
    ],
)
def test_a_changed_number_costs_a_trace_but_no_compilation(function: Callable[[Any], Any]) -> None:
    settings.c = 0.375
    step = tj.compile(function, strict=True, cache=False)
    step(X)
    settings.c = 0.625
    np.testing.assert_allclose(step(X), function(tj.constant(X)), rtol=1e-6)
    assert (step.report()["traces"], step.report()["compilations"]) == (2, 1)


def test_numbers_of_reverse_rules_are_literals() -> None:
    def slope(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.square(x)
        return tape.gradient(y, x)

    traced = trace(slope, [X])
    assert traced.numbers == []
    assert 2.0 in {float(node.op.value) for node in traced.raw.nodes() if isinstance(node.op, Literal)}
