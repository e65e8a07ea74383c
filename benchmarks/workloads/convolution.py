"""A convolutional network: two layers of 16 kernels of 3×3, their mean over space, 10 classes, Adam; one step.

Batches of 32 images of 28×28 in float32. 0.28 Gflop in four convolutions and their derivatives decide.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
NAMES = ("k1", "b1", "k2", "b2", "w", "b")
CLASSES = 10


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    return {
        "x": draw.normal(0, 1, (32, 28, 28, 1)).astype(np.float32),
        "labels": draw.integers(0, CLASSES, 32),
        "k1": draw.normal(0, 0.3, (3, 3, 1, 16)).astype(np.float32),
        "b1": np.zeros(16, np.float32),
        "k2": draw.normal(0, 0.1, (3, 3, 16, 16)).astype(np.float32),
        "b2": np.zeros(16, np.float32),
        "w": draw.normal(0, 0.3, (16, CLASSES)).astype(np.float32),
        "b": np.zeros(CLASSES, np.float32),
    }


def _windows(x: np.ndarray) -> np.ndarray:
    """What lies under a kernel of 3×3, a row for each place; a copy."""
    under = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return under.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[-1])


def numpy_by_hand(data: Arrays) -> Session:
    x, labels = data["x"], data["labels"]
    parameters = [data[name].copy() for name in NAMES]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    examples, count, under_first = np.arange(len(x)), 0, _windows(x)

    def gradients() -> Sequence[np.ndarray]:
        k1, b1, k2, b2, w, b = parameters
        h1 = np.maximum(under_first @ k1.reshape(9, 16) + b1, 0).reshape(-1, 26, 26, 16)
        under = _windows(h1)
        h2 = np.maximum(under @ k2.reshape(144, 16) + b2, 0).reshape(-1, 576, 16)
        pooled = h2.mean(axis=1)
        ct = pooled @ w + b
        ct -= ct.max(axis=1, keepdims=True)
        np.exp(ct, out=ct)
        ct /= ct.sum(axis=1, keepdims=True)
        ct[examples, labels] -= 1
        ct *= np.float32(1 / len(x))
        back2 = ((h2 > 0) * (ct @ w.T / np.float32(576))[:, None]).reshape(-1, 24, 24, 16)
        spread = np.pad(back2, ((0, 0), (2, 2), (2, 2), (0, 0)))
        turned = k2[::-1, ::-1].transpose(0, 1, 3, 2).reshape(144, 16)
        back1 = (_windows(spread) @ turned) * (h1 > 0).reshape(-1, 16)
        rows = back2.reshape(-1, 16)
        by_k1, by_k2 = (under_first.T @ back1).reshape(k1.shape), (under.T @ rows).reshape(k2.shape)
        return by_k1, back1.sum(axis=0), by_k2, rows.sum(axis=0), pooled.T @ ct, ct.sum(axis=0)

    def step() -> None:
        nonlocal count
        count += 1
        rate, root = np.float32(RATE / (1 - BETA1**count)), np.float32(np.sqrt(1 - BETA2**count))
        for parameter, ct, m, v in zip(parameters, gradients(), first, second, strict=True):
            m[...] += (1 - np.float32(BETA1)) * (ct - m)
            v[...] += (1 - np.float32(BETA2)) * (ct * ct - v)
            parameter[...] -= rate * m / (np.sqrt(v) / root + np.float32(EPSILON))

    return Session(step, lambda: dict(zip(NAMES, parameters, strict=True)))


def _tapejit(data: Arrays, *, compiled: bool) -> Session:
    import tapejit as tj

    parameters = [tj.Variable(data[name], name=name) for name in NAMES]
    k1, b1, k2, b2, w, b = parameters
    images, targets = (data[name] if compiled else tj.constant(data[name]) for name in ("x", "labels"))
    first, second = ([tj.Variable(tj.zeros_like(p), trainable=False) for p in parameters] for _ in range(2))
    power1, power2 = (tj.Variable(np.float32(1), trainable=False) for _ in range(2))
    loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    def train(x, labels):
        with tj.GradientTape() as tape:
            hidden = tj.relu(tj.conv(tj.relu(tj.conv(x, k1) + b1), k2) + b2)
            loss = loss_object(labels, tj.mean(hidden, axis=(1, 2)) @ w + b)
        power1.assign(power1 * BETA1)
        power2.assign(power2 * BETA2)
        rate, root = RATE / (1 - power1), tj.sqrt(1 - power2)
        for parameter, ct, m, v in zip(parameters, tape.gradient(loss, parameters), first, second, strict=True):
            m.assign_add((1 - BETA1) * (ct - m))
            v.assign_add((1 - BETA2) * (ct * ct - v))
            parameter.assign_sub(rate * m / (tj.sqrt(v) / root + EPSILON))
        return loss

    step = tj.compile(strict=True)(train) if compiled else train
    return Session(
        lambda: step(images, targets),
        lambda: {name: p.numpy() for name, p in zip(NAMES, parameters, strict=True)},
        report=step.report if compiled else None,
    )


def tapejit_eager(data: Arrays) -> Session:
    return _tapejit(data, compiled=False)


def tapejit_compiled(data: Arrays) -> Session:
    return _tapejit(data, compiled=True)


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    x, labels = jnp.asarray(data["x"]), jnp.asarray(data["labels"])

    def convolved(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def loss(parameters, x, labels):
        k1, b1, k2, b2, w, b = parameters
        hidden = jax.nn.relu(convolved(jax.nn.relu(convolved(x, k1) + b1), k2) + b2)
        logits = jnp.mean(hidden, axis=(1, 2)) @ w + b
        chosen = jnp.sum(jax.nn.one_hot(labels, CLASSES) * logits, axis=1)
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)

    @jax.jit
    def train(state, x, labels):
        parameters, first, second, count = state
        value, cts = jax.value_and_grad(loss)(parameters, x, labels)
        count += 1
        rate, root = RATE / (1 - BETA1**count), jnp.sqrt(1 - BETA2**count)
        first = [m + (1 - BETA1) * (ct - m) for m, ct in zip(first, cts, strict=True)]
        second = [v + (1 - BETA2) * (ct * ct - v) for v, ct in zip(second, cts, strict=True)]
        moved = zip(parameters, first, second, strict=True)
        parameters = [p - rate * m / (jnp.sqrt(v) / root + EPSILON) for p, m, v in moved]
        return (parameters, first, second, count), value

    start = [jnp.asarray(data[name]) for name in NAMES]
    zeros = [jnp.zeros_like(p) for p in start]
    state: Any = (start, zeros, zeros, jnp.float32(0))

    def step() -> None:
        nonlocal state
        state, _ = train(state, x, labels)

    return Session(
        step,
        lambda: {name: np.asarray(p) for name, p in zip(NAMES, state[0], strict=True)},
        lambda: jax.block_until_ready(state),
    )


def torch_eager(data: Arrays) -> Session:
    import torch

    turned = {"k1": (3, 2, 0, 1), "k2": (3, 2, 0, 1)}  # torch's order of axes: channels in front
    x = torch.from_numpy(np.ascontiguousarray(data["x"].transpose(0, 3, 1, 2)))
    labels = torch.from_numpy(data["labels"])
    start = {name: data[name].transpose(turned[name]) if name in turned else data[name] for name in NAMES}
    parameters = [torch.tensor(np.ascontiguousarray(start[name]), requires_grad=True) for name in NAMES]
    k1, b1, k2, b2, w, b = parameters
    optimizer = torch.optim.Adam(parameters, lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True)

    def step() -> None:
        hidden = torch.relu(torch.conv2d(torch.relu(torch.conv2d(x, k1, b1)), k2, b2))
        loss = torch.nn.functional.cross_entropy(hidden.mean(dim=(2, 3)) @ w + b, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def values() -> dict[str, np.ndarray]:
        found = {name: p.detach().numpy() for name, p in zip(NAMES, parameters, strict=True)}
        return {name: p.transpose(2, 3, 1, 0) if name in turned else p for name, p in found.items()}

    return Session(step, values)


def tensorflow_function(data: Arrays) -> Session:
    return _tensorflow(data, jit_compile=False)


def tensorflow_xla(data: Arrays) -> Session:
    return _tensorflow(data, jit_compile=True)


def _tensorflow(data: Arrays, *, jit_compile: bool) -> Session:
    import tensorflow as tf

    x, labels = tf.constant(data["x"]), tf.constant(data["labels"])
    parameters = [tf.Variable(data[name]) for name in NAMES]
    k1, b1, k2, b2, w, b = parameters
    first, second = ([tf.Variable(tf.zeros_like(p)) for p in parameters] for _ in range(2))
    count = tf.Variable(0.0)

    @tf.function(jit_compile=jit_compile)
    def train(x, labels):
        with tf.GradientTape() as tape:
            hidden = tf.nn.relu(tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, k1, 1, "VALID") + b1), k2, 1, "VALID") + b2)
            logits = tf.reduce_mean(hidden, axis=(1, 2)) @ w + b
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        count.assign_add(1.0)
        rate, root = RATE / (1 - BETA1**count), tf.sqrt(1 - BETA2**count)
        for parameter, ct, m, v in zip(parameters, tape.gradient(loss, parameters), first, second, strict=True):
            m.assign_add((1 - BETA1) * (ct - m))
            v.assign_add((1 - BETA2) * (ct * ct - v))
            parameter.assign_sub(rate * m / (tf.sqrt(v) / root + EPSILON))
        return loss

    return Session(
        lambda: train(x, labels), lambda: {name: p.numpy() for name, p in zip(NAMES, parameters, strict=True)}
    )


WORKLOADS = (
    Workload(
        name="convolution",
        summary="2 × (16 kernels of 3×3, relu), mean, 10 classes, 32 images of 28×28, float32, Adam; one step",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient and Adam written by hand, windows laid side by side"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments", compiles=True),
            Engine("tapejit_eager", "tapejit", tapejit_eager, "the same function, not compiled"),
            Engine("jax_jit", "jax", jax_jit, compiles=True),
            Engine("torch_eager", "torch", torch_eager, "torch's fused cross_entropy and fused Adam"),
            Engine("tensorflow_function", "tensorflow", tensorflow_function),
            Engine("tensorflow_xla", "tensorflow", tensorflow_xla, "jit_compile=True: by XLA"),
        ),
        check=Check(steps=5, rtol=1e-3, atol=3e-4),  # Adam makes steps of 1e-3 of what is nearly 0, too
        targets=(
            Target("tapejit_compiled", "tensorflow_function", 0.7),
            Target("tapejit_compiled", "jax_jit", 0.35),
            Target("tapejit_compiled", "torch_eager", 0.3),
        ),
    ),
)
