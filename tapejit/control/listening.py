"""Running a function once more as it ran at first: what it takes from outside, and the variables as it found them."""

from collections.abc import Sequence
from typing import Any

from ..aval import Shape, is_floating
from ..errors import TapejitError, at_user_line
from ..graph.connections import bits_of, positions_of, union
from ..primitive import CallPlan, Interpreter, Params, Primitive, Recorder, Value
from ..tensor import Tensor


class Listener:
    """A tape that notes which values come from outside, and which results depend on them through reverse rules.

    Parameters
    ----------
    tapes : sequence of Recorder
        Who is to hear which variables are read.
    """

    def __init__(self, tapes: Sequence[Recorder]) -> None:
        self._tapes = tapes
        self._outside: dict[int, Value] = {}
        self._made: dict[int, int] = {}
        self._read: set[int] = set()

    def record(self, primitive: Primitive, inputs: tuple[Value, ...], outputs: Any, params: Params) -> None:
        """Note what an application reads, and what its results depend on."""
        sources = [self.depends(value) for value in inputs]
        results = outputs if primitive.multiple else (outputs,)
        active = bits_of(place for place, bits in enumerate(sources) if bits)
        if not active or primitive.joint is not None:
            plan = primitive.joint(active, len(inputs), params) if active and primitive.joint else None
            depends = [0] * len(results) if plan is None else _through(plan, sources, len(results))
        else:
            pulls = primitive.reverse_plan(active, len(inputs)).pulls
            depends = [union(sources[pull.input] for pull in pulls)] * len(results)
        self._note(results, depends)

    def _note(self, results: Sequence[Value], depends: Sequence[int]) -> None:
        for result, bits in zip(results, depends, strict=True):
            self._made[result.key] = bits if is_floating(result.dtype) else 0

    def record_read(self, variable: Any, value: Value) -> None:
        """Let the tapes hear of it, once."""
        if value.key not in self._read:
            self._read.add(value.key)
            for tape in self._tapes:
                tape.record_read(variable, value)

    def follows(self, values: tuple[Value, ...]) -> int:
        """The bits of what may depend on something from outside."""
        return bits_of(place for place, value in enumerate(values) if self.depends(value))

    def record_call(self, plan: CallPlan, inputs: tuple[Value, ...], results: tuple[Value, ...]) -> None:
        """Note what a call reads, and what its results depend on."""
        self._note(results, _through(plan, [self.depends(value) for value in inputs], len(results)))

    def depends(self, value: Value) -> int:
        """The bits of the values from outside that a value depends on."""
        found = self._made.get(value.key)
        if found is not None:
            return found
        self._outside.setdefault(value.key, value)
        place = self._made[value.key] = 1 << len(self._outside) - 1 if is_floating(value.dtype) else 0
        return place

    def outside(self) -> tuple[Value, ...]:
        """The values from outside, in order."""
        return tuple(self._outside.values())


def _through(plan: CallPlan, sources: Sequence[int], count: int) -> list[int]:
    """What the results of a call depend on."""
    if plan.depends:
        return [union(sources[place] for place in positions_of(bits)) for bits in plan.depends]
    total = union(sources[place] for place in plan.inputs)
    return [total if place in plan.results else 0 for place in range(count)]


class _Through:
    """An interpreter that lets another one compute."""

    traces = False
    outer = None
    computes_at_once = True

    def __init__(self, under: Interpreter) -> None:
        self._under = under

    def bind(self, primitive: Primitive, inputs: tuple[Value, ...], params: Params) -> Any:
        """What the other one computes."""
        return self._under.bind(primitive, inputs, params)

    def lift(self, value: Any, borrow: bool) -> Value:
        """What the other one makes of it."""
        return self._under.lift(value, borrow)

    def number(self, number: float, dtype: Any) -> Value:
        """What the other one makes of it."""
        return self._under.number(number, dtype)

    def filled(self, number: float, shape: Shape, dtype: Any) -> Value:
        """What the other one makes of it."""
        return self._under.filled(number, shape, dtype)

    def create(self, variable: Any, initial: Value) -> None:  # noqa: ARG002 (the protocol of interpreters)
        """Not to be had: it would be made again.

        Raises
        ------
        TapejitError
            Always.
        """
        raise TapejitError(at_user_line("a function under tj.checkpoint makes a Variable; make it outside"))


class Noting(_Through):
    """The interpreter of the first run, which notes what variables are read as.

    Attributes
    ----------
    values : dict of int to Value
        By key of a variable what it was when it was read before the function assigned it.
    keys : dict of (int, int) to int
        By key of a variable, and the number of times that the function had assigned it, the key of the value read.
    """

    def __init__(self, under: Interpreter) -> None:
        super().__init__(under)
        self.values: dict[int, Value] = {}
        self.keys: dict[tuple[int, int], int] = {}
        self._assigned: dict[int, int] = {}

    def read(self, variable: Any) -> Value:
        """The variable's value; the same object until it is assigned."""
        times = self._assigned.get(variable.key, 0)
        if times == 0:
            if variable.key not in self.values:
                self.values[variable.key] = self._under.read(variable)
            return self.values[variable.key]
        value = self._under.read(variable)
        return _with_key(value, self.keys.setdefault((variable.key, times), value.key))

    def assign(self, variable: Any, value: Value) -> None:
        """Assign it."""
        self._assigned[variable.key] = self._assigned.get(variable.key, 0) + 1
        self._under.assign(variable, value)


class Again(_Through):
    """The interpreter of another run: variables are as they were, and what is assigned is seen here alone.

    Parameters
    ----------
    under : Interpreter
        Who computes.
    first : Noting
        What was read at first.
    """

    def __init__(self, under: Interpreter, first: Noting) -> None:
        super().__init__(under)
        self._first = first
        self._assigned: dict[int, tuple[int, Value]] = {}

    def read(self, variable: Any) -> Value:
        """What was read at first."""
        found = self._assigned.get(variable.key)
        if found is None:
            before = self._first.values.get(variable.key)
            return self._under.read(variable) if before is None else before
        times, assigned = found
        # As at first, it is the variable to tapes, and not what it was made of.
        value = Tensor(assigned.array) if type(assigned) is Tensor else assigned
        return _with_key(value, self._first.keys.get((variable.key, times), value.key))

    def assign(self, variable: Any, value: Value) -> None:
        """Note the value; the variable stays as it is."""
        times, _ = self._assigned.get(variable.key, (0, None))
        self._assigned[variable.key] = times + 1, value


def _with_key(value: Any, key: int) -> Value:
    """A fresh value under a key that stood for it before."""
    value.key = key
    return value  # type: ignore[no-any-return]
