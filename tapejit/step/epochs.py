"""Epochs in few calls: `CompiledStep.epochs`.

Above `loops`. The step and the gathering of its rows are traced as one function of an order and of the whole
arrays; machine code goes through the random orders of some epochs batch by batch, smaller last batches in their turn.
What can't be one kernel runs as the loop over batches in Python. Start reading at `Epochs.run`.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from operator import index as as_int
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError, at_user_line
from ..kernel.memory import address_of
from ..kernel.rounds import Rounds, Share
from ..kernel.shuffling import Order
from ..primitive import Value
from ..pytree import flatten, unflatten
from ..random import Generator
from ..tensor import array_of_numbers, plain_array
from .arguments import argument_leaves, argument_paths
from .history import History, combined, joined, means_of, on_each
from .loops import Arguments, Loopable, Looped, Session, batches_of, in_python, pause_after
from .progress import Bar

RESULT_BYTES = 1 << 24
"""Room for results is made for several epochs, of at most about so many bytes."""


class Trainable(Loopable):
    """A step that can be run over the rows of arrays, batch by batch and epoch by epoch."""

    @abstractmethod
    def looped_rows(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Looped | None:
        """What runs the step many times for row numbers, the first argument, of whole arrays; None if nothing does."""

    def epochs(
        self,
        *arrays: Any,
        batch_size: int,
        epochs: int = 1,
        shuffle: Any = True,
        drop_remainder: bool = False,
        callback: Callable[[int, Any], Any] | None = None,
        progress: bool | None = None,
        **named: Any,
    ) -> History:
        """Run the step over all rows of the arrays, batch by batch, as often as there are epochs.

        Parameters
        ----------
        *arrays : nest of array_like
            What the step takes, with all rows: the first axes are equally long. Memory-mapped arrays are read where
            they are. Python numbers, None and other Python values are the same at each step.
        batch_size : int
            How many rows a step takes.
        epochs : int
            How often each row is used.
        shuffle : bool, int, tapejit.random.Generator or numpy.random.Generator
            Whether each epoch takes the rows in another random order; a seed, or a number that is drawn from a
            generator, decides on the orders.
        drop_remainder : bool
            Whether rows that fill no batch at the end of an epoch are left out, others in each epoch if they are
            shuffled. By default they are a smaller batch, which is traced and compiled for itself.
        callback : callable, optional
            ``callback(epoch, results)`` is called after each epoch, counted from 0, with the means of its results; it
            ends the run by returning True.
        progress : bool, optional
            Whether to show a bar, if tqdm is installed; by default where a run takes longer than some seconds and
            standard error is a terminal.
        **named
            What the step takes by name: arrays or constants, as in `arrays`.

        Returns
        -------
        History
            The results of all steps, and their means over each epoch.

        Raises
        ------
        ShapeError
            If the arrays have no rows, not equally many, or fewer than a batch that has to be full.
        ValueError
            If `batch_size` is not positive or `epochs` is negative.

        Notes
        -----
        The rows of a batch are gathered inside the kernel. As in `repeat`, the loop is compiled and comes back to
        Python about every 50 ms: Ctrl-C ends it between two steps. The exception that ends a run,
        KeyboardInterrupt or that of a step that fails, has the attribute ``history`` with the epochs that were done;
        all variables have the values after the last step that was. A step that isn't one kernel runs batch by batch in
        Python.

        Examples
        --------
        >>> w = tj.Variable(0.0)
        >>> @tj.compile
        ... def step(x, y):
        ...     w.assign_sub(0.1 * tj.mean((w * x - y) * x))
        ...     return tj.mean((w * x - y) ** 2)
        >>> x = np.linspace(-1, 1, 50, dtype=np.float32)
        >>> history = step.epochs(x, 3 * x, batch_size=10, epochs=100, shuffle=0)
        >>> history.means.shape, round(float(w), 3)
        ((100,), 3.0)
        """
        run = Epochs(self, arrays, named, batch_size, shuffle, drop_remainder)
        count = _integer("the number of epochs", epochs)
        if count < 0:
            raise ValueError(at_user_line(f"epochs: the number of epochs is {count}, which is negative"))
        return run.run(count, callback, progress)


class Epochs:
    """One run; see `Trainable.epochs`."""

    bar: Bar

    def __init__(
        self,
        step: Trainable,
        arrays: tuple[Any, ...],
        named: dict[str, Any],
        batch_size: int,
        shuffle: Any,
        drop_remainder: bool,
    ) -> None:
        leaves, self._tree = argument_leaves(arrays, named)
        self.leaves = [_as_rows(leaf) for leaf in leaves]
        paths = partial(argument_paths, arrays, named, step.parameters)
        self._places, self.rows = batches_of("epochs", self.leaves, paths, "a Dataset's batches want a loop")
        self.step = step
        self.size = _integer("batch_size", batch_size)
        if self.size < 1:
            raise ValueError(at_user_line(f"epochs: batch_size is {self.size}, and has to be 1 at least"))
        self.full, rest = divmod(self.rows, self.size)
        self.rest = 0 if drop_remainder else rest
        if not self.full and not self.rest:
            way_out = ", or drop_remainder=False" if self.rows else ""
            raise ShapeError(
                at_user_line(
                    f"epochs: {self.rows} rows fill no batch of {self.size}; take a smaller batch_size{way_out}"
                )
            )
        self.weights = np.array([self.size] * self.full + [self.rest] * (self.rest > 0), np.float64)
        self.order = Order(self.rows, _first_state(shuffle))

    def run(self, count: int, callback: Callable[[int, Any], Any] | None, progress: bool | None) -> History:
        """Run so many epochs."""
        done: list[tuple[Any, int]] = []  # results of blocks, and how many epochs they are of
        bar = self.bar = Bar(count, len(self.weights), progress)
        first, stopped = 0, False
        try:
            while first < count and not stopped:
                block = Block(self, first, count - first)
                try:
                    while not stopped and block.go_on(alone=callback is not None):
                        last = first + block.done - 1
                        means = block.means(last) if callback is not None or bar.is_due() else None
                        bar.show(last + 1, means)
                        stopped = callback is not None and callback(last, means) is True
                finally:
                    block.end()
                    done.append((block.results(), block.done))
                first += block.done
        except BaseException as error:
            error.history = self._history(done)  # type: ignore[attr-defined]
            raise
        finally:
            bar.close()
        return self._history(done)

    def _history(self, done: Sequence[tuple[Any, int]]) -> History:
        blocks = [results for results, count in done if count]
        if not blocks:
            return History(None, None, 0)
        results = combined(blocks, np.concatenate) if len(blocks) > 1 else blocks[0]
        return History(results, means_of(results, self.weights), sum(count for _, count in done))

    def taken(self, rows: np.ndarray) -> Arguments:
        """The arguments of the step for these rows."""
        taken = [_rows_of(leaf, rows) if place in self._places else leaf for place, leaf in enumerate(self.leaves)]
        return unflatten(self._tree, taken)  # type: ignore[no-any-return]

    def looped(self, rows: np.ndarray) -> Looped | None:
        """What runs the step for as many rows as these, which are its first argument; None if Python has to."""
        arrays, named = unflatten(self._tree, self.leaves)
        return self.step.looped_rows((rows, *arrays), named)


class Block:
    """Epochs that run with the same kernels, and have their results in one place.

    Parameters
    ----------
    run : Epochs
        What they belong to.
    first : int
        The number of the first of them.
    count : int
        How many there are at most.
    """

    def __init__(self, run: Epochs, first: int, count: int) -> None:
        self._run, self._first = run, first
        whole = run.full * run.size
        sizes = ((0, run.full, run.size), (whole, int(run.rest > 0), run.rest))
        self._parts = [Part(run, *each) for each in sizes if each[1]]
        self._rounds: Rounds | None = None
        self._count = count
        if self._is_found():
            self._count = min(count, max(1, RESULT_BYTES // max(1, sum(part.result_bytes for part in self._parts))))
            self._begin()

    def _is_found(self) -> bool:
        """Whether there is what runs all steps, as things are now."""
        return all(part.find() for part in self._parts)

    def _begin(self) -> None:
        try:
            sessions = [part.begin(self._count) for part in self._parts]
            self._check(0)
        except BaseException:
            self.end()
            raise
        if Rounds.possible([session.repetition for session in sessions]):
            self._rounds = Rounds([part.share() for part in self._parts], self._run.order)

    @property
    def done(self) -> int:
        """How many epochs are complete."""
        return min(part.done for part in self._parts)

    def go_on(self, *, alone: bool) -> bool:
        """Run the next epochs, or one `alone`; whether there was one that this block can run.

        After an epoch alone, or one in Python, what the step reads by name may have changed.
        """
        done = self.done
        left = self._count - done
        compiled = self._parts[0].is_compiled
        changeable = done > 0 and (alone or not compiled)
        if left <= 0 or (changeable and self._is_found() != compiled):
            return False
        fitting = self._parts[0].epochs_in_a_chunk if self._rounds is not None else 0
        if fitting:
            self._take_turns(1 if alone else left if 2 * left <= 3 * fitting else fitting)  # no small rest
            return True
        order = self._run.order.move_on()
        for part in self._parts:
            if compiled:
                part.run(order, self._label(part), self._tick)
            else:
                part.run_in_python(order, self._label(part), self._tick)
        if not compiled:
            self._check(1)
        return True

    def _tick(self) -> None:
        """Show in the middle of an epoch how far the run is."""
        run = self._run
        run.bar.tick(self._first * len(run.weights) + sum(part.steps for part in self._parts))

    def _check(self, done: int) -> None:
        """Refuse results of smaller batches that don't fit those of full ones, before there are many."""
        if len(self._parts) > 1:
            joined([part.results(0, done) for part in self._parts])

    def _take_turns(self, rounds: int) -> None:
        """Some epochs in one call."""
        assert self._rounds is not None
        started = time.perf_counter()
        try:
            status = self._rounds.run(rounds)
        finally:
            for part, steps in zip(self._parts, self._rounds.done, strict=True):
                part.session.done += steps
        if status:
            halfway = [part for part in self._parts if part.is_halfway]
            failed = halfway[0] if halfway else min(self._parts, key=lambda part: part.done)
            failed.session.fail(status, self._label(failed))
        taken = time.perf_counter() - started
        self._parts[0].session.took(rounds * self._parts[0].each, taken)
        pause_after(taken)

    def _label(self, part: Part) -> Callable[[int], str]:
        before = 0 if part is self._parts[0] else self._run.full

        def label(number: int) -> str:
            epoch, place = divmod(number, part.each)
            return f"epoch {self._first + epoch}, step {before + place}"

        return label

    def means(self, epoch: int) -> Any:
        """The means of an epoch's results."""
        place = epoch - self._first
        means = means_of(joined([part.results(place, place + 1) for part in self._parts]), self._run.weights)
        return on_each(means, lambda column: column[0])

    def results(self) -> Any:
        """What the steps of complete epochs returned, the epochs and the steps of each as first axes; None of none."""
        done = self.done
        return joined([part.results(0, done) for part in self._parts]) if done else None

    def end(self) -> None:
        """Give back what runs the steps."""
        for part in self._parts:
            part.end()


