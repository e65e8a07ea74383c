"""Sums over rows that stay in registers: which loops are such, numbers, both emitters."""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel.row_loops import row_loop_of
from tests.agreement import check_agreement, trace
from tests.kernel.test_epilogue import both_emitters

Function = Callable[..., Any]


def weighted(x: Any, w: Any, _k: Any) -> Any:
    y = w[:, None] * x
    return y, tj.sum(y, axis=0), tj.sum(w)


def squared(x: Any, w: Any, _k: Any) -> Any:
    return tj.sum(x * x, axis=0), tj.sum(tj.exp(x) * w[:, None], axis=0), tj.max(x, axis=0)


def counted(x: Any, w: Any, k: Any) -> Any:
    return (
        tj.sum(k, axis=0), tj.min(tj.astype(k, "int8"), axis=0), tj.any(x > w[:, None], axis=0),
        tj.prod(1 + x / 8, axis=0),
    )  # fmt: skip


FUNCTIONS = {each.__name__: each for each in (weighted, squared, counted)}
CASES = [("float32", (40, 4)), ("float64", (100, 10)), ("float32", (150, 31))]
"""Part of a vector; vectors and a part; several blocks."""


def drawn(dtype: str, n: int, k: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(n, k)).astype(dtype), rng.normal(size=n).astype(dtype), rng.integers(-9, 9, (n, k))]


def found_in(text: str) -> int:
    """How many loops of a text add up rows."""
    loops = (tree for tree in ast.walk(ast.parse(text)) if isinstance(tree, ast.For))
    return sum(row_loop_of(loop, []) is not None for loop in loops)


@pytest.mark.parametrize(("dtype", "shape"), CASES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_sums_of_short_rows(name: str, shape: tuple[int, int], dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = drawn(dtype, *shape)
    assert found_in(trace(FUNCTIONS[name], arguments).emitted().source)
    traced, _ = check_agreement(FUNCTIONS[name], arguments, plain=dtype == "float64", scale=10)
    both_emitters(traced, arguments, monkeypatch)


def test_what_is_not_a_number_stays_in_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, k = drawn("float32", 50, 5)
    x[3, 1], x[20, 0], x[49, 4] = np.nan, np.inf, -np.inf
    for function in (weighted, squared):
        traced, _ = check_agreement(function, [x, w, k], plain=False)
        both_emitters(traced, [x, w, k], monkeypatch)


ROWS = "for i in range({rows}):\n    {before}\n    for j in range({length}):\n        {lines}"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("s[j] = accumulate(s[j], x[i * 10 + j])", True),
        ("s[j + k * 10] = maximum(s[j + k * 10], x[i * 10 + j] * v)", True),
        ("t = x[i * 10 + j]\n        y[i * 10 + j] = t\n        s[j] = accumulate(s[j], t)", True),
        ("s[j] = accumulate(s[j], x[j * 10 + i])", False),  # along columns
        ("s[i * 10 + j] = accumulate(s[i * 10 + j], x[j])", False),  # each row has its own
        ("s[j] = accumulate(s[j], s[j + 10])", False),
        ("s[j] = accumulate(s[j], x[int64(k[j])])", False),
        ("s[j] = accumulate(s[j], dot_float64(x, i * 10, 1, y, j, 10, 10))", False),
        ("s[j] = accumulate(s[j], t)\n        t = x[i * 10 + j]", False),  # handed on
        ("y[i * 10 + j] = x[i * 10 + j]", False),
        ("s[j] = accumulate(s[j], x[j] if j < i else v)", False),
    ],
)
def test_which_loops_add_up_rows(lines: str, expected: bool) -> None:
    assert found_in(ROWS.format(rows=99, before="v = w[i]", length=10, lines=lines)) == expected


def test_rows_that_are_long_or_end_the_kernel_are_left_to_others() -> None:
    line = "s[j] = accumulate(s[j], x[i * 100 + j])"
    assert not found_in(ROWS.format(rows=99, before="v = w[i]", length=100, lines=line))
    assert not found_in(ROWS.format(rows=99, before="while v: v = w[i]", length=10, lines=line))
