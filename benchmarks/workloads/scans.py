"""Scans of different lengths: neither what their first call costs nor the text of the kernel grows with them.

64 leaky units are driven by a sequence; the mean of squares of their states is differentiated by their weights. The
longest scan is also run so that it keeps everything for the reverse pass, and so that it keeps the state at every 316th
step, the root of its length, and computes the rest again.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Workload, returning, told_by

SIZE = 64
LEAK = 0.1
LENGTHS = 100, 100_000
RESULTS = ("loss", "by_weights")


def inputs_of(length: int) -> Callable[[], Arrays]:
    def inputs() -> Arrays:
        draw = np.random.default_rng(0)
        return {"weights": draw.uniform(0.2, 0.9, SIZE), "drive": draw.normal(0, 1, length)}

    return inputs


def loss_of(library: Any, scan: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    def loss(weights, drive):
        def step(carry, pushed):
            state, total = carry
            state = (1 - LEAK) * state + LEAK * library.tanh(weights * state + pushed)
            return (state, total + library.sum(state**2)), None

        start = library.zeros_like(weights)
        (_, total), _ = scan(step, (start, library.sum(start)), drive, **how)
        return total / (SIZE * len(drive))

    return loss


def numpy_by_hand(data: Arrays) -> Session:
    weights, drive = data["weights"], data["drive"]

    def step():
        states, activities = np.zeros((len(drive) + 1, SIZE)), np.zeros((len(drive), SIZE))
        for t, pushed in enumerate(drive):
            activities[t] = np.tanh(weights * states[t] + pushed)
            states[t + 1] = (1 - LEAK) * states[t] + LEAK * activities[t]
        ct, by_weights = np.zeros(SIZE), np.zeros(SIZE)
        scale = 1 / (SIZE * len(drive))
        for t in range(len(drive), 0, -1):
            ct = ct + 2 * scale * states[t]
            inner = ct * LEAK * (1 - activities[t - 1] ** 2)
            by_weights += inner * states[t - 1]
            ct = (1 - LEAK) * ct + inner * weights
        return scale * np.sum(states**2), by_weights

    return returning(RESULTS, step)


def tapejit(**how: Any) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import tapejit as tj

        loss_and_gradient = tj.compile(tj.value_and_grad(loss_of(tj, tj.scan, **how)), strict=True)
        session = returning(RESULTS, lambda: loss_and_gradient(data["weights"], data["drive"]))
        return Session(session.step, session.result, report=told_by(loss_and_gradient))

    return prepare


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    compiled = jax.jit(jax.value_and_grad(loss_of(jnp, jax.lax.scan)))
    arguments = jnp.asarray(data["weights"]), jnp.asarray(data["drive"])

    def report():
        memory = compiled.lower(*arguments).compile().memory_analysis()
        return {"intermediate_bytes": memory.temp_size_in_bytes}

    session = returning(RESULTS, lambda: compiled(*arguments), jax.block_until_ready)
    return Session(session.step, session.result, session.wait, report)


def scan_of(length: int) -> Workload:
    every = math.isqrt(length)
    kept = (
        Engine("tapejit_keeping_all", "tapejit", tapejit(checkpoint="all"), '`checkpoint="all"`', compiles=True),
        Engine(
            "tapejit_keeping_every_root",
            "tapejit",
            tapejit(checkpoint=every),
            f"`checkpoint={every}`",
            compiles=True,
        ),
    )
    return Workload(
        name=f"scan_{length}",
        summary=f"a scan of {length:,} steps on {SIZE} float64 and the gradient of its mean",
        inputs=inputs_of(length),
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand, not compiled"),
            Engine("tapejit_compiled", "tapejit", tapejit(), compiles=True),
            *(kept if length == max(LENGTHS) else ()),
            Engine("jax_jit", "jax", jax_jit, compiles=True),
        ),
        check=Check(steps=1, rtol=1e-9, atol=1e-12),
    )


WORKLOADS = tuple(map(scan_of, LENGTHS))
