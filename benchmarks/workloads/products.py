"""Matrix products, float32: a large one inside a step, and a layer with bias and relu, forward and backward.

The large one is at the speed of a BLAS library; of the layers, the calls and what is done around the products count.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload, returning

SIZE = 512
ARGUMENTS = ("x", "w", "b", "weight")
RESULTS = ("loss", "ct_x", "ct_w", "ct_b")


def square_inputs() -> Arrays:
    draw = np.random.default_rng(0)
    return {name: draw.normal(0, 1, (SIZE, SIZE)).astype(np.float32) for name in "ab"}


def numpy_product(data: Arrays) -> Session:
    a, b = data["a"], data["b"]
    return returning(("product",), lambda: (a @ b,))


def tapejit_product(data: Arrays) -> Session:
    import tapejit as tj

    a, b = data["a"], data["b"]
    product = tj.compile(strict=True)(lambda a, b: a @ b)
    return returning(("product",), lambda: (product(a, b),))


def njit_product(data: Arrays) -> Session:
    import numba

    a, b = data["a"], data["b"]
    product = numba.njit(lambda a, b: np.dot(a, b))  # noqa: PLW0108  Numba knows the call, not the function
    return returning(("product",), lambda: (product(a, b),))


def jax_product(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    a, b = jnp.asarray(data["a"]), jnp.asarray(data["b"])
    product = jax.jit(lambda a, b: a @ b)
    return returning(("product",), lambda: (product(a, b),), jax.block_until_ready)


def torch_product(data: Arrays) -> Session:
    import torch

    a, b = torch.from_numpy(data["a"]), torch.from_numpy(data["b"])
    return returning(("product",), lambda: (a @ b,))


def tensorflow_product(data: Arrays) -> Session:
    import tensorflow as tf

    a, b = tf.constant(data["a"]), tf.constant(data["b"])
    product = tf.function(lambda a, b: a @ b)
    return returning(("product",), lambda: (product(a, b),))


def layer_inputs(rows: int, inner: int, columns: int) -> Callable[[], Arrays]:
    """Of a product of rows × inner by inner × columns; `weight` keeps the sum of the relu from being trivial."""

    def inputs() -> Arrays:
        draw = np.random.default_rng(0)
        return {
            "x": draw.normal(0, 1, (rows, inner)).astype(np.float32),
            "w": draw.normal(0, inner**-0.5, (inner, columns)).astype(np.float32),
            "b": draw.normal(0, 0.5, columns).astype(np.float32),
            "weight": draw.uniform(0.5, 1.5, (rows, columns)).astype(np.float32),
        }

    return inputs


def numpy_layer(data: Arrays) -> Session:
    x, w, b, weight = (data[name] for name in ARGUMENTS)

    def step():
        y = x @ w
        y += b
        ct = weight * (y > 0)
        y *= ct
        return y.sum(), ct @ w.T, x.T @ ct, ct.sum(axis=0)

    return returning(RESULTS, step)


def tapejit_layer(data: Arrays) -> Session:
    import tapejit as tj

    @tj.compile(strict=True)
    def layer(x, w, b, weight):
        with tj.GradientTape() as tape:
            tape.watch([x, w, b])
            loss = tj.sum(tj.relu(x @ w + b) * weight)
        return loss, *tape.gradient(loss, [x, w, b])

    arguments = tuple(data[name] for name in ARGUMENTS)
    return returning(RESULTS, lambda: layer(*arguments))


def njit_layer(data: Arrays) -> Session:
    import numba

    @numba.njit
    def layer(x, w, b, weight):
        ct = np.dot(x, w)
        ct_b, loss = np.zeros_like(b), np.float32(0)
        for i in range(ct.shape[0]):
            for j in range(ct.shape[1]):
                y = ct[i, j] + b[j]
                ct[i, j] = weight[i, j] if y > 0 else np.float32(0)
                loss += y * ct[i, j]
                ct_b[j] += ct[i, j]
        return loss, np.dot(ct, w.T), np.dot(x.T, ct), ct_b

    arguments = tuple(data[name] for name in ARGUMENTS)

    def step():
        loss, *gradients = layer(*arguments)
        return np.float32(loss), *gradients  # a float32 comes out of a compiled function as a Python float

    return returning(RESULTS, step)


def jax_layer(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    def loss(x, w, b, weight):
        return jnp.sum(jax.nn.relu(x @ w + b) * weight)

    @jax.jit
    def layer(*arguments):
        value, gradients = jax.value_and_grad(loss, argnums=(0, 1, 2))(*arguments)
        return value, *gradients

    arguments = tuple(jnp.asarray(data[name]) for name in ARGUMENTS)
    return returning(RESULTS, lambda: layer(*arguments), jax.block_until_ready)


def torch_layer(data: Arrays) -> Session:
    import torch

    x, w, b = (torch.tensor(data[name], requires_grad=True) for name in "xwb")
    weight = torch.from_numpy(data["weight"])

    def step():
        loss = (torch.relu(torch.addmm(b, x, w)) * weight).sum()
        return loss.detach(), *torch.autograd.grad(loss, (x, w, b))

    return returning(RESULTS, step)


def tensorflow_layer(data: Arrays) -> Session:
    import tensorflow as tf

    @tf.function
    def layer(x, w, b, weight):
        with tf.GradientTape() as tape:
            tape.watch([x, w, b])
            loss = tf.reduce_sum(tf.nn.relu(x @ w + b) * weight)
        return loss, *tape.gradient(loss, [x, w, b])

    arguments = tuple(tf.constant(data[name]) for name in ARGUMENTS)
    return returning(RESULTS, lambda: layer(*arguments))


def layer_of(rows: int, inner: int, columns: int) -> Workload:
    return Workload(
        name=f"matmul_bias_relu_{rows}",
        summary=f"weighted sum of relu(x @ w + b), {rows}×{inner} · {inner}×{columns}, float32, gradients by x, w, b",
        inputs=layer_inputs(rows, inner, columns),
        engines=(
            Engine("numpy", "numpy", numpy_layer, "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_layer, "NumPy arguments"),
            Engine("njit_by_hand", "numba", njit_layer, "the same as numpy, in loops; SciPy's BLAS"),
            Engine("jax_jit", "jax", jax_layer),
            Engine("torch_eager", "torch", torch_layer, "torch's addmm"),
            Engine("tensorflow_function", "tensorflow", tensorflow_layer),
        ),
        check=Check(steps=1, rtol=1e-4, atol=1e-5, scaled=True),
        targets=(Target("tapejit_compiled", "jax_jit", 0.6),),
    )


WORKLOADS = (
    Workload(
        name=f"matmul_{SIZE}",
        summary=f"a product of {SIZE} × {SIZE} matrices inside a step, float32",
        inputs=square_inputs,
        engines=(
            Engine("numpy", "numpy", numpy_product),
            Engine("tapejit_compiled", "tapejit", tapejit_product, "NumPy arguments"),
            Engine("njit_by_hand", "numba", njit_product, "SciPy's BLAS"),
            Engine("jax_jit", "jax", jax_product),
            Engine("torch_eager", "torch", torch_product),
            Engine("tensorflow_function", "tensorflow", tensorflow_product),
        ),
        check=Check(steps=1, rtol=1e-4, atol=1e-5, scaled=True),
        targets=(Target("tapejit_compiled", "jax_jit", 1.1),),
    ),
    layer_of(64, 64, 128),
    layer_of(256, 32, 16),
)
