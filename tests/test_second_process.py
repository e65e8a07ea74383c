"""Kernels outlive the process: the next one loads them from the store and never imports Numba."""

import json
import os
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

print(json.dumps({
    "loaded": sorted({"numba", "llvmlite"} & sys.modules.keys()),
    "reports": [fit_data.report(), train.report()],
    "values": [np.asarray(value).tobytes().hex() for value in (w, b, matrix, bias, loss)],
    "line": [float(w), float(b)],
}))
"""


def result(store: Path) -> dict[str, Any]:
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(store), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_second_process_runs_both_steps_without_numba(tmp_path: Path) -> None:
    first, second = result(tmp_path / "kernels"), result(tmp_path / "kernels")
    assert first["loaded"] == ["llvmlite", "numba"]
    assert second["loaded"] == ["llvmlite"]
    for report in first["reports"]:
        assert (report["compilations"], report["from_cache"]) == (1, 0)
    for report in second["reports"]:
        assert (report["compilations"], report["from_cache"], report["compile_seconds"]) == (0, 1, 0.0)
    assert second["values"] == first["values"]
    assert first["line"] == pytest.approx([1.9939865, -1.0019997], abs=1e-6)
