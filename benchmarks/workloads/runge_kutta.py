"""Runge–Kutta steps of systems of 32 equations inside `scan`, and the gradient through all 200 of them, float64.

`lorenz96` is weather forecasting's 4D-Var in small: how far the trajectory of Lorenz's system of 1996 is from
observations, differentiated by the state at the start and by the forcing. A step is elementwise operations on shifted
copies. `neural_ode` has a layer of 32 × 32 weights as its right-hand side: a step is four products of a matrix and a
vector.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

SIZE, STEPS, DT = 32, 200, 0.01


@dataclass(frozen=True, slots=True)
class System:
    """A system y' = field(y, …), and where its measurements come from."""

    name: str
    summary: str
    parameters: Sequence[str]
    inputs: Callable[[], Arrays]
    """The start, the parameters, and what was observed, in this order."""
    field: Callable[..., Any]
    """Of a library the right-hand side."""
    by_hand: Callable[..., Any]
    """The right-hand side's pullback."""
    limit: str = ""
    """What stands in the way of its target."""


def runge_kutta(field: Callable[..., Any], y: Any, *parameters: Any) -> Any:
    """One step of the classical method for y' = field(y, …)."""
    k1 = field(y, *parameters)
    k2 = field(y + (0.5 * DT) * k1, *parameters)
    k3 = field(y + (0.5 * DT) * k2, *parameters)
    k4 = field(y + DT * k3, *parameters)
    return y + (DT / 6) * (k1 + 2 * (k2 + k3) + k4)


def lorenz96(library: Any) -> Callable[..., Any]:
    def field(x, forcing):
        return (library.roll(x, -1) - library.roll(x, 2)) * library.roll(x, 1) - x + forcing

    return field


def neural_ode(library: Any) -> Callable[..., Any]:
    def field(y, weights, bias):
        return library.tanh(weights @ y + bias)

    return field


def misfit(library: Any, scan: Callable[..., Any], field: Callable[..., Any]) -> Callable[..., Any]:
    """Mean square of the trajectory's distance to what was observed, by (start, parameters …, observed)."""

    def loss(start, *rest):
        *parameters, observed = rest

        def step(y, _):
            y = runge_kutta(field, y, *parameters)
            return y, y

        _, trajectory = scan(step, start, None, length=STEPS)
        return library.mean((trajectory - observed) ** 2)

    return loss


def lorenz96_by_hand(x, _slope, ct, _parameters, sums):
    """The cotangent of x, where `ct` is that of the slope; what the parameters get is added to `sums`."""
    by_difference = ct * np.roll(x, 1)
    sums[0][:] += ct
    by_last = ct * (np.roll(x, -1) - np.roll(x, 2))
    return np.roll(by_difference, 1) - np.roll(by_difference, -2) + np.roll(by_last, -1) - ct


def neural_ode_by_hand(y, slope, ct, parameters, sums):
    ct = ct * (1 - slope * slope)
    sums[0][:] += np.outer(ct, y)
    sums[1][:] += ct
    return np.dot(ct, parameters[0])


def by_hand(field: Callable[..., Any], pullback: Callable[..., Any]) -> Callable[..., Any]:
    """The loss and its gradient, written so that Numba compiles it too."""

    def loss_and_gradient(start, parameters, sums, observed):
        states = np.empty((STEPS + 1, start.size))
        stages = np.empty((STEPS, 4, start.size))  # where the slopes were taken
        slopes = np.empty((STEPS, 4, start.size))
        ahead, shares = (0.0, 0.5 * DT, 0.5 * DT, DT), (DT / 6, DT / 3, DT / 3, DT / 6)
        states[0] = start
        for t in range(STEPS):
            total = states[t].copy()
            for s in range(4):
                stages[t, s] = states[t]
                if s:
                    stages[t, s] += ahead[s] * slopes[t, s - 1]
                slopes[t, s] = field(stages[t, s], *parameters)
                total += shares[s] * slopes[t, s]
            states[t + 1] = total
        distances = states[1:] - observed
        scale = 2 / distances.size
        ct = np.zeros_like(start)
        for t in range(STEPS - 1, -1, -1):
            ct = ct + scale * distances[t]
            total, ct_stage = ct.copy(), np.zeros_like(start)
            for s in range(3, -1, -1):
                ct_slope = shares[s] * ct
                if s < 3:
                    ct_slope += ahead[s + 1] * ct_stage
                ct_stage = pullback(stages[t, s], slopes[t, s], ct_slope, parameters, sums)
                total += ct_stage
            ct = total
        return 0.5 * scale * np.sum(distances * distances), ct

    return loss_and_gradient


