"""What can be done with any sequence that can be gone through again and again, of elements or of the numbers of rows.

A `Stream` is iterable, and knows how many items it has, or that nobody knows (None), or that there is no end
(`ENDLESS`). Start reading at `Stream`; `dataset` puts them together.
"""

from __future__ import annotations  # numpy.random, which the types name, is imported when it draws

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from typing import Any

import numpy as np

from ..pytree import TreeDef, unflatten
from ..variable import Variable
from .elements import as_element, called, rows, stacked

ENDLESS = math.inf

_DRAWN_AT_ONCE = 1024


class Stream(ABC):
    """Items that can be gone through again and again."""

    @abstractmethod
    def __iter__(self) -> Iterator[Any]:
        """Go through them."""

    @property
    @abstractmethod
    def size(self) -> float | None:
        """How many there are, `ENDLESS`, or None if nobody knows."""

    @property
    def sources(self) -> tuple[Stream, ...]:
        """What it is made of."""
        return ()


class Numbers(Stream):
    """The integers of a range."""

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    @property
    def size(self) -> float:
        """See `Stream`."""
        return len(self._numbers)


class Generated(Stream):
    """What a function that returns an iterable gives, called for each time through."""

    def __init__(self, generator: Callable[[], Any]) -> None:
        self._generator = generator

    def __iter__(self) -> Iterator[Any]:
        return map(as_element, self._generator())

    @property
    def size(self) -> None:
        """See `Stream`."""
        return


class Derived(Stream):
    """A stream made of another one, with as many items unless it says otherwise."""

    def __init__(self, source: Stream) -> None:
        self._source = source

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        return self._source.size

    @property
    def sources(self) -> tuple[Stream, ...]:
        """See `Stream`."""
        return (self._source,)


class Shuffled(Derived):
    """Items in random order: each time one of a buffer, which the next one then fills up.

    Parameters
    ----------
    source : Stream
        Of any items.
    buffer_size : int
        How many are in the buffer.
    seed : int
        From 0 to 2^64 - 1.
    reshuffle : bool
        Whether the order is another one each time.

    Attributes
    ----------
    state : Variable, shape (2,), uint64
        The seed, and how many orders there were; a variable, so that it can be saved.
    """

    def __init__(self, source: Stream, buffer_size: int, seed: int, reshuffle: bool) -> None:
        super().__init__(source)
        self._buffer_size, self._reshuffle = buffer_size, reshuffle
        self.state = Variable(np.array([seed, 0], np.uint64), trainable=False, name="shuffle")

    def __iter__(self) -> Iterator[Any]:
        with self.state.lock:
            seed, times = self.state.numpy().tolist()
            if self._reshuffle:
                self.state.assign(np.array([seed, times + 1], np.uint64))
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(times,)))
        items = iter(self._source)
        buffer = list(islice(items, self._buffer_size))
        if len(buffer) == self._buffer_size:
            yield from self._exchanged(buffer, items, generator)
        for place in generator.permutation(len(buffer)).tolist():
            yield buffer[place]

    def _exchanged(self, buffer: list[Any], items: Iterator[Any], generator: np.random.Generator) -> Iterator[Any]:
        draws = chain.from_iterable(generator.integers(len(buffer), size=_DRAWN_AT_ONCE).tolist() for _ in repeat(None))
        for item in items:
            place = next(draws)
            yield buffer[place]
            buffer[place] = item


class Repeated(Derived):
    """Items again and again."""

    def __init__(self, source: Stream, times: int | None) -> None:
        super().__init__(source)
        self._times = times

    def __iter__(self) -> Iterator[Any]:
        for _ in repeat(None) if self._times is None else range(self._times):
            empty = True
            for item in self._source:
                empty = False
                yield item
            if empty:
                return

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        size = self._source.size
        return size if not size else size * (ENDLESS if self._times is None else self._times)


