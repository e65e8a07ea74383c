"""What a tape keeps, and when it lets go: the least that the rules need, no longer than the tape, without cycles."""

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.primitive import current


def is_gone(reference: "weakref.ref[Any]") -> bool:
    return reference() is None


# What is kept

FROM_THE_RESULT: dict[str, Callable[[Any], Any]] = {
    "exp": tj.exp,
    "tanh": tj.tanh,
    "sigmoid": tj.sigmoid,
    "sqrt": tj.sqrt,
    "reciprocal": tj.reciprocal,
    "relu": tj.relu,
    "add": lambda x: x + 1.0,
    "sum": tj.sum,
    "reshape": lambda x: tj.reshape(x, (1, -1)),
    "a slice": lambda x: x[1:],
    "astype": lambda x: tj.astype(x, "float64"),
    "product with a number": lambda x: x * 3.0,
    "product with a constant": lambda x: x * tj.constant(np.ones(5, np.float32)),
}
FROM_THE_OPERAND: dict[str, Callable[[Any], Any]] = {
    "sin": tj.sin,
    "log": tj.log,
    "square": tj.square,
    "x * x": lambda x: x * x,
}


def kept(function: Callable[[Any], Any]) -> bool:
    """Whether the operand of an operation lives as long as the tape holds records."""
    x = tj.constant(np.ones(5, np.float32))
    with tj.GradientTape() as tape:
        tape.watch(x)
        operand = x * 2.0
        reference = weakref.ref(operand)
        y = function(operand)
        del operand
    was = not is_gone(reference)
    assert tape.gradient(y, x) is not None
    assert is_gone(reference), "it outlives the records"
    return was


@pytest.mark.parametrize("name", FROM_THE_RESULT)
def test_an_operand_that_no_rule_names_goes_early(name: str, without_collector: None) -> None:
    assert not kept(FROM_THE_RESULT[name])


@pytest.mark.parametrize("name", FROM_THE_OPERAND)
def test_an_operand_that_a_rule_names_is_kept_until_the_gradient(name: str, without_collector: None) -> None:
    assert kept(FROM_THE_OPERAND[name])


def test_only_the_rules_of_active_operands_count(without_collector: None) -> None:
    x = tj.constant(np.ones(5))
    with tj.GradientTape() as tape:
        tape.watch(x)
        active, passive = x * 2.0, tj.exp(tj.constant(np.ones(5)))
        references = weakref.ref(active), weakref.ref(passive)
        y = active * passive
        del active, passive
    assert is_gone(references[0]), "only the cotangent of the other operand would need it"
    assert not is_gone(references[1])
    tape.gradient(y, x)
    assert is_gone(references[1])


def test_what_does_not_depend_on_anything_watched_is_not_kept(without_collector: None) -> None:
    c = tj.constant(np.ones(5))
    with tj.GradientTape():
        h = tj.sin(c)
        reference = weakref.ref(h)
        h2 = h * h
        del h
        assert is_gone(reference)
        assert h2.shape == (5,)


# How long


def test_records_are_gone_with_the_first_gradient(without_collector: None) -> None:
    w = tj.Variable(np.ones(5))
    with tj.GradientTape() as tape:
        h = w * 2.0
        reference = weakref.ref(h)
        y = tj.sin(h)
        del h
    tape.gradient(y, w)
    assert is_gone(reference)


def test_records_of_a_persistent_tape_are_gone_with_the_tape(without_collector: None) -> None:
    w = tj.Variable(np.ones(5))
    with tj.GradientTape(persistent=True) as tape:
        h = w * 2.0
        reference = weakref.ref(h)
        y = tj.sin(h)
        del h
    tape.gradient(y, w)
    assert not is_gone(reference)
    del tape
    assert is_gone(reference)


@pytest.mark.parametrize("way", ["reset", "enter again"])
def test_records_are_gone_with_a_reset(way: str, without_collector: None) -> None:
    w = tj.Variable(np.ones(5))
    with tj.GradientTape(persistent=True) as tape:
        h = w * 2.0
        reference = weakref.ref(h)
        y = tj.sin(h)
        del h
    assert y.shape == (5,)
    if way == "reset":
        tape.reset()
        assert is_gone(reference)
    else:
        with tape:
            assert not is_gone(reference), "it goes on recording"


def test_records_of_a_tape_that_was_never_asked_are_gone_with_it(without_collector: None) -> None:
    w = tj.Variable(np.ones(5))
    with tj.GradientTape() as tape:
        h = w * 2.0
        reference = weakref.ref(h)
        tj.sin(h)
        del h
    assert not is_gone(reference)
    del tape
    assert is_gone(reference)


