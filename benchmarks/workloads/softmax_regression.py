"""Softmax regression: one full-batch descent step on all 1,797 handwritten digits, 64 → 10, float32.

Two matrix products of 1797×64×10 and a row-wise softmax between them: small enough that what an engine adds
still shows, large enough that intermediate arrays cost something.
"""

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload

LEARNING_RATE = 0.5
CLASSES = 10


def inputs() -> Arrays:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    start = np.random.default_rng(0)
    return {
        "x": (images / 16).astype(np.float32),
        "labels": labels.astype(np.int64),
        "w": start.normal(0, 0.01, (images.shape[1], CLASSES)).astype(np.float32),
        "b": np.zeros(CLASSES, np.float32),
    }


def numpy_by_hand(data: Arrays) -> Session:
    x, labels, w, b = data["x"], data["labels"], data["w"].copy(), data["b"].copy()
    rows, rate = np.arange(len(x)), np.float32(LEARNING_RATE)

    def step() -> None:
        ct = x @ w + b
        ct -= ct.max(axis=1, keepdims=True)
        np.exp(ct, out=ct)
        ct /= ct.sum(axis=1, keepdims=True)
        ct[rows, labels] -= 1
        ct *= np.float32(1 / len(x))
        w[...] -= rate * (x.T @ ct)
        b[...] -= rate * ct.sum(axis=0)

    return Session(step, lambda: {"w": w, "b": b})


def njit_by_hand(data: Arrays) -> Session:
    import numba

    rate = np.float32(LEARNING_RATE)

    @numba.njit
    def fit(x, labels, w, b):
        ct = np.dot(x, w)
        ct_b = np.zeros_like(b)
        for row in range(ct.shape[0]):
            logits = ct[row]
            logits += b
            largest, total = logits.max(), np.float32(0)
            for column in range(logits.size):
                logits[column] = np.exp(logits[column] - largest)
                total += logits[column]
            logits /= total
            logits[labels[row]] -= 1
            logits *= np.float32(1 / len(x))
            ct_b += logits
        w -= rate * np.dot(x.T, ct)
        b -= rate * ct_b

    x, labels, w, b = data["x"], data["labels"], data["w"].copy(), data["b"].copy()
    return Session(lambda: fit(x, labels, w, b), lambda: {"w": w, "b": b})


def _tapejit(data: Arrays, *, compiled: bool) -> Session:
    import tapejit as tj

    w, b = tj.Variable(data["w"]), tj.Variable(data["b"])
    names = ("x", "labels")
    images, targets = (data[name] if compiled else tj.constant(data[name]) for name in names)

    def train(x, labels):
        with tj.GradientTape() as tape:
            logits = x @ w + b
            chosen = tj.sum(tj.one_hot(labels, CLASSES) * logits, axis=1)
            loss = tj.mean(tj.logsumexp(logits, axis=1) - chosen)
        ct_w, ct_b = tape.gradient(loss, [w, b])
        w.assign_sub(LEARNING_RATE * ct_w)
        b.assign_sub(LEARNING_RATE * ct_b)

    fit = tj.compile(strict=True)(train) if compiled else train
    return Session(lambda: fit(images, targets), lambda: {"w": w.numpy(), "b": b.numpy()})


def tapejit_eager(data: Arrays) -> Session:
    return _tapejit(data, compiled=False)


def tapejit_compiled(data: Arrays) -> Session:
    return _tapejit(data, compiled=True)


def jax_jit(data: Arrays) -> Session:
    import jax
    import jax.numpy as jnp

    x, labels, w, b = (jnp.asarray(data[name]) for name in ("x", "labels", "w", "b"))

    def loss(params, x, labels):
        w, b = params
        logits = x @ w + b
        chosen = jnp.sum(jax.nn.one_hot(labels, CLASSES) * logits, axis=1)
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)

    @jax.jit
    def fit(params, x, labels):
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, jax.grad(loss)(params, x, labels))

    params = (w, b)

    def step() -> None:
        nonlocal params
        params = fit(params, x, labels)

    return Session(
        step,
        lambda: {"w": np.asarray(params[0]), "b": np.asarray(params[1])},
        lambda: jax.block_until_ready(params),
    )


def torch_eager(data: Arrays) -> Session:
    import torch

    x, labels = torch.from_numpy(data["x"]), torch.from_numpy(data["labels"])
    w = torch.tensor(data["w"], requires_grad=True)
    b = torch.tensor(data["b"], requires_grad=True)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(x @ w + b, labels)
        ct_w, ct_b = torch.autograd.grad(loss, (w, b))
        with torch.no_grad():
            w.sub_(LEARNING_RATE * ct_w)
            b.sub_(LEARNING_RATE * ct_b)

    return Session(step, lambda: {"w": w.detach().numpy(), "b": b.detach().numpy()})


def tensorflow_function(data: Arrays) -> Session:
    import tensorflow as tf

    x, labels = tf.constant(data["x"]), tf.constant(data["labels"])
    w, b = tf.Variable(data["w"]), tf.Variable(data["b"])

    @tf.function
    def fit(x, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x @ w + b))
        ct_w, ct_b = tape.gradient(loss, [w, b])
        w.assign_sub(LEARNING_RATE * ct_w)
        b.assign_sub(LEARNING_RATE * ct_b)

    return Session(lambda: fit(x, labels), lambda: {"w": w.numpy(), "b": b.numpy()})


WORKLOADS = (
    Workload(
        name="softmax_regression",
        summary="all 1,797 digits, 64 → 10, float32, cross-entropy, full batch, descent with rate 0.5; one step",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "gradient written by hand"),
            Engine("tapejit_compiled", "tapejit", tapejit_compiled, "NumPy arguments"),
            Engine("tapejit_eager", "tapejit", tapejit_eager, "the same function, not compiled"),
            Engine("njit_by_hand", "numba", njit_by_hand, "the same as numpy, in loops; SciPy's BLAS"),
            Engine("jax_jit", "jax", jax_jit),
            Engine("torch_eager", "torch", torch_eager, "torch's fused cross_entropy"),
            Engine("tensorflow_function", "tensorflow", tensorflow_function, "TensorFlow's fused cross-entropy"),
        ),
        check=Check(steps=50, rtol=1e-4, atol=1e-5),
        targets=(Target("tapejit_compiled", "jax_jit", 0.4),),
    ),
)
