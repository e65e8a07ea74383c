"""Kernels inside compiled code: values, gradients, arrays of the caller's, threads, what does not fit."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

import tapejit as tj
from tapejit.errors import CompileError, TapejitError
from tapejit.pytree import flatten

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(float)


def posterior(w: Any) -> Any:
    z = X @ w
    return tj.sum(Y * z - tj.softplus(z)) - 0.5 * tj.sum(w * w)


def test_value_and_gradient_inside_a_loop() -> None:
    slope = tj.to_numba(tj.value_and_grad(posterior), np.zeros(3))

    @numba.njit
    def climb(w: Any, steps: Any) -> Any:
        value = 0.0
        for _ in range(steps):
            value, gradient = slope(w)
            w = w + 0.05 * gradient
        return value, w

    value, w = climb(np.zeros(3), 200)
    np.testing.assert_allclose(value, float(posterior(w)), rtol=1e-10)
    np.testing.assert_allclose(tj.grad(posterior)(w).numpy(), 0.0, atol=1e-6)


def test_arrays_of_the_callers_are_written() -> None:
    into = tj.to_numba(tj.value_and_grad(posterior), np.zeros(3), out=True)

    @numba.njit
    def evaluate(w: Any, gradient: Any) -> Any:
        return into(w, gradient)

    w, gradient = np.array([0.3, -0.2, 0.1]), np.empty(3)
    np.testing.assert_allclose(evaluate(w, gradient), float(posterior(w)), rtol=1e-12)
    np.testing.assert_allclose(gradient, tj.grad(posterior)(w).numpy(), rtol=1e-12)


def test_numbers_arrays_booleans_and_nests() -> None:
    def several(x: Any, scale: Any, count: Any, flag: Any) -> Any:
        return {
            "sum": tj.sum(x) * scale,
            "rest": [x * count, tj.where(flag, x, 0.0) > 1, tj.astype(count, "int64") + 1],
        }

    function = tj.to_numba(several, np.ones((2, 2), np.float32), 0.5, 3, True)
    x = np.array([[1, 2], [3, 4]], np.float32)
    expected = several(*map(tj.asarray, (x, np.float64(2.0), np.int64(2), np.bool_(True))))
    found, (leaves, _) = function(x, 2.0, 2, True), flatten(expected)
    assert len(found) == 4
    for value, wanted in zip(found, leaves, strict=True):
        np.testing.assert_allclose(value, wanted.numpy())
        assert np.asarray(value).dtype == wanted.dtype


def test_hessians_and_linear_algebra_inside_newton() -> None:
    def loss(w: Any) -> Any:
        return -posterior(w)

    step = tj.to_numba(lambda w: tj.linalg.solve(tj.hessian(loss)(w), tj.grad(loss)(w)), np.zeros(3))

    @numba.njit
    def newton(w: Any) -> Any:
        for _ in range(8):
            w = w - step(w)
        return w

    np.testing.assert_allclose(tj.grad(loss)(newton(np.zeros(3))).numpy(), 0.0, atol=1e-10)


def test_a_large_workspace_and_many_threads() -> None:
    def mixed(x: Any) -> Any:
        return tj.sort(tj.cumsum(tj.sin(x)))[::-1] @ tj.cumsum(x)

    slope = tj.to_numba(tj.value_and_grad(mixed), np.zeros(20_000), out=True)

    @numba.njit(nogil=True)
    def often(x: Any, gradient: Any) -> Any:
        total = 0.0
        for _ in range(5):
            total += slope(x, gradient)
        return total

    inputs = [np.random.default_rng(seed).normal(size=20_000) for seed in range(4)]
    expected = [5 * float(mixed(x)) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: often(x, np.empty(20_000)), inputs))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_workspace_on_the_stack_is_not_filled_with_zeros() -> None:
    # A store of a whole array is one of each element in machine code, and takes a minute to compile.
    def mixed(x: Any) -> Any:
        return tj.sort(tj.cumsum(tj.sin(x)))[::-1] @ tj.cumsum(x)

    lengths = []
    for size in (100, 1000):
        function, x = tj.to_numba(tj.value_and_grad(mixed), np.zeros(size)), np.linspace(0, 1, size)
        np.testing.assert_allclose(function(x)[0], float(mixed(x)))
        (code,) = function.inspect_asm().values()
        lengths.append(len(code))
    assert lengths[1] < 1.1 * lengths[0]


def test_a_check_that_fails_raises() -> None:
    picked = tj.to_numba(lambda x, i: x[i] * 2.0, np.ones(3), 0)

    @numba.njit
    def take(x: Any, i: Any) -> Any:
        return picked(x, i)

    assert take(np.ones(3), 2) == 2.0
    with pytest.raises(ValueError, match="an index is out of range for an axis with length 3"):
        take(np.ones(3), 3)
    factor = tj.to_numba(tj.linalg.cholesky, np.eye(2))
    with pytest.raises(ValueError, match="not positive definite"):
        factor(-np.eye(2))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (np.zeros(3, np.float32), r"w must be a C-contiguous array of float64 with 1 axes, shape \(3,\); got array"),
        (np.zeros((3, 3)), "with 1 axes"),
        (np.zeros(6)[::2], r"np.ascontiguousarray makes one"),
        (1.0, "must be a C-contiguous array"),
    ],
)
def test_wrong_types_are_typing_errors_that_name_what_was_expected(given: Any, match: str) -> None:
    slope = tj.to_numba(posterior, np.zeros(3))
    with pytest.raises(TypingError, match=match):
        slope(given)


def test_a_wrong_shape_is_a_value_error() -> None:
    slope = tj.to_numba(posterior, np.zeros(3))
    with pytest.raises(ValueError, match=r"posterior: w must have the shape \(3,\)"):
        slope(np.zeros(4))


def test_what_compiled_code_can_not_follow() -> None:
    w = tj.Variable(np.ones(3), name="w")
    with pytest.raises(TapejitError, match="uses w, which compiled code can't follow"):
        tj.to_numba(lambda x: x * w, np.ones(3))
    with pytest.raises(CompileError, match="parts that run in Python"):
        tj.to_numba(lambda x: tj.numpy_function(np.sort, x, shape=3, dtype="float64"), np.ones(3))


def test_the_owner_may_go() -> None:
    def made() -> Any:
        scale = np.full(3, 2.0)
        inner = tj.to_numba(lambda x: tj.sum(scale * x), np.zeros(3))

        @numba.njit
        def outer(x: Any) -> Any:
            return inner(x)

        return outer

    outer = made()
    assert outer(np.ones(3)) == 6.0
