"""Forks while other threads are in steps: no lock stays taken in the child, no value is half new."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import tapejit as tj
from tapejit import forks
from tapejit.forks import Rank

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import faulthandler
import os
import sys
import threading
import time

import numpy as np

import tapejit as tj

ONES = np.ones(200_000)
parts = [tj.Variable(np.zeros(200_000)) for _ in range(2)]


@tj.compile
def advance(x):
    for part in parts:
        part.assign_add(x)
    return tj.sum(parts[1])


@tj.compile
def squares(x):
    return tj.sum(parts[0] ** 2) * x


def run(step):
    while True:
        step(ONES)


def follow():
    while True:
        follow_once()


def build():
    number = 0
    while True:
        number += 1
        tj.compile(lambda x: tj.sum(tj.exp(x * 0.5)), cache=False)(np.arange(3.0 + number))


def in_the_child(number):
    first, second = (part.numpy() for part in parts)
    assert (first == first[0]).all() and (second == first[0]).all()
    advance(ONES)
    follow_once()
    tj.compile(lambda x: tj.cos(x) * number, cache=False)(np.arange(4.0))


def follow_once():
    with tj.GradientTape() as tape:
        y = squares(2.0)
    assert tape.gradient(y, parts[0]).shape == (200_000,)


work = [(run, (advance,)), (follow, ()), (build, ())]
for target, arguments in work:
    threading.Thread(target=target, args=arguments, daemon=True).start()
advance(ONES)
for number in range(3):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(60, exit=True)
        code = 1
        try:
            in_the_child(number)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    time.sleep(0.05)
print("whole", flush=True)
os._exit(0)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def test_a_fork_in_the_middle_of_steps_and_compilations(tmp_path: Path) -> None:
    path = tmp_path / "forking.py"
    path.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "whole"), done.stderr


class Noted:
    """A lock that notes when it is taken and given back."""

    def __init__(self, name: str, notes: list[str], *, free: bool = True) -> None:
        self.name, self.notes, self.free = name, notes, free

    def acquire(self, timeout: float) -> bool:  # noqa: ARG002 (as locks have it)
        self.notes.append(f"+{self.name}")
        self.free, free = True, self.free
        return free

    def release(self) -> None:
        self.notes.append(f"-{self.name}")


@pytest.fixture
def locks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(forks, "_LOCKS", type(forks._LOCKS)())
    # Other threads than this one are what makes a fork wait.
    monkeypatch.setattr(forks.threading, "active_count", lambda: 2)
    return forks._LOCKS


def test_locks_are_taken_in_the_order_of_their_ranks_and_given_back(locks: Any) -> None:
    notes: list[str] = []
    kept = [
        forks.look_after(rank, Noted(name, notes))
        for name, rank in [("v", Rank.VARIABLE), ("s", Rank.STEP), ("w", Rank.VARIABLE), ("k", Rank.KERNEL)]
    ]
    forks._before()
    assert notes == ["+s", "+k", "+v", "+w"]
    forks._give_back()
    assert notes[4:] == ["-w", "-v", "-k", "-s"]
    assert not forks.FORKING
    assert len(kept) == 4


def test_who_waits_for_a_lock_holds_no_other(locks: Any) -> None:
    notes: list[str] = []
    kept = forks.look_after(Rank.STEP, Noted("s", notes)), forks.look_after(Rank.KERNEL, Noted("k", notes, free=False))
    forks._before()
    forks._give_back()
    assert notes == ["+s", "+k", "-s", "+s", "+k", "-k", "-s"]
    del kept


def test_a_fork_that_waited_in_vain_leaves_free_locks_in_the_child(locks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 0.0)
    lost, own = forks.lock(Rank.KERNEL, threading.Lock), forks.lock(Rank.VARIABLE)
    thread = threading.Thread(target=lost.acquire)
    thread.start()
    thread.join()
    with own:
        with pytest.warns(tj.errors.TapejitWarning, match="half new"):
            forks._before()
        forks._in_child()
        assert own._is_owned()
    assert not lost.locked()


def test_a_process_with_one_thread_forks_at_once(locks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks.threading, "active_count", lambda: 1)
    held = forks.lock(Rank.KERNEL, threading.Lock)
    with held:
        forks._before()
        forks._in_child()
        assert held.locked()


def test_all_locks_are_looked_after() -> None:
    made = re.compile(r"threading\.R?Lock\(\)|= (R?Lock|Condition|Semaphore)\(\)")
    bare = {path.name for path in (ROOT / "tapejit").rglob("*.py") if made.search(path.read_text())}
    # Whose threads a forked process does not have: a team is made anew, an iteration ends.
    assert bare == {"threads.py", "prefetching.py"}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_the_rest_of_an_iteration_that_has_its_thread_in_another_process() -> None:
    elements = iter(tj.data.Dataset.range(5).prefetch(1))
    next(elements)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            next(elements)
        except RuntimeError as error:
            code = 0 if "begin another iteration in this one" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert [int(each) for each in elements] == [1, 2, 3, 4]
