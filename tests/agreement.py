"""One program computed in five ways, which have to agree.

The ways: eagerly; the traced graph in NumPy; the prepared graph in NumPy; the emitted text as plain Python, on buffers
that complain about indices out of range, reads of what was not written and writes to what must not be; machine code.
Start reading at `check_agreement`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapejit import Variable, ops
from tapejit.graph import Graph, Node, Trace, evaluate, verify
from tapejit.graph.ir import in_order
from tapejit.kernel import runtime
from tapejit.kernel.emission import Emitted, emit
from tapejit.kernel.executable import Executable
from tapejit.kernel.kernels import kernel_for
from tapejit.kernel.layout import Slot
from tapejit.passes.plan import LoopPlan, plan_loops
from tapejit.passes.prepare import prepare
from tapejit.primitive import interpreting

Arrays = list[np.ndarray]
Function = Callable[..., Any]
Results = tuple[Arrays, dict[int, np.ndarray]]
"""Outputs, and the new values of variables by position."""

TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


@dataclass
class Traced:
    """A function as a graph, with what the graph's inputs stand for."""

    raw: Graph
    graph: Graph
    variables: list[Variable]
    captures: Arrays
    numbers: list[Any]

    def inputs(self, arguments: Sequence[np.ndarray]) -> list[Any]:
        """Values of all inputs of the graph, in order."""
        return [*arguments, *[variable.numpy() for variable in self.variables], *self.captures, *self.numbers]

    def names(self) -> dict[Any, str]:
        """Names for the text."""
        return {
            node: f"{'x' if node.op.kind == 'argument' else node.op.kind}{node.op.position}"  # type: ignore[union-attr]
            for node in self.graph.inputs
        }

    def plan(self) -> LoopPlan:
        return plan_loops(self.graph)

    def emitted(self) -> Emitted:
        return emit(self.plan(), "program", self.names())


def as_list(result: Any) -> list[Any]:
    if result is None:
        return []
    return list(result) if isinstance(result, (tuple, list)) else [result]


def trace(function: Function, arguments: Sequence[np.ndarray]) -> Traced:
    """The graph of a function of arrays that may assign variables."""
    tracer = Trace(tuple(ops.asarray(array).aval for array in arguments))
    with interpreting(tracer):
        result = function(*[tracer.argument(position) for position in range(len(arguments))])
        outputs = [ops.asarray(each) for each in as_list(result)]
    raw = tracer.finish(outputs)
    verify(raw, "trace")
    return Traced(raw, prepare(raw), tracer.variables, tracer.captures, tracer.numbers)


# The emitted text in plain Python, on guarded buffers


@dataclass
class Region:
    """Memory behind one slot of a table."""

    cells: np.ndarray
    """Bytes."""
    known: np.ndarray
    """Which bytes hold a value."""
    writable: bool
    label: str
    stale: np.ndarray
    """Which bytes were overwritten through another slot; reading them here is a fault."""
    writes: list[np.ndarray] = field(default_factory=list)
    """The stale bytes of the regions that are the same memory."""


class GuardedPointer(runtime.Pointer):
    """A pointer into a region that checks each access."""

    __slots__ = ("offset", "region")

    def __init__(self, region: Region, dtype: str, offset: int) -> None:
        super().__init__(region.cells.ctypes.data + offset * np.dtype(dtype).itemsize, dtype)
        self.region = region
        self.offset = offset

    def _bytes(self, index: int) -> slice:
        assert isinstance(index, (int, np.integer)), f"index {index!r} is no integer"
        size = np.dtype(self.dtype).itemsize
        start = (self.offset + int(index)) * size
        if not 0 <= start <= len(self.region.cells) - size:
            raise IndexError(f"{self.region.label}[{index}] is out of range")
        return slice(start, start + size)

    def __getitem__(self, index: int) -> Any:
        where = self._bytes(index)
        assert self.region.known[where].all(), f"{self.region.label}[{index}] is read before it is written"
        assert not self.region.stale[where].any(), f"{self.region.label}[{index}] is read after its update"
        return super().__getitem__(index)

    def __setitem__(self, index: int, value: Any) -> None:
        where = self._bytes(index)
        assert self.region.writable, f"{self.region.label} is written"
        expected = np.asarray(value).dtype
        assert expected.kind == np.dtype(self.dtype).kind, f"{self.region.label} ({self.dtype}) gets {expected}"
        self.region.known[where] = True
        for stale in self.region.writes:
            stale[where] = True
        super().__setitem__(index, value)

    def shifted(self, count: int) -> "GuardedPointer":
        return GuardedPointer(self.region, self.dtype, self.offset + int(count))


