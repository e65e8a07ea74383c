"""`Sequential`: one layer after the other, and `Input`, which says the shape of what comes in."""

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import at_user_line
from .calls import form_of, running
from .layer import Layer, PartialShape
from .members import Members
from .module import Module


class InputLayer(Layer):
    """Says what the inputs of a `Sequential` are, and gives them on as they are.

    Parameters
    ----------
    shape : sequence of int or None, optional
        Of one example, without the batch, None for lengths that vary.
    batch_size : int, optional
        Not relied on.
    **options
        See `Layer`; ``input_shape`` is another name for `shape`.
    """

    def __init__(
        self, shape: Sequence[int | None] | None = None, batch_size: int | None = None, **options: Any
    ) -> None:
        self.batch_size = batch_size
        super().__init__(**(options if shape is None else {**options, "input_shape": shape}))
        if self.given_shape is None:
            raise ValueError(at_user_line("InputLayer: shape= is missing"))

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs


def Input(  # noqa: N802 (a function in Keras too)
    shape: Sequence[int | None] | None = None, batch_size: int | None = None, **options: Any
) -> InputLayer:
    """An `InputLayer`, to be the first in a `Sequential`.

    Parameters
    ----------
    shape, batch_size, **options
        See `InputLayer`.

    Returns
    -------
    InputLayer
        To be handed to `Sequential`.

    Examples
    --------
    >>> model = tj.nn.Sequential([tj.nn.Input(shape=(3,)), tj.nn.Dense(2)])
    >>> model.count_params()
    8
    """
    return InputLayer(shape, batch_size, **options)


class Sequential(Module):
    """Layers, each of which takes what the one before gives.

    Parameters
    ----------
    layers : iterable of Module
        In order. If the first one has an ``input_shape``, or is an `Input`, the weights of all are made at once.
    name : str, optional
        See `Module`.
    trainable : bool
        Whether its weights are trained.

    Examples
    --------
    >>> model = tj.nn.Sequential([tj.nn.Dense(3, "relu", input_shape=(2,)), tj.nn.Dense(1)])
    >>> model(tj.ones((5, 2))).shape, len(model.trainable_variables)
    ((5, 1), 4)
    """

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name)
        self._layers: tuple[Any, ...] = ()
        self._input_shape: PartialShape | None = None
        if not isinstance(layers, (Iterable, type(None))):
            raise TypeError(at_user_line(f"Sequential takes a list of layers, got {type(layers).__name__}"))
        for layer in layers or ():
            self.add(layer)
        if not trainable:
            self.trainable = False

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers, in order."""
        return Members(self._layers)

    @property
    def input_shape(self) -> PartialShape | None:
        """Shape of the inputs, as far as it is known."""
        return self._input_shape

    @property
    def output_shape(self) -> PartialShape | None:
        """Shape of the result, as far as it is known."""
        shape = self._shape_after()
        if shape is None and self._layers:
            shape = getattr(self._layers[-1], "output_shape", None)
        return shape

    def add(self, layer: Any) -> None:
        """Put one more layer at the end.

        Parameters
        ----------
        layer : callable
            A layer, or a function of a tensor.

        Raises
        ------
        TypeError
            If it can't be called, or is a class.
        """
        if not callable(layer) or isinstance(layer, type):
            given = f"the class {layer.__name__}; make one: {layer.__name__}(…)" if isinstance(layer, type) else ""
            raise TypeError(at_user_line(f"Sequential: a layer was expected, got {given or type(layer).__name__}"))
        if isinstance(layer, InputLayer):
            self._input_shape = layer.given_shape
            self.build_for(self._input_shape)
            return
        self._number(layer)
        shape = self._shape_after()
        if shape is None and not self._layers:
            shape = self._input_shape = _given_shape(layer)
        known = shape is not None and isinstance(layer, (Layer, Sequential))
        if known:
            layer.build_for(shape)
        self._layers = (*self._layers, layer)
        self.keep("built", known)

    def pop(self) -> Any:
        """Take the last layer away, and return it.

        Raises
        ------
        ValueError
            If there is none.
        """
        if not self._layers:
            raise ValueError(at_user_line(f"Sequential {self.name!r} has no layer to take away"))
        *before, last = self._layers
        self._layers = tuple(before)
        return last

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of a name, or at a place.

        Parameters
        ----------
        name : str, optional
            Its name.
        index : int, optional
            Its place.

        Raises
        ------
        ValueError
            If there is none.
        """
        names = [getattr(layer, "name", None) for layer in self._layers]
        place = names.index(name) if name is not None and name in names else index
        if place is None or not -len(names) <= place < len(names):
            wanted = f"called {name!r}" if name is not None else f"at {index}"
            raise ValueError(at_user_line(f"Sequential {self.name!r} has no layer {wanted}; there are {names}"))
        return self._layers[place]

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of a shape, whose first length is that of the batch.

        Parameters
        ----------
        input_shape : tuple of int and None
            None where a length varies.
        """
        self.build_for((None, *tuple(input_shape)[1:]))

    def build_for(self, input_shape: PartialShape | None) -> PartialShape | None:
        """Make the weights for inputs of a shape, and return the shape of the result, as far as it is known."""
        if self._input_shape is None:
            self._input_shape = input_shape
        return self._shapes(input_shape, making=True)

    def makes_weights(self) -> bool:
        """See `Module`: the layers make theirs when they are called."""
        return False

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape | None:
        """The shape of the result for inputs of a shape, as far as it is known."""
        return self._shapes(input_shape, making=False)

    def _shape_after(self) -> PartialShape | None:
        return self._shapes(self._input_shape, making=False)

    def _shapes(self, shape: PartialShape | None, making: bool) -> PartialShape | None:
        for layer in self._layers:
            if shape is None or not isinstance(layer, (Layer, Sequential)):
                return None
            shape = layer.build_for(shape) if making else layer.shape_after(shape)
        return shape

    def shape_after(self, input_shape: PartialShape) -> PartialShape | None:
        """See `Layer`."""
        return self._shapes(input_shape, making=False)

    def _number(self, layer: Any) -> None:
        """Give a layer that was given no name one that no other layer here has."""
        taken = [getattr(other, "name", None) for other in self._layers if other is not layer]
        if isinstance(layer, Module) and not layer.named and layer.name in taken:
            plain = type(layer).name
            count = next(number for number in range(1, len(taken) + 1) if f"{plain}_{number}" not in taken)
            layer.rename_to(f"{plain}_{count}")

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002 (`running` says it)
        """What the last layer gives.

        Raises
        ------
        ValueError
            If there is no layer.
        """
        self.rely()  # also where `call` is called by itself
        if not self._layers:
            raise ValueError(at_user_line(f"Sequential {self.name!r} was called, but has no layers; see `add`"))
        now = running()
        told = {} if now is None or now.training is None else {"training": now.training}
        value = inputs
        for layer in self._layers:
            value = layer(value, **told) if told and _is_to_be_told(layer) else layer(value)
        return value


def _given_shape(layer: Any) -> PartialShape | None:
    """The shape of the inputs that a layer was given when it was made."""
    return layer.input_shape if isinstance(layer, Sequential) else getattr(layer, "given_shape", None)


def _is_to_be_told(layer: Any) -> bool:
    """Whether a module has a call of its own that asks for `training`; others know of it by themselves."""
    own = isinstance(layer, Module) and type(layer).__call__ is not Module.__call__
    return own and form_of(type(layer), "__call__").takes_training
