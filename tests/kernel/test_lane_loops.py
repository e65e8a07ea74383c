"""Loops over short rows, several at once: numbers, tails, both emitters, machine code."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel import build
from tests.agreement import check_agreement, trace
from tests.kernel.test_epilogue import both_emitters

Function = Callable[..., Any]


def classified(x: Any, labels: Any, b: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch([x, b])
        chosen = tj.one_hot(labels, x.shape[-1]) * tj.log_softmax(x + b, axis=-1)
        loss = -tj.mean(tj.sum(chosen, axis=-1))
    return [loss, *tape.gradient(loss, [x, b])]


def posterior(x: Any, labels: Any, b: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch(b)
        value = tj.sum(tj.softplus(tj.sum(x * b, axis=1)) - tj.astype(labels, b.dtype) * tj.sum(x * b, axis=1))
    return value, tape.gradient(value, b)


def combined(x: Any, labels: Any, b: Any) -> Any:
    x = tj.sinh(x)
    row = tj.max(x, axis=1)
    return (
        tj.prod(tj.abs(x) + 0.5, axis=1) * row, tj.min(x * b, axis=0), tj.max(row), tj.min(row),
        tj.sum(tj.astype(x > b, "int64"), axis=1), tj.sum(labels * tj.astype(x[:, 0] > 0, "int64")),
    )  # fmt: skip


def decided(x: Any, labels: Any, b: Any) -> Any:
    x = tj.sinh(x)
    above = tj.any(x > b + 1.0, axis=1)
    return above, tj.all(x > -2.0, axis=1), tj.any(above), tj.all(above), tj.sum(x, axis=1) > tj.sum(x * b, axis=1)


def normalised(x: Any, _labels: Any, b: Any) -> Any:
    x = tj.exp(x)
    centred = x - tj.mean(x, axis=-1, keepdims=True)
    y = centred / tj.sqrt(tj.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * b
    return y, tj.sum(y, axis=0), tj.sum(y * y)


def paired(x: Any, _labels: Any, b: Any) -> Any:
    squares = (x[:, :, None] - b) ** 2
    return tj.sum(tj.exp(-squares), axis=2), tj.sum(squares, axis=0)


FUNCTIONS = {each.__name__: each for each in (classified, posterior, combined, decided, normalised, paired)}
SHAPES = [(32, 10), (100, 7), (150, 3), (40, 20)]
"""Whole vectors; a sum of less than one block, and lanes that are left; several blocks; rows of several vectors."""


def drawn(dtype: str, n: int, k: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(n, k)).astype(dtype), rng.integers(0, k, n), rng.normal(size=k).astype(dtype)]


def loops_in_lanes(function: Function, *arguments: np.ndarray) -> int:
    return trace(function, arguments).emitted().source.count(" in lanes(")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_short_rows(name: str, shape: tuple[int, int], dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = drawn(dtype, *shape)
    near = (name, shape) != ("paired", (40, 20))  # else 400 elements for each lane
    assert (loops_in_lanes(FUNCTIONS[name], *arguments) > 0) == near
    plain = dtype == "float64" and shape == SHAPES[0]
    traced, _ = check_agreement(FUNCTIONS[name], arguments, plain=plain, scale=10)
    both_emitters(traced, arguments, monkeypatch)


def test_what_is_not_a_number_stays_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels, b = drawn("float32", 50, 5)
    x[3, 1], x[20, 0], x[49, 4] = np.nan, np.inf, -np.inf
    for function in (classified, combined):
        traced, _ = check_agreement(function, [x, labels, b], plain=False)
        both_emitters(traced, [x, labels, b], monkeypatch)


def test_sums_over_rows_keep_their_accuracy() -> None:
    x = np.full((100_000, 3), np.float32(0.1))

    def function(x: Any) -> Any:
        return tj.sum(tj.log(tj.max(x, axis=1)))

    assert loops_in_lanes(function, x) == 1
    _, executable = check_agreement(function, [x], plain=False)
    assert float(executable([x])[0].numpy()) == pytest.approx(100_000 * float(np.log(x[0, 0])), rel=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, *_: tj.exp(x) * 2.0,  # nothing is computed for a row
        lambda x, *_: tj.sum(tj.exp(x), axis=0),
        lambda x, *_: x / tj.sum(x, axis=1, keepdims=True),  # costs less than the way into lanes
        lambda x, labels, _: tj.take(x, labels) * tj.sum(tj.exp(x), axis=1),
        lambda x, *_: tj.cumsum(tj.exp(x), axis=1) / tj.sum(x, axis=1, keepdims=True),
    ],
)
def test_other_loops_stay_as_they_are(function: Function) -> None:
    arguments = drawn("float32", 64, 10)
    assert loops_in_lanes(function, *arguments) == 0


def test_long_rows_fill_vectors_themselves() -> None:
    x = np.ones((64, 100), np.float32)
    assert loops_in_lanes(lambda x: tj.softmax(x, axis=1), x) == 0
    assert loops_in_lanes(lambda x: tj.softmax(x, axis=1), x[:, :10]) == 1
    assert loops_in_lanes(lambda x: tj.softmax(x, axis=1), x[:8, :10]) == 0


def test_what_lanes_share_has_one_instruction_for_all() -> None:
    emitted = trace(classified, drawn("float32", 64, 10)).emitted()
    text = build.build(emitted.source, emitted.name, "kernel", emitted.constants).llvm_text()
    assert "fdiv float" not in text.replace("fdiv float %", "", 1)  # the mean's
    assert "tapejit_math_exp_f32" not in text
