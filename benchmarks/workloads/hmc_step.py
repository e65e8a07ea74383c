"""One step of Hamiltonian Monte Carlo on a logistic regression's posterior, and a gradient through all of it, float64.

The momenta and the uniform number of the decision are inputs. 16 leapfrog steps, each with a gradient of the log
density, lead to a proposal; the error of the energy there is then differentiated by where the step began, by the
momenta and by the step's size, which is a second derivative of the density all along.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Workload, returning

ROWS, COLUMNS, LEAPS = 100, 6, 16
PRECISION = 0.25
ARGUMENTS = ("position", "momentum", "step_size", "uniform", "x", "y")
RESULTS = ("position", "log_density", "energy_error", "by_position", "by_momentum", "by_step_size")


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    x = draw.normal(0, 1, (ROWS, COLUMNS))
    chance = 1 / (1 + np.exp(-x @ draw.normal(0, 1, COLUMNS)))
    return {
        "position": draw.normal(0, 0.5, COLUMNS),
        "momentum": draw.normal(0, 1, COLUMNS),
        "step_size": np.array(0.08),
        "uniform": np.array(0.6),
        "x": x,
        "y": (draw.uniform(size=ROWS) < chance).astype(np.float64),
    }


def hmc_step(
    library: Any, softplus: Callable[[Any], Any], grad: Callable[..., Any], fori_loop: Callable[..., Any]
) -> Callable[..., Any]:
    """From (position, momentum, step_size, uniform, x, y) to the next position, its log density, and the error."""

    def log_density(position, x, y):
        logits = x @ position
        return library.sum(y * logits - softplus(logits)) - 0.5 * PRECISION * library.sum(position**2)

    slope = grad(log_density)

    def proposal(position, momentum, step_size, x, y):
        def leap(_, state):
            position, momentum, force = state
            momentum = momentum + 0.5 * step_size * force
            position = position + step_size * momentum
            force = slope(position, x, y)
            return position, momentum + 0.5 * step_size * force, force

        position, momentum, _ = fori_loop(0, LEAPS, leap, (position, momentum, slope(position, x, y)))
        return position, momentum

    def energy(position, momentum, x, y):
        return 0.5 * library.sum(momentum**2) - log_density(position, x, y)

    def energy_error(position, momentum, step_size, x, y):
        proposed = proposal(position, momentum, step_size, x, y)
        return energy(*proposed, x, y) - energy(position, momentum, x, y)

    def step(position, momentum, step_size, uniform, x, y):
        proposed, _ = proposal(position, momentum, step_size, x, y)
        error = energy_error(position, momentum, step_size, x, y)
        following = library.where(library.log(uniform) < -error, proposed, position)
        gradients = grad(energy_error, argnums=(0, 1, 2))(position, momentum, step_size, x, y)
        return following, log_density(following, x, y), error, *gradients

    return step


def numpy_by_hand(data: Arrays) -> Session:
    """Leapfrog with the tangents of everything that the error is differentiated by carried along."""
    position, momentum, step_size, uniform, x, y = (data[name] for name in ARGUMENTS)
    inputs = 2 * COLUMNS + 1

    def density(q):
        z = x @ q
        chance = 1 / (1 + np.exp(-z))
        value = y @ z - np.logaddexp(z, 0).sum() - 0.5 * PRECISION * (q @ q)
        force = (y - chance) @ x - PRECISION * q
        curvature = -(x.T * (chance * (1 - chance))) @ x - PRECISION * np.eye(COLUMNS)
        return value, force, curvature

    def step():
        q, p, h = position, momentum, float(step_size)
        tq, tp, th = np.eye(COLUMNS, inputs), np.eye(COLUMNS, inputs, COLUMNS), np.eye(1, inputs, inputs - 1)
        value, force, curvature = density(q)
        before = 0.5 * (p @ p) - value
        by_start = tp.T @ p - tq.T @ force
        for _ in range(LEAPS):
            tp = tp + 0.5 * (h * curvature @ tq + np.outer(force, th))
            p = p + 0.5 * h * force
            tq = tq + h * tp + np.outer(p, th)
            q = q + h * p
            value, force, curvature = density(q)
            tp = tp + 0.5 * (h * curvature @ tq + np.outer(force, th))
            p = p + 0.5 * h * force
        error = 0.5 * (p @ p) - value - before
        gradient = tp.T @ p - tq.T @ force - by_start
        following = q if np.log(uniform) < -error else position
        parts = gradient[:COLUMNS], gradient[COLUMNS:-1], gradient[-1]
        return following, density(following)[0], error, *parts

    return returning(RESULTS, step)


def tapejit_eager(data: Arrays, wrap: Callable[..., Any] = lambda step: step) -> Session:
    import tapejit as tj

    step = wrap(hmc_step(tj, tj.softplus, tj.grad, tj.fori_loop))
    arguments = [data[name] for name in ARGUMENTS]
    return returning(RESULTS, lambda: step(*arguments))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    return tapejit_eager(data, tj.compile(strict=True))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    step = jax.jit(hmc_step(jnp, jax.nn.softplus, jax.grad, jax.lax.fori_loop))
    arguments = [jnp.asarray(data[name]) for name in ARGUMENTS]
    return returning(RESULTS, lambda: step(*arguments), jax.block_until_ready)


WORKLOADS = (
    Workload(
        name="hmc_step",
        summary=f"a step of Hamiltonian Monte Carlo of {LEAPS} leaps and the gradient of its error in energy, float64",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "tangents written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "`fori_loop`"),
            Engine("tapejit_eager", "tapejit", tapejit_eager),
            Engine("jax_jit", "jax", jax_jit, "`fori_loop`"),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-9),
    ),
)
