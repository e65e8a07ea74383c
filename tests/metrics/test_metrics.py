"""Metrics: hand-made numbers, several batches, weights, compiled updates."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError

LABELS = np.array([0, 2, 1, 1])
SCORES = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]])
ONES, CHANCES = np.array([0, 1, 1, 1, 0]), np.array([0.9, 0.2, 0.8, 0.7, 0.1])

CASES: list[tuple[Any, tuple[Any, ...], Any, float]] = [
    (tj.metrics.Sum, (np.array([1.0, 2.0]),), None, 3.0),
    (tj.metrics.Mean, (np.array([1.0, 3.0]),), None, 2.0),
    (tj.metrics.Mean, (np.array([1.0, 3.0]),), np.array([3.0, 1.0]), 1.5),
    (tj.metrics.Accuracy, (np.array([1, 2, 3]), np.array([1, 2, 4])), None, 2 / 3),
    (tj.metrics.Accuracy, (np.array([1, 2, 3]), np.array([1, 2, 4])), np.array([1.0, 0.0, 3.0]), 0.25),
    (tj.metrics.BinaryAccuracy, (ONES, CHANCES), None, 0.6),
    (tj.metrics.CategoricalAccuracy, (np.eye(3)[LABELS], SCORES), None, 0.75),
    (tj.metrics.SparseCategoricalAccuracy, (LABELS, SCORES), None, 0.75),
    (tj.metrics.SparseCategoricalAccuracy, (LABELS[:, None], SCORES), None, 0.75),
    (tj.metrics.Precision, (ONES, CHANCES), None, 2 / 3),
    (tj.metrics.Recall, (ONES, CHANCES), None, 2 / 3),
    (tj.metrics.Recall, (ONES, CHANCES), np.array([1.0, 2.0, 1.0, 1.0, 1.0]), 0.5),
]


@pytest.mark.parametrize(("kind", "arrays", "weights", "expected"), CASES)
@pytest.mark.parametrize("compiled", [False, True])
def test_values(kind: Any, arrays: tuple[Any, ...], weights: Any, expected: float, compiled: bool) -> None:
    metric = kind()
    step = tj.compile(lambda *given: metric(*given), strict=True) if compiled else metric
    given = arrays if weights is None else (*arrays, weights)
    np.testing.assert_allclose(float(step(*given)), expected)
    np.testing.assert_allclose(float(metric.result()), expected)


def test_batches_add_up_and_reset_begins_anew() -> None:
    metric = tj.metrics.SparseCategoricalAccuracy()
    assert float(metric.result()) == 0.0
    for begin in (0, 2):
        metric.update_state(LABELS[begin : begin + 2], SCORES[begin : begin + 2])
    assert float(metric.result()) == 0.75
    metric.reset_state()
    assert float(metric.result()) == 0.0
    assert len(metric.variables) == 2
    assert metric.trainable_variables == ()


def test_counts_beyond_what_float32_can_count() -> None:
    metric = tj.metrics.Mean()
    metric.total.assign(2.0**24)
    metric.count.assign(2.0**24)
    metric.update_state(np.ones(3))
    assert float(metric.count) == 2.0**24 + 3


def test_a_threshold_that_changes_takes_effect_in_a_compiled_step() -> None:
    metric = tj.metrics.Precision()
    step = tj.compile(lambda t, p: metric(t, p), strict=True)
    step(ONES, CHANCES)
    metric.reset_state()
    metric.thresholds = 0.75
    assert float(step(ONES, CHANCES)) == 0.5


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tj.metrics.Accuracy()(np.ones(2), np.ones(3)), ShapeError, r"\(2,\) for predictions of shape \(3,\)"),
        (lambda: tj.metrics.Mean()(np.ones(2), np.ones(3)), ShapeError, "sample_weight of shape"),
        (lambda: tj.metrics.Recall(2.0), ValueError, "a threshold from 0 to 1"),
    ],
)
def test_what_does_not_fit(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
