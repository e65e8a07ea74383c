"""`Module`: an object that finds the variables and modules in its attributes, and calls itself with what they need.

Start here. A module finds what it holds each time it is asked, in the order in which attributes were first set, inside
lists, tuples and dicts too; so there is nothing to register.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..configurable import Configurable
from ..errors import at_user_line
from ..random import Generator
from ..tensor import Tensor
from ..variable import Variable

_TRAINING: ContextVar[bool] = ContextVar("tapejit_training", default=False)
"""Whether the innermost call that said so is one for training."""


class Module(Configurable):
    """Something that is made of variables and of other modules; to be inherited from.

    A subclass makes its parts in ``__init__`` and computes in ``call``. What ``call`` has as its parameter ``training``
    is passed on by itself to the modules that it calls, if they ask for it.

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

    def __init__(self, name: str | None = None) -> None:
        self.name = name or _in_small_letters(type(self).__name__)
        self.trainable = True

    # What it holds

    @property
    def submodules(self) -> tuple["Module", ...]:
        """All modules in it, at any depth, each once, a module before those in it."""
        found = dict.fromkeys(self._modules())
        found.pop(self, None)
        return tuple(found)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables in it, each once: its own and those of its submodules, the state of generators included."""
        return tuple({variable.key: variable for _, variable in self.named_variables()}.values())

    @property
    def trainable_variables(self) -> tuple[Variable, ...]:
        """The variables that are trained: not those of modules whose `trainable` is False."""
        found = {variable.key: variable for variable in self.own_variables(only_trainable=True)}
        return tuple(found.values())

    @property
    def non_trainable_variables(self) -> tuple[Variable, ...]:
        """The other variables."""
        trained = {variable.key for variable in self.trainable_variables}
        return tuple(variable for variable in self.variables if variable.key not in trained)

    @property
    def weights(self) -> tuple[Variable, ...]:
        """The variables but for the state of generators."""
        return tuple({variable.key: variable for variable in self.own_variables(only_trainable=False)}.values())

    trainable_weights = trainable_variables

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """The variables with their paths, such as ``layers.0.kernel``; one that is held twice has its first path."""
        seen: set[int] = set()
        for path, thing in _parts(self, "", set()):
            variable = thing.state if isinstance(thing, Generator) else thing
            if isinstance(variable, Variable) and variable.key not in seen:
                seen.add(variable.key)
                yield path, variable

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
            If there are not as many.
        """
        given, variables = list(weights), self.weights
        if len(given) != len(variables):
            raise ValueError(
                at_user_line(f"set_weights: {self.name} has {len(variables)} weights, got {len(given)} values")
            )
        for variable, value in zip(variables, given, strict=True):
            variable.assign(value)

    @property
    def losses(self) -> list[Tensor]:
        """What is to be added to the loss: the penalties of regularizers, in this module and its submodules."""
        return [loss for module in (self, *self.submodules) for loss in module.own_losses()]

    def own_losses(self) -> list[Tensor]:
        """Those of `losses` that are this module's own; to be overridden."""
        return []

    # Calls

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} has no call")

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """What `call` gives.

        Parameters
        ----------
        *args, **kwargs
            Handed to `call`.
        training : bool, optional
            Whether this is a step of training, for modules that behave in another way then, here and inside; by default
            as in the module that calls this one, and False where there is none.
        """
        self.rely()
        chosen = _TRAINING.get() if training is None else bool(training)
        if _takes_training(type(self)):
            kwargs["training"] = chosen
        self.prepare(*args)
        if chosen == _TRAINING.get():
            return self.call(*args, **kwargs)
        with _training(chosen):
            return self.call(*args, **kwargs)

    def prepare(self, *args: Any) -> None:
        """What has to happen before a call with these arguments; see `Layer`."""

    def summary(self) -> str:
        """A table of what it holds, printed and returned."""
        from_here = _summary(self)
        print(from_here)  # noqa: T201 (what it is for)
        return from_here

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self.variables)} variables>"

    # Walks

    def _modules(self) -> Iterator["Module"]:
        yield self
        for _, thing in _parts(self, "", set()):
            if isinstance(thing, Module):
                yield thing

    def own_variables(self, only_trainable: bool, seen: set[int] | None = None) -> Iterator[Variable]:
        """Variables in order, without those below a module that is not trained."""
        seen = {id(self)} if seen is None else seen
        if only_trainable and not self.trainable:
            return
        for _, thing in _members(self, ""):
            if isinstance(thing, Module):
                if id(thing) not in seen:
                    seen.add(id(thing))
                    yield from thing.own_variables(only_trainable, seen)
            elif isinstance(thing, Variable) and (thing.trainable or not only_trainable):
                yield thing


@contextmanager
def _training(chosen: bool) -> Iterator[None]:
    token = _TRAINING.set(chosen)
    try:
        yield
    finally:
        _TRAINING.reset(token)


def _takes_training(kind: type) -> bool:
    known = _WITH_TRAINING.get(kind)
    if known is None:
        known = "training" in signature(kind.call).parameters  # type: ignore[attr-defined]
        _WITH_TRAINING[kind] = known
    return known


_WITH_TRAINING: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _parts(module: Module, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """What is in a module at any depth, with paths: modules, variables, generators."""
    seen.add(id(module))
    for where, thing in _members(module, path):
        yield where, thing
        if isinstance(thing, Module) and id(thing) not in seen:
            yield from _parts(thing, where, seen)


def _members(module: Module, path: str) -> Iterator[tuple[str, Any]]:
    """What the attributes of a module hold, through lists, tuples and dicts."""
    for name, value in vars(module).items():
        shown = name.lstrip("_")
        yield from _inside(value, f"{path}.{shown}" if path else shown, ())


def _inside(value: Any, path: str, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Variable, Module, Generator)):
        yield path, value
    elif isinstance(value, (list, tuple, dict)) and id(value) not in around:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in pairs:
            yield from _inside(each, f"{path}.{key}", (*around, id(value)))


def _in_small_letters(name: str) -> str:
    """``LayerNorm2D`` as ``layer_norm2d``."""
    letters = [("_" + each.lower()) if each.isupper() and name[max(at - 1, 0)].islower() else each.lower()
               for at, each in enumerate(name)]  # fmt: skip
    return "".join(letters)


def _summary(module: Module) -> str:
    """The table of `Module.summary`."""
    rows = [("module", "output", "parameters")]
    listed = [each for each in (module, *module.submodules) if any(True for _ in each.own_variables(False))]
    for each in module.submodules or listed:
        own = [thing for _, thing in _members(each, "") if isinstance(thing, Variable)]
        shape = getattr(each, "output_shape", None)
        count = sum(int(np.prod(variable.shape)) for variable in own)
        shown = "" if shape is None else str(tuple(shape)).replace("None", "?")
        rows.append((f"{each.name} ({type(each).__name__})", shown, f"{count:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    trained = sum(int(np.prod(variable.shape)) for variable in module.trainable_variables)
    total = module.count_params()
    rule = "-" * len(lines[0])
    return "\n".join(
        [f"{module.name} ({type(module).__name__})", lines[0], rule, *lines[1:], rule,
         f"{total:,} parameters, {trained:,} of them trained"]
    )  # fmt: skip
