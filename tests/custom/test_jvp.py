"""`custom_jvp`: forward rules, which reverse mode transposes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import errors
from tests.custom.test_gradient import assert_all_close, derivatives, error_of
from tests.gradients import check_gradients

X = np.array([0.5, 1.0, 2.0])


def logarithm() -> Any:
    @tj.custom_jvp
    def log(x: Any) -> Any:
        return tj.numpy_function(np.log, x, shape=x.shape, dtype=x.dtype)

    @log.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return log(x), t / x

    return log


EXPECTED = [np.log(X), 1 / X, -1 / X**2]


def test_values_and_derivatives() -> None:
    log = logarithm()
    assert_all_close(derivatives(log, tj.constant(X)), EXPECTED)
    assert_all_close(derivatives(tj.compile(log, strict=True), tj.constant(X)), EXPECTED)
    assert_all_close(tj.compile(lambda x: derivatives(log, x), strict=True)(X), EXPECTED)
    check_gradients(log, [X], order=3, tolerance=1e-5)


def test_a_rule_that_uses_its_own_result() -> None:
    @tj.custom_jvp
    def exponential(x: Any) -> Any:
        return tj.stop_gradient(tj.exp(x))

    exponential.defjvps(lambda t, result, x: t * result)
    expected = [np.exp(X)] * 3
    assert_all_close(derivatives(exponential, tj.constant(X)), expected)
    assert_all_close(derivatives(tj.compile(exponential, strict=True), tj.constant(X)), expected)
    check_gradients(exponential, [X], order=3, tolerance=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_partials(compiled: bool) -> None:
    @tj.custom_jvp
    def function(x: Any, n: Any, y: Any) -> Any:
        return x * n + y

    function.defjvps(lambda t, result, x, n, y: 10 * t * n, None, lambda t, result, x, n, y: -t)
    call = tj.compile(function, strict=True) if compiled else function
    x, y, n = tj.constant(X), tj.constant(X), tj.constant([1, 2, 3])
    with tj.GradientTape() as tape:
        tape.watch([x, y])
        z = call(x, n, y)
    assert [each.tolist() for each in tape.gradient(z, [x, y])] == [[10, 20, 30], [-1, -1, -1]]


@pytest.mark.parametrize("compiled", [False, True])
def test_static_arguments_and_nests(compiled: bool) -> None:
    def applied(function: Callable[[Any], Any], pair: Any) -> Any:
        return {"sum": function(pair[0]) + pair[1], "first": pair[0]}

    custom = tj.custom_jvp(applied, nondiff_argnums=0)

    @custom.defjvp
    def rule(function: Callable[[Any], Any], primals: Any, tangents: Any) -> Any:
        ((x, y),), ((by_x, by_y),) = primals, tangents
        return applied(function, (x, y)), {"sum": 5 * by_x + by_y, "first": None}

    call = tj.compile(lambda x, y: custom(tj.exp, (x, y)), strict=True) if compiled else None
    x, y = tj.constant(X), tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch([x, y])
        out = call(x, y) if call else custom(tj.exp, (x, y))
    np.testing.assert_allclose(out["sum"].numpy(), np.exp(X) + X)
    assert [each.tolist() for each in tape.gradient(out, [x, y])] == [[5, 5, 5], [1, 1, 1]]


def test_a_matrix_product() -> None:
    @tj.custom_jvp
    def product(a: Any, b: Any) -> Any:
        return tj.numpy_function(np.matmul, a, b, shape=(a.shape[0], b.shape[1]), dtype=a.dtype)

    product.defjvps(lambda t, out, a, b: t @ b, lambda t, out, a, b: a @ t)
    rng = np.random.default_rng(0)
    check_gradients(product, [rng.normal(size=(2, 3)), rng.normal(size=(3, 2))], order=2)


@pytest.mark.parametrize("compiled", [False, True])
def test_partials_get_the_result(compiled: bool) -> None:
    """The function is not called again for it."""
    calls = []

    def counted(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return np.exp(x)

    @tj.custom_jvp
    def exponential(x: Any) -> Any:
        return {"y": tj.numpy_function(counted, x, shape=x.shape, dtype=x.dtype)}

    exponential.defjvps(lambda t, result, x: {"y": t * result["y"]})
    function = lambda x: derivatives(lambda x: exponential(x)["y"], x)  # noqa: E731
    call = tj.compile(function, strict=True) if compiled else function
    assert_all_close(call(tj.constant(X)), [np.exp(X)] * 3)
    assert calls == [(3,)]


def test_inside_it_tapes_hear_nothing() -> None:
    """The memory of an iteration is free again once it is over."""

    @tj.custom_jvp
    def iterated(x: Any) -> Any:
        for _ in range(50):
            x = tj.cos(x)
        return x

    iterated.defjvps(lambda t, out, x: 0 * t)
    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        iterated(x)
    assert len(tape._recording.records) == 1


def test_what_is_wrong() -> None:
    x = tj.constant(X)

    def gradient(rule: Any) -> Callable[[], Any]:
        @tj.custom_jvp
        def function(x: Any) -> Any:
            return 2 * x

        if rule is not None:
            function.defjvp(rule)

        def call() -> Any:
            with tj.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return call

    assert "has no rule" in error_of(gradient(None))
    assert "(result, tangent)" in error_of(gradient(lambda primals, tangents: tangents[0]))
    assert "(), not (3,)" in error_of(gradient(lambda primals, tangents: (primals[0], tj.sum(tangents[0]))))
    assert "not 1 tangent" in error_of(gradient(lambda primals, tangents: (primals[0], [tangents[0]] * 2)))
    w = tj.Variable(1.0, name="weight")
    function = tj.custom_jvp(lambda x: w * x)
    function.defjvps(lambda t, out, x: t)
    with tj.GradientTape(), pytest.raises(errors.RuleError, match="reads weight"):
        function(X)
    with pytest.raises(errors.RuleError, match="counts positions"):
        tj.custom_jvp(lambda x: x, nondiff_argnums=-1)
    static = tj.custom_jvp(lambda x: x, nondiff_argnums=1)
    static.defjvp(lambda *_: None)
    with tj.GradientTape(), pytest.raises(errors.RuleError, match="of 1 arguments"):
        static(X)
