"""`Loss`: what all losses share, which is how they weight and reduce the values of single examples."""

from typing import Any

from .. import ops
from ..configurable import Configurable
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Loss(Configurable):
    """A function of targets and predictions; a subclass has `call`.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None}
        What becomes of the values of the examples: their sum divided by their number (the first two), by the sum of
        their weights, their sum, or nothing.
    name : str, optional
        By default that of the class.

    Raises
    ------
    ValueError
        If the reduction is another word.
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None) -> None:
        if reduction not in REDUCTIONS:
            words = ", ".join(map(repr, REDUCTIONS))
            raise ValueError(at_user_line(f"{type(self).__name__}: reduction is one of {words}; got {reduction!r}"))
        self.reduction = reduction
        self.name = name or type(self).__name__

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each example, without reduction."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The loss.

        Parameters
        ----------
        y_true : array_like
            Targets.
        y_pred : array_like, floating
            Predictions.
        sample_weight : array_like, optional
            Weights of the examples, which broadcast with their values from the left.

        Returns
        -------
        Tensor
            Of shape (), or with one value for each example if there is no reduction.

        Raises
        ------
        ShapeError
            If targets, predictions and weights don't fit.
        """
        self.rely()
        values, counted, weights = self.call(y_true, y_pred), self.counted(y_true), None
        if sample_weight is not None:
            weights = _aligned(type(self).__name__, ops.asarray(sample_weight, values.dtype), values)
            values = ops.multiply(values, weights)
        if self.reduction in ("none", None):
            return values
        if self.reduction == "sum":
            return ops.sum(values)
        shares = None if counted is None else ops.astype(counted, values.dtype)
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            shares = ops.broadcast_to(weights, values.shape) if shares is None else weights * shares
        if shares is None:
            return ops.mean(values)
        total = ops.sum(shares)
        # Of nothing the loss is 0.
        return ops.divide(ops.sum(values), ops.where(total == 0, 1.0, total))

    def counted(self, y_true: Any) -> Any:  # noqa: ARG002 (for those that override it)
        """Which examples count in a mean, as booleans; None for all of them. What does not has the value 0."""
        return None


def _aligned(title: str, weights: Tensor, values: Tensor) -> Tensor:
    """Weights with as many axes as the values, whose first axes they have."""
    shape = weights.shape
    if len(shape) == len(values.shape) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    wider = (*shape, *(1,) * (len(values.shape) - len(shape)))
    fits = len(wider) == len(values.shape) and all(
        own in (1, other) for own, other in zip(wider, values.shape, strict=True)
    )
    if not fits:
        raise ShapeError(
            at_user_line(f"{title}: sample_weight of shape {weights.shape} for values of shape {values.shape}")
        )
    return weights if wider == weights.shape else ops.reshape(weights, wider)


def in_common(title: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Targets and predictions of one shape, the targets in the dtype of the predictions.

    A last axis of length 1 that only one of them has is dropped.
    """
    predicted = ops.asarray(y_pred)
    if predicted.dtype.kind != "f":
        predicted = ops.astype(predicted, _default())
    given = ops.asarray(y_true)
    given = given if given.dtype == predicted.dtype else ops.astype(given, predicted.dtype)
    rank, other = len(given.shape), len(predicted.shape)
    if rank == other + 1 and given.shape[-1] == 1:
        given = ops.squeeze(given, -1)
    elif other == rank + 1 and predicted.shape[-1] == 1:
        predicted = ops.squeeze(predicted, -1)
    if given.shape != predicted.shape:
        raise ShapeError(
            at_user_line(f"{title}: targets of shape {given.shape} for predictions of shape {predicted.shape}")
        )
    return given, predicted


def _default() -> Any:
    return ops.asarray(1.0).dtype


def mean_of_last(values: Tensor) -> Tensor:
    """The mean over the last axis, of a single number itself."""
    return ops.mean(values, axis=-1) if values.shape else values
