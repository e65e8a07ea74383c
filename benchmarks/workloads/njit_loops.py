"""Gradients called by other people's compiled loops: the logistic posterior's, 200 × 8, float64.

A loop of gradient ascent, a sampler and a damped Newton's method are ordinary Numba, and get the gradient (and Hessian)
from `tapejit.to_numba` or written by hand; JAX is called from a Python loop. A step of each workload is many calls.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning
from benchmarks.workloads.logistic_posterior import COLUMNS, PRECISION, inputs

CALLS, RATE = 1000, 1e-3
DRAWS, LEAPS, STEP_SIZE = 50, 12, 0.12
FAR, TOLERANCE = 4.0, 1e-9
CLIMB, SAMPLE, MODE = ("log_posterior", "w"), ("draws", "log_posteriors"), ("log_posterior", "mode", "steps")


def by_tapejit(data: Arrays) -> Any:
    """``slope(w, gradient)`` writes the gradient and returns the value, in compiled code."""
    import tapejit as tj

    x, y = data["x"], data["y"]

    def log_posterior(w):
        z = x @ w
        return tj.sum(y * z - tj.softplus(z)) - 0.5 * PRECISION * tj.sum(w * w)

    return tj.to_numba(tj.value_and_grad(log_posterior), np.zeros(COLUMNS), out=True)


def by_hand(data: Arrays) -> Any:
    import numba

    x, y = data["x"], data["y"]

    @numba.njit
    def slope(w, gradient):
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

    return slope


def curvature_by_tapejit(data: Arrays) -> Any:
    """``curvature(w, gradient, hessian)`` writes both of what Newton's method minimises, and returns its value."""
    import tapejit as tj

    x, y = data["x"], data["y"]

    def loss(w):
        z = x @ w
        return 0.5 * PRECISION * tj.sum(w * w) - tj.sum(y * z - tj.softplus(z))

    def curved(w):
        return *tj.value_and_grad(loss)(w), tj.hessian(loss)(w)

    return tj.to_numba(curved, np.zeros(COLUMNS), out=True)


def curvature_by_hand(data: Arrays) -> Any:
    import numba

    x, slope = data["x"], by_hand(data)

    @numba.njit
    def curvature(w, gradient, hessian):
        value = -slope(w, gradient)
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

    return curvature


def climbing(slope: Any) -> Callable[[np.ndarray], Sequence[Any]]:
    """Gradient ascent of `CALLS` steps, compiled with the gradient in it."""
    import numba

    @numba.njit
    def climb(start):
        w, gradient, value = start.copy(), np.empty_like(start), 0.0
        for _ in range(CALLS):
            value = slope(w, gradient)
            for j in range(w.size):
                w[j] += RATE * gradient[j]
        return value, w

    return climb  # type: ignore[no-any-return]


def sampling(slope: Any) -> Callable[..., Sequence[Any]]:
    """`DRAWS` draws of Hamiltonian Monte Carlo from given momenta and uniform numbers."""
    import numba

    @numba.njit
    def sample(start, momenta, uniforms):
        draws, values = np.empty_like(momenta), np.empty(len(momenta))
        position, gradient, momentum = start.copy(), np.empty_like(start), np.empty_like(start)
        proposed, force = np.empty_like(start), np.empty_like(start)
        value = slope(position, gradient)
        for number in range(len(momenta)):
            height, energy = value, -value
            for j in range(start.size):
                momentum[j], proposed[j], force[j] = momenta[number, j], position[j], gradient[j]
                energy += 0.5 * momentum[j] ** 2
            for _ in range(LEAPS):
                for j in range(start.size):
                    momentum[j] += 0.5 * STEP_SIZE * force[j]
                    proposed[j] += STEP_SIZE * momentum[j]
                height = slope(proposed, force)
                for j in range(start.size):
                    momentum[j] += 0.5 * STEP_SIZE * force[j]
            for j in range(start.size):
                energy -= 0.5 * momentum[j] ** 2
            if np.log(uniforms[number]) < energy + height:
                position[:], gradient[:], value = proposed, force, height
            draws[number], values[number] = position, value
        return draws, values

    return sample  # type: ignore[no-any-return]


def solving() -> Any:
    """``solve(matrix, right)`` of a positive definite matrix, compiled."""
    import numba

    @numba.njit
    def solve(matrix, right):
        """By Cholesky's factor, which takes the matrix's place."""
        n, found = right.size, right.copy()
        for i in range(n):
            for j in range(i + 1):
                for k in range(j):
                    matrix[i, j] -= matrix[i, k] * matrix[j, k]
                matrix[i, j] = np.sqrt(matrix[i, i]) if i == j else matrix[i, j] / matrix[j, j]
            for k in range(i):
                found[i] -= matrix[i, k] * found[k]
            found[i] /= matrix[i, i]
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                found[i] -= matrix[k, i] * found[k]
            found[i] /= matrix[i, i]
        return found

    return solve


