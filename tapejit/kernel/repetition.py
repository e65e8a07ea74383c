"""A kernel that is called many times in a row, with what each of the calls reads and writes.

A `Repetition` has a table of its own, so it does not disturb single calls of the same `Executable`; the workspace is
shared, under the executable's lock. Start reading at `Repetition.run`; `rounds` has several that take turns.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..aval import Aval, Shape
from ..variable import Variable
from .driver import Program
from .executable import STAGED_BYTES, Executable, too_large
from .memory import address_of, addressable, aligned
from .threads import lead


class _Held:
    """A variable and its slots: of the buffer that is read, and of the one that the new value goes to; -1 for none.

    `current` is in the table. Where the update can't be made in place, `spare` is the buffer that it goes to; the two
    swap after each step, and it is this object's own between runs.
    """

    __slots__ = ("current", "fits", "read", "spare", "update", "variable")

    def __init__(self, variable: Variable) -> None:
        self.variable = variable
        self.read = self.update = -1
        self.fits = True
        self.current: np.ndarray | None = None
        self.spare: np.ndarray | None = None

    def bind(self, table: np.ndarray) -> "_Buffers | None":
        """Put the buffers' addresses into the table. A buffer that someone may hold is copied rather than written.

        Returns
        -------
        tuple of ndarray, optional
            The buffers as the table has them, for `settle`; None where there will be nothing to settle.
        """
        variable = self.variable
        buffer = variable.buffer
        if buffer is self.current and self.fits and not (variable.exposed and self.update >= 0):
            return None
        copied = self.update >= 0 and variable.exposed
        if copied:
            buffer = buffer.copy(order="C")
        self.current = buffer
        address = address_of(buffer)
        if self.read >= 0:
            table[self.read] = address
        if self.fits:
            if self.update >= 0:
                table[self.update] = address
            return (buffer, None) if copied else None
        if self.spare is None:
            self.spare = np.empty(variable.shape, variable.dtype)
        table[self.update] = address_of(self.spare)
        return buffer, self.spare

    def settle(self, buffers: "_Buffers", done: int) -> None:
        """Give the variable what so many steps have made of it; the same however often it is called."""
        current, spare = buffers
        if done % 2 and spare is not None:
            current, spare = spare, current
        if done and self.variable.buffer is not current:
            self.variable.replace(current, exposed=False)
        self.current, self.spare = current, spare

    def own(self) -> None:
        """See to it that nobody else holds the buffer of a variable that is written."""
        variable = self.variable
        if self.update >= 0 and variable.exposed:
            variable.replace(variable.buffer.copy(order="C"), exposed=False)


_Buffers = tuple[np.ndarray, np.ndarray | None]
"""What is read before the first step, and what it writes instead."""

Bound = list[tuple[_Held, _Buffers]]
"""The variables that have to be settled after a run."""


class Repetition:
    """Calls of one kernel in a row.

    Parameters
    ----------
    executable : Executable
        The kernel, with its variables and captured arrays.
    avals : sequence of Aval
        The types of the arguments of one step.
    scanned : collection of int
        The positions of the arguments of which each step takes a row.

    Attributes
    ----------
    executable : Executable
        The kernel.
    results : list of ndarray
        The stacked results of the steps since `begin`.
    """

    def __init__(self, executable: Executable, avals: Sequence[Aval], scanned: Collection[int]) -> None:
        self.executable = executable
        layout = executable.kernel.layout
        self._staged: list[tuple[int, np.ndarray]] = []
        self._passed: list[tuple[int, int, np.dtype]] = []
        self._rows: list[tuple[int, int, np.dtype]] = []
        self._scattered: list[tuple[int, np.ndarray, np.dtype]] = []
        self._outputs: list[tuple[int, Shape, np.dtype]] = []
        self.results: list[np.ndarray] = []
        self._borrowed: list[np.ndarray] = []  # what the table points to and nobody else may hold
        self._held = [_Held(variable) for variable in executable.variables]
        self._table = np.concatenate([executable.table(), np.zeros(len(self._held) + 1, np.int64)])
        for index, slot in enumerate(layout.slots):
            if slot.kind == "argument":
                self._take_argument(index, slot.position, avals[slot.position], slot.position in scanned)
            elif slot.kind == "variable":
                self._held[slot.position].read = index
            elif slot.kind == "update":
                held = self._held[layout.updates[slot.position]]
                held.update, held.fits = index, layout.in_place[slot.position]
            elif slot.kind == "capture":
                self._take_capture(index, executable.captures[slot.position])
        for position, (shape, dtype) in enumerate(layout.outputs):
            self._outputs.append((layout.position("output", position), shape, np.dtype(dtype)))
        self.program = self._programmed(len(layout.slots))

    def _take_argument(self, index: int, position: int, aval: Aval, scanned: bool) -> None:
        if scanned:
            self._rows.append((index, position, aval.dtype))
        elif aval.nbytes > STAGED_BYTES:
            self._passed.append((index, position, aval.dtype))
        else:
            buffer = aligned(aval.shape, aval.dtype)
            self._table[index] = address_of(buffer)
            self._staged.append((position, buffer))

    def _take_capture(self, index: int, array: np.ndarray) -> None:
        dtype = array.dtype.newbyteorder("=")
        if not addressable(array, dtype):
            self._scattered.append((index, array, dtype))

    def _programmed(self, size: int) -> Program:
        """The driver's part: what moves, what swaps; a variable that is not read has a slot behind the kernel's own."""
        moved = [index for index, _, _ in (*self._rows, *self._outputs)]
        swapped = []
        for place, held in enumerate(self._held):
            if held.update >= 0 and not held.fits:
                if held.read < 0:
                    held.read = size + place
                swapped.append((held.read, held.update))
        program = Program(self.executable.kernel.loaded.address, self._table, moved, swapped)
        for place, (_, shape, dtype) in enumerate(self._outputs, len(self._rows)):
            program.stride(place, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        return program

    def begin(self, arguments: Sequence[Any], times: int) -> None:
        """Take the arguments of all steps, and make room for their results.

        Parameters
        ----------
        arguments : sequence of array_like
            As for `Executable`; of what is scanned, all rows in one array.
        times : int
            How many steps there will be.
        """
        self.take(arguments)
        for index, shape, dtype in self._outputs:
            result = np.empty((times, *shape), dtype)
            self._table[index] = address_of(result)
            self.results.append(result)

    def take(self, arguments: Sequence[Any]) -> None:
        """Take arguments for the steps from now on; the parameter is that of `begin`."""
        self._borrowed.clear()
        for position, buffer in self._staged:
            try:
                buffer[...] = arguments[position]
            except OverflowError:
                raise too_large(arguments[position], buffer.dtype) from None
        for index, position, dtype in self._passed:
            self._borrow(index, arguments[position], dtype, addressable(arguments[position], dtype))
        for index, captured, dtype in self._scattered:
            self._borrow(index, captured, dtype, as_it_is=False)
        for place, (index, position, dtype) in enumerate(self._rows):
            rows = arguments[position]
            whole = rows.flags.aligned and addressable(rows[0, ...], dtype)
            self.program.stride(place, self._borrow(index, rows, dtype, whole).strides[0])

    def _slot(self, position: int) -> int:
        """Which number of the table is the address of a scanned argument's next row; one that nobody reads if none."""
        for index, other, _ in self._rows:
            if other == position:
                return index
        return len(self._table) - 1

    def slot_address(self, position: int) -> int:
        """Where the address of a scanned argument's next row is."""
        return address_of(self._table) + self._table.itemsize * self._slot(position)

    def place(self, position: int, address: int) -> None:
        """Let the next row of a scanned argument be there; the rows after it as far apart as they were."""
        self._table[self._slot(position)] = address

    def _borrow(self, index: int, array: np.ndarray, dtype: np.dtype, as_it_is: bool) -> np.ndarray:
        """Put an array's address, or that of a contiguous copy, into the table."""
        if not as_it_is:
            array = np.array(array, dtype, order="C")
        self._table[index] = address_of(array)
        self._borrowed.append(array)
        return array

    def run(self, count: int) -> int:
        """Run so many steps, or as many as succeed.

        Returns
        -------
        int
            The kernel's status, 0 where all steps succeeded; `done` says how many did.
        """
        self.program.prepare()
        status: int = self.executable.exclusively(self._locked, count)
        return status

    def _locked(self, count: int) -> int:
        program = self.program
        return settling(self.bound(), partial(self._stepped, count), lambda: program.done)

    def own(self) -> None:
        """See to it that nobody else holds the buffers that are written."""
        for held in self._held:
            held.own()

    def bound(self) -> Bound:
        """Put the addresses of all variables into the table; those that have to be settled after the run."""
        table = self._table
        return [(held, buffers) for held in self._held if (buffers := held.bind(table)) is not None]

    @property
    def writes_in_place(self) -> bool:
        """Whether no variable has a second buffer."""
        return all(held.fits for held in self._held)

    @property
    def is_alone(self) -> bool:
        """Whether one thread makes the steps."""
        stages = self.executable.stages
        return stages is None or stages.threads() == 1

    def _stepped(self, count: int) -> int:
        """The status of so many steps: by the driver, or each of them shared out over threads."""
        stages = self.executable.stages
        threads = 1 if stages is None else stages.threads()
        if stages is None or threads == 1:
            return self.program.run(count)
        step = partial(stages.run_shared, self._table, threads)
        return lead(partial(self.program.run_by, step, count))

    @property
    def done(self) -> int:
        """How many steps of the latest run succeeded."""
        return self.program.done

    def fail(self, status: int) -> None:
        """Raise what a status other than 0 means."""
        self.executable.fail(status, self._table)

    def end(self) -> list[np.ndarray]:
        """The stacked results; what was borrowed is given back."""
        results = self.results
        self.results = []
        self._borrowed.clear()
        return results


def settling(bound: Bound, run: Callable[[], int], done: Callable[[], int]) -> int:
    """The status of a run, after which variables have what so many steps as are done have made of them."""
    try:
        status = run()
        for held, buffers in bound:
            held.settle(buffers, done())
    except BaseException:  # Ctrl-C, which comes after the steps or between two variables
        for held, buffers in bound:
            held.settle(buffers, done())
        raise
    return status
