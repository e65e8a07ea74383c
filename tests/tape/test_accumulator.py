"""`ForwardAccumulator`: tangents along with values, alone, around and inside tapes, of variables, under `compile`."""

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tapejit.primitive import current
from tests.tape.test_kinks import ELEMENTWISE, INF, NAN, STEPS, Function, derivative
from tests.tape.test_masks import GUARDED, POINTS

MODES = ("forward", "reverse")


def nth(function: Function, at: Any, modes: tuple[str, ...]) -> Any:
    """A derivative of the sum of the results by every element of `at`, each order in a mode of its own.

    The function must depend on each element by itself, so that one direction of ones tells all of them apart.
    """
    x = tj.constant(np.asarray(at, np.float64))

    def level(remaining: tuple[str, ...]) -> Any:
        if not remaining:
            return function(x)
        if remaining[0] == "forward":
            with tj.ForwardAccumulator(x, tj.ones_like(x)) as accumulator:
                y = level(remaining[1:])
            return accumulator.jvp(y, unconnected_gradients="zero")
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = level(remaining[1:])
        return tape.gradient(y, x, unconnected_gradients="zero")

    return level(modes).numpy()


def tangent(function: Function, at: Any, direction: Any = None) -> Any:
    x = tj.constant(np.asarray(at, np.float64))
    with tj.ForwardAccumulator(x, np.ones(x.shape) if direction is None else direction) as accumulator:
        y = function(x)
    found = accumulator.jvp(y)
    return None if found is None else found.numpy()


# What it gives


def test_the_tangent_is_the_jacobian_times_the_direction() -> None:
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(tangent(lambda x: tj.constant(a) @ x, [1.0, 2.0, 3.0], [1.0, 0.0, -1.0]), [-2, -2])
    np.testing.assert_allclose(tangent(tj.exp, [0.0, 1.0], [2.0, 3.0]), [2, 3 * np.e])


def test_primals_are_nests_of_tensors_and_variables() -> None:
    x, w = tj.constant(2.0), tj.Variable([1.0, 3.0])
    with tj.ForwardAccumulator({"x": x, "w": [w]}, {"x": 1.0, "w": [[0.0, 10.0]]}) as accumulator:
        outs = {"product": w * x, "other": tj.constant(1.0), "read": w.read_value()}
    found = accumulator.jvp(outs)
    assert found["product"].tolist() == [1.0, 23.0]
    assert found["other"] is None
    assert found["read"].tolist() == accumulator.jvp(w).tolist() == [0.0, 10.0]
    assert accumulator.jvp(x).item() == 1.0
    zeros = accumulator.jvp(outs, unconnected_gradients="zero")
    assert (zeros["other"].item(), zeros["other"].dtype) == (0.0, np.float32)


def test_what_was_computed_before_or_after_the_block_has_no_tangent() -> None:
    x = tj.constant(2.0)
    before = x * x
    with tj.ForwardAccumulator(x, 1.0) as accumulator:
        inside = before * x
    assert accumulator.jvp(before) is None
    assert accumulator.jvp(x * x) is None
    assert accumulator.jvp(inside).item() == 4.0  # of the second factor alone
    with accumulator:
        assert accumulator.jvp(inside * x).item() == 4.0 * 2.0 + 8.0


def test_integers_and_booleans_have_no_tangent() -> None:
    x = tj.constant([1.5, -2.5])
    with tj.ForwardAccumulator(x, [1.0, 1.0]) as accumulator:
        outs = [tj.argmax(x), x > 0, tj.astype(x, "int64"), tj.astype(tj.astype(x, "int64"), "float32")]
        float64 = tj.astype(x, "float64")
    assert accumulator.jvp(outs) == [None] * 4
    assert accumulator.jvp(outs, "zero")[0] is None
    assert accumulator.jvp(float64).dtype == np.float64


