"""`Configurable`: objects of the library's own that hold what users set, such as optimizers, layers and losses.

Floor 3. What the library's functions read by name is not guarded in a compiled step. Where such an object does its work
it says so with `rely`, and then the trace has one guard for all of its attributes: how often they were set. Where the
library looks into what others may change in place, it says so with `rely_on`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Relied = dict[tuple[int, str], Any]
"""By ``id`` and name of an attribute the objects on whose attributes a trace relies."""

_RELIED_ON: ContextVar[Relied | None] = ContextVar("tapejit_relied_on", default=None)


class Configurable:
    """An object that counts how often its attributes were set or deleted.

    What changes while a step runs is in variables. What only the object itself keeps up to date (a cache, what it
    built) is set with `keep`, and counts for nothing.
    """

    settings_made = 0

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not isinstance(getattr(type(self), name, None), property):  # it counts what its setter sets
            self.touch()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self.touch()

    def touch(self) -> None:
        """Count a change that was none of an attribute."""
        object.__setattr__(self, "settings_made", self.settings_made + 1)

    def keep(self, name: str, value: Any) -> None:
        """Set an attribute that no trace depends on."""
        object.__setattr__(self, name, value)

    def rely(self) -> None:
        """Say that what is being traced, if anything is, depends on the attributes of this object."""
        relied_on = _RELIED_ON.get()
        if relied_on is not None:
            relied_on[id(self), "settings_made"] = self


def rely_on(thing: Any, name: str) -> None:
    """Say that what is being traced, if anything is, depends on an attribute of an object, and on what is in it."""
    relied_on = _RELIED_ON.get()
    if relied_on is not None:
        relied_on[id(thing), name] = thing


@contextmanager
def collecting() -> Iterator[Relied]:
    """A block of which the objects are collected on whose attributes it relies."""
    found: Relied = {}
    token = _RELIED_ON.set(found)
    try:
        yield found
    finally:
        _RELIED_ON.reset(token)
