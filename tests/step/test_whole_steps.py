"""Whole programs as users write them: eager and compiled agree over several calls with new values, and both are right.

The programs are in `whole_programs`. After the comparison of eager with compiled each is held against a version in
NumPy alone, against closed formulas, or against differences.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.step.whole_programs import HEADS, PRECISION, PROGRAMS, Case, normal

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}
CALLS = 4

Arrays = list[np.ndarray]


def flat(result: Any) -> Arrays:
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return [array for each in result for array in flat(each)]
    return [] if result is None else [np.asarray(result)]


def close(found: Any, expected: Any, dtype: str, scale: float = 1.0) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    tolerance = scale * TOLERANCE[dtype]
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=1.0))


# Eager and compiled


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_eager_and_compiled_agree_over_several_calls(name: str, dtype: str) -> None:
    eager, compiled = PROGRAMS[name](dtype), PROGRAMS[name](dtype)
    step = tj.compile(compiled.step, strict=True)
    rng = np.random.default_rng(2)
    for _ in range(CALLS):
        arguments = eager.arguments(rng)
        kept = [np.array(argument) for argument in arguments]
        tensors = [tj.constant(each) if isinstance(each, np.ndarray) else each for each in arguments]
        wanted, found = flat(eager.step(*tensors)), flat(step(*arguments))
        assert len(wanted) == len(found) > 0
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype
            close(one, other, dtype)
        for one, other in zip(compiled.variables, eager.variables, strict=True):
            close(one.numpy(), other.numpy(), dtype)
        for argument, before in zip(arguments, kept, strict=True):
            np.testing.assert_array_equal(argument, before)
    report = step.report()
    assert (report["traces"], report["compilations"] + report["from_cache"]) == (1, 1)
    assert report["eager_because"] is None


def run(name: str, calls: int = CALLS) -> tuple[Case, list[tuple[Arrays, tuple[Any, ...], Arrays]]]:
    """A compiled program in float64: for each call the variables before it, its arguments and its results."""
    case = PROGRAMS[name]("float64")
    step, rng, calls_made = tj.compile(case.step, strict=True), np.random.default_rng(4), []
    for _ in range(calls):
        before = [np.array(variable.numpy()) for variable in case.variables]
        arguments = case.arguments(rng)
        calls_made.append((before, arguments, flat(step(*arguments))))
    return case, calls_made


def slope_along(function: Callable[..., float], points: Arrays, directions: Arrays) -> float:
    """The derivative of a function of arrays along a direction, by differences of the fourth order."""
    h = 1e-3

    def at(t: float) -> float:
        return float(function(*[x + t * h * d for x, d in zip(points, directions, strict=True)]))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def check_slopes(function: Callable[..., float], points: Arrays, slopes: Arrays) -> None:
    directions = [normal(np.random.default_rng(9 + i), *x.shape, dtype="float64") for i, x in enumerate(points)]
    wanted = slope_along(function, points, directions)
    found = sum(np.sum(ct * d) for ct, d in zip(slopes, directions, strict=True))
    assert found == pytest.approx(wanted, rel=1e-8, abs=1e-8)


# Against NumPy alone


def test_line_fit_against_numpy() -> None:
    case, calls = run("line_fit")
    w, b = 0.3, 0.1
    for _, (x, y), (loss,) in calls:
        residual = y - (w * x + b)
        assert loss == pytest.approx(np.mean(np.abs(residual)), rel=1e-12)
        w, b = w + 0.01 * np.sum(np.sign(residual) * x), b + 0.01 * np.sum(np.sign(residual))
    assert [float(variable) for variable in case.variables] == pytest.approx([w, b], rel=1e-12)


def test_softmax_regression_against_numpy() -> None:
    case, calls = run("softmax_regression")
    w, b = calls[0][0]
    for _, (x, labels, rate), (loss, right) in calls:
        logits = x @ w + b
        weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        rows = np.arange(len(labels))
        assert loss == pytest.approx(-np.log(weights[rows, labels]).mean(), rel=1e-12)
        assert right == np.sum(logits.argmax(1) == labels)
        weights[rows, labels] -= 1
        w, b = w - rate * (x.T @ weights) / len(x), b - rate * weights.mean(0)
    close(case.variables[0].numpy(), w, "float64")
    close(case.variables[1].numpy(), b, "float64")


def numpy_perceptron(weights: Arrays, x: np.ndarray, labels: np.ndarray) -> tuple[float, Arrays]:
    """Loss and gradients by hand."""
    layers, signals = [(weights[i], weights[i + 1]) for i in range(0, len(weights), 2)], [x]
    for number, (w, b) in enumerate(layers):
        z = signals[-1] @ w + b
        signals.append(np.tanh(z) if number < len(layers) - 1 else z)
    logits = signals.pop()
    shifted = logits - logits.max(1, keepdims=True)
    log_weights = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(x))
    ct = np.exp(log_weights)
    ct[rows, labels] -= 1
    ct /= len(x)
    slopes: Arrays = []
    for (w, _), signal in zip(reversed(layers), reversed(signals), strict=True):
        slopes = [signal.T @ ct, ct.sum(0), *slopes]
        ct = (ct @ w.T) * (1 - signal**2)
    return -log_weights[rows, labels].mean(), slopes


def test_perceptron_with_adam_against_numpy() -> None:
    case, calls = run("perceptron_with_adam", calls=10)
    weights = calls[0][0]
    m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for number, (_, (x, labels), (loss,)) in enumerate(calls, 1):
        expected, slopes = numpy_perceptron(weights, x, labels)
        assert loss == pytest.approx(expected, rel=1e-11)
        rate = 0.01 * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        for i, ct in enumerate(slopes):
            m[i] = 0.9 * m[i] + 0.1 * ct
            v[i] = 0.999 * v[i] + 0.001 * ct**2
            weights[i] = weights[i] - rate * m[i] / (np.sqrt(v[i]) + 1e-7)
    optimizer = case.optimizer  # type: ignore[attr-defined]
    assert int(optimizer.steps) == 10
    for variable, slots, w, *moments in zip(case.variables, optimizer.slots, weights, m, v, strict=True):
        for found, wanted in zip([variable, *slots], [w, *moments], strict=True):
            close(found.numpy(), wanted, "float64", scale=10)


def numpy_log_likelihood(x: np.ndarray, logits: np.ndarray, means: np.ndarray, log_scales: np.ndarray) -> float:
    """A product of sums, as in the definition."""
    shares = np.exp(logits) / np.exp(logits).sum()
    deviations = np.exp(log_scales)
    densities = np.exp(-(((x[:, None] - means) / deviations) ** 2) / 2) / (deviations * np.sqrt(2 * np.pi))
    return float(np.log((shares * densities.prod(2)).sum(1)).sum())


def test_gaussian_mixture_against_its_definition() -> None:
    case, calls = run("gaussian_mixture")
    values = []
    for before, (x,), (value, *slopes) in calls:
        assert value == pytest.approx(numpy_log_likelihood(x, *before), rel=1e-12)
        check_slopes(lambda *model, x=x: numpy_log_likelihood(x, *model), before, slopes)
        values.append(value)
    assert sum(slopes[0]) == pytest.approx(0, abs=1e-10)  # the shares are on a simplex
    x = calls[0][1][0]
    step = tj.compile(case.step, strict=True)
    climbed = [float(step(x)[0]) for _ in range(30)]
    assert climbed == sorted(climbed)


def numpy_cell(sequence: np.ndarray, weights: Arrays, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def gate(z: np.ndarray) -> Any:
        return 1 / (1 + np.exp(-z))

    w, u, b = weights
    for x in sequence:
        z = x @ w + h @ u + b
        i, f, g, o = (z[:, k * 5 : (k + 1) * 5] for k in range(4))
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
    return h, c


def test_recurrent_cell_against_numpy() -> None:
    case, calls = run("recurrent_cell")
    for (*weights, h, c), (sequence, target), (loss, found, *slopes) in calls:
        expected = numpy_cell(sequence, weights, h, c)
        close(found, expected[0], "float64")
        assert loss == pytest.approx(np.mean((expected[0] - target) ** 2), rel=1e-12)
        check_slopes(
            lambda *each, s=sequence, h=h, c=c, t=target: np.mean((numpy_cell(s, each, h, c)[0] - t) ** 2),
            weights,
            slopes,
        )
    for variable, wanted in zip(case.variables[3:], expected, strict=True):
        close(variable.numpy(), wanted, "float64")


def numpy_block(x: np.ndarray, *model: np.ndarray) -> np.ndarray:
    """One row of one head at a time."""
    queries, keys, values, out, gain, shift = model
    q, k, v = x @ queries, x @ keys, x @ values
    mixed = np.empty_like(x)
    for batch, row, head in np.ndindex(len(x), x.shape[1], HEADS):
        part = slice(4 * head, 4 * head + 4)
        scores = np.exp(k[batch, : row + 1, part] @ q[batch, row, part] / 2)
        mixed[batch, row, part] = scores / scores.sum() @ v[batch, : row + 1, part]
    y = x + mixed @ out
    return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5) * gain + shift


def test_attention_against_one_row_at_a_time() -> None:
    _, calls = run("attention_with_layer_norm")
    for before, (x,), (loss, y, *slopes) in calls:
        close(y, numpy_block(x, *before), "float64")
        assert loss == pytest.approx(np.mean(np.sin(y) * x), rel=1e-12)
        check_slopes(lambda *model, x=x: np.mean(np.sin(numpy_block(x, *model)) * x), before, slopes)


# Against closed formulas


def test_black_scholes_against_closed_formulas() -> None:
    _, calls = run("black_scholes_greeks")
    erf = np.vectorize(math.erf)
    for _, (spot, strike, years, rate, volatility), found in calls:
        root = volatility * np.sqrt(years)
        d1 = (np.log(spot / strike) + (rate + volatility**2 / 2) * years) / root
        below1, below2 = (1 + erf(d1 / math.sqrt(2))) / 2, (1 + erf((d1 - root) / math.sqrt(2))) / 2
        density, discounted = np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi), strike * np.exp(-rate * years)
        expected = (
            spot * below1 - discounted * below2,
            below1,
            density / (spot * root),
            spot * density * np.sqrt(years),
            -spot * density * volatility / (2 * np.sqrt(years)) - rate * discounted * below2,
            discounted * years * below2,
        )
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_a_chain_of_300_operations_against_dual_numbers() -> None:
    case, calls = run("chain_of_300_operations")
    total = 0.0
    for _, (x,), (y, slope) in calls:
        value, tangent = float(x), 1.0
        for number in range(100):
            value, tangent = math.sin(value) * 1.1 + 0.01 * number, math.cos(value) * 1.1 * tangent
        assert (y, slope) == pytest.approx((value, tangent), rel=1e-9)
        total += value
    assert float(case.variables[0]) == pytest.approx(total, rel=1e-11)


def test_hessian_of_rosenbrock_against_its_formula() -> None:
    _, calls = run("hessian_of_rosenbrock")
    for _, (x,), (value, slope, hessian) in calls:
        n = len(x)
        expected, first = np.zeros((n, n)), np.zeros(n)
        for i in range(n - 1):
            first[i] += -400 * x[i] * (x[i + 1] - x[i] ** 2) - 2 * (1 - x[i])
            first[i + 1] += 200 * (x[i + 1] - x[i] ** 2)
            expected[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
            expected[i + 1, i + 1] += 200
            expected[i, i + 1] = expected[i + 1, i] = -400 * x[i]
        assert value == pytest.approx(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), rel=1e-12)
        close(slope, first, "float64")
        close(hessian, expected, "float64")
        assert np.count_nonzero(hessian) <= 3 * n


def test_newtons_method_on_rosenbrock_reaches_the_minimum() -> None:
    step = tj.compile(PROGRAMS["hessian_of_rosenbrock"]("float64").step, strict=True)
    x = np.full(20, 1.2)
    for _ in range(12):
        _, slope, hessian = flat(step(x))
        x = x - np.linalg.solve(hessian, slope)
    np.testing.assert_allclose(x, 1.0, atol=1e-12)


def test_a_pendulum_keeps_its_energy_and_a_small_one_swings_as_a_harmonic() -> None:
    case, calls = run("pendulum_by_runge_kutta", calls=10)

    def energy(state: np.ndarray) -> float:
        return float(state[1] ** 2 / 2 - 9.81 * np.cos(state[0]))

    for (before,), _, (after, _) in calls:
        assert energy(after) == pytest.approx(energy(before), rel=1e-7)
    step, frequency = tj.compile(case.step, strict=True), math.sqrt(9.81)
    case.variables[0].assign([1e-6, 0.0])
    state, sensitivity = flat(step(np.asarray(0.3)))
    wanted = [math.cos(0.3 * frequency), -math.sin(0.3 * frequency) * frequency]
    np.testing.assert_allclose(state, 1e-6 * np.array(wanted), rtol=1e-5)
    np.testing.assert_allclose(sensitivity, [wanted[0], math.sin(0.3 * frequency) / frequency], rtol=1e-5)


def test_a_leapfrog_is_reversible_and_its_energy_error_is_small() -> None:
    def force(q: np.ndarray) -> np.ndarray:
        return -(PRECISION @ q)

    _, calls = run("hamiltonian_monte_carlo", calls=10)
    for (start, _), (size,), (change, momentum, q, p) in calls:
        place, speed = q, -p
        for _ in range(5):
            speed = speed + size / 2 * force(place)
            place = place + size * speed
            speed = speed + size / 2 * force(place)
        np.testing.assert_allclose(place, start, atol=1e-12)
        np.testing.assert_allclose(-speed, momentum, atol=1e-12)
        after, before = ((x @ PRECISION @ x + v @ v) / 2 for x, v in ((q, p), (start, momentum)))
        assert change == pytest.approx(after - before, abs=1e-12)
        assert abs(change) < 0.5


def test_hamiltonian_monte_carlo_samples_its_normal_distribution() -> None:
    case = PROGRAMS["hamiltonian_monte_carlo"]("float64")
    step = tj.compile(case.step, strict=True)
    samples = []
    for size in np.random.default_rng(6).uniform(0.2, 0.5, 4000):  # one length for all may be a mode's half period
        step(np.asarray(size))
        samples.append(case.variables[0].numpy())
    found = np.array(samples)
    np.testing.assert_allclose(found.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(np.cov(found.T), np.linalg.inv(PRECISION), atol=0.12)
    assert int(case.variables[1]) > 3600
