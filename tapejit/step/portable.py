"""`Portable`: what becomes of a step as a method of instances, in copies, and in pickles.

A step is code, so it goes as functions go: by its name, where a module has it under one. What it is about
goes with it otherwise, and the copy is traced for itself: a step of a bound method, of a `functools.partial`, of an
object that is called, and in deep copies of what holds it also a closure. Start reading at `Portable.__reduce_ex__`.
"""

import copy
import pickle
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import update_wrapper
from inspect import getattr_static
from types import FunctionType, MethodType
from typing import Any, Self

from ..by_name import is_found, name_for, name_of_global, takes_functions
from ..closures import copied, holds_state
from ..errors import at_user_line, name_of


class Portable:
    """A compiled function as others hold it.

    Parameters
    ----------
    function : callable
        What is compiled.
    **options : bool
        What else its class is made with.
    """

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        update_wrapper(self, function)
        self._function = function
        self._options = options
        self._unbound: Self | None = None
        self._bound_name = f"_compiled_{getattr(self, '__qualname__', name_of(function))}"  # of an instance's own step

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the function does."""

    # As a method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A compiled method: one step for each instance, as the instance's attributes are what it reads."""
        if instance is None or not hasattr(self._function, "__get__"):
            return self
        kept = getattr(instance, "__dict__", None)
        if not isinstance(kept, dict):  # a class, or an object with slots: it becomes an argument
            return MethodType(self, instance)
        bound = kept.get(self._bound_name)
        # A copy of another instance has that one's step, and a class may have got another method of the same name.
        if bound is None or not bound.is_method(self, instance):
            bound = type(self)(self._function.__get__(instance, owner), **self._options)
            bound._unbound = self  # noqa: SLF001 (of its own class)
            kept[self._bound_name] = bound
        return bound

    def is_method(self, unbound: "Portable", instance: Any) -> bool:
        """Whether this is `unbound` as a method of `instance`."""
        return self._unbound is unbound and getattr(self._function, "__self__", None) is instance

    def compiled_as(self, **options: bool) -> Self:
        """The step with these options: itself if it has them."""
        return self if options == self._options else type(self)(self._function, **options)

    # Copies

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        """A step of the function's copy, with what that holds.

        A function by itself is its own copy. But in the copy of something that holds a step, what the function closes
        over is that of the copy: else the copy would train the original's variables.
        """
        if self._unbound is not None:
            return self._unbound.__get__(copy.deepcopy(self._function.__self__, memo))  # type: ignore[no-any-return, attr-defined]
        if isinstance(self._function, FunctionType):
            if not memo or name_of_global(self) is not None or not holds_state(self._function, memo):
                return self
            made = memo[id(self)] = _blank(type(self))  # the function may call it
            made.__setstate__((copied(self._function, memo), self._options))
            return made  # type: ignore[return-value]
        function = copy.deepcopy(self._function, memo)
        return self if function is self._function else type(self)(function, **self._options)

    # Pickles

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By name, as functions are; a method with its instance; else with its function, which has to be picklable.

        Raises
        ------
        pickle.PicklingError
            For a function without such a name, unless the pickler takes functions themselves, as cloudpickle's does.
        """
        if self._unbound is not None:
            return self._method()
        caller = sys._getframe(1)
        name = name_for(self, caller)
        if name is not None:
            return name
        if not takes_functions(caller) and isinstance(self._function, FunctionType) and not is_found(self._function):
            raise pickle.PicklingError(at_user_line(_no_name(self._function)))
        return _blank, (type(self),), (self._function, self._options)

    def __setstate__(self, state: tuple[Callable[..., Any], Mapping[str, bool]]) -> None:
        function, options = state
        type(self).__init__(self, function, **options)

    def _method(self) -> Any:
        """What gives a method again: the instance's attribute, or, where another class overrides it, the method."""
        unbound, instance = self._unbound, self._function.__self__  # type: ignore[attr-defined]
        for kind in type(instance).__mro__:
            for name, value in vars(kind).items():
                if value is unbound and getattr_static(type(instance), name) is unbound:
                    return getattr, (instance, name)
        return unbound.__get__, (instance,)  # type: ignore[union-attr]


def _blank(kind: type["Portable"]) -> "Portable":
    """A step that gets its function later: it may be held by what the function is about."""
    return kind.__new__(kind)


def _no_name(function: FunctionType) -> str:
    place = f"{function.__module__}.{function.__qualname__}"
    return (
        f"the compiled step {function.__name__} can't be pickled: pickle sends functions by name, and {place} does not "
        "name this one; define it at the top level of a module, make it a method of an object that can be pickled, or "
        "send it with cloudpickle, as joblib does"
    )
