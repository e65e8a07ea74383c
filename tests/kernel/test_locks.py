"""Several locks at once."""

import threading
from typing import Any

import pytest

from tapejit.kernel.locks import with_locks
from tapejit.variable import AT_WORK


class Noted:
    """A lock that notes when it is taken and given back."""

    def __init__(self, number: int, notes: list[int], *, fails: bool = False) -> None:
        self._number, self._notes, self._fails = number, notes, fails

    def __enter__(self) -> None:
        if self._fails:
            raise InterruptedError
        self._notes.append(self._number)

    def __exit__(self, *_: Any) -> None:
        self._notes.append(-self._number)


COUNTS = pytest.mark.parametrize("count", [1, 2, 16, 17, 40])


@COUNTS
def test_they_are_taken_in_order_and_given_back_whatever_happens(count: int) -> None:
    notes: list[int] = []
    alone = with_locks([Noted(number, notes) for number in range(1, count + 1)])

    def work(*args: Any, fails: bool = False, **kwargs: Any) -> Any:
        assert notes == list(range(1, count + 1))
        assert AT_WORK
        if fails:
            raise KeyboardInterrupt
        return args, kwargs

    assert alone(work, 1, 2, name=3) == ((1, 2), {"name": 3})
    both = [*range(1, count + 1), *range(-count, 0)]
    assert notes == both
    notes.clear()
    with pytest.raises(KeyboardInterrupt):
        alone(work, fails=True)
    assert notes == both
    assert AT_WORK == []


@COUNTS
def test_one_that_can_not_be_taken_leaves_none(count: int) -> None:
    notes: list[int] = []
    alone = with_locks([Noted(number, notes, fails=number == count) for number in range(1, count + 1)])
    with pytest.raises(InterruptedError):
        alone(pytest.fail)
    assert notes == [*range(1, count), *range(1 - count, 0)]
    assert AT_WORK == []


def test_others_wait() -> None:
    lock = threading.Lock()
    alone = with_locks([lock, threading.RLock()])
    assert alone(lock.locked)
    assert not lock.locked()
