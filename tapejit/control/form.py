"""A scan as its rules see it: where things are among its inputs and results, and what depends on what.

Input ``i`` of the operation is argument ``i + 1`` of its body, whose first argument is the index.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any, TypeVar

from ..aval import Aval, is_floating
from ..dataclass import dataclass
from ..graph import Graph, Input, Literal, Node, Region
from ..graph.connections import connections, positions_of, union
from ..primitive import Params

State = TypeVar("State")


@dataclass(frozen=True, eq=False)
class ScanForm:
    """The params of a scan; equal only to itself."""

    body: Region
    carries: int
    slices: int
    length: int
    reverse: bool
    kept: dict[Any, tuple[int, ...]] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """What the body computes."""
        return self.body.graph

    @property
    def count(self) -> int:
        """Of inputs of the operation."""
        return len(self.graph.inputs) - 1

    @property
    def captures(self) -> range:
        """Which inputs are captures."""
        return range(self.carries + self.slices, self.count)

    @property
    def sliced(self) -> range:
        """Which inputs the body gets a slice of."""
        return range(self.carries, self.carries + self.slices)

    @property
    def stacks(self) -> range:
        """Which results are what the body gave at each index."""
        return range(self.carries, len(self.graph.outputs))

    def argument(self, place: int) -> Node:
        """The body's argument for an input."""
        return self.graph.inputs[place + 1]

    def params(self, **changes: Any) -> dict[str, Any]:
        """The params of the operation, some of them changed."""
        own = ("body", "carries", "slices", "length", "reverse")
        return {**{name: getattr(self, name) for name in own}, **changes}

    @cached_property
    def history(self) -> Mapping[int, int]:
        """For carries the results that have what each iteration began with."""
        places = {self.argument(place): place for place in range(self.carries)}
        outputs = self.graph.outputs
        return {places[outputs[result]]: result for result in self.stacks if outputs[result] in places}

    @cached_property
    def intermediates(self) -> Mapping[Node, int]:
        """The values of the body that the scan gives to its reverse: those behind the history."""
        first = max(self.history.values(), default=self.carries - 1) + 1
        outputs = self.graph.outputs
        known = {outputs[result]: result for result in range(first, len(outputs))}
        return {node: result for node, result in known.items() if not isinstance(node.op, (Input, Literal))}

    # What depends on what

    @cached_property
    def _connected(self) -> list[int]:
        """For each output of the body the bits of the inputs of the operation."""
        return [bits >> 1 for bits in connected_of(self.body)]

    def _next(self, state: Sequence[int], output: int) -> int:
        """On which inputs an output of the body depends, where `state` says it of what is carried."""
        here = self._connected[output]
        below = (1 << self.carries) - 1
        return union(state[place] for place in positions_of(here & below)) | here & ~below

    @cached_property
    def depends(self) -> tuple[int, ...]:
        """For each result the inputs on which it depends."""
        state, passed = self._followed()
        stacked = [union(self._next(each, result) for each in passed) for result in self.stacks]
        return (*state, *stacked)

    def _followed(self) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """What carried values depend on at the end, and all that they depend on at any beginning of an iteration."""
        first = tuple(1 << place if self.floats(self.argument(place)) else 0 for place in range(self.carries))
        return _repeated(first, self._step, self.length)

    def _step(self, state: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self._next(state, output) for output in range(self.carries))

    @staticmethod
    def floats(node: Node) -> bool:
        """Whether a value has derivatives."""
        return is_floating(node.aval.dtype)

    def following(self, wanted: Collection[int]) -> set[int]:
        """The carried values that depend on these inputs at some time."""
        bits = sum(1 << place for place in wanted)
        last, passed = self._followed()
        return {place for state in (*passed, last) for place, depends in enumerate(state) if depends & bits}

    def leading(self, arrived: Collection[int], following: Collection[int]) -> tuple[set[int], list[set[int]]]:
        """Which carried values have cotangents where the scan begins, and at the end of each iteration.

        Parameters
        ----------
        arrived : collection of int
            The results that have cotangents.
        following : collection of int
            The carried values that lead to anything that is wanted.
        """
        stacked = union(self._connected[result] for result in self.stacks if result in arrived)

        def before(state: frozenset[int]) -> frozenset[int]:
            bits = stacked | union(self._connected[place] for place in state)
            return frozenset(place for place in following if bits >> place & 1)

        last, passed = _repeated(frozenset(set(arrived) & set(following)), before, self.length)
        return set(last), [set(state) for state in passed]

    def reached(self, arrived: Collection[int], states: Sequence[Collection[int]]) -> int:
        """The bits of the inputs that cotangents of the body's outputs go to in some iteration."""
        stacked = union(self._connected[result] for result in self.stacks if result in arrived)
        carried = union(self._connected[place] for state in states for place in state)
        return stacked | carried if self.length else 0

    def aval_of(self, place: int) -> Aval:
        """Of an input of the operation."""
        aval = self.argument(place).aval
        return Aval((self.length, *aval.shape), aval.dtype) if place in self.sliced else aval


def connected_of(region: Region) -> tuple[int, ...]:
    """For each output of a region the bits of its inputs on which it depends through reverse rules."""
    found: tuple[int, ...] | None = region.notes.get("connected")
    if found is None:
        connected = connections(region.graph)
        found = region.notes["connected"] = tuple(connected.get(node, 0) for node in region.graph.outputs)
    return found


def carried_depends(body: Region, carries: int) -> tuple[int, ...]:
    """For each value that a loop carries the inputs on which it may depend in the end, after any number of iterations.

    Parameters
    ----------
    body : Region
        Its inputs begin with what is carried.
    carries : int
        How many these are.
    """
    outputs = connected_of(body)[:carries]
    first = body.graph.inputs[:carries]
    state = [1 << place if ScanForm.floats(node) else 0 for place, node in enumerate(first)]
    below = (1 << carries) - 1
    while True:
        following = [
            state[place] | bits & ~below | union(state[source] for source in positions_of(bits & below))
            for place, bits in enumerate(outputs)
        ]
        if following == state:
            return tuple(state)
        state = following


def form_of(params: Params) -> ScanForm:
    """The scan with these params: the same object for the same body, so that what was found of it is not lost."""
    form = ScanForm(**params)
    known: ScanForm = form.body.notes.setdefault((form.carries, form.slices, form.length, form.reverse), form)
    return known


def _repeated(first: State, step: Callable[[State], State], times: int) -> tuple[State, list[State]]:
    """What `times` steps make of a state, and all states before a step; those that come again are not walked again."""
    seen: dict[State, int] = {}
    states = [first]
    while len(states) <= times:
        state = states[-1]
        if state in seen:
            period = len(states) - 1 - seen[state]
            start = seen[state]
            return states[start + (times - start) % period], states[:-1]
        seen[state] = len(states) - 1
        states.append(step(state))
    return states[-1], states[:-1]
