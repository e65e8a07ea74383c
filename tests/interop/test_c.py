"""C functions: from Python by ctypes, from SciPy's integrators."""

import ctypes
from typing import Any

import numpy as np
import pytest
from scipy import LowLevelCallable
from scipy.integrate import nquad, quad

import tapejit as tj
from tapejit.errors import TapejitError


def test_a_function_of_a_number() -> None:
    bell = tj.to_cfunc(lambda x: tj.exp(-x * x), "float64(float64)")
    assert bell.ctypes(0.5) == np.exp(-0.25)
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(bell.address)(0.0) == 1.0
    area, _ = quad(LowLevelCallable(bell.ctypes), -8, 8)
    np.testing.assert_allclose(area, np.sqrt(np.pi), rtol=1e-10)


def test_a_function_of_a_counted_array() -> None:
    bell = tj.to_cfunc(lambda v: tj.exp(-tj.sum(v * v)), "float64(intc, CPointer(float64))", np.zeros(2))
    area, _ = nquad(LowLevelCallable(bell.ctypes), [[-4, 4], [-4, 4]], opts={"epsabs": 1e-6})
    np.testing.assert_allclose(area, np.pi, rtol=1e-6)


def test_gradients_are_written_to_pointers() -> None:
    cubes = tj.to_cfunc(
        tj.value_and_grad(lambda v: tj.sum(v**3)), "float64(CPointer(float64), CPointer(float64), CPointer(void))",
        np.zeros(3),
    )  # fmt: skip
    point, gradient = (ctypes.c_double * 3)(1, 2, 3), (ctypes.c_double * 3)()
    assert cubes.ctypes(point, gradient, None) == 36.0
    assert list(gradient) == [3.0, 12.0, 27.0]


def test_a_failed_check_gives_nan() -> None:
    picked = tj.to_cfunc(lambda x: tj.constant([1.0, 2.0])[tj.astype(x, "int64")], "float64(float64)")
    assert picked.ctypes(1.0) == 2.0
    assert np.isnan(picked.ctypes(2.0))


@pytest.mark.parametrize(
    ("signature", "examples", "match"),
    [
        ("float64", (), "is no signature"),
        ("float64(float64, float64)", (np.zeros(2),), r"does not fit the arguments float64\[2\]"),
        ("float64(CPointer(float32))", (np.zeros(2),), "does not fit"),
    ],
)
def test_signatures_that_do_not_fit(signature: str, examples: Any, match: str) -> None:
    with pytest.raises(TapejitError, match=match):
        tj.to_cfunc(tj.sum, signature, *examples)
