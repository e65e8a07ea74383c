"""Many steps in one call: `CompiledStep.repeat` and `CompiledStep.scan`.

Below `compiled`. A step that one kernel runs is called by the kernel's driver (`kernel.driver`), in chunks of
some milliseconds, so that Ctrl-C is heard. Everything else runs as the loop in Python that it stands for: what runs
eagerly, what is split into several kernels, what a tape records and what is part of another step. Start reading at
`Loopable.repeat`.
"""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from operator import index as as_int
from threading import active_count
from typing import Any

import numpy as np

from .. import ops
from ..errors import DtypeError, ShapeError, TapejitError, at_user_line
from ..graph import Graph
from ..kernel.executable import Executable
from ..kernel.repetition import Repetition
from ..primitive import Value
from ..pytree import flatten, unflatten
from ..tensor import Tensor, array_of_numbers
from ..variable import Variable
from .arguments import argument_leaves, argument_paths

CHUNK_SECONDS = 0.05
"""How long the driver may be away from Python, about."""

GROWTH = 16
"""By how many times a chunk may be longer than the one before, whose time per step may be mostly overhead."""

_PAUSE_AFTER = CHUNK_SECONDS / 4
_PAUSE = 1e-4  # seconds; enough for a thread that waits for the locks to wake up

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Loopable:
    """A step that can be run many times in one call."""

    parameters: tuple[str, ...]

    @abstractmethod
    def looped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Looped | Callable[..., Any]":
        """What runs a call many times; where no kernel can do that, what makes the first of the calls."""

    @abstractmethod
    def unlooped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The results of no step at all, for arguments like these."""

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One step."""

    def repeat(self, times: int, /, *args: Any, **kwargs: Any) -> Any:
        """Run the step many times with the same arguments, in one call.

        Parameters
        ----------
        times : int
            How many times.
        *args, **kwargs
            What the step takes.

        Returns
        -------
        nest
            What the step returns, each tensor stacked along a new first axis. None, variables and other Python values,
            which are the same at each step, stay as they are.

        Raises
        ------
        ValueError
            If `times` is negative.
        CompileError
            If `times` is 0 and the step runs eagerly, so that nobody knows what it returns.

        Notes
        -----
        The same numbers as from calls in a loop, to the bit, and the same values of variables and generators. Where a
        step fails, its error names the step, counted from 0; the steps before it are done, and nothing of it is
        assigned. What the function reads by name (a learning rate) is looked at once, before the first step. The loop
        is compiled, but comes back to Python about every 50 ms: Ctrl-C ends it between two steps, and other threads
        may then use the variables. A step that isn't one kernel, or that a tape records, is called in a Python loop.
        ``tj.fori_loop`` is something else: a loop inside a step, with a value that it carries on and a gradient.

        Examples
        --------
        >>> w = tj.Variable(1.0)
        >>> @tj.compile
        ... def double():
        ...     w.assign(2.0 * w)
        ...     return w.read_value()
        >>> double.repeat(4).numpy()
        array([ 2.,  4.,  8., 16.], dtype=float32)
        """
        return _repeated(self, times, args, kwargs)

    def scan(self, *batches: Any, **named: Any) -> Any:
        """Run the step once for each row of its arguments, in one call.

        Parameters
        ----------
        *batches, **named
            What the step takes, with a first axis more: of each array, tensor or list of numbers, in nests too, each
            step gets one row. Python numbers, None, variables and other Python values are the same at each step.

        Returns
        -------
        nest
            As from `repeat`.

        Raises
        ------
        ShapeError
            If an array has no axis, or two have first axes of different lengths.
        CompileError
            If there are no rows and the step runs eagerly, so that nobody knows what it returns.

        Notes
        -----
        Those of `repeat`. ``tj.scan`` is something else: a loop inside a step, with a carry and a gradient through it.

        Examples
        --------
        >>> total = tj.Variable(0.0)
        >>> @tj.compile
        ... def add(x):
        ...     total.assign_add(tj.sum(x))
        ...     return total.read_value()
        >>> add.scan([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).numpy()
        array([ 3., 10., 21.], dtype=float32)
        """
        return _scanned(self, batches, named, self.parameters)


