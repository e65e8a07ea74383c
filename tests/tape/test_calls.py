"""What an eager step costs before NumPy computes anything: calls of Python functions, which can be counted."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tapejit as tj

PACKAGE = str(Path(tj.__file__).parent)


def calls(function: Callable[[], Any]) -> Counter[str]:
    """How often each function of the package is called, once nothing is new to it any more."""
    for _ in range(3):
        function()
    counted: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            counted[frame.f_code.co_qualname] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return counted


X, Y = tj.constant([1.0, 2.0, 3.0]), tj.constant([0.5, 0.25, 0.125])
M = tj.constant([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("operation", "most"),
    [
        (lambda: X * Y, 2),
        (lambda: X * 2.0, 6),
        (lambda: 2 * X, 8),
        (lambda: -X, 2),
        (lambda: tj.where(X > Y, X, 0.0), 10),
        (lambda: M @ M, 12),
    ],
)
def test_an_operation_is_few_calls(operation: Callable[[], Any], most: int) -> None:
    assert calls(operation).total() <= most


def test_operands_that_fit_are_not_asked_for_their_dtypes() -> None:
    v = tj.Variable([1.0, 2.0, 3.0])
    for operation in (lambda: X / Y, lambda: X / 64, lambda: 1 - X, lambda: v * X, lambda: X + v, lambda: v + v):
        assert calls(operation)["coerce"] == 0


def test_a_step_is_few_calls() -> None:
    w, b = tj.Variable(0.3), tj.Variable(0.1)

    def step() -> None:
        with tj.GradientTape() as tape:
            loss = tj.abs(Y - (w * X + b))
        by_w, by_b = tape.gradient(loss, [w, b])
        w.assign_sub(by_w * 0.001)
        b.assign_sub(by_b * 0.001)

    counted = calls(step)
    assert counted["Eager.bind"] == 13  # four operations, five of the reverse pass, two products, two differences
    assert counted.total() <= 170
