"""`Dataset`: what a user writes.

Every method gives another data set; nothing is computed before it is gone through. Rows of arrays stay numbers of rows
for as long as can be (`slices`), everything else is done with elements (`streams`).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from operator import index as as_int
from typing import Any

from ..errors import ConcretizationError, at_user_line
from ..primitive import current
from ..pytree import flatten
from ..variable import Variable
from .elements import as_element, sliced
from .prefetching import MappedAtOnce, Prefetched
from .slices import BatchedSlices, Slices
from .streams import (
    ENDLESS,
    Batched,
    Cached,
    Chained,
    Chosen,
    Flattened,
    Generated,
    Mapped,
    Numbered,
    Numbers,
    Part,
    Repeated,
    Shuffled,
    Stream,
    Together,
    Unbatched,
)

AUTOTUNE = -1
"""For `Dataset.prefetch` and `Dataset.map`: as many as suit."""

INFINITE_CARDINALITY, UNKNOWN_CARDINALITY = -1, -2
"""What `Dataset.cardinality` is where there is no end, and where nobody knows."""


class Dataset:
    """Elements that can be gone through again and again: nests of NumPy arrays.

    Made by `from_tensor_slices`, `from_tensors`, `from_generator` and `range`. The state of its shuffling, which is how
    many orders there were, can be saved between two epochs: ``tj.save_weights(path, {"model": model, "data": data})``.

    Examples
    --------
    >>> x, y = np.arange(6.0).reshape(6, 1), np.arange(6)
    >>> dataset = tj.data.Dataset.from_tensor_slices((x, y)).shuffle(6, seed=0).batch(4)
    >>> [(images.shape, labels.shape) for images, labels in dataset]
    [((4, 1), (4,)), ((2, 1), (2,))]
    >>> len(dataset)
    2
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    @staticmethod
    def from_tensor_slices(tensors: Any) -> "Dataset":
        """The rows of arrays.

        Parameters
        ----------
        tensors : nest of array_like
            Equally long; lists of numbers count as arrays. Memory-mapped arrays (``np.load(path, mmap_mode="r")``) are
            read row by row, or batch by batch where batches are made of them at once.

        Returns
        -------
        Dataset
            Its elements have the same nest and share the arrays' memory; batches don't. Shuffling, repeating, taking
            and skipping rows before they are batched costs next to nothing.

        Raises
        ------
        ShapeError
            If the arrays don't have equally many rows.
        """
        arrays, tree, count = sliced("from_tensor_slices", tensors)
        return Dataset(Slices(Numbers(range(count)), arrays, tree))

    @staticmethod
    def from_tensors(tensors: Any) -> "Dataset":
        """One element, which is the whole nest of arrays."""
        leaves, tree = flatten(as_element(tensors))
        return Dataset(Slices(Numbers(range(1)), [leaf[None] for leaf in leaves], tree))

    @staticmethod
    def from_generator(generator: Callable[[], Iterable[Any]]) -> "Dataset":
        """What a generator function gives; it is called each time the data set is gone through."""
        if not callable(generator):
            raise TypeError(
                at_user_line(
                    "from_generator: it takes a function that returns a generator, so that elements can be had again; "
                    f"got {type(generator).__name__}"
                )
            )
        return Dataset(Generated(generator))

    @staticmethod
    def range(*args: int) -> "Dataset":
        """The integers of Python's ``range``, int64 without axes."""
        return Dataset(Mapped(Numbers(range(*map(as_int, args))), _itself))

    @staticmethod
    def zip(*datasets: Any) -> "Dataset":
        """Tuples of one element of each data set, until one has no more; of one nest of data sets, such nests."""
        nest = datasets[0] if len(datasets) == 1 and isinstance(datasets[0], (tuple, list, dict)) else datasets
        parts, tree = flatten(tuple(nest) if isinstance(nest, list) else nest)
        if not parts:
            raise ValueError(at_user_line("zip: there is no data set"))
        for part in parts:
            _check_dataset("zip", part)
        return Dataset(Together(tuple(part.stream for part in parts), tree))

    def concatenate(self, dataset: "Dataset") -> "Dataset":
        """The elements of this data set, then those of another one."""
        _check_dataset("concatenate", dataset)
        return Dataset(Chained((self.stream, dataset.stream)))

    def shuffle(self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True) -> "Dataset":
        """The elements in random order.

        Parameters
        ----------
        buffer_size : int
            Each element is drawn from so many, and the next one takes its place: with fewer than there are elements,
            they don't come far from where they were.
        seed : int, optional
            Decides on the orders; by default each data set has others.
        reshuffle_each_iteration : bool
            Whether the order is another one each time. Such a data set gives, with a seed, the same sequence of orders
            in every run of a program.
        """
        size = _positive("shuffle", "buffer_size", buffer_size)
        key = int.from_bytes(os.urandom(8), "little") if seed is None else as_int(seed)
        if not 0 <= key < 2**64:
            raise ValueError(at_user_line(f"shuffle: the seed is an int from 0 to 2**64 - 1, got {seed}"))
        return self._rows_or_elements(lambda stream: Shuffled(stream, size, key, reshuffle_each_iteration))

    def repeat(self, count: int | None = None) -> "Dataset":
        """All elements `count` times, without end if it is None or -1."""
        times = None if count is None else _count("repeat", "count", count)
        return self._rows_or_elements(lambda stream: Repeated(stream, times))

    def take(self, count: int) -> "Dataset":
        """The first `count` elements, or all if there are fewer, or it is -1."""
        wanted = _count("take", "count", count)
        return self._rows_or_elements(lambda stream: Part(stream, 0, wanted))

    def skip(self, count: int) -> "Dataset":
        """All elements but the first `count`; none if it is -1."""
        start = _count("skip", "count", count)
        if start is None:
            return self.take(0)
        return self._rows_or_elements(lambda stream: Part(stream, start, None))

    def cache(self) -> "Dataset":
        """The elements as they were the first time that all of them were gone through, kept in memory."""
        return self._rows_or_elements(Cached)

    def map(self, map_func: Callable[..., Any], num_parallel_calls: int | None = None) -> "Dataset":
        """What a function makes of each element; of a tuple the parts are its arguments.

        Parameters
        ----------
        map_func : callable
            Of NumPy arrays; what it returns is a nest of arrays, tensors or numbers.
        num_parallel_calls : int, optional
            In how many threads it is called at once, `AUTOTUNE` for as many as there are processors; the order stays.
            It pays where that waits for files, or does work that releases the GIL.
        """
        if num_parallel_calls is None:
            return Dataset(Mapped(self.stream, map_func))
        calls = (os.cpu_count() or 1) if num_parallel_calls == AUTOTUNE else num_parallel_calls
        return Dataset(MappedAtOnce(self.stream, map_func, _positive("map", "num_parallel_calls", calls)))

    def flat_map(self, map_func: Callable[..., Any]) -> "Dataset":
        """The elements of the data sets that a function makes of each element, one after the other."""
        return Dataset(Flattened(self.stream, map_func))

    def filter(self, predicate: Callable[..., Any]) -> "Dataset":
        """The elements for which a function says True; of a tuple the parts are its arguments."""
        return Dataset(Chosen(self.stream, predicate))

    def enumerate(self, start: int = 0) -> "Dataset":
        """Pairs of a number, int64, and an element."""
        return Dataset(Numbered(self.stream, as_int(start)))

    def batch(self, batch_size: int, drop_remainder: bool = False) -> "Dataset":
        """Several elements at a time, stacked along a new first axis.

        Parameters
        ----------
        batch_size : int
            How many.
        drop_remainder : bool
            Whether what is left at the end, fewer elements than that, is left out. A compiled step is traced and
            compiled once more for a smaller batch.

        Raises
        ------
        ShapeError
            While it is gone through, if elements of a batch have different shapes or nests.
        """
        size = _positive("batch", "batch_size", batch_size)
        if isinstance(self.stream, Slices):
            return Dataset(BatchedSlices(self.stream, size, drop_remainder))
        return Dataset(Batched(self.stream, size, drop_remainder))

    def unbatch(self) -> "Dataset":
        """The rows of each element, one by one."""
        return Dataset(Unbatched(self.stream))

    def prefetch(self, buffer_size: int = AUTOTUNE) -> "Dataset":
        """The same elements, of which a thread prepares up to `buffer_size` while others are used (`AUTOTUNE`: two).

        It pays where that waits for something else than Python: files, or work that releases the GIL.
        """
        size = 2 if buffer_size == AUTOTUNE else buffer_size
        return Dataset(Prefetched(self.stream, _positive("prefetch", "buffer_size", size)))

    def reduce(self, initial_state: Any, reduce_func: Callable[[Any, Any], Any]) -> Any:
        """What is left when ``state = reduce_func(state, element)`` was computed for all elements."""
        state = initial_state
        for element in self:
            state = reduce_func(state, element)
        return state

    def apply(self, transformation_func: Callable[["Dataset"], "Dataset"]) -> "Dataset":
        """What a function makes of the data set."""
        return transformation_func(self)

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The elements, which are NumPy arrays as they are."""
        return iter(self)

    def cardinality(self) -> int:
        """How many elements there are, `INFINITE_CARDINALITY` or `UNKNOWN_CARDINALITY`."""
        size = self.stream.size
        return UNKNOWN_CARDINALITY if size is None else INFINITE_CARDINALITY if size == ENDLESS else int(size)

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """The states of its shuffling, with paths such as ``shuffle/0``; the last one in its making comes first."""
        waiting, found = [self.stream], dict[int, Variable]()
        while waiting:
            stream = waiting.pop()
            if isinstance(stream, Shuffled):
                found.setdefault(stream.state.key, stream.state)
            waiting.extend(reversed(stream.sources))
        for number, state in enumerate(found.values()):
            yield f"shuffle/{number}", state

    def _rows_or_elements(self, derived: Callable[[Stream], Stream]) -> "Dataset":
        """What works on any items: on numbers of rows where there are such, else on elements."""
        stream = self.stream
        return Dataset(stream.of(derived(stream.numbers)) if isinstance(stream, Slices) else derived(stream))

    def __iter__(self) -> Iterator[Any]:
        """Go through the elements.

        Raises
        ------
        ConcretizationError
            In a step that is being traced, which then runs eagerly: the elements would be constants of it.
        """
        if current().interpreter.traces:
            raise ConcretizationError(
                at_user_line(
                    "a compiled step runs no Python, which makes the elements of a data set: go through it outside, "
                    "and pass its elements as arguments"
                )
            )
        return iter(self.stream)

    def __len__(self) -> int:
        """How many elements there are.

        Raises
        ------
        TypeError
            If there is no end, or nobody knows before all were gone through.
        """
        size = self.stream.size
        if size is None:
            raise TypeError(
                at_user_line(
                    "len: how many elements there are shows only when they are gone through: sum(1 for _ in d)"
                )
            )
        if size == ENDLESS:
            raise TypeError(at_user_line("len: the data set has no end; take(n) has one"))
        return int(size)

    def __bool__(self) -> bool:
        """True, as any object without a length."""
        return True

    def __repr__(self) -> str:
        size = self.stream.size
        count = "an unknown number of" if size is None else "endless" if size == ENDLESS else str(int(size))
        return f"<data set of {count} elements>"


def _itself(number: int) -> int:
    """What becomes of a number of `Dataset.range`; a function with a name, as pickles want it."""
    return number


def _check_dataset(operation: str, thing: Any) -> None:
    if not isinstance(thing, Dataset):
        raise TypeError(at_user_line(f"{operation}: it takes data sets, got {type(thing).__name__}"))


def _count(operation: str, name: str, value: Any) -> int | None:
    """A count; None for -1, which means all that there are."""
    number = as_int(value)
    if number < -1:
        raise ValueError(at_user_line(f"{operation}: {name} is {number}, which is negative"))
    return None if number == -1 else number


def _positive(operation: str, name: str, value: Any) -> int:
    number = as_int(value)
    if number < 1:
        raise ValueError(at_user_line(f"{operation}: {name} is {number}, and has to be 1 at least"))
    return number
