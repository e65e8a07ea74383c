"""Whole models: how many loops and products their kernels have, what they store, and that all ways agree."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.agreement import check_agreement, trace
from tests.passes.test_plan import plan_of

Step = Callable[..., Any]
Update = Callable[[tj.Variable, Any], None]


def normal(*shapes: tuple[int, ...], seed: int = 0, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(scale * rng.normal(size=shape)).astype(np.float32) for shape in shapes]


def like(variables: Sequence[tj.Variable]) -> list[tj.Variable]:
    return [tj.Variable(np.zeros(variable.shape, np.float32)) for variable in variables]


# Softmax regression with the cross-entropy of labels


def test_the_gradient_of_a_cross_entropy_is_in_the_loop_over_rows() -> None:
    w, b = tj.Variable(np.zeros((20, 6), np.float32)), tj.Variable(np.zeros(6, np.float32))
    loss = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(x: Any, labels: Any) -> Any:
        with tj.GradientTape() as tape:
            value = loss(labels, x @ w + b)
        for variable, gradient in zip((w, b), tape.gradient(value, [w, b]), strict=True):
            variable.assign_sub(0.1 * gradient)
        return value

    compiled = tj.compile(step, strict=True)
    x, labels = normal((40, 20))[0], np.arange(40) % 6
    compiled(x, labels)
    report = compiled.report()
    assert report["matrix_products"] == 2
    assert report["loop_nests"] <= 5  # the labels' check, the two products, the rows, the bias
    assert report["intermediate_bytes"] <= 4 * (40 * 6 + 20 * 6 + 100)
    source = compiled.source()
    assert "gather" not in source
    assert "scatter" not in source
    shares = np.exp(x @ w.numpy() + b.numpy())
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(40), labels] -= 1
    before = w.numpy()
    compiled(x, labels)
    np.testing.assert_allclose(w.numpy(), before - 0.1 * x.T @ shares / 40, rtol=1e-4, atol=1e-6)


# The perceptron of the design's table


def adam(variables: Sequence[tj.Variable]) -> Callable[[Sequence[Any]], None]:
    first, second, count = like(variables), like(variables), tj.Variable(np.float32(0))

    def update(gradients: Sequence[Any]) -> None:
        count.assign_add(1.0)
        for variable, gradient, m, v in zip(variables, gradients, first, second, strict=True):
            m.assign(0.9 * m + 0.1 * gradient)
            v.assign(0.999 * v + 0.001 * gradient * gradient)
            corrected = m / (1 - 0.9**count), v / (1 - 0.999**count)
            variable.assign_sub(0.001 * corrected[0] / (tj.sqrt(corrected[1]) + 1e-7))

    return update


def momentum(variables: Sequence[tj.Variable]) -> Callable[[Sequence[Any]], None]:
    velocities = like(variables)

    def update(gradients: Sequence[Any]) -> None:
        for variable, gradient, velocity in zip(variables, gradients, velocities, strict=True):
            velocity.assign(0.9 * velocity + gradient)
            variable.assign_sub(0.01 * velocity)

    return update


def perceptron(lengths: tuple[int, int, int], activation: Any, optimizer: Any, bias: bool) -> Step:
    d, h, k = lengths
    weights = [tj.Variable(value) for value in normal((d, h), (h, k), scale=0.1)]
    biases = [tj.Variable(value) for value in normal((h,), (k,), scale=0.1)] if bias else []
    update = optimizer([*weights, *biases])

    def step(x: Any, labels: Any) -> Any:
        with tj.GradientTape() as tape:
            hidden = tj.matmul(x, weights[0])
            hidden = activation(hidden + biases[0] if bias else hidden)
            logits = tj.matmul(hidden, weights[1])
            logits = logits + biases[1] if bias else logits
            loss = -tj.mean(tj.sum(tj.one_hot(labels, k) * tj.log_softmax(logits, axis=-1), axis=-1))
        update(tape.gradient(loss, [*weights, *biases]))
        return loss

    return step


def batch(n: int, d: int, k: int) -> list[np.ndarray]:
    return [*normal((n, d), seed=1), np.random.default_rng(2).integers(0, k, n)]


@pytest.mark.parametrize("n", [32, 64, 1797])
@pytest.mark.parametrize("optimizer", [adam, momentum])
@pytest.mark.parametrize(("activation", "bias"), [(tj.tanh, True), (tj.relu, True), (tj.tanh, False)])
def test_perceptron_is_five_products_three_row_loops_and_one_loop_a_parameter(
    n: int, optimizer: Any, activation: Any, bias: bool
) -> None:
    d, h, k = 64, 128, 10
    step = perceptron((d, h, k), activation, optimizer, bias)
    loops, products, workspace = plan_of(step, *batch(n, d, k))
    assert products == 5
    assert loops == 3 + (4 if bias else 2)
    # What the products read: the hidden values and their cotangents; the logits, and then their cotangents. What they
    # give is used up on the way. Then rows, and what blocks of rows leave of the bias gradients.
    blocks = -(-n // 64)
    rows = 4 * (k + blocks * (h + k) * bias) + 8 * 64 + 4 * blocks
    assert workspace <= 4 * (2 * n * h + n * k) + rows


@pytest.mark.parametrize("n", [20, 150])
@pytest.mark.parametrize("optimizer", [adam, momentum])
def test_perceptron_agrees(n: int, optimizer: Any) -> None:
    step = perceptron((17, 19, 5), tj.tanh, optimizer, bias=True)
    check_agreement(step, batch(n, 17, 5), batch(n, 17, 5), plain=n == 20)


# Other models


def layer_normalised(x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - tj.mean(x, axis=-1, keepdims=True)
    return centred / tj.sqrt(tj.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * gamma + beta


def attention(*arguments: Any) -> list[Any]:
    *sources, ct = arguments
    x, wq, wk, wv, gamma, beta = sources
    with tj.GradientTape() as tape:
        tape.watch(sources)
        q, k, v = x @ wq, x @ wk, x @ wv
        weights = tj.softmax(q @ k.mT / float(q.shape[-1]) ** 0.5, axis=-1)
        y = layer_normalised(weights @ v + x, gamma, beta)
    return [y, *tape.gradient(y, sources, output_gradients=ct)]


def attention_arguments(b: int, n: int, d: int) -> list[np.ndarray]:
    return normal((b, n, d), (d, d), (d, d), (d, d), (d,), (d,), (b, n, d), scale=0.5)


def test_attention_is_one_loop_over_the_batch_and_copies_nothing() -> None:
    b, n, d = 4, 32, 24
    arguments = attention_arguments(b, n, d)
    loops, products, workspace = plan_of(attention, *arguments)
    assert products == 15  # q, k, v, the scores, the values; and two for the gradient of each
    assert loops == 2  # the batch, and the sum of the four cotangents of x
    large, scores = 4 * b * n * d, 4 * n * n
    assert workspace <= 8 * large + 4 * scores + 4 * n * d + 8 * 256


def test_attention_agrees() -> None:
    check_agreement(attention, attention_arguments(2, 20, 17), scale=20)


def lstm_cell(x: Any, h: Any, c: Any, w: Any, u: Any, b: Any) -> list[Any]:
    sources = [w, u, b]
    with tj.GradientTape() as tape:
        tape.watch(sources)
        i, f, g, o = tj.split(x @ w + h @ u + b, 4, axis=-1)
        c = tj.sigmoid(f) * c + tj.sigmoid(i) * tj.tanh(g)
        h = tj.sigmoid(o) * tj.tanh(c)
        loss = tj.sum(h * h)
    return [h, c, *tape.gradient(loss, sources)]


def test_lstm_cell_is_one_loop_that_writes_the_cotangents_of_its_gates_in_their_places() -> None:
    n, d, h = 32, 20, 24
    arguments = normal((n, d), (n, h), (n, h), (d, 4 * h), (h, 4 * h), (4 * h,))
    loops, products, workspace = plan_of(lstm_cell, *arguments)
    assert (loops, products) == (1, 4)
    assert workspace <= 4 * 3 * n * 4 * h  # both products, and the cotangent of their sum
    assert " if " not in trace(lstm_cell, arguments).emitted().source


def test_lstm_cell_agrees() -> None:
    check_agreement(lstm_cell, normal((12, 17), (12, 18), (12, 18), (17, 72), (18, 72), (72,)))


def mixture(x: Any, logits: Any, means: Any, log_scales: Any) -> list[Any]:
    sources = [logits, means, log_scales]
    with tj.GradientTape() as tape:
        tape.watch(sources)
        z = (x[:, None, :] - means) / tj.exp(log_scales)
        densities = -0.5 * tj.sum(z * z, axis=-1) - tj.sum(log_scales, axis=-1)
        value = tj.mean(tj.logsumexp(densities + tj.log_softmax(logits), axis=-1))
    return [value, *tape.gradient(value, sources)]


def test_gaussian_mixture_goes_over_the_data_once() -> None:
    n, k, d = 500, 4, 3
    arguments = normal((n, d), (k,), (k, d), (k, d))
    traced = trace(mixture, arguments)
    _, products, workspace = plan_of(mixture, *arguments)
    assert products == 0
    assert workspace <= 4 * (8 * 2 * k * (d + 1) + 8 * k * d) + 12 * 64  # rows, and what eight blocks of rows leave
    data = [loop for leaf in traced.plan().leaves for loop in leaf.loops if loop.extent == n]
    assert len(set(data)) == 1


def test_gaussian_mixture_agrees() -> None:
    check_agreement(mixture, normal((70, 2), (3,), (3, 2), (3, 2)))