class Part(Derived):
    """The items from a first one on, as many as are wanted, or all."""

    def __init__(self, source: Stream, start: int, wanted: int | None) -> None:
        super().__init__(source)
        self._start, self._wanted = start, wanted

    def __iter__(self) -> Iterator[Any]:
        stop = None if self._wanted is None else self._start + self._wanted
        return islice(iter(self._source), self._start, stop)

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        size = self._source.size
        left = None if size is None else max(0, size - self._start)
        return left if left is None or self._wanted is None else min(left, self._wanted)


class Cached(Derived):
    """Items that are kept once all of them were gone through."""

    def __init__(self, source: Stream) -> None:
        super().__init__(source)
        self._kept: list[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self._kept is not None:
            yield from self._kept
            return
        kept = []
        for item in self._source:
            kept.append(item)
            yield item
        self._kept = kept

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        return self._source.size if self._kept is None else len(self._kept)


class Mapped(Derived):
    """What a function makes of each element."""

    def __init__(self, source: Stream, function: Callable[..., Any]) -> None:
        super().__init__(source)
        self._function = function

    def __iter__(self) -> Iterator[Any]:
        return (as_element(called(self._function, element)) for element in self._source)


class Chosen(Derived):
    """The elements for which a function says so."""

    def __init__(self, source: Stream, function: Callable[..., Any]) -> None:
        super().__init__(source)
        self._function = function

    def __iter__(self) -> Iterator[Any]:
        return (element for element in self._source if bool(called(self._function, element)))

    @property
    def size(self) -> None:
        """See `Stream`."""
        return


class Flattened(Derived):
    """The items of what a function makes of each element."""

    def __init__(self, source: Stream, function: Callable[..., Any]) -> None:
        super().__init__(source)
        self._function = function

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(called(self._function, element) for element in self._source)

    @property
    def size(self) -> None:
        """See `Stream`."""
        return


class Together(Stream):
    """Nests of one element of each of several streams, until one has no more."""

    def __init__(self, sources: tuple[Stream, ...], tree: TreeDef) -> None:
        self._sources, self._tree = sources, tree

    def __iter__(self) -> Iterator[Any]:
        return (unflatten(self._tree, list(elements)) for elements in zip(*self._sources, strict=False))

    @property
    def sources(self) -> tuple[Stream, ...]:
        """See `Stream`."""
        return self._sources

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        sizes = [source.size for source in self._sources]
        return None if None in sizes else min(sizes)  # type: ignore[type-var]


class Chained(Stream):
    """The items of one stream, then those of the next."""

    def __init__(self, sources: tuple[Stream, ...]) -> None:
        self._sources = sources

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self._sources)

    @property
    def sources(self) -> tuple[Stream, ...]:
        """See `Stream`."""
        return self._sources

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        sizes = [source.size for source in self._sources]
        return None if None in sizes else sum(sizes)  # type: ignore[arg-type]


class Numbered(Derived):
    """Pairs of a number and an element."""

    def __init__(self, source: Stream, start: int) -> None:
        super().__init__(source)
        self._start = start

    def __iter__(self) -> Iterator[Any]:
        return ((np.asarray(number, np.int64), element) for number, element in enumerate(self._source, self._start))


class Batched(Derived):
    """Several elements at a time."""

    def __init__(self, source: Stream, batch_size: int, drop_remainder: bool) -> None:
        super().__init__(source)
        self._batch_size, self._drop_remainder = batch_size, drop_remainder

    def __iter__(self) -> Iterator[Any]:
        items, first = iter(self._source), 0
        while batch := list(islice(items, self._batch_size)):
            if len(batch) < self._batch_size and self._drop_remainder:
                return
            yield self.joined(batch, first)
            first += len(batch)

    def joined(self, batch: list[Any], first: int) -> Any:
        """The batch of these items, the first of which has the number `first`."""
        return stacked(batch, first)

    @property
    def size(self) -> float | None:
        """See `Stream`."""
        size = self._source.size
        if size is None or size == ENDLESS:
            return size
        return size // self._batch_size if self._drop_remainder else -(-size // self._batch_size)


class Unbatched(Derived):
    """The rows of each element."""

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(rows("unbatch", element) for element in self._source)

    @property
    def size(self) -> None:
        """See `Stream`."""
        return
