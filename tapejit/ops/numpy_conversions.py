"""Arrays and numbers that NumPy makes of tensors by itself, and what others make of their memory.

Floor 4, beside `numpy_names`. ``t.numpy()``, ``t.tolist()`` and ``float(t)`` say that numbers are wanted. But
``np.vectorize(f)(t)``, ``array.dot(t)`` and ``array[0] = t`` make an array of a tensor too, of which their caller sees
nothing: what comes out would have lost its tape without a word.
"""

from types import FrameType
from typing import Any

from ..errors import DtypeError, at_user_line, is_library, warn
from ..primitive import current
from .values import asarray

_MAY = ("numpy.testing", "numpy._core.arrayprint")  # they look, and return nothing that one computes with
_TAKEN = [0]
_WAY = "use tapejit's operations, or t.numpy() where no gradient is wanted"


def heed_conversion(value: Any, caller: FrameType | None, *, to_array: bool) -> None:
    """Say that a tape loses what is converted, if one follows it.

    Parameters
    ----------
    value : Tensor or Variable
        What is converted.
    caller : frame
        Who asked.
    to_array : bool
        Whether an array was asked for, not a number. Of an array that nobody in NumPy's Python asked for only NumPy's C
        code knows who did: ``np.asarray`` or ``array.dot``. So that is no more than a warning.

    Raises
    ------
    DtypeError
        Where a function of NumPy's asks, naming it.
    """
    tapes = current().tapes
    if not tapes or _is_allowed(caller):
        return
    held = (asarray(value),)
    if not any(tape.follows(held) for tape in tapes):
        return
    if not _is_numpys(caller):
        if to_array:
            warn(
                "NumPy makes an array of a tensor that a tape follows, and what is computed of the array has no "
                f"gradient: {_WAY} (array @ t stays on the tape, array.dot(t) does not)"
            )
        else:
            _TAKEN[0] += 1
        return
    function = ""
    while caller is not None and _is_numpys(caller):
        function, caller = caller.f_code.co_qualname, caller.f_back
    raise DtypeError(
        at_user_line(f"NumPy's {function} makes an array of a tensor that a tape follows, which would lose it; {_WAY}")
    )


def numbers_taken() -> int:
    """How often Python took a number out of something that a tape follows, so far."""
    return _TAKEN[0]


def heeds_read_only(caller: FrameType | None) -> bool:
    """Whether a reader of a DLPack capsule that knows of read-only arrays lets nobody write to one.

    PyTorch (2.13) asks for the flag, and has no tensors that can't be written.
    """
    return not _module(caller).startswith("torch.")


def _module(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _is_numpys(frame: FrameType | None) -> bool:
    return _module(frame).startswith("numpy.")


def _is_allowed(frame: FrameType | None) -> bool:
    return _module(frame).startswith(_MAY) or (frame is not None and is_library(frame.f_code.co_filename))
