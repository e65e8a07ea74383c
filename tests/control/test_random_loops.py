"""Random programs of loops and branches: traces and their derivatives against the eager ones."""

import os
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.agreement import check_agreement
from tests.control.random_loops import LOOPS, program
from tests.control.ways import assert_same, gradients, in_numpy

PROGRAMS = int(os.environ.get("TAPEJIT_EXAMPLES", "12"))


def arguments(seed: int, count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=3) for _ in range(count)]


def pushed(function: Any) -> Any:
    def push(*args: Any) -> Any:
        primals = [each * 1 for each in args[:3]]
        with tj.ForwardAccumulator(primals, list(args[3:])) as accumulator:
            y = function(*primals)
        return accumulator.jvp(y, unconnected_gradients="zero")

    return push


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_derivatives(seed: int) -> None:
    function = program(seed)
    for transformed, count in ((gradients(function, 1 + seed % 2, "zero"), 3), (pushed(function), 6)):
        args = arguments(seed, count)
        expected = transformed(*map(tj.constant, args))
        for found in in_numpy(transformed, *args):
            assert_same(found, expected, 1e-7)


@pytest.mark.parametrize("seed", range(100, 100 + PROGRAMS))
def test_connections(seed: int) -> None:
    # Without branches by a traced condition a trace knows what depends on what as eager tapes do.
    function, args = gradients(program(seed, LOOPS), 1), arguments(seed)
    expected = function(*map(tj.constant, args))
    for found in in_numpy(function, *args):
        assert_same(found, expected, 1e-7)


def test_a_kernel() -> None:
    check_agreement(gradients(program(3), 1, "zero"), arguments(3), plain=False, scale=1e3)
