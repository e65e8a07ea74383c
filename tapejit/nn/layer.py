"""`Layer`: a module of one input that makes its weights when it sees the first one."""

from collections.abc import Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any

import numpy as np

from .. import ops
from ..aval import Shape, parse_dtype
from ..config import floatx
from ..errors import DtypeError, ShapeError, at_user_line
from ..tensor import Tensor
from . import regularizers
from .calls import followed, form_of
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
        Of the weights; by default `tapejit.floatx()`. The library's own layers convert their inputs to it.
    trainable : bool
        Whether its weights are trained.
    name : str, optional
        See `Module`.
    activity_regularizer : str or callable, optional
        See `regularizers`; of the result, divided by the length of the batch, it is one of `losses`.
    input_dim : int, optional
        Stands for the input shape ``(input_dim,)``.
    batch_shape, batch_input_shape : sequence of int or None, optional
        Stand for the input shape without their first length.
    """

    rank: int | None = None
    """How many axes an input must have; None if that may vary."""

    least_rank = 0
    """How many axes it must have at least."""

    # Of layers whose `__init__` does not call that of `Layer` too.
    activity_regularizer: Any = None
    given_shape: PartialShape | None = None
    output_shape: PartialShape | None = None
    _dtype: np.dtype | None = None

    def __init__(
        self,
        *,
        input_shape: Sequence[int | None] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
        activity_regularizer: Any = None,
        **others: Any,
    ) -> None:
        super().__init__(name)
        shape = _given_shape(type(self).__name__, input_shape, others)
        if others:
            raise TypeError(at_user_line(_unknown(type(self), next(iter(others)))))
        self.dtype = floatx() if dtype is None else dtype
        if not trainable:  # what it holds already keeps its own
            self.trainable = False
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.keep("given_shape", shape)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not hasattr(cls.__init__, "then"):  # its own, or one of a class that is no layer
            cls.__init__ = followed(cls.__init__, "__init__", _build_for_given)  # type: ignore[method-assign]

    @property
    def dtype(self) -> np.dtype:
        """That of the weights."""
        return self._dtype or floatx()

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self._dtype = parse_dtype(type(self).__name__, value)

    # What a layer says

    def compute_output_shape(self, input_shape: PartialShape) -> PartialShape:
        """The shape of the result for inputs of a shape; to be overridden where it is another."""
        return input_shape

    def check_shape(self, shape: PartialShape) -> None:
        """Hold that inputs may have a shape; to be overridden where more than the number of axes is known."""
        count = len(shape)
        if (self.rank is not None and count != self.rank) or count < self.least_rank:
            wanted = f"{self.rank} axes" if self.rank is not None else f"at least {self.least_rank} axes"
            raise ShapeError(at_user_line(f"{self.described} takes {wanted}{self.axes_in_words()}, got {shape}"))

    def axes_in_words(self) -> str:
        """What the axes of an input are, for messages."""
        return ""

    @property
    def described(self) -> str:
        """What it is called in messages."""
        return f"{type(self).__name__} {self.name!r}"

    # What happens with it

    def build_for(self, input_shape: PartialShape) -> PartialShape | None:
        """Make the weights for inputs of a shape, if they were not made, and return the shape of the result.

        That is None where a subclass does not say it.
        """
        self.check_shape(input_shape)
        says = _says_shape(type(self))
        shape = self.compute_output_shape(input_shape) if says and form_of(type(self)).own else None
        if not self.built:
            if self.makes_weights():
                self.build(input_shape)
            self.keep("built", True)
        if says and shape is None:
            shape = self.compute_output_shape(input_shape)
        if self.output_shape is None:
            self.keep("output_shape", shape)
        return shape

    def shape_after(self, input_shape: PartialShape) -> PartialShape | None:
        """The shape of the result for inputs of a shape; None where a subclass does not say it."""
        return self.compute_output_shape(input_shape) if _says_shape(type(self)) else None

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        """See `Module`."""
        if self.built:
            return
        form = form_of(type(self))
        if not form.own:
            super()._prepare(*args, **kwargs)
            return
        inputs = form.first(args, kwargs)
        self._refuse_nothing(inputs)
        shape = ops.asarray(inputs).shape
        self.check_shape(shape)
        self.build_for((None, *shape[1:]))

    def _finish(self, result: Any) -> Any:
        """See `Module`."""
        first = result[0] if isinstance(result, (list, tuple)) and result else result
        if self.output_shape is None and getattr(first, "shape", None):
            self.keep("output_shape", (None, *first.shape[1:]))
        if self.activity_regularizer is not None:
            self.add_loss(self.activity_regularizer(first) / max([1, *first.shape[:1]]))
        return result

    def taken(self, inputs: Any) -> Tensor:
        """An input as a tensor of its own dtype.

        Parameters
        ----------
        inputs : array_like
            What the layer was called with.

        Raises
        ------
        ShapeError
            If it has another number of axes.
        DtypeError
            If it is None.
        """
        self.rely()  # also where `call` is called by itself
        self._refuse_nothing(inputs)
        value = ops.asarray(inputs)
        self.check_shape(value.shape)
        return value

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
        DtypeError
            If it is None.
        """
        value = self.taken(inputs)
        return value if value.dtype == self.dtype else ops.astype(value, self.dtype)

    def _refuse_nothing(self, inputs: Any) -> None:
        if inputs is None:
            raise DtypeError(at_user_line(f"{self.described} was called with None where an array is expected"))

    def check_channels(self, shape: Shape, expected: int, axis: int = -1) -> None:
        """Hold that an input has as many channels as the weights were made for.

        Raises
        ------
        ShapeError
            If it has others.
        """
        if shape[axis] != expected:
            where = "the last axis" if axis in (-1, len(shape) - 1) else f"axis {axis}"
            raise ShapeError(
                at_user_line(
                    f"{self.described} was made for {expected} channels in {where}, got {shape[axis]} "
                    f"in an input {shape}"
                )
            )


