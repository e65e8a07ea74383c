"""`primitive`: operations made of a user's scalar functions, eager and inside fused loops."""

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import tapejit as tj
from tapejit import errors
from tests.agreement import check_agreement
from tests.gradients import check_gradients

SCALE = 2.0


def square_plus(x: Any, b: Any) -> Any:
    """A smooth relu."""
    return (x + math.sqrt(x * x + b)) / 2


smooth = tj.primitive(
    square_plus,
    partials={
        "x": lambda x, b: (1 + x / tj.sqrt(x * x + b)) / 2,
        "b": lambda x, b: 0.25 / tj.sqrt(x * x + b),
    },
)
X, B = np.linspace(-2, 2, 7), np.array([[0.5], [2.0]])


def reference(x: Any, b: Any) -> Any:
    return (x + np.sqrt(x * x + b)) / 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(dtype: str) -> None:
    found = smooth(X.astype(dtype), tj.constant(B.astype(dtype)))
    assert (found.dtype, found.shape) == (np.dtype(dtype), (2, 7))
    np.testing.assert_allclose(found.numpy(), reference(X, B), rtol=8 * np.finfo(dtype).eps)
    assert smooth(X.astype(dtype), 0.5).dtype == np.dtype(dtype)  # a Python number takes the other's
    assert smooth(np.zeros((0, 3), dtype), 0.5).shape == (0, 3)
    assert smooth(3, 16).item() == 4.0
    assert smooth.__doc__ == "A smooth relu."


def test_other_dtypes_are_converted() -> None:
    assert smooth(np.array([3, 0]), np.array([16, 4])).tolist() == [4.0, 1.0]
    assert smooth(np.float32([3]), np.array([16.0])).dtype == np.float64
    with pytest.raises(errors.DtypeError, match="float16"):
        smooth(np.float16([3]), np.float16([3]))
    with pytest.raises(TypeError, match="takes 2 operands, got 1"):
        smooth(X)


def test_derivatives() -> None:
    check_gradients(smooth, [X, B], order=3, tolerance=1e-5)


