"""Layer norm and a sine, forward and backward: 4096 rows of 256, float32, gradients by x, gain and bias.

Reductions along rows and along columns with elementwise work between them; 4 MiB in and as much out.
"""

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

ROWS, COLUMNS = 4096, 256
EPSILON = 1e-5
ARGUMENTS = ("x", "gain", "bias")
RESULTS = ("loss", "ct_x", "ct_gain", "ct_bias")


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    return {
        "x": draw.normal(0.5, 2.0, (ROWS, COLUMNS)).astype(np.float32),
        "gain": draw.uniform(0.5, 1.5, COLUMNS).astype(np.float32),
        "bias": draw.uniform(0.1, 0.9, COLUMNS).astype(np.float32),
    }


def numpy_by_hand(data: Arrays) -> Session:
    x, gain, bias = (data[name] for name in ARGUMENTS)
    epsilon = np.float32(EPSILON)

    def step():
        centred = x - x.mean(axis=1, keepdims=True)
        scale = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + epsilon)
        normal = centred * scale
        inner = normal * gain + bias
        ct = np.cos(inner)
        ct_normal = ct * gain
        along = (ct_normal * normal).mean(axis=1, keepdims=True)
        ct_x = scale * (ct_normal - ct_normal.mean(axis=1, keepdims=True) - normal * along)
        return np.sin(inner).sum(), ct_x, (ct * normal).sum(axis=0), ct.sum(axis=0)

    return returning(RESULTS, step)


def tapejit_compiled(data: Arrays) -> Session:
    import tapejit as tj

    @tj.compile(strict=True)
    def loss_and_gradient(x, gain, bias):
        with tj.GradientTape() as tape:
            tape.watch([x, gain, bias])
            centred = x - tj.mean(x, axis=1, keepdims=True)
            variance = tj.mean(centred * centred, axis=1, keepdims=True)
            loss = tj.sum(tj.sin(centred / tj.sqrt(variance + EPSILON) * gain + bias))
        return loss, *tape.gradient(loss, [x, gain, bias])

    arguments = tuple(data[name] for name in ARGUMENTS)
    return returning(RESULTS, lambda: loss_and_gradient(*arguments))


def njit_by_hand(data: Arrays) -> Session:
    import numba

    @numba.njit
    def loss_and_gradient(x, gain, bias):
        rows, columns = x.shape
        count, epsilon, one = np.float32(columns), np.float32(EPSILON), np.float32(1)
        ct_x, ct_gain, ct_bias = np.empty_like(x), np.zeros_like(gain), np.zeros_like(bias)
        normal, loss = np.empty_like(gain), 0.0
        for i in range(rows):
            mean = squares = of_ct = along = np.float32(0)
            for j in range(columns):
                mean += x[i, j]
            mean /= count
            for j in range(columns):
                squares += (x[i, j] - mean) ** 2
            scale = one / np.sqrt(squares / count + epsilon)
            for j in range(columns):
                normal[j] = (x[i, j] - mean) * scale
                inner = normal[j] * gain[j] + bias[j]
                loss += np.sin(inner)
                ct = np.cos(inner)
                ct_gain[j] += ct * normal[j]
                ct_bias[j] += ct
                ct_x[i, j] = ct * gain[j]
                of_ct += ct_x[i, j]
                along += ct_x[i, j] * normal[j]
            of_ct, along = of_ct / count, along / count
            for j in range(columns):
                ct_x[i, j] = scale * (ct_x[i, j] - of_ct - normal[j] * along)
        return np.float32(loss), ct_x, ct_gain, ct_bias

    arguments = tuple(data[name] for name in ARGUMENTS)

    def step():
        loss, *gradients = loss_and_gradient(*arguments)
        return np.float32(loss), *gradients  # a float32 comes out of a compiled function as a Python float

    return returning(RESULTS, step)


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    def loss(x, gain, bias):
        centred = x - jnp.mean(x, axis=1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=1, keepdims=True)
        return jnp.sum(jnp.sin(centred / jnp.sqrt(variance + EPSILON) * gain + bias))

    @jax.jit
    def loss_and_gradient(*arguments):
        value, gradients = jax.value_and_grad(loss, argnums=(0, 1, 2))(*arguments)
        return value, *gradients

    arguments = tuple(jnp.asarray(data[name]) for name in ARGUMENTS)
    return returning(RESULTS, lambda: loss_and_gradient(*arguments), jax.block_until_ready)


def torch_eager(data: Arrays) -> Session:
    import torch

    x, gain, bias = (torch.tensor(data[name], requires_grad=True) for name in ARGUMENTS)

    def step():
        loss = torch.sin(torch.nn.functional.layer_norm(x, (COLUMNS,), gain, bias, EPSILON)).sum()
        return loss.detach(), *torch.autograd.grad(loss, (x, gain, bias))

    return returning(RESULTS, step)


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    @tf.function
    def loss_and_gradient(x, gain, bias):
        with tf.GradientTape() as tape:
            tape.watch([x, gain, bias])
            centred = x - tf.reduce_mean(x, axis=1, keepdims=True)
            variance = tf.reduce_mean(centred * centred, axis=1, keepdims=True)
            loss = tf.reduce_sum(tf.sin(centred / tf.sqrt(variance + EPSILON) * gain + bias))
        return loss, *tape.gradient(loss, [x, gain, bias])

    arguments = tuple(tf.constant(data[name]) for name in ARGUMENTS)
    return returning(RESULTS, lambda: loss_and_gradient(*arguments))


WORKLOADS = (
    Workload(
        name="layer_norm_sine",
        summary=f"sum of the sine of a layer norm of {ROWS} × {COLUMNS}, float32, with gradients by x, gain, bias",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments"),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, in one pass over the rows"),
            Engine("jax_jit", "jax", jax_jit),
            Engine("torch_eager", "torch", torch_eager, "torch's fused layer_norm"),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "without XLA, which makes it slower"),
        ),
        check=Check(steps=1, rtol=1e-3, atol=1e-5, scaled=True),
        targets=(Target("tapejit_compiled", "jax_jit", 0.3),),
    ),
)
