"""What builtin containers held at first, so that a trace that came to nothing leaves them as they were."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from tapejit.guards.values import MAX_LEAVES, is_container

__all__ = ["Snapshots"]


class Snapshots:
    """Copies of containers, one level each; containers inside them have copies of their own.

    Examples
    --------
    >>> from tapejit.guards.snapshots import Snapshots
    >>> rates = [1.0, [2.0]]
    >>> snapshots = Snapshots()
    >>> snapshots.take(rates)
    >>> rates[1].append(3.0)
    >>> snapshots.restore()
    >>> rates
    [1.0, [2.0]]
    """

    def __init__(self) -> None:
        # A container stays alive with its copy, so that no other gets its id.
        self._copies: dict[int, tuple[object, list[object]]] = {}

    def take(self, value: object) -> None:
        """Remember what a container holds, unless that is known from earlier."""
        queue, left = [value], MAX_LEAVES
        while queue and left > 0:
            container = queue.pop()
            if not is_container(container) or id(container) in self._copies:
                continue
            held = _held(container)
            self._copies[id(container)] = container, held
            parts = dict.values(container) if isinstance(container, dict) else held
            queue += [part for part, _ in zip(parts, range(left), strict=False) if is_container(part)]
            left -= len(held)

    def restore(self) -> None:
        """Put back what the containers held; those that still hold it are not touched."""
        for container, held in self._copies.values():
            now = _held(container)
            if len(now) != len(held) or not all(map(_is_same, now, held)):
                _fill(container, held)


def _is_same(now: object, then: object) -> bool:
    """Whether two elements are the same object; of a dict's pairs, key and value."""
    if type(now) is _Pair and type(then) is _Pair:
        return now[0] is then[0] and now[1] is then[1]
    return now is then


class _Pair(tuple[object, object]):
    """A key of a dict with its value."""

    __slots__ = ()


def _held(container: object) -> list[object]:
    """Return the elements by the builtin's own iteration, as a subclass might run code of its own."""
    if isinstance(container, dict):
        # An ordered dict keeps an order of its own.
        items: Any = OrderedDict.items if isinstance(container, OrderedDict) else dict.items
        return [_Pair(pair) for pair in items(container)]
    kind: Any = next(kind for kind in (list, tuple, set, frozenset, deque) if isinstance(container, kind))
    return list(kind.__iter__(container))


def _fill(container: object, held: list[Any]) -> None:
    if isinstance(container, dict):
        kind = OrderedDict if isinstance(container, OrderedDict) else dict
        kind.clear(container)
        for key, value in held:
            kind.__setitem__(container, key, value)
    elif isinstance(container, list):
        list.__setitem__(container, slice(None), held)
    elif isinstance(container, set):
        set.clear(container)
        set.update(container, held)
    elif isinstance(container, deque):
        deque.clear(container)
        deque.extend(container, held)
