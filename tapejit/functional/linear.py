"""`LinearMap`: what is computed from tangents, to be computed again from other tangents.

A recorder that keeps applications themselves, where a tape keeps what pulls cotangents back. What it follows are
tangents, so what it keeps is linear in them.
"""

from collections.abc import Sequence
from typing import Any

from ..dataclass import dataclass
from ..primitive import CallPlan, Params, Primitive, Value, bind
from ..tape.forward import NOTHING, push_through
from ..variable import Variable


class LinearMap:
    """The operations that depend on some tangents, in order.

    Parameters
    ----------
    tangents : sequence of Value
        What is followed.
    """

    only_pushes = True  # of a call of a whole function it asks for no way back

    def __init__(self, tangents: Sequence[Value]) -> None:
        self._sources = [tangent.key for tangent in tangents]
        self._active = set(self._sources)
        self._records: list[_Record] = []

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Keep an application, if it depends on the tangents."""
        if self.follows(inputs):
            # A value that depends on tangents is computed again: only its key is held.
            held = [_Place(value.key) if value.key in self._active else value.kept() for value in inputs]
            keys = [result.key for result in (outputs if primitive.multiple else (outputs,))]
            self._keep((_Application(primitive, params), held, keys))

    def record_read(self, variable: Variable, value: Value) -> None:
        """Variables depend on no tangent."""

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of the values that depend on the tangents."""
        return sum(1 << place for place, value in enumerate(values) if value.key in self._active)

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Keep a call of a whole function; linear as it is, it is its own derivative."""
        places = [_Place(value.key) for value in inputs if value.key in self._active]
        keys = [results[place].key for place in plan.results]
        self._keep((_Call(plan, [value.kept() for value in inputs], results), places, keys))

    def _keep(self, record: "_Record") -> None:
        self._active.update(record[2])
        self._records.append(record)

    def reduce_to(self, results: Sequence[Value | None]) -> None:
        """Forget what these results don't need."""
        needed = {result.key for result in results if result is not None}
        kept = []
        for record in reversed(self._records):
            _, inputs, keys = record
            if not needed.isdisjoint(keys):
                needed.update(value.key for value in inputs if type(value) is _Place)
                kept.append(record)
        self._records = kept[::-1]

    def __call__(self, tangents: Sequence[Value], results: Sequence[Value | None]) -> list[Any]:
        """What these results are for other tangents."""
        known: dict[int, Any] = dict(zip(self._sources, tangents, strict=True))
        for what, held, keys in self._records:
            found = what.again([known[value.key] if type(value) is _Place else value for value in held])
            known.update(zip(keys, found, strict=True))
        return [None if result is None else known.get(result.key, result) for result in results]


class _Place:
    """Where a value stood that is computed again."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        self.key = key


@dataclass(frozen=True, slots=True)
class _Application:
    """An operation that was applied."""

    primitive: Primitive
    params: Params

    def again(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Its results for other inputs."""
        found = bind(self.primitive, tuple(inputs), self.params)
        return found if self.primitive.multiple else (found,)


@dataclass(frozen=True, slots=True)
class _Call:
    """A function that was called."""

    plan: CallPlan
    inputs: Sequence[Value]
    results: Sequence[Value]

    def again(self, moving: Sequence[Any]) -> Sequence[Any]:
        """Its results that depend on tangents, for other ones in the order of the inputs."""
        others = iter(moving)
        depends = self.plan.inputs
        tangents = [(next(others), None) if place in depends else NOTHING for place in range(len(self.inputs))]
        found = push_through(self.plan, self.inputs, tangents, self.results)
        return [found[place][0] for place in self.plan.results]


_Record = tuple[_Application | _Call, Sequence[Any], Sequence[int]]
