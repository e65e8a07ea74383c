"""`Batching`: where operations of a batch are bound, who hears of them, and what is checked of batch rules."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.batching import BatchedTensor, Batching, drawing_apart, outside_of_batches
from tapejit.errors import BatchingError, TapejitError
from tapejit.primitive import BASE, REGISTRY, Primitive, add_tape, bind, current, interpreting, remove_tape
from tapejit.tensor import Tensor

X = np.arange(6.0).reshape(3, 2)


class Heard:
    """A recorder that keeps the names of operations and the shapes of their results."""

    def __init__(self) -> None:
        self.applications: list[tuple[str, Any]] = []
        self.reads: list[Any] = []

    def record(self, primitive: Primitive, _inputs: Any, outputs: Any, _params: Any) -> None:
        self.applications.append((primitive.name, outputs.shape))

    def record_read(self, variable: Any, _value: Any) -> None:
        self.reads.append(variable)


@pytest.fixture
def level() -> Batching:
    return Batching(current(), 3)


def batch(level: Batching, array: np.ndarray) -> BatchedTensor:
    return BatchedTensor(level, tj.constant(array))


def test_inside_and_outside_hear_of_their_own_values() -> None:
    outside, inside, w = Heard(), Heard(), tj.Variable([1.0, 2.0], dtype="float64")
    add_tape(outside)
    try:
        level = Batching(current(), 3)
        x = batch(level, X)
        with interpreting(level, (inside,)):
            product = x * w
            constant = tj.exp(w)
            product + constant
    finally:
        remove_tape(outside)
    assert inside.applications == [("multiply", (2,)), ("exp", (2,)), ("add", (2,))]
    assert outside.applications[-3:] == [("multiply", (3, 2)), ("exp", (2,)), ("add", (3, 2))]
    assert inside.reads == outside.reads == [w, w]
    assert type(constant) is Tensor, "what depends on no example is computed once"


def test_values_of_two_levels(level: Batching) -> None:
    x = batch(level, X)
    with interpreting(level):
        inner = Batching(current(), 2)
        y = BatchedTensor(inner, x)
        with interpreting(inner):
            total = x + y
        assert (x.shape, y.shape, total.shape) == ((2,), (), (2,))
        assert inner.value_of(x) is x
        assert inner.all_of(x).shape == (2, 2)
        whole = level.value_of(inner.value_of(total))
    np.testing.assert_array_equal(whole.numpy(), X[:, None, :] + X[:, :, None])


def test_the_state_is_put_back_when_a_rule_fails(level: Batching) -> None:
    broken = replace(REGISTRY["exp"], batch=lambda *_: 1 / 0)
    with interpreting(level):
        before = current()
        with pytest.raises(ZeroDivisionError):
            bind(broken, (batch(level, X),))
        assert current() is before
    assert current() is BASE[0]


def test_an_operation_without_a_rule_is_done_in_parts_and_heard_as_one(level: Batching) -> None:
    softmax = replace(REGISTRY["softmax"], batch=None)
    heard = Heard()
    with interpreting(level, (heard,)):
        out = bind(softmax, (batch(level, X),), {"axes": (0,)})
    assert heard.applications == [("softmax", (2,))]
    np.testing.assert_allclose(level.value_of(out).numpy(), tj.softmax(X, axis=1).numpy(), rtol=1e-15)


def test_an_operation_without_rule_and_parts_is_named(level: Batching) -> None:
    bare = replace(REGISTRY["cumsum"], name="bare", batch=None)
    with interpreting(level), pytest.raises(TapejitError, match="vmap: the operation bare has no batch rule; call it"):
        bind(bare, (batch(level, X),), {"axis": 0})


@pytest.mark.parametrize("change", [lambda x: x[:, :1], lambda x: x[:2], lambda x: tj.astype(x, "float32")])
def test_what_a_rule_gives_is_checked(level: Batching, change: Any) -> None:
    wrong = replace(REGISTRY["exp"], name="wrong", batch=lambda inputs, *_: change(inputs[0]))
    with interpreting(level), pytest.raises(TapejitError, match=r"the batch rule of wrong has a fault: it gave float"):
        bind(wrong, (batch(level, X),))


def test_a_tape_of_the_outside_goes_and_comes_back_there() -> None:
    tape = Heard()
    add_tape(tape)
    try:
        level = Batching(current(), 3)
        with interpreting(level):
            under = remove_tape(tape)
            assert under is level
            assert tape not in level.outer.tapes
            assert current().tapes == ()
            add_tape(tape, under=under)
            assert level.outer.tapes == (tape,)
            assert current().tapes == ()
    finally:
        remove_tape(tape)
    assert current() is BASE[0]


def test_who_draws() -> None:
    apart = Batching(current(), 3, "different")
    with interpreting(apart):
        same = Batching(current(), 2, "same")
        with interpreting(same):
            assert drawing_apart() is apart
            with outside_of_batches():
                assert drawing_apart() is None
                assert current() is BASE[0]
            refused = Batching(current(), 2)
            with interpreting(refused), pytest.raises(BatchingError, match="random numbers are drawn inside"):
                drawing_apart()
