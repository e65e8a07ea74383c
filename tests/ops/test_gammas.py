"""`lgamma`, its derivatives and `erfc` in NumPy against mpmath, and derivatives of negative numbers."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import tapejit as tj

EXACT: dict[str, Callable[[Any], Any]] = {
    "lgamma": lambda x: mpmath.loggamma(x).real,
    "digamma": mpmath.digamma,
    "trigamma": lambda x: mpmath.psi(1, x),
    "erfc": mpmath.erfc,
}


def points(rng: np.random.Generator) -> np.ndarray:
    parts = [rng.uniform(low, high, 100) for low, high in ((-8, 0), (0, 1), (1, 3), (3, 9), (9, 40))]
    return np.concatenate([*parts, 10.0 ** rng.uniform(-300, -1, 50), -(10.0 ** rng.uniform(-300, -1, 50))])


@pytest.mark.parametrize("name", EXACT)
def test_values_are_right_to_some_units_in_the_last_place(name: str, rng: np.random.Generator) -> None:
    x = points(rng)
    if name == "trigamma":
        x = x[np.abs(x) > 1e-150]
    with mpmath.workdps(40):
        expected = np.array([float(EXACT[name](mpmath.mpf(v))) for v in x])
    function = getattr(tj, name)
    for found in (function(x).numpy(), np.concatenate([function(part).numpy() for part in np.array_split(x, 50)])):
        size = np.abs(expected) if name in ("trigamma", "erfc") else np.maximum(np.abs(expected), 1)
        assert np.max(np.abs(found - expected) / np.spacing(size)) <= 10
    small = np.abs(x) > 1e-18  # else trigamma overflows
    single = function(x[small].astype(np.float32)).numpy()
    assert single.dtype == np.float32
    with mpmath.workdps(40):
        exact = np.array([float(EXACT[name](mpmath.mpf(float(v)))) for v in x[small].astype(np.float32)])
    np.testing.assert_allclose(single, exact, rtol=1e-7, atol=1e-40 if name == "erfc" else 1e-7)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_derivatives_of_lgamma_to_high_order(order: int) -> None:
    x = np.array([-7.3, -2.5, -0.4, 0.2, 1.0, 1.7, 3.0, 9.5, 40.0])
    tapes = [tj.GradientTape() for _ in range(order)]
    value = argument = tj.asarray(x)
    for tape in tapes:
        tape.__enter__()
        tape.watch(argument)
    value = tj.lgamma(argument)
    for tape in reversed(tapes):
        tape.__exit__(None, None, None)
        value = tape.gradient(value, argument)
    with mpmath.workdps(40):
        expected = [float(mpmath.psi(order - 1, mpmath.mpf(v))) for v in x]
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-10)