class Part:
    """The batches of one size in the epochs of a block.

    Parameters
    ----------
    run : Epochs
        What they belong to.
    start : int
        Where they begin in the order of an epoch.
    each : int
        How many there are in each epoch.
    size : int
        How many rows each has.

    Attributes
    ----------
    position : int
        Which of the kernel's arguments the rows are.
    """

    def __init__(self, run: Epochs, start: int, each: int, size: int) -> None:
        self._run, self._start, self.each, self.size = run, start, each, size
        self._rows = np.zeros((each, size), np.int64)  # stand for those of an order
        self._found: Looped | None = None
        self._session: Session | None = None
        self._stacks: list[Any] = []
        self._stepped = 0  # by Python
        self._room = 0
        self.position = 0

    def find(self) -> bool:
        """Whether there is what runs the step, as things are now; in a session, whether it is still the same.

        If so, the session goes on with the arguments as they are now.
        """
        self._found = self._run.looped(self._rows[0])
        if self._found is None or self._session is None:
            return self._found is not None
        if self._found[0] is not self._session.steps:
            return False
        self._session.repetition.take(self._arguments(self._found))
        return True

    def _arguments(self, found: Looped) -> list[Any]:
        steps, values = found
        self.position = steps.varying.index(0)
        return [self._rows if place == self.position else value for place, value in enumerate(values)]

    @property
    def result_bytes(self) -> int:
        """What the results of an epoch take."""
        assert self._found is not None
        return self._found[0].result_bytes * self.each

    def begin(self, epochs: int) -> Session:
        """Get ready for at most so many epochs."""
        assert self._found is not None
        arguments = self._arguments(self._found)
        self._session = self._found[0].begin(epochs * self.each, arguments, (self.position,))
        self._room = epochs
        return self._session

    @property
    def is_compiled(self) -> bool:
        """Whether a session runs the steps."""
        return self._session is not None

    @property
    def session(self) -> Session:
        """What runs the steps."""
        assert self._session is not None
        return self._session

    @property
    def epochs_in_a_chunk(self) -> int:
        """How many epochs may be run without a look at Ctrl-C."""
        return self.session.steps.chunk // self.each

    def share(self) -> Share:
        """What it does in a round, an epoch."""
        return Share(self.session.repetition, self.each, self.position, self._start)

    def run(self, order: np.ndarray, label: Callable[[int], str], heard: Callable[[], None]) -> None:
        """The steps of the next epoch; `heard` is called now and then."""
        self.session.repetition.place(self.position, address_of(order) + self._start * order.itemsize)
        self.session.run(self.each, label, heard)

    def run_in_python(self, order: np.ndarray, label: Callable[[int], str], heard: Callable[[], None]) -> None:
        """The steps of the next epoch, one by one; `heard` is called before each."""
        run, first = self._run, len(self._stacks) * self.each

        def calls() -> Iterator[Arguments]:
            for rows in order[self._start :][: self.each * self.size].reshape(self.each, self.size):
                heard()
                self._stepped += 1
                yield run.taken(rows)

        self._stacks.append(in_python(run.step, run.step, calls(), lambda number: label(first + number)))

    @property
    def steps(self) -> int:
        """How many steps are complete."""
        return self._stepped if self._session is None else self._session.done

    @property
    def done(self) -> int:
        """How many epochs are complete."""
        return len(self._stacks) if self._session is None else self._session.done // self.each

    @property
    def is_halfway(self) -> bool:
        """Whether some steps of an epoch are done, and not all."""
        return self._session is not None and self._session.done % self.each > 0

    def results(self, first: int, last: int) -> Any:
        """What the steps of some epochs returned, the epochs and the steps of each as first axes."""
        if self._session is None:
            return combined(self._stacks[first:last], np.stack)
        rows = slice(first * self.each, last * self.each)
        found = [result[rows] for result in self._session.results]
        if last - first < self._room:  # all of the memory would stay
            found = [result.copy() for result in found]
        return on_each(self._session.steps.placed(found), lambda a: a.reshape(last - first, self.each, *a.shape[1:]))

    def end(self) -> None:
        """Give back what runs the steps."""
        if self._session is not None:
            self._session.end()


