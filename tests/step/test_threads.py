"""Steps in many threads, and steps that raise: what others see of it."""

import threading
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import IndexRangeError

SMALL = 6


def strict(function: Any) -> Any:
    return tj.compile(function, strict=True)


# --- threads --------------------------------------------------------------------------------------------------


def together(*functions: Any) -> list[BaseException]:
    """Run functions in a thread each; what they raised."""
    raised: list[BaseException] = []

    def run(function: Any) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 (reported by the caller)
            raised.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    return raised


def test_each_thread_gets_its_own_results() -> None:
    step = strict(lambda x, y: (x * y, tj.sum(x - y)))

    def work(n: int) -> None:
        rng = np.random.default_rng(n)
        for size in (SMALL, 700, SMALL, 3):  # signatures change too
            for _ in range(60):
                x, y = rng.normal(size=(2, size))
                product, difference = step(x, y)
                np.testing.assert_array_equal(product.numpy(), x * y)
                np.testing.assert_allclose(float(difference), np.sum(x - y), atol=1e-9)

    assert together(*[lambda n=n: work(n) for n in range(6)]) == []


def test_steps_that_share_variables_in_any_order_neither_deadlock_nor_lose_updates() -> None:
    a, b, c = (tj.Variable(np.zeros(500)) for _ in range(3))

    def adding(*variables: tj.Variable) -> Any:
        def step() -> None:
            for variable in variables:
                variable.assign_add(np.ones(500))

        return strict(step)

    steps = [adding(a, b), adding(b, a), adding(b, c), adding(c, a), adding(c, b, a)]

    def work(step: Any) -> None:
        for _ in range(200):
            step()

    assert together(*[lambda step=step: work(step) for step in steps]) == []
    for variable, count in ((a, 4), (b, 4), (c, 3)):
        np.testing.assert_array_equal(variable.numpy(), np.full(500, 200.0 * count))


class Gate:
    """Stands before a kernel and lets calls through when it is opened."""

    def __init__(self, step: Any) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        executable = step._last.executable
        call = executable._call

        def wait(*arguments: int) -> int:
            self.reached.set()
            assert self.open.wait(60)
            return call(*arguments)

        executable._call = wait


def test_other_steps_run_while_one_is_at_work_and_those_that_share_its_variable_wait() -> None:
    shared = tj.Variable(np.zeros(3))
    slow, sharing = strict(lambda: shared.assign_add(np.ones(3))), strict(lambda: shared.assign(shared * 2.0))
    apart = strict(lambda x: x * 2)
    slow()
    sharing()
    apart(np.ones(3))
    gate = Gate(slow)
    order = []

    def run(name: str, step: Any, *arguments: Any) -> threading.Thread:
        def work() -> None:
            step(*arguments)
            order.append(name)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    first = run("slow", slow)
    assert gate.reached.wait(60)
    second = run("sharing", sharing)
    third = run("apart", apart, np.ones(3))
    third.join(60)
    assert order == ["apart"]
    gate.open.set()
    for thread in (first, second):
        thread.join(60)
    assert order[0] == "apart"
    assert len(order) == 3
    np.testing.assert_array_equal(shared.numpy(), np.full(3, 6.0))  # (2 + 1) * 2: one after the other


def test_a_thread_that_raises_leaves_the_step_to_the_others() -> None:
    w = tj.Variable(np.zeros(5))

    @strict
    def step(i):
        w.assign_add(tj.take(tj.constant(np.arange(5.0)), i, axis=0))

    step(np.zeros(5, np.int64))

    def good() -> None:
        for _ in range(150):
            step(np.ones(5, np.int64))

    def bad() -> None:
        for _ in range(150):
            with pytest.raises(IndexRangeError, match="index 9 is out of range"):
                step(np.full(5, 9))

    assert together(good, bad, good, bad) == []
    np.testing.assert_array_equal(w.numpy(), np.full(5, 300.0))
    assert step._last.executable.lock.acquire(blocking=False)
    step._last.executable.lock.release()


def test_threads_that_trace_at_once() -> None:
    w = tj.Variable(np.zeros(3))
    step = strict(lambda x, n: w.assign_add(x * n))
    gate = threading.Barrier(6)

    def work() -> None:
        gate.wait()
        for n in range(1, 5):
            step(np.ones(3), n)

    assert together(*[work] * 6) == []
    np.testing.assert_array_equal(w.numpy(), np.full(3, 60.0))
    assert step.report()["traces"] == 1


# --- a step that raises ---------------------------------------------------------------------------------------


class Stop(BaseException):
    """What Ctrl-C raises is no Exception either."""


def test_whatever_stops_a_trace_leaves_variables_as_they_were() -> None:
    w = tj.Variable([1.0, 2.0])
    raised: list[type[BaseException] | None] = []

    @strict
    def step(x, power):
        w.assign_add(x)
        if raised and raised[-1] is not None:
            raise raised[-1]("now")
        w.assign(w**power)
        return tj.sum(w)

    for kind in (ValueError, KeyboardInterrupt, Stop, ZeroDivisionError):
        raised.append(kind)
        with pytest.raises(kind, match="now"):
            step(np.ones(2, np.float32), 2.0)
        np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])
        with tj.GradientTape() as tape:  # no state is left behind
            y = w * w
        np.testing.assert_array_equal(tape.gradient(y, w).numpy(), [2.0, 4.0])
    raised.append(None)
    assert float(step(np.ones(2, np.float32), 2.0)) == 13.0
    for kind in (ValueError, KeyboardInterrupt):  # in a retrace
        raised.append(kind)
        with pytest.raises(kind, match="now"):
            step(np.ones((1, 2), np.float32)[0], 2)
        np.testing.assert_array_equal(w.numpy(), [4.0, 9.0])
    raised.append(None)
    assert float(step(np.ones(2, np.float32), 1.0)) == 15.0


def test_a_failed_check_assigns_nothing_in_any_update() -> None:
    n = 2000
    first, turned, table = (tj.Variable(np.arange(float(n))) for _ in range(3))

    @strict
    def step(i):
        first.assign_add(tj.ones(n, "float64"))
        turned.assign(turned[::-1])
        table.assign(table + tj.take(table, i, axis=0))
        return tj.sum(first)

    for _ in range(3):
        step(np.arange(n))
    wanted = [variable.numpy().copy() for variable in (first, turned, table)]
    for bad in (n, -n - 1):
        index = np.arange(n)
        index[-1] = bad
        with pytest.raises(IndexRangeError, match="nothing was assigned"):
            step(index)
        for variable, before in zip((first, turned, table), wanted, strict=True):
            np.testing.assert_array_equal(variable.numpy(), before)
    step(np.arange(n))
    np.testing.assert_array_equal(first.numpy(), wanted[0] + 1)
    np.testing.assert_array_equal(turned.numpy(), wanted[1][::-1])
    np.testing.assert_array_equal(table.numpy(), wanted[2] * 2)
