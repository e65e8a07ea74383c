"""`custom_gradient`: TensorFlow's semantics, eagerly, in compiled steps, and through compiled steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import errors
from tests.gradients import check_gradients

X = np.array([0.5, -1.0, 2.0])
SIGMOID = 1 / (1 + np.exp(-X))


@tj.custom_gradient
def log1pexp(x: Any) -> Any:
    e = tj.exp(x)

    def grad(upstream: Any) -> Any:
        return upstream * (1 - 1 / (1 + e))

    return tj.log(1 + e), grad


def derivatives(function: Callable[..., Any], x: Any) -> list[Any]:
    """Value, gradient and second derivative of the sum."""
    with tj.GradientTape() as outer:
        outer.watch(x)
        with tj.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        first = inner.gradient(y, x)
    return [y, first, outer.gradient(first, x)]


def assert_all_close(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-12)


EXPECTED = [np.log1p(np.exp(X)), SIGMOID, SIGMOID * (1 - SIGMOID)]


def test_the_example_of_tensorflow_is_stable() -> None:
    x = tj.constant(100.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = log1pexp(x)
    assert tape.gradient(y, x).item() == 1.0  # nan without the rule


def test_values_and_derivatives_eagerly() -> None:
    assert_all_close(derivatives(log1pexp, tj.constant(X)), EXPECTED)


def test_a_step_that_takes_the_derivatives() -> None:
    step = tj.compile(lambda x: derivatives(log1pexp, x), strict=True)
    assert_all_close(step(tj.constant(X)), EXPECTED)
    assert step.report()["loop_nests"] == 1


def test_a_step_that_is_differentiated_from_outside() -> None:
    step = tj.compile(log1pexp, strict=True)
    assert_all_close(derivatives(step, tj.constant(X)), EXPECTED)
    assert "1 + e" not in step.source()  # nothing but the function itself
    assert step.report()["loop_nests"] == 1


def test_without_a_tape_it_is_the_function() -> None:
    assert_all_close([log1pexp(X)], EXPECTED[:1])
    assert_all_close([log1pexp(x=tj.constant(X))], EXPECTED[:1])


@tj.custom_gradient
def rounded(x: Any) -> Any:
    return tj.round(x), lambda upstream: upstream


@pytest.mark.parametrize("compiled", [False, True])
def test_a_straight_through_estimator(compiled: bool) -> None:
    def loss(x: Any) -> Any:
        return tj.sum(rounded(x * 3) ** 2)

    function = tj.compile(loss, strict=True) if compiled else loss
    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), 2 * np.round(3 * X) * 3)


@tj.custom_gradient
def clip_gradient(x: Any, limit: float) -> Any:
    return x, lambda upstream: (tj.clip(upstream, -limit, limit), None)


@pytest.mark.parametrize("compiled", [False, True])
def test_clipping_a_gradient(compiled: bool) -> None:
    def loss(x: Any) -> Any:
        return tj.sum(clip_gradient(x, 0.75) ** 2)

    function = tj.compile(loss, strict=True) if compiled else loss
    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), np.clip(2 * X, -0.75, 0.75))


def test_a_rule_that_uses_its_own_function() -> None:
    """It is the exponential function to any order, also compiled, where the rule is traced."""

    @tj.custom_gradient
    def exponential(x: Any) -> Any:
        return tj.stop_gradient(tj.exp(x)), lambda upstream: upstream * exponential(x)

    expected = [np.exp(X)] * 3
    assert_all_close(derivatives(exponential, tj.constant(X)), expected)
    assert_all_close(derivatives(tj.compile(exponential, strict=True), tj.constant(X)), expected)
    assert_all_close(tj.compile(lambda x: derivatives(exponential, x), strict=True)(tj.constant(X)), expected)
    check_gradients(exponential, [X], order=3, tolerance=1e-5)


def test_nests_of_arguments_and_results() -> None:
    @tj.custom_gradient
    def function(pair: Any, scale: Any, how: str) -> Any:
        assert how == "plainly"
        x, y = pair["x"], pair["y"]

        def grad(of_product: Any, of_sum: Any) -> Any:
            return {"x": of_product * y * scale, "y": of_product * x * scale + of_sum}, None, None

        return (x * y * scale, tj.sum(y)), grad

    x, y = tj.constant(X), tj.constant(X + 3)
    with tj.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        product, total = function({"y": y, "x": x}, 2.0, "plainly")
    np.testing.assert_allclose(tape.gradient(product, x).numpy(), 2 * (X + 3))
    np.testing.assert_allclose(tape.gradient([product, total], y).numpy(), 2 * X + 1)
    assert tape.gradient(total, x).tolist() == [0, 0, 0]  # zeros come in where nothing depends on a result
    assert function({"y": y, "x": x}, 2.0, "plainly")[0].shape == (3,)


def test_none_is_not_connected() -> None:
    @tj.custom_gradient
    def function(x: Any, y: Any) -> Any:
        return x * y, lambda upstream: (upstream * y, None)

    for call in (function, tj.compile(function, strict=True)):
        x, y = tj.constant(X), tj.constant(X)
        with tj.GradientTape() as tape:
            tape.watch([x, y])
            z = call(x, y)
        by_x, by_y = tape.gradient(z, [x, y])
        assert by_x.tolist() == list(X)
        assert by_y is None


def test_an_integer_result_is_not_connected() -> None:
    @tj.custom_gradient
    def function(x: Any) -> Any:
        return (2 * x, tj.argmax(x)), lambda upstream, of_index: upstream * 2 + tj.astype(of_index, "float64")

    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y, index = function(x)
    assert index.item() == 2
    assert tape.gradient(y, x).tolist() == [2, 2, 2]


# ---- variables


def scaled_by(w: Any) -> Callable[[Any], Any]:
    @tj.custom_gradient
    def function(x: Any) -> Any:
        def grad(upstream: Any, variables: Any) -> Any:
            assert variables == [w]
            return upstream * w, [tj.sum(upstream * x) * 10.0]

        return w * x, grad

    return function  # type: ignore[no-any-return]


@pytest.mark.parametrize("compiled", [False, True])
def test_variables_that_it_reads(compiled: bool) -> None:
    w, x = tj.Variable(3.0, dtype="float64"), tj.constant(X)
    function = scaled_by(w)
    call = tj.compile(function, strict=True) if compiled else function
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = call(x)
    by_x, by_w = tape.gradient(y, [x, w])
    np.testing.assert_allclose(by_x.numpy(), [3, 3, 3])
    np.testing.assert_allclose(by_w.numpy(), 10 * X.sum())


def test_a_train_step() -> None:
    w, b = tj.Variable(3.0, dtype="float64"), tj.Variable(0.5, dtype="float64")
    function = scaled_by(w)

    @tj.compile(strict=True)
    def step(x: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.sum((function(x) + b) ** 2)
        for variable, gradient in zip([w, b], tape.gradient(loss, [w, b]), strict=True):
            variable.assign_sub(gradient * 0.01)
        return loss

    residuals = 3 * X + 0.5
    assert step(X).item() == pytest.approx((residuals**2).sum())
    assert w.numpy() == pytest.approx(3 - 0.1 * (2 * residuals * X).sum())
    assert b.numpy() == pytest.approx(0.5 - 0.01 * (2 * residuals).sum())
    assert step.report()["loop_nests"] == 1


def test_a_variable_as_an_argument() -> None:
    @tj.custom_gradient
    def function(w: Any) -> Any:
        return w * w, lambda upstream: upstream * w * 20

    w = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = function(w)
    assert tape.gradient(y, w).item() == 60.0


# ---- what it is for


def test_an_implicit_function() -> None:
    """The root of y³ + y = x, found by Newton's method in Python, with the implicit function theorem's slope."""

    @tj.custom_gradient
    def root(x: Any) -> Any:
        y = np.zeros(x.shape)
        while np.max(np.abs(y**3 + y - x.numpy())) > 1e-14:
            y = y - (y**3 + y - x.numpy()) / (3 * y**2 + 1)

        def grad(upstream: Any) -> Any:
            return upstream / (3 * root(x) ** 2 + 1)

        return y, grad

    y = root(X).numpy()
    np.testing.assert_allclose(y**3 + y, X, rtol=1e-12)
    check_gradients(root, [X], order=3, tolerance=1e-5)


def test_an_implicit_function_by_an_opaque_call() -> None:
    def newton(x: np.ndarray) -> np.ndarray:
        y = np.zeros(x.shape)
        for _ in range(50):
            y = y - (y**3 + y - x) / (3 * y**2 + 1)
        return y

    @tj.custom_gradient
    def root(x: Any) -> Any:
        y = tj.numpy_function(newton, x, shape=x.shape, dtype=x.dtype)
        return y, lambda upstream: upstream / (3 * root(x) ** 2 + 1)

    found = [each.numpy() for each in derivatives(root, tj.constant(X))]
    assert_all_close(derivatives(tj.compile(root, strict=True), tj.constant(X)), found)
    assert_all_close(tj.compile(lambda x: derivatives(root, x), strict=True)(X), found)
    np.testing.assert_allclose(found[1], 1 / (3 * found[0] ** 2 + 1))


def newton(x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.shape)
    for _ in range(50):
        y = y - (y**3 + y - x) / (3 * y**2 + 1)
    return y


@tj.custom_gradient
def opaque_root(x: Any) -> Any:
    y = tj.numpy_function(newton, x, shape=x.shape, dtype=x.dtype)
    return y, lambda upstream: upstream / (3 * y**2 + 1)


@tj.custom_gradient
def stopped_root(x: Any) -> Any:
    target = tj.stop_gradient(x)
    y = tj.zeros_like(x)
    for _ in range(30):
        y = y - (y**3 + y - target) / (3 * y**2 + 1)
    return {"root": y}, lambda upstream: upstream / (3 * y**2 + 1)


@pytest.mark.parametrize("function", [opaque_root, lambda x: stopped_root(x)["root"]], ids=["opaque", "stopped"])
def test_a_gradient_that_uses_a_result_which_is_not_connected(function: Callable[..., Any]) -> None:
    """To a second derivative it is the result with its rule, not a constant."""
    y = newton(X)
    expected = [y, 1 / (3 * y**2 + 1), -6 * y / (3 * y**2 + 1) ** 3]
    assert_all_close(derivatives(function, tj.constant(X)), expected)
    assert_all_close(derivatives(tj.compile(function, strict=True), tj.constant(X)), expected)
    assert_all_close(tj.compile(lambda x: derivatives(function, x), strict=True)(tj.constant(X)), expected)
    check_gradients(function, [X], order=3, tolerance=1e-5)
    each = tj.vmap(lambda x: derivatives(function, x))
    for call in (each, tj.compile(each, strict=True)):
        assert_all_close(call(tj.constant(X)), expected)
    outside = derivatives(tj.vmap(function), tj.constant(X))
    assert_all_close(outside, expected)
    assert_all_close(derivatives(tj.compile(tj.vmap(function), strict=True), tj.constant(X)), expected)


def test_a_result_from_outside_stays_what_it_is() -> None:
    constant = tj.constant(X)

    @tj.custom_gradient
    def function(x: Any) -> Any:
        return constant, lambda upstream: upstream * 2

    x = tj.constant(X)
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = function(x)
        z = constant * 3
    assert tape.gradient(y, x).tolist() == [2, 2, 2]
    assert tape.gradient(z, x) is None


def test_nan_passes_through() -> None:
    x = tj.constant([np.nan, 1.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = rounded(x) * x
    assert np.isnan(tape.gradient(y, x).numpy()).tolist() == [True, False]


# ---- what is wrong


def error_of(call: Callable[[], Any]) -> str:
    with pytest.raises(errors.TapejitError) as caught:
        call()
    return str(caught.value)


def gradient_error(f: Callable[..., Any], *args: Any, compiled: bool = False) -> str:
    function = tj.custom_gradient(f)
    call = tj.compile(function, strict=True) if compiled else function
    tensors = [tj.constant(arg) for arg in args]

    def differentiated() -> None:
        with tj.GradientTape() as tape:
            tape.watch(tensors)
            y = call(*tensors)
        tape.gradient(y, tensors)

    return error_of(differentiated)


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_that_do_not_fit(compiled: bool) -> None:
    def many(x: Any) -> Any:
        return x, lambda upstream: (upstream, upstream)

    def few(x: Any, y: Any) -> Any:
        return x * y, lambda upstream: upstream

    def shape(x: Any) -> Any:
        return x, tj.sum

    def dtype(x: Any) -> Any:
        return x, lambda upstream: tj.astype(upstream, "float32")

    message = gradient_error(many, X, compiled=compiled)
    assert "many" in message
    assert "a tuple of 2" in message
    assert __file__ in message
    assert "not 2 gradients" in gradient_error(few, X, X, compiled=compiled)
    message = gradient_error(shape, X, compiled=compiled)
    assert "shape (" in message
    assert "(), not (3,)" in message
    message = gradient_error(dtype, X, compiled=compiled)
    assert "dtype (" in message
    assert "float32[3], not float64" in message


def test_a_function_that_returns_no_gradient() -> None:
    message = error_of(lambda: tj.custom_gradient(lambda x: x)(X))
    assert "a function that gives the gradient" in message
    assert __file__ in message
    assert "(ndarray, int)" in error_of(lambda: tj.custom_gradient(lambda x: (X, 3))(X))


def test_a_function_whose_result_has_no_derivative() -> None:
    message = error_of(lambda: tj.custom_gradient(lambda x: (tj.argmax(x), lambda ct: ct))(X))
    assert "int64[]" in message
    assert "floating" in message


def test_variables_without_the_keyword() -> None:
    w = tj.Variable(2.0, name="weight")
    message = error_of(lambda: tj.custom_gradient(lambda x: (w * x, lambda ct: ct * w))(2.0))
    assert "reads weight" in message
    assert "variables" in message
    frozen = tj.Variable(2.0, trainable=False)
    assert tj.custom_gradient(lambda x: (frozen * x, lambda ct: ct))(2.0).item() == 4.0


def test_gradients_of_variables_that_do_not_fit() -> None:
    w = tj.Variable(2.0, name="weight")

    def missing(x: Any) -> Any:
        return w * x, lambda upstream, variables: upstream * w

    def empty(x: Any) -> Any:
        return w * x, lambda upstream, variables: (upstream, [])

    def shape(x: Any) -> Any:
        return w * x, lambda upstream, variables: (upstream, [upstream])

    x = np.float32([1, 2])
    assert "(gradients, variable_gradients)" in gradient_error(missing, x)
    assert "by 1 variables" in gradient_error(empty, x)
    assert "that of weight has shape (2,), not ()" in gradient_error(shape, x)


def test_a_keyword_only_argument() -> None:
    def function(x: Any, *, y: Any) -> Any:
        return x * y, lambda upstream: upstream

    assert "y can be passed by keyword only" in error_of(lambda: tj.custom_gradient(function)(X, y=X))
