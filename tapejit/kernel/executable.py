"""A kernel with everything it refers to: ready to be called with arguments.

One `Executable` belongs to one trace of one step: it holds the variables, captured arrays and Python numbers of that
trace. Calls fill the table with addresses and leave the rest to machine code.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..errors import TapejitError, at_user_line
from ..graph import Graph
from ..tensor import Tensor
from ..variable import Variable
from . import blas
from .kernels import Kernel
from .layout import Layout, Slot
from .memory import address_of, aligned

_RUN_ALL = -1


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
        self.variables = tuple(variables)
        self._captures = tuple(captures)
        self._layout = layout
        self._lock = threading.Lock()
        self._call = kernel.loaded.call
        self._table = np.zeros(max(len(layout.slots), 1), np.int64)
        self._address = address_of(self._table)
        self._workspace = aligned((layout.workspace,), np.dtype(np.uint8))
        self._constants = _constant_tables(layout, numbers)
        self._arguments: list[tuple[int, int, np.dtype]] = []
        self._reads: list[tuple[int, int]] = []
        self._captured: list[tuple[int, np.ndarray]] = []
        self._outputs = [(shape, np.dtype(dtype)) for shape, dtype in layout.outputs]
        self._output_slots = [layout.position("output", position) for position in range(len(layout.outputs))]
        self._updates = [
            (layout.position("update", position), self.variables[variable], fits)
            for position, (variable, fits) in enumerate(zip(layout.updates, layout.in_place, strict=True))
        ]
        # Variables are locked in the order of their making, the same for every step, so that steps can't deadlock.
        self._locks = [variable.lock for variable in sorted(self.variables, key=lambda variable: variable.key)]
        self._dtypes = [node.aval.dtype for node in graph.inputs]
        for index, slot in enumerate(layout.slots):
            self._FILL[slot.kind](self, index, slot)

    def _fill_argument(self, index: int, slot: Slot) -> None:
        self._arguments.append((index, slot.position, self._dtypes[slot.position]))

    def _fill_variable(self, index: int, slot: Slot) -> None:
        self._reads.append((index, slot.position))

    def _fill_capture(self, index: int, slot: Slot) -> None:
        array = self._captures[slot.position]
        if array.flags.c_contiguous and array.flags.aligned:
            self._table[index] = address_of(array)
        else:
            self._captured.append((index, array))

    def _fill_numbers(self, index: int, slot: Slot) -> None:
        self._table[index] = address_of(self._constants[slot.dtype])

    def _fill_workspace(self, index: int, slot: Slot) -> None:
        self._table[index] = address_of(self._workspace)

    def _fill_library(self, index: int, slot: Slot) -> None:
        self._table[index] = blas.address(slot.name)

    def _fill_later(self, index: int, slot: Slot) -> None:
        """Outputs, updates and the detail slot get their values at each call."""

    _FILL: dict[str, Callable[..., None]] = {
        "argument": _fill_argument,
        "variable": _fill_variable,
        "capture": _fill_capture,
        "numbers": _fill_numbers,
        "workspace": _fill_workspace,
        "library": _fill_library,
        "output": _fill_later,
        "update": _fill_later,
        "detail": _fill_later,
    }

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
            If the kernel reports a failed check; then nothing was assigned.
        """
        table = self._table
        with self._lock, ExitStack() as stack:
            for lock in self._locks:
                stack.enter_context(lock)
            held = [np.ascontiguousarray(arguments[at], dtype) for _, at, dtype in self._arguments]
            for (slot, _, _), array in zip(self._arguments, held, strict=True):
                table[slot] = address_of(array)
            copies = [np.ascontiguousarray(array) for _, array in self._captured]
            for (slot, _), array in zip(self._captured, copies, strict=True):
                table[slot] = address_of(array)
            for slot, at in self._reads:
                table[slot] = address_of(self.variables[at].buffer)
            results = [np.empty(shape, dtype) for shape, dtype in self._outputs]
            for slot, array in zip(self._output_slots, results, strict=True):
                table[slot] = address_of(array)
            fresh = self._prepare_updates()
            status = self._call(self._address, _RUN_ALL, 0, 0)
            if status != 0:
                raise TapejitError(at_user_line(f"the kernel reported status {status}; nothing was assigned"))
            for variable, buffer in fresh:
                variable.replace(buffer, exposed=False)
        return [Tensor(array) for array in results]

    def _prepare_updates(self) -> list[tuple[Variable, np.ndarray]]:
        """Say where new values go: in place where nobody else can see the buffer, else to a fresh one."""
        fresh = []
        for slot, variable, fits in self._updates:
            if fits and not variable.exposed:
                self._table[slot] = address_of(variable.buffer)
            else:
                buffer = np.empty(variable.shape, variable.dtype)
                self._table[slot] = address_of(buffer)
                fresh.append((variable, buffer))
        return fresh


def _constant_tables(layout: Layout, numbers: Sequence[float]) -> dict[str, np.ndarray]:
    """One array of the program's numbers for each dtype."""
    columns: dict[str, list[float]] = {}
    for (dtype, _), number in zip(layout.numbers, numbers, strict=True):
        columns.setdefault(dtype, []).append(number)
    return {dtype: np.array(column, dtype) for dtype, column in columns.items()}
