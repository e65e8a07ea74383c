"""Tapes in a random program, held against toy tapes that know only sums and products of numbers.

The toy works in forward mode: each number carries its derivatives by all leaves that were watched when it was
computed, once for each tape. Nothing of tapejit is used in it. Whole numbers keep it exact.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

import tapejit as tj
from tapejit.primitive import current

TOO_LARGE = 1e6  # products of such numbers would not be exact any more


@dataclass
class Toy:
    """A number with its derivatives by leaves, as each of the two tapes saw them."""

    value: float
    slopes: tuple[dict[int, float], dict[int, float]] = field(default_factory=lambda: ({}, {}))


@dataclass(eq=False)
class Value:
    """A value of the program; a leaf, which gradients are taken by, has a number."""

    real: Any
    toy: Toy
    leaf: int | None = None

    @property
    def is_variable(self) -> bool:
        return isinstance(self.real, tj.Variable)


PARTIALS: dict[str, Any] = {
    "add": lambda x, y: (x + y, 1.0, 1.0),
    "subtract": lambda x, y: (x - y, 1.0, -1.0),
    "multiply": lambda x, y: (x * y, y, x),
}


class Tapes(RuleBasedStateMachine):
    """Two persistent tapes, the second of which sees only what is watched, entered, left and stopped at random."""

    values = Bundle("values")
    variables = Bundle("variables")

    def __init__(self) -> None:
        super().__init__()
        self.tapes = [tj.GradientTape(persistent=True), tj.GradientTape(True, watch_accessed_variables=False)]
        self.active = [False, False]
        self.watched: list[set[int]] = [set(), set()]
        self.stopped: Any = None
        self.leaves: list[Value] = []
        self.nodes: list[Value] = []

    @initialize(target=values)
    def begin(self) -> Any:
        for which in range(2):
            self.enter_or_leave(which)
        constants = [self.new_leaf(tj.constant(number, dtype="float64")) for number in (2.0, -3.0)]
        self.watch(0, constants[0])
        self.watch(1, constants[0])
        return multiple(*constants)

    def teardown(self) -> None:
        if self.stopped is not None:
            self.stopped.__exit__(None, None, None)
        for tape in self.tapes:
            tape.__exit__(None, None, None)
        assert current().tapes == ()
        for node in self.nodes:
            self.check(node)

    def new_leaf(self, real: Any) -> Value:
        self.leaves.append(Value(real, Toy(float(real.numpy())), len(self.leaves)))
        return self.leaves[-1]

    def operand(self, value: Value) -> Toy:
        """The toy number that takes part in an operation: of a leaf what it is at this moment."""
        if value.leaf is None:
            return value.toy
        toy = Toy(value.toy.value)
        for which in range(2):
            if self.active[which] and which == 0 and value.is_variable and value.real.trainable:
                self.watched[which].add(value.leaf)
            if value.leaf in self.watched[which]:
                toy.slopes[which][value.leaf] = 1.0
        return toy

    def check(self, node: Value) -> None:
        """Compare the derivatives by all leaves that both tapes give."""
        assert float(node.real.numpy()) == node.toy.value
        sources = {leaf.leaf: leaf.real for leaf in self.leaves}
        for which, tape in enumerate(self.tapes):
            found = tape.gradient(node.real, sources)
            slopes = {leaf: float(ct.numpy()) for leaf, ct in found.items() if ct is not None}
            assert slopes == node.toy.slopes[which]

    @rule(target=values, x=values, y=values, name=st.sampled_from(sorted(PARTIALS)))
    def compute(self, x: Value, y: Value, name: str) -> Any:
        first, second = self.operand(x), self.operand(y)
        value, by_first, by_second = PARTIALS[name](first.value, second.value)
        if abs(value) > TOO_LARGE:
            return multiple()
        toy = Toy(value)
        for partial, each in ((by_first, first), (by_second, second)):
            for which in range(2):
                if self.active[which]:
                    own = toy.slopes[which]
                    for leaf, slope in each.slopes[which].items():
                        own[leaf] = own.get(leaf, 0.0) + partial * slope
        node = Value(getattr(tj, name)(x.real, y.real), toy)
        self.nodes.append(node)
        self.check(node)
        return node

    @rule(target=values, x=values)
    def stop_gradient(self, x: Value) -> Value:
        toy = self.operand(x)
        return Value(tj.stop_gradient(x.real), Toy(toy.value))

    @rule(target=values, value=st.integers(-3, 3), watched=st.booleans())
    def constant(self, value: int, watched: bool) -> Value:
        leaf = self.new_leaf(tj.constant(float(value), dtype="float64"))
        if watched:
            self.watch(0, leaf)
            self.watch(1, leaf)
        return leaf

    @rule(targets=(values, variables), value=st.integers(-3, 3), trainable=st.booleans())
    def variable(self, value: int, trainable: bool) -> Value:
        return self.new_leaf(tj.Variable(float(value), trainable=trainable, dtype="float64"))

    @rule(variable=variables, value=st.integers(-3, 3), way=st.sampled_from(["assign", "assign_add", "assign_sub"]))
    def assign(self, variable: Value, value: int, way: str) -> None:
        before = variable.toy.value
        assert getattr(variable.real, way)(float(value)) is variable.real
        variable.toy = Toy({"assign": 0.0, "assign_add": before, "assign_sub": before}[way])
        variable.toy.value += -value if way == "assign_sub" else value
        assert float(variable.real.numpy()) == variable.toy.value

    @rule(which=st.integers(0, 1), x=values)
    def watch(self, which: int, x: Value) -> None:
        if x.leaf is not None:
            self.tapes[which].watch(x.real)
            self.watched[which].add(x.leaf)

    @rule(which=st.integers(0, 1))
    def enter_or_leave(self, which: int) -> None:
        if which == 0 and self.stopped is not None:
            return
        if self.active[which]:
            with pytest.raises(ValueError, match="recording already"):
                self.tapes[which].__enter__()
            self.tapes[which].__exit__(None, None, None)
        else:
            self.tapes[which].__enter__()
        self.active[which] = not self.active[which]
        assert len(current().tapes) == sum(self.active)

    @rule()
    def stop_or_go_on(self) -> None:
        if self.stopped is not None:
            self.stopped.__exit__(None, None, None)
            self.stopped, self.active[0] = None, True
        elif self.active[0]:
            self.stopped, self.active[0] = self.tapes[0].stop_recording(), False
            self.stopped.__enter__()


Tapes.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestTapes = Tapes.TestCase
