"""Forward mode through loops and branches, eager and compiled, and mixed with reverse mode."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.control.test_scans import XS, H, W, recurrence
from tests.control.ways import assert_same, check, gradients

X, V = np.array([0.5, 1.0, -2.0]), np.array([1.0, -0.5, 0.25])


def pushed(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function and its tangent, from `count` primals and as many tangents."""

    def push(*args: Any) -> Any:
        primals, tangents = [each * 1 for each in args[:count]], list(args[count:])
        with tj.ForwardAccumulator(primals, tangents) as accumulator:
            out = function(*primals)
        return out, accumulator.jvp(out)

    return push


def loops(x: Any, w: Any) -> Any:
    def body(state: Any) -> Any:
        return tj.sin(state[0] * w) + state[0], state[1] + 1

    y, _ = tj.while_loop(lambda state: state[1] < 4, body, (x, 0))
    return tj.sum(y * tj.cond(x[0] > 0, lambda v: v * w, lambda v: v, y))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "scan": (recurrence, (XS, W, H)),
    "reversed": (lambda *args: recurrence(*args, reverse=True), (XS, W, H)),
    "all": (lambda *args: recurrence(*args, checkpoint="all"), (XS, W, H)),
    "chunks": (lambda *args: recurrence(*args, checkpoint=2), (XS, W, H)),
    "loops": (loops, (X, V)),
    "checkpoint": (lambda x, w: tj.sum(tj.checkpoint(lambda v: tj.sin(tj.exp(v) * w))(x)), (X, V)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_tangents(name: str) -> None:
    function, args = PROGRAMS[name]
    rng = np.random.default_rng(1)
    directions = [rng.normal(size=each.shape) for each in args]
    _, tangent = check(pushed(function, len(args)), *args, *directions)
    step = 1e-6
    ahead, behind = (
        function(*[tj.constant(each + sign * step * along) for each, along in zip(args, directions, strict=True)])
        for sign in (1, -1)
    )
    np.testing.assert_allclose(tangent, (ahead.numpy() - behind.numpy()) / (2 * step), rtol=1e-7)


@pytest.mark.parametrize("name", ["scan", "chunks", "checkpoint"])
def test_tangents_of_gradients_and_gradients_of_tangents(name: str) -> None:
    function, args = PROGRAMS[name]
    rng = np.random.default_rng(1)
    directions = [rng.normal(size=each.shape) for each in args]
    count = len(args)
    _, forward_over_reverse = check(pushed(gradients(function, 1), count), *args, *directions)

    def reverse_over_forward(*both: Any) -> Any:
        return gradients(lambda *own: pushed(function, count)(*own, *both[count:])[1], 1)(*both[:count])

    assert_same(check(reverse_over_forward, *args, *directions), forward_over_reverse, 1e-9)


def test_tangents_of_tangents() -> None:
    twice = pushed(pushed(loops, 2), 4)
    args = (X, V, V, X, X * V, X + V, V, X)
    check(twice, *args)


def test_a_kernel_of_tangents() -> None:
    check(pushed(loops, 2), X, V, V, X, kernel=True)
    check(pushed(recurrence, 3), XS, W, H, XS, W, H, kernel=True)


def test_what_depends_on_nothing_has_no_tangent() -> None:
    def program(x: Any, v: Any) -> Any:
        with tj.ForwardAccumulator(x, v) as accumulator:
            (first, second), ys = tj.scan(lambda c, _: ((c[1], c[1]), (c[0], 3 * H)), (x, H), length=1)
        return [accumulator.jvp(each) for each in (first, second, *ys)]

    found = check(program, X, V)
    assert [each is not None for each in found] == [False, False, True, False]
