"""Convolutional layers, channels last."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import at_user_line
from ..ops.convolution import each_axis
from ..tensor import Tensor
from . import activations
from .layer import Layer, PartialShape, known

_SPACE = {1: "steps", 2: "height, width", 3: "depth, height, width"}


class Convolution(Layer):
    """What convolutional layers share; `Conv1D`, `Conv2D` and the others say how many spatial axes there are.

    Parameters
    ----------
    filters : int
        Channels of the result.
    kernel_size : int or sequence of int
        Lengths of the kernel.
    strides : int or sequence of int
        Steps of the kernel.
    padding : {"valid", "same"}
        See `conv`.
    dilation_rate : int or sequence of int
        Distances of the kernel's places.
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
    kernel : Variable, shape (*kernel_size, channels, filters)
        Once it is built.
    bias : Variable, shape (filters,), or None
        Once it is built.
    """

    spatial = 0

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        title = type(self).__name__
        if filters < 1:
            raise ValueError(at_user_line(f"{title}: filters must be at least 1, got {filters}"))
        if padding not in ("valid", "same"):
            raise ValueError(at_user_line(f"{title}: padding is 'valid' or 'same', got {padding!r}"))
        self.filters = filters
        self.kernel_size = each_axis(title, "kernel_size", kernel_size, self.spatial)
        self.strides = each_axis(title, "strides", strides, self.spatial)
        self.padding = padding
        self.dilation_rate = each_axis(title, "dilation_rate", dilation_rate, self.spatial)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        super().__init__(**options)

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        """Shape of the kernel for inputs with so many channels."""
        return (*self.kernel_size, channels, self.filters)

    def width(self, channels: int) -> int:  # noqa: ARG002 (for those that depend on it)
        """How many channels the result has."""
        return self.filters

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        channels = known(input_shape[-1], self, "axis of the channels")
        self.kernel = self.add_weight(
            "kernel", self.kernel_shape(channels), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.keep("_channels", channels)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (self.width(channels),), self.bias_initializer, regularizer=self.bias_regularizer
            )

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        lengths = [
            None if length is None else self.length_of(length, axis) for axis, length in enumerate(input_shape[1:-1])
        ]
        return (input_shape[0], *lengths, self.width(input_shape[-1] or 0))

    def length_of(self, length: int, axis: int) -> int:
        """How long the result is along a spatial axis for an input of a length."""
        span = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        rest = length if self.padding == "same" else length - span + 1
        return max(-(-rest // self.strides[axis]), 0)

    def axes_in_words(self) -> str:
        """See `Layer`."""
        return f" (batch, {_SPACE[self.spatial]}, channels)"

    def convolved(self, x: Tensor) -> Tensor:
        """The result without bias and activation."""
        return ops.conv(x, self.kernel, self.strides, self.padding, self.dilation_rate)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result.

        Parameters
        ----------
        inputs : array_like, shape (batch, *space, channels)
            Images, or signals.
        """
        x = self.as_input(inputs)
        self.check_channels(x.shape[-1], self._channels)  # type: ignore[attr-defined]
        out = self.convolved(x)
        return self.activation(out if self.bias is None else out + self.bias)


class Conv1D(Convolution):
    """`Convolution` along one axis: inputs (batch, steps, channels)."""

    spatial, rank = 1, 3


class Conv2D(Convolution):
    """`Convolution` of images: inputs (batch, height, width, channels).

    Examples
    --------
    >>> layer = tj.nn.Conv2D(4, [3, 3], activation="relu", input_shape=(None, None, 1))
    >>> layer(tj.ones((2, 8, 8, 1))).shape
    (2, 6, 6, 4)
    """

    spatial, rank = 2, 4


class Conv3D(Convolution):
    """`Convolution` of volumes: inputs (batch, depth, height, width, channels)."""

    spatial, rank = 3, 5


class Conv2DTranspose(Convolution):
    """The transpose of a convolution of images, which makes them larger; see `conv_transpose`.

    Parameters
    ----------
    filters : int
        Channels of the result.
    kernel_size, strides, padding, dilation_rate, activation, use_bias, **options
        See `Convolution`; the kernel has the shape (*kernel_size, filters, channels).
    output_padding : int or sequence of int, optional
        See `conv_transpose`.
    """

    spatial, rank = 2, 4

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        self.output_padding = output_padding
        super().__init__(filters, kernel_size, strides, padding, **options)

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        """See `Convolution`."""
        return (*self.kernel_size, self.filters, channels)

    def length_of(self, length: int, axis: int) -> int:
        """See `Convolution`."""
        span = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        stride = self.strides[axis]
        if self.output_padding is None:
            return length * stride + (0 if self.padding == "same" else max(span - stride, 0))
        more = each_axis("Conv2DTranspose", "output_padding", [1 + each for each in self._extra()], 2)[axis] - 1
        around = span // 2 if self.padding == "same" else 0
        return (length - 1) * stride + span - 2 * around + more

    def _extra(self) -> Sequence[int]:
        given = self.output_padding
        return (given, given) if isinstance(given, int) else tuple(given or (0, 0))

    def convolved(self, x: Tensor) -> Tensor:
        """See `Convolution`."""
        return ops.conv_transpose(x, self.kernel, self.strides, self.padding, self.output_padding, self.dilation_rate)


class DepthwiseConv2D(Convolution):
    """A convolution of each channel of images by itself; see `depthwise_conv`.

    Parameters
    ----------
    kernel_size, strides, padding, dilation_rate, activation, use_bias, **options
        See `Convolution`; the kernel has the shape (*kernel_size, channels, depth_multiplier).
    depth_multiplier : int
        How many channels of the result each channel has.
    """

    spatial, rank = 2, 4

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        **options: Any,
    ) -> None:
        self.depth_multiplier = depth_multiplier
        super().__init__(depth_multiplier, kernel_size, strides, padding, **options)

    def width(self, channels: int) -> int:
        """See `Convolution`."""
        return channels * self.depth_multiplier

    def convolved(self, x: Tensor) -> Tensor:
        """See `Convolution`."""
        return ops.depthwise_conv(x, self.kernel, self.strides, self.padding, self.dilation_rate)
