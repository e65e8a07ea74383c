"""Taking several locks at once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..forks import FORKING, make_way
from ..variable import AT_WORK

_FILE = str(Path(__file__).with_name("<locks>"))  # a place in the library, so that no message takes it for the user's
_AT_ONCE = 16  # Python nests no more than 20 blocks

_ALONE = """
def alone(function, *args, **kwargs):
    if FORKING:
        make_way()
    with {locks}:
        try:
            AT_WORK.append(None)
            return function(*args, **kwargs)
        finally:
            AT_WORK.pop()
"""


def with_locks(locks: Sequence[Any]) -> Callable[..., Any]:
    """A function that calls another one with its arguments while it holds all locks, taken in this order.

    It is written out: handlers of signals run after calls, so one may raise between the taking of a lock and a note
    that it is taken, which would leave the lock to nobody. Between `with` and its lock none can, nor before the call of
    `append`.
    """
    names = {f"lock_{number}": lock for number, lock in enumerate(locks[:_AT_ONCE])}
    scope: dict[str, Any] = {"AT_WORK": AT_WORK, "FORKING": FORKING, "make_way": make_way, **names}
    exec(compile(_ALONE.format(locks=", ".join(names)), _FILE, "exec"), scope)
    alone: Callable[..., Any] = scope["alone"]
    if len(locks) <= _AT_ONCE:
        return alone
    rest = with_locks(locks[_AT_ONCE:])
    return lambda function, *args, **kwargs: alone(rest, function, *args, **kwargs)
