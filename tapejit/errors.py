"""What can go wrong, and where in the user's program it went wrong.

Floor 0: imports nothing of tapejit. Every deliberate exception of the library is one of these classes; each is also
the built-in exception that a NumPy or TensorFlow user would catch (`ShapeError` is a `ValueError`, and so on).
"""

import contextlib
import functools
import re
import sys
import warnings
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).resolve().parent) + "/"
_DEMO = _PACKAGE + "demo/"  # programs as a user writes them
# Stand between a user and the library: of a context manager that is a generator, of a cached property.
_CALLING_BACK = (contextlib.__file__, functools.__file__)
# Where operations are written, and where families make them.
_OPERATIONS = tuple(_PACKAGE + name for name in ("ops/", "families/elementwise.py", "families/reduction.py"))
# What stands between an operation and its user, besides other operations.
_HANDING_ON = tuple(
    _PACKAGE + name for name in ("ops/", "families/", "aval.py", "errors.py", "operators.py", "tensor.py")
)


class TapejitError(Exception):
    """Base of the exceptions that tapejit raises on purpose."""


class ShapeError(TapejitError, ValueError):
    """Shapes, axes or indices that do not fit an operation."""


class IndexRangeError(ShapeError, IndexError):
    """An index beyond the end of an axis, or more indices than there are axes."""


class DtypeError(TapejitError, TypeError):
    """A dtype that an operation or an assignment does not take."""


class NumberError(DtypeError, OverflowError):
    """A number that a dtype can't hold."""


class RuleError(TapejitError, TypeError):
    """A derivative of the user's own that doesn't fit its function: too few gradients, another nest, none at all."""


class TapeError(TapejitError, RuntimeError):
    """A tape used in a way that it can't serve, such as a second gradient of a freed tape."""


class ConcretizationError(TapejitError, TypeError):
    """Python asked for the value of a traced tensor, which has none before the step runs."""


class BatchingError(TapejitError, TypeError):
    """Something inside `vmap` that a batch can't do, such as giving Python the value of one example."""


class WeightsError(TapejitError, ValueError):
    """A file of weights that does not fit what it is loaded into."""


class NotFiniteError(TapejitError, FloatingPointError):
    """A result or a variable with a NaN or an infinity, after a step with ``check_finite=True``."""


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


class _Between(dict[str, bool]):
    """Whether a file is the library's, or Python's own that calls it for the user; each is looked at once.

    A trace asks for the user's line at each operation, and would spend a third of its time on the names of files.
    """

    def __missing__(self, filename: str) -> bool:
        found = is_library(filename) or filename in _CALLING_BACK or filename.startswith("<frozen")
        self[filename] = found
        return found


_BETWEEN = _Between()


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
        if not _BETWEEN[name]:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def at_user_line(message: str) -> str:
    """`message`, with the operation that the user called and the user's file and line, where they are known."""
    operation, location = _called_operation(), user_location()
    if operation and not re.search(rf"\b{operation}\b", message):
        message = f"{operation}: {message}"
    return f"{message} (at {location})" if location else message


def name_of(function: object) -> str:
    """What to call a user's function in messages."""
    return str(getattr(function, "__name__", type(function).__name__))


def _called_operation() -> str:
    """The operation that the user called, which may have others do the work; empty where it has no name."""
    operation = ""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and is_library(frame.f_code.co_filename):
        name = frame.f_code.co_name
        file = frame.f_code.co_filename
        if file.startswith(_OPERATIONS) and name.isidentifier() and not name.startswith("_"):
            operation = name
        elif not file.startswith(_HANDING_ON) or name.startswith("__"):  # what an operator does names itself
            operation = ""
        frame = frame.f_back
    return operation


def faulty_matrix(operation: str, shape: tuple[int, ...], number: int, fault: str) -> str:
    """What is wrong with one matrix of a stack, in words.

    Parameters
    ----------
    operation : str
        Which operation found it.
    shape : tuple of int
        Of the stack, (..., n, n).
    number : int
        Counts the matrices of the stack.
    fault : str
        Such as ``"singular"``.
    """
    index: list[int] = []
    rest = number
    for length in reversed(shape[:-2]):
        rest, place = divmod(rest, length)
        index.insert(0, place)
    which = f" at index {tuple(index)}" if any(length > 1 for length in shape[:-2]) else ""
    return f"{operation}: the matrix{which} of an array of shape {shape} is {fault}"


def warn(message: str) -> None:
    """Issue a `TapejitWarning` that points at the user's line.

    Parameters
    ----------
    message : str
        What happened and what to do about it.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _BETWEEN[frame.f_code.co_filename]:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, TapejitWarning, stacklevel=level)