def observed_along(field: Callable[..., Any], start: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    states = []
    y = start
    for _ in range(STEPS):
        y = runge_kutta(field, y, *parameters)
        states.append(y)
    return np.array(states)


def lorenz96_inputs() -> Arrays:
    draw = np.random.default_rng(0)
    start, forcing = draw.normal(3, 3, SIZE), np.full(SIZE, 8.0)
    observed = observed_along(lorenz96(np), start, forcing) + draw.normal(0, 0.5, (STEPS, SIZE))
    return {"start": start + draw.normal(0, 0.2, SIZE), "forcing": forcing - 0.5, "observed": observed}


def neural_ode_inputs() -> Arrays:
    draw = np.random.default_rng(0)
    start, bias = draw.normal(0, 1, SIZE), draw.normal(0, 0.3, SIZE)
    weights = draw.normal(0, 1 / np.sqrt(SIZE), (SIZE, SIZE))
    observed = observed_along(neural_ode(np), start, weights, bias)
    nearby = weights + draw.normal(0, 0.05, weights.shape)
    return {"start": start, "weights": nearby, "bias": np.zeros(SIZE), "observed": observed}


def _session(loss_and_gradient: Callable[..., Any], results: Sequence[str], data: Arrays) -> Session:
    start, *parameters, observed = data.values()

    def step():
        sums = tuple(np.zeros_like(parameter) for parameter in parameters)
        return *loss_and_gradient(start, tuple(parameters), sums, observed), *sums

    return returning(results, step)


def numpy_by_hand(system: System, results: Sequence[str]) -> Callable[[Arrays], Session]:
    return lambda data: _session(by_hand(system.field(np), system.by_hand), results, data)


def njit_by_hand(system: System, results: Sequence[str]) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import numba

        field, pullback = numba.njit(system.field(np)), numba.njit(system.by_hand)
        return _session(numba.njit(by_hand(field, pullback)), results, data)

    return prepare


def tapejit_compiled(system: System, results: Sequence[str]) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import tapejit as tj

        arguments = list(data.values())
        by = tuple(range(len(arguments) - 1))
        scan = functools.partial(tj.scan, checkpoint="all")  # as JAX's
        differentiated = tj.value_and_grad(misfit(tj, scan, system.field(tj)), argnums=by)

        @tj.compile(strict=True)
        def loss_and_gradient(*arguments):
            loss, gradients = differentiated(*arguments)
            return loss, *gradients

        return returning(results, lambda: loss_and_gradient(*arguments))

    return prepare


def jax_jit(system: System, results: Sequence[str]) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", val=True)
        arguments = [jnp.asarray(array) for array in data.values()]
        by = tuple(range(len(arguments) - 1))
        compiled = jax.jit(jax.value_and_grad(misfit(jnp, jax.lax.scan, system.field(jnp)), argnums=by))

        def step():
            loss, gradients = compiled(*arguments)
            return loss, *gradients

        return returning(results, step, jax.block_until_ready)

    return prepare


def workload(system: System) -> Workload:
    results = ("loss", "by_start", *(f"by_{name}" for name in system.parameters))
    return Workload(
        name=system.name,
        summary=f"{STEPS} Runge–Kutta steps of {system.summary}, and the gradient of a misfit, float64",
        inputs=system.inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand(system, results), "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled(system, results), "`scan` that keeps all"),
            Engine("njit_by_hand", "numba", njit_by_hand(system, results), "the same as numpy, compiled"),
            Engine("jax_jit", "jax", jax_jit(system, results), "`scan`"),
        ),
        check=Check(steps=1, rtol=1e-8, atol=1e-10),
        targets=(Target("tapejit_compiled", "jax_jit", 0.2, limit=system.limit),),
    )


WORKLOADS = (
    workload(
        System(
            "lorenz96",
            f"Lorenz's system of {SIZE} equations",
            ("forcing",),
            lorenz96_inputs,
            lorenz96,
            lorenz96_by_hand,
        )
    ),
    workload(
        System(
            "neural_ode",
            f"y' = tanh(W y + b), {SIZE} × {SIZE}",
            ("weights", "bias"),
            neural_ode_inputs,
            neural_ode,
            neural_ode_by_hand,
            limit="its multiplications alone take 84 of 140 µs at the core's peak, and most others wait for them",
        )
    ),
)
