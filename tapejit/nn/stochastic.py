"""Layers that draw: dropout."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import ShapeError, at_user_line
from ..random import Generator
from ..tensor import Tensor
from .layer import Layer, fraction


class Dropout(Layer):
    """In training each element is 0 with probability `rate`, and the others are divided by ``1 - rate``.

    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: A Simple Way to Prevent Neural
    Networks from Overfitting", 2014. The layer has a generator of its own, whose state is one of its variables.

    Parameters
    ----------
    rate : float
        From 0 to below 1.
    noise_shape : sequence of int or None, optional
        Shape of what is drawn, which broadcasts with the input; None stands for the input's length.
    seed : int or Generator, optional
        Of its generator, or a generator that it shares with others.
    **options
        See `Layer`.

    Raises
    ------
    ValueError
        If the rate is out of range.
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | Generator | None = None,
        **options: Any,
    ) -> None:
        self.rate = fraction("Dropout", "rate", rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.generator = seed if isinstance(seed, Generator) else Generator(seed)
        super().__init__(**options)

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """The layer's result, of the input's shape.

        Parameters
        ----------
        inputs : array_like
            Of any shape.
        training : bool
            Whether anything is dropped.
        """
        x = self.as_input(inputs)
        if not training or not self.rate:
            return x
        shape = x.shape
        if self.noise_shape is not None:
            if len(self.noise_shape) != len(shape):
                raise ShapeError(
                    at_user_line(f"{self.described}: noise_shape {self.noise_shape} for an input of shape {shape}")
                )
            shape = tuple(
                own if wanted is None else wanted for own, wanted in zip(shape, self.noise_shape, strict=True)
            )
        kept = self.generator.uniform(shape, dtype=x.dtype) >= self.rate
        return ops.where(kept, x / (1.0 - self.rate), 0.0)
