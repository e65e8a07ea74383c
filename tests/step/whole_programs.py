"""Programs as users write them, for `test_whole_steps`.

Each is a function of a dtype that makes fresh variables and gives a `Case`: a step, the variables that it assigns, and
a function that draws the arguments of a call. Start reading at `PROGRAMS`, which the decorator fills.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import tapejit as tj

Function = Callable[..., Any]


@dataclass
class Case:
    """A program with fresh variables."""

    step: Function
    variables: list[tj.Variable]
    arguments: Callable[[np.random.Generator], tuple[Any, ...]]


PROGRAMS: dict[str, Callable[[str], Case]] = {}


def program(make: Callable[[str], Case]) -> Callable[[str], Case]:
    PROGRAMS[make.__name__] = make
    return make


def normal(rng: np.random.Generator, *shape: int, dtype: str) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def variables(dtype: str, **shapes: tuple[int, ...]) -> dict[str, tj.Variable]:
    rng = np.random.default_rng(11)
    return {name: tj.Variable(0.4 * normal(rng, *shape, dtype=dtype), name=name) for name, shape in shapes.items()}


@program
def line_fit(dtype: str) -> Case:
    w, b = tj.Variable(np.array(0.3, dtype)), tj.Variable(np.array(0.1, dtype))
    learning_rate = 0.01

    def step(x, y):
        with tj.GradientTape(persistent=True) as tape:
            loss = tj.abs(y - (w * x + b))
        w.assign_sub(tape.gradient(loss, w) * learning_rate)
        b.assign_sub(tape.gradient(loss, b) * learning_rate)
        return tj.mean(loss)

    return Case(step, [w, b], lambda rng: (normal(rng, 6, dtype=dtype), normal(rng, 6, dtype=dtype)))


@program
def softmax_regression(dtype: str) -> Case:
    model = variables(dtype, w=(7, 4), b=(4,))

    def step(x, labels, rate):
        with tj.GradientTape() as tape:
            logits = x @ model["w"] + model["b"]
            losses = tj.logsumexp(logits, axis=1) - logits[tj.arange(len(labels)), labels]
            loss = tj.mean(losses)
        slopes = tape.gradient(loss, model)
        for name, variable in model.items():
            variable.assign_sub(rate * slopes[name])
        return {"loss": loss, "right": tj.sum(tj.argmax(logits, axis=1) == labels)}

    return Case(
        step,
        list(model.values()),
        lambda rng: (normal(rng, 12, 7, dtype=dtype), rng.integers(0, 4, 12), rng.uniform(0.1, 1.0)),
    )


class Adam:
    """An optimizer that makes its slots in the first call."""

    def __init__(self, rate: float) -> None:
        self.rate, self.beta1, self.beta2, self.epsilon = rate, 0.9, 0.999, 1e-7
        self.slots: list[tuple[tj.Variable, tj.Variable]] = []
        self.steps = tj.Variable(0, trainable=False)

    def apply(self, gradients: list[Any], weights: list[tj.Variable]) -> None:
        if not self.slots:
            self.slots = [tuple(tj.Variable(tj.zeros_like(w), trainable=False) for _ in "mv") for w in weights]
        self.steps.assign_add(1)
        count = tj.astype(self.steps, weights[0].dtype)
        rate = self.rate * tj.sqrt(1 - self.beta2**count) / (1 - self.beta1**count)
        for ct, w, (m, v) in zip(gradients, weights, self.slots, strict=True):
            m.assign_add((1 - self.beta1) * (ct - m))
            v.assign_add((1 - self.beta2) * (ct * ct - v))
            w.assign_sub(rate * m / (tj.sqrt(v) + self.epsilon))


class Perceptron:
    """Layers of a width each, with tanh between them."""

    def __init__(self, widths: list[int], dtype: str) -> None:
        rng = np.random.default_rng(5)
        self.layers = [
            (tj.Variable(0.5 * normal(rng, n, m, dtype=dtype)), tj.Variable(np.zeros(m, dtype)))
            for n, m in pairwise(widths)
        ]

    @property
    def weights(self) -> list[tj.Variable]:
        return [variable for layer in self.layers for variable in layer]

    def __call__(self, x: Any) -> Any:
        for number, (w, b) in enumerate(self.layers):
            x = x @ w + b
            if number < len(self.layers) - 1:
                x = tj.tanh(x)
        return x


@program
def perceptron_with_adam(dtype: str) -> Case:
    model, optimizer = Perceptron([5, 8, 6, 3], dtype), Adam(0.01)

    def step(x, labels):
        with tj.GradientTape() as tape:
            chosen = tj.sum(tj.one_hot(labels, 3, dtype=dtype) * tj.log_softmax(model(x), axis=-1), axis=-1)
            loss = -tj.mean(chosen)
        optimizer.apply(tape.gradient(loss, model.weights), model.weights)
        return loss

    case = Case(step, model.weights, lambda rng: (normal(rng, 10, 5, dtype=dtype), rng.integers(0, 3, 10)))
    case.optimizer = optimizer  # type: ignore[attr-defined]
    return case


@program
def gaussian_mixture(dtype: str) -> Case:
    model = variables(dtype, logits=(3,), means=(3, 2), log_scales=(3, 2))

    def log_likelihood(x):
        z = (x[:, None, :] - model["means"]) * tj.exp(-model["log_scales"])
        densities = -0.5 * tj.sum(z * z, axis=2) - tj.sum(model["log_scales"], axis=1) - math.log(2 * math.pi)
        return tj.sum(tj.logsumexp(tj.log_softmax(model["logits"]) + densities, axis=1))

    def step(x):
        with tj.GradientTape() as tape:
            value = log_likelihood(x)
        slopes = tape.gradient(value, model)
        for name in model:
            model[name].assign_add(0.01 * slopes[name])
        return value, slopes

    return Case(step, list(model.values()), lambda rng: (normal(rng, 15, 2, dtype=dtype),))


class Cell:
    """A long short-term memory cell that keeps its state."""

    def __init__(self, inputs: int, units: int, dtype: str) -> None:
        made = variables(dtype, w=(inputs, 4 * units), u=(units, 4 * units), b=(4 * units,))
        self.w, self.u, self.b = made.values()
        self.state = [tj.Variable(np.zeros((3, units), dtype), trainable=False) for _ in "hc"]

    def __call__(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        i, f, g, o = tj.split(x @ self.w + h @ self.u + self.b, 4, axis=1)
        c = tj.sigmoid(f) * c + tj.sigmoid(i) * tj.tanh(g)
        return tj.sigmoid(o) * tj.tanh(c), c


@program
def recurrent_cell(dtype: str) -> Case:
    cell = Cell(4, 5, dtype)

    def step(sequence, target):
        with tj.GradientTape() as tape:
            h, c = [variable.read_value() for variable in cell.state]
            for t in range(sequence.shape[0]):
                h, c = cell(sequence[t], h, c)
            loss = tj.mean((h - target) ** 2)
        slopes = tape.gradient(loss, [cell.w, cell.u, cell.b])
        for variable, ct in zip([cell.w, cell.u, cell.b], slopes, strict=True):
            variable.assign_sub(0.1 * ct)
        cell.state[0].assign(h)
        cell.state[1].assign(c)
        return loss, h, *slopes

    return Case(
        step,
        [cell.w, cell.u, cell.b, *cell.state],
        lambda rng: (normal(rng, 3, 3, 4, dtype=dtype), normal(rng, 3, 5, dtype=dtype)),
    )


HEADS = 2


@program
def attention_with_layer_norm(dtype: str) -> Case:
    model = variables(dtype, queries=(8, 8), keys=(8, 8), values=(8, 8), out=(8, 8), gain=(8,), shift=(8,))

    def heads(x):
        batch, length, width = x.shape
        return tj.permute_dims(tj.reshape(x, (batch, length, HEADS, width // HEADS)), (0, 2, 1, 3))

    def block(x):
        q, k, v = (heads(x @ model[name]) for name in ("queries", "keys", "values"))
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        past = tj.arange(x.shape[1])[:, None] >= tj.arange(x.shape[1])
        weights = tj.softmax(tj.where(past, scores, -math.inf), axis=-1)
        mixed = tj.reshape(tj.permute_dims(weights @ v, (0, 2, 1, 3)), x.shape)
        y = x + mixed @ model["out"]
        centred = y - tj.mean(y, axis=-1, keepdims=True)
        return centred / tj.sqrt(tj.var(y, axis=-1, keepdims=True) + 1e-5) * model["gain"] + model["shift"]

    def step(x):
        with tj.GradientTape() as tape:
            y = block(x)
            loss = tj.mean(tj.sin(y) * x)
        slopes = tape.gradient(loss, model)
        for name, variable in model.items():
            variable.assign_sub(0.5 * slopes[name])
        return loss, y, slopes

    return Case(step, list(model.values()), lambda rng: (normal(rng, 2, 5, 8, dtype=dtype),))


@program
def black_scholes_greeks(dtype: str) -> Case:
    def below(z):
        return 0.5 * (1 + tj.erf(z / math.sqrt(2)))

    def step(spot, strike, years, rate, volatility):
        with tj.GradientTape() as second:
            second.watch(spot)
            with tj.GradientTape() as first:
                first.watch([spot, years, rate, volatility])
                root = volatility * tj.sqrt(years)
                d1 = (tj.log(spot / strike) + (rate + volatility**2 / 2) * years) / root
                price = spot * below(d1) - strike * tj.exp(-rate * years) * below(d1 - root)
            delta, decay, rho, vega = first.gradient(price, [spot, years, rate, volatility])
        return price, delta, second.gradient(delta, spot), vega, -decay, rho

    def arguments(rng):
        limits = ((80, 120), (80, 120), (0.1, 2.0), (0.0, 0.05), (0.1, 0.5))
        return tuple(rng.uniform(*pair, 9).astype(dtype) for pair in limits)

    return Case(step, [], arguments)


@program
def chain_of_300_operations(dtype: str) -> Case:
    total = tj.Variable(np.zeros((), dtype))

    def step(x):
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = x
            for number in range(100):
                y = tj.sin(y) * 1.1 + 0.01 * number
        slope = tape.gradient(y, x)
        total.assign_add(y)
        return y, slope

    return Case(step, [total], lambda rng: (normal(rng, dtype=dtype),))


def rosenbrock(x: Any) -> Any:
    return tj.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@program
def hessian_of_rosenbrock(dtype: str) -> Case:
    def step(x):
        with tj.GradientTape() as outer:
            outer.watch(x)
            with tj.GradientTape() as inner:
                inner.watch(x)
                value = rosenbrock(x)
            slope = inner.gradient(value, x)
        return value, slope, outer.jacobian(slope, x)

    return Case(step, [], lambda rng: (normal(rng, 20, dtype=dtype),))


SUBSTEPS = 10


def pendulum(state: Any) -> Any:
    angle, speed = state[0], state[1]
    return tj.stack([speed, -9.81 * tj.sin(angle)])


@program
def pendulum_by_runge_kutta(dtype: str) -> Case:
    state = tj.Variable(np.array([0.5, 0.0], dtype))

    def step(seconds):
        h = seconds / SUBSTEPS
        with tj.GradientTape() as tape:
            start = state.read_value()
            tape.watch(start)
            y = start
            for _ in range(SUBSTEPS):
                k1 = pendulum(y)
                k2 = pendulum(y + h / 2 * k1)
                k3 = pendulum(y + h / 2 * k2)
                k4 = pendulum(y + h * k3)
                y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            angle = y[0]
        sensitivity = tape.gradient(angle, start)
        state.assign(y)
        return y, sensitivity

    return Case(step, [state], lambda rng: (np.asarray(rng.uniform(0.1, 0.3), dtype),))


PRECISION = np.array([[2.0, -0.8], [-0.8, 1.0]])


@program
def hamiltonian_monte_carlo(dtype: str) -> Case:
    position = tj.Variable(np.array([1.0, -1.0], dtype))
    accepted = tj.Variable(0, trainable=False)
    generator = tj.random.Generator(3)
    precision = PRECISION.astype(dtype)

    def energy(q):
        return 0.5 * tj.sum(q * (precision @ q))

    def slope(q):
        with tj.GradientTape() as tape:
            tape.watch(q)
            value = energy(q)
        return tape.gradient(value, q)

    def step(size):
        q = start = position.read_value()
        p = momentum = generator.normal((2,), dtype=dtype)
        p = p - size / 2 * slope(q)
        for number in range(5):
            q = q + size * p
            p = p - (size if number < 4 else size / 2) * slope(q)
        change = energy(q) + 0.5 * tj.sum(p * p) - energy(start) - 0.5 * tj.sum(momentum * momentum)
        accept = tj.log(generator.uniform((), dtype=dtype)) < -change
        position.assign(tj.where(accept, q, start))
        accepted.assign_add(tj.astype(accept, "int64"))
        return change, momentum, q, p

    return Case(step, [position, accepted], lambda rng: (np.asarray(rng.uniform(0.2, 0.5), dtype),))