def test_a_call_of_an_accumulator_on_what_it_does_not_take() -> None:
    x, y = tj.constant([1.0, 2.0]), tj.constant(np.array([3.0]))
    w = tj.Variable(1.0)
    with pytest.raises(ValueError, match=r"primals\[1\] is a primal that was given before"):
        tj.ForwardAccumulator([x, x], [x, x])
    with pytest.raises(ValueError, match="given before"):
        tj.ForwardAccumulator([w, w], [1.0, 1.0])
    with pytest.raises(ShapeError, match=r"shape \(2,\), what is given for it \(3,\)"):
        tj.ForwardAccumulator(x, [1.0, 2.0, 3.0])
    with pytest.raises(DtypeError, match="float32, what is given for it float64"):
        tj.ForwardAccumulator(x, np.ones(2))
    with pytest.raises(ShapeError, match=r"the nest of the values: \[\*, \*\], got \*"):
        tj.ForwardAccumulator([x, y], x)
    with pytest.raises(DtypeError, match=r"primals is int64\[\], which is not differentiable"):
        tj.ForwardAccumulator(tj.constant(1), 1)
    with pytest.raises(TypeError, match="must be a tensor or a variable, got float"):
        tj.ForwardAccumulator(1.0, 1.0)
    accumulator = tj.ForwardAccumulator(x, x)
    with pytest.raises(TypeError, match="must be a tensor or a variable, got NoneType"):
        accumulator.jvp(None)
    with pytest.raises(ValueError, match="must be 'none' or 'zero'"):
        accumulator.jvp(x, unconnected_gradients="nought")


def test_it_is_entered_once_at_a_time() -> None:
    x = tj.constant(2.0)
    with tj.ForwardAccumulator(x, 1.0) as accumulator, pytest.raises(ValueError, match="active already"):
        accumulator.__enter__()
    assert current().tapes == ()
    with pytest.raises(ZeroDivisionError), accumulator:
        _ = 1 / 0
    assert current().tapes == ()
    assert current().forward == 0
    with accumulator:
        y = x * x
    assert accumulator.jvp(y).item() == 4.0


def test_other_threads_are_not_heard() -> None:
    x = tj.constant(2.0)
    found: list[Any] = []
    with tj.ForwardAccumulator(x, 1.0) as accumulator:
        thread = threading.Thread(target=lambda: found.append(x * x))
        thread.start()
        thread.join()
    assert accumulator.jvp(found) == [None]


def test_a_numpy_array_that_changes_later_changes_no_tangent() -> None:
    direction, factor, x = np.array([1.0, 2.0]), np.array([3.0, 4.0]), tj.constant(np.array([1.0, 1.0]))
    with tj.ForwardAccumulator(x, direction) as accumulator:
        y = x * factor
        direction[:] = factor[:] = 0
        z = y + 0.0
    assert accumulator.jvp([y, z])[1].tolist() == accumulator.jvp(x * 1.0 if False else y).tolist() == [3.0, 8.0]


# Variables


def test_a_variable_that_is_assigned_keeps_its_tangent_as_for_tapes() -> None:
    """A read is the variable, whatever the value was made of; so it is for tapes, and for TensorFlow."""
    w, x = tj.Variable(3.0), tj.constant(2.0)

    def program() -> Any:
        first = w * w
        w.assign(x * 5.0)
        return first + w * x

    with tj.ForwardAccumulator(w, 1.0) as accumulator:
        y = program()
    assert accumulator.jvp(y).item() == 6.0 + 2.0
    w.assign(3.0)
    with tj.GradientTape() as tape:
        y = program()
    assert tape.gradient(y, w).item() == 8.0
    w.assign(3.0)
    with tj.ForwardAccumulator(x, 1.0) as accumulator:
        y = program()
        w.assign_add(x)
    assert accumulator.jvp(y).item() == 10.0  # the factor; not what the variable was made of
    assert accumulator.jvp(w.read_value()) is None


# Kinks


@pytest.mark.parametrize("name", GUARDED)
def test_the_branch_not_taken_does_not_leak(name: str) -> None:
    function, expected = GUARDED[name]
    for order, values in enumerate(expected, 1):
        for modes in itertools.product(MODES, repeat=min(order, 3)):
            found = nth(function, POINTS, modes)
            np.testing.assert_allclose(found, values, rtol=1e-14, atol=0, err_msg=f"{modes}")


