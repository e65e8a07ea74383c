"""The sum of the squares of 10⁷ float32: 40 MB that are read once, at the speed of memory."""

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

COUNT = 10_000_000
RESULTS = ("sum",)


def inputs() -> Arrays:
    return {"x": np.random.default_rng(0).uniform(0, 1, COUNT).astype(np.float32)}


def exact(data: Arrays) -> Arrays:
    """The sum in float64."""
    return {"sum": np.array(np.sum(np.square(data["x"], dtype=np.float64)), np.float32)}


def numpy_by_hand(data: Arrays) -> Session:
    x = data["x"]
    return returning(RESULTS, lambda: (np.dot(x, x),))


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    x = data["x"]
    total = tj.compile(strict=True)(lambda x: tj.sum(x * x))
    return returning(RESULTS, lambda: (total(x),))


def njit_by_hand(data: Arrays) -> Session:
    import numba

    @numba.njit(fastmath=True)  # without it, a float sum is not vectorised
    def total(x):
        found = np.float32(0)
        for i in range(x.size):
            found += x[i] * x[i]
        return found

    x = data["x"]
    return returning(RESULTS, lambda: (np.float32(total(x)),))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(data["x"])
    total = jax.jit(lambda x: jnp.sum(x * x))
    return returning(RESULTS, lambda: (total(x),), jax.block_until_ready)


def torch_eager(data: Arrays) -> Session:
    import torch

    x = torch.from_numpy(data["x"])
    return returning(RESULTS, lambda: (torch.sum(x * x),))


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    x = tf.constant(data["x"])
    total = tf.function(lambda x: tf.reduce_sum(x * x))
    return returning(RESULTS, lambda: (total(x),))


WORKLOADS = (
    Workload(
        name="sum_of_squares",
        summary="the sum of the squares of 10⁷ float32",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "np.dot(x, x), a single pass"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "sum(x * x); NumPy arguments"),
            Engine("njit_by_hand", "numba", njit_by_hand, "a loop, fastmath"),
            Engine("jax_jit", "jax", jax_jit, "sum(x * x)"),
            Engine("torch_eager", "torch", torch_eager, "sum(x * x), two passes"),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "without XLA, which makes it slower"),
        ),
        check=Check(steps=1, rtol=1e-4, atol=0.0, expected=exact),
        targets=(Target("tapejit_compiled", "jax_jit", 1.05),),
    ),
)
