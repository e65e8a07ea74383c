"""The log posterior of a logistic regression and its gradient: 200 × 8, float64, as samplers ask for it.

A call is a few microseconds of arithmetic: two small products and a softplus.
"""

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

ROWS, COLUMNS = 200, 8
PRECISION = 0.25
RESULTS = ("log_posterior", "gradient")


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    x = draw.normal(0, 1, (ROWS, COLUMNS))
    chance = 1 / (1 + np.exp(-x @ draw.normal(0, 1, COLUMNS)))
    return {
        "w": draw.normal(0, 1, COLUMNS),
        "x": x,
        "y": (draw.uniform(size=ROWS) < chance).astype(np.float64),
    }


def numpy_by_hand(data: Arrays) -> Session:
    w, x, y = (data[name] for name in "wxy")

    def step():
        z = x @ w
        small = np.exp(-np.abs(z))  # so that neither branch overflows
        softplus = np.maximum(z, 0) + np.log1p(small)
        chance = np.where(z >= 0, 1, small) / (1 + small)
        value = y @ z - softplus.sum() - 0.5 * PRECISION * (w @ w)
        return value, (y - chance) @ x - PRECISION * w

    return returning(RESULTS, step)


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    @tj.compile(strict=True)
    def log_posterior(w, x, y):
        with tj.GradientTape() as tape:
            tape.watch(w)
            z = x @ w
            value = tj.sum(y * z - tj.softplus(z)) - 0.5 * PRECISION * tj.sum(w * w)
        return value, tape.gradient(value, w)

    w, x, y = (data[name] for name in "wxy")
    return returning(RESULTS, lambda: log_posterior(w, x, y))


def njit_by_hand(data: Arrays) -> Session:
    import numba

    @numba.njit
    def log_posterior(w, x, y):
        gradient, value = -PRECISION * w, 0.0
        for j in range(w.size):
            value -= 0.5 * PRECISION * w[j] * w[j]
        for i in range(x.shape[0]):
            z = 0.0
            for j in range(w.size):
                z += x[i, j] * w[j]
            small = np.exp(-abs(z))
            value += y[i] * z - max(z, 0.0) - np.log1p(small)
            rest = y[i] - (1.0 if z >= 0 else small) / (1.0 + small)
            for j in range(w.size):
                gradient[j] += rest * x[i, j]
        return value, gradient

    w, x, y = (data[name] for name in "wxy")
    return returning(RESULTS, lambda: log_posterior(w, x, y))


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", val=True)

    def log_posterior(w, x, y):
        z = x @ w
        return jnp.sum(y * z - jax.nn.softplus(z)) - 0.5 * PRECISION * jnp.sum(w * w)

    compiled = jax.jit(jax.value_and_grad(log_posterior))
    w, x, y = (jnp.asarray(data[name]) for name in "wxy")
    return returning(RESULTS, lambda: compiled(w, x, y), jax.block_until_ready)


def torch_eager(data: Arrays) -> Session:
    import torch

    w = torch.tensor(data["w"], requires_grad=True)
    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])

    def step():
        z = x @ w
        value = torch.sum(y * z - torch.nn.functional.softplus(z)) - 0.5 * PRECISION * torch.sum(w * w)
        return value.detach(), *torch.autograd.grad(value, w)

    return returning(RESULTS, step)


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    @tf.function
    def log_posterior(w, x, y):
        with tf.GradientTape() as tape:
            tape.watch(w)
            z = tf.linalg.matvec(x, w)
            value = tf.reduce_sum(y * z - tf.math.softplus(z)) - 0.5 * PRECISION * tf.reduce_sum(w * w)
        return value, tape.gradient(value, w)

    w, x, y = (tf.constant(data[name]) for name in "wxy")
    return returning(RESULTS, lambda: log_posterior(w, x, y))


def autograd(data: Arrays) -> Session:
    import autograd.numpy as np_traced
    from autograd import value_and_grad

    w, x, y = (data[name] for name in "wxy")

    def log_posterior(w):
        z = np_traced.dot(x, w)
        softplus = np_traced.logaddexp(z, 0.0)
        return np_traced.sum(y * z - softplus) - 0.5 * PRECISION * np_traced.sum(w * w)

    both = value_and_grad(log_posterior)
    return returning(RESULTS, lambda: both(w))


WORKLOADS = (
    Workload(
        name="logistic_posterior",
        summary=f"log posterior of a logistic regression and its gradient, {ROWS} × {COLUMNS}, float64",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments"),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, in one loop over the rows"),
            Engine("jax_jit", "jax", jax_jit),
            Engine("torch_eager", "torch", torch_eager),
            Engine("tensorflow_function", "tensorflow", tensorflow_function),
            Engine("autograd", "autograd", autograd),
        ),
        check=Check(steps=1, rtol=1e-10, atol=1e-10),
        targets=(Target("tapejit_compiled", "jax_jit", 0.25),),
    ),
)