BEHIND: dict[str, Function] = {
    "where": lambda x: tj.sqrt(tj.where(x > 0, x, 0)),
    "where of two": lambda x: tj.sqrt(tj.where(x > 0, tj.where(x > 1, x, 0), tj.where(x < -9, x, 0))),
    "maximum": lambda x: tj.sqrt(tj.maximum(0, x)),
    "minimum": lambda x: tj.log(-tj.minimum(0, -x)),
    "relu": lambda x: tj.log(tj.relu(x) * 2),
    "a chain": lambda x: tj.sqrt(tj.exp(tj.log(tj.where(x > 0, x, 0)) * 3) + 0.0),
    "a sum": lambda x: tj.sqrt(tj.where(x > 0, x, 0) + tj.where(x > 9, x, 0)),
    "a pad": lambda x: tj.sqrt(tj.pad(x * x + 1, (1, 2))),
    "concat": lambda x: tj.sqrt(tj.concat([x * x + 1, tj.zeros(2, "float64")])),
    "concat of two": lambda x: tj.sqrt(tj.concat([x * x + 1, tj.where(x > 0, x, 0), tj.zeros(2, "float64")])),
    "a view": lambda x: tj.sqrt(tj.flip(tj.broadcast_to(tj.where(x > 0, x, 0)[:, None], (3, 2)))),
    "a reduction": lambda x: tj.sqrt(tj.sum(tj.where(x > 0, x, 0)[:, None] ** 2, axis=1)),
    "a conversion": lambda x: tj.sqrt(tj.astype(tj.where(x > 0, x, 0), "float32")),
    "a product": lambda x: 1 / tj.where(x > 0, x, 0) * tj.where(x > 0, x, 0),
    "a mask that is broadcast": lambda x: tj.sqrt(
        tj.flip(tj.where(tj.constant([True, False]), tj.stack([x * x + 1, x], axis=1), 0))
    ),
    "broadcasting": lambda x: tj.sqrt(tj.where(x > 0, x, 0)[:, None] * tj.ones((1, 2), "float64")),
}


@pytest.mark.parametrize("name", BEHIND)
def test_what_follows_a_selection_has_the_tangents_of_reverse_mode(name: str) -> None:
    """Sums over all results, as a tape gives them for each element."""
    function = BEHIND[name]
    expected = derivative(function, POINTS)
    assert expected is not None
    for place in range(3):
        found = tangent(function, POINTS, np.eye(3)[place])
        np.testing.assert_allclose(np.sum(found), expected[place], rtol=1e-6, err_msg=f"element {place}")


@pytest.mark.parametrize("name", STEPS)
def test_steps_and_what_passes_through_an_integer_are_not_connected(name: str) -> None:
    assert tangent(STEPS[name], [-1.5, 2.5]) is None


