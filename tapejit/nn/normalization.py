"""Layers that normalise: over the batch, over each example."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import at_user_line
from ..tensor import Tensor
from .layer import Layer, PartialShape, known


class BatchNormalization(Layer):
    """Each channel minus its mean over the batch, divided by its deviation, then scaled and shifted.

    In training the moments are those of the batch, and running means follow them; else these are used. S. Ioffe, C.
    Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015.

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
        **options: Any,
    ) -> None:
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        shape = (known(input_shape[self.axis], self, f"axis {self.axis}"),)
        self.gamma = self.add_weight("gamma", shape, self.gamma_initializer) if self.scale else None
        self.beta = self.add_weight("beta", shape, self.beta_initializer) if self.center else None
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
        self.check_channels(x.shape[axis], self.moving_mean.shape[0])
        across = tuple(range(axis)) + tuple(range(axis + 1, rank))
        if training:
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
        **options: Any,
    ) -> None:
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis)
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        super().__init__(**options)

    def build(self, input_shape: PartialShape) -> None:
        """See `Layer`."""
        rank = len(input_shape)
        axes = sorted(axis % rank for axis in self.axis)
        if 0 in axes:
            raise ValueError(at_user_line(f"LayerNormalization {self.name!r}: axis 0 is that of the batch"))
        shape = tuple(known(input_shape[axis], self, f"axis {axis}") for axis in axes)
        self.gamma = self.add_weight("gamma", shape, self.gamma_initializer) if self.scale else None
        self.beta = self.add_weight("beta", shape, self.beta_initializer) if self.center else None

    def call(self, inputs: Any) -> Tensor:
        """The layer's result, of the input's shape."""
        x = self.as_input(inputs)
        rank = len(x.shape)
        axes = tuple(sorted(axis % rank for axis in self.axis))
        centred = x - ops.mean(x, axis=axes, keepdims=True)
        out = centred * ops.rsqrt(ops.mean(centred * centred, axis=axes, keepdims=True) + self.epsilon)
        shape = tuple(x.shape[axis] if axis in axes else 1 for axis in range(min(axes), rank))
        if self.gamma is not None:
            out = out * ops.reshape(self.gamma, shape)
        return out if self.beta is None else out + ops.reshape(self.beta, shape)
