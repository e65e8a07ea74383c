"""Elements that a thread prepares while others are used."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

from ..errors import at_user_line
from .streams import Derived, Stream


class Prefetched(Derived):
    """Elements of which a thread has some ready.

    An exception of the thread is raised where its element would have come. The thread ends with the iteration, also
    with one that is given up.
    """

    def __init__(self, source: Stream, buffer_size: int) -> None:
        super().__init__(source)
        self._buffer_size = buffer_size

    def __iter__(self) -> Iterator[Any]:
        ready = _Ready(self._buffer_size)
        # The settings of this thread, such as floatx, hold in the other one too.
        arguments = (ready.fill, self._source)
        thread = threading.Thread(target=copy_context().run, args=arguments, name="tapejit prefetch", daemon=True)
        thread.start()
        try:
            yield from ready
        finally:
            ready.give_up()
            thread.join()


class _Ready:
    """The elements that are ready, and what the two threads tell each other."""

    def __init__(self, buffer_size: int) -> None:
        self._buffer_size = buffer_size
        self._elements: deque[Any] = deque()
        self._changed = threading.Condition()
        self._given_up = self._done = False
        self._error: BaseException | None = None
        self._process = os.getpid()

    def fill(self, source: Stream) -> None:
        """Put elements in, until there are no more or nobody wants them."""
        error = None
        try:
            for element in source:
                if not self._put(element):
                    break
        except BaseException as raised:  # noqa: BLE001 (it is raised again, where the element is wanted)
            error = raised
        with self._changed:
            self._done, self._error = True, error
            self._changed.notify_all()

    def _put(self, element: Any) -> bool:
        with self._changed:
            self._elements.append(element)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._given_up or len(self._elements) < self._buffer_size)
            return not self._given_up

    def __iter__(self) -> Iterator[Any]:
        while True:
            self._check_process()
            with self._changed:
                self._changed.wait_for(lambda: self._elements or self._done)
                if not self._elements:
                    break
                element = self._elements.popleft()
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