KINKS: dict[str, tuple[Function, Any]] = {
    "abs": (tj.abs, [-2.0, 0.0, -0.0, 2.0]),
    "relu": (tj.relu, [-2.0, 0.0, 2.0, NAN]),
    "sign": (lambda x: x * tj.sign(x), [-2.0, 0.0, 2.0]),
    "maximum": (lambda x: tj.maximum(x, 1.0) + tj.maximum(1.0, 3 * x), [0.0, 1.0, 2.0, NAN]),
    "minimum": (lambda x: tj.minimum(x, 1.0) + tj.minimum(1.0, 3 * x), [0.0, 1.0, 2.0, NAN]),
    "maximum of one": (lambda x: tj.maximum(x, x), [1.0, 2.0]),
    "clip": (lambda x: tj.clip(x, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0, NAN]),
    "sqrt": (tj.sqrt, [0.0, 4.0]),
    "powers": (lambda x: x**0 + x**1 + x**2 + x**0.5, [0.0, 1.0]),
    "a power of a tensor": (lambda x: x ** tj.constant(2.0, "float64"), [0.0, 1.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_those_of_reverse_mode(name: str) -> None:
    function, at = KINKS[name]
    np.testing.assert_array_equal(tangent(function, at), derivative(function, at))


REDUCTIONS = [tj.max, tj.min, tj.prod, tj.logsumexp, tj.std, tj.sort, tj.cumsum, tj.softmax, tj.log_softmax]


@pytest.mark.parametrize("function", REDUCTIONS)
def test_ties_and_zeros_of_reductions_are_those_of_reverse_mode(function: Function) -> None:
    points = [[2.0, 1.0, 2.0, 1.0], [0.0, 3.0, 0.0, 1.0], [0.0, 2.0, 3.0, 1.0]]
    if function in (tj.max, tj.min, tj.logsumexp):
        points += [[-INF, -INF, -INF, -INF], [NAN, 1.0, 1.0, 1.0]]
    for at in points:
        weights = np.arange(1.0, 5.0)
        x = tj.constant(np.asarray(at))
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        ct = tape.gradient(y, x, tj.constant(weights[: max(1, y.size)].reshape(y.shape))).numpy()
        for place in range(4):
            found = tangent(function, at, np.eye(4)[place])
            total = np.sum(found * weights[: max(1, y.size)].reshape(y.shape))
            np.testing.assert_allclose(total, ct[place], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_in_gives_a_nan_tangent(name: str) -> None:
    function: Any = getattr(tj, name)
    np.testing.assert_array_equal(tangent(function, [NAN, 0.5]), [NAN, derivative(function, 0.5)])


# Nesting


@pytest.mark.parametrize("modes", list(itertools.product(MODES, repeat=3)), ids="-".join)
def test_all_nestings_agree(modes: tuple[str, ...]) -> None:
    at = np.array([0.3, 1.2])
    np.testing.assert_allclose(
        nth(lambda x: tj.sin(x) * tj.exp(x), at, modes), 2 * np.exp(at) * (np.cos(at) - np.sin(at))
    )
    np.testing.assert_allclose(nth(lambda x: x**5 / 60, at, modes), at**2, rtol=1e-13)


def test_the_product_of_a_hessian_and_a_vector() -> None:
    x, v = tj.constant(np.array([1.0, 2.0, 3.0])), np.array([1.0, -1.0, 2.0])
    hessian = np.array([[0.0, 3.0, 2.0], [3.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    with tj.ForwardAccumulator(x, v) as accumulator:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.prod(x)
        ct = tape.gradient(y, x)
    np.testing.assert_allclose(accumulator.jvp(ct).numpy(), hessian @ v)
    with tj.GradientTape() as tape, tj.ForwardAccumulator(x, v) as accumulator:
        tape.watch(x)
        y = tj.prod(x)
    np.testing.assert_allclose(tape.gradient(accumulator.jvp(y), x).numpy(), hessian @ v)


def test_a_tape_inside_hears_the_tangents_after_the_values_that_they_are_made_of() -> None:
    """The tangent of exp names its result, which the tape must know of by then."""
    x = tj.constant(np.array(0.5))
    with tj.ForwardAccumulator(x, 1.0) as accumulator, tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.exp(tj.tanh(x))
        slope = accumulator.jvp(y)
    t = np.tanh(0.5)
    np.testing.assert_allclose(tape.gradient(slope, x).numpy(), np.exp(t) * ((1 - t * t) ** 2 - 2 * t * (1 - t * t)))


def test_accumulators_with_primals_of_their_own() -> None:
    x, y = tj.constant(np.array(2.0)), tj.constant(np.array(3.0))
    with tj.ForwardAccumulator(x, 1.0) as outer:
        with tj.ForwardAccumulator(y, 1.0) as inner:
            z = x**2 * y**3
        by_y = inner.jvp(z)
    assert by_y.item() == 4 * 27.0
    assert outer.jvp(z).item() == 4 * 27.0
    assert outer.jvp(by_y).item() == 4 * 27.0
    assert inner.jvp(by_y) is None  # it does not hear itself
    assert inner.jvp(outer.jvp(z)) is None  # nor does it hear those around it


def test_a_direction_that_depends_on_what_is_watched() -> None:
    x = tj.constant(np.array([1.0, 2.0]))
    with tj.GradientTape() as tape:
        tape.watch(x)
        with tj.ForwardAccumulator(x, x * x) as accumulator:
            y = tj.sum(x**3)
        slope = accumulator.jvp(y)  # 3 x^4
    np.testing.assert_allclose(tape.gradient(slope, x).numpy(), 12 * np.array([1.0, 8.0]))


def test_tapes_that_are_left_in_another_order() -> None:
    x = tj.constant(np.array(2.0))

    @contextmanager
    def accumulating() -> Iterator[Any]:
        with tj.ForwardAccumulator(x, 1.0) as accumulator:
            yield accumulator

    tape = tj.GradientTape(persistent=True)
    manager = accumulating()
    accumulator = manager.__enter__()
    tape.__enter__()
    tape.watch(x)
    with tape.stop_recording():
        assert len(current().tapes) == current().forward == 1
    y = x * x
    manager.__exit__(None, None, None)
    assert (len(current().tapes), current().forward) == (1, 0)
    z = y * x
    tape.__exit__(None, None, None)
    assert (tape.gradient(z, x).item(), accumulator.jvp(y).item(), accumulator.jvp(z)) == (12.0, 4.0, None)


# Memory


@pytest.mark.usefixtures("without_collector")
def test_tangents_live_as_long_as_their_values() -> None:
    x = tj.constant(np.ones(5))
    with tj.ForwardAccumulator(x, np.ones(5)) as accumulator:
        y = x * 2.0
        reference = weakref.ref(accumulator.jvp(y))
        assert reference() is not None
        y = y * 3.0
        assert reference() is None
        kept = weakref.ref(accumulator.jvp(y))
        for _ in range(100):
            y = y * 1.0
        assert kept() is None
        assert len(accumulator._tangents._known) == 2
    known = weakref.ref(accumulator._tangents._known)
    del accumulator
    assert known() is None


# Compiled


def test_inside_a_step_values_and_tangents_are_one_loop() -> None:
    @tj.compile(strict=True)
    def step(x: Any, v: Any) -> Any:
        with tj.ForwardAccumulator(x, v) as accumulator:
            y = tj.sin(x) * tj.exp(-x) + tj.where(x > 0, tj.sqrt(x), 0)
        return y, accumulator.jvp(y)

    x, v = np.array([-1.0, 0.0, 4.0]), np.array([1.0, 2.0, 3.0])
    y, slope = step(x, v)
    eager_y, eager_slope = step.eager(x, v)
    np.testing.assert_allclose(y.numpy(), eager_y.numpy(), rtol=1e-15)
    np.testing.assert_allclose(slope.numpy(), eager_slope.numpy(), rtol=1e-14)
    assert step.report()["loop_nests"] == 1
    assert step.report()["intermediate_bytes"] == 0


def test_inside_a_step_across_assignments() -> None:
    w = tj.Variable(np.array([1.0, 2.0]))

    def step(x: Any) -> Any:
        with tj.ForwardAccumulator(w, tj.ones_like(w)) as accumulator:
            first = w * w
            w.assign(x + first)
            y = first + w * x
        return accumulator.jvp(y)

    compiled = tj.compile(step, strict=True)
    x = np.array([3.0, 5.0])
    found = compiled(x).numpy()
    after = w.numpy()
    w.assign([1.0, 2.0])
    np.testing.assert_allclose(found, step(x).numpy())
    np.testing.assert_allclose(after, w.numpy())
    np.testing.assert_allclose(found, [5.0, 9.0])


@pytest.fixture(scope="module")
def compiled() -> Callable[..., Any]:
    w = tj.Variable(np.array([0.5, -1.0, 2.0]), name="w")

    def step(x: Any, n: Any) -> Any:
        h = tj.tanh(x * w)
        return {"sum": tj.sum(h * x), "sorted": tj.sort(h), "integer": tj.argmax(h) + n}

    made = tj.compile(step, strict=True)
    made.w = w
    return made  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "modes", [("forward",), ("forward", "reverse"), ("reverse", "forward"), ("forward", "forward")], ids="-".join
)
def test_around_a_step(compiled: Any, modes: tuple[str, ...]) -> None:
    at = np.array([0.3, 1.2, -0.7])
    for function in (
        lambda call: lambda x: tj.sum(call(x, 1)["sorted"] ** 2),
        lambda call: lambda x: call(x, 1)["sum"],
    ):
        np.testing.assert_allclose(
            nth(function(compiled), at, modes), nth(function(compiled.eager), at, modes), rtol=1e-12
        )


def test_around_a_step_with_respect_to_a_variable(compiled: Any) -> None:
    found = []
    for call in (compiled, compiled.eager):
        with tj.ForwardAccumulator(compiled.w, np.array([1.0, 2.0, 3.0])) as accumulator:
            out = call(np.array([0.3, 1.2, -0.7]), 1)
        tangents = accumulator.jvp(out)
        assert tangents.pop("integer") is None
        found.append([tangents["sum"].numpy(), *tangents["sorted"].numpy()])
    np.testing.assert_allclose(*found, rtol=1e-13)


def test_tangents_pass_a_step_in_one_kernel() -> None:
    @tj.compile(strict=True)
    def step(x: Any) -> Any:
        return tj.exp(tj.sin(x)), tj.argmax(x)

    x = tj.constant(np.array([0.5, 1.0]))
    for _ in range(2):
        with tj.ForwardAccumulator(x, [1.0, 2.0]) as accumulator:
            y, place = step(x)
    np.testing.assert_allclose(accumulator.jvp(y).numpy(), np.exp(np.sin(x)) * np.cos(x) * [1.0, 2.0])
    assert accumulator.jvp(place) is None
    assert [kernel.name for kernel in step.differentiated()] == ["step_with_tangents"]
    assert step.differentiated()[0].source().count("exp(") == 1
    with tj.GradientTape() as tape, tj.ForwardAccumulator(x, [1.0, 2.0]) as accumulator:
        tape.watch(x)
        y, place = step(x)
    np.testing.assert_allclose(accumulator.jvp(y).numpy(), np.exp(np.sin(x)) * np.cos(x) * [1.0, 2.0])
    names = ["step_with_residuals", "step_tangent_with_residuals", "step_with_tangents"]
    assert [kernel.name for kernel in step.differentiated()] == names
    assert "exp(" not in step.differentiated()[1].source()  # the result is there


def test_a_loop_without_a_reverse_has_tangents() -> None:
    def growth(x: Any) -> Any:
        return tj.while_loop(lambda x: x < 5.0, lambda x: 1.5 * x + tj.sin(x), x)

    x, step = np.array(0.3), tj.compile(growth, strict=True)
    value, slope = (each.numpy() for each in tj.jvp(growth, (x,), (np.array(2.0),)))
    found = tj.jvp(step, (x,), (np.array(2.0),))
    np.testing.assert_allclose([each.numpy() for each in found], [value, slope], rtol=1e-14)
    along = tj.linearize(step, x)[1]
    np.testing.assert_allclose(along(np.array(1.0)).numpy(), slope / 2, rtol=1e-14)


def test_a_step_that_assigns_assigns_once() -> None:
    w = tj.Variable(np.array([1.0, 2.0]))

    @tj.compile(strict=True)
    def step(x: Any) -> Any:
        y = w * x
        w.assign_add(x)
        return y + w * w

    x = tj.constant(np.array([3.0, 5.0]))
    for times in (1, 2):
        with tj.ForwardAccumulator([x, w], [np.ones(2), np.ones(2)]) as accumulator:
            y = step(x)
        after = np.array([1.0, 2.0]) + times * x.numpy()
        np.testing.assert_array_equal(w.numpy(), after)
        before = after - x.numpy()
        np.testing.assert_allclose(accumulator.jvp(y).numpy(), before + x.numpy() + 2 * after)


def test_masks_pass_steps() -> None:
    selected, root = tj.compile(lambda x: tj.where(x > 0, x, 0)), tj.compile(tj.sqrt)
    assert tangent(lambda x: root(selected(x)), POINTS).tolist() == [0.0, 0.0, 0.25]


def test_nothing_is_left_behind() -> None:
    gc.collect()
    assert current().tapes == ()
    assert current().forward == 0
