"""Deep copies of functions that close over variables, models and optimizers.

Floor 10. Python copies no functions. What holds a step that closes over its holder, or over variables that it holds
too, would then have a copy whose step works on the original. So there the function is made again, around copies. Start
reading at `copied`.
"""

import copy
from collections.abc import Iterator
from types import CellType, FunctionType, ModuleType
from typing import Any

from .configurable import Configurable
from .random.stream import Stream
from .variable import Variable

_STATE = (Variable, Configurable, Stream)


def holds_state(content: Any, memo: dict[int, Any]) -> bool:
    """Whether a function or an object holds what has been copied, or what steps change, at any depth."""
    seen: set[int] = set()

    def found(content: Any) -> bool:
        if id(content) in memo or isinstance(content, _STATE):
            return True
        if id(content) in seen:
            return False
        seen.add(id(content))
        return any(map(found, _inside(content)))

    return found(content)


def copied(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    """A function like this one, around copies of such things; the rest it shares.

    Parameters
    ----------
    function : function
        With a closure.
    memo : dict
        That of `copy.deepcopy`: what was copied, by ``id``.
    """
    known = memo.get(id(function))
    if known is not None:
        return known  # type: ignore[no-any-return]
    old = function.__closure__ or ()
    cells = tuple(memo.setdefault(id(cell), CellType()) for cell in old)
    made = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, cells if old else None
    )
    memo[id(function)] = made
    made.__kwdefaults__, made.__doc__ = function.__kwdefaults__, function.__doc__
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    made.__dict__.update(function.__dict__)
    for cell, new in zip(old, cells, strict=True):
        contents = _contents(cell)
        if contents and not _contents(new):
            new.cell_contents = _copied_content(contents[0], memo)
    return made


def _copied_content(content: Any, memo: dict[int, Any]) -> Any:
    if id(content) in memo:
        return memo[id(content)]
    if not holds_state(content, memo):
        return content
    return copied(content, memo) if isinstance(content, FunctionType) else copy.deepcopy(content, memo)


def _inside(content: Any) -> Iterator[Any]:
    """What functions close over, and what nests and objects hold; a step is an object with a function."""
    if isinstance(content, FunctionType):
        for cell in content.__closure__ or ():
            yield from _contents(cell)
    elif isinstance(content, (list, tuple)):
        yield from content
    elif isinstance(content, dict):
        yield from content.values()
    elif not isinstance(content, (type, ModuleType)):
        yield from getattr(content, "__dict__", {}).values()


def _contents(cell: CellType) -> tuple[Any, ...]:
    """What is in a cell: one thing, or nothing yet."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()
