"""Public rooms that come in when somebody asks for them: the second lazy door, beside `kernel.door`.

Floor 0. A program that fits a line needs no convolution layers, and should not wait for them. A package says in a
table which of its modules has which of its names, and imports them for type checkers only; what comes in late has no
part in what the package does when it is imported. Start reading at `opening`.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from .spellings import advice


def enter(room: str) -> None:
    """Import a room that claims a role, before an operation asks for that role."""
    import_module(f"tapejit.{room}")


def opening(package: str, rooms: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that imports its modules when one of their names is first asked for.

    Parameters
    ----------
    package : str
        Its name.
    rooms : mapping of str to iterable of str
        For each module the public names that are taken from it. The module itself is there too.

    Returns
    -------
    callable
        From a name to what it stands for, which becomes the package's own: each is asked for once.
    """
    room_of = {room: room for room in rooms} | {name: room for room, names in rooms.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807
        room = room_of.get(name)
        if room is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{advice(package, name)}")
        module = import_module(f"{package}.{room}")
        found = getattr(module, name) if name in rooms[room] else module
        setattr(sys.modules[package], name, found)
        return found

    return __getattr__
