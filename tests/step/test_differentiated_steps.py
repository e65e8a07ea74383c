"""Tapes around compiled steps: the same gradients as eagerly, of any order, from two more kernels.

What the steps keep for the backward pass is tested in tests/graph_function.
"""

import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import TapejitWarning
from tapejit.kernel.kernels import compilations

Function = Callable[..., Any]


def strict(function: Function) -> Any:
    return tj.compile(function, strict=True)


def leaves(nest: Any) -> list[Any]:
    if isinstance(nest, (list, tuple)):
        return [leaf for item in nest for leaf in leaves(item)]
    return [nest]


def assert_same(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Equal numbers, dtypes and shapes, and None in the same places."""
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        assert (one is None) == (other is None), (found, expected)
        if one is not None:
            numbers, wanted = np.asarray(one), np.asarray(other)
            assert (numbers.shape, numbers.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(numbers, wanted, rtol=tolerance, atol=tolerance)


def check_orders(function: Function, sources: Sequence[Any], order: int = 3, tolerance: float = 1e-9) -> None:
    """Hold a step against its eager self, in its results and in gradients to an order, each summed for the next."""
    step = strict(function)

    def derivatives(call: Function) -> list[Any]:
        tapes = [tj.GradientTape(persistent=True) for _ in range(order)]
        found = []
        for tape in tapes:
            tape.__enter__()
            tape.watch(sources)
        value: Any = call(*[source for source in sources if not isinstance(source, tj.Variable)])
        found.append(value)
        for tape in reversed(tapes):
            tape.__exit__(None, None, None)
            target = [each for each in leaves(value) if each is not None and each.dtype.kind == "f"]
            value = tape.gradient(target, list(sources)) if target else [None] * len(sources)
            found.append(value)
        return found

    for found, expected in zip(derivatives(step), derivatives(step.eager), strict=True):
        assert_same(found, expected, tolerance)


def spread(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 1.7, shape)


# The same as eagerly

X, Y, M = spread(4), spread(4, seed=1), spread(4, 3, seed=2)


def twice(x: Any) -> Any:
    h = tj.exp(x)
    return h, h, h * x


PROGRAMS: dict[str, tuple[Function, tuple[np.ndarray, ...]]] = {
    "product": (lambda x, y: x * y, (X, Y)),
    "exp of a product": (lambda x, m: tj.exp(x @ m), (X, M)),
    "sin and cos": (lambda x: tj.sin(x) * tj.cos(x), (X,)),
    "a result that is a partial derivative": (lambda x: (tj.sin(x), tj.cos(x)), (X,)),
    "chain": (lambda x: tj.tanh(tj.exp(tj.sin(x) + 1) / 3), (X,)),
    "reduction": (lambda x, m: tj.sum(tj.logsumexp(m * 2, axis=0)) + tj.mean(x) ** 2, (X, M)),
    "softmax": (lambda m: tj.softmax(m, axis=1) * m, (M,)),
    "several results": (lambda x, y: (x * y, tj.exp(x), tj.sum(y) ** 3), (X, Y)),
    "results that are inputs": (lambda x, y: (x, y * 2, x), (X, Y)),
    "one value twice": (twice, (X,)),
    "a literal": (lambda x: (tj.ones(3, "float64"), x**2), (X,)),
    "views": (lambda m: tj.reshape(tj.matrix_transpose(tj.exp(m)), (2, 6))[::-1, 1:] ** 2, (M,)),
    "joined": (lambda x, y: tj.concat([tj.exp(x), y * y, tj.stack([x, y])[0]]) ** 2, (X, Y)),
    "cumsum": (lambda x: tj.cumsum(x * x) ** 2, (X,)),
    "gathered": (lambda m: m[np.array([2, 0, 2])] ** 3, (M,)),
    "where": (lambda x, y: tj.where(x > 1, tj.log(x) * y, y * y * x), (X, Y)),
    "maximum": (lambda x, y: tj.maximum(x, y) ** 3 + tj.relu(x - 1) * y, (X, Y)),
    "product of factors": (lambda x: tj.prod(x) * x, (X,)),
    "max over an axis": (lambda m: tj.max(m, axis=1) ** 2 * tj.argmax(m, axis=1), (M,)),
    "power": (lambda x, y: x**y + x**3, (X, Y)),
    "unconnected": (lambda x, y: (tj.floor(x) * 2, tj.stop_gradient(y) * 3.0), (X, Y)),
    "half connected": (lambda x, y: tj.stop_gradient(tj.exp(x)) * x + tj.round(y), (X, Y)),
    "float32": (lambda x: tj.exp(x) ** 2, (X.astype(np.float32),)),
    "two dtypes": (lambda x, y: tj.exp(x) * y, (X.astype(np.float32), Y)),
    "no axes": (lambda s: tj.sin(s) ** 2, (np.array(0.7),)),
    "no elements": (lambda v: tj.exp(v) * 2, (np.zeros(0),)),
    "linear algebra": (lambda a, b: tj.linalg.solve(a, b) * tj.linalg.slogdet(a)[1], (M[:3] + 3 * np.eye(3), M[1:])),
    "sorted": (lambda x: tj.sort(x) ** 2 * np.arange(4), (X,)),
    "matrix products": (lambda a, b: tj.tanh(a @ b) @ tj.matrix_transpose(b), (spread(5, 6), spread(6, 7))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_three_orders_agree_with_eager_tapes(name: str) -> None:
    function, arrays = PROGRAMS[name]
    tolerance = 2e-5 if any(array.dtype == np.float32 for array in arrays) else 1e-9
    check_orders(function, [tj.constant(array) for array in arrays], tolerance=tolerance)


def test_a_step_under_a_tape_is_differentiated_through():
    w = tj.Variable([1.0, 2.0])
    step = strict(lambda x: tj.sum(w * x * x))
    step(np.ones(2, np.float32))
    x = tj.constant([3.0, 4.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    gx, gw = tape.gradient(y, [x, w])
    np.testing.assert_allclose(gx.numpy(), [6.0, 16.0])
    np.testing.assert_allclose(gw.numpy(), [9.0, 16.0])


def test_a_step_is_differentiated_to_any_order():
    step = strict(lambda x: tj.sin(x) * x)
    x = tj.constant(np.linspace(-2, 2, 5))
    with tj.GradientTape() as third, tj.GradientTape() as second, tj.GradientTape() as first:
        for tape in (first, second, third):
            tape.watch(x)
        y = step(x)
        with first.stop_recording():
            pass
        dy = first.gradient(y, x)
        ddy = second.gradient(dy, x)
    dddy = third.gradient(ddy, x)
    numbers = x.numpy()
    np.testing.assert_allclose(dy.numpy(), np.cos(numbers) * numbers + np.sin(numbers), atol=1e-14)
    np.testing.assert_allclose(ddy.numpy(), 2 * np.cos(numbers) - numbers * np.sin(numbers), atol=1e-14)
    np.testing.assert_allclose(dddy.numpy(), -3 * np.sin(numbers) - numbers * np.cos(numbers), atol=1e-13)


def test_a_persistent_tape_differentiates_its_own_gradients():
    """One tape records the step and the gradient, so that residuals get cotangents."""
    m, x = tj.constant(spread(4, 3)), tj.constant(spread(2, 4))

    def derivatives(step: Function) -> list[Any]:
        with tj.GradientTape(persistent=True) as tape:
            tape.watch([m, x])
            y = step(x, m)
            gradients = tape.gradient(y, [x, m])
            seconds = tape.gradient(gradients, [x, m])
            thirds = tape.gradient(seconds, [x, m])
        return [gradients, seconds, thirds, tape.gradient([y, seconds], [x, m])]

    step = strict(lambda x, m: tj.tanh(tj.exp(x @ m)) * tj.sin(tj.sum(m)))
    assert_same(derivatives(step), derivatives(step.eager))


def test_gradients_through_a_step_reach_captures_variables_and_several_results():
    w, captured, other = tj.Variable([1.0, 2.0]), tj.constant([3.0, 4.0]), tj.constant([5.0, 6.0])
    data = np.array([7.0, 8.0], np.float32)

    @strict
    def step(x, scale):
        return {"product": x * w * captured * other, "sum": tj.sum(x * data) * scale, "count": tj.sum(x > 0)}

    x = tj.constant([1.0, -1.0])
    results = []
    for function in (step.eager, step):
        with tj.GradientTape(persistent=True) as tape:
            tape.watch([x, captured, other])
            out = function(x, 2.0)
            target = tj.sum(out["product"] ** 2) + out["sum"]
        results.append(tape.gradient(target, [x, w, captured, other]))
        with pytest.warns(TapejitWarning, match="int64 is not differentiable"):
            assert tape.gradient(out["count"], x) is None
    assert_same(*results, tolerance=1e-6)


def test_variables_agree_to_the_third_order():
    w, b = tj.Variable(spread(3, 2)), tj.Variable(spread(2, seed=3))
    check_orders(lambda x: tj.sum(tj.sigmoid(x @ w + b) ** 2), [tj.constant(spread(4, 3)), w, b])


# What is connected


def test_what_is_not_connected_is_none_and_not_followed():
    w = tj.Variable(2.0)
    step = strict(lambda x, y: (x * 2, y * w, tj.floor(x), x))
    x, y = tj.constant(3.0), tj.constant(5.0)
    for function in (step, step.eager):
        with tj.GradientTape(persistent=True) as tape:
            tape.watch(x)
            first, second, third, same = function(x, y)
            after = first * 3, second * 3, third * 3
        assert_same(tape.gradient(first, [x, y, w]), [np.float32(2), None, None])
        assert_same(tape.gradient(second, [x, y, w]), [None, None, np.float32(5)])
        assert_same(tape.gradient(third, [x, y, w]), [None, None, None])
        assert_same(tape.gradient(same, [x, w]), [np.float32(1), None])
        assert_same(tape.gradient(after[2], third), None)  # nothing that is watched leads there
        assert_same(tape.gradient(after[0], first), np.float32(3))
        assert_same(tape.gradient([after, first], x), np.float32(8))
        assert_same(tape.gradient(second, x, unconnected_gradients="zero"), np.float32(0))
        assert_same(tape.gradient(first, first), np.float32(1))


def test_unused_results_are_left_out_of_the_backward_pass():
    step = strict(lambda x: (tj.exp(x), tj.sin(x), tj.cumsum(x)))
    x = tj.constant(spread(3))
    with tj.GradientTape() as tape:
        tape.watch(x)
        first, _, _ = step(x)
    np.testing.assert_allclose(tape.gradient(first, x).numpy(), np.exp(x.numpy()))
    assert "cos" not in gradient_source(step)


def test_an_input_that_nobody_asks_for_costs_nothing():
    step = strict(lambda x, w: tj.exp(x @ w))
    x, w = tj.constant(spread(30, 40)), tj.constant(spread(40, 50) / 50)
    with tj.GradientTape(persistent=True) as tape:
        tape.watch([x, w])
        y = step(x, w)
    expected = np.exp(x.numpy() @ w.numpy())
    np.testing.assert_allclose(tape.gradient(y, w).numpy(), x.numpy().T @ expected)
    (gradient,) = gradients_of(step)
    assert gradient["matrix_products"] == 1
    np.testing.assert_allclose(tape.gradient(y, [x, w])[0].numpy(), expected @ w.numpy().T)
    assert [each["matrix_products"] for each in gradients_of(step)] == [1, 2]


def test_a_mask_passes_in_and_out_of_a_step():
    """`where` does not leak from the branch not taken, through a step and into what came before it."""
    root = strict(lambda x: tj.sqrt(x) * 2)
    x = tj.constant(np.array([-1.0, 0.0, 4.0]))

    def through(function: Function) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.where(x > 0, function(tj.log(x)), 0.0)
        return tape.gradient(y, x)

    assert_same(through(root), through(root.eager))
    assert np.isfinite(through(root).numpy()).all()

    selected = strict(lambda x: tj.where(x > 0, tj.sqrt(x), 0))
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        h = tj.log(tj.maximum(x, 0.0))
        y, z = selected(h), selected(x)
    with tj.GradientTape() as eager_tape:
        eager_tape.watch(x)
        expected = selected.eager(tj.log(tj.maximum(x, 0.0)))
    assert_same(tape.gradient(y, x), eager_tape.gradient(expected, x))
    assert_same(tape.gradient(z, x), np.array([0, 0, 0.25]))


def test_two_cotangents_of_which_one_is_masked():
    step = strict(lambda x: (tj.sqrt(x), x * 2))
    x = tj.constant(np.array([0.0, 4.0]))

    def gradient(function: Function) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            h = x * 1.0
            root, double = function(h)
            y = tj.where(x > 0, root, 0.0) + double
        return tape.gradient(y, x)

    assert_same(gradient(step), gradient(step.eager))


# Options of tapes


def test_output_gradients_and_lists_of_targets():
    step = strict(lambda x, w: (tj.exp(x) * w, tj.sum(x * w)))
    x, w = tj.constant(spread(3)), tj.constant(spread(3, seed=1))
    weights = [np.array([1.0, -2.0, 0.5]), np.array(3.0)]

    def gradients(function: Function) -> Any:
        with tj.GradientTape(persistent=True) as tape:
            tape.watch([x, w])
            out = function(x, w)
        return [
            tape.gradient(list(out), [x, w], output_gradients=weights),
            tape.gradient([out[0], out[0]], [x, w]),
            tape.gradient(out[0], [w, x, w], output_gradients=weights[0]),
            tape.jacobian(out[0], [x, w]),
            tape.batch_jacobian(out[0][:, None], x[:, None]),
        ]

    assert_same(gradients(step), gradients(step.eager))


def test_a_step_called_twice_and_with_its_own_result():
    w = tj.Variable(spread(3))
    step = strict(lambda x: tj.sin(x) * w)
    x = tj.constant(spread(3, seed=5))

    def gradients(function: Function) -> Any:
        with tj.GradientTape() as outer:
            outer.watch(x)
            with tj.GradientTape() as inner:
                inner.watch(x)
                y = function(function(x)) + function(x * 2)
            first = inner.gradient(y, [x, w])
        return first, outer.gradient(first, [x, w])

    assert_same(gradients(step), gradients(step.eager))


def test_one_tensor_as_two_arguments_and_as_a_capture():
    x = tj.constant(spread(3))
    step = strict(lambda a, b: a * tj.exp(b) * x)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x, x)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), (2 + x.numpy()) * x.numpy() * np.exp(x.numpy()))


def test_nested_tapes_may_follow_different_inputs():
    w = tj.Variable(spread(3))
    step = strict(lambda x: tj.exp(x) * tj.sin(w) * x)
    x = tj.constant(spread(3, seed=1))

    def mixed(function: Function) -> Any:
        with tj.GradientTape() as outer, tj.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(x)
            y = function(x)
            first = inner.gradient(y, x)
        return first, outer.gradient(first, w)

    assert_same(mixed(step), mixed(step.eager))


def test_a_step_in_a_step_and_a_tape_inside_and_outside():
    w = tj.Variable(spread(2, 2))
    inner = strict(lambda x: tj.tanh(x @ w))

    @strict
    def step(x):
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.sum(inner(inner(x)) ** 2)
        return y, tape.gradient(y, [x, w])

    x = tj.constant(spread(2, 2, seed=1))

    def gradients(function: Function) -> Any:
        with tj.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y, (by_x, by_w) = function(x)
        return tape.gradient(y, [x, w]), tape.gradient(by_x, [x, w]), tape.gradient(by_w, [x, w])

    assert_same(gradients(step), gradients(step.eager))


def test_a_gradient_through_a_step_may_be_taken_inside_another_step():
    w = tj.Variable(spread(3))
    step = strict(lambda x: tj.exp(x) * w)
    x = tj.constant(spread(3, seed=1))
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = step(x)
    inside = strict(lambda scale: tape.gradient(y, [x, w])[0] * scale)
    np.testing.assert_allclose(inside(2.0).numpy(), 2 * y.numpy())


def test_stop_recording_and_a_tape_that_watches_nothing_run_the_plain_kernel():
    w = tj.Variable(spread(3))
    frozen = tj.Variable(spread(3), trainable=False)
    step = strict(lambda x, n: tj.exp(x * w) * frozen * n)
    x, n = tj.constant(spread(3)), np.arange(3)
    expected = step(x, n).numpy()
    with tj.GradientTape() as tape:
        tape.watch(x)
        with tape.stop_recording():
            silent = step(x, n)
        with tj.GradientTape(watch_accessed_variables=False) as other:
            other.watch(frozen)
            tape.reset()
            with tape.stop_recording():
                unrelated = strict(lambda x: tj.exp(x))(x)
    np.testing.assert_array_equal(silent.numpy(), expected)
    assert other.gradient(unrelated, frozen) is None
    with tj.GradientTape(watch_accessed_variables=False):
        step(x, n)
    assert step.report()["differentiated"] == []
    with tj.GradientTape() as tape:
        y = step(x, n)
    assert [each["kernel"] for each in step.report()["differentiated"]] == [f"{step.__name__}_with_residuals"]
    assert tape.gradient(y, w) is not None


def test_python_numbers_keep_their_precision_and_are_no_inputs_of_gradients():
    scale = 0.1
    step = strict(lambda x, factor: x * factor * scale)
    x = tj.constant(np.array([3.0, 7.0]))
    plain = step(x, 0.1).numpy()
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x, 0.1)
    np.testing.assert_array_equal(y.numpy(), plain)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [0.1 * 0.1] * 2)


def test_a_changed_python_number_needs_no_other_kernel():
    settings = {"rate": 0.5}
    step = strict(lambda x: tj.exp(x) * settings["rate"])
    x = tj.constant(spread(3))

    def gradient() -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = step(x)
        return tape.gradient(y, x).numpy()

    first, built = gradient(), compilations()
    settings["rate"] = 1.5
    np.testing.assert_allclose(gradient(), 3 * first)
    assert compilations() == built


# Effects and held values


def test_a_step_under_a_tape_has_its_effects_once():
    w = tj.Variable(2.0)

    @strict
    def step(x):
        y = w * x
        w.assign_add(1.0)
        return y

    x = tj.constant(3.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    gx, gw = tape.gradient(y, [x, w])
    assert (float(y), float(gx), float(gw), float(w)) == (6.0, 2.0, 3.0, 3.0)


def test_a_variable_that_was_assigned_is_the_variable_when_it_is_read():
    """A tape follows a read to the variable, not to what had been assigned, inside a step as outside."""

    def make() -> tuple[Function, list[Any]]:
        v, w = tj.Variable(2.0, name="v"), tj.Variable(5.0, name="w")

        def step(x):
            before = w * x
            w.assign(x * v * 3.0)
            middle = w * w
            w.assign_add(v)
            v.assign_sub(1.0)
            return before, middle, tj.exp(w / 10) * v, w.read_value()

        return step, [v, w]

    x = tj.constant(3.0)
    results = []
    for compiled in (True, False):
        function, variables = make()
        step = strict(function) if compiled else function
        with tj.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tj.GradientTape(persistent=True) as tape:
                tape.watch(x)
                out = step(x)
            gradients = [tape.gradient(y, [x, *variables]) for y in out]
        seconds = [outer.gradient(y, [x, *variables]) for y in gradients]
        results.append([out, gradients, seconds, [variable.numpy() for variable in variables]])
        assert tape.watched_variables() == tuple(variables)
    assert_same(*results, tolerance=1e-6)


def test_only_variables_that_are_read_are_watched():
    w, count, unused = tj.Variable(2.0), tj.Variable(0.0), tj.Variable(1.0)

    @strict
    def step(x):
        count.assign_add(1.0)
        unused.read_value()
        return w * x

    for function in (step, step.eager):
        with tj.GradientTape() as tape:
            function(3.0)
        assert tape.watched_variables() == (w, unused)
    assert float(count) == 2.0


def test_a_writable_argument_may_change_after_the_call():
    step = strict(lambda x, y: tj.exp(x * y) + y)
    x, y = tj.constant(spread(3)), spread(3, seed=1)
    kept = y.copy()
    with tj.GradientTape() as tape:
        tape.watch(x)
        z = step(x, y)
    y[:] = -1
    np.testing.assert_allclose(tape.gradient(z, x).numpy(), np.exp(x.numpy() * kept) * kept)


def test_a_captured_array_may_change_after_the_call():
    data = spread(2000)
    kept = data.copy()
    step = strict(lambda x: x * data * x)
    x = tj.constant(spread(2000, seed=1))
    with tj.GradientTape() as tape:
        tape.watch(x)
        z = step(x)
    data[:] = 0
    np.testing.assert_allclose(tape.gradient(z, x).numpy(), 2 * x.numpy() * kept)
    np.testing.assert_array_equal(step(x).numpy(), 0)


def test_a_variable_may_be_assigned_after_and_in_the_call():
    w = tj.Variable(spread(2000))
    before = w.numpy().copy()

    @strict
    def step(x):
        y = tj.sum(w * w * x)
        w.assign_sub(0.5 * w)
        return y

    x = tj.constant(spread(2000, seed=1))
    with tj.GradientTape() as tape:
        y = step(x)
        step(x)  # whose update must not reach what the first call kept
    w.assign(tj.zeros_like(w))
    np.testing.assert_allclose(tape.gradient(y, w).numpy(), 2 * before * x.numpy())


def test_a_variables_value_as_argument_of_a_step_that_assigns_it():
    w = tj.Variable(spread(2000))
    before = w.numpy()

    @strict
    def step(x):
        w.assign(w * 2)
        return tj.sum(x * x * x)

    with tj.GradientTape() as tape:
        x = w.read_value()
        y = step(x)
    np.testing.assert_allclose(tape.gradient(y, w).numpy(), 3 * before**2)
    np.testing.assert_array_equal(w.numpy(), 2 * before)


def test_the_backward_pass_sees_the_forward_passs_draw():
    generator, other = tj.random.Generator(1), tj.random.Generator(1)
    mean, width = tj.Variable(0.5), tj.Variable([2.0, 3.0])
    step = strict(lambda g: tj.sum(tj.exp(generator.normal((4, 2), mean, width)) * g))
    g = tj.constant(2.0)
    for _ in range(2):
        with tj.GradientTape() as tape:
            tape.watch(g)
            y = step(g)
        with tj.GradientTape() as eager_tape:
            eager_tape.watch(g)
            expected = tj.sum(tj.exp(other.normal((4, 2), mean, width)) * g)
        found, wanted = tape.gradient(y, [mean, width, g]), eager_tape.gradient(expected, [mean, width, g])
        assert_same(found, wanted, tolerance=1e-4)
    np.testing.assert_array_equal(generator.get_state(), other.get_state())


def test_dropped_elements_are_the_same_in_both_passes():
    generator = tj.random.Generator(3)
    step = strict(lambda x: tj.where(generator.uniform(x.shape) < 0.5, x * 2, 0.0))
    x = tj.constant(np.ones(1000, np.float32))
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = step(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), y.numpy())


def test_a_call_that_fails_leaves_no_record_and_no_effect():
    w = tj.Variable(spread(5))

    @strict
    def step(indices):
        w.assign(w * 2)
        return tj.take(w, indices, axis=0) ** 2

    step(np.array([1, 2]))
    before = w.numpy().copy()
    with tj.GradientTape() as tape:
        with pytest.raises(IndexError):
            step(np.array([1, 9]))
        np.testing.assert_array_equal(w.numpy(), before)
        y = step(np.array([0, 3]))
    np.testing.assert_allclose(tape.gradient(y, w).numpy(), [4 * before[0], 0, 0, 4 * before[3], 0])


# What it costs


def differentiated(step: Any) -> list[Any]:
    return step.report()["differentiated"]


def gradients_of(step: Any) -> list[Any]:
    return [each for each in differentiated(step) if each["kernel"].endswith("_gradient")]


def forward_source(step: Any) -> str:
    (source,) = [kernel.source() for kernel in step.differentiated() if kernel.name.endswith("_with_residuals")]
    return source


def gradient_source(step: Any) -> str:
    (source,) = [kernel.source() for kernel in step.differentiated() if kernel.name.endswith("_gradient")]
    return source


def calls(source: str, function: str) -> int:
    return source.count(f"{function}(")


def test_expensive_work_is_done_once():
    w = [tj.Variable(spread(*shape) / 20) for shape in ((40, 50), (50, 30))]

    @strict
    def loss(x, y):
        h = tj.exp(x @ w[0])
        p = tj.tanh(h @ w[1])
        return tj.mean((p - y) ** 2)

    x, y = spread(20, 40), spread(20, 30)
    with tj.GradientTape() as tape:
        value = loss(x, y)
    found = tape.gradient(value, w)
    with tj.GradientTape() as tape:
        value = loss.eager(x, y)
    assert_same(found, tape.gradient(value, w))
    forward, backward = forward_source(loss), gradient_source(loss)
    assert [calls(forward, name) for name in ("dot_float64", "exp", "tanh")] == [2, 1, 1]
    assert [calls(backward, name) for name in ("dot_float64", "exp", "tanh")] == [3, 0, 0]
    kept, gradient = differentiated(loss)
    assert (kept["matrix_products"], gradient["matrix_products"]) == (2, 3)
    assert kept["residual_bytes"] == 8 * 20 * (50 + 30)
    assert gradient["residual_bytes"] == 0


def test_an_opaque_call_runs_in_the_forward_pass_alone():
    called = []

    def table(x: np.ndarray) -> np.ndarray:
        called.append(x)
        return np.floor(x) + 0.5

    @tj.compile
    def step(x):
        h = tj.exp(x)
        return tj.sum(h * tj.numpy_function(table, h, shape=3, dtype="float64"))

    x = tj.constant(spread(3))
    step(x)
    called.clear()
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = step(x)
        first = tape.gradient(y, x)
    second = tape.gradient(first, x)
    expected = np.exp(x.numpy()) * (np.floor(np.exp(x.numpy())) + 0.5)
    np.testing.assert_allclose(first.numpy(), expected)
    np.testing.assert_allclose(second.numpy(), expected)
    assert len(called) == 1


def test_kernels_are_built_when_they_are_needed_and_once():
    step = tj.compile(lambda x: tj.exp(x) * 1.25, strict=True, cache=False)
    x = tj.constant(spread(37))
    step(x)
    built = compilations()
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = step(x)
        assert compilations() == built + 1
        step(x)
    assert compilations() == built + 1
    tape.gradient(y, x)
    assert compilations() == built + 2
    tape.gradient(y, x)
    assert compilations() == built + 2


PROGRAM = """
import json, sys
import numpy as np
import tapejit as tj

w = tj.Variable(np.linspace(0.1, 1.0, 12).reshape(4, 3))

@tj.compile(strict=True)
def loss(x):
    return tj.sum(tj.tanh(x @ w) ** 2)

x = tj.constant(np.ones((2, 4)))
with tj.GradientTape() as outer:
    with tj.GradientTape() as tape:
        y = loss(x)
    first = tape.gradient(y, w)
second = outer.gradient(first, w)
print(json.dumps({
    "numba": "numba" in sys.modules,
    "kernels": [[each["kernel"], each["from_cache"]] for each in loss.report()["differentiated"]],
    "values": [first.tolist(), second.tolist()],
}))
"""


def test_a_second_process_finds_the_kernels(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path / "kernels"), "PYTHONPATH": str(root)}
    results = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    first, second = results
    assert [result["numba"] for result in results] == [True, False]
    names = ["loss_with_residuals", "loss_gradient", "loss_gradient_with_residuals", "loss_gradient_gradient"]
    assert sorted(first["kernels"]) == sorted([name, 0] for name in names)
    assert sorted(second["kernels"]) == sorted([name, 1] for name in names)
    assert first["values"] == second["values"]


def test_a_long_chain_is_differentiated():
    def step(x):
        y = x
        for _ in range(40):
            y = y * x * 0.5 + 0.25 * x
        return tj.sum(y)

    check_orders(step, [tj.constant(spread(3))], order=2)


def is_gone(reference: "weakref.ref[Any]") -> bool:
    return reference() is None


def test_what_a_call_kept_is_gone_with_the_records(without_collector: None):
    step = strict(lambda x, w: tj.sum(tj.exp(x @ w)))
    x, w = spread(50, 40) / 40, tj.Variable(spread(40, 30))
    for persistent in (False, True):
        with tj.GradientTape(persistent=persistent) as tape:
            y = step(x, w)
        kept = [weakref.ref(value) for _, _, _, residuals, _ in tape._recording.records for value in residuals]
        assert {reference().shape for reference in kept} == {(50, 40), (50, 30)}
        tape.gradient(y, w)
        assert all(map(is_gone, kept)) != persistent
        del tape
        assert all(map(is_gone, kept))


def test_no_more_is_kept_than_the_rules_need(without_collector: None):
    x, y = tj.constant(spread(50)), tj.constant(spread(50))
    step = strict(lambda x, y: x * 2.0 + y)
    with tj.GradientTape() as tape:
        tape.watch([x, y])
        z = step(x, y)
    references = [weakref.ref(x), weakref.ref(y), weakref.ref(z)]
    ((_, _, _, residuals, _),) = tape._recording.records
    assert [value.shape for value in residuals] == [()]  # the factor
    del x, y
    assert list(map(is_gone, references)) == [True, True, False]


def test_a_dropped_step_is_gone_after_gradients():
    w = tj.Variable(1.0)
    step = tj.compile(lambda x: tj.exp(w * x))
    with tj.GradientTape() as tape:
        y = step(2.0)
    tape.gradient(y, w)
    alive = weakref.ref(step)
    del step, tape, y
    gc.collect()
    assert alive() is None


def test_many_threads_differentiate_a_step():
    w = tj.Variable(np.full(2000, 2.0))
    step = strict(lambda x: (w * x * x, w.assign_add(tj.ones_like(w)))[0])
    wrong = []

    def work() -> None:
        for _ in range(50):
            x = tj.constant(np.full(2000, 3.0))
            with tj.GradientTape() as tape:
                tape.watch(x)
                y = step(x)
            by_x = tape.gradient(y, x)
            if not np.array_equal(by_x.numpy(), y.numpy() * 2 / 3):
                wrong.append(by_x)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    np.testing.assert_array_equal(w.numpy(), 2.0 + 200)
