"""Update rules and schedules against the numbers of Keras, and compiled steps against eager ones."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj

KERAS = json.loads((Path(__file__).parent / "keras.json").read_text())
"""From Keras 3.13: values of two float64 variables after five steps; schedules at `STEPS`.

Keras takes the powers of Adam's factors in float32, which is why the tolerance is what it is.
"""

THIRTY = json.loads((Path(__file__).parent / "keras_thirty.json").read_text())
"""The same from Keras 3.15 after thirty steps, with each way to decay, to clip, to average and to change the rate."""

START = (np.array([[0.5, -1.0, 2.0], [0.1, 0.0, -0.3]]), np.array([1.0, -2.0]))
STEPS = (0, 1, 3, 4, 7, 9, 10, 13, 25)


def gradients(step: int) -> list[np.ndarray]:
    return [
        np.cos(step + np.arange(6).reshape(2, 3)) * 0.7,
        np.array([0.3 * (step - 2), 0.0 if step == 1 else -0.5]),
    ]


def made(name: str, options: dict[str, Any]) -> Any:
    rate = options.get("learning_rate")
    if isinstance(rate, list):
        options = {**options, "learning_rate": getattr(tj.optimizers.schedules, rate[0])(*rate[1])}
    return getattr(tj.optimizers, name)(**options)


@pytest.mark.parametrize(("name", "options", "expected"), KERAS["optimizers"])
def test_five_steps_give_the_numbers_of_keras(name: str, options: dict[str, Any], expected: list[Any]) -> None:
    variables, optimizer = [tj.Variable(value) for value in START], made(name, options)
    for step in range(5):
        optimizer.apply_gradients(zip(gradients(step), variables, strict=True))
    assert int(optimizer.iterations) == 5
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize(("name", "options", "expected"), THIRTY)
def test_thirty_steps_give_the_numbers_of_keras(name: str, options: dict[str, Any], expected: list[Any]) -> None:
    variables, optimizer = [tj.Variable(value) for value in START], made(name, options)
    for step in range(30):
        optimizer.apply_gradients(zip(gradients(step), variables, strict=True))
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize(
    "index", [0, 2, 4, 6, 7, 10, 11, 12, 13, 16, 17, 18, 19], ids=lambda at: str(KERAS["optimizers"][at][:2])
)
def test_compiled_steps_do_what_eager_ones_do(index: int) -> None:
    name, options, _ = KERAS["optimizers"][index]
    results = []
    for compiled in (False, True):
        variables, optimizer = [tj.Variable(value) for value in START], made(name, options)

        def step(first: Any, second: Any, optimizer: Any = optimizer, variables: Any = variables) -> None:
            optimizer.apply_gradients(zip([first, second], variables, strict=True))

        run = tj.compile(step, strict=True) if compiled else step
        for number in range(4):
            run(*gradients(number))
        results.append([value.numpy() for value in (*variables, *optimizer.variables)])
        if compiled:
            assert run.report()["matrix_products"] == 0
    for eager, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, eager, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "arguments", "expected"), KERAS["schedules"])
def test_schedules_give_the_numbers_of_keras(name: str, arguments: list[Any], expected: list[float]) -> None:
    schedule = getattr(tj.optimizers.schedules, name)(*arguments)
    np.testing.assert_allclose([float(schedule(step)) for step in STEPS], expected, rtol=1e-5, atol=1e-7)


def test_one_parameter_is_updated_in_one_loop() -> None:
    w = tj.Variable(np.ones((7, 5)))
    optimizer = tj.optimizers.Adam()
    step = tj.compile(lambda x: optimizer.apply_gradients([(x, w)]), strict=True)
    for _ in range(2):
        step(np.ones((7, 5)))
    assert step.report()["loop_nests"] == 1


@pytest.mark.parametrize("name", ["Adam", "Adamax", "Nadam"])
def test_what_variables_share_is_computed_once_a_step(name: str) -> None:
    """Two powers of betas, and for Nadam two more for its shares, however many variables there are."""
    variables = [tj.Variable(np.ones(length, np.float32)) for length in (3, 4, 5)]
    optimizer = getattr(tj.optimizers, name)(weight_decay=0.1, use_ema=True)
    step = tj.compile(lambda *g: optimizer.apply_gradients(zip(g, variables, strict=True)), strict=True)
    step.lower(*(np.ones(length, np.float32) for length in (3, 4, 5)))
    source = step.source()
    assert source.count("power(") == {"Adam": 2, "Adamax": 1, "Nadam": 4}[name]
    constants = [line for line in source.splitlines() if "= constant[" in line]
    assert len(constants) <= 15


def test_a_perceptron_with_adam_reads_as_one_would_write_it() -> None:
    """The kernel's text, reviewed as a difference; regenerated only by TAPEJIT_UPDATE_GOLDEN=1."""
    model = tj.nn.Sequential([tj.nn.Dense(16, "relu", input_shape=(12,)), tj.nn.Dense(5)])
    optimizer = tj.optimizers.Adam(0.001)
    loss_object = tj.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tj.compile(strict=True)
    def train(x: Any, labels: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = loss_object(labels, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    train.lower(tj.TensorSpec((20, 12), "float32"), tj.TensorSpec((20,), "int64"))
    text, path = train.source(), Path(__file__).parent / "perceptron_with_adam.txt"
    if os.environ.get("TAPEJIT_UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text, f"run with TAPEJIT_UPDATE_GOLDEN=1 and review the difference of {path}"
    report = train.report()
    assert report["matrix_products"] == 5
    # The labels' check; hidden values, the loss and the cotangents of logits, those of hidden values; the parameters.
    assert report["loop_nests"] == 1 + 3 + 4
