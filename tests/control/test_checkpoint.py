"""checkpoint, and the policies of scan: the same gradients, in less memory."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import TapejitError
from tapejit.graph.connections import connections
from tapejit.graph_function.reverse import with_residuals
from tests.agreement import trace
from tests.control.test_scans import XS, H, W, recurrence
from tests.control.ways import assert_same, check, check_gradients, check_gradients_outside, gradients, in_numpy

X = np.linspace(0.1, 1.0, 4)
SQUARE = np.random.default_rng(2).normal(size=(4, 4))


def network(wrap: Callable[[Any], Any]) -> Callable[..., Any]:
    scale = tj.Variable(SQUARE[0])

    def layer(x: Any, w: Any) -> Any:
        y = tj.tanh(w @ tj.exp(x)) * scale
        return y, tj.sum(y)

    def program(x: Any, w: Any) -> Any:
        first, one = wrap(layer)(x, w)
        second, two = wrap(lambda v, w=w: layer(v, w))(first)
        return tj.sum(second**2) + one * two

    return program


def test_gradients_are_those_of_the_function() -> None:
    program, plain = network(tj.checkpoint), network(lambda f: f)
    sources = tj.constant(X), tj.constant(SQUARE)
    for order in (1, 2, 3):
        assert_same(gradients(program, order)(*sources), gradients(plain, order)(*sources))
    check_gradients(program, X, SQUARE)
    check_gradients_outside(program, X, SQUARE)


def test_variables_are_read_as_they_were_and_assigned_once() -> None:
    def made(wrap: Callable[[Any], Any]) -> tuple[list[tj.Variable], Callable[..., Any]]:
        w, count = tj.Variable(X), tj.Variable(0.0)

        def function(x: Any) -> Any:
            count.assign_add(1.0)
            y = tj.sin(w * x) * tj.astype(count.read_value(), "float64")
            w.assign(w * 0.5 + x)
            return y + w * y

        def program(x: Any) -> Any:
            with tj.GradientTape(persistent=True) as tape:
                tape.watch(x)
                y = tj.sum(wrap(function)(x) ** 2)
                w.assign(tj.zeros_like(w))
            return y, tape.gradient(y, [x, w, count]), tape.gradient(y, x)

        return [w, count], program

    variables, plain = made(lambda f: f)
    expected = plain(tj.constant(X))
    for compiled in (False, True):
        others, program = made(tj.checkpoint)
        found = tj.compile(program, strict=True)(X) if compiled else program(tj.constant(X))
        assert_same(found, expected)
        for one, other in zip(others, variables, strict=True):
            np.testing.assert_array_equal(one, other)


def test_draws_are_the_same_again() -> None:
    def program(generator: Any, wrap: Callable[[Any], Any]) -> Callable[..., Any]:
        def function(x: Any) -> Any:
            return tj.sin(x * generator.normal((4,), dtype="float64")) + generator.uniform((4,), dtype="float64") * x

        return gradients(lambda x: tj.sum(wrap(wrap(function))(x) ** 2), 1)

    one, other, third = (tj.random.Generator(8) for _ in range(3))
    expected = program(one, lambda f: f)(tj.constant(X))
    assert_same(program(other, tj.checkpoint)(tj.constant(X)), expected)
    assert_same(tj.compile(program(third, tj.checkpoint), strict=True)(X), expected)
    np.testing.assert_array_equal(other.get_state(), one.get_state())
    np.testing.assert_array_equal(third.get_state(), one.get_state())


def test_arguments_and_results_of_all_kinds() -> None:
    @tj.checkpoint
    def function(x: Any, *, places: dict[str, Any], factor: float, name: str) -> Any:
        assert name == "name"
        return {"same": x, "twice": (x, x * factor), "number": 1, "none": None, "rest": x[places["first"]]}

    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        found = function(x, places={"first": 1}, factor=2.0, name="name")
        y = tj.sum(found["same"] + 3 * found["twice"][0] + found["twice"][1]) + found["rest"]
    assert found["none"] is None
    assert found["number"].dtype == np.int64
    np.testing.assert_array_equal(tape.gradient(y, x), [6.0, 7.0, 6.0, 6.0])
    array = X.copy()
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.sum(tj.checkpoint(lambda v, a: v * v * a)(x, array))
    array[:] = 0
    np.testing.assert_allclose(tape.gradient(y, x), 2 * X * X, rtol=1e-12)


def test_what_is_not_connected_has_no_gradient() -> None:
    def program(x: Any, w: Any) -> Any:
        y, _ = tj.checkpoint(lambda: (tj.floor(x) + w[0], x))()
        return tj.sum(y)

    found = check(gradients(program, 1), X, SQUARE)
    assert [each is not None for each in found] == [False, True]


def test_making_variables_is_refused() -> None:
    for run in (lambda f: f(tj.constant(X)), lambda f: tj.compile(f)(X)):
        with pytest.raises(TapejitError, match=r"checkpoint.* makes a Variable; make it outside"):
            run(gradients(lambda x: tj.sum(tj.checkpoint(lambda v: v * tj.Variable(1.0))(x)), 1))


def deep(wrap: Callable[[Any], Any]) -> Callable[..., Any]:
    """Three blocks, each of three layers that a gradient needs the values of."""
    weights = tj.constant(np.random.default_rng(1).normal(size=(64, 64)) / 8)

    def block(x: Any) -> Any:
        for _ in range(3):
            x = tj.tanh(x @ weights)
        return x

    def program(x: Any) -> Any:
        for _ in range(3):
            x = wrap(block)(x)
        return tj.sum(x**2)

    return program


def test_a_compiled_step_keeps_less() -> None:
    x = np.random.default_rng(3).normal(size=(64, 64))
    workspace, kept, found = [], [], []
    for wrap in (tj.checkpoint, lambda f: f):
        workspace.append(trace(gradients(deep(wrap), 1), [x]).emitted().layout.workspace)
        graph = trace(deep(wrap), [x]).raw
        followed, _, _ = with_residuals(graph, connections(graph), 1)
        kept.append(sum(node.aval.nbytes for node in followed.outputs[1:]))
        found.append(in_numpy(gradients(deep(wrap), 1), x))
    assert_same(found[0], found[1])
    assert workspace[0] < 0.6 * workspace[1]
    assert kept[0] < 0.4 * kept[1]


# Scans


@pytest.mark.parametrize("policy", ["all", "sqrt", 1, 2, 5, 7])
@pytest.mark.parametrize("reverse", [False, True])
def test_policies_give_the_same(policy: Any, reverse: bool) -> None:
    sources = tj.constant(XS), tj.constant(W), tj.constant(H)
    for order in (1, 2):
        expected = gradients(lambda *args: recurrence(*args, reverse=reverse), order)(*sources)
        function = gradients(lambda *args: recurrence(*args, reverse=reverse, checkpoint=policy), order)
        assert_same(function(*sources), expected)
        for found in in_numpy(function, XS, W, H):
            assert_same(found, expected)


def test_policies_with_effects() -> None:
    def program(policy: Any) -> Callable[..., Any]:
        generator, total = tj.random.Generator(4), tj.Variable(0.0, dtype="float64")

        def step(carry: Any, x: Any) -> Any:
            total.assign_add(tj.sum(x))
            carry = tj.sin(carry + generator.normal((3,), dtype="float64") * x) * total
            return carry, carry

        def run(xs: Any, h: Any) -> Any:
            return tj.sum(tj.scan(step, h, xs, checkpoint=policy)[1] ** 2)

        return lambda xs, h: (gradients(run, 1)(xs, h), total * 1, generator.state * 1)

    expected = program("carries")(tj.constant(XS), tj.constant(H))
    for policy in ("all", 2):
        assert_same(program(policy)(tj.constant(XS), tj.constant(H)), expected)
    assert_same(tj.compile(program(2), strict=True)(XS, H), expected)


def test_a_wrong_policy() -> None:
    for policy in ("some", 0, True, -2):
        with pytest.raises(ValueError, match="checkpoint is 'carries', 'all', 'sqrt' or a number of steps"):
            tj.scan(lambda c, x: (c, x), 0.0, XS, checkpoint=policy)


def long(policy: Any, length: int) -> Callable[..., Any]:
    def program(x: Any, w: Any) -> Any:
        carry, _ = tj.scan(lambda c, _: (tj.sin(tj.exp(-c * c) * w + c), None), x, length=length, checkpoint=policy)
        return tj.sum(carry)

    return gradients(program, 1)


def test_memory_of_compiled_scans() -> None:
    sizes = {}
    for policy in ("all", "carries", "sqrt"):
        sizes[policy] = trace(long(policy, 100_000), [X, X + 1]).emitted().layout.workspace
    assert sizes["carries"] < sizes["all"]
    assert sizes["sqrt"] < 0.03 * sizes["all"]
    found = [tj.compile(long(policy, 100_000), strict=True)(X, X + 1) for policy in ("carries", "sqrt")]
    assert_same(found[1], found[0])


def test_memory_of_eager_scans() -> None:
    x = tj.constant(np.linspace(0, 1, 2000))

    def peak(policy: Any, length: int) -> int:
        program = long(policy, length)
        program(x, x)
        gc.collect()
        tracemalloc.start()
        program(x, x)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak("sqrt", 64), peak("sqrt", 256)
    assert many < 2.6 * few
    assert many < 0.2 * peak("carries", 256)