def test_it_is_a_part_of_the_fused_loop() -> None:
    @tj.compile(strict=True)
    def step(x: Any, b: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.sum(smooth(tj.exp(x), b) * 3.0)
        return y, tape.gradient(y, x)

    y, by_x = step(X, np.float64(2))
    np.testing.assert_allclose(y.item(), 3 * reference(np.exp(X), 2.0).sum())
    slope = (1 + np.exp(X) / np.sqrt(np.exp(2 * X) + 2)) / 2
    np.testing.assert_allclose(by_x.numpy(), 3 * slope * np.exp(X))
    assert step.report()["loop_nests"] == 1
    assert "square_plus(" in step.source()


@pytest.mark.parametrize("emit", ["source", "instructions"])
def test_all_ways_agree(emit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_EMIT", emit)
    check_agreement(lambda x, b: tj.sum(smooth(x, b) * x, axis=1), [X, B])


def test_emitters_agree_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    own = tj.primitive(lambda x: math.tanh(x) * math.exp(-x * x) + x**3, name="bump")
    found = []
    for emit in ("source", "instructions"):
        monkeypatch.setenv("TAPEJIT_EMIT", emit)
        step = tj.compile(lambda x: tj.sum(own(x) * x), strict=True)
        found.append((step(X).numpy().tobytes(), own(X).numpy().tobytes()))
    assert found[0] == found[1]


def test_a_step_that_is_differentiated_from_outside() -> None:
    check_gradients(tj.compile(smooth, strict=True), [X, B], order=2)


def test_one_partial_in_terms_of_the_result_and_another_operation() -> None:
    slope = tj.primitive(lambda y: y * (1 - y), name="logistic_slope", partials={"y": lambda y: 1 - 2 * y})

    @tj.primitive(partials={"x": lambda out: slope(out) * 1.0})
    @numba.njit
    def logistic(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    check_gradients(logistic, [X], order=2)
    with tj.GradientTape() as tape:
        n = tj.Variable(2.0)
        y = tj.primitive(lambda x, n: x * n, name="times", partials={"x": lambda n: n})(tj.constant(1.0), n)
    assert tape.gradient(y, n) is None


def test_a_branch_that_is_not_taken_does_not_leak() -> None:
    root = tj.primitive(math_root, partials={"x": lambda out: 0.5 / out})
    x = tj.constant([0.0, 4.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.where(x > 0, root(x), 0.0)
    assert tape.gradient(y, x).tolist() == [0.0, 0.25]
    assert np.isnan(root([np.nan, -1.0]).numpy()).all()


def math_root(x: Any) -> Any:
    return math.sqrt(x)


def test_integers_and_other_results() -> None:
    parity = tj.primitive(lambda n, m: (n + m) % 2, name="parity", dtypes="numeric")
    found = parity(np.int32([1, 2, -3]), np.int32(0))
    assert (found.dtype, found.tolist()) == (np.int32, [1, 0, 1])
    positive = tj.primitive(lambda x: x > 0, name="is_positive", result="bool")
    step = tj.compile(lambda x: tj.where(positive(x), parity(x, 1.0), -x), strict=True)
    assert positive(X).dtype == np.bool_
    np.testing.assert_array_equal(step(X).numpy(), np.where(X > 0, (X + 1) % 2, -X))


def test_a_function_for_eager_mode() -> None:
    called = []

    def with_numpy(x: np.ndarray) -> np.ndarray:
        called.append(x.shape)
        return np.negative(x)

    opposite = tj.primitive(lambda x: -x, name="opposite", numpy=with_numpy)
    assert opposite(X).tolist() == (-X).tolist()
    assert called == [(7,)]
    wide = tj.primitive(lambda x: -x, name="opposite", numpy=lambda x: -x.astype(np.float64))
    assert wide(np.float32([1])).dtype == np.float32
    with pytest.raises(errors.ShapeError, match=r"opposite: .* gave the shape \(\), not \(7,\)"):
        tj.primitive(lambda x: -x, name="opposite", numpy=np.sum)(X)


# ---- what the machine code depends on


def test_functions_that_differ_in_a_literal_a_global_or_a_closure(monkeypatch: pytest.MonkeyPatch) -> None:
    def reading(x: Any) -> Any:
        return x * SCALE

    def through_another() -> Callable[[Any], Any]:
        @numba.njit
        def inner(x: Any) -> Any:
            return x * SCALE

        return lambda x: inner(x) + 1

    def closing(factor: float) -> Callable[[Any], Any]:
        return lambda x: x * factor

    def results() -> list[float]:
        functions = (reading, through_another(), closing(SCALE))
        made = [tj.primitive(function, name="scaled") for function in functions]
        eager = [each(3.0).item() for each in made]
        assert [tj.compile(lambda x, each=each: each(x), strict=True)(np.float32(3)).item() for each in made] == eager
        return eager

    assert results() == [6.0, 7.0, 6.0]
    kept = tj.primitive(reading, name="scaled")
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert results() == [15.0, 16.0, 15.0]
    assert kept(3.0).item() == 6.0  # the value of the moment when it was made
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert results() == [6.0, 7.0, 6.0]
    one, two = (tj.primitive(function, name="literal") for function in (lambda x: x + 1.5, lambda x: x + 2.5))
    both = tj.compile(lambda x: (one(x), two(x)), strict=True)
    assert [each.item() for each in both(np.float32(0))] == [1.5, 2.5]
    assert "literal_2(" in both.source()


def test_names_that_mean_something_else_in_kernels() -> None:
    """Of the room's functions, of variables of the text, and of the step itself."""
    exp = tj.primitive(lambda x: x + 1.0, name="exp")

    def shifted(x: Any) -> Any:
        value = exp(x)
        return tj.exp(value) * exp(value)

    step = tj.compile(shifted, strict=True)
    np.testing.assert_allclose(step(X).numpy(), np.exp(X + 1) * (X + 2))
    cast = tj.primitive(lambda x: x + 2.0, name="cast")
    assert cast(X).tolist() == (X + 2).tolist()
    same = tj.primitive(lambda x: 2.0 * x, name="doubled")

    @tj.compile(strict=True)
    def doubled(x: Any) -> Any:
        return same(x)

    assert doubled(X).tolist() == (2 * X).tolist()


PROGRAM = """
import json, math, sys
import numpy as np
import tapejit as tj

found = []
x = np.float64([0.0, 1.0])
for factor in sys.argv[1:]:
    scope = {"math": math}
    exec(f"def own(x): return math.exp(x) * {factor}", scope)
    own = tj.primitive(scope["own"])
    step = tj.compile(lambda x: own(x), strict=True)
    values = [own(x).tolist(), step(x).tolist()]
    found.append([values, step.report()["from_cache"], "numba" in sys.modules])
print(json.dumps(found))
"""


def test_the_store_has_the_function_and_never_an_old_one(tmp_path: Path) -> None:
    def run(*factors: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *factors],
            capture_output=True, text=True, check=True, env={**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        return json.loads(done.stdout)

    (first,) = run("2.0")
    second, edited = run("2.0", "3.0")
    assert (first[1:], second[1:], edited[1:]) == ([0, True], [1, False], [0, True])
    assert first[0] == second[0]
    np.testing.assert_allclose(edited[0], np.array(first[0]) * 1.5)


# ---- what is wrong


def error_of(function: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(errors.TapejitError) as caught:
        tj.primitive(function, **options)(*args)
    return str(caught.value)


def test_functions_that_are_none() -> None:
    assert "no Python function" in error_of(math.exp, X)
    assert "without defaults" in error_of(lambda x, y=1.0: x, X, name="own")
    assert "without defaults" in error_of(lambda *x: x, X, name="own")
    assert "give it a name" in error_of(lambda x: x, X)
    assert "other than 'out'" in error_of(lambda out: out, X, name="own")
    assert "no parameter y; it has x" in error_of(lambda x: x, X, name="own", partials={"y": 1.0})
    assert "asks for ct; there is x, out" in error_of(lambda x: x, X, name="own", partials={"x": lambda ct, x: ct})
    assert "'floating' or 'numeric'" in error_of(lambda x: x, X, name="own", dtypes="all")


def looks_up(x: Any) -> Any:
    return {"a": x}["a"].nothing


def raises(x: Any) -> Any:
    if x < 0:
        raise ValueError("negative")
    return x


def draws(x: Any) -> Any:
    return x + random.random()


@pytest.mark.parametrize("emit", ["source", "instructions"])
@pytest.mark.parametrize(
    ("function", "why"),
    [
        (looks_up, "not compiled by Numba"),
        (raises, "may raise an exception"),
        (draws, "which a kernel may not"),
        (lambda x: (x, x), "returns UniTuple"),
    ],
)
def test_functions_that_do_more_than_give_a_number(
    function: Callable[..., Any], why: str, emit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEJIT_EMIT", emit)
    message = error_of(function, X, name="own")
    assert why in message
    assert f"{__file__}:{function.__code__.co_firstlineno}" in message
    own = tj.primitive(function, name="own")
    with pytest.raises(errors.CompileError, match=why):
        tj.compile(own, strict=True)(X)


def test_a_floating_result_where_integers_are_wanted() -> None:
    message = error_of(lambda n: n / 2, np.array([3]), name="half", dtypes="numeric")
    assert "returns float64, where int64 is wanted" in message


def test_functions_of_the_c_library() -> None:
    """Those for which kernels have vector functions, and others."""

    def many(x: Any) -> Any:
        y = math.erf(x) + math.lgamma(x) + math.gamma(x) + math.hypot(x, 1.5) + math.floor(x) + math.pow(x, 0.3)
        return y + math.atan2(x, 2.0) + math.sinh(x) + math.log1p(x) + math.cos(x) + abs(x) + max(x, 1.0) + x % 0.75

    own = tj.primitive(many)
    x = np.linspace(0.2, 3, 40)
    expected = np.array([many(each) for each in x])
    np.testing.assert_allclose(own(x).numpy(), expected, rtol=1e-14)
    np.testing.assert_allclose(own(np.float32(x)).numpy(), expected, rtol=2e-5)
