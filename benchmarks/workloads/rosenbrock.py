"""The Hessian of Rosenbrock's function of 100 variables, float64: the whole matrix, though most of it is zero."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

SIZE = 100
RESULTS = ("hessian",)


def inputs() -> Arrays:
    return {"x": np.random.default_rng(0).uniform(-2, 2, SIZE)}


def rosenbrock(library: Any, x: Any) -> Any:
    return library.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def by_hand(x):
    hessian = np.zeros((x.size, x.size))
    for i in range(x.size - 1):
        hessian[i, i] += 1200 * x[i] * x[i] - 400 * x[i + 1] + 2
        hessian[i + 1, i + 1] += 200
        hessian[i, i + 1] = hessian[i + 1, i] = -400 * x[i]
    return hessian


def numpy_by_hand(data: Arrays) -> Session:
    x = data["x"]
    inner = np.arange(SIZE - 1)

    def step():
        hessian = np.zeros((SIZE, SIZE))
        hessian[inner, inner] = 1200 * x[:-1] * x[:-1] - 400 * x[1:] + 2
        hessian[inner + 1, inner + 1] += 200
        hessian[inner, inner + 1] = hessian[inner + 1, inner] = -400 * x[:-1]
        return (hessian,)

    return returning(RESULTS, step)


def njit_by_hand(data: Arrays) -> Session:
    import numba

    compiled = numba.njit(by_hand)
    return returning(RESULTS, lambda: (compiled(data["x"]),))


def tapejit_eager(data: Arrays, wrap: Callable[..., Any] = lambda step: step) -> Session:
    import tapejit as tj

    hessian = wrap(tj.hessian(lambda x: rosenbrock(tj, x)))
    return returning(RESULTS, lambda: (hessian(data["x"]),))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    return tapejit_eager(data, tj.compile(strict=True))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)
    compiled = jax.jit(jax.hessian(lambda x: rosenbrock(jnp, x)))
    x = jnp.asarray(data["x"])
    return returning(RESULTS, lambda: (compiled(x),), jax.block_until_ready)


def torch_eager(data: Arrays) -> Session:
    import torch

    compiled = torch.func.hessian(lambda x: rosenbrock(torch, x))
    x = torch.tensor(data["x"])
    return returning(RESULTS, lambda: (compiled(x),))


WORKLOADS = (
    Workload(
        name="rosenbrock_hessian",
        summary=f"Hessian of Rosenbrock's function of {SIZE} variables, float64",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "the three diagonals, written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "`hessian`: the whole matrix by rules"),
            Engine("tapejit_eager", "tapejit", tapejit_eager),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, in one loop"),
            Engine("jax_jit", "jax", jax_jit, "`hessian`: the whole matrix by rules"),
            Engine("torch_eager", "torch", torch_eager),
        ),
        check=Check(steps=1, rtol=1e-12, atol=1e-12),
        targets=(Target("tapejit_compiled", "jax_jit", 0.5),),
    ),
)
