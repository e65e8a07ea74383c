"""Circular functions and their inverses: errors, huge angles, and values at the special places."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from tests.kernel.mathlib.accuracy import (
    DTYPES,
    IS_WIDE,
    POINTS,
    WIDER,
    Exact,
    compiled,
    error_against_exact,
    errors_against_wide,
    every_exponent,
    neighbours,
    special_numbers,
    worst,
)

HALF_PI = [k * np.pi / 2 for k in (0.5, 1, 1.5, 2, 3, 4, 100, 4095, 4096, 4097, 83000, 1e5, 2_600_000)]
BORDERS = (6433.0, 131072.0, 4194304.0)
# The float64 that is nearest to a multiple of π/2, relative to its size, and one for float32.
HARDEST = (6381956970095103.0 * 2.0**797, 16367173.0 * 2.0**72)
ANGLES = ((-10.0, 10.0), (-1e5, 1e5), (-3e38, 3e38))
EXACT = {
    "sin": Exact(mpmath.sin, np.sin, ANGLES, (*HALF_PI, *BORDERS)),
    "cos": Exact(mpmath.cos, np.cos, ANGLES, (*HALF_PI, *BORDERS)),
    "tan": Exact(mpmath.tan, np.tan, ANGLES, (*HALF_PI, *BORDERS)),
    "asin": Exact(mpmath.asin, np.arcsin, ((-1, 1),), (0.5, 1.0, 0.84)),
    "acos": Exact(mpmath.acos, np.arccos, ((-1, 1),), (0.5, 1.0, 0.54)),
    "atan": Exact(mpmath.atan, np.arctan, ((-5, 5), (-3e38, 3e38)), (0.5, 1.0)),
}
# The largest errors, in ulp, that these places and all float32 numbers show, rounded up.
BOUNDS = {"sin": 1.6, "cos": 1.6, "tan": 1.9, "asin": 1.3, "acos": 1.3, "atan": 1.7, "atan2": 1.9}
NUMPY: dict[str, Callable[..., np.ndarray]] = {
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_errors_over_the_whole_range(name: str, dtype: str) -> None:
    error, where = worst(name, EXACT[name], dtype)
    assert error <= BOUNDS[name], where


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_huge_angles(name: str, dtype: str, rng: np.random.Generator) -> None:
    """Among them those next to multiples of π/2, which need the most bits of π."""
    largest = float(np.finfo(dtype).max)
    sizes = 2.0 ** rng.uniform(17, np.log2(largest), POINTS // 4)
    hardest = [number for number in HARDEST if number < largest]
    x = np.array([*sizes, *hardest, 1e22, largest, 2.0**120], dtype)
    found = compiled(name, dtype)(np.concatenate([x, -x]))
    with mpmath.workprec(1200):
        for number, result in zip(np.concatenate([x, -x]), found, strict=True):
            exact = EXACT[name].exact(mpmath.mpf(float(number)))
            assert error_against_exact(result, exact) <= BOUNDS[name], number


def _points(dtype: str, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of all sizes, with quotients of all sizes and near those where formulas meet."""
    y = np.concatenate([every_exponent(dtype, count, rng), rng.normal(size=2 * count).astype(dtype)])
    ratio = np.concatenate([2.0 ** rng.uniform(-40, 40, count), rng.uniform(-2.5, 2.5, 2 * count)])
    with np.errstate(all="ignore"):
        x = (y * ratio).astype(dtype)
    near = neighbours((0.5, 1.0, 2.0), dtype)
    return np.concatenate([y, near, np.ones_like(near)]), np.concatenate([x, np.ones_like(near), near])


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_of_angles_of_points(dtype: str, rng: np.random.Generator) -> None:
    if dtype == "float32" or IS_WIDE:
        y, x = _points(dtype, 30 * POINTS, rng)
        with np.errstate(all="ignore"):
            expected = np.arctan2(y.astype(WIDER[dtype]), x.astype(WIDER[dtype]))
        error = errors_against_wide(compiled("atan2", dtype)(y, x), expected)
        assert error.max() <= BOUNDS["atan2"], (y[error.argmax()], x[error.argmax()])
    y, x = _points(dtype, POINTS // 4, rng)
    finite = np.isfinite(x) & np.isfinite(y) & (x != 0)
    y, x = y[finite], x[finite]
    with mpmath.workprec(150):
        for one, other, found in zip(y, x, compiled("atan2", dtype)(y, x), strict=True):
            exact = mpmath.atan2(mpmath.mpf(float(one)), mpmath.mpf(float(other)))
            assert error_against_exact(found, exact) <= BOUNDS["atan2"], (one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NUMPY)
def test_special_values(name: str, dtype: str) -> None:
    operands = [special_numbers(dtype)]
    if name == "atan2":
        operands = [grid.ravel().copy() for grid in np.meshgrid(operands[0], operands[0])]
    with np.errstate(all="ignore"):
        expected = NUMPY[name](*[operand.astype(WIDER[dtype]) for operand in operands]).astype(dtype)
    found = compiled(name, dtype)(*operands)
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= 2 * np.spacing(np.abs(expected))
    same = (found == expected) | (near & (expected != 0))
    same = (same & (np.signbit(found) == np.signbit(expected))) | (np.isnan(found) & np.isnan(expected))
    assert same.all(), [(*column, found[~same], expected[~same]) for column in operands]
