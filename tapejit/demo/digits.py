"""TensorFlow's convolution tutorial, on scikit-learn's bundled handwritten digits: 8 × 8 pixels, 10 classes."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapejit as tj

from ..dataclass import dataclass

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError:
    load_digits = None  # `data` says what to do

HELD_OUT = 450
BATCH, EPOCHS = 32, 200
STEPS = 8400  # of full batches


@dataclass(frozen=True, slots=True)
class Digits:
    """Images, float32 in [0, 1], shape (n, 8, 8, 1), and their labels, int64: to train on, and held out."""

    images: np.ndarray
    labels: np.ndarray
    held_out_images: np.ndarray
    held_out_labels: np.ndarray


def data() -> Digits:
    """The 1,797 digits in a fixed random order, 450 of them held out.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    """
    if load_digits is None:
        raise ModuleNotFoundError("the digits come with scikit-learn, which is not installed here", name="sklearn")
    pixels, numbers = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    images = (pixels[order].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    labels = numbers[order].astype(np.int64)
    return Digits(images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT])


def tutorial() -> tuple[Any, Callable[[Any, Any], Any]]:
    """The tutorial's model and its step, not compiled, with the same weights each time.

    The learning rate, which starts higher and decays, as the weights do, is not the tutorial's.
    """
    model = tj.nn.Sequential([
        tj.nn.Conv2D(16, [3, 3], activation="relu", input_shape=(None, None, 1)),
        tj.nn.Conv2D(16, [3, 3], activation="relu"),
        tj.nn.GlobalAveragePooling2D(),
        tj.nn.Dense(10),
    ])  # fmt: skip
    learning_rate = tj.optimizers.schedules.CosineDecay(0.015, 8400)
    optimizer = tj.optimizers.Adam(learning_rate, weight_decay=0.02)
    loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    def train_step(images: Any, labels: Any) -> Any:
        with tj.GradientTape() as tape:
            logits = model(images, training=True)
            loss_value = loss_object(labels, logits)
        grads = tape.gradient(loss_value, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
        return loss_value

    for seed, kernel in enumerate(variable for variable in model.variables if len(variable.shape) > 1):
        kernel.assign(tj.nn.initializers.glorot_uniform(seed)(kernel.shape, "float32"))
    return model, train_step


def guesses(model: Any, images: np.ndarray) -> np.ndarray:
    """What the model takes the images for, int64, shape (n,)."""
    read = tj.compile(strict=True)(lambda images: tj.argmax(model(images), axis=1))
    numbers: np.ndarray = read(images).numpy()
    return numbers
