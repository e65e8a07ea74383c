"""Compiled steps, tensors and variables in other processes: forked ones, spawned ones, joblib's."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import multiprocessing
import sys
from functools import partial

import numpy as np

import tapejit as tj

scale = tj.Variable(2.0, dtype="float64")


@tj.compile
def slope(x):
    return tj.grad(lambda x: tj.sum(scale * x**3))(x)


def told(step, x, weight):
    """What a step gives here, and how often it was traced."""
    assert isinstance(x, tj.Tensor) and isinstance(weight, tj.Variable) and step is slope
    return (step(x) * weight).numpy(), step.report()["traces"]


def main(way):
    inputs = [tj.asarray(np.full(3, float(number))) for number in range(4)]
    expected = [np.full(3, 3.0 * 6.0 * number**2) for number in range(4)]
    weight = tj.Variable(3.0, dtype="float64")
    slope(inputs[0])
    work = partial(told, slope, weight=weight)
    if way == "loky":
        import joblib

        found = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(x) for x in inputs)
    else:
        with multiprocessing.get_context(way).Pool(1) as pool:
            found = pool.map(work, inputs)
    for (value, traces), wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted)
        assert traces == 1
    print("same")


if __name__ == "__main__":
    main(sys.argv[1])
'''


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver", "loky"])
def test_a_step_is_traced_again_in_another_process(way: str, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.py"
    path.write_text(PROGRAM)
    command = [sys.executable, str(path), way]
    if way == "loky":
        # It sends functions of the program's own file by value, but a step by name: so this one is in a module.
        pytest.importorskip("joblib")
        command = [sys.executable, "-c", "import elsewhere; elsewhere.main('loky')"]
    elif way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {way} here")
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "same"), done.stderr
