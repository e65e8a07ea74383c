"""Resident memory stays flat: steps, retraces, compiled functions that come and go, in a process of their own.

Each program works in ten rounds and tells its resident memory after each. The first half may fill caches; what the
second half adds is held against a bound that is far below one leaked array, trace or kernel a turn. The figures of the
release are reached with ``TAPEJIT_LONG_TESTS=1 python -m pytest tests/test_resident_memory.py``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONG = os.environ.get("TAPEJIT_LONG_TESTS") == "1"
ROUNDS = 10
BOUND = 3 << 20
"""Bytes that the second half may add: more than Python's table of interned strings when it grows, less than the 75 kB
that each of 50 kernels once left behind."""

FRAME = """
import gc, json, os, sys, warnings
import numpy as np
import tapejit as tj

warnings.filterwarnings("ignore", ".*was traced")
x = np.ones(3)

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

{program}

found = []
for turn in range({rounds}):
    for n in range(turn * {each}, (turn + 1) * {each}):
        work(n)
    found.append(resident())
print(json.dumps({{"resident": found, "checked": check()}}))
"""

STEPS = """
w = tj.Variable(0.0, dtype="float64")
step = tj.compile(lambda x: w.assign_add(x), strict=True)
def work(n):
    step(1.0)
check = lambda: float(w)
"""
LARGE_RESULTS = """
w = tj.Variable(np.zeros(100_000))
step = tj.compile(lambda x: (w.assign(w[::-1] + x).read_value(), x * 2), strict=True)
large = np.ones(100_000)
def work(n):
    kept = step(large)
check = lambda: float(w.numpy()[0])
"""
NUMBERS = """
names = {"tj": tj, "w": tj.Variable(np.ones(3)), "rate": 0.0}
exec('''
def descend(x):
    with tj.GradientTape() as tape:
        loss = tj.sum(w * w * x)
    w.assign_sub(tape.gradient(loss, w) * rate)
''', names)
step = tj.compile(names["descend"], strict=True)
def work(n):
    names["rate"] = n * 1e-9
    step(x)
check = lambda: [step.report()["traces"], step.report()["compilations"] + step.report()["from_cache"]]
"""
DROPPED = """
from tapejit.kernel.kernels import compilations
def work(n):
    w = tj.Variable(x)
    step = tj.compile(lambda x: w.assign_sub(x * 0.001), strict=True, cache=CACHE)
    step(x)
check = compilations
"""
DISTINCT = """
from tapejit.kernel.kernels import compilations
def work(n):
    w = tj.Variable(x)
    def program(x):
        for digit in f"{n:09b}":
            x = tj.sin(x) if digit == "1" else x * x
        w.assign_sub(x)
    tj.compile(program, strict=True)(x)
check = compilations
"""
GRADIENTS = """
def work(n):
    if n % 100 == 0:
        global step
        step = tj.compile(lambda x: tj.sum(tj.sin(x) * x), strict=True)
    point = tj.constant(x)
    with tj.GradientTape() as tape:
        tape.watch(point)
        y = step(point)
    global last
    last = tape.gradient(y, point)
check = lambda: float(last.numpy()[0])
"""
RAISING = """
w = tj.Variable(x)
def program(x):
    w.assign_add(x)
    raise ValueError
step = tj.compile(program)
def work(n):
    try:
        step(x)
    except ValueError:
        pass
check = lambda: float(w.numpy()[0])
"""
SHAPES = """
w = tj.Variable(0.0, dtype="float64")
step = tj.compile(lambda x: w.assign_add(tj.sum(x)), strict=True)
def work(n):
    step(np.ones(1 + n % 5))
check = lambda: float(w)
"""

# Program, turns, turns of the long run, what `check` finds (of the turns).
CASES = {
    "a step": (STEPS, 1_000_000, 1_000_000, lambda turns: turns),
    # The way straight to the kernel is made after 1,000 calls, in the first half.
    "large results and swapped buffers": (LARGE_RESULTS, 4_000, 20_000, lambda turns: turns),
    "retraces for numbers": (NUMBERS, 2_000, 10_000, lambda turns: [turns, 1]),
    "signatures that take turns": (SHAPES, 50_000, 500_000, lambda turns: 3 * turns),
    "functions that come and go": (DROPPED.replace("CACHE", "True"), 300, 1_000, lambda turns: 1),
    "without the store": (DROPPED.replace("CACHE", "False"), 100, 1_000, lambda turns: turns),
    "with distinct graphs": (DISTINCT, 100, 500, lambda turns: turns),
    "gradients through steps": (GRADIENTS, 2_000, 20_000, lambda turns: pytest.approx(1.3817732906760363)),
    "steps that raise": (RAISING, 1_000, 20_000, lambda turns: 1.0),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory as Linux tells it")
@pytest.mark.parametrize(("program", "turns", "many", "expected"), CASES.values(), ids=CASES)
def test_memory_stays_flat(program, turns, many, expected, tmp_path):
    turns = many if LONG else turns
    text = FRAME.format(program=program, rounds=ROUNDS, each=turns // ROUNDS)
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path / "kernels"), "PYTHONPATH": str(ROOT)}
    environment |= {"TAPEJIT_CHECK": "0", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["checked"] == expected(turns)
    grown = found["resident"][-1] - found["resident"][ROUNDS // 2 - 1]
    assert grown <= BOUND, found["resident"]
