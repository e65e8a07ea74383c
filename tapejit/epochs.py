"""Epochs in few calls: `CompiledStep.epochs`.

Floor 12, above `loops`. The step and the gathering of its rows are traced as one function of an order and of the whole
arrays; the driver of `loops` goes through the order batch by batch. What can't be one kernel runs as the loop over
batches in Python. Start reading at `Epochs.run`.
"""

from __future__ import annotations  # numpy.random, which the types name, is imported when it draws

import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from operator import index as as_int
from typing import Any

import numpy as np

from . import ops
from .arguments import argument_leaves, argument_paths
from .dataclass import dataclass
from .errors import ShapeError, at_user_line
from .kernel import door
from .kernel.shuffling import shuffle_rows
from .loops import Arguments, Loopable, Looped, Session, Steps, batches_of, in_python
from .primitive import Value
from .pytree import flatten, unflatten
from .tensor import Tensor, array_of_numbers, plain_array

BAR_AFTER = 3.0
"""Seconds after which a run shows how far it is."""

ROWS_AT_ONCE = 1 << 18
"""Epochs over few rows are run several in one call, of at most about so many rows."""


@dataclass(frozen=True, slots=True)
class History:
    """What the steps of some epochs returned.

    Attributes
    ----------
    results : nest
        As the step returns it; each tensor has two axes more in front, the epochs and the steps of one.
    means : nest
        Each tensor has one axis more in front, the epochs: the mean over an epoch, in which each step counts as often
        as it has rows. Integers and booleans become float64.
    epochs : int
        How many epochs are in it.
    """

    results: Any
    means: Any
    epochs: int


class Trainable(Loopable):
    """A step that can be run over the rows of arrays, batch by batch and epoch by epoch."""

    @abstractmethod
    def looped_rows(self, args: tuple[Any, ...]) -> Looped | None:
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
        shuffle : bool, int or numpy.random.Generator
            Whether each epoch takes the rows in another random order; a seed or a generator decides on the orders.
        drop_remainder : bool
            Whether rows that fill no batch at the end of an epoch are left out, others in each epoch if they are
            shuffled. By default they are a smaller batch, which is traced and compiled for itself.
        callback : callable, optional
            ``callback(epoch, results)`` is called after each epoch, counted from 0, with the means of its results; it
            ends the run by returning True.
        progress : bool, optional
            Whether to show a bar, if tqdm is installed; by default where a run takes longer than some seconds and
            standard error is a terminal.

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
        Python about every 20 ms: Ctrl-C ends it between two steps. The exception that ends a run,
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
        run = Epochs(self, arrays, batch_size, shuffle, drop_remainder)
        count = as_int(epochs)
        if count < 0:
            raise ValueError(at_user_line(f"epochs: the number of epochs is {count}, which is negative"))
        return run.run(count, callback, progress)


