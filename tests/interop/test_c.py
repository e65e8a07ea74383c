"""C functions: from Python by ctypes, from SciPy's integrators and filters."""

import ctypes
import gc
from typing import Any

import numpy as np
import pytest
from numba import types
from scipy import LowLevelCallable, ndimage
from scipy.integrate import dblquad, nquad, quad

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


def test_a_derivative_with_a_parameter_under_an_integral() -> None:
    slope = tj.to_cfunc(tj.grad(lambda x, a: tj.exp(-a * x * x), argnums=1), "float64(intc, CPointer(float64))")
    for a in (0.5, 2.0):
        area, _ = quad(LowLevelCallable(slope.ctypes), -20, 20, args=(a,))
        np.testing.assert_allclose(area, -0.5 * np.sqrt(np.pi) * a**-1.5, rtol=1e-8)
    volume, _ = dblquad(LowLevelCallable(slope.ctypes), 1, 2, 0, 1)
    np.testing.assert_allclose(volume, dblquad(lambda x, a: -x * x * np.exp(-a * x * x), 1, 2, 0, 1)[0], rtol=1e-10)
    assert np.isnan(slope.ctypes(3, (ctypes.c_double * 3)()))
    same = tj.to_cfunc(lambda x: x * x, "double(intc, CPointer(double), voidptr)", 0.0)
    assert same.ctypes(1, (ctypes.c_double * 1)(3), None) == 9


def test_a_signature_may_be_of_numbas_types() -> None:
    double = types.float64(types.float64, types.CPointer(types.float64))
    square = tj.to_cfunc(tj.value_and_grad(lambda x: x * x), double)
    slope = ctypes.c_double()
    assert (square.ctypes(3.0, ctypes.byref(slope)), slope.value) == (9.0, 6.0)
    assert repr(square).startswith("<C function (float64, float64*) -> float64 at 0x")


def test_generic_filter() -> None:
    image = np.random.default_rng(0).normal(size=(12, 9))
    spread = tj.to_cfunc(tj.std, "intc(CPointer(float64), intp, CPointer(float64), CPointer(void))", np.zeros(6))
    found = ndimage.generic_filter(image, LowLevelCallable(spread.ctypes), size=(2, 3))
    np.testing.assert_allclose(found, ndimage.generic_filter(image, np.std, size=(2, 3)), rtol=1e-10)
    with pytest.raises(RuntimeError):  # another length than that of the example
        ndimage.generic_filter(image, LowLevelCallable(spread.ctypes), size=(3, 3))


def test_geometric_transform() -> None:
    image = np.random.default_rng(1).normal(size=(8, 8))

    def turned(at: Any) -> Any:
        return at[::-1] * 0.75 + 0.5

    mapping = tj.to_cfunc(
        turned, "intc(CPointer(intp), CPointer(float64), intc, intc, voidptr)", np.zeros(2, np.int64)
    )  # fmt: skip
    found = ndimage.geometric_transform(image, LowLevelCallable(mapping.ctypes))
    expected = ndimage.geometric_transform(image, lambda at: tuple(0.75 * each + 0.5 for each in at[::-1]))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_generic_filter1d() -> None:
    lines = np.random.default_rng(2).normal(size=(4, 7))
    signature = "intc(CPointer(float64), intp, CPointer(float64), intp, CPointer(void))"
    smooth = tj.to_cfunc(lambda line: (line[:-2] + line[1:-1] + line[2:]) / 3, signature, np.zeros(9))
    found = ndimage.generic_filter1d(lines, LowLevelCallable(smooth.ctypes), filter_size=3)
    np.testing.assert_allclose(found, ndimage.uniform_filter1d(lines, 3), rtol=1e-10)


