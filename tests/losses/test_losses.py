"""Losses against the numbers of Keras, at extreme logits, compiled, and with arguments that don't fit."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, IndexRangeError, ShapeError
from tests.gradients import check_gradients

KERAS = json.loads((Path(__file__).parent / "keras.json").read_text())
"""From Keras 3.13 in float64: each reduction without and with weights."""

WEIGHTS = np.array([0.5, 1.0, 0.0, 2.0])
CASES = [pytest.param(*case, id=f"{case[0]} {case[1]}") for case in KERAS]


def results(name: str, options: dict[str, Any], targets: Any, predictions: Any) -> list[Any]:
    found = []
    for reduction in ("sum_over_batch_size", "sum", "none", "mean_with_sample_weight"):
        loss = getattr(tj.losses, name)(reduction=reduction, **options)
        found += [loss(targets, predictions), loss(targets, predictions, sample_weight=WEIGHTS)]
    return found


@pytest.mark.parametrize(("name", "options", "targets", "predictions", "expected"), CASES)
def test_the_numbers_of_keras_eagerly_and_compiled(
    name: str, options: dict[str, Any], targets: Any, predictions: Any, expected: list[Any]
) -> None:
    arrays = np.array(targets), np.array(predictions)
    compiled = tj.compile(lambda t, p: results(name, options, t, p), strict=True)
    for found in (results(name, options, *arrays), compiled(*arrays)):
        for value, number in zip(found, expected, strict=True):
            np.testing.assert_allclose(value.numpy(), number, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options", "targets", "predictions", "_"), CASES)
def test_gradients(name: str, options: dict[str, Any], targets: Any, predictions: Any, _: Any) -> None:
    loss = getattr(tj.losses, name)(**options)
    check_gradients(lambda p: loss(np.array(targets), p), [np.array(predictions)])


def test_extreme_logits_are_no_trouble() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    for loss, targets in (
        (tj.losses.BinaryCrossentropy(from_logits=True), np.eye(2)),
        (tj.losses.CategoricalCrossentropy(from_logits=True), np.eye(2)),
        (tj.losses.SparseCategoricalCrossentropy(from_logits=True), np.arange(2)),
    ):
        x = tj.constant(logits)
        with tj.GradientTape() as tape:
            tape.watch(x)
            right, wrong = loss(targets, x), loss(targets, -x)
        assert float(right) == 0.0
        assert float(wrong) in (1e4, 2e4)
        assert np.isfinite(tape.gradient([right, wrong], x).numpy()).all()


COLUMN = np.array([[0.5], [1.0], [-2.0], [0.25]])


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "Huber"])
def test_a_column_and_a_vector_are_as_many_examples(name: str) -> None:
    """As in Keras: of (n,) and (n, 1) both are (n, 1)."""
    loss, t = getattr(tj.losses, name)(reduction=None), np.zeros(4)
    expected = loss(t[:, None], COLUMN).numpy()
    assert expected.shape == (4,)
    np.testing.assert_array_equal(loss(t, COLUMN), expected)
    np.testing.assert_array_equal(loss(COLUMN, t, sample_weight=WEIGHTS), expected * WEIGHTS)
    assert loss(np.zeros((4, 2, 1)), np.ones((4, 2))).shape == (4,)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (4, 1), (4, 5), (4, 5, 1), (1, 5)])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None, "mean_with_sample_weight"])
def test_weights_broadcast_from_the_left(shape: tuple[int, ...], reduction: str | None) -> None:
    t, p, weights = np.zeros((4, 5, 2)), np.arange(40.0).reshape(4, 5, 2), np.arange(1.0, 1 + np.prod(shape))
    weights = weights.reshape(shape)
    aligned = weights.reshape(shape[:2] + (1,) * (2 - len(shape)))
    values = (p**2).mean(-1)
    expected = {
        "sum_over_batch_size": (values * aligned).mean(), "sum": (values * aligned).sum(), None: values * aligned,
        "mean_with_sample_weight": np.average(values, weights=np.broadcast_to(aligned, values.shape)),
    }[reduction]  # fmt: skip
    found = tj.losses.MeanSquaredError(reduction)(t, p, sample_weight=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_ignored_labels_count_in_no_mean() -> None:
    """Keras 3.15 has these numbers; 255 and -1 are none that labels of any dtype could have."""
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, 1.0, 1.0]])
    right = -np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    for labels, ignored in ((np.array([0, 255, 2], np.uint8), 255), (np.array([0.0, -1.0, 2.0], np.float32), -1)):
        loss = tj.losses.SparseCategoricalCrossentropy(True, ignore_class=ignored)
        np.testing.assert_allclose(float(loss(labels, logits)), (right[0, 0] + right[2, 2]) / 2)
        np.testing.assert_allclose(float(loss(labels[:, None], logits)), (right[0, 0] + right[2, 2]) / 2)
    none = tj.losses.SparseCategoricalCrossentropy(True, ignore_class=-1)
    np.testing.assert_allclose(float(none(np.array([0, 1, 2], np.uint8), logits)), right[[0, 1, 2], [0, 1, 2]].mean())
    weighted = tj.losses.SparseCategoricalCrossentropy(True, ignore_class=1, reduction="mean_with_sample_weight")
    found = weighted(np.array([[0], [1], [2]]), logits[:, None], sample_weight=[1.0, 5.0, 3.0])
    np.testing.assert_allclose(float(found), (right[0, 0] + 3 * right[2, 2]) / 4)


def test_a_batch_without_examples_has_no_mean() -> None:
    def step(t: Any, p: Any) -> Any:
        w.assign_add(1.0)
        return tj.losses.Huber()(t, p)

    w, empty = tj.Variable(0.0), np.zeros((0, 3))
    for call in (step, tj.compile(step, strict=True)):
        with pytest.raises(ShapeError, match=r"Huber: the batch is empty, predictions are of shape \(0, 3\)"):
            call(empty, empty)
        w.assign(0.0)
    assert float(tj.losses.Huber(1.0, "sum")(empty, empty)) == 0.0
    assert tj.losses.Huber(reduction="none")(empty, empty).shape == (0,)
    with pytest.raises(ShapeError, match=r"mean_squared_error: there is no mean .* shape \(0,\)"):
        tj.losses.mean_squared_error(np.zeros(0), np.zeros(0))


class Cubes(tj.losses.Loss):
    """One of the user's own."""

    def __init__(self, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.scale * tj.mean(tj.abs(y_true - y_pred["out"]) ** 3, axis=-1)


def test_a_loss_of_the_users_own() -> None:
    loss = Cubes(2.0, name="cubes", reduction="sum")
    assert float(loss([[0, 1.0]], {"out": [[2, 1.0]]})) == 8.0
    step = tj.compile(lambda t, p: loss(t, {"out": p}, sample_weight=3.0), strict=True)
    t, p = np.zeros((2, 2)), np.ones((2, 2))
    assert float(step(t, p)) == 12.0
    loss.scale = 1.0
    assert float(step(t, p)) == 6.0
    assert tj.losses.MeanSquaredError(dtype="float64")([1, 2], [1, 4]).dtype == np.float64


def test_a_setting_that_changes_takes_effect_in_a_compiled_step() -> None:
    loss = tj.losses.Huber(delta=1.0)
    step = tj.compile(lambda t, p: loss(t, p), strict=True)
    t, p = np.zeros(2), np.array([3.0, 0.0])
    assert float(step(t, p)) == 1.25
    loss.delta = 4.0
    assert float(step(t, p)) == 2.25
    loss.reduction = "none"
    assert step(t, p).shape == ()
    loss.reduction = "average"
    with pytest.raises(ValueError, match=r"reduction is one of .*; got 'average'"):
        step(t, p)


def test_a_label_that_is_no_class_is_an_error() -> None:
    loss = tj.losses.SparseCategoricalCrossentropy(from_logits=True)
    seen = tj.Variable(0)

    def step(labels: Any, logits: Any) -> Any:
        result = loss(labels, logits)
        seen.assign_add(1)
        return result

    logits = np.zeros((3, 2))
    compiled = tj.compile(step, strict=True)
    for call in (step, compiled):
        call(np.array([0, 1, 1]), logits)
        for label in (2, -1):
            with pytest.raises(
                IndexRangeError, match=rf"the label at \[1\] is {label}, which is none of the 2 classes"
            ):
                call(np.array([0, label, 5]), logits)
        with pytest.raises(IndexRangeError, match=r"the label at \[2\] is -9223372036854775808"):
            call(np.array([0.0, 1.0, np.nan], np.float32), logits)
        with pytest.raises(IndexRangeError, match=r"the label at \[1, 2\] is 7, which is none of the 2 classes"):
            call(np.array([[0, 0, 1], [0, 1, 7]], np.uint8), np.zeros((2, 3, 2), np.float32))
    assert seen.numpy() == 2


def test_a_label_that_is_no_class_in_a_loop() -> None:
    loss = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    @partial(tj.compile, strict=True)
    def total(labels: Any, logits: Any) -> Any:
        return tj.scan(lambda carry, row: (carry + loss(*row), None), 0.0, (labels, logits))[0]

    labels, logits = np.arange(12).reshape(4, 3) % 2, np.zeros((4, 3, 2), np.float32)
    assert float(total(labels, logits)) == pytest.approx(4 * np.log(2))
    labels[2, 1] = 9
    with pytest.raises(IndexRangeError, match="is 9, which is none of the 2 classes"):
        total(labels, logits)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tj.losses.Huber(-1.0)(np.ones(2), np.ones(2)), ValueError, "delta is at least 0, got -1.0"),
        (
            lambda: tj.losses.BinaryCrossentropy(label_smoothing=1.5)(np.ones(2), np.ones(2)),
            ValueError,
            "label_smoothing is from 0 to 1, got 1.5",
        ),
        (lambda: tj.losses.MeanSquaredError(reduction="all"), ValueError, "reduction is one of 'sum_over_batch_size'"),
        (lambda: tj.losses.MeanSquaredError()(np.ones((2, 3)), np.ones((2, 4))), ShapeError, r"\(2, 3\) .*\(2, 4\)"),
        (
            lambda: tj.losses.MeanSquaredError()(np.ones((2, 3)), np.ones((2, 3)), np.ones(3)),
            ShapeError,
            "sample_weight",
        ),
        (
            lambda: tj.losses.SparseCategoricalCrossentropy()(np.ones((2, 3), int), np.ones((2, 3))),
            ShapeError,
            "whose last axis is that of the classes; .* there is CategoricalCrossentropy",
        ),
        (
            lambda: tj.losses.CategoricalCrossentropy()(np.ones(2, int), np.ones((2, 3))),
            ShapeError,
            "there is SparseCategoricalCrossentropy",
        ),
        (
            lambda: tj.losses.MeanSquaredError()(np.ones(3), np.ones(3), np.ones(3)),
            ShapeError,
            r"for values of shape \(\); with one column, \(n, 1\)",
        ),
        (
            lambda: tj.losses.SparseCategoricalCrossentropy()(np.array([True]), np.ones((1, 3))),
            DtypeError,
            "numbers of",
        ),
    ],
)
def test_arguments_that_do_not_fit(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
