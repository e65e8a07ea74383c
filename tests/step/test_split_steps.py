"""Steps of which one part can't be compiled: kernels, and Python between them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, ShapeError, TapejitWarning
from tapejit.graph import Graph
from tapejit.passes.split import CallPart, KernelPart, split
from tests.agreement import as_list, trace

X = np.array([3.0, 1.0, 2.0], np.float32)


def sorted_by_numpy(x: Any) -> Any:
    return tj.numpy_function(np.sort, x, shape=x.shape, dtype=x.dtype)


def parts_of(function: Callable[..., Any], *arguments: np.ndarray) -> list[str]:
    """ "kernel" or the operation's name for each part."""
    return [
        "kernel" if isinstance(part, KernelPart) else part.node.primitive.name  # type: ignore[union-attr]
        for part in split(trace(function, arguments).graph)
    ]


def check(function: Callable[..., Any], *arguments: Any) -> Any:
    """The compiled function, whose results must be those of the eager one."""
    step = tj.compile(function, strict=True, cache=False)
    for _ in range(2):
        found, expected = as_list(step(*arguments)), as_list(function(*arguments))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6)
    return step


def test_a_kernel_up_to_the_call_and_one_after_it() -> None:
    calls = []

    def looked_up(x: np.ndarray) -> np.ndarray:
        calls.append(x.flags.writeable)
        return np.sort(x)

    def function(x: Any) -> Any:
        return tj.sum(tj.exp(tj.numpy_function(looked_up, x * 2, shape=3, dtype="float32")) * tj.sin(x))

    step = tj.compile(function, strict=True)
    np.testing.assert_allclose(step(X), function(tj.constant(X)), rtol=1e-6)
    calls.clear()
    step(X)
    assert calls == [False]
    report = step.report()
    assert report["compilations"] == 2
    assert len(report["not_compiled"]) == 1
    assert "numpy_function at " in report["not_compiled"][0]
    assert "test_split_steps.py:" in report["not_compiled"][0]
    assert "(an opaque call)" in report["not_compiled"][0]
    assert report["eager_because"] is None
    assert report["loop_nests"] == 2
    source = step.source()
    assert source.count("def function_") == 2
    assert "# then numpy_function at " in source


def test_what_does_not_wait_for_a_call_shares_its_kernels() -> None:
    assert parts_of(lambda x: sorted_by_numpy(x * 2) + sorted_by_numpy(x * 3) + x, X) == [
        "kernel",
        "numpy_function",
        "numpy_function",
        "kernel",
    ]
    assert parts_of(lambda x: sorted_by_numpy(sorted_by_numpy(x)), X) == ["numpy_function", "numpy_function"]
    assert parts_of(lambda x: sorted_by_numpy(sorted_by_numpy(x) - 1), X) == [
        "numpy_function",
        "kernel",
        "numpy_function",
    ]
    assert parts_of(lambda x: x + 1, X) == ["kernel"]
    assert parts_of(lambda x: (sorted_by_numpy(x), x)[1], X) == []  # nobody wants it


@pytest.mark.parametrize(
    "function",
    [
        sorted_by_numpy,
        lambda x: (x, sorted_by_numpy(x), x + 1),
        lambda x: sorted_by_numpy(x[::-1] * 2)[::-1] + sorted_by_numpy(x),
        lambda x: sorted_by_numpy(tj.zeros(3) + 1) * x,
        lambda x: tj.linalg.slogdet(tj.numpy_function(np.diag, x, shape=(3, 3), dtype="float32"))[1],
        lambda x: tj.sum(tj.matmul(tj.numpy_function(np.diag, x, shape=(3, 3), dtype="float32"), x)),
        lambda x: tj.numpy_function(np.asarray, 3.0, shape=(), dtype="float32") * x,
        lambda x: tj.numpy_function(lambda: np.float64(2.5), shape=(), dtype="float64") + x,
        lambda x: tj.numpy_function(np.asarray, tj.ones((2, 0)), shape=(2, 0), dtype="float32"),
    ],
)
def test_results_are_those_of_eager_calls(function: Callable[..., Any]) -> None:
    check(function, tj.constant(X))


