"""Epochs of a small network over 1,344 images, each 21 steps of 64 → 64 → 10, relu, cross-entropy, Adam, float32.

What is around the steps decides: rows gathered, kernels called, losses collected. `tapejit_steps_alone` does as many,
all on the first batch, in one call; what `epochs` takes longer is what epochs cost. `tapejit_kernels_alone` runs the
kernels of the epochs themselves, which gather rows, and nothing else; what `epochs` takes longer is outside of kernels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Check, Engine, Session, Target, Workload

ROWS, BATCH, PIXELS, HIDDEN, CLASSES = 1344, 64, 64, 64, 10
EPOCHS = 20
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
NAMES = ("w1", "b1", "w2", "b2")


def inputs() -> Arrays:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, CLASSES, ROWS)
    centres = draw.uniform(0, 1, (CLASSES, PIXELS))
    return {
        "x": (centres[labels] + draw.normal(0, 0.3, (ROWS, PIXELS))).astype(np.float32),
        "labels": labels,
        "w1": draw.normal(0, 0.15, (PIXELS, HIDDEN)).astype(np.float32),
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": draw.normal(0, 0.15, (HIDDEN, CLASSES)).astype(np.float32),
        "b2": np.zeros(CLASSES, np.float32),
    }


def numpy_by_hand(data: Arrays) -> Session:
    parameters = [data[name].copy() for name in NAMES]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    rows, count = np.arange(BATCH), 0

    def gradients(x: np.ndarray, labels: np.ndarray) -> Sequence[np.ndarray]:
        w1, b1, w2, b2 = parameters
        hidden = np.maximum(x @ w1 + b1, 0)
        ct = hidden @ w2 + b2
        ct -= ct.max(axis=1, keepdims=True)
        np.exp(ct, out=ct)
        ct /= ct.sum(axis=1, keepdims=True)
        ct[rows, labels] -= 1
        ct *= np.float32(1 / BATCH)
        back = (ct @ w2.T) * (hidden > 0)
        return x.T @ back, back.sum(axis=0), hidden.T @ ct, ct.sum(axis=0)

    def step() -> None:
        nonlocal count
        for start in [*range(0, ROWS, BATCH)] * EPOCHS:
            count += 1
            cts = gradients(data["x"][start : start + BATCH], data["labels"][start : start + BATCH])
            rate = np.float32(RATE * np.sqrt(1 - BETA2**count) / (1 - BETA1**count))
            for parameter, ct, m, v in zip(parameters, cts, first, second, strict=True):
                m[...] += (1 - np.float32(BETA1)) * (ct - m)
                v[...] += (1 - np.float32(BETA2)) * (ct * ct - v)
                parameter[...] -= rate * m / (np.sqrt(v) + np.float32(EPSILON))

    return Session(step, lambda: dict(zip(NAMES, parameters, strict=True)))


def _session(data: Arrays, run: Callable[[Any, np.ndarray, np.ndarray], object]) -> Session:
    """A session whose step is some epochs, which `run` runs with the compiled step."""
    import tapejit as tj

    model = tj.nn.Sequential([tj.nn.Dense(HIDDEN, "relu", input_shape=(PIXELS,)), tj.nn.Dense(CLASSES)])
    for variable, name in zip(model.trainable_variables, NAMES, strict=True):
        variable.assign(data[name])
    optimizer = tj.optimizers.Adam(RATE)
    loss = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tj.compile(strict=True)
    def train(x, labels):
        with tj.GradientTape() as tape:
            value = loss(labels, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    return Session(
        lambda: run(train, data["x"], data["labels"]),
        lambda: {name: v.numpy() for name, v in zip(NAMES, model.trainable_variables, strict=True)},
    )


def tapejit_calls(data: Arrays) -> Session:
    def run(train: Any, x: np.ndarray, labels: np.ndarray) -> None:
        for _ in range(EPOCHS):
            order = np.arange(ROWS)
            for start in range(0, ROWS, BATCH):
                rows = order[start : start + BATCH]
                train(x[rows], labels[rows])

    return _session(data, run)


def tapejit_epochs(data: Arrays) -> Session:
    return _session(data, lambda train, x, y: train.epochs(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False))


def steps_alone(data: Arrays) -> Session:
    """The steps' own time; the first call is an epoch, so that the results can be compared."""
    called: list[None] = []

    def run(train: Any, x: np.ndarray, labels: np.ndarray) -> None:
        if called:
            train.repeat(EPOCHS * ROWS // BATCH, x[:BATCH], labels[:BATCH])
        else:
            called.append(None)
            train.epochs(x, labels, batch_size=BATCH, epochs=EPOCHS, shuffle=False)

    return _session(data, run)


def kernels_alone(data: Arrays) -> Session:
    """The time inside of the epochs' kernels; the first call is an epoch, so that the results can be compared."""
    ready: list[Callable[[], object]] = []

    def run(train: Any, x: np.ndarray, labels: np.ndarray) -> None:
        if ready:
            ready[0]()
            return
        train.epochs(x, labels, batch_size=BATCH, epochs=EPOCHS, shuffle=False)
        orders = np.tile(np.arange(ROWS).reshape(-1, BATCH), (EPOCHS, 1))
        steps, values = train.looped_rows((orders[0], x, labels), {})
        position = steps.varying.index(0)
        arguments = [orders if place == position else value for place, value in enumerate(values)]
        ready.append(lambda: steps.run(len(orders), arguments, (position,)))

    return _session(data, run)


WORKLOADS = (
    Workload(
        name="mlp_epoch",
        summary=f"{EPOCHS} epochs of {ROWS // BATCH} steps, 64 → 64 → 10, relu, cross-entropy, Adam, float32",
        inputs=inputs,
        engines=(
            Engine("numpy", "numpy", numpy_by_hand, "a loop over batches, gradient and Adam written by hand"),
            Engine("tapejit_calls", "tapejit", tapejit_calls, "a call for each batch, whose rows NumPy gathers"),
            Engine("tapejit_epochs", "tapejit", tapejit_epochs, "`step.epochs(x, y, batch_size=64, epochs=20)`"),
            Engine("tapejit_steps_alone", "tapejit", steps_alone, "`step.repeat(420, …)`: nothing is gathered"),
            Engine("tapejit_kernels_alone", "tapejit", kernels_alone, "what `epochs` runs, without what is around it"),
        ),
        check=Check(steps=1, rtol=1e-3, atol=1e-4),
        targets=(
            Target(
                "tapejit_epochs",
                "tapejit_steps_alone",
                1.1,
                "the rows are gathered from 340 kB, which the L1 cache does not hold",
            ),
            Target(
                "tapejit_epochs",
                "tapejit_kernels_alone",
                1.02,
                "a call is some hundred microseconds of Python where the caches are cold, 20 epochs are 8 ms",
            ),
            Target("tapejit_epochs", "tapejit_calls", 1.0),
        ),
    ),
)