def known(length: int | None, layer: Layer, axis: str) -> int:
    """A length that weights depend on, which may not vary.

    Raises
    ------
    ShapeError
        If it does.
    """
    if length is None:
        raise ShapeError(
            at_user_line(f"{layer.described}: the length of the {axis} can't be None, its weights need it")
        )
    return length


def at_least_one(title: str, **numbers: Any) -> list[int]:
    """Options that are numbers of something.

    Raises
    ------
    ValueError
        If one is no whole number of at least 1.
    """
    for name, number in numbers.items():
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or number < 1:
            raise ValueError(at_user_line(f"{title}: {name} must be at least 1, a whole number, got {number!r}"))
    return [int(number) for number in numbers.values()]


def fraction(title: str, name: str, number: Any) -> float:
    """An option that is a part of something.

    Raises
    ------
    ValueError
        If it is no number from 0 to below 1.
    """
    if not isinstance(number, (int, float, np.number)) or not 0 <= number < 1:
        raise ValueError(at_user_line(f"{title}: {name} must be from 0 to below 1, got {number!r}"))
    return float(number)


def _build_for_given(layer: Layer) -> None:
    if layer.given_shape is not None and not layer.built:
        layer.build_for(layer.given_shape)


def _says_shape(kind: type[Layer]) -> bool:
    """Whether the shape of the result is that of `compute_output_shape`, and not of an ancestor's with another call."""
    shape, call = (next(at for at, each in enumerate(kind.__mro__) if name in vars(each))
                   for name in ("compute_output_shape", "call"))  # fmt: skip
    return shape <= call or form_of(kind).own


def _given_shape(title: str, input_shape: Any, others: dict[str, Any]) -> PartialShape | None:
    """The shape with the batch that one of the options says; they are taken out of `others`."""
    length, batch = others.pop("input_dim", None), None
    for name in ("batch_shape", "batch_input_shape"):
        given = others.pop(name, None)
        batch = given if batch is None else batch
    if batch is not None:
        input_shape = tuple(batch)[1:]
    if input_shape is None and length is not None:
        input_shape = (length,)
    if input_shape is None:
        return None
    lengths = input_shape if isinstance(input_shape, (list, tuple)) else ("",)
    if any(each is not None and (not isinstance(each, (int, np.integer)) or each < 0) for each in lengths):
        hint = f"; ({input_shape},) has one axis" if isinstance(input_shape, int) else ""
        raise ValueError(
            at_user_line(f"{title}: input_shape is a tuple of lengths and None, got {input_shape!r}{hint}")
        )
    return (None, *(None if each is None else int(each) for each in input_shape))


def _unknown(kind: type, name: str) -> str:
    """What to say of an option that a class doesn't have."""
    made = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base) and base is not object]
    options = {each for method in made for each in signature(method).parameters} - _VARIADIC
    close = get_close_matches(name, sorted(options), 1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(options))}"
    return f"{kind.__name__} has no option {name!r}{hint}"


_VARIADIC = {"self", "options", "others", "args", "kwargs"}


Layer.__init__ = followed(Layer.__init__, "__init__", _build_for_given)  # type: ignore[method-assign]
