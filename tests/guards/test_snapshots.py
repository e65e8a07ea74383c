"""Snapshots put back what containers held, and leave alone those that still hold it."""

import collections
from typing import Any

import pytest

from tapejit.guards.snapshots import Snapshots


class Named(list):
    """A list whose own methods would say so."""

    def __iter__(self) -> Any:
        raise AssertionError("user code ran")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AssertionError("user code ran")


CHANGES: dict[str, tuple[Any, Any]] = {
    "a list that grew": ([1, 2], lambda held: held.append(3)),
    "a list that shrank": ([1, 2], lambda held: held.pop(0)),
    "a list that was sorted": ([2, 1], lambda held: held.sort()),
    "a set": ({1, 2}, lambda held: held.add(3)),
    "a dict": ({"a": 1, "b": 2}, lambda held: held.update(a=3, c=4)),
    "a dict in another order": ({"a": 1, "b": 2}, lambda held: held.update(a=held.pop("a"))),
    "an ordered dict": (collections.OrderedDict(a=1, b=2), lambda held: held.move_to_end("a")),
    "a default dict": (collections.defaultdict(list), lambda held: held["a"].append(1)),
    "a bounded deque": (collections.deque([1, 2], maxlen=2), lambda held: held.append(3)),
    "a list in a tuple in a dict": ({"a": ([1],)}, lambda held: held["a"][0].append(2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_contents_and_order_are_put_back(name: str) -> None:
    held, change = CHANGES[name]
    before = repr(held)
    snapshots = Snapshots()
    snapshots.take(held)
    change(held)
    assert repr(held) != before
    snapshots.restore()
    assert repr(held) == before
    if isinstance(held, collections.deque):
        assert held.maxlen == 2


def test_the_first_snapshot_counts() -> None:
    held = [1]
    snapshots = Snapshots()
    snapshots.take(held)
    held.append(2)
    snapshots.take(held)
    snapshots.restore()
    assert held == [1]


def test_a_container_of_itself() -> None:
    held: list[Any] = [1]
    held.append(held)
    snapshots = Snapshots()
    snapshots.take(held)
    held.append(2)
    snapshots.restore()
    assert len(held) == 2
    assert held[1] is held


def test_no_code_of_a_subclass_runs() -> None:
    held = Named([1])
    snapshots = Snapshots()
    snapshots.take(held)
    held.append(2)
    snapshots.restore()
    assert len(held) == 1
