"""Stages on several threads: the bits of one thread, the first failure, jobs that fail, forks and Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import config
from tapejit.errors import IndexRangeError
from tapejit.kernel import blas, threads
from tapejit.passes import stages
from tapejit.pytree import flatten
from tests.programs import PROGRAMS, STEPS, Program
from tests.step import whole_programs

ROOT = Path(__file__).resolve().parents[2]
COUNTS = (1, 2, 3, 5)


@pytest.fixture(autouse=True)
def everything_pays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every loop is a stage that is shared out; afterwards there is one thread again."""
    monkeypatch.setattr(stages, "SPLIT_WORK", 2)
    monkeypatch.setattr(stages, "BLOCK_WORK", 2)
    monkeypatch.setattr(threads, "PART_WORK", 1)
    before = config._THREADS.count
    yield
    config._THREADS.count = before
    blas.set_num_threads(1)


def uncached(function: Any) -> Any:
    return tj.compile(function, strict=True, cache=False)


def is_shared(step: Any) -> bool:
    tj.set_num_threads(2)
    shared = step._last.executable.stages
    return shared is not None and shared.threads() == 2


def bits(tree: Any) -> list[tuple[Any, ...]]:
    return [(each.shape, each.dtype, each.tobytes()) for each in map(np.asarray, flatten(tree)[0])]


def results_by_count(make: Any, arguments: list[Any]) -> list[Any]:
    """Results of three calls of a fresh step, and the variables then, for each number of threads."""
    found, steps = [], []  # as long as a step lives, the next one finds its kernel
    for count in COUNTS:
        tj.set_num_threads(count)
        step = uncached(make())
        steps.append(step)
        results = [bits(step(*arguments)) for _ in range(3)]
        variables = [bits(variable) for variable in step._last.executable.variables]
        found.append((results, variables))
    return found


# --- the same bits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [*PROGRAMS.values(), *STEPS.values()], ids=lambda program: program.name)
def test_programs_give_the_same_bits(program: Program) -> None:
    one, *others = results_by_count(program.bound, program.draw(0))
    assert all(other == one for other in others)


@pytest.mark.parametrize("name", whole_programs.PROGRAMS)
def test_whole_programs_give_the_same_bits(name: str) -> None:
    make = whole_programs.PROGRAMS[name]
    arguments = make("float32").arguments(np.random.default_rng(4))
    one, *others = results_by_count(lambda: make("float32").step, list(arguments))
    assert all(other == one for other in others)


