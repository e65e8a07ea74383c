"""A small network: 64 → 128 → 10, tanh, cross-entropy, batches of 64, Adam, float32; one step.

Five matrix products of tens of microseconds together: fused loops around them and few calls decide.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
NAMES = ("w1", "b1", "w2", "b2")
CLASSES = 10


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    return {
        "x": draw.normal(0, 1, (64, 64)).astype(np.float32),
        "labels": draw.integers(0, CLASSES, 64),
        "w1": draw.normal(0, 0.125, (64, 128)).astype(np.float32),
        "b1": np.zeros(128, np.float32),
        "w2": draw.normal(0, 0.09, (128, CLASSES)).astype(np.float32),
        "b2": np.zeros(CLASSES, np.float32),
    }


def numpy_by_hand(data: Arrays) -> Session:
    x, labels = data["x"], data["labels"]
    parameters = [data[name].copy() for name in NAMES]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    rows, count = np.arange(len(x)), 0

    def gradients() -> Sequence[np.ndarray]:
        w1, b1, w2, b2 = parameters
        hidden = np.tanh(x @ w1 + b1)
        ct = hidden @ w2 + b2
        ct -= ct.max(axis=1, keepdims=True)
        np.exp(ct, out=ct)
        ct /= ct.sum(axis=1, keepdims=True)
        ct[rows, labels] -= 1
        ct *= np.float32(1 / len(x))
        back = (ct @ w2.T) * (1 - hidden * hidden)
        return x.T @ back, back.sum(axis=0), hidden.T @ ct, ct.sum(axis=0)

    def step() -> None:
        nonlocal count
        count += 1
        rate, root = np.float32(RATE / (1 - BETA1**count)), np.float32(np.sqrt(1 - BETA2**count))
        for parameter, ct, m, v in zip(parameters, gradients(), first, second, strict=True):
            m[...] += (1 - np.float32(BETA1)) * (ct - m)
            v[...] += (1 - np.float32(BETA2)) * (ct * ct - v)
            parameter[...] -= rate * m / (np.sqrt(v) / root + np.float32(EPSILON))

    return Session(step, lambda: dict(zip(NAMES, parameters, strict=True)))


def njit_by_hand(data: Arrays) -> Session:
    import numba

    @numba.njit
    def gradients(x, labels, w1, b1, w2, b2):
        hidden = np.dot(x, w1)
        for row in range(hidden.shape[0]):
            for column in range(hidden.shape[1]):
                hidden[row, column] = np.tanh(hidden[row, column] + b1[column])
        ct = np.dot(hidden, w2)
        ct_b2 = np.zeros_like(b2)
        for row in range(ct.shape[0]):
            logits = ct[row]
            logits += b2
            largest, total = logits.max(), np.float32(0)
            for column in range(logits.size):
                logits[column] = np.exp(logits[column] - largest)
                total += logits[column]
            logits /= total
            logits[labels[row]] -= 1
            logits *= np.float32(1 / len(x))
            ct_b2 += logits
        back = np.dot(ct, w2.T)
        ct_b1 = np.zeros_like(b1)
        for row in range(back.shape[0]):
            for column in range(back.shape[1]):
                back[row, column] *= 1 - hidden[row, column] * hidden[row, column]
                ct_b1[column] += back[row, column]
        return np.dot(x.T, back), ct_b1, np.dot(hidden.T, ct), ct_b2

    @numba.njit
    def adam(parameter, ct, m, v, rate, root):
        for i in range(parameter.size):
            m[i] += np.float32(1 - BETA1) * (ct[i] - m[i])
            v[i] += np.float32(1 - BETA2) * (ct[i] * ct[i] - v[i])
            parameter[i] -= rate * m[i] / (np.sqrt(v[i]) / root + np.float32(EPSILON))

    @numba.njit
    def train(x, labels, parameters, first, second, count):
        w1, b1, w2, b2 = parameters
        ct_w1, ct_b1, ct_w2, ct_b2 = gradients(x, labels, w1, b1, w2, b2)
        rate, root = np.float32(RATE / (1 - BETA1**count)), np.float32(np.sqrt(1 - BETA2**count))
        adam(w1.ravel(), ct_w1.ravel(), first[0].ravel(), second[0].ravel(), rate, root)
        adam(b1, ct_b1, first[1], second[1], rate, root)
        adam(w2.ravel(), ct_w2.ravel(), first[2].ravel(), second[2].ravel(), rate, root)
        adam(b2, ct_b2, first[3], second[3], rate, root)

    x, labels = data["x"], data["labels"]
    parameters = tuple(data[name].copy() for name in NAMES)
    first, second = (tuple(np.zeros_like(p) for p in parameters) for _ in range(2))
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        train(x, labels, parameters, first, second, count)

    return Session(step, lambda: dict(zip(NAMES, parameters, strict=True)))


def _tapejit(data: Arrays, *, compiled: bool) -> Session:
    import tapejit as tj

    parameters = [tj.Variable(data[name], name=name) for name in NAMES]
    w1, b1, w2, b2 = parameters
    first, second = ([tj.Variable(tj.zeros_like(p), trainable=False) for p in parameters] for _ in range(2))
    power1, power2 = (tj.Variable(np.float32(1), trainable=False) for _ in range(2))
    images, targets = (data[name] if compiled else tj.constant(data[name]) for name in ("x", "labels"))

    def train(x, labels):
        with tj.GradientTape() as tape:
            logits = tj.tanh(x @ w1 + b1) @ w2 + b2
            chosen = tj.sum(tj.one_hot(labels, CLASSES) * logits, axis=1)
            loss = tj.mean(tj.logsumexp(logits, axis=1) - chosen)
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

    def loss(parameters, x, labels):
        w1, b1, w2, b2 = parameters
        logits = jnp.tanh(x @ w1 + b1) @ w2 + b2
        chosen = jnp.sum(jax.nn.one_hot(labels, CLASSES) * logits, axis=1)
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)

    @jax.jit
    def train(state, x, labels):
        parameters, first, second, power1, power2 = state
        value, cts = jax.value_and_grad(loss)(parameters, x, labels)
        power1, power2 = power1 * BETA1, power2 * BETA2
        rate, root = RATE / (1 - power1), jnp.sqrt(1 - power2)
        first = [m + (1 - BETA1) * (ct - m) for m, ct in zip(first, cts, strict=True)]
        second = [v + (1 - BETA2) * (ct * ct - v) for v, ct in zip(second, cts, strict=True)]
        moved = zip(parameters, first, second, strict=True)
        parameters = [p - rate * m / (jnp.sqrt(v) / root + EPSILON) for p, m, v in moved]
        return (parameters, first, second, power1, power2), value

    start = [jnp.asarray(data[name]) for name in NAMES]
    zeros = [jnp.zeros_like(p) for p in start]
    state: Any = (start, zeros, zeros, jnp.float32(1), jnp.float32(1))

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

    x, labels = torch.from_numpy(data["x"]), torch.from_numpy(data["labels"])
    parameters = [torch.tensor(data[name], requires_grad=True) for name in NAMES]
    w1, b1, w2, b2 = parameters
    optimizer = torch.optim.Adam(parameters, lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(torch.tanh(x @ w1 + b1) @ w2 + b2, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Session(step, lambda: {name: p.detach().numpy() for name, p in zip(NAMES, parameters, strict=True)})


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    x, labels = tf.constant(data["x"]), tf.constant(data["labels"])
    parameters = [tf.Variable(data[name]) for name in NAMES]
    w1, b1, w2, b2 = parameters
    first, second = ([tf.Variable(tf.zeros_like(p)) for p in parameters] for _ in range(2))
    power1, power2 = tf.Variable(1.0), tf.Variable(1.0)

    @tf.function(jit_compile=True)
    def train(x, labels):
        with tf.GradientTape() as tape:
            logits = tf.tanh(x @ w1 + b1) @ w2 + b2
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        power1.assign(power1 * BETA1)
        power2.assign(power2 * BETA2)
        rate, root = RATE / (1 - power1), tf.sqrt(1 - power2)
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
        name="mlp_adam",
        summary="64 → 128 → 10, tanh, cross-entropy, batch of 64, float32, Adam with rate 0.001; one step",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient and Adam written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments", compiles=True),
            Engine("tapejit_eager", "tapejit", tapejit_eager, "the same function, not compiled"),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, in loops; SciPy's BLAS"),
            Engine("jax_jit", "jax", jax_jit, compiles=True),
            Engine("torch_eager", "torch", torch_eager, "torch's fused cross_entropy and fused Adam"),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "jit_compile=True: by XLA"),
        ),
        check=Check(steps=20, rtol=1e-3, atol=1e-4),
        targets=(Target("tapejit_compiled", "jax_jit", 0.4),),
    ),
)
