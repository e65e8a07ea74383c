"""Layers without a neighbourhood: products, activations, other shapes."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from . import activations, initializers, regularizers
from .layer import Layer, PartialShape, at_least_one, known


class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis.

    Parameters
    ----------
    units : int
        Length of the last axis of the result.
    activation : str or callable, optional
        See `activations`.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or callable
        See `initializers`.
    kernel_regularizer, bias_regularizer : str or callable, optional
        See `regularizers`.
    **options
        See `Layer`.

    Attributes
    ----------
    kernel : Variable, shape (inputs, units)
        Once it is built.
    bias : Variable, shape (units,), or None
        Once it is built.

    Examples
    --------
    >>> layer = tj.nn.Dense(2, kernel_initializer="ones", bias_initializer="ones")
    >>> layer(tj.constant([[1.0, 2.0]])).tolist()
    [[4.0, 4.0]]
    """

    least_rank = 2

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        (self.units,) = at_least_one("Dense", units=units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        inputs = known(input_shape[-1], self, "last axis")
        self.kernel = self.add_weight(
            "kernel", (inputs, self.units), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        return (*input_shape[:-1], self.units)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result.

        Parameters
        ----------
        inputs : array_like, shape (..., inputs)
            At least two axes.
        """
        x = self.as_input(inputs)
        self.check_channels(x.shape, self.kernel.shape[0])
        out = ops.matmul(x, self.kernel)
        return self.activation(out if self.bias is None else out + self.bias)


class Activation(Layer):
    """An activation as a layer.

    Parameters
    ----------
    activation : str or callable
        See `activations`.
    **options
        See `Layer`.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        self.activation = activations.get(activation)
        super().__init__(**options)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of any shape."""
        return self.activation(self.as_input(inputs))


class LeakyReLU(Layer):
    """`activations.leaky_relu` as a layer.

    Parameters
    ----------
    negative_slope : float
        Below 0.
    alpha : float, optional
        Another name for it.
    **options
        See `Layer`.
    """

    def __init__(self, negative_slope: float = 0.3, *, alpha: float | None = None, **options: Any) -> None:
        self.negative_slope = float(negative_slope if alpha is None else alpha)
        super().__init__(**options)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of any shape."""
        return activations.leaky_relu(self.as_input(inputs), self.negative_slope)


class ReLU(Layer):
    """The rectifier as a layer: ``x`` above the threshold, up to `max_value`; below it a line.

    Parameters
    ----------
    max_value : float, optional
        What the result is cut off at.
    negative_slope : float
        Slope below the threshold.
    threshold : float
        Where the line ends.
    **options
        See `Layer`.
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **options: Any
    ) -> None:
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)
        super().__init__(**options)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of any shape."""
        return activations.relu(self.as_input(inputs), self.negative_slope, self.max_value, self.threshold)


class ELU(Layer):
    """`activations.elu` as a layer.

    Parameters
    ----------
    alpha : float
        What it goes to below 0, with the other sign.
    **options
        See `Layer`.
    """

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        self.alpha = float(alpha)
        super().__init__(**options)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of any shape."""
        return activations.elu(self.as_input(inputs), self.alpha)


class Softmax(Layer):
    """`softmax` as a layer.

    Parameters
    ----------
    axis : int
        Along which the results add up to 1.
    **options
        See `Layer`.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        self.axis = axis
        super().__init__(**options)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of any shape."""
        return ops.softmax(self.as_input(inputs), axis=self.axis)


class Flatten(Layer):
    """All axes but the first as one."""

    least_rank = 1

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else prod(length or 0 for length in rest))

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, shape (batch, product of the others)."""
        x = self.taken(inputs)
        return ops.reshape(x, (x.shape[0], prod(x.shape[1:])))


class Reshape(Layer):
    """Another shape for each example.

    Parameters
    ----------
    target_shape : sequence of int
        Without the batch; one length may be -1.
    **options
        See `Layer`.

    Raises
    ------
    ValueError
        If it is no sequence of lengths, or more than one is -1.
    """

    least_rank = 1

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        lengths: list[Any] = [target_shape] if isinstance(target_shape, (int, np.integer)) else list(target_shape)
        if any(not isinstance(each, (int, np.integer)) or each < -1 for each in lengths) or lengths.count(-1) > 1:
            raise ValueError(
                at_user_line(f"Reshape: target_shape has lengths, one of which may be -1, got {target_shape!r}")
            )
        self.target_shape = tuple(int(length) for length in lengths)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        lengths = self.target_shape
        if None in input_shape[1:]:
            return (input_shape[0], *(None if length == -1 else length for length in lengths))
        size, others = prod(length or 0 for length in input_shape[1:]), prod(each for each in lengths if each != -1)
        fits = size % others == 0 if -1 in lengths and others else size == others
        if not fits:
            raise ShapeError(
                at_user_line(
                    f"{self.described}: an example of shape {input_shape[1:]} has {size} elements, the target shape "
                    f"{lengths} does not fit"
                )
            )
        return (input_shape[0], *(size // (others or 1) if length == -1 else length for length in lengths))

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, shape (batch, *target_shape)."""
        x = self.taken(inputs)
        shape: Any = self.compute_output_shape(x.shape)
        return ops.reshape(x, shape)