def test_variables_are_assigned_when_everything_has_succeeded() -> None:
    w, v = tj.Variable([1.0, 2.0, 3.0]), tj.Variable(1.0)
    fail = False

    def looked_up(x: np.ndarray) -> np.ndarray:
        if fail:
            raise OSError("no such table")
        return np.sort(x)

    @tj.compile(strict=True)
    def step(x):
        v.assign_add(1.0)
        w.assign_sub(tj.numpy_function(looked_up, x * w, shape=3, dtype="float32"))
        w.assign(w * 2)
        return w + v

    held = w.read_value()
    np.testing.assert_allclose(step(X), 2 * (np.array([1, 2, 3]) - np.sort(X * [1, 2, 3])) + 2, rtol=1e-6)
    before = w.numpy().copy()
    fail = True
    with pytest.raises(OSError, match="no such table"):
        step(X)
    np.testing.assert_array_equal(w.numpy(), before)
    assert float(v) == 2.0
    np.testing.assert_array_equal(held, [1, 2, 3])
    fail = False
    step(X)
    assert float(v) == 3.0


def test_what_a_function_keeps_or_returns_is_nobody_elses() -> None:
    kept = []

    def keeps(x: np.ndarray) -> np.ndarray:
        kept.append(x.copy())
        return kept[-1]

    step = tj.compile(lambda x: tj.numpy_function(keeps, x, shape=3, dtype="float32"))
    result = step(X)
    kept[-1][:] = 0
    np.testing.assert_array_equal(result, X)


def test_gradients_flow_past_a_call_but_not_through_it() -> None:
    w = tj.Variable(X)

    def function(x: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.sum(w * sorted_by_numpy(w) * x)
        return tape.gradient(loss, w)

    step = check(function, tj.constant(X))
    np.testing.assert_allclose(step(X), np.sort(X) * X, rtol=1e-6)

    # A tape outside of the step follows it.
    loss = tj.compile(lambda x: tj.sum(w * sorted_by_numpy(w) * x), strict=True)
    with tj.GradientTape() as tape:
        value = loss(X)
    np.testing.assert_allclose(tape.gradient(value, w), np.sort(X) * X, rtol=1e-6)


def test_a_changed_function_is_seen() -> None:
    table = {"f": np.sort}
    step = tj.compile(lambda x: tj.numpy_function(table["f"], x, shape=3, dtype="float32"))
    np.testing.assert_array_equal(step(X), [1, 2, 3])
    table["f"] = np.negative
    np.testing.assert_array_equal(step(X), -X)


def test_a_dtype_that_kernels_do_not_know_splits_with_a_warning() -> None:
    def function(x: Any) -> Any:
        return tj.sum(tj.sin(tj.astype(tj.astype(x, "float16") * 2, "float32"))) + tj.sum(x)

    step = tj.compile(function)
    with pytest.warns(TapejitWarning, match=r"function is compiled in parts: astype at .*test_split_steps.py:\d+"):
        found = step(X)
    np.testing.assert_allclose(found, function(tj.constant(X)), rtol=1e-6)
    assert [line.split()[0] for line in step.report()["not_compiled"]] == ["astype", "multiply", "astype"]
    assert "kernels have no float16" in step.report()["not_compiled"][1]
    with pytest.raises(CompileError, match=r"function can't be compiled: astype at .* \(kernels have no float16\)"):
        tj.compile(function, strict=True)(X)


def test_a_function_that_returns_something_else_is_an_error_that_names_it() -> None:
    def doubled(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, x])

    with pytest.raises(ShapeError, match=r"numpy_function: doubled returned float32\[6\].*float32\[3\] .at "):
        tj.numpy_function(doubled, X, shape=3, dtype="float32")
    step = tj.compile(lambda x: tj.numpy_function(doubled, x, shape=3, dtype="float32"))
    with pytest.raises(ShapeError, match=r"doubled returned float32\[6\]"):
        step(X)
    with pytest.raises(TypeError, match="can't be called"):
        tj.numpy_function(3, X, shape=3, dtype="float32")  # type: ignore[arg-type]


def test_parts_hold_every_node_once() -> None:
    """What several kernels need is computed by one of them and handed on."""
    traced = trace(lambda x: sorted_by_numpy(tj.exp(x)) * tj.exp(x) + tj.sum(tj.exp(x)), [X])
    kernels = [part for part in split(traced.graph) if isinstance(part, KernelPart)]
    computed = [node.primitive.name for part in kernels for node in part.graph.nodes() if node.primitive]
    assert computed.count("exp") == 1
    calls = [part for part in split(traced.graph) if isinstance(part, CallPart)]
    assert len(calls) == 1
    assert all(isinstance(part.graph, Graph) and not part.graph.updates for part in kernels)