def _guarded_gemm(*arguments: Any) -> None:
    _, left_transposed, right_transposed, m, n, k, a, lda, b, ldb, c, ldc = arguments
    for pointer, rows, columns, stride in (
        (a, *((k, m) if left_transposed else (m, k)), lda),
        (b, *((n, k) if right_transposed else (k, n)), ldb),
    ):
        assert stride >= columns
        for row in range(rows):
            for column in range(columns):
                pointer[row * stride + column]
    runtime.gemm_float64(*arguments)
    for row in range(m):
        for column in range(n):
            c[row * ldc + column] = c._scalar(c._cells[row * ldc + column])


def guarded_kernel(emitted: Emitted, regions: Mapping[int, Region]) -> runtime.Kernel:
    """The emitted text as a plain function whose pointers are guarded."""

    def pointer_at(dtype: str) -> Callable[..., Any]:
        return lambda table, slot: GuardedPointer(regions[slot], dtype, 0)

    guarded = {f"{dtype}_at": pointer_at(dtype) for dtype in runtime.DTYPES}
    names = {
        **runtime.all_names(),
        **guarded,
        "shifted": lambda pointer, count: pointer.shifted(count),
        "gemm_float32": _guarded_gemm,
        "gemm_float64": _guarded_gemm,
    }
    return runtime.define(emitted.source, emitted.name, names, emitted.constants)


