"""A kernel with everything it refers to: ready to be called with arguments.

One `Executable` belongs to one trace of one step: it holds the variables, captured arrays and Python numbers of that
trace. Small arguments and results are copied to and from buffers with fixed addresses, large ones are passed by
address; what does not change from call to call stays in the table.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NoReturn

import numpy as np

from ..config import num_threads_source
from ..errors import DtypeError, IndexRangeError, TapejitError, at_user_line, faulty_matrix, user_location
from ..forks import Rank, lock
from ..graph import Graph
from ..tensor import Tensor
from ..variable import AT_WORK, Variable
from . import blas, door
from .kernels import Kernel
from .layout import Layout, Slot
from .locks import with_locks
from .memory import Recycled, address_of, addressable, aligned
from .plans import MOST, Field, Plan, place_of
from .threads import Stages, stages_for

STAGED_BYTES = 4096
"""Arguments and results of at most this size are copied, which takes less time than asking for an address."""

QUICK = 1 << 16
"""Kernels with at most so many operations and bytes keep the GIL where a plan leads to them, see `plans`."""

_RUN_ALL = -1
_UNTOUCHED = -(2**63)
"""What no failed check writes as its detail."""


class _Bound:
    """A variable's buffer in the table; the address is asked for only when the variable has another buffer.

    An update that does not fit in place writes another one, which is the variable's once the step has succeeded.
    """

    __slots__ = ("buffer", "fits", "others", "slot", "variable")

    def __init__(self, slot: int, variable: Variable, fits: bool) -> None:
        self.slot = slot
        self.variable = variable
        self.fits = fits
        self.buffer: np.ndarray | None = None
        self.others = Recycled(variable.shape, variable.dtype)


class Executable:
    """A kernel, its table, and what the table points to.

    Parameters
    ----------
    kernel : Kernel
        The machine code.
    graph : Graph
        What it computes; for its inputs.
    variables, captures, numbers : sequence
        What the inputs of these kinds are.

    Attributes
    ----------
    exclusively : callable
        ``exclusively(function, *args, **kwargs)`` calls a function while no other thread is in the kernel, or changes
        its variables.
    lock : threading.Lock
        The kernel's own; it is taken before those of variables.
    """

    def __init__(
        self,
        kernel: Kernel,
        graph: Graph,
        variables: Sequence[Variable],
        captures: Sequence[np.ndarray],
        numbers: Sequence[float],
    ) -> None:
        layout = kernel.layout
        self.kernel = kernel
        self._graph = graph
        self.variables = tuple(variables)
        self._captures = tuple(captures)
        self.lock = lock(Rank.KERNEL, threading.Lock)
        self._call = kernel.loaded.run
        self.stages = stages_for(kernel.loaded.call, layout)
        """What shares the kernel out over threads; None where that never pays."""
        self._table = np.zeros(max(len(layout.slots), 1), np.int64)
        self._all_stages = kernel.loaded.prepared(address_of(self._table), _RUN_ALL, 0, 0)
        self._workspace = aligned((layout.workspace,), np.dtype(np.uint8))
        self._scratch = aligned((layout.scratch,), np.dtype(np.uint8))
        self._constants = _constant_tables(layout, numbers)
        self._avals = [node.aval for node in graph.inputs]
        self._in_place = layout.in_place
        self._updated = layout.updates
        self._results = [(shape, np.dtype(dtype)) for shape, dtype in layout.outputs]
        self._staged: list[tuple[int, np.ndarray]] = []
        self._passed: list[tuple[int, int, np.dtype]] = []
        self._scattered: list[tuple[int, np.ndarray, np.dtype]] = []
        self._reads: list[_Bound] = []
        self._updates: list[_Bound] = []
        self._outputs: list[tuple[int, np.ndarray | None, Recycled | None]] = []
        # Variables are locked in the order of their making, the same for every step, so that steps can't deadlock.
        variable_locks = [variable.lock for variable in sorted(self.variables, key=lambda variable: variable.key)]
        self.exclusively = with_locks([self.lock, *variable_locks])
        self._detail: int | None = None
        for index, slot in enumerate(layout.slots):
            self._FILL[slot.kind](self, index, slot)
        self._outputs.sort(key=lambda output: layout.slots[output[0]].position)

    def _fill_argument(self, index: int, slot: Slot) -> None:
        aval = self._avals[slot.position]
        if aval.nbytes > STAGED_BYTES:
            self._passed.append((index, slot.position, aval.dtype))
            return
        buffer = aligned(aval.shape, aval.dtype)
        self._table[index] = address_of(buffer)
        self._staged.append((slot.position, buffer))

    def _fill_variable(self, index: int, slot: Slot) -> None:
        self._reads.append(_Bound(index, self.variables[slot.position], fits=True))

    def _fill_update(self, index: int, slot: Slot) -> None:
        variable = self.variables[self._updated[slot.position]]
        self._updates.append(_Bound(index, variable, self._in_place[slot.position]))

    def _fill_output(self, index: int, slot: Slot) -> None:
        shape, dtype = self._results[slot.position]
        if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > STAGED_BYTES:
            self._outputs.append((index, None, Recycled(shape, dtype)))
            return
        buffer = aligned(shape, dtype)
        self._table[index] = address_of(buffer)
        self._outputs.append((index, buffer, None))

    def _fill_capture(self, index: int, slot: Slot) -> None:
        array = self._captures[slot.position]
        dtype = array.dtype.newbyteorder("=")
        if addressable(array, dtype):
            self._table[index] = address_of(array)
        else:
            self._scattered.append((index, array, dtype))

    def _fill_numbers(self, index: int, slot: Slot) -> None:
        self._table[index] = address_of(self._constants[slot.dtype])

    def _fill_workspace(self, index: int, _: Slot) -> None:
        self._table[index] = address_of(self._workspace)

    def _fill_scratch(self, index: int, _: Slot) -> None:
        self._table[index] = address_of(self._scratch)

    def _fill_library(self, index: int, slot: Slot) -> None:
        self._table[index] = blas.address(slot.name)

    def _fill_detail(self, index: int, slot: Slot) -> None:
        if slot.position == 0:
            self._detail = index  # the kernel writes there

    _FILL: ClassVar[dict[str, Callable[..., None]]] = {
        "argument": _fill_argument,
        "variable": _fill_variable,
        "update": _fill_update,
        "output": _fill_output,
        "capture": _fill_capture,
        "numbers": _fill_numbers,
        "workspace": _fill_workspace,
        "scratch": _fill_scratch,
        "library": _fill_library,
        "detail": _fill_detail,
    }

    @property
    def is_quick(self) -> bool:
        """Whether the kernel is done in microseconds."""
        report = self.kernel.layout.report
        return sum(report[key] for key in ("flops", "bytes_read", "bytes_written", "intermediate_bytes")) <= QUICK

    @property
    def can_be_planned(self) -> bool:
        """Whether a plan can have all that the kernel needs: one thread, and captures that can be addressed."""
        alone = self.stages is None or self.stages.threads() == 1
        return alone and not self._scattered and max(len(self._outputs), len(self._updates)) <= MOST

    def table(self) -> np.ndarray:
        """A copy of the table: what doesn't change from call to call is in it."""
        return self._table.copy()

    def contents(self, slot: Slot) -> np.ndarray | None:
        """What stands where the table points to, now, if it does not come with a call: numbers, captures, variables."""
        match slot.kind:
            case "numbers":
                return self._constants[slot.dtype]
            case "capture":
                return self._captures[slot.position]
            case "variable":
                return self.variables[slot.position].numpy()
        return None

    def argument_slots(self) -> dict[int, int]:
        """In which slots of the table the arguments stand, by position; those that are not read are left out."""
        slots = self.kernel.layout.slots
        return {slot.position: index for index, slot in enumerate(slots) if slot.kind == "argument"}

    def write(self, plan: Plan) -> None:
        """Let a plan have what the kernel finds by itself, and its results."""
        slots = self.kernel.layout.slots
        plan.keep(self)
        if self.is_quick:
            plan.field(AT_WORK, Field.SIZE, 0)
        if self.stages is not None:
            holder, name = num_threads_source()
            plan.field(holder, place_of(type(holder), name), plan.keep(getattr(holder, name)))
        buffer, exposed = (place_of(Variable, name) for name in ("buffer", "exposed"))
        for bound in self._reads:
            plan.buffer(bound.variable, buffer, bound.slot)
        for bound in self._updates:
            make = partial(np.empty, bound.variable.shape, bound.variable.dtype)
            plan.update(bound.variable, buffer, exposed, bound.slot, fits=bound.fits, make=make)
        for slot, small, memory in self._outputs:
            shape, dtype = self._results[slots[slot].position]
            # Where others may run, the kernel is locked, and its memory too.
            recycled = memory.take if memory is not None and not self.is_quick else partial(np.empty, shape, dtype)
            plan.result(np.empty(shape, dtype).copy if small is not None else recycled, slot)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Its one kernel."""
        return (self.kernel,)

    not_compiled: ClassVar[tuple[str, ...]] = ()
    """What runs in Python between kernels: nothing."""

    def report(self) -> dict[str, int]:
        """What is known of the plan; see `passes.measure`."""
        return dict(self.kernel.layout.report)

    def __call__(self, arguments: Sequence[Any]) -> list[Tensor]:
        """Run the kernel.

        Parameters
        ----------
        arguments : sequence of array_like
            Of the shapes and dtypes that were traced.

        Returns
        -------
        list of Tensor
            Fresh arrays.

        Raises
        ------
        TapejitError
            If the kernel reports a failed check, or a Python number is too large; then nothing was assigned.
        numpy.linalg.LinAlgError
            If a matrix is singular or not positive definite, likewise.
        """
        return self.exclusively(self._run, arguments)  # type: ignore[no-any-return]

    def _run(self, arguments: Sequence[Any]) -> list[Tensor]:
        table = self._table
        for position, staged in self._staged:
            try:
                staged[...] = arguments[position]
            except OverflowError:
                raise too_large(arguments[position], staged.dtype) from None
        held = self._pass_large(arguments) if self._passed or self._scattered else None
        for bound in self._reads:
            buffer = bound.variable.buffer
            if buffer is not bound.buffer:
                table[bound.slot] = address_of(buffer)
                bound.buffer = buffer
        fresh: list[tuple[_Bound, np.ndarray]] = []
        for bound in self._updates:
            variable = bound.variable
            if bound.fits and not variable.exposed:
                buffer = variable.buffer
                if buffer is not bound.buffer:
                    table[bound.slot] = address_of(buffer)
                    bound.buffer = buffer
            else:
                fresh.append((bound, self._give_buffer(bound)))
        results = self._large_results() if self._outputs else ()
        stages = self.stages
        if stages is not None and stages.threads() > 1:
            status = self._share_and_assign(stages, fresh)
        else:
            status = self._call_and_assign(fresh) if fresh else self._call(*self._all_stages)
        del held  # until here the kernel read what it holds
        if status != 0:
            self.fail(status, table)
        return [
            Tensor(large if small is None else small.copy())
            for large, (_, small, _) in zip(results, self._outputs, strict=True)
        ]

    def _call_and_assign(self, fresh: Sequence[tuple[_Bound, np.ndarray]]) -> int:
        """The kernel's status; if it is 0, variables have the buffers that were written.

        Others it has written in place by then. So if a signal's handler raises, which it does after a call, the rest
        is done nonetheless.
        """
        table, detail = self._table, self._detail
        if detail is not None:
            table[detail] = _UNTOUCHED
        try:
            status: int = self._call(*self._all_stages)
            if status == 0:
                _assign(fresh)
        except BaseException:
            if detail is None or table[detail] == _UNTOUCHED:  # no check failed
                _assign(fresh)
            raise
        return status

    def _share_and_assign(self, stages: Stages, fresh: Sequence[tuple[_Bound, np.ndarray]]) -> int:
        """The same on several threads. Others than this one are not interrupted, and note what came out."""
        statuses: list[int] = []
        try:
            stages.run(self._table, statuses)
        finally:
            if statuses == [0]:
                _assign(fresh)
        return statuses[0]

    def _large_results(self) -> list[Any]:
        """Arrays for the results that the kernel writes where they stay; None for those that it stages."""
        results: list[Any] = []
        for slot, _, memory in self._outputs:
            result = None if memory is None else memory.take()
            if result is not None:
                self._table[slot] = address_of(result)
            results.append(result)
        return results

    @property
    def captures(self) -> tuple[np.ndarray, ...]:
        """The captured arrays, by position."""
        return self._captures

    def fail(self, status: int, table: np.ndarray) -> NoReturn:
        """Say what a kernel found wrong before it assigned anything; its table has the detail."""
        layout = self.kernel.layout
        if not 1 <= status <= len(layout.failures):
            raise TapejitError(at_user_line(f"the kernel reported status {status}"))
        failure = layout.failures[status - 1]
        detail = int(table[layout.position("detail")])
        lines = door.checks().lines_of(self._graph, failure.operation, failure.shape, failure.fault) - {user_location()}
        outcome = "nothing was assigned" + (f"; it is computed at {lines.pop()}" if len(lines) == 1 else "")
        if failure.fault:
            message = faulty_matrix(failure.operation, failure.shape, detail, failure.fault)
            raise np.linalg.LinAlgError(at_user_line(f"{message}; {outcome}"))
        if failure.beyond:
            place: tuple[Any, ...] = ()
            if "{place}" in failure.beyond:
                place = np.unravel_index(int(table[layout.position("detail", 1)]), failure.shape[1:])
            message = failure.beyond.format(index=detail, place=list(map(int, place)))
            raise IndexRangeError(at_user_line(f"{message}; {outcome}"))
        raise IndexRangeError(
            at_user_line(
                f"{failure.operation}: index {detail} is out of range for an axis with length {failure.shape[0]}; "
                f"{outcome}"
            )
        )

    def _pass_large(self, arguments: Sequence[Any]) -> list[np.ndarray]:
        """Put the addresses of large arguments into the table; contiguous copies where they have to be."""
        held = []
        for slot, position, dtype in self._passed:
            array = arguments[position]
            if not addressable(array, dtype):
                array = np.array(array, dtype, order="C")
            self._table[slot] = address_of(array)
            held.append(array)
        for slot, captured, dtype in self._scattered:
            array = np.array(captured, dtype, order="C")
            self._table[slot] = address_of(array)
            held.append(array)
        return held

    def _give_buffer(self, bound: _Bound) -> np.ndarray:
        """Let a new value go to another buffer, as someone may hold the variable's own or the step still reads it."""
        buffer = bound.others.take()
        self._table[bound.slot] = address_of(buffer)
        bound.buffer = None
        return buffer


def _assign(fresh: Sequence[tuple[_Bound, np.ndarray]]) -> None:
    for bound, buffer in fresh:
        bound.variable.replace(buffer, exposed=False)


def too_large(value: Any, dtype: np.dtype) -> DtypeError:
    """What is raised for a Python number beyond the range of the dtype that it is to have."""
    return DtypeError(at_user_line(f"an argument is {value!s:.40}, which {dtype} can't hold; pass a float"))


def _constant_tables(layout: Layout, numbers: Sequence[float]) -> dict[str, np.ndarray]:
    """One array of the program's numbers for each dtype."""
    columns: dict[str, list[float]] = {}
    for (dtype, _), number in zip(layout.numbers, numbers, strict=True):
        columns.setdefault(dtype, []).append(number)
    return {dtype: np.array(column, dtype) for dtype, column in columns.items()}
