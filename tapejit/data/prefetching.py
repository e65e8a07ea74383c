"""Elements that threads prepare while others are used: `prefetch`, and `map` with several calls at a time."""

import os
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

from ..errors import at_user_line
from .elements import as_element, called
from .streams import Derived, Stream

PATIENCE = 1.0
"""Seconds that an iteration which is given up waits for its threads; they end after the element that they are at."""


class Prefetched(Derived):
    """Elements of which a thread has some ready.

    An exception of the thread is raised where its element would have come. The thread ends with the iteration, also
    with one that is given up.
    """

    def __init__(self, source: Stream, buffer_size: int) -> None:
        super().__init__(source)
        self._buffer_size = buffer_size

    def __iter__(self) -> Iterator[Any]:
        return _prepared(iter(self._source), None, 1, self._buffer_size)


class MappedAtOnce(Derived):
    """What a function makes of each element, called in several threads; the order stays."""

    def __init__(self, source: Stream, function: Callable[..., Any], calls: int) -> None:
        super().__init__(source)
        self._function, self._calls = function, calls

    def __iter__(self) -> Iterator[Any]:
        return _prepared(
            iter(self._source), lambda element: as_element(called(self._function, element)), self._calls, self._calls
        )


def _prepared(
    items: Iterator[Any], function: Callable[[Any], Any] | None, workers: int, buffer_size: int
) -> Iterator[Any]:
    """Items, or what a function makes of them, of which threads have up to `buffer_size` ready."""
    ready = _Ready(items, function, buffer_size)
    # The settings of this thread, such as floatx, hold in the other ones too.
    threads = [
        threading.Thread(target=copy_context().run, args=(ready.work,), name="tapejit data", daemon=True)
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from ready
    finally:
        ready.give_up()
        for thread in threads:
            thread.join(PATIENCE)


class _Ready:
    """The elements that are ready, and what the threads tell each other."""

    def __init__(self, items: Iterator[Any], function: Callable[[Any], Any] | None, buffer_size: int) -> None:
        self._items, self._function, self._buffer_size = items, function, buffer_size
        self._one_asks = threading.Lock()
        self._changed = threading.Condition()
        self._elements: dict[int, Any] = {}
        self._asked = self._used = 0
        self._end: int | None = None  # how many elements there are, once that is known
        self._error: BaseException | None = None
        self._process = os.getpid()
        self._given_up = False

    def work(self) -> None:
        """Prepare elements, until there are no more or nobody wants them."""
        while True:
            with self._one_asks:
                with self._changed:
                    self._changed.wait_for(self._is_room)
                    if self._given_up or self._end is not None:
                        return
                number = self._asked
                try:
                    element = next(self._items)
                except StopIteration:
                    self._finish(number, None)
                    return
                except BaseException as error:  # noqa: BLE001 (it is raised again, where the element is wanted)
                    self._finish(number, error)
                    return
                self._asked += 1
            try:
                element = element if self._function is None else self._function(element)
            except BaseException as error:  # noqa: BLE001
                self._finish(number, error)
                return
            with self._changed:
                self._elements[number] = element
                self._changed.notify_all()

    def _is_room(self) -> bool:
        return self._given_up or self._end is not None or self._asked < self._used + self._buffer_size

    def _finish(self, number: int, error: BaseException | None) -> None:
        """Nothing comes from this number on."""
        with self._changed:
            if self._end is None or number < self._end:
                self._end, self._error = number, error
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Any]:
        while True:
            self._check_process()
            with self._changed:
                self._changed.wait_for(lambda: self._used in self._elements or self._used == self._end)
                if self._used not in self._elements:
                    break
                element = self._elements.pop(self._used)
                self._used += 1
                self._changed.notify_all()
            yield element
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """No more elements are wanted."""
        if os.getpid() != self._process:  # the thread is in another one, with the lock that it may have had
            return
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                at_user_line(
                    "prefetch: the elements of this iteration are prepared by a thread of the process that was forked; "
                    "begin another iteration in this one"
                )
            )
