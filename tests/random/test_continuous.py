from collections.abc import Callable
from math import erf, inf
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.ops.philox import random_words
from tapejit.ops.quantiles import normal_quantile
from tapejit.ops.random import unit_open
from tests.ops.differences import assert_derivatives
from tests.random.statistics import assert_mean, distance

COUNT = 50_000
PHI = np.vectorize(lambda x: (1 + erf(x / 2**0.5)) / 2)

DRAWS: dict[str, tuple[Callable[..., Any], Callable[[np.ndarray], np.ndarray]]] = {
    "exponential": (lambda g, n, **how: g.exponential(n, **how), lambda x: -np.expm1(-x)),
    "laplace": (lambda g, n, **how: g.laplace(n, **how), lambda x: 0.5 - 0.5 * np.sign(x) * np.expm1(-np.abs(x))),
    "logistic": (lambda g, n, **how: g.logistic(n, **how), lambda x: 1 / (1 + np.exp(-x))),
    "gumbel": (lambda g, n, **how: g.gumbel(n, **how), lambda x: np.exp(-np.exp(-x))),
    "cauchy": (lambda g, n, **how: g.cauchy(n, **how), lambda x: 0.5 + np.arctan(x) / np.pi),
    "truncated_normal": (
        lambda g, n, **how: g.truncated_normal(n, **how),
        lambda x: (PHI(x) - PHI(-2)) / (PHI(2) - PHI(-2)),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DRAWS)
def test_distributions(name: str, dtype: str) -> None:
    draw, distribution = DRAWS[name]
    sample = draw(tj.random.Generator(1), (COUNT,), dtype=dtype).numpy()
    assert sample.dtype == dtype
    assert np.isfinite(sample).all()
    assert distance(sample, distribution) < 1.95
    assert draw(tj.random.Generator(1), ()).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_without_ends(dtype: str) -> None:
    u = unit_open(np.array([1, 0], np.uint64), (COUNT,), np.dtype(dtype))[0].numpy()
    words = random_words(1, 0, COUNT, np.dtype("uint32" if dtype == "float32" else "uint64"))
    digits = 23 if dtype == "float32" else 52
    upper = (words >> words.dtype.type(8 * words.itemsize - digits)).astype(np.longdouble)
    np.testing.assert_array_equal(u, ((upper + 0.5) * np.longdouble(2) ** -digits).astype(dtype), strict=True)
    assert 0 < np.dtype(dtype).type((2.0**digits - 0.5) * 2.0**-digits) < 1


@pytest.mark.parametrize("name", ["laplace", "logistic", "gumbel", "cauchy"])
def test_location_and_scale(name: str) -> None:
    loc, scale = np.array([1.0, -2.0]), np.float64(3.0)

    def draws(at: Any, width: Any) -> Any:
        return getattr(tj.random.Generator(2), name)((4, 2), at, width)

    z = getattr(tj.random.Generator(2), name)((4, 2), dtype="float64").numpy()
    np.testing.assert_allclose(draws(loc, scale).numpy(), loc + 3 * z, rtol=1e-14)
    assert_derivatives(draws, loc, scale, order=1)


def test_exponential_has_a_scale() -> None:
    assert_derivatives(lambda s: tj.random.Generator(2).exponential((4, 2), s), np.array([1.0, 5.0]), order=1)
    assert_mean(tj.random.Generator(3).exponential((COUNT,), 3.0).numpy(), 3.0)


@pytest.mark.parametrize(("lower", "upper"), [(-inf, 0.5), (1.0, 1.5), (-0.3, inf), (4.0, 30.0), (-30.0, -7.0)])
def test_truncated_normal(lower: float, upper: float) -> None:
    draws = tj.random.Generator(4).truncated_normal((COUNT,), lower, upper, dtype="float64").numpy()
    assert lower <= draws.min() <= draws.max() <= upper
    sign = 1 if lower + upper <= 0 else -1  # by the smaller tail
    low, high = sorted((sign * lower, sign * upper))

    def tail(x: Any) -> np.ndarray:
        return tj.erfc(np.asarray(-x / 2**0.5)).numpy() / 2

    start, end = tail(low), tail(high)
    assert distance(sign * draws, lambda x: (tail(x) - start) / (end - start)) < 1.95


def test_truncated_normal_is_differentiable_by_its_ends() -> None:
    def draws(lower: Any, upper: Any) -> Any:
        return tj.random.Generator(5).truncated_normal((6, 3), lower, upper)

    assert_derivatives(draws, np.array([-1.0, 0.5, 2.0]), np.array([0.3, 1.0, 4.0]))


def test_normal_quantiles() -> None:
    x = np.array([-30.0, -8.0, -5.5, -3.0, -1.0, -0.1, 0.0, 0.5, 1.5])
    p = tj.erfc(-x / 2**0.5) * 0.5
    found = normal_quantile(p).numpy()
    np.testing.assert_allclose(found, x, rtol=1e-14, atol=1e-15)


def test_a_seed_gives_the_same_numbers_on_every_machine() -> None:
    generator = tj.random.Generator(2024)
    for name, expected in GOLDEN.items():
        first = (0.7,) if name == "gamma" else ()
        draws = getattr(generator, name)(*first, shape=(3,), dtype="float64")
        np.testing.assert_allclose(draws.numpy(), expected, rtol=1e-13)


GOLDEN: dict[str, list[float]] = {
    "truncated_normal": [-0.5855358966710866, -1.2671965133549603, -0.15398417970976802],
    "exponential": [0.05054733056789204, 0.07567779547045593, 0.6578249403305357],
    "laplace": [-0.12307917399383934, 1.1897846701021062, -0.01041182677556025],
    "logistic": [-0.38660941458094555, 0.24858386898945228, 1.5670940684654653],
    "gumbel": [-0.7892208968998055, -0.9233760329913762, 0.6472330416071651],
    "cauchy": [76.73389071771213, 0.2844683048345356, 0.8195175747109512],
    "gamma": [0.01653763673574904, 0.4552436661545005, 3.4371623742971833],
}
