"""Metrics: hand-made numbers, several batches, weights, compiled updates."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError

KERAS = json.loads((Path(__file__).parent / "keras.json").read_text())
"""From Keras 3.15 in float64: the result after a batch, and after one more with the targets turned, without weights."""

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


@pytest.mark.parametrize(("name", "options", "targets", "predictions", "weights", "expected"), KERAS)
def test_the_numbers_of_keras(
    name: str, options: dict[str, Any], targets: Any, predictions: Any, weights: Any, expected: list[Any]
) -> None:
    metric, targets, predictions = getattr(tj.metrics, name)(**options), np.array(targets), np.array(predictions)
    np.testing.assert_allclose(metric(targets, predictions, sample_weight=weights), expected[0], rtol=1e-12)
    np.testing.assert_allclose(metric(targets[::-1], predictions), expected[1], rtol=1e-12)


def test_the_largest_k_and_one_class_in_a_compiled_step() -> None:
    for options in ({"top_k": 2, "class_id": 1}, {"top_k": 1, "thresholds": [0.3, 0.6]}):
        eager, compiled = tj.metrics.Recall(**options), tj.metrics.Recall(**options)
        step = tj.compile(lambda t, p, metric=compiled: metric(t, p, sample_weight=[1.0, 2.0, 0.0, 1.0]), strict=True)
        t, p = np.eye(3)[LABELS], SCORES.astype(np.float32)
        np.testing.assert_array_equal(step(t, p), eager(t, p, sample_weight=[1.0, 2.0, 0.0, 1.0]))


def test_a_batch_without_examples_changes_nothing() -> None:
    for metric, empty in (
        (tj.metrics.Mean(), (np.zeros(0),)),
        (tj.metrics.SparseCategoricalAccuracy(), (np.zeros(0, int), np.zeros((0, 3)))),
        (tj.metrics.Precision(), (np.zeros(0), np.zeros(0))),
    ):
        assert float(metric(*empty)) == 0.0
        assert [float(tj.sum(variable)) for variable in metric.variables] == [0.0, 0.0]


def test_a_metric_of_the_users_own() -> None:
    class Positives(tj.metrics.Metric):
        def __init__(self, name: str = "positives", **options: Any) -> None:
            super().__init__(name=name, **options)
            self.count = self.add_weight(name="count", initializer="zeros", dtype="int64")
            self.seen = self.add_variable(shape=(2,), initializer="ones", name="seen")

        def update_state(self, values: Any) -> None:
            self.count.assign_add(tj.sum(tj.asarray(values) > 0))

        def result(self) -> Any:
            return self.count.read_value()

    metric = Positives(dtype="float32")
    assert int(metric([1.0, -1.0, 2.0])) == 2
    assert [(v.name, v.dtype.name, v.shape) for v in metric.variables] == [
        ("positives/count", "int64", ()), ("positives/seen", "float32", (2,)),
    ]  # fmt: skip
    metric.reset_state()
    assert int(metric.result()) == 0


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
        (lambda: tj.metrics.Recall([0.5, -1.0]), ValueError, "a threshold from 0 to 1 is expected, got -1.0"),
        (lambda: tj.metrics.Precision(top_k=0), ValueError, "top_k is 1 at least"),
        (lambda: tj.metrics.Precision(class_id=3)(np.eye(3), np.eye(3)), ShapeError, "class_id 3 for predictions"),
        (lambda: tj.metrics.Precision(class_id=0)(ONES, CHANCES), ShapeError, r"class_id 0 for .* \(5,\)"),
    ],
)
def test_what_does_not_fit(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
