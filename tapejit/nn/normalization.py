"""Layers that normalise: over the batch, over each example."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from . import initializers, regularizers
from .layer import Layer, PartialShape, known


class BatchNormalization(Layer):
    """Each channel minus its mean over the batch, divided by its deviation, then scaled and shifted.

    In training the moments are those of the batch, and running means follow them; else, and where the layer is not
    trainable, these are used. S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", 2015.

    Parameters
    ----------
    axis : int
        That of the channels.
    momentum : float
        What the running means keep at each step.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are a shift (``beta``) and a scale (``gamma``) that are trained.
    beta_initializer, gamma_initializer : str or callable
        See `initializers`.
    moving_mean_initializer, moving_variance_initializer : str or callable
        See `initializers`.
    beta_regularizer, gamma_regularizer : str or callable, optional
        See `regularizers`.
    **options
        See `Layer`.
    """

    least_rank = 2

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        self.axis = axis
        self.momentum = float(momentum)  # NumPy's would widen float32
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        axis = _in_range(self, self.axis, len(input_shape))
        shape = (known(input_shape[axis], self, f"axis {self.axis}"),)
        self.gamma, self.beta = _scale_and_shift(self, shape)
        self.moving_mean = self.add_weight("moving_mean", shape, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(
            "moving_variance", shape, self.moving_variance_initializer, trainable=False
        )

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """The layer's result, of the input's shape.

        Parameters
        ----------
        inputs : array_like
            Two axes or more.
        training : bool
            Whether the moments of the batch are used.
        """
        x = self.as_input(inputs)
        rank = len(x.shape)
        axis = self.axis % rank
        self.check_channels(x.shape, self.moving_mean.shape[0], axis)
        across = tuple(range(axis)) + tuple(range(axis + 1, rank))
        if training and self.trainable:
            if 0 in x.shape:
                raise ShapeError(at_user_line(f"{self.described}: an empty batch {x.shape} has no mean to train with"))
            mean = ops.mean(x, axis=across)
            variance = ops.mean((x - self._along(mean, axis, rank)) ** 2, axis=across)
            self._follow(mean, variance)
        else:
            mean, variance = self.moving_mean.read_value(), self.moving_variance.read_value()
        scale = ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            scale = scale * self.gamma
        out = (x - self._along(mean, axis, rank)) * self._along(scale, axis, rank)
        return out if self.beta is None else out + self._along(self.beta, axis, rank)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.read_value() * self.momentum + ops.stop_gradient(now) * (1.0 - self.momentum))

    @staticmethod
    def _along(vector: Any, axis: int, rank: int) -> Tensor:
        """A vector as an array that broadcasts along one axis."""
        value = ops.asarray(vector)
        if axis == rank - 1:
            return value
        return ops.reshape(value, (*(1,) * axis, value.shape[0], *(1,) * (rank - 1 - axis)))


class LayerNormalization(Layer):
    """Each example minus its mean, divided by its deviation, then scaled and shifted.

    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016.

    Parameters
    ----------
    axis : int or sequence of int
        Over which the moments are taken.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are a shift (``beta``) and a scale (``gamma``) that are trained.
    beta_initializer, gamma_initializer : str or callable
        See `initializers`.
    beta_regularizer, gamma_regularizer : str or callable, optional
        See `regularizers`.
    **options
        See `Layer`.
    """

    least_rank = 2

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis)
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        rank = len(input_shape)
        axes = sorted(_in_range(self, axis, rank) for axis in self.axis)
        if 0 in axes:
            raise ValueError(at_user_line(f"{self.described}: axis 0 is that of the batch"))
        shape = tuple(known(input_shape[axis], self, f"axis {axis}") for axis in axes)
        self.keep("_lengths", shape)
        self.gamma, self.beta = _scale_and_shift(self, shape)

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of the input's shape."""
        x = self.as_input(inputs)
        rank = len(x.shape)
        axes = tuple(sorted(axis % rank for axis in self.axis))
        for axis, length in zip(axes, self._lengths, strict=True):  # type: ignore[attr-defined]
            self.check_channels(x.shape, length, axis)
        centred = x - ops.mean(x, axis=axes, keepdims=True)
        out = centred * ops.rsqrt(ops.mean(centred * centred, axis=axes, keepdims=True) + self.epsilon)
        shape = tuple(x.shape[axis] if axis in axes else 1 for axis in range(min(axes), rank))
        if self.gamma is not None:
            out = out * ops.reshape(self.gamma, shape)
        return out if self.beta is None else out + ops.reshape(self.beta, shape)


def _scale_and_shift(layer: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The weights `gamma` and `beta`, or None."""
    gamma, beta = layer.gamma_initializer, layer.beta_initializer
    return (
        layer.add_weight("gamma", shape, gamma, regularizer=layer.gamma_regularizer) if layer.scale else None,
        layer.add_weight("beta", shape, beta, regularizer=layer.beta_regularizer) if layer.center else None,
    )


def _in_range(layer: Layer, axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    if not -rank <= axis < rank:
        raise ShapeError(at_user_line(f"{layer.described}: there is no axis {axis} in an input of {rank} axes"))
    return axis % rank
