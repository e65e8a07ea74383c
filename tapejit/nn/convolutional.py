"""Convolutional layers, channels last."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError, at_user_line
from ..functional import vmap
from ..ops.convolution import each_axis
from ..tensor import Tensor
from . import activations, initializers, regularizers
from .layer import Layer, PartialShape, at_least_one, known

Sizes = int | Sequence[int]
_SPACE = {1: "steps", 2: "height, width", 3: "depth, height, width"}


def padding_word(title: str, padding: Any, words: tuple[str, ...] = ("valid", "same")) -> str:
    """One of the words for padding, in small letters.

    Raises
    ------
    ValueError
        If it is none.
    """
    word = padding.lower() if isinstance(padding, str) else padding
    if word not in words:
        raise ValueError(at_user_line(f"{title}: padding is {' or '.join(map(repr, words))}, got {padding!r}"))
    return str(word)


def sizes(title: str, name: str, given: Any, rank: int) -> tuple[int, ...]:
    """An option that is a whole number for each spatial axis, or one for all.

    Raises
    ------
    ValueError
        If it is not.
    """
    each = (given,) if isinstance(given, (int, np.integer)) else given
    if not np.iterable(each) or any(not isinstance(number, (int, np.integer)) for number in each):
        raise ValueError(at_user_line(f"{title}: {name} are {rank} whole numbers of at least 1, got {given!r}"))
    return each_axis(title, name, given, rank)


def check_data_format(title: str, data_format: Any) -> None:
    """Hold that channels come last.

    Raises
    ------
    ValueError
        If they don't.
    """
    if data_format not in (None, "channels_last"):
        raise ValueError(
            at_user_line(f"{title}: data_format is 'channels_last', got {data_format!r}; use tj.permute_dims before")
        )


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
        See `conv`; `Conv1D` has "causal" too: all zeros before, so that no result depends on what comes later.
    data_format : {"channels_last"}, optional
        Channels are in the last axis.
    dilation_rate : int or sequence of int
        Distances of the kernel's places.
    groups : int
        Into how many groups of neighbours channels and filters are divided; filters see those of their group.
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
    kernel : Variable, shape (*kernel_size, channels / groups, filters)
        Once it is built.
    bias : Variable, shape (filters,), or None
        Once it is built.
    """

    spatial = 0
    paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        title = type(self).__name__
        self.filters, self.groups = at_least_one(title, filters=filters, groups=groups)
        if self.filters % self.groups:
            raise ValueError(at_user_line(f"{title}: {filters} filters can't be divided into {groups} groups"))
        check_data_format(title, data_format)
        self.kernel_size = sizes(title, "kernel_size", kernel_size, self.spatial)
        self.strides = sizes(title, "strides", strides, self.spatial)
        self.padding = padding_word(title, padding, self.paddings)
        self.dilation_rate = sizes(title, "dilation_rate", dilation_rate, self.spatial)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        super().__init__(**options)

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        """Shape of the kernel for inputs with so many channels."""
        return (*self.kernel_size, channels // self.groups, self.filters)

    def width(self, channels: int) -> int:  # noqa: ARG002 (for those that depend on it)
        """How many channels the result has."""
        return self.filters

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        channels = known(input_shape[-1], self, "axis of the channels")
        if channels % self.groups:
            raise ShapeError(at_user_line(f"{self.described}: {channels} channels in {self.groups} groups"))
        self.kernel = self.add_weight(
            "kernel", self.kernel_shape(channels), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.keep("_channels", channels)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (self.width(channels),), self.bias_initializer, regularizer=self.bias_regularizer
            )

    def check_shape(self, shape: PartialShape) -> None:
        """See `Layer`."""
        super().check_shape(shape)
        self._lengths(shape)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        return (input_shape[0], *self._lengths(input_shape), self.width(input_shape[-1] or 0))

    def _lengths(self, input_shape: PartialShape) -> list[int | None]:
        space = list(enumerate(input_shape[1:-1]))
        lengths = [None if length is None else self.length_of(length, axis) for axis, length in space]
        if any(length is not None and length < 1 and input_shape[1 + axis] for axis, length in enumerate(lengths)):
            raise ShapeError(
                at_user_line(
                    f"{self.described}: a kernel of {self.spans()} places is longer than the input {input_shape}"
                    f"{self.axes_in_words()}; use padding='same'"
                )
            )
        return lengths

    def spans(self) -> tuple[int, ...]:
        """How long the dilated kernel is."""
        pairs = zip(self.kernel_size, self.dilation_rate, strict=True)
        return tuple((length - 1) * dilation + 1 for length, dilation in pairs)

    def length_of(self, length: int, axis: int) -> int:
        """How long the result is along a spatial axis for an input of a length."""
        rest = length - self.spans()[axis] + 1 if self.padding == "valid" else length
        return max(-(-rest // self.strides[axis]), 0)

    def axes_in_words(self) -> str:
        """See `Layer`."""
        return f" (batch, {_SPACE[self.spatial]}, channels)"

    def convolved(self, x: Tensor) -> Tensor:
        """The result without bias and activation."""
        padding: Any = self.padding
        if padding == "causal":
            padding = [(span - 1, 0) for span in self.spans()]

        def conv(channels: Any, kernel: Any) -> Tensor:
            return ops.conv(channels, kernel, self.strides, padding, self.dilation_rate)

        if self.groups == 1:
            return conv(x, self.kernel)
        x = ops.reshape(x, (*x.shape[:-1], self.groups, x.shape[-1] // self.groups))
        kernel = ops.reshape(self.kernel, (*self.kernel.shape[:-1], self.groups, self.filters // self.groups))
        out = vmap(conv, (-2, -2), -2)(x, kernel)
        return ops.reshape(out, (*out.shape[:-2], self.filters))

    def call(self, inputs: Any) -> Tensor:
        """The layer's result.

        Parameters
        ----------
        inputs : array_like, shape (batch, *space, channels)
            Images, or signals.
        """
        x = self.as_input(inputs)
        self.check_channels(x.shape, self._channels)  # type: ignore[attr-defined]
        out = self.convolved(x)
        return self.activation(out if self.bias is None else out + self.bias)


class Conv1D(Convolution):
    """`Convolution` along one axis: inputs (batch, steps, channels)."""

    spatial, rank = 1, 3
    paddings = ("valid", "same", "causal")


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
    kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **options
        See `Convolution`; the kernel has the shape (*kernel_size, filters, channels).
    output_padding : int or sequence of int, optional
        See `conv_transpose`.
    """

    spatial, rank = 2, 4

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        **options: Any,
    ) -> None:
        self.output_padding = output_padding
        options |= {"activation": activation, "use_bias": use_bias}
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, **options)

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        """See `Convolution`."""
        return (*self.kernel_size, self.filters, channels)

    def length_of(self, length: int, axis: int) -> int:
        """See `Convolution`."""
        span, stride = self.spans()[axis], self.strides[axis]
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
    kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer, bias_regularizer
        See `Convolution`; the kernel has the shape (*kernel_size, channels, depth_multiplier).
    depth_multiplier : int
        How many channels of the result each channel has.
    depthwise_initializer : str or callable
        Of the kernel; see `initializers`.
    depthwise_regularizer : str or callable, optional
        Of the kernel; see `regularizers`.
    **options
        See `Layer`.
    """

    spatial, rank = 2, 4

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        (self.depth_multiplier,) = at_least_one("DepthwiseConv2D", depth_multiplier=depth_multiplier)
        options |= {"activation": activation, "use_bias": use_bias, "bias_initializer": bias_initializer}
        options |= {"kernel_initializer": depthwise_initializer, "kernel_regularizer": depthwise_regularizer}
        options |= {"bias_regularizer": bias_regularizer}
        super().__init__(depth_multiplier, kernel_size, strides, padding, data_format, dilation_rate, **options)

    def width(self, channels: int) -> int:
        """See `Convolution`."""
        return channels * self.depth_multiplier

    def convolved(self, x: Tensor) -> Tensor:
        """See `Convolution`."""
        return ops.depthwise_conv(x, self.kernel, self.strides, self.padding, self.dilation_rate)