def _as_rows(leaf: Any) -> Any:
    """An argument in a form whose rows a kernel can gather: arrays contiguous and in the machine's byte order."""
    if isinstance(leaf, list):
        leaf = array_of_numbers(leaf)
    if not isinstance(leaf, np.ndarray):
        return leaf
    array = plain_array(leaf)
    native = array.dtype.newbyteorder("=")
    fits = array.flags.c_contiguous and array.flags.aligned and array.dtype == native
    return array if fits else np.array(array, native, order="C")


def _rows_of(leaf: Any, rows: np.ndarray) -> Any:
    return leaf[rows] if isinstance(leaf, np.ndarray) else ops.take(leaf, rows, axis=0)


def _integer(name: str, value: Any) -> int:
    try:
        return as_int(value)
    except TypeError:
        raise TypeError(at_user_line(f"epochs: {name} is an int, got {value!r:.80}")) from None


def _first_state(shuffle: Any) -> int | None:
    """The state that decides on the orders; None for the rows as they come."""
    if shuffle is None or isinstance(shuffle, (bool, np.bool_)):
        return int.from_bytes(os.urandom(8), "little") >> 1 if shuffle else None
    if isinstance(shuffle, Generator):
        return int(shuffle.integers(0, 2**62))
    try:
        return _state_of_seed(int(shuffle)) if isinstance(shuffle, (int, np.integer)) else _state_of(shuffle)
    except (TypeError, ValueError) as error:
        words = f"epochs: shuffle is a bool, a seed of 0 or more or a generator, got {shuffle!r:.80}"
        raise type(error)(at_user_line(words)) from None


@lru_cache(maxsize=64)
def _state_of_seed(seed: int) -> int:
    return _state_of(seed)


def _state_of(seed: Any) -> int:
    return int(np.random.default_rng(seed).integers(2**63))


def gathered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step's function as one of the numbers of rows, which it gathers from whole arrays."""

    def step(order: Any, /, *arrays: Any, **named: Any) -> Any:
        leaves, tree = flatten((arrays, named))
        taken = [ops.take(leaf, order, axis=0) if isinstance(leaf, Value) and leaf.shape else leaf for leaf in leaves]
        arrays, named = unflatten(tree, taken)
        return function(*arrays, **named)

    step.__wrapped__ = function  # type: ignore[attr-defined]
    return step
