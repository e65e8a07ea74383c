"""Rules of the user's own under everything else: forward mode, `vmap`, loops and branches, functional transforms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.testing import check_grads

X = np.array([0.5, -1.0, 2.0])
T = np.array([1.0, 2.0, -1.0])


@tj.custom_gradient
def by_gradient(x: Any, y: Any) -> Any:
    """Ten times its derivatives, so that the rule is seen at work."""
    s = tj.sin(x)
    return s * y, lambda ct: (10 * ct * y * tj.cos(x), 10 * tj.sum(ct * s))


@tj.custom_jvp
def by_tangent(x: Any, y: Any) -> Any:
    return tj.sin(x) * y


by_tangent.defjvps(lambda t, out, x, y: 10 * t * y * tj.cos(x), lambda t, out, x, y: 10 * t * tj.sin(x))


@tj.custom_vjp
def by_cotangent(x: Any, y: Any) -> Any:
    return tj.sin(x) * y


by_cotangent.defvjp(
    lambda x, y: (by_cotangent(x, y), (x, y)),
    lambda kept, ct: (10 * ct * kept[1] * tj.cos(kept[0]), 10 * tj.sum(ct * tj.sin(kept[0]))),
)

WAYS = pytest.mark.parametrize("function", [by_gradient, by_tangent, by_cotangent], ids=lambda f: f.__name__)
COMPILED = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
Y = np.float64(3.0)


def called(function: Callable[..., Any], compiled: bool, *arguments: Any) -> list[np.ndarray]:
    run = tj.compile(function, strict=True) if compiled else function
    out = run(*map(tj.constant, arguments))
    return [each.numpy() for each in (out if isinstance(out, (list, tuple)) else [out])]


@WAYS
@COMPILED
def test_forward_mode(function: Any, compiled: bool) -> None:
    def tangents(x: Any, y: Any, t: Any) -> Any:
        out, moved = tj.jvp(function, (x, y), (t, tj.constant(2.0, dtype="float64")))
        return out, moved

    out, moved = called(tangents, compiled, X, Y, T)
    np.testing.assert_allclose(out, 3 * np.sin(X))
    np.testing.assert_allclose(moved, 10 * (3 * np.cos(X) * T + 2 * np.sin(X)))


@WAYS
def test_forward_over_reverse_and_reverse_over_forward(function: Any) -> None:
    def loss(x: Any) -> Any:
        return tj.sum(function(x, 3.0))

    x, t = tj.constant(X), tj.constant(T)
    expected = -30 * np.sin(X) * T
    forward = tj.jvp(tj.grad(loss), (x,), (t,))[1]
    np.testing.assert_allclose(forward.numpy(), expected)
    backward = tj.grad(lambda x: tj.jvp(loss, (x,), (t,))[1])(x)
    # The tangent is ten times the true one, and so is what the rule makes of that.
    np.testing.assert_allclose(backward.numpy(), expected)


@WAYS
@COMPILED
def test_a_batch(function: Any, compiled: bool) -> None:
    """Also its gradients, from outside and from inside; what is the same for all gets the sum."""
    batch = np.stack([X, X + 1, X - 1])

    def of_all(x: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, y])
            out = tj.vmap(function, in_axes=(0, None))(x, y)
        return out, *tape.gradient(out, [x, y])

    def of_each(x: Any, y: Any) -> Any:
        return tj.vmap(lambda x, y: tj.grad(lambda x: tj.sum(function(x, y)))(x), in_axes=(0, None))(x, y)

    out, by_x, by_y = called(of_all, compiled, batch, Y)
    np.testing.assert_allclose(out, 3 * np.sin(batch))
    np.testing.assert_allclose(by_x, 30 * np.cos(batch))
    np.testing.assert_allclose(by_y, 10 * np.sin(batch).sum())
    (found,) = called(of_each, compiled, batch, Y)
    np.testing.assert_allclose(found, 30 * np.cos(batch))


@WAYS
def test_a_batch_in_forward_mode(function: Any) -> None:
    batch = np.stack([X, X + 1])

    def tangents(x: Any, t: Any) -> Any:
        return tj.jvp(tj.vmap(lambda x: function(x, 3.0)), (x,), (t,))[1]

    for compiled in (False, True):
        (found,) = called(tangents, compiled, batch, np.ones_like(batch))
        np.testing.assert_allclose(found, 30 * np.cos(batch))


@WAYS
@COMPILED
def test_a_loop(function: Any, compiled: bool) -> None:
    def run(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            last, steps = tj.scan(lambda carry, _: (function(carry, 0.5), tj.sum(carry)), x, length=2)
            loss = tj.sum(last) + tj.sum(steps)
        return loss, tape.gradient(loss, x)

    loss, by_x = called(run, compiled, X)
    once = np.sin(X) / 2
    np.testing.assert_allclose(loss, (np.sin(once) / 2 + X + once).sum())
    np.testing.assert_allclose(by_x, 1 + (1 + 5 * np.cos(once)) * 5 * np.cos(X))


@WAYS
def test_a_loop_that_is_differentiated_from_outside(function: Any) -> None:
    step = tj.compile(
        lambda x: tj.fori_loop(0, 2, lambda i, carry: function(carry, 0.5), x),
        strict=True,
    )
    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    expected = 5 * np.cos(np.sin(X) / 2) * 5 * np.cos(X)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), expected)


@WAYS
@COMPILED
def test_a_branch(function: Any, compiled: bool) -> None:
    def run(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.cond(tj.sum(x) > 0, lambda x: function(x, 3.0), lambda x: -x, x)
        return tape.gradient(y, x)

    np.testing.assert_allclose(called(run, compiled, X)[0], 30 * np.cos(X))
    np.testing.assert_allclose(called(run, compiled, -X - 1)[0], [-1, -1, -1])


def test_an_own_operation_in_a_batch_and_forward() -> None:
    own = tj.primitive(
        lambda x, y: x * y * y, name="cubic", partials={"x": lambda y: y * y, "y": lambda x, y: 2 * x * y}
    )
    x, y = tj.constant(X), tj.constant(3.0, dtype="float64")
    np.testing.assert_allclose(tj.vmap(own, in_axes=(0, None))(x, y).numpy(), 9 * X)
    np.testing.assert_allclose(tj.jvp(own, (x, y), (tj.constant(T), y))[1].numpy(), 9 * T + 18 * X)
    loop = tj.compile(lambda x: tj.fori_loop(0, 2, lambda i, carry: own(carry, 2.0), x), strict=True)
    np.testing.assert_allclose(loop(X).numpy(), 16 * X)
    assert "cubic(" in loop.source()


def test_own_rules_hold_against_differences() -> None:
    own = tj.primitive(
        lambda x, y: x * y * y, name="cubic", partials={"x": lambda y: y * y, "y": lambda x, y: 2 * x * y}
    )

    @tj.custom_gradient
    def exponential(x: Any) -> Any:
        y = tj.numpy_function(np.exp, x, shape=x.shape, dtype=x.dtype)
        return y, lambda ct: ct * y

    check_grads(own, (X, X + 1), order=2)
    check_grads(exponential, (X,), order=2)
    check_grads(lambda x: tj.fori_loop(0, 2, lambda _, c: 0.3 * exponential(c), x), (X,), order=2)
