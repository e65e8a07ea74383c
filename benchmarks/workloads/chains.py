"""Chains of elementwise operations and their gradient: what long programs cost before they run.

Sums, differences, products, tanh, sin and exp take turns, so that nothing cancels and no value leaves the range in
which float32 is exact to a few digits. The arrays are small: what is timed is the first call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Workload

SIZE = 1000


def inputs() -> Arrays:
    return {"x": np.random.default_rng(0).uniform(0.1, 0.9, SIZE).astype(np.float32)}


def chain(library: Any, x: Any, length: int) -> Any:
    """The chain's last value; `library` has tanh, sin and exp."""
    y = x
    for number in range(length):
        match number % 6:
            case 0:
                y = library.tanh(y)
            case 1:
                y = y * x
            case 2:
                y = library.sin(y)
            case 3:
                y = y + x
            case 4:
                y = library.exp(y)
            case _:
                y = y - x
    return y


def numpy_by_hand(length: int) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        x = data["x"]
        found: dict[str, np.ndarray] = {}

        def step() -> None:
            values = [x]
            for number in range(length):
                y = values[-1]
                results = (np.tanh(y), y * x, np.sin(y), y + x, np.exp(y), y - x)
                values.append(results[number % 6])
            ct, ct_x = np.ones_like(x), np.zeros_like(x)
            for number in reversed(range(length)):
                y, out = values[number], values[number + 1]
                kind = number % 6
                ct_x += (0, ct * y, 0, ct, 0, -ct)[kind]
                ct = (ct * (1 - out * out), ct * x, ct * np.cos(y), ct, ct * out, ct)[kind]
            found.update(loss=values[-1].sum(), gradient=ct + ct_x)

        return Session(step, lambda: found)

    return prepare


def tapejit_compiled(length: int) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import tapejit as tj

        found: dict[str, Any] = {}

        @tj.compile(strict=True)
        def loss_and_gradient(x):
            with tj.GradientTape() as tape:
                tape.watch(x)
                loss = tj.sum(chain(tj, x, length))
            return loss, tape.gradient(loss, x)

        def step() -> None:
            found["loss"], found["gradient"] = loss_and_gradient(data["x"])

        def result() -> Arrays:
            return {name: value.numpy() for name, value in found.items()}

        return Session(step, result, report=loss_and_gradient.report)

    return prepare


def jax_jit(length: int) -> Callable[[Arrays], Session]:
    def prepare(data: Arrays) -> Session:
        import jax
        import jax.numpy as jnp

        x = jnp.asarray(data["x"])
        loss_and_gradient = jax.jit(jax.value_and_grad(lambda x: jnp.sum(chain(jnp, x, length))))
        found: list[Any] = []

        def step() -> None:
            found[:] = loss_and_gradient(x)

        def result() -> Arrays:
            return {name: np.asarray(value) for name, value in zip(("loss", "gradient"), found, strict=True)}

        return Session(step, result, lambda: jax.block_until_ready(found))

    return prepare


def chain_of(length: int) -> Workload:
    return Workload(
        name=f"chain_{length}",
        summary=f"{length:,} elementwise operations on {SIZE:,} float32 and the gradient of the sum",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand(length), "gradient written by hand, not compiled"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled(length), compiles=True),
            Engine("jax_jit", "jax", jax_jit(length), compiles=True),
        ),
        check=Check(steps=1, rtol=1e-3, atol=1e-3),
    )


WORKLOADS = tuple(map(chain_of, (300, 1000, 3000)))
