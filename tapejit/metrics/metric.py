"""`Metric`, and the metrics that everything else is made of: a sum and a mean."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..aval import parse_dtype
from ..losses.loss import aligned
from ..nn.module import Module
from ..tensor import Tensor
from ..variable import Variable


class Metric(Module):
    """A figure that is updated batch by batch; to be inherited from.

    A subclass makes its state with `add_weight`, and has ``update_state`` and ``result``.

    Parameters
    ----------
    name : str, optional
        See `tapejit.nn.Module`.
    dtype : dtype, optional
        Of the state; by default float64, since float32 would count up to 2^24 only.

    Examples
    --------
    >>> class Largest(tj.metrics.Metric):
    ...     def __init__(self, name="largest", **options):
    ...         super().__init__(name=name, **options)
    ...         self.largest = self.add_weight(name="largest", initializer="zeros")
    ...     def update_state(self, values, sample_weight=None):
    ...         self.largest.assign(tj.maximum(self.largest, tj.max(values)))
    ...     def result(self):
    ...         return self.largest.read_value()
    >>> float(Largest()([1.0, 3.0, 2.0]))
    3.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name)
        self.dtype = parse_dtype(type(self).__name__, "float64" if dtype is None else dtype)

    def add_weight(
        self,
        *args: Any,
        name: str | None = None,
        shape: int | Sequence[int] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = False,
        regularizer: Any = None,
    ) -> Variable:
        """Make a part of the state, to be kept in an attribute.

        As a module's, with other defaults: it begins as zeros, and is not trained. After `reset_state` it is zeros
        whatever it began as.
        """
        if initializer is None and len(args) < (3 if args and isinstance(args[0], str) else 2):
            initializer = "zeros"
        return super().add_weight(
            *args, name=name, shape=shape, initializer=initializer, dtype=dtype, trainable=trainable,
            regularizer=regularizer,
        )  # fmt: skip

    add_variable = add_weight

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take one more batch into account."""
        raise NotImplementedError

    def result(self) -> Tensor:
        """The figure for all batches so far."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Begin anew."""
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def call(self, *args: Any, **kwargs: Any) -> Tensor:
        """Take a batch into account, and give the figure for all so far."""
        self.update_state(*args, **kwargs)
        return self.result()


class Sum(Metric):
    """The sum of all values.

    Examples
    --------
    >>> total = tj.metrics.Sum()
    >>> total.update_state([1.0, 2.0])
    >>> float(total.result())
    3.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_weight("total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values.

        Parameters
        ----------
        values : array_like
            Of any shape.
        sample_weight : array_like, optional
            Their weights, which broadcast with them.
        """
        numbers, _ = weighted(type(self).__name__, values, sample_weight, self.dtype)
        self.total.assign_add(ops.sum(numbers))

    def result(self) -> Tensor:
        """See `Metric`."""
        return self.total.read_value()


class Mean(Metric):
    """The weighted mean of all values; 0 before the first.

    Examples
    --------
    >>> mean = tj.metrics.Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> float(mean(8.0))
    4.0
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_weight("total")
        self.count = self.add_weight("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values.

        Parameters
        ----------
        values : array_like
            Of any shape.
        sample_weight : array_like, optional
            Their weights, which broadcast with them.
        """
        self.rely()
        numbers, weights = weighted(type(self).__name__, values, sample_weight, self.dtype)
        self.total.assign_add(ops.sum(numbers))
        ones = ops.ones_like(numbers) if weights is None else ops.broadcast_to(weights, numbers.shape)
        self.count.assign_add(ops.sum(ones))

    def result(self) -> Tensor:
        """See `Metric`."""
        count = self.count.read_value()
        return self.total.read_value() / ops.where(count == 0, 1.0, count)


def weighted(title: str, values: Any, sample_weight: Any, dtype: Any) -> tuple[Tensor, Tensor | None]:
    """Values times their weights, and the weights.

    Raises
    ------
    ShapeError
        If the weights don't broadcast with the values.
    """
    numbers = ops.astype(ops.asarray(values), dtype)
    if sample_weight is None:
        return numbers, None
    weights = aligned(title, ops.astype(ops.asarray(sample_weight), dtype), numbers.shape)
    return numbers * weights, weights
