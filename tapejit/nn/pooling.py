"""Pooling layers, channels last."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from .convolutional import check_data_format, padding_word, sizes
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
    data_format : {"channels_last"}, optional
        Channels are in the last axis.
    **options
        See `Layer`.
    """

    spatial = 2

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        title = type(self).__name__
        self.pool_size = sizes(title, "pool_size", pool_size, self.spatial)
        self.strides = self.pool_size if strides is None else sizes(title, "strides", strides, self.spatial)
        self.padding = padding_word(title, padding)
        check_data_format(title, data_format)
        super().__init__(**options)

    def check_shape(self, shape: PartialShape) -> None:
        """See `Layer`."""
        super().check_shape(shape)
        sizes = zip(shape[1:-1], self.pool_size, strict=True)
        if self.padding == "valid" and any(length is not None and 0 < length < own for length, own in sizes):
            raise ShapeError(
                at_user_line(
                    f"{self.described}: windows of {self.pool_size} places are longer than the input {shape}; use "
                    "padding='same'"
                )
            )

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
    pool_size, strides, padding, data_format
        See `max_pool`; channels come last.
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
    pool_size, strides, padding, data_format
        See `max_pool`; channels come last.
    **options
        See `Layer`.
    """

    rank = 4

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.average_pool(self.as_input(inputs), self.pool_size, self.strides, self.padding)


class MaxPool1D(MaxPool2D):
    """`MaxPool2D` along one axis: inputs (batch, steps, channels)."""

    spatial, rank = 1, 3


class AveragePooling1D(AveragePooling2D):
    """`AveragePooling2D` along one axis: inputs (batch, steps, channels)."""

    spatial, rank = 1, 3


class GlobalAveragePooling2D(Layer):
    """The mean of each channel over a whole image.

    Parameters
    ----------
    data_format : {"channels_last"}, optional
        Channels are in the last axis.
    keepdims : bool
        Whether height and width stay, as 1.
    **options
        See `Layer`.
    """

    rank = 4

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        check_data_format(type(self).__name__, data_format)
        self.keepdims = keepdims
        super().__init__(**options)

    def check_shape(self, shape: PartialShape) -> None:
        """See `Layer`."""
        super().check_shape(shape)
        if 0 in shape[1:-1]:
            raise ShapeError(at_user_line(f"{self.described}: an input {shape} has nothing to pool"))

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """See `Layer`."""
        ones = (1,) * (len(input_shape) - 2) if self.keepdims else ()
        return (input_shape[0], *ones, input_shape[-1])

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.mean(self.as_input(inputs), axis=self._space(), keepdims=self.keepdims)

    def _space(self) -> tuple[int, ...]:
        assert self.rank is not None
        return tuple(range(1, self.rank - 1))


class GlobalMaxPool2D(GlobalAveragePooling2D):
    """The largest element of each channel over a whole image."""

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, for inputs (batch, height, width, channels)."""
        return ops.max(self.as_input(inputs), axis=self._space(), keepdims=self.keepdims)


class GlobalAveragePooling1D(GlobalAveragePooling2D):
    """The mean of each channel over all steps: inputs (batch, steps, channels)."""

    rank = 3


class GlobalMaxPool1D(GlobalMaxPool2D):
    """The largest element of each channel over all steps: inputs (batch, steps, channels)."""

    rank = 3


MaxPooling1D = MaxPool1D
MaxPooling2D = MaxPool2D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPooling1D = GlobalMaxPool1D
GlobalMaxPooling2D = GlobalMaxPool2D
