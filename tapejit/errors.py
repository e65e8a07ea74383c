"""What can go wrong, and where in the user's program it went wrong.

Floor 0: imports nothing of tapejit. Every deliberate exception of the library is one of these classes; each is also
the built-in exception that a NumPy or TensorFlow user would catch (`ShapeError` is a `ValueError`, and so on).
"""

import sys
import warnings
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).resolve().parent) + "/"
_DEMO = _PACKAGE + "demo/"  # programs as a user writes them


class TapejitError(Exception):
    """Base of the exceptions that tapejit raises on purpose."""


class ShapeError(TapejitError, ValueError):
    """Shapes, axes or indices that do not fit an operation."""


class IndexRangeError(ShapeError, IndexError):
    """An index beyond the end of an axis, or more indices than there are axes."""


class DtypeError(TapejitError, TypeError):
    """A dtype that an operation or an assignment does not take."""


class TapeError(TapejitError, RuntimeError):
    """A tape used in a way that it can't serve, such as a second gradient of a freed tape."""


class ConcretizationError(TapejitError, TypeError):
    """Python asked for the value of a traced tensor, which has none before the step runs."""


class CompileError(TapejitError, RuntimeError):
    """A step that can't be compiled, raised under ``strict=True``."""


class TapejitWarning(UserWarning):
    """What tapejit has to say without stopping the program."""


def is_library(filename: str) -> bool:
    """Whether a file is the library's own, and not a user's program; what it reads by name is not guarded.

    Parameters
    ----------
    filename : str
        As code objects have it.
    """
    return filename.startswith(_PACKAGE) and not filename.startswith(_DEMO)


def user_location() -> str:
    """The innermost frame outside of tapejit, as ``file:line``; for messages.

    Returns
    -------
    str
        For example ``fit.py:12``; an empty string where no user frame is on the stack.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not (is_library(name) or name.startswith("<frozen")):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def at_user_line(message: str) -> str:
    """`message`, followed by the user's file and line where it is known."""
    location = user_location()
    return f"{message} (at {location})" if location else message


def warn(message: str) -> None:
    """Issue a `TapejitWarning` that points at the user's line.

    Parameters
    ----------
    message : str
        What happened and what to do about it.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and is_library(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, TapejitWarning, stacklevel=level)
