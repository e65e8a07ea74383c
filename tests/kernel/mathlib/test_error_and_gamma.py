"""erf and erfc, lgamma and its derivatives: errors, and values at the special places."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from tests.kernel.mathlib.accuracy import DTYPES, LONG, Exact, compiled, error_against_exact, neighbours, worst

INF, NAN = math.inf, math.nan
_erf, _erfc = (np.vectorize(function, otypes=[np.float64]) for function in (math.erf, math.erfc))

EXACT = {
    "erf": Exact(mpmath.erf, None, ((-3, 3), (-7, 7)), (0.9, 1.0, 1.1, 3.93, 4.1, 5.93)),
    "erfc": Exact(mpmath.erfc, None, ((-3, 3), (-7, 28)), (0.5, 10.06, 26.54, 27.2)),
}
BOUNDS = {"erf": 1.5, "erfc": 1.6, "lgamma": 2.0, "digamma": 1.1, "trigamma": 1.4}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_errors_over_the_whole_range(name: str, dtype: str) -> None:
    error, where = worst(name, EXACT[name], dtype)
    assert error <= BOUNDS[name], where


def _trigamma(x: Any) -> Any:
    """By the series after a recurrence; mpmath's own takes some 50 ms for a number."""
    if x < 0:
        return (mpmath.pi / mpmath.sinpi(x)) ** 2 - _trigamma(1 - x)
    high = x + 40
    series = mpmath.fsum(mpmath.bernoulli(2 * k) / high ** (2 * k + 1) for k in range(1, 25))
    return mpmath.fsum(1 / (x + k) ** 2 for k in range(40)) + 1 / high + 1 / (2 * high**2) + series


GAMMA: dict[str, Callable[[Any], Any]] = {
    "lgamma": lambda x: mpmath.loggamma(x).real,
    "digamma": mpmath.digamma,
    "trigamma": _trigamma,
}
ROOTS = (1.0, 2.0, 1.4616321449683622)  # and where recurrences begin: 3 and 8


def _arguments(dtype: str, rng: np.random.Generator) -> np.ndarray:
    count = 100_000 if LONG else 60
    smallest = np.log2(float(np.finfo(dtype).smallest_subnormal))
    parts = [rng.uniform(low, high, count) for low, high in ((0, 1), (1, 3), (3, 9), (9, 200), (-1, 0), (-12, -1))]
    parts += [2.0 ** rng.uniform(smallest, -5, count), 2.0 ** rng.uniform(5, 127, count)]
    parts += [-(2.0 ** rng.uniform(smallest, -5, count)), -(2.0 ** rng.uniform(4, 20, count))]
    near = np.array(ROOTS)[:, None] + rng.choice([-1, 1], count) * 2.0 ** rng.uniform(-22, -3, count)
    poles = -rng.integers(1, 50, count) + rng.choice([-1, 1], count) * 2.0 ** rng.uniform(-15, -2, count)
    x = np.concatenate([*parts, near.ravel(), poles]).astype(dtype)
    x = np.concatenate([x, neighbours((*ROOTS, 3.0, 8.0), dtype, count=3)])
    return x[(x > 0) | (x != np.round(x))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GAMMA)
def test_errors_of_gamma_functions(name: str, dtype: str, rng: np.random.Generator) -> None:
    """Relative errors for positive numbers; for negative ones, whose roots are not exact, against 1 at least."""
    x = _arguments(dtype, rng)
    found = compiled(name, dtype)(x)
    one = float(np.finfo(dtype).eps)
    with mpmath.workprec(150):
        for number, result in zip(x, found, strict=True):
            exact = GAMMA[name](mpmath.mpf(float(number)))
            if number < 0 and abs(exact) < 1:
                error = abs(float(exact - float(result))) / one
            else:
                error = error_against_exact(result, exact)
            assert error <= BOUNDS[name], (number, result, exact)


SPECIAL: dict[str, tuple[tuple[float, float], ...]] = {
    "erf": ((0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (7.0, 1.0), (NAN, NAN)),
    "erfc": ((0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (-7.0, 2.0), (30.0, 0.0), (NAN, NAN)),
    "lgamma": (
        (0.0, INF), (-0.0, INF), (1.0, 0.0), (2.0, 0.0), (-1.0, INF), (-37.0, INF), (INF, INF), (-INF, INF),
        (-1e30, INF), (NAN, NAN),
    ),
    "digamma": ((0.0, -INF), (-0.0, INF), (-1.0, NAN), (-37.0, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)),
    "trigamma": (
        (0.0, INF), (-0.0, INF), (1e-30, INF), (-1.0, INF), (-37.0, INF), (INF, 0.0), (-INF, NAN), (NAN, NAN),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, dtype: str) -> None:
    x, expected = np.array(SPECIAL[name], dtype).T.copy()
    if name == "trigamma" and dtype == "float64":
        x[2] = 1e-170
    found = compiled(name, dtype)(x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(expected)[~np.isnan(found)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_lgamma_overflows(dtype: str) -> None:
    last = np.array([{"float32": 4.085003108497519e36, "float64": 2.5599833278516383e305}[dtype]], dtype)
    function = compiled("lgamma", dtype)
    assert function(last) >= np.finfo(dtype).max * (1 - np.finfo(dtype).eps)
    assert function(np.nextafter(last, np.array(INF, dtype))) == INF
