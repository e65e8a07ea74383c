"""The layout of a kernel's table: which address or size stands in which slot.

It is stored with the machine code, so that a later process can call a kernel without planning it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry of the table.

    `kind` is "argument", "variable", "capture" (address of the input at `position` of its kind), "numbers" (address
    of the constant table of `dtype`), "output", "update" (address of the result at `position`), "workspace",
    "detail" (where a failed check writes), or "library" (address of the function `name`).
    """

    kind: str
    position: int = 0
    dtype: str = ""
    name: str = ""


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
    stages : int
        How many stages the kernel has.
    report : mapping
        What is known of the plan: loop nests, matrix products, bytes.
    checks : tuple of int
        For each check of a computed index the length of the axis; status n + 1 says that check n failed.
    """

    slots: tuple[Slot, ...]
    numbers: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[tuple[int, ...], str], ...]
    in_place: tuple[bool, ...]
    updates: tuple[int, ...]
    workspace: int
    stages: int
    report: Mapping[str, int]
    checks: tuple[int, ...] = ()

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
        values["checks"] = tuple(values["checks"])
        return cls(**values)

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
