"""The line fit: six points on y = 2x - 1, the absolute error, gradient descent."""

from collections.abc import Callable
from typing import Any

import tapejit as tj

X_TRAIN = [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
Y_TRAIN = [-3.0, -1.0, 1.0, 3.0, 5.0, 7.0]
START = (0.3, 0.1)
learning_rate = 0.001


def simple_loss(real_y: Any, pred_y: Any) -> Any:
    """The absolute error of each point."""
    return tj.abs(real_y - pred_y)


def training_step(w: tj.Variable, b: tj.Variable) -> Callable[[Any, Any], None]:
    """The step that fits ``w * x + b``, not compiled."""

    def fit_data(real_x: Any, real_y: Any) -> None:
        with tj.GradientTape(persistent=True) as tape:
            reg_loss = simple_loss(real_y, w * real_x + b)
        w.assign_sub(tape.gradient(reg_loss, w) * learning_rate)
        b.assign_sub(tape.gradient(reg_loss, b) * learning_rate)

    return fit_data
