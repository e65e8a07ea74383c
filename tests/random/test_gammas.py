"""Gamma, beta and Dirichlet: their distributions, and their gradients, which are those of quantiles."""

from math import erf, pi

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tapejit.ops.gamma_draws import quantile_slope
from tests.ops.differences import assert_derivatives
from tests.random.statistics import assert_mean, distance

COUNT = 20_000

# -dP(a, z)/da / p(z) by mpmath with 40 digits.
SLOPES = [
    (1, 0.01, 0.05055692236986734),
    (1, 0.5, 0.806979116825318),
    (1, 1, 1.1735630272247268),
    (1, 9, 2.8753021978183932),
    (1.5, 0.0001, 0.000660927304307706),
    (2, 1.5, 0.9366390678772174),
    (3.7, 2.5, 0.85396073588742),
    (3.7, 12, 1.7770099983331147),
    (25, 20, 0.8985352609142602),
    (25, 40, 1.2616772638216287),
    (1000, 900, 0.9484026381794104),
    (1000, 1000.5, 1.0004166833342198),
    (10000.0, 10300.0, 1.0148691241755485),
]

DISTRIBUTIONS = {
    0.5: np.vectorize(lambda x: erf(x**0.5)),
    1.0: lambda x: 1 - np.exp(-x),
    2.0: lambda x: 1 - (1 + x) * np.exp(-x),
    5.0: lambda x: 1 - (1 + x + x**2 / 2 + x**3 / 6 + x**4 / 24) * np.exp(-x),
}


@pytest.mark.parametrize(("a", "z", "expected"), SLOPES)
def test_slopes_of_quantiles(a: float, z: float, expected: float) -> None:
    found = quantile_slope(tj.constant(np.float64(a)), tj.constant(np.float64(z))).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-12)


def test_slopes_have_derivatives() -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(1.1, 20, 30)
    assert_derivatives(quantile_slope, a, a * rng.uniform(0.3, 2, 30), order=1)


@pytest.mark.parametrize("alpha", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_has_its_distribution(alpha: float, dtype: str) -> None:
    draws = tj.random.Generator(1).gamma(alpha, 3.0, (COUNT,), dtype=dtype).numpy()
    assert draws.dtype == dtype
    assert draws.min() > 0
    assert distance(draws / 3, DISTRIBUTIONS[alpha]) < 1.95


def test_large_and_small_shape_parameters() -> None:
    large = tj.random.Generator(2).gamma(np.float64(1e6), 1.0, (COUNT,)).numpy()
    assert_mean(large, 1e6)
    np.testing.assert_allclose(large.std(), 1e3, rtol=0.02)
    small = tj.random.Generator(2).gamma(np.float64(0.01), 1.0, (COUNT,)).numpy()
    assert_mean(small, 0.01)
    assert np.isfinite(small).all()
    assert tj.random.Generator(0).gamma(0.0).numpy() == 0
    assert np.isnan(tj.random.Generator(0).gamma(-0.5).numpy())


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_gradients_of_averages(alpha: float) -> None:
    """Those of E[x], E[log x] and E[x²] by alpha: 1, trigamma(alpha), 2 alpha + 1."""
    a = tj.constant(np.full(COUNT, alpha))
    for function, expected in (
        (lambda x: x, 1.0),
        (tj.log, tj.trigamma(np.float64(alpha)).item()),
        (lambda x: x * x, 2 * alpha + 1),
    ):
        with tj.GradientTape() as tape:
            tape.watch(a)
            y = function(tj.random.Generator(3).gamma(a))
        assert_mean(tape.gradient(y, a).numpy(), expected)


def test_the_gradient_is_the_slope_of_the_quantile() -> None:
    a, scale = tj.constant(np.linspace(1, 9, 50)), tj.constant(2.0, dtype="float64")
    with tj.GradientTape() as tape:
        tape.watch([a, scale])
        draws = tj.random.Generator(4).gamma(a, scale)
    by_a, by_scale = tape.gradient(draws, [a, scale])
    z = draws / 2
    np.testing.assert_allclose(by_a.numpy(), 2 * quantile_slope(a, z).numpy(), rtol=1e-12)
    np.testing.assert_allclose(by_scale.numpy(), z.numpy().sum(), rtol=1e-12)


def test_beta() -> None:
    a, b = np.float64(2.0), np.float64(1.0)
    draws = tj.random.Generator(5).beta(a, b, (COUNT,)).numpy()
    assert distance(draws, lambda x: x**2) < 1.95
    arcsine = tj.random.Generator(6).beta(np.float64(0.5), np.float64(0.5), (COUNT,)).numpy()
    assert distance(arcsine, lambda x: 2 / pi * np.arcsin(np.sqrt(x))) < 1.95
    tiny = tj.random.Generator(6).beta(np.float64(1e-3), np.float64(1e-3), (COUNT,)).numpy()
    assert_mean(tiny, 0.5)
    first, second = (tj.constant(np.full(COUNT, each)) for each in (2.0, 3.0))
    with tj.GradientTape() as tape:
        tape.watch([first, second])
        mean = tj.random.Generator(7).beta(first, second)
    for found, expected in zip(tape.gradient(mean, [first, second]), (3 / 25, -2 / 25), strict=True):
        assert_mean(found.numpy(), expected)


def test_dirichlet() -> None:
    alpha = np.array([0.2, 1.0, 3.0])
    draws = tj.random.Generator(8).dirichlet(alpha, (COUNT,)).numpy()
    np.testing.assert_allclose(draws.sum(-1), 1, rtol=1e-14)
    for column, mean in zip(draws.T, alpha / alpha.sum(), strict=True):
        assert_mean(column, mean)
    assert (
        distance(tj.random.Generator(9).dirichlet(np.ones(3), (COUNT,))[:, 0].numpy(), lambda x: 1 - (1 - x) ** 2)
        < 1.95
    )
    assert tj.random.Generator(0).dirichlet(np.ones((4, 1, 2)), (3,)).shape == (4, 3, 2)
    with pytest.raises(ShapeError, match="dirichlet: alpha has the last axis"):
        tj.random.Generator(0).dirichlet(2.0)


def test_parameters_broadcast_and_choose_the_dtype() -> None:
    generator = tj.random.Generator(0)
    assert generator.gamma(2.0).dtype == np.float32
    assert generator.gamma(np.ones(3), np.ones((2, 1)), (4, 1, 1)).shape == (4, 2, 3)
    assert generator.gamma(np.ones(3, np.float32)).dtype == np.float32
    assert generator.gamma(1, shape=(0, 2)).shape == (0, 2)
    with pytest.raises(DtypeError, match="gamma draws float32 or float64"):
        generator.gamma(2.0, dtype="int32")


def test_second_derivatives_of_draws() -> None:
    a = tj.constant(np.linspace(1.5, 6, 40))

    def slopes(at: tj.Tensor) -> tj.Tensor:
        with tj.GradientTape() as tape:
            tape.watch(at)
            y = tj.random.Generator(11).gamma(at)
        return tape.gradient(y, at)

    with tj.GradientTape() as tape:
        tape.watch(a)
        first = slopes(a)
    z, step = tj.random.Generator(11).gamma(a).numpy(), 1e-4
    moved = [quantile_slope(a + s * step, tj.constant(z + s * step * first.numpy())).numpy() for s in (1, -1)]
    np.testing.assert_allclose(
        tape.gradient(first, a).numpy(), (moved[0] - moved[1]) / (2 * step), rtol=1e-5, atol=1e-7
    )
