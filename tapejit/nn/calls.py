"""What goes on around the call of a module: whether it is one for training, and what is added to the loss in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter, signature, unwrap
from typing import Any
from weakref import WeakKeyDictionary

from ..dataclass import dataclass
from ..errors import is_library
from ..tensor import Tensor

Added = dict[int, list[Tensor]]
"""By ``id`` of a module what it added to the loss."""


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a module that runs at the moment.

    Attributes
    ----------
    training : bool or None
        Whether it is one for training, if anyone said so.
    added : dict
        What was added to the loss since the call of the outermost module.
    """

    training: bool | None
    added: Added


_CALL: ContextVar[Call | None] = ContextVar("tapejit_call", default=None)


def running() -> Call | None:
    """The innermost call that runs."""
    return _CALL.get()


@contextmanager
def calling(training: bool | None, outer: Call | None) -> Iterator[Call]:
    """A block that is a call of a module, inside of another one."""
    call = Call(training, {} if outer is None else outer.added)
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


class Form:
    """How the method `call` of a class is called.

    Parameters
    ----------
    method : callable
        The method.

    Attributes
    ----------
    own : bool
        Whether it is one of the library's.
    takes_training : bool
        Whether it asks if a call is one for training.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        parameters = list(signature(method).parameters.values())[1:]
        code = getattr(unwrap(method), "__code__", None)  # of a compiled method that of the function in it
        self.own = code is not None and is_library(code.co_filename)
        self._names = [each.name for each in parameters if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
        found = next((each for each in parameters if each.name == "training"), None)
        self.takes_training = found is not None
        self._place = self._names.index("training") if "training" in self._names else None
        default = Parameter.empty if found is None else found.default
        self._default = None if default is Parameter.empty else default

    def settled(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], outer: Call | None
    ) -> tuple[bool | None, tuple[Any, ...]]:
        """Whether a call is one for training, and its arguments, which say so if the method asks for it.

        What the caller says counts, then what the call around it was, then the default of the method.
        """
        if outer is not None and not self.takes_training and "training" not in kwargs:
            return outer.training, args
        place = len(args) if self._place is None else self._place
        training = args[place] if place < len(args) else kwargs.pop("training", None)
        if training is None and outer is not None:
            training = outer.training
        if training is None:
            training = self._default
        training = None if training is None else bool(training)
        if place < len(args):
            args = (*args[:place], bool(training), *args[place + 1 :])
        elif self.takes_training:
            kwargs["training"] = bool(training)
        return training, args

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, but for those that are nothing."""
        given = {**dict(zip(self._names, args, strict=False)), **kwargs}
        return {name: given[name] for name in self._names if given.get(name) is not None}

    def first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The first argument; None where there is none."""
        return args[0] if args else kwargs.get(self._names[0]) if self._names else None


_FORMS: WeakKeyDictionary[type, dict[str, Form]] = WeakKeyDictionary()


def form_of(kind: type, method: str = "call") -> Form:
    """How modules of a class are called, by one of its methods."""
    known = _FORMS.setdefault(kind, {})
    if method not in known:
        known[method] = Form(getattr(kind, method))
    return known[method]


def followed(method: Callable[..., Any], name: str, after: Callable[[Any], None]) -> Callable[..., Any]:
    """A method, and what has to follow once that of the object's own class has run."""

    @wraps(method)
    def both(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        if getattr(type(self), name) is both:
            after(self)
        return result

    both.then = after  # type: ignore[attr-defined]
    return both
