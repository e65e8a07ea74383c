"""The parameters of a damped pendulum: a misfit to measured angles through 500 Runge–Kutta steps, and its gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Workload, returning

STEPS, DT = 500, 0.02
ARGUMENTS = ("parameters", "angles")
RESULTS = ("misfit", "by_parameters")


def misfit(library: Any, scan: Callable[..., Any]) -> Callable[..., Any]:
    """The mean square of the deviations from `angles`; parameters are g / L, the damping, first angle and speed."""

    def slope(angle, speed, stiffness, damping):
        return speed, -stiffness * library.sin(angle) - damping * speed

    def step(state, parameters):
        def after(time, slopes):
            return slope(*(value + time * change for value, change in zip(state, slopes, strict=True)), *parameters)

        first = slope(*state, *parameters)
        second = after(0.5 * DT, first)
        third = after(0.5 * DT, second)
        fourth = after(DT, third)
        return tuple(
            value + DT / 6 * (a + 2 * (b + c) + d)
            for value, a, b, c, d in zip(state, first, second, third, fourth, strict=True)
        )

    def loss(parameters, angles):
        def swing(state, angle):
            state = step(state, (parameters[0], parameters[1]))
            return state, (state[0] - angle) ** 2

        _, squares = scan(swing, (parameters[2], parameters[3]), angles)
        return library.mean(squares)

    return loss


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    time = DT * np.arange(1, STEPS + 1)
    angles = 1.1 * np.exp(-0.05 * time) * np.cos(2.9 * time) + draw.normal(0, 0.02, STEPS)
    return {"parameters": np.array([9.0, 0.15, 1.0, 0.1]), "angles": angles}


def numpy_by_hand(data: Arrays) -> Session:
    """The same, with the tangents of the four parameters carried along."""
    parameters, angles = (data[name] for name in ARGUMENTS)

    def slope(state, tangents):
        (angle, speed), (stiffness, damping) = state, parameters[:2]
        change = np.array([speed, -stiffness * np.sin(angle) - damping * speed])
        direct = np.array([[0, 0, 0, 0], [-np.sin(angle), -speed, 0, 0]])
        jacobian = np.array([[0, 1], [-stiffness * np.cos(angle), -damping]])
        return change, direct + jacobian @ tangents

    def step():
        state, tangents = parameters[2:].copy(), np.eye(4)[2:]
        total, gradient = 0.0, np.zeros(4)
        for angle in angles:
            a, ta = slope(state, tangents)
            b, tb = slope(state + 0.5 * DT * a, tangents + 0.5 * DT * ta)
            c, tc = slope(state + 0.5 * DT * b, tangents + 0.5 * DT * tb)
            d, td = slope(state + DT * c, tangents + DT * tc)
            state = state + DT / 6 * (a + 2 * (b + c) + d)
            tangents = tangents + DT / 6 * (ta + 2 * (tb + tc) + td)
            total += (state[0] - angle) ** 2
            gradient += 2 * (state[0] - angle) * tangents[0]
        return total / STEPS, gradient / STEPS

    return returning(RESULTS, step)


def tapejit_eager(data: Arrays, wrap: Callable[..., Any] = lambda step: step) -> Session:
    import tapejit as tj

    both = wrap(tj.value_and_grad(misfit(tj, tj.scan)))
    arguments = [data[name] for name in ARGUMENTS]
    return returning(RESULTS, lambda: both(*arguments))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    return tapejit_eager(data, tj.compile(strict=True))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    both = jax.jit(jax.value_and_grad(misfit(jnp, jax.lax.scan)))
    arguments = [jnp.asarray(data[name]) for name in ARGUMENTS]
    return returning(RESULTS, lambda: both(*arguments), jax.block_until_ready)


WORKLOADS = (
    Workload(
        name="pendulum",
        summary=f"misfit of a damped pendulum over {STEPS} Runge–Kutta steps and its gradient, float64",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "tangents written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "`scan`"),
            Engine("tapejit_eager", "tapejit", tapejit_eager),
            Engine("jax_jit", "jax", jax_jit, "`scan`"),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-12),
    ),
)
