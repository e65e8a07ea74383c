"""`numpy_function` with a gradient of the user's, and with nests of results."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import errors
from tests.custom.test_gradient import assert_all_close, derivatives, error_of
from tests.gradients import check_gradients

X = np.array([0.5, -1.0, 2.0])


def sinh(x: Any, **options: Any) -> Any:
    return tj.numpy_function(np.sinh, x, shape=x.shape, dtype=x.dtype, **options)


def by_tapejit(x: Any) -> Any:
    return sinh(x, gradient=lambda x, out, ct: ct * tj.sqrt(1 + out**2))


def by_numpy(x: Any) -> Any:
    return sinh(x, numpy_gradient=lambda x, out, ct: ct * np.cosh(x))


EXPECTED = [np.sinh(X), np.cosh(X), np.sinh(X)]


def test_a_gradient_in_operations() -> None:
    assert_all_close(derivatives(by_tapejit, tj.constant(X)), EXPECTED)
    step = tj.compile(by_tapejit, strict=True)
    assert_all_close(derivatives(step, tj.constant(X)), EXPECTED)
    assert_all_close(tj.compile(lambda x: derivatives(by_tapejit, x), strict=True)(X), EXPECTED)
    assert "an opaque call" in step.report()["not_compiled"][0]
    check_gradients(by_tapejit, [X], order=3, tolerance=1e-5)
    np.testing.assert_allclose(tj.jvp(by_tapejit, (tj.constant(X),), (tj.constant(X),))[1].numpy(), X * np.cosh(X))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gradient_in_numpy(compiled: bool) -> None:
    w = tj.Variable(2.0, dtype="float64")

    def step(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            loss = tj.sum(by_numpy(w * x))
        return loss, *tape.gradient(loss, [x, w])

    call = tj.compile(step, strict=True) if compiled else step
    loss, by_x, by_w = call(tj.constant(X))
    np.testing.assert_allclose(loss.item(), np.sinh(2 * X).sum())
    np.testing.assert_allclose(by_x.numpy(), 2 * np.cosh(2 * X))
    np.testing.assert_allclose(by_w.item(), (X * np.cosh(2 * X)).sum())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gradient_in_numpy_has_no_derivative(compiled: bool) -> None:
    call = tj.compile(by_numpy, strict=True) if compiled else by_numpy
    x = tj.constant(X)
    assert "no derivative" in error_of(lambda: derivatives(call, x))
    assert "sinh" in error_of(lambda: tj.jvp(call, (x,), (x,)))
    np.testing.assert_allclose(tj.grad(lambda x: tj.sum(call(x)))(x).numpy(), np.cosh(X))


@pytest.mark.parametrize("way", ["eager", "compiled", "outside", "twice from outside"])
def test_the_function_is_called_once(way: str) -> None:
    """But for a second derivative from outside, which needs the result again where nobody kept it."""
    calls = []

    def counted(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return np.exp(x)

    def function(x: Any) -> Any:
        return tj.numpy_function(counted, x, shape=x.shape, dtype=x.dtype, gradient=lambda x, out, ct: ct * out)

    whole = lambda x: derivatives(function, x)  # noqa: E731
    step = tj.compile(function, strict=True)
    ways = {
        "eager": whole,
        "compiled": tj.compile(whole, strict=True),
        "outside": lambda x: [tj.grad(lambda x: tj.sum(step(x)))(x)],
        "twice from outside": lambda x: derivatives(step, x),
    }
    found = ways[way](tj.constant(X))
    assert_all_close(found, [np.exp(X)] * len(found))
    assert calls == [(3,)] * (2 if way == "twice from outside" else 1)


def solve(a: Any, b: Any, **options: Any) -> Any:
    """The solution and the residual's norm, of which the first alone has a gradient."""

    def solved(a: np.ndarray, b: np.ndarray) -> Any:
        x = np.linalg.solve(a, b[..., None])[..., 0]
        return {"x": x, "rank": np.full(x.shape[:-1], 2, np.int64)}

    return tj.numpy_function(
        solved, a, b, shape={"x": (2,), "rank": ()}, dtype={"x": "float64", "rank": "int64"}, **options
    )


def solve_gradient(a: Any, b: Any, out: Any, ct: Any) -> Any:
    by_b = tj.linalg.solve(tj.matrix_transpose(a), ct["x"])
    return -tj.outer(by_b, out["x"]), by_b


A, B = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([1.0, -1.0])


@pytest.mark.parametrize("vectorized", [False, True])
def test_nests_and_batches(vectorized: bool) -> None:
    def solution(a: Any, b: Any) -> Any:
        found = solve(a, b, gradient=solve_gradient, vectorized=vectorized)
        assert found["rank"].dtype == np.int64
        return found["x"]

    check_gradients(solution, [A, B], order=2)
    batch = np.stack([A, A + 1])
    mapped = tj.vmap(solution, in_axes=(0, None))
    for call in (mapped, tj.compile(mapped, strict=True)):
        a, b = tj.constant(batch), tj.constant(B)
        with tj.GradientTape() as tape:
            tape.watch([a, b])
            x = call(a, b)
            loss = tj.sum(x**2)
        by_a, by_b = tape.gradient(loss, [a, b])
        np.testing.assert_allclose(x.numpy(), np.linalg.solve(batch, np.stack([B, B])[..., None])[..., 0])
        each = [np.linalg.solve(one.T, 2 * found) for one, found in zip(batch, x.numpy(), strict=True)]
        np.testing.assert_allclose(by_b.numpy(), np.sum(each, axis=0))
        np.testing.assert_allclose(
            by_a.numpy(), [-np.outer(one, found) for one, found in zip(each, x.numpy(), strict=True)]
        )


