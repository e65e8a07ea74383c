"""Loops whose iterations don't meet in memory: how they are found, and what LLVM makes of them."""

import ast

import numpy as np
import pytest

from tapejit.kernel import build, objects
from tapejit.kernel.parallel import is_parallel, is_short


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("y[i] = x[i]", True),
        ("y[i] = x[i + 1] - x[0]", True),
        ("y[i] = y[i] + x[i]", True),
        ("y[4 + i * 2] = x[i]", True),
        ("y[-i + 3] = x[i]", True),
        ("v = x[i]\ny[j * 10 + i] = v", True),
        ("y[i] = y[i + 1]", False),
        ("y[i + 1] = 1\ny[i] = 2", False),
        ("y[0] = x[i]", False),
        ("y[j] = accumulate(y[j], x[i])", False),
        ("y[i - i] = x[i]", False),
        ("y[select(i < 3, i, 0)] = x[i]", False),
        ("y[int64(k[i])] = x[i]", False),
        ("y[i * j] = x[i]", False),
        ("sum = accumulate(sum, x[i])", True),
        ("gemm_float32(shifted(y, i))", False),
    ],
)
def test_loops_are_parallel_where_no_iteration_touches_what_another_one_writes(lines: str, expected: bool) -> None:
    assert is_parallel(ast.parse(lines).body, "i") is expected


@pytest.mark.parametrize(
    ("lines", "length", "expected"),
    [
        ("y[j * 10 + i] = x[i] - v", 10, True),
        ("y[i] = x[j]", 10, True),
        ("sum = accumulate(sum, x[i * 7])", 10, True),
        ("y[i] = x[i * 10 + j]", 10, False),
        ("y[i * 10 + j] = x[i]", 10, False),
        ("v = x[i]", 10, False),
        ("y[i] = x[i]", 100, False),
        ("y[i] = x[i + row]", 64, True),
        ("y[i] = x[i] * v", 80, False),
    ],
)
def test_short_loops_are_made_of_vectors_first_where_they_go_along_memory_or_sum_up(
    lines: str, length: int, expected: bool
) -> None:
    (loop,) = ast.parse(f"for i in range({length}):\n    {lines}").body
    assert isinstance(loop, ast.For)
    assert is_short(loop) is expected


ROWS = """
def rows(table, stage, lo, hi):
    x = float64_at(table, 0)
    m = float64_at(table, 1)
    y = float64_at(table, 2)
    for i in range(1000):
        for j in range(10):
            y[i * 10 + j] = x[i * 10 + j] - m[j]
    return OK
"""


def test_short_rows_are_not_gathered_into_columns() -> None:
    text = build.build(ROWS, "rows", "kernel", {}).llvm_text()
    assert " fsub <" in text
    assert "gather" not in text
    assert "scatter" not in text


UPDATE = """
def update(table, stage, lo, hi):
    w = float32_at(table, 0)
    w_next = float32_at(table, 1)
    g = float32_at(table, 2)
    for i in range(1003):
        w_next[i] = w[i] - g[i] * {right}
    return OK
"""


@pytest.mark.parametrize(("right", "parallel"), [("g[i]", True), ("w_next[1002 - i]", False)])
def test_an_update_in_place_is_vectorised_without_checks_at_run_time(right: str, parallel: bool) -> None:
    text = build.build(UPDATE.format(right=right), "update", "kernel", {}).llvm_text()
    assert (" fsub <" in text) == parallel
    assert "memcheck" not in text


def test_an_update_in_place_and_beside_gives_the_same() -> None:
    built = build.build(UPDATE.format(right="g[i]"), "update", "kernel", {})
    kernel = objects.load(built.code, "kernel", built.symbols)
    w, g = np.random.default_rng(0).normal(size=(2, 1003)).astype(np.float32)
    other, expected = np.zeros_like(w), w - g * g
    for target in (other, w):
        table = np.array([w.ctypes.data, target.ctypes.data, g.ctypes.data])
        assert kernel.call(table.ctypes.data, -1, 0, 0) == 0
        np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize(
    ("lines", "count", "expected"),
    [
        ("y[i] = 1\ny[i + 8] = y[i + 8] + 1", 8, True),
        ("y[i] = 1\ny[i + 8] = y[i + 8] + 1", 9, False),
        ("y[i] = 1\ny[i + 8] = 2", None, False),
        ("y[i * 2] = 1\ny[i * 2 + 1] = y[i * 2 - 1]", None, False),
        ("y[i * 2] = 1\nv = y[i * 2 - 1]", None, True),
        ("y[j * 8 + i] = y[j * 8 + i + 32]", 32, True),
        ("y[j * 8 + i] = y[k * 8 + i + 32]", 32, False),
        ("y[j * 8 + i] = y[j * 8 - i + 32]", 8, False),
    ],
)
def test_places_of_one_array_that_are_far_enough_apart(lines: str, count: int | None, expected: bool) -> None:
    assert is_parallel(ast.parse(lines).body, "i", count) is expected