def minimising(curvature: Any) -> Callable[[np.ndarray], Sequence[Any]]:
    """Newton's method from a start, each step halved until it descends."""
    import numba

    solve = solving()

    @numba.njit
    def newton(start):
        w, trial, gradient = start.copy(), np.empty_like(start), np.empty_like(start)
        hessian = np.empty((start.size, start.size))
        value = curvature(w, gradient, hessian)
        for count in range(100):
            largest = 0.0
            for j in range(w.size):
                largest = max(largest, abs(gradient[j]))
            if largest < TOLERANCE:
                return -value, w, count
            step = solve(hessian, gradient)
            decrease, length, following = 0.0, 2.0, np.inf
            for j in range(w.size):
                decrease += step[j] * gradient[j]
            while following > value - 1e-4 * length * decrease and length > 1e-10:
                length *= 0.5
                for j in range(w.size):
                    trial[j] = w[j] - length * step[j]
                following = curvature(trial, gradient, hessian)
            w, trial, value = trial, w, following
        return -value, w, 100

    return newton  # type: ignore[no-any-return]


def sampler_inputs() -> Arrays:
    draw = np.random.default_rng(1)
    return {**inputs(), "momenta": draw.normal(0, 1, (DRAWS, COLUMNS)), "uniforms": draw.uniform(size=DRAWS)}


def _climb(slope_of: Callable[[Arrays], Any]) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        climb = climbing(slope_of(data))
        return returning(CLIMB, lambda: climb(data["w"]))

    return prepare


def _sample(slope_of: Callable[[Arrays], Any]) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        sample = sampling(slope_of(data))
        return returning(SAMPLE, lambda: sample(data["w"], data["momenta"], data["uniforms"]))

    return prepare


def _minimise(curvature_of: Callable[[Arrays], Any]) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        newton, start = minimising(curvature_of(data)), np.full(COLUMNS, FAR)
        return returning(MODE, lambda: newton(start))

    return prepare


def jax_from_python(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    x, y = jnp.asarray(data["x"]), jnp.asarray(data["y"])

    def log_posterior(w):
        z = x @ w
        return jnp.sum(y * z - jax.nn.softplus(z)) - 0.5 * PRECISION * jnp.sum(w * w)

    slope = jax.jit(jax.value_and_grad(log_posterior))

    def climb():
        w, value = data["w"].copy(), 0.0
        for _ in range(CALLS):
            value, gradient = slope(w)
            w += RATE * np.asarray(gradient)
        return np.float64(value), w

    return returning(CLIMB, climb)


WORKLOADS = (
    Workload(
        name="njit_gradient_loop",
        summary=f"{CALLS} calls of the logistic posterior's gradient from a compiled loop, float64",
        inputs=inputs,
        engines=(
            Engine("njit_by_hand", "numba", _climb(by_hand), "gradient written by hand"),
            Engine("tapejit_to_numba", "tapejit", _climb(by_tapejit), "the same loop, `to_numba(..., out=True)`"),
            Engine("jax_from_python", "jax", jax_from_python, "a Python loop over `jit`"),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-9),
        targets=(
            Target("tapejit_to_numba", "njit_by_hand", 1.2),
            Target("tapejit_to_numba", "jax_from_python", 0.1),
        ),
    ),
    Workload(
        name="njit_hmc_sampler",
        summary=f"{DRAWS} draws of Hamiltonian Monte Carlo of {LEAPS} leaps each, in Numba, float64",
        inputs=sampler_inputs,
        engines=(
            Engine("njit_by_hand", "numba", _sample(by_hand), "gradient written by hand"),
            Engine("tapejit_to_numba", "tapejit", _sample(by_tapejit), "the same sampler, `to_numba(..., out=True)`"),
        ),
        check=Check(steps=1, rtol=1e-8, atol=1e-8),
        targets=(Target("tapejit_to_numba", "njit_by_hand", 1.2),),
    ),
    Workload(
        name="njit_newton",
        summary="a damped Newton's method to the logistic posterior's mode, with its Hessian, in Numba, float64",
        inputs=inputs,
        engines=(
            Engine("njit_by_hand", "numba", _minimise(curvature_by_hand), "both written by hand"),
            Engine(
                "tapejit_to_numba", "tapejit", _minimise(curvature_by_tapejit), "the same, `to_numba(..., out=True)`"
            ),
        ),
        check=Check(steps=1, rtol=1e-8, atol=1e-8),
        targets=(Target("tapejit_to_numba", "njit_by_hand", 1.2),),
    ),
)
