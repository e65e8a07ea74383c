"""Means of losses and of errors over all examples."""

from collections.abc import Callable
from typing import Any

from .. import ops
from ..losses import (
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from ..losses.loss import in_common
from ..tensor import Tensor
from .metric import Mean


class MeanMetricWrapper(Mean):
    """The mean of what a function says of each example.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)``, a value for each example; such as a function of `tapejit.losses`.
    name, dtype
        See `Metric`.
    **kwargs
        Handed to `fn`.

    Examples
    --------
    >>> metric = tj.metrics.MeanMetricWrapper(tj.losses.huber, delta=2.0)
    >>> float(metric([[0.0], [0.0]], [[1.0], [2.0]]))
    1.25
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name, dtype)
        self.fn = fn
        self.options = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take a batch into account.

        Parameters
        ----------
        y_true, y_pred : array_like
            Targets and predictions.
        sample_weight : array_like, optional
            Weights of the examples.
        """
        super().update_state(self.fn(y_true, y_pred, **self.options), sample_weight)


class MeanSquaredError(MeanMetricWrapper):
    """The mean of `tapejit.losses.mean_squared_error`."""

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(mean_squared_error, name, dtype)


class RootMeanSquaredError(MeanMetricWrapper):
    """The square root of the mean of all squared errors.

    Examples
    --------
    >>> float(tj.metrics.RootMeanSquaredError()([0.0, 0.0], [3.0, 3.0]))
    3.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(_squared_errors, name, dtype)

    def result(self) -> Tensor:
        """See `Metric`."""
        return ops.sqrt(super().result())


def _squared_errors(y_true: Any, y_pred: Any) -> Tensor:
    given, predicted = in_common("RootMeanSquaredError", y_true, y_pred)
    return ops.square(predicted - given)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of `tapejit.losses.mean_absolute_error`."""

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(mean_absolute_error, name, dtype)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean of `tapejit.losses.binary_crossentropy`, with its parameters."""

    def __init__(
        self, name: str | None = None, dtype: Any = None, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean of `tapejit.losses.categorical_crossentropy`, with its parameters."""

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_crossentropy, name, dtype, **options)


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean of `tapejit.losses.sparse_categorical_crossentropy`, with its parameters."""

    def __init__(self, name: str | None = None, dtype: Any = None, from_logits: bool = False, axis: int = -1) -> None:
        super().__init__(sparse_categorical_crossentropy, name, dtype, from_logits=from_logits, axis=axis)