def test_records_after_an_exception_are_gone(without_collector: None) -> None:
    w = tj.Variable(np.ones(5))
    references = []

    def step() -> None:
        with tj.GradientTape():
            h = w * 2.0
            references.append(weakref.ref(h))
            tj.sin(h) + tj.ones(3)

    with pytest.raises(ValueError, match="broadcast"):
        step()
    assert is_gone(references[0])


def test_the_first_tape_of_a_thread_is_not_kept_alive_by_the_thread() -> None:
    """NumPy's error state has a context of its own in each thread, made at the first operation, here under a tape."""
    references: list[weakref.ref[Any]] = []

    def first_operations() -> None:
        x = tj.constant(np.arange(4.0))
        with tj.GradientTape() as tape:
            tape.watch(x)
            references.append(weakref.ref(tj.exp(x)))

    done, leave = threading.Event(), threading.Event()

    def run() -> None:
        first_operations()
        done.set()
        leave.wait()

    thread = threading.Thread(target=run)
    thread.start()
    done.wait()
    gc.collect()
    gone = is_gone(references[0])
    leave.set()
    thread.join()
    assert gone


def test_a_tape_does_not_keep_its_targets_or_sources_alive(without_collector: None) -> None:
    x = tj.constant(np.ones(5))
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x + 1.0
    tape.gradient(y, x)
    references = weakref.ref(x), weakref.ref(y)
    del x, y
    assert all(map(is_gone, references))


# Cycles and growth


def varied_step(x: tj.Variable, w: tj.Variable) -> None:
    with tj.GradientTape() as outer:
        with tj.GradientTape(persistent=True) as tape:
            first, second = tj.split(tj.matmul(w, tj.expand_dims(x, axis=1)), [1])
            terms = [
                tj.sum(tj.where(first > 0, tj.log(first), 0)),
                tj.max(second) + tj.prod(second) + x[0],
                tj.sum(x[np.array([0, 1])]) + tj.softmax(x)[0] + tj.std(x),
                tj.sum(tj.linalg.solve(w + 5.0 * tj.eye(3, dtype="float64"), x)),
            ]
            y = terms[0] + terms[1] + terms[2] + terms[3]
        by_x, by_w = tape.gradient(y, [x, w])
        tape.jacobian(second, x)
    outer.gradient(by_x, x)
    x.assign_sub(0.01 * by_x)
    w.assign(w - 0.01 * by_w)
    with pytest.raises(ValueError, match="shape"):
        x.assign([1.0, 2.0])


def test_a_step_leaves_no_reference_cycles() -> None:
    x, w = tj.Variable(np.arange(1.0, 4.0)), tj.Variable(np.arange(9.0).reshape(3, 3))
    with tj.GradientTape() as tape:
        tj.sum(x)
    del tape

    def step() -> None:
        with tj.GradientTape(persistent=True) as tape:
            y = tj.sum(tj.sin(w @ x)) + tj.sum(tj.where(x > 0, tj.log(x), 0))
        by_x, by_w = tape.gradient(y, [x, w])
        x.assign_sub(0.01 * by_x)
        w.assign_sub(0.01 * by_w)

    step()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            step()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_many_steps_do_not_grow() -> None:
    x, w = tj.Variable(np.arange(1.0, 4.0)), tj.Variable(np.arange(9.0).reshape(3, 3))
    for _ in range(10):
        varied_step(x, w)
    tracemalloc.start()
    try:
        varied_step(x, w)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            varied_step(x, w)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096, "bytes"
    assert current().tapes == ()


def test_the_cotangents_of_a_chain_go_while_the_reverse_pass_walks() -> None:
    """The reverse pass of n operations holds a few arrays, not n."""
    size, length = 20_000, 50
    x = tj.constant(np.ones(size))
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x
        for _ in range(length):
            y = tj.sin(y)
    tracemalloc.start()
    try:
        tape.gradient(y, x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * size * 8


def test_zeros_and_ones_take_the_memory_of_one_element() -> None:
    assert tj.zeros((1000, 1000)).numpy().strides == (0, 0)
    x = tj.Variable(1.0)
    with tj.GradientTape() as tape:
        y = x * x
    other = tj.Variable(np.ones((1000, 1000)))
    assert tape.gradient(y, other, unconnected_gradients="zero").numpy().strides == (0, 0)
