"""Pooling layers, channels last."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..ops.convolution import each_axis
from ..tensor import Tensor
from .layer import Layer, PartialShape


class _Pooling(Layer):
    """What pooling layers share.

    Parameters
    ----------
    pool_size : int or sequence of int
        Lengths of the windows.
    strides : int or sequence of int, optional
        Their distances; by default their lengths.
    padding : {"valid", "same"}
        See `max_pool`.
    **options
        See `Layer`.
    """

    spatial = 2

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        **options: Any,
    ) -> None:
        title = type(self).__name__
        self.pool_size = each_axis(title, "pool_size", pool_size, self.spatial)
        self.strides = self.pool_size if strides is None else each_axis(title, "strides", strides, self.spatial)
        self.padding = padding
        super().__init__(**options)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        lengths = [
            None if length is None else max(-(-(length if self.padding == "same" else length - own + 1) // step), 0)
            for length, own, step in zip(input_shape[1:-1], self.pool_size, self.strides, strict=True)
        ]
        return (input_shape[0], *lengths, input_shape[-1])


class MaxPool2D(_Pooling):
    """The largest element of each window of images; see `max_pool`.

    Parameters
    ----------
    pool_size, strides, padding
        See `max_pool`.
    **options
        See `Layer`.
    """

    rank = 4

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.max_pool(self.as_input(inputs), self.pool_size, self.strides, self.padding)


class AveragePooling2D(_Pooling):
    """The mean of each window of images; see `average_pool`.

    Parameters
    ----------
    pool_size, strides, padding
        See `max_pool`.
    **options
        See `Layer`.
    """

    rank = 4

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.average_pool(self.as_input(inputs), self.pool_size, self.strides, self.padding)


class GlobalAveragePooling2D(Layer):
    """The mean of each channel over a whole image.

    Parameters
    ----------
    keepdims : bool
        Whether height and width stay, as 1.
    **options
        See `Layer`.
    """

    rank = 4

    def __init__(self, keepdims: bool = False, **options: Any) -> None:
        self.keepdims = keepdims
        super().__init__(**options)

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        batch, _, _, channels = input_shape
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.mean(self.as_input(inputs), axis=(1, 2), keepdims=self.keepdims)


class GlobalMaxPool2D(GlobalAveragePooling2D):
    """The largest element of each channel over a whole image."""

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.max(self.as_input(inputs), axis=(1, 2), keepdims=self.keepdims)


MaxPooling2D = MaxPool2D
GlobalMaxPooling2D = GlobalMaxPool2D