def normalised(x: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch(x)
        centred = x - tj.mean(x, axis=1, keepdims=True)
        y = tj.sin(centred / tj.sqrt(tj.mean(centred * centred, axis=1, keepdims=True) + 1e-5))
        loss = tj.sum(y * y)
    return loss, tape.gradient(loss, x), tj.sum(y, axis=0)


def with_loops_between(x: Any) -> Any:
    """Loops and branches stand on one thread, between what is shared out; arrays and numbers go on to the next."""
    y = tj.sin(x) * tj.exp(x)
    last, sums = tj.scan(lambda s, row: (s * 0.5 + row, tj.sum(s)), y[0], y)
    number, _ = tj.scan(lambda s, row: (s * 0.5 + row[0], None), tj.sum(y), y)
    chosen = tj.cond(number > 0, lambda: last * 2.0, lambda: tj.flip(last))
    return tj.sin(y) * chosen + number, tj.exp(sums)[:, None] + y


LARGE = {
    "loops between": (with_loops_between, (301, 9)),
    "elementwise": (lambda x: tj.exp(x) * tj.log1p(x * x) + tj.tanh(x), (1003,)),
    "short rows": (normalised, (501, 7)),
    "long rows": (normalised, (130, 300)),
    "softmax of short rows": (lambda x: tj.softmax(x, axis=-1), (333, 10)),
    "sums of blocks": (lambda x: tj.sum(x * x), (70_001,)),
    "products of blocks": (lambda x: tj.prod(1.0 + 1e-3 * x), (5000,)),
    "sums of blocks in rows": (lambda x: (tj.sum(x, axis=0), tj.sum(tj.exp(x), axis=0)), (1003, 9)),
    "blocks within rows": (lambda x: tj.sum(x * x, axis=1), (7, 3001)),
    "a sum that is needed again": (lambda x: tj.exp(x) / tj.sum(tj.exp(x)) + tj.max(x), (5003,)),
    "running sums": (lambda x: (tj.cumsum(x, axis=1), tj.cumsum(x, axis=0)), (150, 70)),
    "matrix products in a batch": (lambda x: tj.exp(x @ tj.matrix_transpose(x)), (150, 6, 5)),
    "matrices": (lambda x: tj.linalg.inv(x @ tj.matrix_transpose(x) + 5.0 * np.eye(4)), (200, 4, 4)),
    "sorted rows": (lambda x: (tj.sort(x, axis=1), tj.argsort(x, axis=1)), (200, 17)),
    "looked up": (lambda x: tj.take(x, np.arange(900) % 7, axis=0) * 2.0, (7, 5)),
    "neighbours": (lambda x: tj.concat([x[1:] - x[:-1], x[::-1]]), (2001,)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LARGE)
def test_large_arrays_give_the_same_bits(name: str, dtype: str) -> None:
    function, shape = LARGE[name]
    x = np.random.default_rng(6).normal(size=shape).astype(dtype)
    step = uncached(function)
    step(x)
    assert is_shared(step)
    one, *others = results_by_count(lambda: function, [x])
    assert all(other == one for other in others)


def test_loops_over_steps_give_the_same_bits() -> None:
    x = np.random.default_rng(7).normal(size=(4, 500))

    def make() -> Any:
        v, w = tj.Variable(np.linspace(-1, 1, 500)), tj.Variable(np.linspace(0, 1, 500))

        def step(x: Any) -> Any:
            v.assign(v[::-1] * 0.5 + x)
            w.assign_add(tj.sin(v))
            return tj.sum(v), w.read_value()

        return step

    found = []
    for count in COUNTS:
        tj.set_num_threads(count)
        single, many = uncached(make()), uncached(make())
        one_by_one = [single(row) for row in x] + [single(x[0]) for _ in range(3)]
        scanned, repeated = many.scan(x), many.repeat(3, x[0])
        for place in (0, 1):
            stacked = tj.concat([scanned[place], repeated[place]])
            assert bits(stacked) == bits(np.stack([np.asarray(each[place]) for each in one_by_one]))
        found.append(bits([scanned, repeated, *many._last.executable.variables]))
    assert all(other == found[0] for other in found)


def test_a_step_that_is_too_small_runs_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    step = uncached(lambda x: tj.exp(x) * 2.0)
    step(np.ones(5000))
    assert not is_shared(step)
    large = uncached(lambda x: tj.sin(x) * 2.0)
    large(np.ones(500_000))
    assert is_shared(large)
    tj.set_num_threads(1)


def test_steps_in_many_threads_share_the_helpers() -> None:
    tj.set_num_threads(3)
    step = uncached(lambda x: (tj.exp(x), tj.sum(x * x)))
    other = uncached(lambda x: tj.sin(x) * 2.0)
    failed: list[BaseException] = []

    def work(n: int) -> None:
        try:
            x = np.full(3000, float(n))
            for _ in range(50):
                np.testing.assert_array_equal(step(x)[0], np.exp(x))
                np.testing.assert_allclose(other(x), np.sin(x) * 2, rtol=1e-12)
        except BaseException as error:  # noqa: BLE001 (reported below)
            failed.append(error)

    team = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in team:
        each.start()
    for each in team:
        each.join(120)
    assert not any(each.is_alive() for each in team)
    assert not failed


# --- failures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
def test_the_first_failure_is_the_one_that_is_told(count: int) -> None:
    tj.set_num_threads(count)
    w = tj.Variable(np.zeros(1000))

    @uncached
    def step(i):
        w.assign_add(tj.take(tj.constant(np.arange(10.0)), i, axis=0))

    step(np.zeros(1000, np.int64))
    index = np.zeros(1000, np.int64)
    index[[400, 700, 999]] = 11, 12, 13
    for _ in range(3):
        with pytest.raises(IndexRangeError, match="index 11 is out of range"):
            step(index)
    np.testing.assert_array_equal(w.numpy(), np.zeros(1000))
    index[:] = 1
    step(index)
    np.testing.assert_array_equal(w.numpy(), np.ones(1000))


def test_a_job_that_raises_leaves_the_threads_to_others() -> None:
    ran = []

    def fails() -> int:
        raise LookupError("this one")

    def works() -> int:
        ran.append(threading.current_thread().name)
        return 7

    team = threads._TEAM[0]
    for jobs in ([fails, works, works], [works, fails, works]):
        with pytest.raises(LookupError, match="this one"):
            team.share(jobs)
    assert team.share([works] * 4) == [7] * 4
    assert len(ran) == 8  # all others were waited for
    with pytest.raises(LookupError, match="this one"):
        team.lead(fails)
    assert team.lead(works) == 7


def test_interrupts_wait_for_the_job() -> None:
    finished = threading.Event()
    heard = threading.Event()

    def handler(*_: Any) -> None:
        if not heard.is_set():
            heard.set()
            raise KeyboardInterrupt

    def job() -> int:
        while not heard.wait(0.01):  # a signal that comes right before the thread falls asleep does not wake it
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        finished.set()
        return 3

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.lead(job)
    finally:
        signal.signal(signal.SIGINT, before)
    assert finished.is_set()
    assert threads.lead(lambda: 4) == 4


# --- the setting, forks, the end ------------------------------------------------------------------------------


def test_the_number_of_threads_is_that_of_blas_too(monkeypatch: pytest.MonkeyPatch) -> None:
    blas.library()
    tj.set_num_threads(2)
    assert (tj.num_threads(), blas.num_threads()) == (2, 2)
    for wrong in (0, -1, 1.5):
        with pytest.raises(ValueError, match="from 1 up"):
            tj.set_num_threads(wrong)
    tj.set_num_threads(1)
    assert (tj.num_threads(), blas.num_threads()) == (1, 1)
    config._THREADS.count = None
    monkeypatch.setenv("TAPEJIT_NUM_THREADS", "3")
    assert tj.num_threads() == 3


PROGRAM = """
import os, threading
import numpy as np
import tapejit as tj

x = np.linspace(0, 1, 1_000_000)
step = tj.compile(lambda x: (tj.exp(x), tj.sum(tj.sin(x))), strict=True)
expected = [np.asarray(each).tobytes() for each in step(x)]
assert threading.active_count() == 1
tj.set_num_threads(3)
assert [np.asarray(each).tobytes() for each in step(x)] == expected
names = sorted(thread.name for thread in threading.enumerate())
assert names == ["MainThread", "tapejit-1", "tapejit-2", "tapejit-leader"], names
child = os.fork()
if not child:
    assert threading.active_count() == 1
    assert [np.asarray(each).tobytes() for each in step(x)] == expected
    os._exit(0 if threading.active_count() == 4 else 1)
assert os.waitpid(child, 0)[1] == 0
assert [np.asarray(each).tobytes() for each in step(x)] == expected
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_threads_of_its_own_and_both_processes_end() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process", "-c", PROGRAM],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
