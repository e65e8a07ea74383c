"""Precision and recall: counts of right and wrong positives."""

from collections.abc import Sequence
from math import inf
from operator import index as as_int
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError, at_user_line
from ..losses.loss import aligned
from ..tensor import Tensor
from .accuracy import alike
from .metric import Metric, weighted


class _Share(Metric):
    """Right positives among all of a kind, 0 where there are none; see `Precision` for the parameters."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        self.thresholds = (0.5 if top_k is None else -inf) if thresholds is None else thresholds
        self.top_k = top_k
        self.class_id = class_id
        for number in () if thresholds is None else self._listed():
            if not 0 <= number <= 1:
                raise ValueError(at_user_line(f"{self._title()}: a threshold from 0 to 1 is expected, got {number}"))
        if top_k is not None and as_int(top_k) < 1:
            raise ValueError(at_user_line(f"{self._title()}: top_k is 1 at least, got {top_k}"))
        shape = (len(self._listed()),)
        self.true_positives = self.add_weight("true_positives", shape)
        setattr(self, self.other, self.add_weight(self.other, shape))

    other = ""
    """The attribute that counts the wrong ones."""

    def _title(self) -> str:
        return type(self).__name__

    def _listed(self) -> list[float]:
        several = isinstance(self.thresholds, (list, tuple, np.ndarray))
        return [float(each) for each in self.thresholds] if several else [float(self.thresholds)]  # type: ignore[union-attr, arg-type]

    def wrongs(self, given: Tensor, predicted: Tensor) -> Tensor:
        """Which of the examples are the wrong ones."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch into account.

        Parameters
        ----------
        y_true : array_like
            Targets, 0 or 1.
        y_pred : array_like
            Probabilities, of the same shape.
        sample_weight : array_like, optional
            Weights of the examples.
        """
        self.rely()
        given, predicted = alike(self._title(), y_true, y_pred)
        is_one, said_one = self._chosen(given, predicted)
        weights = None if sample_weight is None else ops.asarray(sample_weight)
        if weights is not None:
            weights = ops.expand_dims(aligned(self._title(), weights, is_one.shape[:-1]), -1)
        for variable, examples in (
            (self.true_positives, ops.logical_and(is_one, said_one)),
            (getattr(self, self.other), self.wrongs(is_one, said_one)),
        ):
            numbers = weighted(self._title(), examples, weights, self.dtype)[0]
            variable.assign_add(ops.sum(numbers, axis=tuple(range(len(numbers.shape) - 1))))

    def _chosen(self, given: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """What is 1, with an axis of length 1 more, and what was said to be 1, with an axis of thresholds more."""
        counts = None
        if (self.top_k is not None or self.class_id is not None) and not given.shape:
            raise ShapeError(at_user_line(f"{self._title()}: there is no axis of classes in an array of shape ()"))
        if self.top_k is not None:
            order = ops.argsort(predicted, axis=-1, descending=True)
            counts = ops.argsort(order, axis=-1) < self.top_k
        if self.class_id is not None:
            if len(given.shape) < 2 or not 0 <= self.class_id < given.shape[-1]:
                raise ShapeError(
                    at_user_line(
                        f"{self._title()}: class_id {self.class_id} for predictions of shape {predicted.shape}"
                    )
                )
            own = slice(self.class_id, self.class_id + 1)
            given, predicted = given[..., own], predicted[..., own]
            counts = None if counts is None else counts[..., own]
        if predicted.dtype.kind != "f":
            predicted = ops.astype(predicted, self.dtype)
        said_one = ops.expand_dims(predicted, -1) > np.array(self._listed(), predicted.dtype)
        if counts is not None:
            said_one = ops.logical_and(said_one, ops.expand_dims(counts, -1))
        return ops.expand_dims(given != 0, -1), said_one

    def result(self) -> Tensor:
        """See `Metric`."""
        self.rely()
        right = self.true_positives.read_value()
        total = right + getattr(self, self.other).read_value()
        shares = right / ops.where(total == 0, 1.0, total)
        return shares[0] if shares.shape == (1,) else shares


class Precision(_Share):
    """The share of what was said to be 1 that is 1.

    Parameters
    ----------
    thresholds : float or list of float, optional
        Above it a prediction means 1; by default 0.5. With a list there is a result for each.
    top_k : int, optional
        Only the k largest predictions along the last axis can mean 1, the first of equal ones; without a threshold all
        of them do.
    class_id : int, optional
        Only this class counts, along the last axis.
    name, dtype
        See `Metric`.

    Examples
    --------
    >>> round(float(tj.metrics.Precision()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])), 4)
    0.6667
    """

    other = "false_positives"

    def wrongs(self, given: Tensor, predicted: Tensor) -> Tensor:
        """See `_Share`."""
        return ops.logical_and(ops.logical_not(given), predicted)


class Recall(_Share):
    """The share of what is 1 that was said to be 1.

    Parameters
    ----------
    thresholds, top_k, class_id, name, dtype
        See `Precision`.

    Examples
    --------
    >>> round(float(tj.metrics.Recall()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])), 4)
    0.6667
    """

    other = "false_negatives"

    def wrongs(self, given: Tensor, predicted: Tensor) -> Tensor:
        """See `_Share`."""
        return ops.logical_and(given, ops.logical_not(predicted))
