"""TensorFlow's convolution tutorial as it is written: eagerly, falling back, and compiled with the loss returned."""

import warnings
from typing import Any

import numpy as np
import pytest

import tapejit as tj

IMAGES = np.random.default_rng(0).random((8, 10, 10, 1), np.float32)
LABELS = np.random.default_rng(1).integers(0, 10, 8)


def tutorial(weights: Any = None) -> tuple[Any, list[Any], Any]:
    """The step, what it appends to, and the model."""
    model = tj.nn.Sequential([
        tj.nn.Conv2D(16, [3, 3], activation="relu", input_shape=(None, None, 1)),
        tj.nn.Conv2D(16, [3, 3], activation="relu"),
        tj.nn.GlobalAveragePooling2D(),
        tj.nn.Dense(10),
    ])  # fmt: skip
    if weights is not None:
        model.set_weights(weights)
    optimizer = tj.optimizers.Adam()
    loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss_history: list[Any] = []

    def train_step(images: Any, labels: Any) -> None:
        with tj.GradientTape() as tape:
            logits = model(images, training=True)
            loss_value = loss_object(labels, logits)
        loss_history.append(loss_value.numpy().mean())
        grads = tape.gradient(loss_value, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))  # noqa: B905

    return train_step, loss_history, model


def test_the_tutorial_eagerly_and_falling_back() -> None:
    step, history, model = tutorial()
    weights = model.get_weights()
    for _ in range(3):
        step(IMAGES, LABELS)
    assert len(history) == 3
    assert history[2] < history[0]

    again, other_history, other = tutorial(weights)
    compiled = tj.compile(again)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            compiled(IMAGES, LABELS)
    assert [str(each.message).count("Return it from the step") for each in caught] == [1]
    assert "test_tutorial.py" in str(caught[0].message)
    assert other_history == history  # one entry a call
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_the_tutorial_with_the_loss_returned() -> None:
    step, history, model = tutorial()
    weights = model.get_weights()
    for _ in range(3):
        step(IMAGES, LABELS)

    _, _, model = tutorial(weights)
    optimizer = tj.optimizers.Adam()
    loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tj.compile(strict=True)
    def train_step(images: Any, labels: Any) -> Any:
        with tj.GradientTape() as tape:
            logits = model(images, training=True)
            loss_value = loss_object(labels, logits)
        grads = tape.gradient(loss_value, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))  # noqa: B905
        return loss_value

    losses = [train_step(IMAGES, LABELS).numpy().mean() for _ in range(3)]
    assert losses == pytest.approx(history, rel=1e-4)
    assert train_step(IMAGES[:3, :8, :7], LABELS[:3]).shape == ()  # another size: another kernel
