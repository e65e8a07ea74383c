"""Jacobians in forward mode: the columns of an identity matrix as a batch of tangents.

A function runs once, and sees no batch. What it did is then told to a recorder of tangents that computes in a batch of
its own. Start reading at `jacobian_columns`.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from ..batching import Batching
from ..primitive import CallPlan, Params, Primitive, State, Unheard, Value, current
from ..variable import Variable
from .jacobians import basis, chunks_of, joined
from .recording import Recording
from .refusing import RefusingTangents


class Applications:
    """What a function did to some values, to be told to recorders later, more than once.

    Parameters
    ----------
    values : sequence of Value
        Only what depends on them counts.
    """

    def __init__(self, values: Sequence[Value]) -> None:
        self._active = {value.key for value in values}
        self._told: list[tuple[str, tuple[Any, ...], set[int]]] = []

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Note an application."""
        if self._active.isdisjoint([value.key for value in inputs]):
            return
        results = outputs if primitive.multiple else (outputs,)
        self._note("record", (primitive, tuple([value.kept() for value in inputs]), outputs, params), inputs, results)

    def record_read(self, variable: Variable, value: Value) -> None:
        """Variables are none of the values."""

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of the values that depend on those of interest."""
        return sum(1 << place for place, value in enumerate(values) if value.key in self._active)

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Note a call of a whole function."""
        self._note("record_call", (plan, tuple([value.kept() for value in inputs]), results), inputs, results)

    def _note(self, method: str, heard: tuple[Any, ...], inputs: Sequence[Value], results: Sequence[Value]) -> None:
        keys = {result.key for result in results}
        self._active |= keys
        self._told.append((method, heard, keys.union([value.key for value in inputs])))

    def tell(self, recorder: Recording) -> None:
        """Let a tape's recording hear it all, in order."""
        for method, heard, _ in self._told:
            getattr(recorder, method)(*heard)

    def push(self, columns: "Columns", results: Sequence[Value]) -> None:
        """Compute the tangents of results; each other one goes when nothing needs it any more."""
        needed = {result.key for result in results}
        going: list[set[int]] = []
        for _, _, keys in reversed(self._told):
            going.append(keys - needed)
            needed |= keys
        for (method, heard, _), last in zip(self._told, reversed(going), strict=True):
            getattr(columns, method)(*heard)
            columns.forget(last)


class Columns(RefusingTangents):
    """A batch of tangents of each value: columns of a Jacobian.

    Parameters
    ----------
    outer : State
        Where they are computed.
    value : Value
        What is differentiated by.
    first, size : int
        By which of its elements.
    """

    __slots__ = ("_level",)

    def __init__(self, outer: State, value: Value, first: int, size: int) -> None:
        super().__init__()
        self._level = Batching(outer, size)
        with self._level.outside():
            self.watch(value, basis(self._level, first, value.shape, value.dtype))

    def outside(self) -> State:
        """The state in which tangents are computed: the batch, which nobody hears as such."""
        return Unheard(self._level)

    def columns_of(self, value: Value) -> Any:
        """The derivatives of a result, the columns first; None where it is not connected."""
        tangent = self.of(value)
        return None if tangent is None else self._level.all_of(tangent)


def jacobian_columns(
    applications: Applications, source: Value, results: Sequence[Value], chunk_size: int | None
) -> list[Any]:
    """For each result its Jacobian by `source`, the axes of `source` in one and first; None where it is not connected.

    Parameters
    ----------
    applications : Applications
        What connects them.
    source : Value
        What to differentiate by.
    results : sequence of Value
        What to differentiate.
    chunk_size : int, optional
        How many columns to push forward at once; by default all.
    """
    chunks = []
    for first, size in chunks_of(prod(source.shape), chunk_size):
        columns = Columns(current(), source, first, size)
        applications.push(columns, results)
        chunks.append([columns.columns_of(result) for result in results])
    return [joined(parts) for parts in zip(*chunks, strict=True)]
