"""`Loss`: what all losses share, which is how they weight and reduce the values of single examples."""

from typing import Any

from .. import ops
from ..aval import Shape, parse_dtype
from ..config import floatx
from ..configurable import Configurable
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Loss(Configurable):
    """A function of targets and predictions; a subclass has `call`.

    Parameters
    ----------
    name : str, optional
        By default that of the class.
    reduction : {"sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None}
        What becomes of the values of the examples: their sum divided by their number (the first two), by the sum of
        their weights, their sum, or nothing.
    dtype : dtype, optional
        What predictions are converted to; by default they keep theirs.

    Raises
    ------
    ValueError
        If the reduction is another word.

    Examples
    --------
    >>> class Relative(tj.losses.Loss):
    ...     def call(self, y_true, y_pred):
    ...         return tj.mean(tj.abs(y_pred / y_true - 1.0), axis=-1)
    >>> float(Relative()([[1.0, 2.0]], [[2.0, 2.0]]))
    0.5
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.reduction = reduction
        self._check_reduction()
        self.name = name or type(self).__name__
        self.dtype = None if dtype is None else parse_dtype(type(self).__name__, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each example, without reduction; arrays come as tensors."""
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
            If targets, predictions and weights don't fit, or there is no example to take the mean of.
        """
        self.rely()
        self._check_reduction()  # it may have been set since
        title = type(self).__name__
        y_true, y_pred = as_tensors(y_true), as_tensors(y_pred, self.dtype)
        if self.reduction not in ("none", None, "sum") and _is_empty(y_pred):
            raise ShapeError(
                at_user_line(
                    f"{title}: the batch is empty, predictions are of shape {_shape_of(y_pred)}, and of nothing there "
                    "is no mean; leave such a batch out, or take reduction='sum'"
                )
            )
        values, weights = ops.asarray(self.call(y_true, y_pred)), None
        if sample_weight is not None:
            weights = aligned(title, ops.asarray(sample_weight, values.dtype), values.shape)
            values = ops.multiply(values, weights)
        if self.reduction in ("none", None):
            return values
        return ops.sum(values) if self.reduction == "sum" else self._mean(values, weights, self.counted(y_true))

    def _check_reduction(self) -> None:
        if self.reduction not in REDUCTIONS:
            words = ", ".join(map(repr, REDUCTIONS))
            raise ValueError(
                at_user_line(f"{type(self).__name__}: reduction is one of {words}; got {self.reduction!r}")
            )

    def _mean(self, values: Tensor, weights: Tensor | None, counted: Any) -> Tensor:
        """The sum of the weighted values over what counts."""
        shares = None if counted is None else ops.reshape(ops.astype(counted, values.dtype), values.shape)
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


class FunctionLoss(Loss):
    """A loss that is one of the functions of this package; see `Loss`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)


def as_tensors(value: Any, dtype: Any = None) -> Any:
    """An array as a tensor, or those in a dict."""
    if isinstance(value, dict):
        return {key: as_tensors(each, dtype) for key, each in value.items()}
    return ops.asarray(value, dtype)


def _is_empty(value: Any) -> bool:
    return any(map(_is_empty, value.values())) if isinstance(value, dict) else 0 in value.shape


def _shape_of(value: Any) -> Any:
    return {key: _shape_of(each) for key, each in value.items()} if isinstance(value, dict) else value.shape


def aligned(title: str, weights: Tensor, shape: Shape) -> Tensor:
    """Weights with as many axes as values of a shape, whose first axes they have.

    Raises
    ------
    ShapeError
        If they have others.
    """
    own = weights.shape
    if len(own) == len(shape) + 1 and own[-1] == 1:
        own = own[:-1]
    wider = (*own, *(1,) * (len(shape) - len(own)))
    fits = len(wider) == len(shape) and all(one in (1, other) for one, other in zip(wider, shape, strict=True))
    if not fits:
        way_out = "" if shape else "; with one column, (n, 1), each target and prediction is an example of its own"
        raise ShapeError(
            at_user_line(f"{title}: sample_weight of shape {weights.shape} for values of shape {shape}{way_out}")
        )
    return weights if wider == weights.shape else ops.reshape(weights, wider)


def of_one_rank(given: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Targets and predictions with as many axes, where a last axis of length 1 is all that one of them has more.

    Of (n,) and (n, 1) both become (n, 1), n examples; otherwise the axis is dropped.
    """
    rank, other = len(given.shape), len(predicted.shape)
    if rank == other + 1 and given.shape[-1] == 1:
        return (given, ops.expand_dims(predicted, -1)) if other == 1 else (ops.squeeze(given, -1), predicted)
    if other == rank + 1 and predicted.shape[-1] == 1:
        return (ops.expand_dims(given, -1), predicted) if rank == 1 else (given, ops.squeeze(predicted, -1))
    return given, predicted


def in_common(title: str, y_true: Any, y_pred: Any, instead: str = "") -> tuple[Tensor, Tensor]:
    """Targets and predictions of one shape, see `of_one_rank`, and of the dtype of the predictions.

    Where predictions are integers, it is that of the targets.

    Parameters
    ----------
    title : str
        Begins the message if they don't fit.
    y_true, y_pred : array_like
        Targets and predictions.
    instead : str
        Ends the message if the targets have an axis less.

    Raises
    ------
    ShapeError
        If they don't fit.
    """
    predicted, given = ops.asarray(y_pred), ops.asarray(y_true)
    if predicted.dtype.kind != "f":
        predicted = ops.astype(predicted, given.dtype if given.dtype.kind == "f" else floatx())
    given = given if given.dtype == predicted.dtype else ops.astype(given, predicted.dtype)
    given, predicted = of_one_rank(given, predicted)
    if given.shape != predicted.shape:
        way_out = instead if len(given.shape) < len(predicted.shape) else ""
        raise ShapeError(
            at_user_line(f"{title}: targets of shape {given.shape} for predictions of shape {predicted.shape}{way_out}")
        )
    return given, predicted


def mean_of_last(title: str, values: Tensor) -> Tensor:
    """The mean over the last axis, of a single number itself.

    Raises
    ------
    ShapeError
        If the axis has no elements.
    """
    if not values.shape:
        return values
    if not values.shape[-1]:
        raise ShapeError(
            at_user_line(f"{title}: there is no mean over the last axis of an array of shape {values.shape}")
        )
    return ops.mean(values, axis=-1)
