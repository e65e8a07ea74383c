"""Derivatives of models: for each example, all rows, and of derivatives; eagerly and compiled."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import nn

IMAGES = np.random.default_rng(0).normal(size=(3, 6, 6, 1)).astype(np.float32)
LABELS = np.array([0, 1, 1])


@pytest.fixture
def model() -> Any:
    made = nn.Sequential([nn.Flatten(), nn.Dense(3, "softplus"), nn.BatchNormalization(), nn.Dense(2)])
    made.build((None, 6, 6, 1))
    return made


def close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=tolerance, atol=tolerance)


def test_the_gradients_of_each_example() -> None:
    model = nn.Sequential([nn.Conv2D(2, 3, activation="relu"), nn.MaxPool2D(), nn.Flatten(), nn.Dense(2)])
    model(IMAGES)
    loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    def gradients(image: Any, label: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = loss_object(label[None], model(image[None]))
        return tape.gradient(loss, model.trainable_variables)

    at_once = tj.vmap(gradients)
    found = at_once(IMAGES, LABELS)
    close(tj.compile(at_once, strict=True)(IMAGES, LABELS), found)
    for place in range(3):
        one = gradients(tj.asarray(IMAGES[place]), tj.asarray(LABELS[place]))
        close([each[place] for each in found], one)


def test_a_jacobian_by_the_weights(model: Any) -> None:
    def rows(images: Any) -> Any:
        with tj.GradientTape() as tape:
            logits = model(images)
        return tape.jacobian(logits, model.trainable_variables)

    found = rows(IMAGES)
    assert [each.shape for each in found] == [(3, 2, *weight.shape) for weight in model.trainable_variables]
    close(tj.compile(rows, strict=True)(IMAGES), found)
    with tj.GradientTape() as tape:
        second = model(IMAGES)[1, 0]
    close([each[1, 0] for each in found], tape.gradient(second, model.trainable_variables))


def test_a_penalty_on_the_gradient_by_the_inputs(model: Any) -> None:
    def penalty(images: Any) -> Any:
        images = tj.asarray(images)
        with tj.GradientTape() as outer:
            with tj.GradientTape() as inner:
                inner.watch(images)
                score = tj.sum(model(images, training=True) ** 2)
            slopes = inner.gradient(score, images)
            value = tj.sum(slopes * slopes)
        return value, outer.gradient(value, model.trainable_variables, unconnected_gradients="zero")

    before = model.get_weights()
    value, gradients = penalty(IMAGES)
    model.set_weights(before)
    compiled_value, compiled = tj.compile(penalty, strict=True)(IMAGES)
    assert float(compiled_value) == pytest.approx(float(value), rel=1e-4)
    scale = max(float(tj.max(tj.abs(each))) for each in gradients)
    close([each / scale for each in compiled], [each / scale for each in gradients], 1e-4)


def test_a_first_call_inside_a_batch_builds() -> None:
    layer = nn.LSTM(2)
    found = tj.vmap(lambda x: layer(x[None])[0])(IMAGES[:, :, :, 0])
    np.testing.assert_allclose(found.numpy(), layer(IMAGES[:, :, :, 0]).numpy(), rtol=1e-5, atol=1e-6)
