"""`Layer`: a module of one input that makes its weights when it sees the first one."""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..aval import Shape, parse_dtype
from ..config import floatx
from ..errors import ShapeError, at_user_line
from ..tensor import Tensor
from ..variable import Variable
from . import initializers, regularizers
from .module import Module

PartialShape = tuple[int | None, ...]
"""A shape with the batch; None where a length varies."""


class Layer(Module):
    """A module whose weights depend on the shape of its input; to be inherited from.

    A subclass has ``build(input_shape)``, which makes weights with `add_weight`, ``call(inputs)``, and, where it
    changes the shape, ``compute_output_shape(input_shape)``.

    Parameters
    ----------
    input_shape : sequence of int or None, optional
        Shape of one example, without the batch, None for lengths that vary. If it is given, the weights are made at
        once, else at the first call.
    dtype : dtype, optional
        Of the weights; by default `tapejit.floatx()`. Inputs are converted to it.
    trainable : bool
        Whether its weights are trained.
    name : str, optional
        See `Module`.
    """

    rank: int | None = None
    """How many axes an input must have; None if that may vary."""

    least_rank = 0
    """How many axes it must have at least."""

    def __init__(
        self,
        *,
        input_shape: Sequence[int | None] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.dtype = floatx() if dtype is None else parse_dtype(type(self).__name__, dtype)
        self.trainable = trainable
        self.built: bool
        self.output_shape: PartialShape | None
        self._penalties: list[tuple[Any, Variable]] = []
        self.keep("built", False)
        self.keep("output_shape", None)
        if input_shape is not None:
            self.build_for((None, *input_shape))

    # What a layer says

    def build(self, input_shape: PartialShape) -> None:
        """Make the weights for inputs of a shape, whose first length is that of the batch; to be overridden."""

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """The shape of the result for inputs of a shape; to be overridden where it is another."""
        return input_shape

    def add_weight(
        self,
        name: str,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        *,
        regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> Variable:
        """Make a variable that belongs to the layer.

        Parameters
        ----------
        name : str
            The last part of its name.
        shape : sequence of int
            Its shape.
        initializer : str or callable
            See `initializers`.
        regularizer : str or callable, optional
            See `regularizers`; its penalty is one of `losses`.
        trainable : bool
            Whether it is trained.
        dtype : dtype, optional
            By default the layer's.

        Returns
        -------
        Variable
            To be kept in an attribute.
        """
        made = initializers.get(initializer)(tuple(shape), self.dtype if dtype is None else dtype)
        variable: Variable = Variable(made, trainable=trainable, name=f"{self.name}/{name}")
        if regularizer is not None:
            self._penalties.append((regularizers.get(regularizer), variable))
        return variable

    # What happens with it

    def build_for(self, input_shape: PartialShape) -> PartialShape:
        """Make the weights for inputs of a shape, if they were not made, and return the shape of the result."""
        if not self.built:
            self.build(input_shape)
            self.keep("built", True)
            self.keep("_built_for", input_shape)
        shape = self.compute_output_shape(input_shape)
        if self.output_shape is None:
            self.keep("output_shape", shape)
        return shape

    def prepare(self, *args: Any) -> None:
        """See `Module`."""
        if not self.built and args:
            shape = ops.asarray(args[0]).shape
            self._check_rank(len(shape), shape)
            self.build_for((None, *shape[1:]))

    def own_losses(self) -> list[Tensor]:
        """See `Module`."""
        return [penalty(variable) for penalty, variable in self._penalties]

    def as_input(self, inputs: Any) -> Tensor:
        """An input as a tensor of the layer's dtype.

        Parameters
        ----------
        inputs : array_like
            What the layer was called with.

        Raises
        ------
        ShapeError
            If it has another number of axes.
        """
        value = ops.asarray(inputs)
        self._check_rank(len(value.shape), value.shape)
        return value if value.dtype == self.dtype else ops.astype(value, self.dtype)

    def _check_rank(self, count: int, shape: Shape) -> None:
        if (self.rank is not None and count != self.rank) or count < self.least_rank:
            wanted = f"{self.rank} axes" if self.rank is not None else f"at least {self.least_rank} axes"
            title = f"{type(self).__name__} {self.name!r}"
            raise ShapeError(at_user_line(f"{title} takes {wanted}{self.axes_in_words()}, got {shape}"))

    def axes_in_words(self) -> str:
        """What the axes of an input are, for messages."""
        return ""

    def check_channels(self, found: int | None, expected: int) -> None:
        """Hold that an input has as many channels as the weights were made for.

        Raises
        ------
        ShapeError
            If it has others.
        """
        if found != expected:
            title = f"{type(self).__name__} {self.name!r}"
            raise ShapeError(at_user_line(f"{title} was made for {expected} channels in the last axis, got {found}"))


def known(length: int | None, layer: Layer, axis: str) -> int:
    """A length that weights depend on, which may not vary.

    Raises
    ------
    ShapeError
        If it does.
    """
    if length is None:
        raise ShapeError(
            at_user_line(
                f"{type(layer).__name__} {layer.name!r}: the length of the {axis} can't be None, its weights need it"
            )
        )
    return length
