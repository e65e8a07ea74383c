"""``import tapejit`` is cheap: counted in modules, because a clock would fail on a busy machine.

Measured by hand (Python 3.11, one core): 0.055 s beyond NumPy's own import.
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
# What takes long to import, and what brings many modules with it; each is needed for kernels only, or not at all.
KEPT_OUT = {
    "email", "importlib.metadata", "llvmlite", "numba", "numpy.random", "platformdirs", "scipy", "scipy_openblas32",
    "sklearn", "tempfile", "unittest",
}  # fmt: skip
MODULES_OF_OTHERS = 35  # of Python's library and of packages; 27 with Python 3.11


@pytest.fixture(scope="module")
def imported() -> list[str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, cwd=ROOT, check=True)
    names: list[str] = json.loads(done.stdout)
    return names


def test_nothing_that_is_slow_is_imported(imported: list[str]) -> None:
    assert "tapejit.tape" in imported
    assert not KEPT_OUT.intersection(imported)


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
