"""`Module`: an object that finds the variables and modules in its attributes, and calls itself with what they need.

Start here. A module finds what it holds each time it is asked, in the order in which attributes were first set, inside
lists, tuples and dicts too; so there is nothing to register. What it holds is found in `members`, and what goes on
around a call is in `calls`.
"""

from collections.abc import Iterable, Iterator, Sequence
from inspect import Parameter, signature
from typing import Any

import numpy as np

from .. import ops
from ..aval import Shape, parse_dtype
from ..config import floatx
from ..dataclass import dataclass
from ..errors import DtypeError, ShapeError, at_user_line
from ..random import Generator
from ..tensor import Tensor
from ..variable import Variable
from . import initializers, regularizers
from .calls import Added, calling, followed, form_of, running
from .members import Members, Part, all_members, members
from .summary import table


@dataclass(frozen=True, slots=True)
class Penalty:
    """A weight and what is added to the loss for it; no nest, so that the weight is found where its layer has it."""

    regularizer: Any
    weight: Variable


class Module(Part):
    """Something that is made of variables and of other modules; to be inherited from.

    A subclass makes its parts in ``__init__`` and computes in ``call``. What depends on the shape of the input it makes
    in ``build(input_shape)``, which runs before the first call. What ``call`` has as its parameter ``training`` is
    passed on by itself to the modules that it calls, if they ask for it.

    Parameters
    ----------
    name : str, optional
        For tables and names of weights; by default that of the class, in small letters.

    Examples
    --------
    >>> class Line(tj.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.w, self.b = tj.Variable(2.0), tj.Variable(1.0)
    ...     def call(self, x):
    ...         return self.w * x + self.b
    >>> line = Line()
    >>> float(line(3.0)), len(line.trainable_variables)
    (7.0, 2)
    """

    # Of modules whose `__init__` does not call that of `Module` too.
    name = "module"
    named = False
    built = False
    _trainable = True
    _penalties: tuple[Penalty, ...] = ()
    added_losses: Added | None = None

    def __init__(self, name: Any = None) -> None:
        if isinstance(name, str):
            self.name = name
            self.keep("named", True)
        elif name is not None and name is not self:  # which some of TensorFlow's tutorials hand on
            raise TypeError(at_user_line(f"{type(self).__name__}: name is a str, got {type(name).__name__}"))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = _in_small_letters(cls.__name__)
        if "build" in vars(cls):
            cls.build = followed(cls.build, "build", _note_built)  # type: ignore[method-assign]

    @property
    def trainable(self) -> bool:
        """Whether its variables are trained; to set it sets that of all modules in it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for _, thing in members(self):
            if isinstance(thing, Module) and thing.trainable != bool(value):
                thing.trainable = bool(value)

    # What it holds

    @property
    def submodules(self) -> tuple["Module", ...]:
        """All modules in it, at any depth, each once, a module before those in it."""
        found = dict.fromkeys(thing for _, thing in all_members(self) if isinstance(thing, Module))
        found.pop(self, None)
        return tuple(found)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables in it, each once: its own and those of its submodules, the state of generators included."""
        return Members({variable.key: variable for _, variable in self.named_variables()}.values())

    @property
    def trainable_variables(self) -> tuple[Variable, ...]:
        """The variables that are trained: not those of modules whose `trainable` is False."""
        found = {variable.key: variable for variable in self.own_variables(only_trainable=True)}
        return Members(found.values())

    @property
    def non_trainable_variables(self) -> tuple[Variable, ...]:
        """The other variables."""
        trained = {variable.key for variable in self.trainable_variables}
        return Members(variable for variable in self.variables if variable.key not in trained)

    @property
    def weights(self) -> tuple[Variable, ...]:
        """The variables but for the state of generators."""
        return Members({variable.key: variable for variable in self.own_variables(only_trainable=False)}.values())

    @property
    def trainable_weights(self) -> tuple[Variable, ...]:
        """See `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> tuple[Variable, ...]:
        """The weights that are not trained."""
        trained = {variable.key for variable in self.trainable_variables}
        return Members(variable for variable in self.weights if variable.key not in trained)

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """The variables with their paths, such as ``layers.0.kernel``; one that is held twice has its first path."""
        seen: set[int] = set()
        for path, thing in all_members(self):
            variable = thing.state if isinstance(thing, Generator) else thing
            if isinstance(variable, Variable) and variable.key not in seen:
                seen.add(variable.key)
                yield path, variable

    def own_variables(self, only_trainable: bool, seen: set[int] | None = None) -> Iterator[Variable]:
        """Variables in order, without those below a module that is not trained."""
        seen = {id(self)} if seen is None else seen
        self.rely()
        if only_trainable and not self.trainable:
            return
        for _, thing in members(self):
            if isinstance(thing, Module):
                if id(thing) not in seen:
                    seen.add(id(thing))
                    yield from thing.own_variables(only_trainable, seen)
            elif isinstance(thing, Variable) and (thing.trainable or not only_trainable):
                yield thing

    def count_params(self) -> int:
        """How many numbers its weights hold."""
        return sum(int(np.prod(variable.shape)) for variable in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the values of `weights`, in order."""
        return [variable.numpy().copy() for variable in self.weights]

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Assign values to `weights`, in order.

        Raises
        ------
        ValueError
            If there are not as many, or one has another shape; nothing is assigned then.
        """
        given, variables = list(weights), self.weights
        if len(given) != len(variables):
            hint = "" if variables else "; they are made at the first call, by build, or from an input_shape"
            raise ValueError(
                at_user_line(f"set_weights: {self.name} has {len(variables)} weights, got {len(given)} values{hint}")
            )
        values = [ops.asarray(value) for value in given]
        for place, (variable, value) in enumerate(zip(variables, values, strict=True)):
            if value.shape != variable.shape:
                raise ShapeError(
                    at_user_line(
                        f"set_weights: weight {place} of {self.name}, {variable.name!r}, has shape {variable.shape}, "
                        f"the value {value.shape}"
                    )
                )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    # What it makes

    def add_weight(
        self,
        *args: Any,
        name: str | None = None,
        shape: int | Sequence[int] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
    ) -> Variable:
        """Make a variable that belongs to the module.

        Parameters
        ----------
        *args
            The first parameters by place: name, shape, initializer, or these without the name.
        name : str, optional
            The last part of its name.
        shape : int or sequence of int, optional
            Its shape, by default ().
        initializer : str or callable, optional
            See `initializers`; by default "glorot_uniform", and "zeros" if the dtype is not floating.
        dtype : dtype, optional
            By default the module's, if it has one, else `tapejit.floatx()`.
        trainable : bool
            Whether it is trained.
        regularizer : str or callable, optional
            See `regularizers`; its penalty is one of `losses`.

        Returns
        -------
        Variable
            To be kept in an attribute.

        Raises
        ------
        TypeError
            For more arguments, or if one is given twice.
        ShapeError
            If a length is None, or the initializer gives another shape.
        """
        title = f"{type(self).__name__} {self.name!r}"
        by_place = ("name", "shape", "initializer") if args and isinstance(args[0], str) else ("shape", "initializer")
        given = {"name": name, "shape": shape, "initializer": initializer}
        twice = [word for word, _ in zip(by_place, args, strict=False) if given[word] is not None]
        if len(args) > len(by_place) or twice:
            what = f"{twice[0]} twice" if twice else f"{len(args)} arguments by place"
            raise TypeError(at_user_line(f"{title}: add_weight got {what}; it takes name=, shape=, initializer=, …"))
        given.update(zip(by_place, args, strict=False))
        made = _first_value(title, given, parse_dtype("add_weight", dtype or getattr(self, "dtype", None) or floatx()))
        variable: Variable = Variable(made, trainable=trainable, name=f"{self.name}/{given['name'] or 'weight'}")
        if regularizer is not None:
            self.keep("_penalties", (*self._penalties, Penalty(regularizers.get(regularizer), variable)))
        return variable

    @property
    def losses(self) -> list[Tensor]:
        """What is to be added to the loss: the penalties of regularizers, and what was added in the last call."""
        return _losses(self)

    def own_losses(self) -> list[Tensor]:
        """The penalties on the module's own weights, those that are trained."""
        self.rely()
        penalties = [each for each in self._penalties if self.trainable and each.weight.trainable]
        return [each.regularizer(each.weight) for each in penalties]

    def add_loss(self, loss: Any) -> None:
        """Add to `losses`, for as long as the module is not called again; to be called in ``call``.

        Parameters
        ----------
        loss : array_like, shape ()
            A number.
        """
        call = running()
        added: Added = {} if call is None else call.added
        self.keep("added_losses", added)
        added.setdefault(id(self), []).append(ops.asarray(loss))

    # Calls

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; to be overridden."""
        raise NotImplementedError(at_user_line(f"{type(self).__name__} has no call"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `call` gives.

        Parameters
        ----------
        *args, **kwargs
            Handed to `call`. ``training`` says whether this is a step of training, for modules that behave in another
            way then, here and inside; by default it is as in the module that calls this one, then as `call` has it,
            then False.
        """
        self.rely()
        outer = running()
        training, args = form_of(type(self)).settled(args, kwargs, outer)
        self._prepare(*args, **kwargs)
        if outer is not None and training is outer.training:
            self.keep("added_losses", outer.added)
            return self._finish(self.call(*args, **kwargs))
        with calling(training, outer) as call:
            self.keep("added_losses", call.added)
            return self._finish(self.call(*args, **kwargs))

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        """What has to happen before a call with these arguments: at the first one `build`."""
        if not self.built:
            if self.makes_weights():
                self.build(partial_shape(form_of(type(self)).first(args, kwargs)))
            self.keep("built", True)

    def _finish(self, result: Any) -> Any:
        """What has to happen after a call, with its result."""
        return result

    def build(self, input_shape: Any) -> None:
        """Make what depends on the shape of the input, whose first length, that of the batch, is None.

        Parameters
        ----------
        input_shape : tuple of int and None
            The shape; where the input is a list, tuple or dict of arrays, such a nest of shapes.
        """

    def makes_weights(self) -> bool:
        """Whether the class has a `build` of its own that takes a shape."""
        if type(self).build is Module.build:
            return False
        parameters = list(signature(type(self).build).parameters.values())[1:]
        needed = [each for each in parameters if each.default is Parameter.empty and each.kind not in _VARIADIC]
        return bool(parameters) and len(needed) <= 1

    def rename_to(self, name: str) -> None:
        """Give it another name, and its own weights names that begin with it."""
        for _, thing in members(self):
            if isinstance(thing, Variable) and thing.name and thing.name.startswith(f"{self.name}/"):
                thing.name = name + thing.name.removeprefix(self.name)
        self.name = name

    def summary(self) -> str:
        """A table of what it holds, printed and returned."""
        made = table(self)
        print(made)  # noqa: T201 (what it is for)
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self.variables)} variables>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "added_losses"}


