"""Losses of probabilities or logits against classes.

From logits all of them are stable however large these are: what is computed is the logarithm of the probability, never
the probability itself.
"""

from typing import Any

from .. import ops
from ..errors import DtypeError, ShapeError, at_user_line
from ..ops.taking import is_class
from ..tensor import Tensor
from .loss import FunctionLoss, in_common, mean_of_last
from .regression import TINY

_INSTEAD = {
    "one-hot": "; for targets with a probability for each class there is CategoricalCrossentropy",
    "numbers": "; for targets that are numbers of classes there is SparseCategoricalCrossentropy",
}


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """``-mean(t log p + (1 - t) log(1 - p))`` along an axis.

    Parameters
    ----------
    y_true : array_like
        Targets from 0 to 1.
    y_pred : array_like
        Of the same shape: probabilities, which are taken to be at least 1e-7 away from 0 and 1; or logits x, for which
        it is ``mean(softplus(x) - t x)``.
    from_logits : bool
        Which of the two they are.
    label_smoothing : float
        How far targets are drawn towards 1/2, from 0 to 1.
    axis : int
        Over which the mean is taken.

    Returns
    -------
    Tensor
        Without that axis.

    Examples
    --------
    >>> tj.losses.binary_crossentropy([[0.0, 1.0]], [[-1000.0, 1000.0]], from_logits=True).tolist()
    [0.0]
    """
    given, predicted = in_common("binary_crossentropy", y_true, y_pred)
    _check_smoothing("binary_crossentropy", label_smoothing)
    if label_smoothing:
        given = given * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        values = ops.softplus(predicted) - given * predicted
    else:
        inside = ops.clip(predicted, TINY, 1.0 - TINY)
        values = -(given * ops.log(inside) + (1.0 - given) * ops.log1p(-inside))
    if axis in (-1, len(values.shape) - 1):
        return mean_of_last("binary_crossentropy", values)
    return ops.mean(values, axis=axis)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """``-sum(t log p)`` over the classes.

    Parameters
    ----------
    y_true : array_like
        Probabilities of the classes, such as one-hot vectors.
    y_pred : array_like
        Of the same shape: probabilities, which are divided by their sum; or logits.
    from_logits : bool
        Which of the two they are.
    label_smoothing : float
        How far targets are drawn towards equal probabilities, from 0 to 1.
    axis : int
        That of the classes.

    Returns
    -------
    Tensor
        Without that axis.
    """
    given, predicted = in_common("categorical_crossentropy", y_true, y_pred, _INSTEAD["numbers"])
    _check_smoothing("categorical_crossentropy", label_smoothing)
    if label_smoothing:
        given = given * (1.0 - label_smoothing) + label_smoothing / given.shape[axis]
    return -ops.sum(given * _log_probabilities(predicted, from_logits, axis), axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """Minus the logarithm of the probability of the right class.

    Parameters
    ----------
    y_true : array_like, integer
        Numbers of the classes; a last axis of length 1 is dropped.
    y_pred : array_like
        Probabilities or logits, with an axis of classes more.
    from_logits : bool
        Which of the two they are.
    ignore_class : int, optional
        Examples of this class have the value 0.
    axis : int
        That of the classes.

    Returns
    -------
    Tensor
        Of the targets' shape.

    Raises
    ------
    ShapeError
        If targets and predictions don't fit.
    DtypeError
        If the targets are no integers.
    IndexRangeError
        If a target is no class.

    Examples
    --------
    >>> tj.losses.sparse_categorical_crossentropy([1], [[0.0, 1000.0]], from_logits=True).tolist()
    [0.0]
    """
    title = "sparse_categorical_crossentropy"
    predicted, labels = ops.asarray(y_pred), ops.asarray(y_true)
    if labels.dtype.kind == "f":  # as data sets often have them; nan is no class, whatever a conversion makes of it
        labels = ops.astype(ops.where(ops.isnan(labels), -(2.0**63), labels), "int64")
    if labels.dtype.kind not in "iu":
        raise DtypeError(at_user_line(f"{title}: targets are numbers of classes, got {labels.dtype.name}"))
    if len(labels.shape) == len(predicted.shape) and labels.shape[-1:] == (1,):
        labels = ops.squeeze(labels, -1)
    last = len(predicted.shape) - 1
    if axis not in (-1, last):
        predicted = ops.moveaxis(predicted, axis, -1)
    if labels.shape != predicted.shape[:-1]:
        raise ShapeError(
            at_user_line(
                f"{title}: targets of shape {labels.shape} for predictions of shape {predicted.shape}, whose last axis "
                f"is that of the classes{_INSTEAD['one-hot'] if labels.shape == predicted.shape else ''}"
            )
        )
    if ignore_class is not None:  # a number that the labels' own dtype may not have
        labels = ops.astype(labels, "int64")
    ignored = None if ignore_class is None else labels == ignore_class
    if ignored is not None:
        labels = ops.where(ignored, 0, labels)
    own = is_class(labels, predicted.shape[-1])
    values = ops.sum(ops.where(own, -_log_probabilities(predicted, from_logits, -1), 0.0), axis=-1)
    return values if ignored is None else ops.where(ignored, 0.0, values)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """``sum(t log(t / p))`` over the last axis, both at least 1e-7.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (..., n)
        Probabilities.

    Returns
    -------
    Tensor, shape (...)
        In the dtype of the predictions.
    """
    given, predicted = in_common("kl_divergence", y_true, y_pred)
    given, predicted = ops.clip(given, TINY, 1.0), ops.clip(predicted, TINY, 1.0)
    return ops.sum(given * ops.log(given / predicted), axis=-1)


def _check_smoothing(title: str, label_smoothing: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise ValueError(at_user_line(f"{title}: label_smoothing is from 0 to 1, got {label_smoothing}"))


def _log_probabilities(predicted: Tensor, from_logits: bool, axis: int) -> Tensor:
    if from_logits:
        return ops.log_softmax(predicted, axis=axis)
    shares = predicted / ops.sum(predicted, axis=axis, keepdims=True)
    return ops.log(ops.clip(shares, TINY, 1.0 - TINY))


class BinaryCrossentropy(FunctionLoss):
    """`binary_crossentropy` of the examples, reduced.

    Parameters
    ----------
    from_logits, label_smoothing, axis
        See `binary_crossentropy`.
    reduction, name, dtype
        See `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class CategoricalCrossentropy(FunctionLoss):
    """`categorical_crossentropy` of the examples, reduced.

    Parameters
    ----------
    from_logits, label_smoothing, axis
        See `categorical_crossentropy`.
    reduction, name, dtype
        See `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class SparseCategoricalCrossentropy(FunctionLoss):
    """`sparse_categorical_crossentropy` of the examples, reduced.

    Parameters
    ----------
    from_logits, ignore_class, axis
        See `sparse_categorical_crossentropy`. Examples of an ignored class don't count in a mean.
    reduction, name, dtype
        See `Loss`.

    Examples
    --------
    >>> loss = tj.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> round(float(loss([0, 1], [[0.0, 0.0], [0.0, 0.0]])), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits, self.ignore_class, self.axis)

    def counted(self, y_true: Any) -> Any:
        """See `Loss`."""
        if self.ignore_class is None:
            return None
        return ops.astype(ops.asarray(y_true), "int64") != self.ignore_class


class KLDivergence(FunctionLoss):
    """`kl_divergence` of the examples, reduced; see `Loss`."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """See `Loss`."""
        return kl_divergence(y_true, y_pred)
