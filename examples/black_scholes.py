"""A book of 20,000 European options: prices and five greeks from the pricing formula alone, by tapes.

Delta, vega, theta and rho are one gradient, gamma a gradient of a gradient. The same function runs eagerly and
compiled, where all of it becomes one loop, and both are held against the formulas of textbooks.
"""

import argparse
import math
import time

import numpy as np

import tapejit as tj

GREEKS = ("price", "delta", "gamma", "vega", "theta", "rho")


def normal_cdf(x):
    return 0.5 * (1 + tj.erf(x / math.sqrt(2)))


def price(sign, spot, strike, years, rate, volatility):
    """Of calls (sign 1) and puts (sign -1)."""
    deviation = volatility * tj.sqrt(years)
    d1 = (tj.log(spot / strike) + (rate + volatility**2 / 2) * years) / deviation
    d2 = d1 - deviation
    return sign * (spot * normal_cdf(sign * d1) - strike * tj.exp(-rate * years) * normal_cdf(sign * d2))


def greeks(sign, spot, strike, years, rate, volatility):
    with tj.GradientTape() as second:
        second.watch(spot)
        with tj.GradientTape() as first:
            first.watch([spot, years, rate, volatility])
            value = price(sign, spot, strike, years, rate, volatility)
        # Each price depends on its own option only, so the gradient of their sum has the slope of each.
        delta, decay, rho, vega = first.gradient(value, [spot, years, rate, volatility])
    gamma = second.gradient(delta, spot)
    return value, delta, gamma, vega, -decay, rho


greeks_compiled = tj.compile(greeks)


def closed_formulas(sign, spot, strike, years, rate, volatility):
    """The same six, as they stand in textbooks, with NumPy."""
    erf = np.vectorize(math.erf)
    root = np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate + volatility**2 / 2) * years) / (volatility * root)
    d2 = d1 - volatility * root
    density = np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi)
    below1, below2 = ((1 + erf(sign * d / math.sqrt(2))) / 2 for d in (d1, d2))
    discounted = strike * np.exp(-rate * years)
    return (
        sign * (spot * below1 - discounted * below2),
        sign * below1,
        density / (spot * volatility * root),
        spot * density * root,
        -spot * density * volatility / (2 * root) - sign * rate * discounted * below2,
        sign * discounted * years * below2,
    )


def book(count):
    """Calls and puts around the money, from a month to three years."""
    random = np.random.default_rng(7)
    spot = random.uniform(80, 120, count)
    return (
        random.choice([-1.0, 1.0], count),
        spot,
        spot * random.uniform(0.7, 1.3, count),
        random.uniform(1 / 12, 3, count),
        random.uniform(0.0, 0.05, count),
        random.uniform(0.1, 0.5, count),
    )


def milliseconds(function, options):
    function(*options)  # the first call of a compiled step builds its kernel
    started = time.perf_counter()
    for _ in range(10):
        function(*options)
    return (time.perf_counter() - started) * 100


def main(count=20_000):
    options = tuple(map(tj.constant, book(count)))
    expected = closed_formulas(*book(count))
    results = {"eager": greeks(*options), "compiled": greeks_compiled(*options)}
    for mode, found in results.items():
        function = greeks if mode == "eager" else greeks_compiled
        print(f"{mode:>8}: {milliseconds(function, options):.2f} ms for {count} options")
        for name, values, closed in zip(GREEKS, found, expected, strict=True):
            error = np.max(np.abs(values.numpy() - closed))
            print(f"{name:>12}: {values[0].item():12.6f} of the first, all within {error:.0e} of the closed formula")
    print(greeks_compiled.source())
    for name, figure in greeks_compiled.report().items():
        print(f"{name:>18}: {figure:.4f}" if isinstance(figure, float) else f"{name:>18}: {figure}")
    return results


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
