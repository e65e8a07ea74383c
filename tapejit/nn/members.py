"""What the attributes of a module hold: variables, modules and generators, through lists, tuples and dicts."""

from collections.abc import Iterator
from typing import Any

from ..configurable import Configurable, rely_on
from ..random import Generator
from ..variable import Variable


class Part(Configurable):
    """What is looked for in attributes besides variables and generators: a module."""


HELD = (Variable, Part, Generator)
"""The types of what is found."""


class Members(tuple[Any, ...]):
    """A tuple that can be joined with lists too, since that is what Keras has where the library has tuples."""

    __slots__ = ()

    def __add__(self, other: Any) -> "Members":
        return Members((*self, *other)) if isinstance(other, (list, tuple)) else NotImplemented

    def __radd__(self, other: Any) -> "Members":
        return Members((*other, *self)) if isinstance(other, (list, tuple)) else NotImplemented


def members(part: Part, path: str = "") -> Iterator[tuple[str, Any]]:
    """What the attributes of a module hold, with paths, in the order in which they were first set."""
    part.rely()
    for name, value in list(vars(part).items()):
        if isinstance(value, HELD):
            yield _joined(path, name.lstrip("_")), value
        elif isinstance(value, (list, tuple, dict)):
            found = tuple(_inside(value, _joined(path, name.lstrip("_")), ()))
            if found and not isinstance(value, tuple):
                rely_on(part, name)
            yield from found


def all_members(part: Part, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """What is in a module at any depth, with paths."""
    seen = set() if seen is None else seen
    seen.add(id(part))
    for where, thing in members(part, path):
        yield where, thing
        if isinstance(thing, Part) and id(thing) not in seen:
            yield from all_members(thing, where, seen)


def _inside(value: Any, path: str, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, HELD):
        yield path, value
    elif isinstance(value, (list, tuple, dict)) and id(value) not in around:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in pairs:
            yield from _inside(each, f"{path}.{key}", (*around, id(value)))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
