"""Draws from Python's or NumPy's random generators, and readings of clocks, during a trace.

A traced draw would be baked into the graph. Draws from `random.Random` pass through two C methods, which the
profile function sees. NumPy's generators are compiled with Cython and can't be seen: their state before and
after tells. A NumPy generator that is made during the trace betrays itself by the Python functions that its
constructor calls.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import threading
import time
from collections.abc import Mapping
from types import BuiltinFunctionType
from typing import Any

import numpy as np

from ..dataclass import dataclass

__all__ = ["RandomWatch", "generator_of", "makes_generator", "new_each_time"]

_DRAWS = frozenset({"random", "getrandbits"})
_CLOCKS = frozenset(
    {
        time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns,
        time.process_time, time.process_time_ns,
    }
)  # fmt: skip
_DATES = frozenset({"now", "utcnow", "today"})
_READS_CLOCK = ("reads a clock", "read it outside and pass the value as an argument")
_DRAWS_ENTROPY = ("draws from the system's entropy", "use tj.random.Generator, or draw outside and pass the value")


@dataclass(frozen=True, slots=True)
class _Watched:
    generator: object
    state: Any
    #: What is said if it draws; None if that is said elsewhere.
    description: str | None

    def has_drawn(self) -> bool:
        """Whether the state is another one."""
        return _frozen(_state(self.generator)) != _frozen(self.state)

    def rewind(self) -> None:
        """Go back to the state."""
        if isinstance(self.generator, np.random.Generator):
            self.generator.bit_generator.state = self.state
        elif isinstance(self.generator, np.random.RandomState):
            self.generator.set_state(self.state)
        elif isinstance(self.generator, np.random.BitGenerator):
            self.generator.state = self.state
        elif isinstance(self.generator, random.Random) and self.state is not None:
            self.generator.setstate(self.state)


def _numpy_kinds() -> tuple[type, ...]:
    """The types of NumPy's generators: asked for when needed, because NumPy imports `numpy.random` only then."""
    return np.random.Generator, np.random.RandomState, np.random.BitGenerator


def generator_of(value: object) -> object:
    """Return the generator that `value` is, or is a method of; else None."""
    kinds = (random.Random, *_numpy_kinds())
    if isinstance(value, kinds):
        return value
    owner = getattr(value, "__self__", None) if callable(value) and hasattr(type(value), "__self__") else None
    return owner if isinstance(owner, kinds) else None


def new_each_time(function: object) -> tuple[str, str] | None:
    """What a C function does that gives another value each time, and the way out; None for others."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, dt.date):
        return _READS_CLOCK if getattr(function, "__name__", "") in _DATES else None
    if type(function) is not BuiltinFunctionType:
        return None
    if function is os.urandom:
        return _DRAWS_ENTROPY
    return _READS_CLOCK if function in _CLOCKS else None


def makes_generator(value: object) -> bool:
    """Whether calling `value` makes one of NumPy's generators."""
    if isinstance(value, type):
        return issubclass(value, _numpy_kinds())
    return value is np.random.default_rng


class RandomWatch:
    """Notices draws between `start` and `finish`."""

    def __init__(self) -> None:
        self.drew: str | None = None
        self._watched: dict[int, _Watched] = {}
        self._drawn: tuple[_Watched, ...] = ()

    def start(self) -> None:
        """Begin to watch NumPy's global state, unless another thread might draw from it meanwhile."""
        if threading.active_count() == 1:
            self.watch(generator_of(np.random.rand), "np.random's global state, which a library drew from")

    def watch(self, generator: object, description: str | None, *, anew: bool = False) -> None:
        """Remember the state of `generator`.

        Parameters
        ----------
        generator : object
            One of Python's or NumPy's.
        description : str, optional
            What is said if it draws: the call, the file and the line. None if the draw itself is noted.
        anew : bool
            Whether this description is better than an earlier one; the earlier state is kept.
        """
        known = self._watched.get(id(generator))
        if known is None:
            state = _state(generator)
        elif anew and (known.description or "").startswith("np.random's global state"):
            state = known.state
        else:
            return
        self._watched[id(generator)] = _Watched(generator, state, description)

    def note(self, description: str) -> None:
        """Remember the first draw."""
        if self.drew is None:
            self.drew = description

    def finish(self) -> None:
        """Compare the states."""
        self._drawn = tuple(watched for watched in self._watched.values() if watched.has_drawn())
        for watched in self._drawn:
            if watched.description is not None:
                self.note(watched.description)
        self._watched.clear()

    def rewind(self) -> None:
        """Let the generators that drew draw the same numbers once more."""
        for watched in self._drawn:
            watched.rewind()

    @staticmethod
    def is_draw(function: object) -> bool:
        """Whether a C function that is called draws from a `random.Random`."""
        owner = getattr(function, "__self__", None)
        return isinstance(owner, random.Random) and getattr(function, "__name__", "") in _DRAWS


def _state(generator: object) -> object:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    if isinstance(generator, np.random.BitGenerator):
        return generator.state
    if isinstance(generator, random.Random) and not isinstance(generator, random.SystemRandom):
        return generator.getstate()
    return None


def _frozen(state: object) -> object:
    """Return a state in a form that compares as a whole: arrays inside it as their bytes."""
    if isinstance(state, Mapping):
        return tuple((key, _frozen(value)) for key, value in state.items())
    return state.tobytes() if isinstance(state, np.ndarray) else state
