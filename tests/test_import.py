"""``import tapejit`` and the first call of a stored step are cheap. Counted in modules: a clock may be wrong.

Measured by hand (Python 3.11, one core): 0.035 s beyond NumPy's own import; 0.19 s from the start of a process to the
first result of a small perceptron's step with Adam, of which 0.07 s are Python's and NumPy's.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tapejit as tj

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import json, sys
import numpy
before = set(sys.modules)
import tapejit
print(json.dumps(sorted(set(sys.modules) - before)))
"""
FIRST_CALL = """
import json, sys
import numpy
before = set(sys.modules)
import tapejit as tj

model = tj.nn.Sequential([tj.nn.Dense(16, activation="relu"), tj.nn.Dense(4)])
optimizer, loss_object = tj.optimizers.Adam(), tj.losses.SparseCategoricalCrossentropy(from_logits=True)

@tj.compile(strict=True)
def step(x, labels):
    with tj.GradientTape() as tape:
        loss = loss_object(labels, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss

step(numpy.ones((8, 5), "float32"), numpy.arange(8) % 4)
assert step.report()["from_cache"] == int(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""
# What takes long to import, and what brings many modules with it; each is needed for kernels only, or not at all.
KEPT_OUT = {
    "email", "hashlib", "importlib.metadata", "json", "llvmlite", "numba", "numpy.random", "platformdirs", "scipy",
    "scipy_openblas32", "sklearn", "tempfile", "unittest",
}  # fmt: skip
MODULES_OF_OTHERS = 20  # of Python's library and of packages; 13 with Python 3.11
MODULES = 110  # of tapejit's own; 98 with all operations
ROOMS = ("control", "custom", "functional", "graph", "guards", "kernel", "nn", "passes", "random", "step")
"""Rooms that come in when one of their names is asked for."""

ONLY_COMPILED = {
    "tapejit.kernel.assembly", "tapejit.kernel.build", "tapejit.kernel.emission", "tapejit.kernel.targets",
    "tapejit.passes.plan", "tapejit.passes.schedule", "tapejit.passes.statements",
}  # fmt: skip
"""What a process that finds its kernel in the store has no use for, besides Numba."""
NOT_USED = {
    "tapejit.control", "tapejit.custom", "tapejit.data", "tapejit.functional", "tapejit.interop", "tapejit.metrics",
    "tapejit.nn.convolutional", "tapejit.nn.recurrent", "tapejit.optimizers.lion", "tapejit.saving", "tapejit.testing",
}  # fmt: skip
"""Rooms that the program of the first call doesn't enter."""


@pytest.fixture(scope="module")
def imported() -> list[str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, cwd=ROOT, check=True)
    names: list[str] = json.loads(done.stdout)
    return names


def test_nothing_that_is_slow_is_imported(imported: list[str]) -> None:
    assert "tapejit.tape" in imported
    assert not KEPT_OUT.intersection(imported)


def test_rooms_are_left_for_later(imported: list[str]) -> None:
    assert not [name for name in imported if name.startswith(tuple(f"tapejit.{room}" for room in ROOMS))]
    assert sum(name.startswith("tapejit") for name in imported) <= MODULES


def test_a_stored_kernel_brings_nothing_that_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", str(tmp_path))
    found = []
    for stored in ("0", "1"):
        command = [sys.executable, "-W", "error", "-c", FIRST_CALL, stored]
        done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
        found.append(set(json.loads(done.stdout)))
    built, loaded = found
    assert built >= ONLY_COMPILED | {"numba"}
    assert not (ONLY_COMPILED | {"numba"}) & loaded
    assert not NOT_USED & loaded


def test_completion_offers_what_is_public() -> None:
    assert dir(tj) == sorted([*tj.__all__, "__version__"])
    assert not {"guards", "families", "lowering", "np"} & set(dir(tj))
    assert (dir(tj.linalg), dir(tj.random)) == (sorted(tj.linalg.__all__), ["Generator"])
    assert {"cholesky", "det", "eigh", "inv", "slogdet", "solve", "svd"} < set(dir(tj.linalg))
    assert not {"matrices", "factors", "spectra", "np", "annotations"} & set(dir(tj.linalg))
    for module in (tj, tj.linalg, tj.random):
        assert all(hasattr(module, name) for name in dir(module))


def test_few_modules_are_imported_beyond_numpy(imported: list[str]) -> None:
    others = [name for name in imported if name.split(".")[0] != "tapejit"]
    assert len(others) <= MODULES_OF_OTHERS, others


def test_the_kernel_builder_and_the_demo_are_left_for_later(imported: list[str]) -> None:
    assert not {"tapejit.kernel.build", "tapejit.kernel.objects", "tapejit.demo"}.intersection(imported)