def test_a_vectorized_function_is_called_once() -> None:
    calls = []

    def doubled(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return 2 * x

    batch = np.ones((4, 3))
    found = tj.vmap(lambda x: tj.numpy_function(doubled, x, shape=3, dtype="float64", vectorized=True))(batch)
    assert calls == [(4, 3)]
    assert found.tolist() == (2 * batch).tolist()


def test_functions_of_one_name_in_two_loops() -> None:
    def run(x: Any, function: Callable[..., Any]) -> Any:
        return tj.scan(lambda c, _: (tj.numpy_function(function, c, shape=3, dtype="float64"), None), x, length=2)[0]

    step = tj.compile(lambda x: (run(x, lambda a: a + 1), run(x, lambda a: a * 5)))
    with pytest.warns(errors.TapejitWarning, match="numpy_function"):
        one, other = step(tj.constant(X))
    assert one.tolist() == (X + 2).tolist()
    assert other.tolist() == (X * 25).tolist()


def test_what_is_wrong() -> None:
    def gradient(**options: Any) -> Callable[[], Any]:
        return lambda: tj.grad(lambda x: tj.sum(sinh(x, **options)))(tj.constant(X))

    message = error_of(gradient(gradient=lambda x, out, ct: (ct, ct)))
    assert "sinh" in message
    assert "a tuple of 2" in message
    assert "(), not (3,)" in error_of(gradient(gradient=lambda x, out, ct: tj.sum(ct)))
    assert "2 gradients for 1 inputs" in error_of(gradient(numpy_gradient=lambda x, out, ct: (ct, ct)))
    assert "float64[3]" in error_of(gradient(numpy_gradient=lambda x, out, ct: np.sum(ct)))
    with pytest.raises(TypeError, match="give one of"):
        sinh(X, gradient=np.sin, numpy_gradient=np.sin)
    with pytest.raises(TypeError, match="can't be called"):
        sinh(X, gradient=3)
    with pytest.raises(errors.ShapeError, match="not the nest"):
        tj.numpy_function(np.modf, X, shape=[3, 3], dtype=["float64"])
    with pytest.raises(errors.ShapeError, match="said to return"):
        tj.numpy_function(np.sin, X, shape=[3, 3], dtype="float64")


UNKNOWN = {
    "grad": lambda f, x: tj.grad(lambda x: tj.sum(f(x)))(x),
    "value_and_grad": lambda f, x: tj.value_and_grad(lambda x: tj.sum(f(x)))(x),
    "vjp": lambda f, x: tj.vjp(f, x)[1](x),
    "jvp": lambda f, x: tj.jvp(f, (x,), (x,)),
    "linearize": lambda f, x: tj.linearize(f, x)[1](x),
    "hvp": lambda f, x: tj.hvp(lambda x: tj.sum(f(x)), (x,), (x,)),
    "rows": lambda f, x: tj.jacobian(f, mode="reverse")(x),
    "columns": lambda f, x: tj.jacobian(f, mode="forward")(x),
    "hessian": lambda f, x: tj.hessian(lambda x: tj.sum(f(x)))(x),
    "vmap": lambda f, x: tj.vmap(tj.grad(f))(x),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("transform", UNKNOWN)
def test_transforms_of_functions_refuse_what_has_no_derivative(transform: str, compiled: bool) -> None:
    """Zeros would be a wrong derivative that nobody notices."""

    def derivative(x: Any) -> Any:
        return UNKNOWN[transform](lambda x: x * sinh(x), x)

    call = tj.compile(derivative, strict=True) if compiled else derivative
    with pytest.raises(errors.RuleError, match=r"a derivative of sinh; give it gradient= .* \(at .*test_opaque.py:"):
        call(tj.constant(X))


@pytest.mark.parametrize("compiled", [False, True])
def test_what_the_result_does_not_depend_on_needs_no_derivative(compiled: bool) -> None:
    seen = []

    def look(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x

    def function(x: Any) -> Any:
        tj.numpy_function(look, x, shape=3, dtype="float64")
        ranks = tj.numpy_function(np.argsort, x, shape=3, dtype="int64")
        return tj.sum(x**2 + ranks + sinh(tj.stop_gradient(x)))

    derivative = tj.grad(function)
    found = (tj.compile(derivative) if compiled else derivative)(tj.constant(X))
    np.testing.assert_allclose(found.numpy(), 2 * X)
    np.testing.assert_allclose(
        tj.jvp(lambda x: x * tj.numpy_function(np.argsort, x, shape=3, dtype="int64"), (X,), (X,))[1].numpy(),
        X * np.argsort(X),
    )


@pytest.mark.parametrize("forward", [False, True])
def test_a_tape_and_an_accumulator_are_not_connected(forward: bool) -> None:
    x = tj.constant(X)
    if forward:
        with tj.ForwardAccumulator(x, X) as accumulator:
            y = sinh(x)
        assert accumulator.jvp(y) is None
    else:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = sinh(x)
        assert tape.gradient(y, x) is None