class Steps:
    """The loops over one trace's kernel, and how many steps make a chunk.

    Each thread that loops has a `Repetition` of its own; those that are idle are kept, with their tables and buffers.

    Parameters
    ----------
    executable : Executable
        The kernel.
    graph : Graph
        What it computes; for its inputs.
    varying : tuple of int
        Which leaves of a call are the kernel's arguments.
    placed : callable
        Puts stacked outputs in their places in the result.
    """

    __slots__ = ("_avals", "_executable", "_idle", "chunk", "placed", "varying")

    def __init__(
        self,
        executable: Executable,
        graph: Graph,
        varying: tuple[int, ...],
        placed: Callable[[Sequence[np.ndarray]], Any],
    ) -> None:
        self.varying = varying
        self._executable = executable
        self._avals = [node.aval for node in graph.inputs]
        self.placed = placed
        self._idle: dict[tuple[int, ...], list[Repetition]] = {}
        self.chunk = 1

    def begin(self, times: int, arguments: Sequence[Any], scanned: tuple[int, ...] = ()) -> "Session":
        """A session in which so many steps can be run, some at a time. It has to be ended.

        Parameters
        ----------
        times : int
            How many; at least one.
        arguments : sequence of array_like
            What varies; of what is scanned, all rows in one array.
        scanned : tuple of int
            Positions of the arguments that are scanned.
        """
        idle = self._idle.setdefault(scanned, [])
        try:
            repetition = idle.pop()
        except IndexError:
            repetition = Repetition(self._executable, self._avals, scanned)
        session = Session(self, repetition, idle)
        try:
            repetition.begin(arguments, times)
        except BaseException:
            session.end()
            raise
        return session

    def run(self, times: int, arguments: Sequence[Any], scanned: tuple[int, ...] = ()) -> Any:
        """The stacked results of so many steps; the parameters are those of `begin`."""
        session = self.begin(times, arguments, scanned)
        try:
            session.run(times, _step_of)
        finally:
            session.end()
        return self.placed(session.results)

    @property
    def result_bytes(self) -> int:
        """What the results of a step take."""
        return sum(
            math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in self._executable.kernel.layout.outputs
        )


class Session:
    """Steps that run some at a time: each goes on with the next rows, and fills the next places of the results.

    Attributes
    ----------
    steps : Steps
        What is run.
    repetition : Repetition
        What runs it.
    done : int
        How many steps have been run.
    """

    __slots__ = ("_idle", "_results", "done", "repetition", "steps")

    def __init__(self, steps: Steps, repetition: Repetition, idle: list[Repetition]) -> None:
        self.steps = steps
        self.repetition = repetition
        self.done = 0
        self._idle = idle
        self._results: list[np.ndarray] | None = None

    @property
    def results(self) -> list[np.ndarray]:
        """The stacked results, of which the first `done` rows are there."""
        return self.repetition.results if self._results is None else self._results

    def end(self) -> None:
        """Give back what runs the steps; the results stay."""
        if self._results is None:
            self._results = self.repetition.end()
            self._idle.append(self.repetition)

    def run(self, count: int, label: Callable[[int], str], heard: Callable[[], object] | None = None) -> None:
        """The next steps, in chunks; the locks are free between them, and other threads get a moment to take them.

        Parameters
        ----------
        count : int
            How many; at least one.
        label : callable
            What to call the step of a number, counted from 0 in the session, where it fails.
        heard : callable, optional
            Called between chunks.
        """
        steps, repetition, end = self.steps, self.repetition, self.done + count
        while True:
            chunk = min(steps.chunk, end - self.done)
            started = time.perf_counter()
            try:
                status = repetition.run(chunk)
            finally:
                self.done += repetition.done
            taken = time.perf_counter() - started
            if status:
                self.fail(status, label)
            self.took(chunk, taken)
            if self.done == end:
                return
            if heard is not None:
                heard()
            pause_after(taken)

    def took(self, count: int, seconds: float) -> None:
        """Note how long so many steps took, for the length of the next chunks."""
        steps = self.steps
        if 2 * count > steps.chunk or seconds > CHUNK_SECONDS:
            steps.chunk = max(1, min(GROWTH * count, int(count * CHUNK_SECONDS / max(seconds, 1e-9))))

    def fail(self, status: int, label: Callable[[int], str]) -> None:
        """Raise what the kernel says of the step that failed, with the step's name."""
        try:
            self.repetition.fail(status)
        except (TapejitError, np.linalg.LinAlgError) as error:
            raise type(error)(f"{label(self.done)}: {error}") from None


def pause_after(seconds: float) -> None:
    """Let other threads take the locks after so long a time."""
    if seconds > _PAUSE_AFTER and active_count() > 1:
        time.sleep(_PAUSE)


def _step_of(number: int) -> str:
    return f"step {number}"