def _cells(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(bytearray(np.ascontiguousarray(array).tobytes()), np.uint8)


def run_plain(traced: Traced, arguments: Sequence[np.ndarray], in_place: bool) -> Results:
    """Outputs and new values of variables, by the emitted text in plain Python.

    With `in_place` updates that may be written to the variable's buffer are.
    """
    emitted = traced.emitted()
    layout = emitted.layout
    buffers = [variable.numpy() for variable in traced.variables]
    held = {"argument": arguments, "variable": buffers, "capture": traced.captures}
    regions: dict[int, Region] = {}

    def blank(size: int, label: str) -> Region:
        cells = np.full(size, 0xA5, np.uint8)
        return Region(cells, np.zeros(size, bool), True, label, np.zeros(size, bool))

    def filled(array: np.ndarray, label: str) -> Region:
        cells = _cells(array)
        return Region(cells, np.ones(len(cells), bool), False, label, np.zeros(len(cells), bool))

    for index, slot in enumerate(layout.slots):
        if slot.kind in held:
            regions[index] = filled(held[slot.kind][slot.position], f"{slot.kind} {slot.position}")
        elif slot.kind == "numbers":
            column = [n for (dtype, _), n in zip(layout.numbers, traced.numbers, strict=True) if dtype == slot.dtype]
            regions[index] = filled(np.array(column, slot.dtype), "constants")
        elif slot.kind in ("workspace", "scratch"):
            regions[index] = blank(getattr(layout, slot.kind), slot.kind)
        elif slot.kind == "output":
            shape, dtype = layout.outputs[slot.position]
            regions[index] = blank(int(np.prod(shape)) * np.dtype(dtype).itemsize, f"output {slot.position}")
    for index, slot in enumerate(layout.slots):
        if slot.kind != "update":
            continue
        position = layout.updates[slot.position]
        region = regions[index] = blank(buffers[position].nbytes, f"update {slot.position}")
        if in_place and layout.in_place[slot.position]:
            reader = Slot("variable", position)
            region.writes = [regions[i].stale for i, other in enumerate(layout.slots) if other == reader]
    table = np.zeros(max(len(layout.slots), 1), np.int64)
    with np.errstate(all="ignore"):
        status = guarded_kernel(emitted, regions)(table, runtime.RUN_ALL, 0, 0)
    assert status == runtime.OK

    def result(kind: str, position: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        region = regions[layout.position(kind, position)] if np.prod(shape) else blank(0, "")
        assert region.known.all(), f"{region.label} was not written everywhere"
        return region.cells.view(dtype).reshape(shape)

    outputs = [result("output", i, shape, dtype) for i, (shape, dtype) in enumerate(layout.outputs)]
    updates = {
        position: result("update", i, buffers[position].shape, buffers[position].dtype)
        for i, position in enumerate(layout.updates)
    }
    return outputs, updates


# Agreement


def precision(root: Node) -> str:
    """The least precise dtype in which something is computed that a value depends on."""
    computed = [node.aval.dtype.name for node in in_order((root,)) if node.primitive is not None]
    return "float32" if "float32" in computed else "float64"


def assert_close(found: Any, expected: Any, way: str, scale: float = 1.0, computed: str = "float64") -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, (way, found.shape, expected.shape)
    assert found.dtype == expected.dtype, (way, found.dtype, expected.dtype)
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected, err_msg=way)
        return
    tolerance = max(TOLERANCE[expected.dtype.name], TOLERANCE[computed]) * scale
    finite = np.abs(expected[np.isfinite(expected)])
    np.testing.assert_allclose(
        found, expected, rtol=tolerance, atol=tolerance * max(1.0, finite.max(initial=0.0)), err_msg=way
    )


def _state(variables: Sequence[Variable]) -> Arrays:
    return [np.array(variable.numpy()) for variable in variables]


def check_agreement(
    function: Function, *calls: Sequence[np.ndarray], plain: bool = True, scale: float = 1.0
) -> tuple[Traced, Executable]:
    """Hold all ways of computing a function against each other.

    Parameters
    ----------
    function : callable
        Of tensors; it may assign variables that it closes over.
    calls : sequences of ndarray
        Arguments, of one shape and dtype; the kernel of the first call is used for all.
    plain : bool
        Whether the first call is also run as plain Python, which takes microseconds an operation.
    scale : float
        Of the tolerance.

    Returns
    -------
    tuple of Traced and Executable
        For more to look at.
    """
    traced = trace(function, calls[0])
    kernel = kernel_for(traced.graph, "program", traced.names(), cache=False)
    executable = Executable(kernel, traced.graph, traced.variables, traced.captures, traced.numbers)
    for number, arguments in enumerate(calls):
        _check_call(function, traced, executable, arguments, plain and number == 0, scale)
    return traced, executable


def _check_call(
    function: Function,
    traced: Traced,
    executable: Executable,
    arguments: Sequence[np.ndarray],
    plain: bool,
    scale: float,
) -> None:
    before = _state(traced.variables)
    kept = [np.array(array) for array in arguments]
    inputs = traced.inputs(arguments)
    ways = {"graph": _evaluated(traced.raw, inputs), "prepared": _evaluated(traced.graph, inputs)}
    if plain:
        ways["plain"] = run_plain(traced, arguments, in_place=False)
        if traced.graph.updates:
            ways["plain, in place"] = run_plain(traced, arguments, in_place=True)
    for name in ("kernel, fresh buffers", "kernel, in place"):
        _restore(traced.variables, before, exposed="fresh" in name)
        outputs = [tensor.numpy() for tensor in executable(list(arguments))]
        ways[name] = outputs, dict(enumerate(_state(traced.variables)))
    _restore(traced.variables, before, exposed=False)
    with np.errstate(all="ignore"):
        expected = [each.numpy() for each in as_list(function(*map(ops.asarray, arguments)))]
    after = _state(traced.variables)
    assigned = {variable.op.position: value for variable, value in traced.raw.updates}  # type: ignore[union-attr]
    for name, (outputs, updates) in ways.items():
        for root, found, wanted in zip(traced.raw.outputs, outputs, expected, strict=True):
            assert_close(found, wanted, name, scale, precision(root))
        for position, wanted in enumerate(after):
            found = updates.get(position, before[position])
            computed = precision(assigned[position]) if position in assigned else "float64"
            assert_close(found, wanted, f"{name}, variable {position}", scale, computed)
    for array, copy in zip(arguments, kept, strict=True):
        np.testing.assert_array_equal(array, copy, err_msg="an argument was written")


def _restore(variables: Sequence[Variable], values: Sequence[np.ndarray], exposed: bool) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.replace(np.array(value), exposed=exposed)


def _evaluated(graph: Graph, inputs: Sequence[Any]) -> Results:
    outputs, values = evaluate(graph, inputs)
    positions = [variable.op.position for variable, _ in graph.updates]  # type: ignore[union-attr]
    return outputs, dict(zip(positions, values, strict=True))
