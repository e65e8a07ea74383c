"""Compiled gradients in your own njit code: a Hamiltonian Monte Carlo sampler and a damped Newton's method.

Both are ordinary Numba, written by somebody who knows nothing of tapejit: they call a function that writes a gradient
(and a Hessian) into arrays of theirs. They get it twice, from ``tj.to_numba`` and written by hand, and must come to
the same numbers in about the same time. The posterior is that of a logistic regression.

Needs SciPy, which Numba solves linear systems with: python -m pip install scipy
"""

import argparse
from importlib.util import find_spec
from time import perf_counter

import numba
import numpy as np

import tapejit as tj

if find_spec("scipy") is None:
    raise SystemExit("Numba solves linear systems with SciPy: python -m pip install scipy")

ROWS, COLUMNS, PRECISION = 200, 8, 0.25
LEAPS, STEP_SIZE = 12, 0.12

draw = np.random.default_rng(0)
x = draw.normal(0, 1, (ROWS, COLUMNS))
y = (draw.uniform(size=ROWS) < 1 / (1 + np.exp(-x @ draw.normal(0, 1, COLUMNS)))).astype(np.float64)


def log_posterior(w):
    z = x @ w
    return tj.sum(y * z - tj.softplus(z)) - 0.5 * PRECISION * tj.sum(w * w)


def curved(w):
    """Value, gradient and Hessian of what Newton's method minimises."""

    def loss(w):
        return -log_posterior(w)

    return *tj.value_and_grad(loss)(w), tj.hessian(loss)(w)


slope = tj.to_numba(tj.value_and_grad(log_posterior), np.zeros(COLUMNS), out=True)
curvature = tj.to_numba(curved, np.zeros(COLUMNS), out=True)


@numba.njit
def slope_by_hand(w, gradient):
    value = 0.0
    for j in range(w.size):
        value -= 0.5 * PRECISION * w[j] * w[j]
        gradient[j] = -PRECISION * w[j]
    for i in range(x.shape[0]):
        z = 0.0
        for j in range(w.size):
            z += x[i, j] * w[j]
        small = np.exp(-abs(z))
        value += y[i] * z - max(z, 0.0) - np.log1p(small)
        rest = y[i] - (1.0 if z >= 0 else small) / (1.0 + small)
        for j in range(w.size):
            gradient[j] += rest * x[i, j]
    return value


@numba.njit
def curvature_by_hand(w, gradient, hessian):
    value = -slope_by_hand(w, gradient)
    for j in range(w.size):
        gradient[j] = -gradient[j]
        for k in range(w.size):
            hessian[j, k] = PRECISION if j == k else 0.0
    for i in range(x.shape[0]):
        z = 0.0
        for j in range(w.size):
            z += x[i, j] * w[j]
        chance = 1.0 / (1.0 + np.exp(-z))
        for j in range(w.size):
            scaled = chance * (1.0 - chance) * x[i, j]
            for k in range(w.size):
                hessian[j, k] += scaled * x[i, k]
    return value


@numba.njit
def sample(slope, start, count, generator):
    """Draws of shape (count, n), and the part of the proposals that were accepted."""
    draws = np.empty((count, start.size))
    position, gradient = start.copy(), np.empty_like(start)
    proposed, force = np.empty_like(start), np.empty_like(start)
    value, accepted = slope(position, gradient), 0
    for number in range(count):
        momentum = generator.standard_normal(start.size)
        before = value - 0.5 * np.sum(momentum**2)
        size = STEP_SIZE * generator.uniform(0.5, 1.0)
        proposed[:], force[:], height = position, gradient, value
        for _ in range(LEAPS):
            momentum += 0.5 * size * force
            proposed += size * momentum
            height = slope(proposed, force)
            momentum += 0.5 * size * force
        if np.log(generator.uniform(0.0, 1.0)) < height - 0.5 * np.sum(momentum**2) - before:
            position[:], gradient[:], value = proposed, force, height
            accepted += 1
        draws[number] = position
    return draws, accepted / count


@numba.njit
def newton(curvature, start, tolerance):
    """Where the gradient is smaller than the tolerance, and the number of steps; each is halved until it descends."""
    w, trial = start.copy(), np.empty_like(start)
    gradient, hessian = np.empty_like(start), np.empty((start.size, start.size))
    value = curvature(w, gradient, hessian)
    for count in range(100):
        if np.max(np.abs(gradient)) < tolerance:
            return w, count
        step = np.linalg.solve(hessian, gradient)
        decrease, length = np.sum(step * gradient), 1.0
        trial[:] = w - step
        following = curvature(trial, gradient, hessian)
        while following > value - 1e-4 * length * decrease and length > 1e-10:
            length *= 0.5
            trial[:] = w - length * step
            following = curvature(trial, gradient, hessian)
        w[:], value = trial, following
    return w, 100


def timed(function, *arguments):
    begun = perf_counter()
    found = function(*arguments)
    return found, perf_counter() - begun


def main(count=20_000):
    results = {}
    for name, first, second in (("to_numba", slope, curvature), ("by hand", slope_by_hand, curvature_by_hand)):
        sample(first, np.zeros(COLUMNS), 1, np.random.default_rng(1))  # Numba compiles it
        newton(second, np.zeros(COLUMNS), 1e-9)
        (draws, accepted), sampling = timed(sample, first, np.zeros(COLUMNS), count, np.random.default_rng(1))
        (mode, steps), minimising = timed(newton, second, np.full(COLUMNS, 4.0), 1e-9)
        results[name] = {"draws": draws, "accepted": accepted, "mode": mode, "steps": steps}
        print(
            f"{name:>8}: {count} draws in {sampling:.3f} s, {accepted:.1%} accepted; "
            f"Newton's method in {minimising * 1e6:.0f} µs, {steps} steps"
        )
    means = results["to_numba"]["draws"].mean(axis=0)
    print("{:>8}  {:>8} {:>8}".format("", "mean", "mode"))
    for number, row in enumerate(zip(means, results["to_numba"]["mode"], strict=True)):
        print("{:>8}  {:>8.4f} {:>8.4f}".format(f"w[{number}]", *row))
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000, metavar="COUNT", help="of the sampler")
    main(parser.parse_args().draws)
