"""Losses of numbers against numbers."""

from typing import Any

from .. import ops
from ..aval import PYTHON_NUMBERS
from ..errors import at_user_line
from ..tensor import Tensor
from .loss import FunctionLoss, in_common, mean_of_last

TINY = 1e-7
"""What keeps divisions from 0, as Keras has it."""


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """``mean((y_true - y_pred)²)`` over the last axis.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (..., n)
        Targets and predictions.

    Returns
    -------
    Tensor, shape (...)
        In the dtype of the predictions.

    Examples
    --------
    >>> tj.losses.mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]]).tolist()
    [2.5]
    """
    given, predicted = in_common("mean_squared_error", y_true, y_pred)
    difference = predicted - given
    return mean_of_last("mean_squared_error", difference * difference)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """``mean(|y_true - y_pred|)`` over the last axis; slope 0 where they are equal.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (..., n)
        Targets and predictions.

    Returns
    -------
    Tensor, shape (...)
        In the dtype of the predictions.
    """
    given, predicted = in_common("mean_absolute_error", y_true, y_pred)
    return mean_of_last("mean_absolute_error", ops.abs(predicted - given))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """Squares near 0, lines from `delta` on: ``e² / 2``, ``delta |e| - delta² / 2``; the mean over the last axis.

    P. J. Huber, "Robust Estimation of a Location Parameter", 1964.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (..., n)
        Targets and predictions.
    delta : float
        Where squares turn into lines.

    Returns
    -------
    Tensor, shape (...)
        In the dtype of the predictions.
    """
    if type(delta) in PYTHON_NUMBERS and not delta >= 0:
        raise ValueError(at_user_line(f"huber: delta is at least 0, got {delta}"))
    given, predicted = in_common("huber", y_true, y_pred)
    size = ops.abs(predicted - given)
    inner = ops.minimum(size, delta)
    # Within delta inner is size; beyond it is delta.
    return mean_of_last("huber", inner * (size - 0.5 * inner))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Minus the cosine of the angle between targets and predictions, 0 where one of them is (nearly) 0.

    The sign is that of a loss: -1 for vectors of one direction.

    Parameters
    ----------
    y_true, y_pred : array_like
        Targets and predictions, of one shape.
    axis : int
        Along which the vectors lie.

    Returns
    -------
    Tensor
        Without that axis.

    Examples
    --------
    >>> tj.losses.cosine_similarity([[0.0, 2.0]], [[0.0, 1.0]]).tolist()
    [-1.0]
    """
    given, predicted = in_common("cosine_similarity", y_true, y_pred)
    product = ops.sum(given * predicted, axis=axis)
    sizes = [ops.maximum(ops.sum(each * each, axis=axis), TINY * TINY) for each in (given, predicted)]
    return -product / (ops.sqrt(sizes[0]) * ops.sqrt(sizes[1]))


class MeanSquaredError(FunctionLoss):
    """`mean_squared_error` of the examples, reduced; see `Loss`.

    Examples
    --------
    >>> float(tj.losses.MeanSquaredError()([[0.0, 1.0], [0.0, 0.0]], [[1.0, 3.0], [0.0, 0.0]]))
    1.25
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(FunctionLoss):
    """`mean_absolute_error` of the examples, reduced; see `Loss`."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return mean_absolute_error(y_true, y_pred)


class Huber(FunctionLoss):
    """`huber` of the examples, reduced.

    Parameters
    ----------
    delta : float
        Where squares turn into lines.
    reduction, name, dtype
        See `Loss`.
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return huber(y_true, y_pred, self.delta)


class CosineSimilarity(FunctionLoss):
    """`cosine_similarity` of the examples, reduced.

    Parameters
    ----------
    axis : int
        Along which the vectors lie.
    reduction, name, dtype
        See `Loss`.
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return cosine_similarity(y_true, y_pred, self.axis)
