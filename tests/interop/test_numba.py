"""Kernels inside compiled code: values, gradients, arrays of the caller's, threads, what does not fit."""

import gc
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.errors import NumbaWarning, TypingError
from numba.core.runtime import _nrt_python, rtsys

import tapejit as tj
from tapejit.errors import CompileError, TapejitError
from tapejit.interop.numba import HELD
from tapejit.kernel.pools import Pool
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


@pytest.fixture
def allocations() -> Iterator[Callable[[], int]]:
    """How often compiled code has asked for memory."""
    _nrt_python.memsys_enable_stats()
    yield lambda: int(rtsys.get_allocation_stats().alloc)
    _nrt_python.memsys_disable_stats()


def test_a_large_workspace_and_many_threads(allocations: Callable[[], int]) -> None:
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
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda x: often(x, np.empty(20_000)), inputs))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    # Workspaces come from a pool and go back there; where all are taken, each call has one of its own.
    pool = next(each for each in reversed(HELD) if isinstance(each, Pool))
    assert not pool.taken.any()
    for taken, allocated in ((0, 0), (1, 5)):
        pool.taken[::8] = taken
        gradient, before = np.empty(20_000), allocations()
        assert often(inputs[0], gradient) == found[0]
        assert allocations() - before == allocated + 2  # Numba's own, for two arrays that come from Python
        np.testing.assert_array_equal(pool.taken[::8], taken)
    assert len(pool.taken[::8]) == pool.count >= 16


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
    with pytest.raises(IndexError, match=r"^indexing: index 3 is out of range for an axis with length 3$") as caught:
        take(np.ones(3), 3)
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    factor = tj.to_numba(tj.linalg.cholesky, np.ones((2, 3, 2, 2)))
    matrices = np.broadcast_to(np.eye(2), (2, 3, 2, 2)).copy()
    matrices[1, 2] *= -1
    with pytest.raises(np.linalg.LinAlgError, match=r"at index \(1, 2\) of an array of .* is not positive definite"):
        factor(matrices)


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


def test_arrays_that_are_written_are_writable_and_nobody_elses() -> None:
    both = tj.to_numba(lambda x: (x[1:] - x[:-1], x * 2), np.zeros(4), out=True)
    x, less, twice = np.arange(4.0), np.empty(3), np.empty(4)
    both(x, less, twice)
    np.testing.assert_array_equal(np.concatenate([less, twice]), [1, 1, 1, 0, 2, 4, 6])
    memory = np.zeros(9)
    for arrays, words in (
        ((x, less, x), "result_1 overlaps x"),
        ((x, x[1:], twice), "result_0 overlaps x"),
        ((x, twice[1:], twice), "result_1 overlaps result_0"),
        ((memory[:4], memory[3:6], twice), "result_0 overlaps x"),
        ((memory[:4], memory[4:7], np.empty(3)), r"result_1 must have the shape \(4,\)"),
    ):
        with pytest.raises(ValueError, match=words):
            both(*arrays)
    both(memory[:4], memory[4:7], twice)
    twice.flags.writeable = False
    with pytest.raises(TypingError, match="result_1 is written to, and must not be read-only"):
        both(x, less, twice)


def test_any_names_will_do() -> None:
    def invoke(place: Any, np: Any, found: Any) -> Any:
        return {"np": place * np, "place": tj.sum(place) - found}

    function = tj.to_numba(invoke, np.zeros(3), 2.0, 3.0)
    assert list(signature(function).parameters) == ["place", "np", "found"]
    twice, rest = function(np.arange(3.0), 2.0, 1.0)
    assert (twice.tolist(), rest) == ([0, 2, 4], 2)


def test_a_trained_model_in_compiled_code() -> None:
    model = tj.nn.Sequential([tj.nn.Dense(4, "tanh", input_shape=(3,)), tj.nn.Dense(2)])
    x = np.array([[1, -2, 3], [0, 0.5, 1]], np.float32)
    step = tj.compile(model, strict=True)
    before = step(x).numpy()
    predict = tj.to_numba(step, x, freeze=True)
    model.trainable_variables[0].assign(tj.zeros((3, 4)))
    np.testing.assert_array_equal(predict(x), before)
    with pytest.raises(TapejitError, match="freeze=True to keep the value that it has now"):
        tj.to_numba(model, x)


def test_nests_are_parameters_for_each_leaf() -> None:
    def model(parameters: Any, x: Any) -> Any:
        return tj.sum(parameters["w"] * x) + parameters["b"]

    slope = tj.to_numba(tj.value_and_grad(model), {"w": np.zeros(2), "b": 0.0}, np.zeros(2))
    assert list(signature(slope).parameters) == ["parameters_w", "parameters_b", "x"]
    value, by_w, by_b = slope(np.array([1.0, 2.0]), 3.0, np.array([4.0, 5.0]))
    assert (value, by_w.tolist(), by_b) == (17.0, [4.0, 5.0], 1.0)


def test_many_calls_in_a_parallel_loop() -> None:
    slope = tj.to_numba(tj.value_and_grad(posterior), np.zeros(3), out=True)

    @numba.njit(parallel=True)
    def everywhere(points: Any) -> Any:
        values, gradients = np.empty(len(points)), np.empty_like(points)
        for i in numba.prange(len(points)):
            values[i] = slope(points[i], gradients[i])
        return values, gradients

    points = np.random.default_rng(1).normal(size=(200, 3))
    step = tj.compile(tj.value_and_grad(posterior))
    for value, gradient, point in zip(*everywhere(points), points, strict=True):
        expected = step(point)
        assert value == float(expected[0])
        np.testing.assert_array_equal(gradient, expected[1].numpy())


CALLER = """
import numba
@numba.njit(cache=True)
def caller(x):
    return slope(x)
"""


def test_callers_are_not_kept_on_disk_with_its_addresses(tmp_path: Path) -> None:
    # Loaded in another process, their code would call into nowhere.
    (tmp_path / "caller.py").write_text(CALLER)
    scope = {"slope": tj.to_numba(tj.grad(lambda x: tj.sum(x**2)), np.zeros(2))}
    exec(compile(CALLER, str(tmp_path / "caller.py"), "exec"), scope)
    caller: Any = scope["caller"]
    with pytest.warns(NumbaWarning, match='Cannot cache compiled function "caller"'):
        np.testing.assert_array_equal(caller(np.ones(2)), [2, 2])
    assert not list(tmp_path.rglob("*.nbc"))


def test_what_is_pickled_is_not_loaded() -> None:
    slope = tj.to_numba(posterior, np.zeros(3))
    with pytest.raises(TypeError, match=r"posterior was made by tapejit.to_numba.*make it again"):
        numba.core.serialize.pickle.loads(numba.core.serialize.dumps(slope.py_func.__globals__["tapejit_invoke"]))


def test_a_captured_array_may_be_strided() -> None:
    columns = np.arange(12.0).reshape(3, 4)[:, ::2]
    function = tj.to_numba(lambda x: columns @ x, np.zeros(2))
    np.testing.assert_array_equal(function(np.array([1.0, 2.0])), columns @ [1.0, 2.0])


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
    gc.collect()
    assert outer(np.ones(3)) == 6.0
