"""Locks that a forked process finds free, and what they guard whole.

Floor 1. A fork copies the memory in the middle of what other threads do, and leaves those threads behind: a lock that
one of them holds would never come free in the child, and the variables of a step that it runs would be half new. So
before a fork all locks are taken, which waits until nobody is in a step, and given back on both sides.
"""

import os
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from .errors import warn

PATIENCE = 60.0
"""Seconds that a fork waits for other threads."""

FORKING: list[None] = []
"""Not empty while a fork waits. Who takes locks again and again makes way then, see `make_way`."""

_ATTEMPT = 0.1  # seconds for one lock: those who take some in another order may wait for what this thread has by now
_WAY = 0.001


class Rank(IntEnum):
    """In which order locks are taken: one that is held while another is taken comes first."""

    STEP = 0
    FUNCTION = 1
    KERNEL = 2
    VARIABLE = 3
    CODE = 4
    LLVM = 5


_numbers = count()
_LOCKS: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()
_taken: list[Any] = []
_missed: list[Any] = []


def lock(rank: Rank, make: Callable[[], Any] = threading.RLock) -> Any:
    """A lock that forks look after.

    Parameters
    ----------
    rank : Rank
        What it guards.
    make : callable
        ``threading.RLock`` or ``threading.Lock``.
    """
    return look_after(rank, make())


def look_after(rank: Rank, lock: Any) -> Any:
    """Let forks look after a lock; returns it."""
    _LOCKS[rank, next(_numbers)] = lock
    return lock


def make_way() -> None:
    """Let a fork have the locks first that this thread is about to take; called where `FORKING` is not empty."""
    time.sleep(_WAY)


def _before() -> None:
    if threading.active_count() == 1:
        return
    until = time.monotonic() + PATIENCE
    FORKING.append(None)
    try:
        while not _take_all():
            if time.monotonic() > until:
                _missed.extend(_others())
                warn("a process is forked while a step runs in another thread, and what that assigns is half new there")
                return
    finally:
        FORKING.pop()


def _take_all() -> bool:
    """Take all locks, or none; also those that threads make meanwhile."""
    while locks := _others():
        for each in locks:
            if not each.acquire(timeout=_ATTEMPT):
                _give_back()
                return False
            _taken.append(each)
    return True


def _others() -> list[Any]:
    """The locks that are not taken, in order."""
    known = sorted(((each.key, each()) for each in _LOCKS.valuerefs()), key=lambda pair: pair[0])
    taken = set(map(id, _taken))
    return [found for _, found in known if found is not None and id(found) not in taken]


def _give_back() -> None:
    while _taken:
        _taken.pop().release()
    _missed.clear()


def _in_child() -> None:
    for each in _missed:  # whoever holds one does not exist here, unless it is this thread
        if not (hasattr(each, "_is_owned") and each._is_owned()):  # noqa: SLF001 (as `threading` has it)
            each._at_fork_reinit()  # noqa: SLF001 (the same)
    _give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_give_back, after_in_child=_in_child)
