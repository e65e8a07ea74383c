"""Whose number it is: of a user's program, or of an operation's definition.

Numbers of the user's are entries of the constant table, which change without a compilation; those that tapejit's own
rules write are literals.
"""

from inspect import CO_VARARGS, CO_VARKEYWORDS
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

_PACKAGE = Path(__file__).resolve().parent.parent
# Python numbers that these rooms write are part of an operation's definition, not of the user's program.
_OWN_NUMBERS = (
    *(str(_PACKAGE / room) + "/" for room in ("ops", "tape", "passes")),
    str(_PACKAGE / "graph/replay.py"),  # its numbers were literals before
    str(_PACKAGE / "control" / "counting.py"),
)
# These files only hand numbers on.
_PLUMBING = (
    *(str(_PACKAGE / "families") + "/",),
    *(
        str(_PACKAGE / name)
        for name in (
            "primitive.py",
            "operators.py",
            "tensor.py",
            "variable.py",
            "batching.py",
            "graph/trace.py",
            "graph/region.py",
        )
    ),
)


class _Writes(dict[str, bool | None]):
    """Whether the numbers that a file writes are an operation's own; None if it only hands numbers on.

    Each file is looked at once: a trace asks at each number, and calls are what takes its time.
    """

    def __missing__(self, file: str) -> bool | None:
        found = None if file.startswith(_PLUMBING) else file.startswith(_OWN_NUMBERS)
        self[file] = found
        return found


_WRITES = _Writes()


class Place(NamedTuple):
    """Where a program writes a number: code, and which of its instructions is at work."""

    code: CodeType
    instruction: int


HERE = Place((lambda: None).__code__, 0)
"""Stands for all places in tapejit's own rules."""


def place_of(number: Any, frame: FrameType | None) -> Place | None:
    """Where a number that arrived in `frame` was written.

    An operation may have been handed the number by its caller: then the caller's caller is asked, and so on.

    Returns
    -------
    Place or None
        `HERE` for a number of tapejit's own rules. Else the number is of the user's program: where its text has it, or
        None where that has no such number.
    """
    while frame is not None:
        code = frame.f_code
        writes = _WRITES[code.co_filename]
        if writes is False:
            return Place(code, frame.f_lasti) if _is_text(number, code) else None
        if writes and not _was_handed(frame, number):
            return HERE
        frame = frame.f_back
    return None


def _is_text(number: Any, code: CodeType) -> bool:
    """Whether a float stands in the text of a function: other ones are other objects, though they be equal."""
    if type(number) is float:
        for constant in code.co_consts:
            if constant is number:
                return True
    return False


def _was_handed(frame: FrameType, number: Any) -> bool:
    """Whether a running function has a number from its arguments: the very object, as small integers are shared."""
    code = frame.f_code
    for constant in code.co_consts:
        if constant is number:
            return False
    arguments = code.co_argcount + code.co_kwonlyargcount
    arguments += bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    values = frame.f_locals
    for name in code.co_varnames[:arguments]:
        value = values.get(name)
        if isinstance(value, dict):
            value = tuple(value.values())
        elif not isinstance(value, (list, tuple)):
            value = (value,)
        for part in value:
            if part is number:
                return True
    return False