class Epochs:
    """One run; see `Trainable.epochs`."""

    def __init__(
        self, step: Trainable, arrays: tuple[Any, ...], batch_size: int, shuffle: Any, drop_remainder: bool
    ) -> None:
        leaves, self._tree = argument_leaves(arrays, {})
        self.leaves = [_as_rows(leaf) for leaf in leaves]
        self._places, self.rows = batches_of("epochs", self.leaves, lambda: argument_paths(arrays, {}, step.parameters))
        self.step = step
        self.size = _positive("batch_size", batch_size)
        self.full, rest = divmod(self.rows, self.size)
        self.rest = 0 if drop_remainder else rest
        if not self.full and not self.rest:
            way_out = ", or drop_remainder=False" if self.rows else ""
            raise ShapeError(
                at_user_line(
                    f"epochs: {self.rows} rows fill no batch of {self.size}; take a smaller batch_size{way_out}"
                )
            )
        self._weights = np.array([self.size] * self.full + [self.rest] * (self.rest > 0), np.float64)
        self._generator = _generator(shuffle)

    def run(self, count: int, callback: Callable[[int, Any], Any] | None, progress: bool | None) -> History:
        """Run so many epochs."""
        done: list[tuple[Any, int]] = []  # results of blocks, and how many epochs they are of
        bar = _Bar(count, progress)
        together = 1 if callback is not None else max(1, ROWS_AT_ONCE // self.rows)
        try:
            for first in range(0, count, together):
                block = Block(self, first, min(together, count - first))
                try:
                    block.run()
                finally:
                    done.append(block.results())
                heard = callback is not None or bar.is_due()
                last = _each(_means(done[-1][0], self._weights), lambda means: means[-1]) if heard else None
                bar.show(first + block.count, last)
                if callback is not None and callback(first, last) is True:
                    break
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
        results = _combined(blocks, np.concatenate) if len(blocks) > 1 else blocks[0]
        return History(results, _means(results, self._weights), sum(count for _, count in done))

    def orders(self, count: int) -> np.ndarray:
        """The rows in the orders of so many epochs."""
        orders = np.empty((count, self.rows), np.int64)
        orders[:] = np.arange(self.rows)
        if self._generator is not None:
            shuffle_rows(orders, int(self._generator.integers(2**63)))
        return orders

    def arguments(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """The step's arguments with these leaves."""
        arguments: tuple[Any, ...] = unflatten(self._tree, leaves)[0]
        return arguments

    def taken(self, rows: np.ndarray) -> tuple[Any, ...]:
        """The arguments of the step for these rows."""
        return self.arguments(
            [_rows_of(leaf, rows) if place in self._places else leaf for place, leaf in enumerate(self.leaves)]
        )

    def looped(self, rows: np.ndarray) -> tuple[Steps, list[Any], int] | None:
        """What runs the step for as many rows as these, and which of its arguments they are; None if Python has to."""
        found = self.step.looped_rows((rows, *self.arguments(self.leaves)))
        if found is None:
            return None
        steps, values = found
        return steps, list(values), steps.varying.index(0)


class Block:
    """Some epochs that run without a stop.

    Parameters
    ----------
    run : Epochs
        What they belong to.
    first : int
        The number of the first of them.
    count : int
        How many.
    """

    def __init__(self, run: Epochs, first: int, count: int) -> None:
        self._run, self._first, self.count = run, first, count
        orders, whole = run.orders(count), run.full * run.size
        sizes = ((run.full, run.size), (int(run.rest > 0), run.rest))
        self._parts = [
            Part(orders[:, start : start + each * size].reshape(count * each, size), each)
            for start, (each, size) in zip((0, whole), sizes, strict=True)
            if each
        ]

    def run(self) -> None:
        """Run them by the driver, or batch by batch in Python."""
        with ExitStack() as stack:
            if all(part.enter(stack, self._run) for part in self._parts):
                # Without smaller batches in between, the epochs follow each other as one loop.
                several = 1 if len(self._parts) > 1 else self.count
                for _ in range(0, self.count, several):
                    for part in self._parts:
                        part.run(several, self._label(part))
                return
        for epoch in range(self.count):
            for part in self._parts:
                part.run_in_python(epoch, self._run, self._label(part))

    def _label(self, part: Part) -> Callable[[int], str]:
        before = 0 if part is self._parts[0] else self._run.full

        def label(number: int) -> str:
            epoch, place = divmod(number, part.each)
            return f"epoch {self._first + epoch}, step {before + place}"

        return label

    def results(self) -> tuple[Any, int]:
        """What the steps of the complete epochs returned, the epochs and the steps of each as first axes; how many."""
        done = min(part.done for part in self._parts)
        return (_joined([part.results(done) for part in self._parts]) if done else None), done


class Part:
    """The batches of one size in some epochs.

    Parameters
    ----------
    batches : ndarray of int64
        Their rows, one epoch after the other.
    each : int
        How many there are in each epoch.
    """

    def __init__(self, batches: np.ndarray, each: int) -> None:
        self._batches, self.each = batches, each
        self._session: Session | None = None
        self._placed: Callable[[Sequence[np.ndarray]], Any] = list
        self._stacks: list[Any] = []

    def enter(self, stack: ExitStack, run: Epochs) -> bool:
        """Get ready to be run by the driver, if that can be done."""
        found = run.looped(self._batches[0])
        if found is None:
            return False
        steps, values, position = found
        values[position] = self._batches
        self._placed = steps.placed
        self._session = stack.enter_context(steps.session(len(self._batches), values, (position,)))
        return True

    def run(self, epochs: int, label: Callable[[int], str]) -> None:
        """The steps of the next epochs."""
        assert self._session is not None
        self._session.run(epochs * self.each, label)

    def run_in_python(self, epoch: int, run: Epochs, label: Callable[[int], str]) -> None:
        """The steps of one epoch, one by one."""
        self._session = None
        first = epoch * self.each
        calls: Iterator[Arguments] = ((run.taken(rows), {}) for rows in self._batches[first : first + self.each])
        self._stacks.append(in_python(run.step, run.step, calls, lambda number: label(first + number)))

    @property
    def done(self) -> int:
        """How many epochs are complete."""
        return len(self._stacks) if self._session is None else self._session.done // self.each

    def results(self, epochs: int) -> Any:
        """What the steps of the first epochs returned, the epochs and the steps of each as first axes."""
        if self._session is None:
            return _combined(self._stacks[:epochs], np.stack)
        results = self._placed([result[: epochs * self.each] for result in self._session.results])
        return _each(results, lambda array: array.reshape(epochs, self.each, *array.shape[1:]))


class _Bar:
    """A bar that shows how far a run is, once it has taken a while."""

    def __init__(self, count: int, wanted: bool | None) -> None:
        self._count = count
        self._started = time.monotonic()
        self._bar: Any = None
        self._wanted = sys.stderr is not None and sys.stderr.isatty() if wanted is None else wanted

    def is_due(self) -> bool:
        """Whether it is to be seen; from then on it is."""
        if self._wanted and self._bar is None and time.monotonic() - self._started > BAR_AFTER:
            self._open()
        return self._bar is not None

    def show(self, done: int, results: Any) -> None:
        """Say that so many epochs are done, with the numbers among the latest results."""
        if self._bar is None:
            return
        numbers = [leaf for leaf in flatten(results)[0] if isinstance(leaf, Tensor) and not leaf.shape]
        self._bar.set_postfix_str(", ".join(f"{float(number):.4g}" for number in numbers[:3]), refresh=False)
        self._bar.update(done - self._bar.n)

    def _open(self) -> None:
        make = door.progress_bar()
        if make is None:
            self._wanted = False
            return
        self._bar = make(total=self._count, unit="epoch")
        self._bar.start_t -= time.monotonic() - self._started

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


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


def _positive(name: str, value: Any) -> int:
    number = as_int(value)
    if number < 1:
        raise ValueError(at_user_line(f"epochs: {name} is {number}, and has to be 1 at least"))
    return number


def _generator(shuffle: Any) -> np.random.Generator | None:
    """What decides on the orders; None for the rows as they come."""
    if shuffle is False or shuffle is None:
        return None
    return np.random.default_rng(None if shuffle is True else shuffle)


def _each(results: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Results with a function applied to what is in their tensors; all else is as it was."""
    return _combined([results], lambda column: function(column[0]))


def _combined(several: Sequence[Any], function: Callable[[Sequence[np.ndarray]], np.ndarray]) -> Any:
    """Results of one nest combined, tensor by tensor; what isn't a tensor is that of the first."""
    flattened = [flatten(results) for results in several]
    columns = zip(*(leaves for leaves, _ in flattened), strict=True)
    leaves = [
        Tensor(np.asarray(function([leaf.numpy() for leaf in column]))) if isinstance(column[0], Value) else column[0]
        for column in columns
    ]
    return unflatten(flattened[0][1], leaves)


def _joined(parts: Sequence[Any]) -> Any:
    """The results of full batches and of the smaller last ones, as those of epochs."""
    if len(parts) == 1:
        return parts[0]
    full, last = (flatten(results) for results in parts)
    if full[1] != last[1]:
        raise ShapeError(at_user_line("epochs: the last batch returns another nest; use drop_remainder=True"))
    for leaf, other in zip(full[0], last[0], strict=True):
        if isinstance(leaf, Value) and leaf.shape[2:] != other.shape[2:]:
            raise ShapeError(
                at_user_line(
                    f"epochs: a result has shape {leaf.shape[2:]}, in the smaller last batch {other.shape[2:]}; return "
                    "what has one shape for every batch, such as a mean, or use drop_remainder=True"
                )
            )
    return _combined(parts, lambda arrays: np.concatenate(arrays, axis=1))


def _means(results: Any, weights: np.ndarray) -> Any:
    """The means over the steps of each epoch, which count by their weights."""

    def mean(array: np.ndarray) -> np.ndarray:
        dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
        return np.average(array.astype(np.float64), 1, weights).astype(dtype)

    return _each(results, mean)


def gathered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step's function as one of the numbers of rows, which it gathers from whole arrays."""

    def step(order: Any, /, *arrays: Any) -> Any:
        leaves, tree = flatten(arrays)
        taken = [ops.take(leaf, order, axis=0) if isinstance(leaf, Value) and leaf.shape else leaf for leaf in leaves]
        return function(*unflatten(tree, taken))

    step.__wrapped__ = function  # type: ignore[attr-defined]
    return step
