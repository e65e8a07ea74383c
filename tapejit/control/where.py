"""Where control flow is Python: where operations are computed at once, one by one."""

from typing import Any

from ..primitive import BASE, Value
from ..tensor import BorrowedTensor, Ones, Tensor

_EAGER = (Tensor, BorrowedTensor, Ones)


def runs_in_python(interpreter: Any) -> bool:
    """Whether a loop may run in Python: nobody makes a graph, and values have their numbers."""
    return interpreter is BASE[0].interpreter or getattr(interpreter, "computes_at_once", False)


def is_known(value: Any) -> bool:
    """Whether a value has its numbers."""
    return not isinstance(value, Value) or type(value) in _EAGER
