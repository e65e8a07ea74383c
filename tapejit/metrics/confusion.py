"""Precision and recall: counts of right and wrong positives."""

from typing import Any

from .. import ops
from ..errors import at_user_line
from ..tensor import Tensor
from .accuracy import check_shapes
from .metric import Metric, weighted


class _Share(Metric):
    """Right positives among all of a kind; 0 where there are none.

    Parameters
    ----------
    thresholds : float
        Above it a prediction means 1.
    name, dtype
        See `Metric`.
    """

    def __init__(self, thresholds: float = 0.5, name: str | None = None, dtype: Any = "float64") -> None:
        if not 0 <= thresholds <= 1:
            raise ValueError(
                at_user_line(f"{type(self).__name__}: a threshold from 0 to 1 is expected, got {thresholds}")
            )
        super().__init__(name, dtype)
        self.thresholds = thresholds
        self.right = self.add_variable("true_positives")
        self.wrong = self.add_variable(self.other)

    other = ""
    """What the wrong ones are called."""

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
        given, predicted = ops.asarray(y_true), ops.asarray(y_pred)
        check_shapes(type(self).__name__, given.shape, predicted.shape)
        is_one, said_one = given != 0, predicted > self.thresholds
        for variable, examples in (
            (self.right, ops.logical_and(is_one, said_one)),
            (self.wrong, self.wrongs(is_one, said_one)),
        ):
            variable.assign_add(ops.sum(weighted(type(self).__name__, examples, sample_weight, self.dtype)[0]))

    def result(self) -> Tensor:
        """See `Metric`."""
        right = self.right.read_value()
        total = right + self.wrong.read_value()
        return right / ops.where(total == 0, 1.0, total)


class Precision(_Share):
    """The share of what was said to be 1 that is 1.

    Parameters
    ----------
    thresholds : float
        Above it a prediction means 1.
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
    thresholds : float
        Above it a prediction means 1.
    name, dtype
        See `Metric`.

    Examples
    --------
    >>> round(float(tj.metrics.Recall()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0])), 4)
    0.6667
    """

    other = "false_negatives"

    def wrongs(self, given: Tensor, predicted: Tensor) -> Tensor:
        """See `_Share`."""
        return ops.logical_and(given, ops.logical_not(predicted))
