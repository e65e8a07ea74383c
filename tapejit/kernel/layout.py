"""The layout of a kernel's table: which address or size stands in which slot.

It is stored with the machine code, so that a later process can call a kernel without planning it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from ..dataclass import dataclass
from ..graph import Graph, Node

MEASURED = (
    "loop_nests", "matrix_products", "library_calls", "intermediate_bytes", "bytes_read", "bytes_written", "flops",
)  # fmt: skip
"""What a layout's report has, see `passes.measure`."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of the table.

    `kind` is "argument", "variable", "capture" (address of the input at `position` of its kind), "numbers" (address
    of the constant table of `dtype`), "output", "update" (address of the result at `position`), "workspace", "scratch"
    (a workspace that each thread has for itself), "detail" (where a failed check writes), or "library" (address of the
    function `name`).
    """

    kind: str
    position: int = 0
    dtype: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a status other than 0 says; the kernel's detail slot has the index, or the number of the matrix.

    `operation` is its public name, `shape` that of the array of matrices, or the length of the indexed axis and the
    shape of the indices; `fault` is what is wrong with the matrix, empty for an index out of range. `beyond` is what to
    say instead of that: a format of ``index`` and of ``place``, the index's own among the indices, which the second
    detail slot has as one number.
    """

    operation: str
    shape: tuple[int, ...]
    fault: str = ""
    beyond: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a caller of a kernel needs to know.

    Parameters
    ----------
    slots : tuple of Slot
        In table order.
    numbers : tuple of (str, int)
        For each Python number of the program its dtype and its place in that dtype's constant table.
    outputs : tuple of (shape, dtype)
        The results.
    in_place : tuple of bool
        For each update whether the variable's own buffer may be written.
    updates : tuple of int
        For each update the position of its variable.
    workspace : int
        Bytes.
    scratch : int
        Bytes of each thread's own workspace.
    stages : tuple of (int, int, int)
        For each stage what can be shared out (0 for a serial one), in multiples of what, and how much work it is, in
        additions.
    report : mapping
        What is known of the plan: loop nests, matrix products, bytes.
    failures : tuple of Failure
        What may go wrong; status n + 1 says that failure n happened, and that nothing was assigned.
    """

    slots: tuple[Slot, ...]
    numbers: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[tuple[int, ...], str], ...]
    in_place: tuple[bool, ...]
    updates: tuple[int, ...]
    workspace: int
    scratch: int
    stages: tuple[tuple[int, int, int], ...]
    report: Mapping[str, int]
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Layout":
        """From what `to_json` gave, after a round trip through JSON."""
        values = {field.name: data[field.name] for field in fields(cls)}
        values["slots"] = tuple(Slot(**slot) for slot in values["slots"])
        values["numbers"] = tuple((dtype, place) for dtype, place in values["numbers"])
        values["outputs"] = tuple((tuple(shape), dtype) for shape, dtype in values["outputs"])
        values["in_place"] = tuple(values["in_place"])
        values["updates"] = tuple(values["updates"])
        values["stages"] = tuple((parts, grain, work) for parts, grain, work in values["stages"])
        values["failures"] = tuple(
            Failure(**{**failure, "shape": tuple(failure["shape"])}) for failure in values["failures"]
        )
        return cls(**values)

    def check(self, graph: Graph) -> None:
        """Hold a layout that came from outside against the graph that it is said to belong to.

        Raises
        ------
        ValueError
            If a kernel called by this layout would find the wrong things in its table.
        """
        inputs: dict[str, list[Node]] = {}
        for node in graph.inputs:
            inputs.setdefault(getattr(node.op, "kind", ""), []).append(node)
        numbers = [node.aval.dtype.name for node in inputs.get("number", ())]
        wanted = (
            number_places(numbers),
            tuple((node.aval.shape, node.aval.dtype.name) for node in graph.outputs),
            tuple(inputs["variable"].index(variable) for variable, _ in graph.updates),
        )
        room = {kind: len(nodes) for kind, nodes in inputs.items()}
        room |= {"output": len(graph.outputs), "update": len(graph.updates), "numbers": 1, "workspace": 1}
        room |= {"detail": 2, "library": 1, "scratch": 1}
        if (
            wanted != (self.numbers, self.outputs, self.updates)
            or len(self.in_place) != len(self.updates)
            or not all(0 <= slot.position < room.get(slot.kind, 0) for slot in self.slots)
            or not {slot.dtype for slot in self.slots if slot.kind == "numbers"} <= set(numbers)
        ):
            raise ValueError("its table is not the one of this graph")

    def fixed_slots(self) -> list[int]:
        """The slots of arrays that do not change while a kernel runs: the constant tables."""
        return [index for index, slot in enumerate(self.slots) if slot.kind == "numbers"]

    def position(self, kind: str, position: int = 0, dtype: str = "", name: str = "") -> int:
        """The index of a slot in the table."""
        return self.slots.index(Slot(kind, position, dtype, name))


def number_places(dtypes: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """For each number its place in its dtype's constant table, in order."""
    counts: dict[str, int] = {}
    places = []
    for dtype in dtypes:
        places.append((dtype, counts.get(dtype, 0)))
        counts[dtype] = places[-1][1] + 1
    return tuple(places)