_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _losses(module: Module) -> list[Tensor]:
    # No part of the property, whose reads would be guarded: what is added is another thing in each call.
    modules = (module, *module.submodules)
    added = module.added_losses or {}
    penalties = [loss for each in modules for loss in each.own_losses()]
    return penalties + [loss for each in modules for loss in added.get(id(each), ())]


def _note_built(module: Module) -> None:
    module.keep("built", True)


def partial_shape(inputs: Any) -> Any:
    """The shape of an input with None for the length of the batch; for a nest of arrays a nest of shapes."""
    if isinstance(inputs, dict):
        return {key: partial_shape(each) for key, each in inputs.items()}
    if isinstance(inputs, (list, tuple)) and any(hasattr(each, "shape") for each in inputs):
        return [partial_shape(each) for each in inputs]
    return (None, *_shape_of(inputs)[1:])


def _shape_of(inputs: Any) -> Shape:
    try:
        return ops.asarray(inputs).shape
    except DtypeError:
        return ()


def _first_value(title: str, given: dict[str, Any], dtype: np.dtype) -> Tensor:
    """What an initializer gives, if it is what was wanted."""
    shape = () if given["shape"] is None else given["shape"]
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if None in shape:
        raise ShapeError(at_user_line(f"{title}: weight {given['name']!r} can't have the shape {shape}"))
    shape = tuple(map(int, shape))
    chosen = given["initializer"] or ("glorot_uniform" if dtype.kind == "f" else "zeros")
    value = ops.asarray(initializers.first_value(initializers.get(chosen), shape, dtype))
    if value.shape != shape:
        raise ShapeError(
            at_user_line(f"{title}: the initializer of {given['name']!r} gave the shape {value.shape} for {shape}")
        )
    return ops.astype(value, dtype)


def _in_small_letters(name: str) -> str:
    """``LayerNorm2D`` as ``layer_norm2d``."""
    letters = [("_" + each.lower()) if each.isupper() and name[max(at - 1, 0)].islower() else each.lower()
               for at, each in enumerate(name)]  # fmt: skip
    return "".join(letters)
