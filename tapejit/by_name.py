"""Pickles of what stands in a module for a function: by that name, as pickle has it for functions.

Floor 1. Start reading at `Named`.
"""

import pickle
import sys
from functools import reduce
from types import FrameType, FunctionType
from typing import Any


class Named:
    """Something that stands in a module for the function that it decorates, and is pickled as that would be."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return name_for(self, sys._getframe(1)) or super().__reduce_ex__(protocol)


def name_for(thing: Any, caller: FrameType) -> str | None:
    """Under which name a function's module has what stands for it; None if it has not, or the pickler asks for more."""
    place = getattr(thing, "__module__", None) or ""
    if place == "__main__" and takes_functions(caller):
        return None
    return name_of_global(thing)


def name_of_global(thing: Any) -> str | None:
    """Under which name a function's module has what stands for it."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    own = getattr(thing, "__qualname__", "")
    if own and _found(module, own) is thing:
        return str(own)
    return next((name for name, value in vars(module).copy().items() if value is thing), None) if module else None


def _found(module: Any, path: str) -> Any:
    """What a module has under a name with dots."""
    return reduce(lambda owner, name: getattr(owner, name, None), path.split("."), module)


def is_found(function: FunctionType) -> bool:
    """Whether a function's module has it under its own name."""
    return _found(sys.modules.get(function.__module__), function.__qualname__) is function


def takes_functions(caller: FrameType) -> bool:
    """Whether the pickler at work takes functions themselves, not their names, as cloudpickle's, joblib's, dill's do.

    Those are written in Python, so what calls a reduction is one of their methods.
    """
    pickler = caller.f_locals.get("self")
    if not isinstance(pickler, (pickle.Pickler, pickle._Pickler)):  # noqa: SLF001 (what picklers in Python inherit from)
        return False
    saves = getattr(pickler, "dispatch", {}).get(FunctionType)
    return hasattr(pickler, "reducer_override") or getattr(saves, "__name__", "save_global") != "save_global"
