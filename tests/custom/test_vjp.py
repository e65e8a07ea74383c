"""`custom_vjp`: reverse rules in two parts."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.custom.test_gradient import assert_all_close, derivatives, error_of
from tests.gradients import check_gradients

X = np.array([0.5, 1.0, 2.0])


def test_a_rule_that_calls_its_own_function() -> None:
    """As many of them do: the result of `fwd` is the function's, whose second derivative is by the rule again."""

    @tj.custom_vjp
    def exponential(x: Any) -> Any:
        return tj.numpy_function(np.exp, x, shape=x.shape, dtype=x.dtype)

    def fwd(x: Any) -> Any:
        y = exponential(x)
        return y, y

    exponential.defvjp(fwd, lambda y, ct: (ct * y,))
    expected = [np.exp(X)] * 3
    np.testing.assert_allclose(exponential(X).numpy(), np.exp(X))
    assert_all_close(derivatives(exponential, tj.constant(X)), expected)
    assert_all_close(derivatives(tj.compile(exponential, strict=True), tj.constant(X)), expected)
    assert_all_close(tj.compile(lambda x: derivatives(exponential, x), strict=True)(X), expected)
    check_gradients(exponential, [X], order=3, tolerance=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_nests_and_static_arguments(compiled: bool) -> None:
    def scaled(power: int, values: Any, weight: Any) -> Any:
        return {"power": values["x"] ** power, "weighted": weight * values["x"]}

    custom = tj.custom_vjp(scaled, nondiff_argnums=(0,))
    custom.defvjp(
        lambda power, values, weight: (scaled(power, values, weight), (values["x"], weight)),
        lambda power, kept, ct: (
            {"x": ct["power"] * power + ct["weighted"] * kept[1]},
            tj.sum(ct["weighted"] * kept[0]),
        ),
    )

    def function(x: Any, weight: Any) -> Any:
        return custom(3, {"x": x}, weight)

    call = tj.compile(function, strict=True) if compiled else function
    x, weight = tj.constant(X), tj.constant(2.0, dtype="float64")
    with tj.GradientTape() as tape:
        tape.watch([x, weight])
        out = call(x, weight)
    by_x, by_weight = tape.gradient(out, [x, weight])
    np.testing.assert_allclose(by_x.numpy(), [5, 5, 5])
    np.testing.assert_allclose(by_weight.numpy(), X.sum())


def test_what_is_wrong() -> None:
    function = tj.custom_vjp(lambda x: x)
    x = tj.constant(X)

    def gradient() -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    assert "has no rule" in error_of(gradient)
    function.defvjp(lambda x: x, lambda residuals, ct: ct)
    assert "(result, residuals)" in error_of(gradient)
    function.defvjp(lambda x: (x, None), lambda residuals, ct: (ct, ct))
    assert "a tuple of 2" in error_of(gradient)
    function.defvjp(lambda x: (x, None), lambda residuals, ct: ct)  # alone, which is plain enough
    assert gradient().tolist() == [1, 1, 1]
