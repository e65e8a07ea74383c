"""Compiled steps, tensors and variables in other processes: forked ones, spawned ones, joblib's."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import concurrent.futures
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
    elif way == "futures":
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            found = list(pool.map(work, inputs))
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


LOCAL = """
import sys

import joblib
import numpy as np

import tapejit as tj

scale = tj.Variable(2.0)


@tj.compile
def scaled(x):
    return scale * x


class Model:
    def __init__(self):
        self.w = tj.Variable(3.0)
        self.step = tj.compile(self._step)

    def _step(self, x):
        self.w.assign_add(x)
        return self.w * scaled(x)


def main():
    offset, model = tj.Variable(1.0), Model()

    @tj.compile
    def shifted(x):
        return scaled(x) + offset

    def work(number):
        assert isinstance(scaled, tj.CompiledStep) and sys.modules["__main__"].__name__ == "__main__"
        return float(shifted(number)), float(model.step(number)), float(model.w)

    found = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(number) for number in (1.0, 2.0))
    assert found == [(3.0, 8.0, 4.0), (5.0, 20.0, 5.0)], found
    assert float(model.w) == 3.0
    print("same")


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver", "futures", "loky"])
def test_a_step_is_traced_again_in_another_process(way: str, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.py"
    path.write_text(PROGRAM)
    command = [sys.executable, str(path), way]
    if way == "loky":
        # It sends functions of the program's own file themselves, and those of a module by name.
        pytest.importorskip("joblib")
        command = [sys.executable, "-c", "import elsewhere; elsewhere.main('loky')"]
    elif way != "futures" and way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {way} here")
    check(command, tmp_path)


def test_joblib_takes_steps_of_the_programs_own_file_closures_and_methods(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    path = tmp_path / "program.py"
    path.write_text(LOCAL)
    check([sys.executable, str(path)], tmp_path)


def check(command: list[str], folder: Path) -> None:
    """A program says that all was the same."""
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(folder)])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "same"), done.stderr