def test_a_failed_check_is_a_status_where_all_results_go_to_pointers() -> None:
    def factor(x: Any) -> Any:
        return {"root": tj.linalg.cholesky(x), "trace": tj.trace(x)}

    pointer = "CPointer(float64)"
    made = tj.to_cfunc(factor, f"int32({pointer}, {pointer}, {pointer})", np.eye(2))
    good, bad = (ctypes.c_double * 4)(4, 0, 0, 9), (ctypes.c_double * 4)(-4, 0, 0, 9)
    root, trace = (ctypes.c_double * 4)(), ctypes.c_double()
    assert made.ctypes(good, root, ctypes.byref(trace)) == 1
    assert (list(root), trace.value) == ([2, 0, 0, 3], 13)
    assert made.ctypes(bad, root, ctypes.byref(trace)) == 0
    quiet = tj.to_cfunc(factor, f"void({pointer}, {pointer}, {pointer})", np.eye(2))
    assert quiet.ctypes(good, root, ctypes.byref(trace)) is None


def test_lengths_are_told_from_numbers() -> None:
    def power(x: Any, k: Any) -> Any:
        return tj.sum(x**k)

    pointer, example = "CPointer(float64)", (np.zeros(3), 2)
    given = (ctypes.c_double * 3)(1, 2, 3)
    assert tj.to_cfunc(power, f"float64({pointer}, intc, int64)", *example).ctypes(given, 3, 2) == 14
    assert tj.to_cfunc(power, f"float64(int64, {pointer}, int64)", *example).ctypes(3, given, 2) == 14
    counted = tj.to_cfunc(power, f"float64({pointer}, int64, int64)", *example)
    assert counted.ctypes(given, 3, 2) == 14
    assert np.isnan(counted.ctypes(given, 4, 2))


def test_the_code_outlives_its_object() -> None:
    def made() -> int:
        scale = np.full(2, 3.0)
        return tj.to_cfunc(lambda v: tj.sum(scale * v), "float64(CPointer(float64))", np.zeros(2)).address

    address = made()
    gc.collect()
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.POINTER(ctypes.c_double))(address)
    assert function((ctypes.c_double * 2)(1, 2)) == 9


def pair(x: Any, y: Any) -> Any:
    return x * y, x + y


@pytest.mark.parametrize(
    ("signature", "examples", "match"),
    [
        ("float64", (), "is no signature"),
        ("float64(float64, float64)", (np.zeros(2),), r"does not fit the arguments float64\[2\]"),
        ("float64(CPointer(float32))", (np.zeros(2),), r"x is CPointer\(float64\), and the signature has CPointer"),
        ("float64(CPointer(float64))", (), "takes 1 arguments.*pass an example of each argument"),
        ("float64(intc, CPointer(float64))", (), "takes 1 arguments.*pass an example of each argument"),
        ("float64(CPointer(complex128))", (np.zeros(2),), "is no number, and no pointer to numbers"),
        ("float64(nonsense)", (0.0,), "is no signature .*nonsense"),
        ("float64(CPointer(float64), float64)", (np.zeros(2),), "has more numbers than the function"),
        ("float64(CPointer(float64), intc, intc)", (np.zeros(2),), "has more lengths than arrays"),
        ("float64()", (np.zeros(2),), "there is none for x"),
        ("float64(CPointer(float64), CPointer(float64))", (np.zeros(2),), "returns a status: intc, or void"),
        ("intc(CPointer(float64), CPointer(intc))", (np.zeros(2),), r"float64\[\] does not go to CPointer\(int32\)"),
    ],
)
def test_signatures_that_do_not_fit(signature: str, examples: Any, match: str) -> None:
    with pytest.raises(TapejitError, match=match):
        tj.to_cfunc(tj.sum, signature, *examples)


def test_results_that_do_not_fit() -> None:
    with pytest.raises(TapejitError, match="the results of pair: there are 2, and pointers for 0"):
        tj.to_cfunc(pair, "float64(float64, float64)")
    signature = "float64(CPointer(float64), CPointer(float64), CPointer(float64))"
    with pytest.raises(TapejitError, match=r"the first one, float64\[2\], can't be returned as float64"):
        tj.to_cfunc(pair, signature, np.zeros(2), np.zeros(2))