def _repeated(step: Loopable, times: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The stacked results of a step that is called `times` times with the same arguments."""
    times = as_int(times)
    if times < 0:
        raise ValueError(at_user_line(f"repeat: the number of steps is {times}, which is negative"))
    if times == 0:
        return step.unlooped(args, kwargs)
    found = step.looped(args, kwargs)
    if callable(found):
        return in_python(found, step, [(args, kwargs)] * times, lambda number: f"step {number} of {times}")
    steps, values = found
    return steps.run(times, values)


def _scanned(step: Loopable, args: tuple[Any, ...], kwargs: dict[str, Any], parameters: tuple[str, ...]) -> Any:
    """The stacked results of a step that is called with one row after the other of its arguments."""
    leaves, tree = argument_leaves(args, kwargs)
    leaves = [array_of_numbers(leaf) if isinstance(leaf, list) else leaf for leaf in leaves]
    batches, times = batches_of("scan", leaves, lambda: argument_paths(args, kwargs, parameters))

    def row(number: int) -> Arguments:
        taken = [_row(leaf, number) if place in batches else leaf for place, leaf in enumerate(leaves)]
        return unflatten(tree, taken)  # type: ignore[no-any-return]

    if times == 0:
        like = [np.zeros(leaf.shape[1:], leaf.dtype) if place in batches else leaf for place, leaf in enumerate(leaves)]
        return step.unlooped(*unflatten(tree, like))
    found = step.looped(*row(0))
    if callable(found):
        return in_python(found, step, map(row, range(times)), lambda number: f"step {number} of {times}")
    steps, values = found[0], list(found[1])
    positions = tuple(position for position, place in enumerate(steps.varying) if place in batches)
    for position in positions:
        batch = leaves[steps.varying[position]]
        values[position] = batch.numpy() if isinstance(batch, Value) else batch
    return steps.run(times, values, positions)


def batches_of(
    operation: str,
    leaves: Sequence[Any],
    paths: Callable[[], list[str]],
    way_out: str = "step.repeat(times, …) needs none",
) -> tuple[frozenset[int], int]:
    """Which leaves have rows, and how many; `paths` gives the names of the leaves, `way_out` is for none with rows."""
    found: dict[int, int] = {}
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, (np.ndarray, Value)):
            if not leaf.shape:
                raise ShapeError(
                    at_user_line(
                        f"{operation}: argument {paths()[place]} has no axis of rows; give it one, or pass a Python "
                        "number, which is the same at each step"
                    )
                )
            found[place] = leaf.shape[0]
    if not found:
        raise ShapeError(at_user_line(f"{operation}: no argument is an array; {way_out}"))
    first, times = next(iter(found.items()))
    for place, length in found.items():
        if length != times:
            raise ShapeError(
                at_user_line(
                    f"{operation}: argument {paths()[place]} has {length} rows, argument {paths()[first]} has {times}; "
                    "each step takes rows of both"
                )
            )
    return frozenset(found), times


Looped = tuple[Steps, Sequence[Any]]
"""What runs a call many times, and the values of what varies."""


def _row(leaf: Any, number: int) -> Any:
    return leaf[number] if isinstance(leaf, Tensor) else leaf[number, ...]


def in_python(
    first: Callable[..., Any], step: Loopable, calls: Iterable[Arguments], label: Callable[[int], str]
) -> Any:
    """The loop in Python; an exception gets a note that says by `label` which step it comes from."""
    results = []
    for number, (args, kwargs) in enumerate(calls):
        try:
            results.append((step if number else first)(*args, **kwargs))
        except Exception as error:
            error.add_note(f"in {label(number)}")
            raise
    return _stacked(results)


def _stacked(results: Sequence[Any]) -> Any:
    """Results of several steps as one."""
    flattened = [flatten(result) for result in results]
    tree = flattened[0][1]
    for number, (_, other) in enumerate(flattened):
        if other != tree:
            raise ShapeError(at_user_line(f"step {number} returns another nest than step 0, so they can't be stacked"))
    columns = zip(*(leaves for leaves, _ in flattened), strict=True)
    return unflatten(tree, [_column(column) for column in columns])


def _column(column: tuple[Any, ...]) -> Any:
    """One result of all steps: arrays and tensors are stacked, what is the same each time stays as it is."""
    first = column[0]
    if isinstance(first, (np.ndarray, Value)) and not isinstance(first, Variable):
        return ops.stack(column)
    if all(_same(value, first) for value in column):
        return first
    if all(isinstance(value, (int, float, np.generic)) for value in column):
        return ops.asarray(list(column))
    number, other = next((number, value) for number, value in enumerate(column) if not _same(value, first))
    raise DtypeError(
        at_user_line(f"a result is {first!r:.60} in step 0 and {other!r:.60} in step {number}, which can't be stacked")
    )


def _same(value: Any, other: Any) -> bool:
    """Whether two constants are one: identical, or numbers and strings of one type that are written in one way."""
    return value is other or (type(value) is type(other) and repr(value) == repr(other))
