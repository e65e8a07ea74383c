"""Shares of right answers."""

from math import inf
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..losses.loss import of_one_rank
from ..tensor import Tensor
from .metric import Mean


class Accuracy(Mean):
    """How often predictions equal targets.

    Examples
    --------
    >>> accuracy = tj.metrics.Accuracy()
    >>> accuracy.update_state([1, 2, 3, 4], [1, 2, 3, 5])
    >>> float(accuracy.result())
    0.75
    """

    def matches(self, y_true: Any, y_pred: Any) -> Tensor:
        """Which predictions are right, as booleans."""
        given, predicted = alike(type(self).__name__, y_true, y_pred)
        return given == predicted

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take a batch into account.

        Parameters
        ----------
        y_true, y_pred : array_like
            Targets and predictions.
        sample_weight : array_like, optional
            Weights of the examples.
        """
        super().update_state(self.matches(y_true, y_pred), sample_weight)


class BinaryAccuracy(Accuracy):
    """How often a prediction is on the side of the threshold that its target, 0 or 1, is on.

    Parameters
    ----------
    threshold : float
        Above it a prediction means 1.
    name, dtype
        See `Metric`.
    """

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def matches(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Accuracy`."""
        given, predicted = alike(type(self).__name__, y_true, y_pred)
        return (given != 0) == (predicted > self.threshold)


class CategoricalAccuracy(Accuracy):
    """How often the largest prediction is that of the class with the largest target."""

    def matches(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Accuracy`."""
        given, predicted = alike(type(self).__name__, y_true, y_pred)
        return ops.argmax(given, axis=-1) == ops.argmax(predicted, axis=-1)


class SparseCategoricalAccuracy(Accuracy):
    """How often the largest prediction is that of the target's class.

    Examples
    --------
    >>> accuracy = tj.metrics.SparseCategoricalAccuracy()
    >>> float(accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]]))
    0.5
    """

    def matches(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Accuracy`."""
        labels, predicted = ops.asarray(y_true), ops.asarray(y_pred)
        if len(labels.shape) == len(predicted.shape) and labels.shape[-1:] == (1,):
            labels = ops.squeeze(labels, -1)
        check_shapes(type(self).__name__, (*labels.shape, *predicted.shape[-1:]), predicted.shape)
        return ops.astype(labels, "int64") == ops.argmax(predicted, axis=-1)


class SparseTopKCategoricalAccuracy(Accuracy):
    """How often the prediction of the target's class is among the k largest; as large as the last of them counts.

    Parameters
    ----------
    k : int
        How many.
    name, dtype
        See `Metric`.

    Examples
    --------
    >>> accuracy = tj.metrics.SparseTopKCategoricalAccuracy(k=2)
    >>> float(accuracy([2, 0], [[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]))
    0.5
    """

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.k = k

    def matches(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Accuracy`."""
        labels, predicted = ops.asarray(y_true), ops.asarray(y_pred)
        if len(labels.shape) == len(predicted.shape) and labels.shape[-1:] == (1,):
            labels = ops.squeeze(labels, -1)
        check_shapes(type(self).__name__, (*labels.shape, *predicted.shape[-1:]), predicted.shape)
        is_own = ops.arange(predicted.shape[-1]) == ops.expand_dims(ops.astype(labels, "int64"), -1)
        own = ops.max(ops.where(is_own, predicted, -inf), axis=-1, keepdims=True)
        larger = ops.sum(predicted > own, axis=-1)
        return ops.logical_and(ops.any(is_own, axis=-1), larger < self.k)


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """How often the class with the largest target is among those with the k largest predictions.

    Parameters
    ----------
    k : int
        How many.
    name, dtype
        See `Metric`.
    """

    def matches(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Accuracy`."""
        given = ops.asarray(y_true)
        check_shapes(type(self).__name__, given.shape, ops.asarray(y_pred).shape)
        return super().matches(ops.argmax(given, axis=-1), y_pred)


def alike(title: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Targets and predictions of one shape; a last axis of length 1 may be missing.

    Raises
    ------
    ShapeError
        If they don't fit.
    """
    given, predicted = of_one_rank(ops.asarray(y_true), ops.asarray(y_pred))
    check_shapes(title, given.shape, predicted.shape)
    return given, predicted


def check_shapes(title: str, given: tuple[int, ...], predicted: tuple[int, ...]) -> None:
    """Hold that targets and predictions have one shape.

    Raises
    ------
    ShapeError
        If they have not.
    """
    if given != predicted:
        raise ShapeError(at_user_line(f"{title}: targets of shape {given} for predictions of shape {predicted}"))
