"""What an evaluation gave, as long as an evaluation now would give the same.

SciPy asks for a value, then for the gradient at the same point; one kernel call has both. But between the two
questions a variable may be assigned, and an array that the function reads may be written: then the answer is another.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..step import CompiledStep
from ..step.routes import Traced

CHECKED_BYTES = 1 << 16
"""Arrays of so many bytes are looked through in microseconds. More are where one is asked for the parts one by one."""


class Remembered:
    """An answer, the question, and what was read for it."""

    __slots__ = ("_buffers", "_digests", "_key", "_traced", "answer")

    def __init__(self, key: Any, answer: Any, traced: Traced) -> None:
        trace = traced.function.trace
        self._key, self.answer, self._traced = key, answer, traced
        # Who changes a variable of which somebody holds the buffer gives it another one.
        self._buffers = [variable.expose() for variable in trace.variables]
        self._digests = _digests(trace.captures)

    @classmethod
    def of(cls, step: CompiledStep, key: Any, answer: Any, *, asked_in_parts: bool) -> Self | None:
        """The answer of a step's last call; None where nobody can tell, or not in time, that it holds no more."""
        traced = step.latest
        if traced is None or key is None:
            return None
        if not asked_in_parts and sum([array.nbytes for array in traced.function.trace.captures]) > CHECKED_BYTES:
            return None
        return cls(key, answer, traced)

    def answers(self, key: Any) -> bool:
        """Whether it is the answer to this question, and still right."""
        if key is None or self._key != key or not self._traced.guards.holds():
            return False
        trace = self._traced.function.trace
        held = zip(trace.variables, self._buffers, strict=True)
        return all(variable.buffer is buffer for variable, buffer in held) and self._digests == _digests(trace.captures)


def key_of(point: np.ndarray, args: Sequence[Any]) -> Any:
    """What makes a question another one; None if that can't be told of an argument."""
    parts = [_part(value) for value in args]
    return None if None in parts else (point.tobytes(), *parts)


def _part(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (bool, int, float, str)):
        return type(value), repr(value)
    return None


def _digests(arrays: Sequence[np.ndarray]) -> list[int]:
    return [hash(array.tobytes()) for array in arrays]
