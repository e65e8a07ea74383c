"""Softmax regression on scikit-learn's bundled handwritten digits: 64 pixels, 10 classes, full batch."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapejit as tj

from ..dataclass import dataclass

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError:
    load_digits = None  # `data` says what to do

PIXELS, CLASSES = 64, 10
HELD_OUT = 450
learning_rate = 0.5


@dataclass(frozen=True, slots=True)
class Digits:
    """Images, float32 in [0, 1], shape (n, 64), and their labels, int64: to train on, and held out."""

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
    images, labels = (pixels[order] / 16).astype(np.float32), numbers[order].astype(np.int64)
    return Digits(images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT])


def training_step(w: tj.Variable, b: tj.Variable) -> Callable[[Any, Any], Any]:
    """One step of descent on the mean cross-entropy, not compiled; it returns the loss."""

    def train(images: Any, labels: Any) -> Any:
        with tj.GradientTape() as tape:
            logits = images @ w + b
            chosen = tj.sum(tj.one_hot(labels, CLASSES) * logits, axis=1)
            loss = tj.mean(tj.logsumexp(logits, axis=1) - chosen)
        ct_w, ct_b = tape.gradient(loss, [w, b])
        w.assign_sub(learning_rate * ct_w)
        b.assign_sub(learning_rate * ct_b)
        return loss

    return train


def accuracy(w: tj.Variable, b: tj.Variable, digits: Digits) -> float:
    """The share of held-out digits that are recognised."""
    guesses = tj.argmax(digits.held_out_images @ w + b, axis=1)
    return float(tj.mean(tj.astype(guesses == digits.held_out_labels, "float64")))
