"""Exponentials, logarithms, hyperbolic functions and powers: errors, and values at the special places."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from tapejit.kernel.mathlib.functions import FUNCTIONS
from tests.kernel.mathlib.accuracy import (
    DTYPES,
    IS_WIDE,
    POINTS,
    WIDER,
    Exact,
    compiled,
    error_against_exact,
    errors_against_wide,
    neighbours,
    special_numbers,
    worst,
)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _cbrt(x: Any) -> Any:
    return mpmath.sign(x) * mpmath.cbrt(abs(x))


ONE = (1.0, np.sqrt(2), np.sqrt(0.5))
LN2 = [k * np.log(2) / 2 for k in range(1, 8)]
POSITIVE = ((0.0, 3.0), (0.0, 3e38))
EXACT = {
    "exp": Exact(mpmath.exp, np.exp, ((-104, 89), (-746, 710)), (*LN2, 87.336, 88.7228, 708.396, 709.7827, 745.13)),
    "exp2": Exact(lambda x: mpmath.mpf(2) ** x, np.exp2, ((-150, 128), (-1076, 1024)), (0.5, 1.5, 126, 128, 1023.9)),
    "expm1": Exact(mpmath.expm1, np.expm1, ((-2, 2), (-50, 710)), (*LN2, 17.33, 37.43, 88.7228, 709.7827)),
    "log": Exact(mpmath.log, np.log, POSITIVE, ONE),
    "log2": Exact(lambda x: mpmath.log(x) / mpmath.log(2), np.log2, POSITIVE, ONE),
    "log10": Exact(mpmath.log10, np.log10, POSITIVE, (*ONE, 10, 100, 1000)),
    "log1p": Exact(mpmath.log1p, np.log1p, ((-1, 3), (0, 3e38)), (0.41421356, 0.29289322, 1.0, 0.5)),
    "sinh": Exact(mpmath.sinh, np.sinh, ((-3, 3), (-711, 711)), (*LN2, 7.97, 18.376, 89.4158, 710.4758)),
    "cosh": Exact(mpmath.cosh, np.cosh, ((-3, 3), (-711, 711)), (*LN2, 7.98, 18.38, 89.4158, 710.4758)),
    "tanh": Exact(mpmath.tanh, np.tanh, ((-3, 3), (-25, 25)), (*[x / 2 for x in LN2], 0.2496, 9.01, 19.06)),
    "sigmoid": Exact(lambda x: 1 / (1 + mpmath.exp(-x)), _sigmoid, ((-5, 5), (-746, 40)), (*LN2, 17, 37, 87.3)),
    "softplus": Exact(lambda x: mpmath.log1p(mpmath.exp(x)), _softplus, ((-5, 5), (-746, 40)), (*LN2, 17, 37)),
    "asinh": Exact(mpmath.asinh, np.arcsinh, ((-3, 3), (-3e38, 3e38)), (0.5, 1.0, 1.3, 2.0**13, 2.0**28)),
    "acosh": Exact(mpmath.acosh, np.arccosh, ((1, 1.01), (1, 4), (1, 3e38)), (1.0, 1.2, 2.0**13, 2.0**28)),
    "atanh": Exact(mpmath.atanh, np.arctanh, ((-1, 1),), (0.17, 0.25, 0.5, 1.0)),
    "cbrt": Exact(_cbrt, np.cbrt, ((-9, 9), (-3e38, 3e38)), (1, 8, 27, 64, 0.125)),
}  # fmt: skip
# The largest errors, in ulp, that these places and some 10⁷ others show, rounded up.
BOUNDS = {
    "exp": 1.0, "exp2": 1.1, "expm1": 1.3, "log": 1.0, "log2": 1.1, "log10": 1.1, "log1p": 1.0, "sinh": 1.8,
    "cosh": 1.9, "tanh": 1.8, "sigmoid": 1.7, "softplus": 1.9, "cbrt": 1.2, "power": 1.1,
    "asinh": 1.4, "acosh": 1.8, "atanh": 1.2, "hypot": 1.1, "logaddexp": 1.9,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_errors_over_the_whole_range(name: str, dtype: str) -> None:
    error, where = worst(name, EXACT[name], dtype)
    assert error <= BOUNDS[name], where


def _bases_and_exponents(dtype: str, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose powers are numbers: bases near 1 with large exponents too."""
    limit = 126 if dtype == "float32" else 1022
    x = 2.0 ** (rng.uniform(-1, 1, count) * rng.choice([1e-6, 1e-3, 0.1, 0.5, 1, 10, limit], count))
    x = np.concatenate([x.astype(dtype), neighbours((1, np.sqrt(2), np.sqrt(0.5), 2, 3), dtype)])
    x = np.abs(x[x != 0])
    with np.errstate(all="ignore"):
        y = rng.uniform(-1.2, 1.2, x.size) * limit / np.abs(np.log2(x.astype(float)))
    y = np.clip(y, -1e30, 1e30).astype(dtype)
    y[::7] = np.round(np.clip(y[::7], -50, 50))
    x[::7] *= -1
    return x, y


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_of_powers(dtype: str, rng: np.random.Generator) -> None:
    if dtype == "float32" or IS_WIDE:
        x, y = _bases_and_exponents(dtype, 50 * POINTS, rng)
        with np.errstate(all="ignore"):
            expected = np.power(x.astype(WIDER[dtype]), y.astype(WIDER[dtype]))
        error = errors_against_wide(compiled("power", dtype)(x, y), expected)
        assert error.max() <= BOUNDS["power"], (x[error.argmax()], y[error.argmax()])
    x, y = _bases_and_exponents(dtype, POINTS // 2, rng)
    with mpmath.workprec(200):
        for one, exponent, found in zip(x, y, compiled("power", dtype)(x, y), strict=True):
            exact = mpmath.mpf(float(one)) ** (int(exponent) if one < 0 else mpmath.mpf(float(exponent)))
            assert error_against_exact(found, exact) <= BOUNDS["power"], (one, exponent)


def _pairs(dtype: str, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of all sizes, each with one that is larger or smaller by up to 2**30, and by nearly nothing."""
    limit = 126 if dtype == "float32" else 1022
    x = 2.0 ** rng.uniform(-limit - 20, limit, count)
    y = np.concatenate([x[::2] * 2.0 ** rng.uniform(-30, 2, x[::2].size), x[1::2] * rng.uniform(0.99, 1, x[1::2].size)])
    return np.concatenate([x[::2], -x[1::2]]).astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_of_hypotenuses(dtype: str, rng: np.random.Generator) -> None:
    x, y = _pairs(dtype, POINTS, rng)
    with mpmath.workprec(200):
        for one, other, found in zip(x, y, compiled("hypot", dtype)(x, y), strict=True):
            exact = mpmath.hypot(mpmath.mpf(float(one)), mpmath.mpf(float(other)))
            assert error_against_exact(found, exact) <= BOUNDS["hypot"], (one, other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_of_sums_of_exponentials(dtype: str, rng: np.random.Generator) -> None:
    """In units of the larger operand where the result is smaller than that: it may cancel."""
    x, y = _pairs(dtype, POINTS, rng)
    with mpmath.workprec(200):
        for one, other, found in zip(x, y, compiled("logaddexp", dtype)(x, y), strict=True):
            low, high = sorted(mpmath.mpf(float(each)) for each in (one, other))
            exact = high + mpmath.log1p(mpmath.exp(low - high))
            error = abs(mpmath.mpf(float(found)) - exact)
            size = np.spacing(max(abs(one), abs(other), abs(found)))
            assert np.isinf(found) or error <= BOUNDS["logaddexp"] * float(size), (one, other)


# --- special values: NumPy's ---------------------------------------------------------------------------------

NUMPY: dict[str, Callable[..., Any]] = {
    name: getattr(np, name) for name in (*EXACT, "power", "hypot", "logaddexp") if name not in ("sigmoid", "softplus")
} | {"sigmoid": _sigmoid, "softplus": _softplus}


def assert_as_numpy(found: np.ndarray, expected: np.ndarray, *operands: np.ndarray) -> None:
    """Zeros and infinities with their signs, NaN where NumPy has it, and nearly the same numbers."""
    with np.errstate(all="ignore"):
        same = (found == expected) & (np.signbit(found) == np.signbit(expected))
        near = np.isfinite(found) & (np.abs(found - expected) <= 4 * np.spacing(np.abs(expected)))
    same |= (near & (found != 0) & (expected != 0)) | (np.isnan(found) & np.isnan(expected))
    assert same.all(), [(*column, expected[k]) for k, *column in zip(np.nonzero(~same)[0], found[~same], *(
        operand[~same] for operand in operands), strict=True)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NUMPY)
def test_special_values(name: str, dtype: str) -> None:
    operands = [special_numbers(dtype)]
    if FUNCTIONS[name].arity == 2:
        operands = [grid.ravel().copy() for grid in np.meshgrid(operands[0], operands[0])]
    with np.errstate(all="ignore"):
        expected = NUMPY[name](*operands)
    if name == "logaddexp":  # sums that nearly cancel are held against exact ones, above
        operands = [operand[~(np.abs(expected) < 0.5)] for operand in operands]
        expected = expected[~(np.abs(expected) < 0.5)]
    assert_as_numpy(compiled(name, dtype)(*operands), expected, *operands)


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_results_are_exact(dtype: str) -> None:
    exponents = np.arange(np.finfo(dtype).minexp - np.finfo(dtype).nmant, np.finfo(dtype).maxexp).astype(dtype)
    powers = np.ldexp(np.ones_like(exponents), exponents.astype(int))
    np.testing.assert_array_equal(compiled("exp2", dtype)(exponents), powers)
    np.testing.assert_array_equal(compiled("log2", dtype)(powers), exponents)
    np.testing.assert_array_equal(compiled("power", dtype)(np.full_like(exponents, 2), exponents), powers)
    tens = np.array([10**k for k in range(11 if dtype == "float32" else 23)], dtype)
    np.testing.assert_array_equal(compiled("log10", dtype)(tens), np.arange(tens.size))
    roots = np.arange(-200, 200).astype(dtype)
    np.testing.assert_array_equal(compiled("cbrt", dtype)(roots**3), roots)
    squares = np.arange(1, 200).astype(dtype)
    np.testing.assert_array_equal(compiled("power", dtype)(squares, np.full_like(squares, 2)), squares**2)
