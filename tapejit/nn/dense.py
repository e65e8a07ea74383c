"""Layers without a neighbourhood: products, activations, other shapes."""

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from . import activations
from .layer import Layer, PartialShape, known


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
        if units < 1:
            raise ValueError(at_user_line(f"Dense: units must be at least 1, got {units}"))
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
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
        self.check_channels(x.shape[-1], self.kernel.shape[0])
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
    **options
        See `Layer`.
    """

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        self.negative_slope = negative_slope
        super().__init__(**options)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of any shape."""
        return activations.leaky_relu(self.as_input(inputs), self.negative_slope)


class Flatten(Layer):
    """All axes but the first as one."""

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else prod(length or 0 for length in rest))

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, shape (batch, product of the others)."""
        x = ops.asarray(inputs)
        if not x.shape:
            raise ShapeError(at_user_line(f"Flatten {self.name!r} takes at least 1 axis, the batch; got {x.shape}"))
        return ops.reshape(x, (x.shape[0], prod(x.shape[1:])))


class Reshape(Layer):
    """Another shape for each example.

    Parameters
    ----------
    target_shape : sequence of int
        Without the batch; one length may be -1.
    **options
        See `Layer`.
    """

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        self.target_shape = tuple(target_shape)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        if -1 not in self.target_shape:
            return (input_shape[0], *self.target_shape)
        rest = input_shape[1:]
        if None in rest:
            return (input_shape[0], *(None if length == -1 else length for length in self.target_shape))
        others = prod(length for length in self.target_shape if length != -1)
        size = prod(length or 0 for length in rest)
        return (input_shape[0], *(size // others if length == -1 else length for length in self.target_shape))

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, shape (batch, *target_shape)."""
        x = ops.asarray(inputs)
        return ops.reshape(x, (x.shape[0], *self.target_shape))
