"""`Sequential`: one layer after the other."""

from collections.abc import Iterable
from typing import Any

from ..errors import at_user_line
from .layer import Layer, PartialShape
from .module import Module


class Sequential(Module):
    """Layers, each of which takes what the one before gives.

    Parameters
    ----------
    layers : iterable of Module
        In order. If the first one has an ``input_shape``, the weights of all are made at once.
    name : str, optional
        See `Module`.

    Examples
    --------
    >>> model = tj.nn.Sequential([tj.nn.Dense(3, "relu", input_shape=(2,)), tj.nn.Dense(1)])
    >>> model(tj.ones((5, 2))).shape, len(model.trainable_variables)
    ((5, 1), 4)
    """

    def __init__(self, layers: Iterable[Any] = (), name: str | None = None) -> None:
        super().__init__(name)
        self._layers: tuple[Any, ...] = ()
        for layer in layers:
            self.add(layer)

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers, in order."""
        return self._layers

    @property
    def output_shape(self) -> PartialShape | None:
        """Shape of the result, as far as it is known."""
        return getattr(self._layers[-1], "output_shape", None) if self._layers else None

    def add(self, layer: Any) -> None:
        """Put one more layer at the end.

        Raises
        ------
        TypeError
            If it can't be called.
        """
        if not callable(layer):
            raise TypeError(at_user_line(f"Sequential: a layer was expected, got {type(layer).__name__}"))
        before = self.output_shape
        if isinstance(layer, Layer) and before is not None and not layer.built:
            layer.build_for(before)
        self._layers = (*self._layers, layer)

    def build_for(self, input_shape: PartialShape) -> PartialShape | None:
        """Make the weights for inputs of a shape, and return the shape of the result, as far as it is known."""
        shape: PartialShape | None = input_shape
        for layer in self._layers:
            shape = layer.build_for(shape) if shape is not None and isinstance(layer, (Layer, Sequential)) else None
        return shape

    def call(self, inputs: Any) -> Any:
        """What the last layer gives."""
        value = inputs
        for layer in self._layers:
            value = layer(value)
        return value
