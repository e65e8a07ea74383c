"""What derivatives are where there are two, and where there is none: kinks, ties, zeros, steps."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.gradients import check_gradients

INF, NAN = math.inf, math.nan
Function = Callable[[Any], Any]


def derivative(function: Function, at: Any, order: int = 1) -> np.ndarray | None:
    """The derivative of the sum of the results, of the given order, or None where it is not connected."""
    x = tj.constant(np.asarray(at, np.float64))

    def nth(remaining: int) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = function(x) if remaining == 1 else nth(remaining - 1)
        return tape.gradient(y, x)

    ct = nth(order)
    return None if ct is None else ct.numpy()


def check_slope(function: Function, at: Any, expected: Any, order: int = 1) -> None:
    found = derivative(function, at, order)
    assert found is not None, "not connected"
    np.testing.assert_array_equal(found, expected)


# Slopes at kinks


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_abs_and_relu_have_slope_0_at_0(zero: float) -> None:
    check_slope(tj.abs, [-2.0, zero, 2.0], [-1.0, 0.0, 1.0])
    check_slope(abs, [-2.0, zero, 2.0], [-1.0, 0.0, 1.0])
    check_slope(tj.relu, [-2.0, zero, 2.0], [0.0, 0.0, 1.0])
    check_slope(lambda x: tj.relu(x) + tj.abs(x), zero, 0.0)


def test_sign_is_connected_with_slope_0() -> None:
    check_slope(tj.sign, [-2.0, 0.0, 2.0], [0.0, 0.0, 0.0])
    check_slope(lambda x: x * tj.sign(x), [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0])


def test_the_second_derivative_of_abs_is_connected() -> None:
    check_slope(tj.abs, [-2.0, 0.0, 2.0], [0.0, 0.0, 0.0], order=2)
    check_slope(lambda x: tj.abs(x) ** 3, [-2.0, 0.0, 2.0], [12.0, 0.0, 12.0], order=2)


STEPS: dict[str, Function] = {
    "floor": tj.floor,
    "ceil": tj.ceil,
    "round": tj.round,
    "np.rint": np.rint,
    "argmax": lambda x: tj.argmax(x) * 1.0,
    "argmin": lambda x: tj.astype(tj.argmin(x), "float64"),
    "floor_divide": lambda x: x // 2.0,
    "greater": lambda x: tj.astype(x > 0, "float64"),
    "astype int": lambda x: tj.astype(tj.astype(x, "int64"), "float64"),
    "astype bool": lambda x: tj.astype(tj.astype(x, "bool"), "float64"),
    "an index": lambda x: tj.constant([1.0, 2.0])[tj.astype(x > 0, "int64")],
    "a condition": lambda x: tj.where(x > 0, 1.0, 2.0),
    "isnan": lambda x: tj.astype(tj.isnan(x), "float64"),
    "one_hot": lambda x: tj.one_hot(tj.argmax(x), 2),
    "stop_gradient": tj.stop_gradient,
    "shape": lambda x: tj.zeros_like(x) + tj.ones(x.shape),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_and_what_passes_through_an_integer_are_not_connected(name: str) -> None:
    assert derivative(STEPS[name], [-1.5, 2.5]) is None


def test_a_path_that_is_not_connected_adds_nothing_to_one_that_is() -> None:
    check_slope(lambda x: x - tj.floor(x), [-1.5, 2.5], [1.0, 1.0])
    check_slope(lambda x: x * tj.round(x), [-1.6, 2.4], [-2.0, 2.0])


def test_maximum_and_minimum_give_a_tie_to_the_first() -> None:
    x, y = tj.constant([1.0, 2.0, 0.0]), tj.constant([1.0, 1.0, 1.0])
    for function, by_x in ((tj.maximum, [1.0, 1.0, 0.0]), (tj.minimum, [1.0, 0.0, 1.0])):
        with tj.GradientTape() as tape:
            tape.watch([x, y])
            z = function(x, y)
        first, second = tape.gradient(z, [x, y])
        np.testing.assert_array_equal(first.numpy(), by_x)
        np.testing.assert_array_equal(second.numpy(), 1 - np.array(by_x))
        check_slope(lambda t, f=function: f(t, t), [1.0, 2.0], [1.0, 1.0])  # type: ignore[misc]
        check_slope(lambda t, f=function: f(t, 1.0), 1.0, 1.0)  # type: ignore[misc]
        check_slope(lambda t, f=function: f(1.0, t), 1.0, 0.0)  # type: ignore[misc]


def test_the_bounds_of_clip_count_as_inside() -> None:
    check_slope(lambda x: tj.clip(x, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0])
    check_slope(lambda x: tj.clip(x, 0.0), [-1.0, 0.0, 2.0], [0.0, 1.0, 1.0])
    check_slope(lambda x: tj.clip(x, None, 0.0), [-1.0, 0.0, 2.0], [1.0, 1.0, 0.0])
    check_slope(lambda x: tj.clip(x, 1, 1), [0.0, 1.0, 2.0], [0.0, 1.0, 0.0])
    check_slope(lambda x: tj.clip(x, -INF, INF), [-5.0, 5.0], [1.0, 1.0])


@pytest.mark.parametrize("function", [tj.max, tj.min])
def test_an_extreme_over_an_axis_shares_a_tie_equally(function: Any) -> None:
    sign = 1.0 if function is tj.max else -1.0
    check_slope(function, sign * np.array([2.0, 1.0, 2.0]), [0.5, 0.0, 0.5])
    check_slope(function, np.zeros((2, 2)), np.full((2, 2), 0.25))
    matrix = sign * np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 3.0]])
    check_slope(lambda x: function(x, axis=0), matrix, [[0.5, 0.0, 0.5], [0.5, 1.0, 0.5]])
    check_slope(lambda x: function(x, axis=1, keepdims=True), matrix, [[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]])
    check_slope(function, [sign * INF, sign * INF], [0.5, 0.5])
    check_slope(lambda x: function(x) ** 2, sign * np.array([2.0, 1.0, 2.0]), [1.0, 0.0, 1.0], order=2)


@pytest.mark.parametrize("zeros", [(), (0,), (1, 3), (0, 1, 2), (0, 1, 2, 3)])
def test_prod_is_exact_with_zeros_among_its_factors(zeros: tuple[int, ...]) -> None:
    factors = np.array([2.0, 3.0, 5.0, 7.0])
    factors[list(zeros)] = 0.0
    first = [np.prod(np.delete(factors, i)) for i in range(4)]
    second = [[0.0 if i == j else np.prod(np.delete(factors, [i, j])) for j in range(4)] for i in range(4)]
    check_slope(tj.prod, factors, first)
    x = tj.constant(factors)
    with tj.GradientTape() as outer:
        outer.watch(x)
        with tj.GradientTape() as inner:
            inner.watch(x)
            y = tj.prod(x)
        ct = inner.gradient(y, x)
    np.testing.assert_array_equal(outer.jacobian(ct, x).numpy(), second)
    check_gradients(tj.prod, [factors], order=3)


def test_the_slope_of_sqrt_at_0_is_inf() -> None:
    check_slope(tj.sqrt, [0.0, 4.0], [INF, 0.25])
    check_slope(lambda x: x**0.5, 0.0, INF)
    check_slope(lambda x: tj.power(x, tj.constant(0.5, "float64")), 0.0, INF)


def test_powers_at_0() -> None:
    check_slope(lambda x: x**0, 0.0, 0.0)
    check_slope(lambda x: x**1, 0.0, 1.0)
    check_slope(lambda x: x**2, 0.0, 0.0)
    check_slope(lambda x: x**2, 0.0, 2.0, order=2)
    check_slope(lambda x: x**3, 0.0, 6.0, order=3)
    check_slope(lambda x: x ** tj.constant(2.0, "float64"), 0.0, 2.0, order=2)
    check_slope(lambda x: tj.power(2.0, x), 0.0, math.log(2.0))


@pytest.mark.parametrize(
    "function",
    [lambda x: tj.sin(x) ** 2, lambda x: tj.square(tj.sin(x)), lambda x: tj.sin(x) * tj.sin(x)],
    ids=["power", "square", "product"],
)
def test_the_second_derivative_of_the_squared_sine_at_0_is_2(function: Function) -> None:
    """A cotangent that is zero by value must not absorb what it meets."""
    check_slope(function, 0.0, 0.0)
    check_slope(function, 0.0, 2.0, order=2)
    check_slope(function, 0.0, -8.0, order=4)


# NaN in, NaN out

ELEMENTWISE = (
    "abs sin cos tan exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal tanh sinh cosh asin acos atan erf "
    "sigmoid softplus relu"
).split()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_in_gives_a_nan_slope(name: str) -> None:
    function: Any = getattr(tj, name)
    assert np.isnan(function(tj.constant(NAN)).numpy())
    check_slope(function, NAN, NAN)
    check_slope(function, [NAN, 0.5], [NAN, derivative(function, 0.5)])


@pytest.mark.parametrize("function", [tj.maximum, tj.minimum])
def test_nan_among_two_operands(function: Any) -> None:
    for x, y in ((NAN, 1.0), (1.0, NAN), (NAN, NAN)):
        assert np.isnan(function(tj.constant(x), tj.constant(y)).numpy())
        check_slope(lambda t, y=y: function(t, y), x, NAN)  # type: ignore[misc]


@pytest.mark.parametrize("function", [tj.max, tj.min, tj.sum, tj.mean, tj.logsumexp, tj.var, tj.std])
def test_nan_among_the_elements_of_a_reduction(function: Any) -> None:
    assert np.isnan(function(tj.constant([NAN, 1.0])).numpy())
    if function not in (tj.sum, tj.mean):
        check_slope(function, [NAN, 1.0], [NAN, NAN])


def test_nan_in_clip() -> None:
    assert np.isnan(tj.clip(tj.constant(NAN), 0, 1).numpy())
    check_slope(lambda x: tj.clip(x, 0, 1), NAN, NAN)


@pytest.mark.parametrize("operation", [tj.maximum, tj.minimum])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_nan_operand_gives_nan_slopes_by_either_operand(operation: Any, compiled: bool) -> None:
    slopes = tj.grad(lambda x, y: tj.sum(operation(x, y)), argnums=(0, 1))
    run = tj.compile(slopes, strict=True) if compiled else slopes
    x, y = run(np.array([np.nan, 1.0, 2.0]), np.array([1.0, np.nan, 3.0]))
    larger = operation is tj.maximum
    np.testing.assert_array_equal(x.numpy(), [np.nan, np.nan, 0.0 if larger else 1.0])
    np.testing.assert_array_equal(y.numpy(), [np.nan, np.nan, 1.0 if larger else 0.0])
