"""Kernels outlive the process: the next one loads them from the store and never imports Numba."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import json, sys
import numpy as np
import tapejit as tj

w, b = tj.Variable(0.3), tj.Variable(0.1)
learning_rate = 0.001

@tj.compile(strict=True)
def fit_data(real_x, real_y):
    with tj.GradientTape(persistent=True) as tape:
        reg_loss = tj.abs(real_y - (w * real_x + b))
    w.assign_sub(tape.gradient(reg_loss, w) * learning_rate)
    b.assign_sub(tape.gradient(reg_loss, b) * learning_rate)

for _ in range(500):
    fit_data([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0], [-3.0, -1.0, 1.0, 3.0, 5.0, 7.0])

matrix, bias = tj.Variable(tj.zeros((64, 10))), tj.Variable(tj.zeros(10))

@tj.compile(strict=True)
def train(x, labels):
    with tj.GradientTape() as tape:
        logits = x @ matrix + bias
        loss = tj.mean(tj.logsumexp(logits, axis=1) - tj.sum(tj.one_hot(labels, 10) * logits, axis=1))
    ct_matrix, ct_bias = tape.gradient(loss, [matrix, bias])
    matrix.assign_sub(0.5 * ct_matrix)
    bias.assign_sub(0.5 * ct_bias)
    return loss

draw = np.random.default_rng(0)
x, labels = draw.random((200, 64), np.float32), draw.integers(0, 10, 200)
for _ in range(20):
    loss = train(x, labels)

losses = train.repeat(5, x, labels)

print(json.dumps({
    "loaded": sorted({"numba", "llvmlite"} & sys.modules.keys()),
    "reports": [fit_data.report(), train.report()],
    "values": [np.asarray(value).tobytes().hex() for value in (w, b, matrix, bias, loss, losses)],
    "line": [float(w), float(b)],
}))
"""


FORKING = """
import json, os, sys
import numpy as np
import tapejit as tj

x = np.linspace(0, 1, 7)
w = tj.Variable(np.ones(7))
known = tj.compile(lambda x: tj.sum(tj.exp(x) * w), strict=True)
before = float(known(x))
reader, writer = os.pipe()
child = os.fork()
if not child:
    fresh = tj.compile(lambda x: tj.sum(tj.sin(x) * w), strict=True)
    os.write(writer, json.dumps([float(known(x)), float(fresh(x)), float(fresh.eager(x))]).encode())
    os._exit(0)
status = os.waitpid(child, 0)[1]
assert status == 0, status
after, compiled, eager = json.loads(os.read(reader, 1000))
assert after == before == float(known(x)), (after, before)
assert abs(compiled - eager) < 1e-12
again = tj.compile(lambda x: tj.sum(tj.sin(x) * w), strict=True)
assert float(again(x)) == compiled
print(json.dumps({"child's kernel": again.report()["from_cache"]}))
"""


def start(program: str, store: Path, **settings: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(store), "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    printed, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    found: dict[str, Any] = json.loads(printed)
    return found


def result(store: Path, **settings: str) -> dict[str, Any]:
    return ended(start(PROGRAM, store, **settings))


def test_a_second_process_runs_both_steps_without_numba(tmp_path: Path) -> None:
    first, second = result(tmp_path / "kernels"), result(tmp_path / "kernels")
    assert first["loaded"] == ["llvmlite", "numba"]
    plain = sys.platform == "linux" and platform.machine() == "x86_64"  # what `kernel.elf` loads
    assert second["loaded"] == ([] if plain else ["llvmlite"])
    for report in first["reports"]:
        assert (report["compilations"], report["from_cache"]) == (1, 0)
    for report in second["reports"]:
        assert (report["compilations"], report["from_cache"], report["compile_seconds"]) == (0, 1, 0.0)
    assert second["values"] == first["values"]
    assert first["line"] == pytest.approx([1.9939865, -1.0019997], abs=1e-6)


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    together = [start(PROGRAM, tmp_path / "kernels") for _ in range(4)]
    found = [ended(process) for process in together]
    found.append(result(tmp_path / "kernels"))
    assert all(one["values"] == found[0]["values"] for one in found)
    assert all(report["from_cache"] == 1 for report in found[-1]["reports"])
    kept = [path.suffix for path in (tmp_path / "kernels").iterdir()]
    assert kept.count(".kernel") == 3  # two kernels, and what runs one many times
    assert kept.count(".note") == len(kept) - 3 <= 1


def test_a_store_that_is_off_leaves_nothing_behind(tmp_path: Path) -> None:
    for _ in range(2):
        found = result(tmp_path / "kernels", TAPEJIT_CACHE="0")
        assert all(report["compilations"] == 1 for report in found["reports"])
    assert not (tmp_path / "kernels").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_goes_on_with_its_kernels_and_makes_new_ones(tmp_path: Path) -> None:
    assert ended(start(FORKING, tmp_path / "kernels")) == {"child's kernel": 1}
