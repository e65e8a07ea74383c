"""Weights in files: resuming gives the same numbers, and files of something else are told from the right ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import WeightsError


class Run:
    """A model with dropout, its optimizer, and batches from a generator."""

    def __init__(self, units: int = 4) -> None:
        self.model = tj.nn.Sequential(
            [tj.nn.Dense(units, "tanh", input_shape=(3,)), tj.nn.Dropout(0.3), tj.nn.Dense(1)]
        )
        self.optimizer = tj.optimizers.Nadam(0.1)
        self.optimizer.build(self.model.trainable_variables)
        self.generator = tj.random.Generator()
        self.saved = {"model": self.model, "optimizer": self.optimizer, "data": [self.generator]}

    def step(self) -> float:
        x = self.generator.normal((8, 3))
        with tj.GradientTape() as tape:
            loss = tj.mean((self.model(x, training=True) - tj.sum(x, axis=1, keepdims=True)) ** 2)
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return float(loss)


def test_going_on_from_a_file_gives_the_numbers_of_not_stopping(tmp_path: Path) -> None:
    first, path = Run(), tmp_path / "run.safetensors"
    for _ in range(3):
        first.step()
    tj.save_weights(path, first.saved)
    expected = [first.step() for _ in range(3)]
    second = Run()
    tj.load_weights(path, second.saved)
    assert [second.step() for _ in range(3)] == expected
    assert [each.name for each in tmp_path.iterdir()] == ["run.safetensors"]


def test_names_are_paths(tmp_path: Path) -> None:
    from safetensors.numpy import load_file  # noqa: PLC0415 (what the test is about)

    tj.save_weights(tmp_path / "w.safetensors", Run().saved)
    names = set(load_file(tmp_path / "w.safetensors"))
    assert {
        "model/layers/0/kernel", "model/layers/0/bias", "model/layers/2/kernel", "model/layers/1/generator",
        "optimizer/iterations", "optimizer/momentum_product", "optimizer/slots/0/momentum",
        "optimizer/slots/3/velocity", "data/0/state",
    } <= names  # fmt: skip


def test_nothing_is_assigned_from_a_file_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    tj.save_weights(path, Run().saved)
    other = Run(units=5)
    before = [variable.numpy() for variable in other.model.variables]
    with pytest.raises(WeightsError, match=r"model/layers/0/kernel is float32\[3, 4\] in .*, and float32\[3, 5\] here"):
        tj.load_weights(path, other.saved)
    for variable, value in zip(other.model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda run: {"model": run.model},
            "it has data/0/state, optimizer/iterations, .* for which there is no variable here",
        ),
        (lambda run: {**run.saved, "more": tj.Variable(1.0)}, "it has no more"),
        (
            lambda run: {**run.saved, "optimizer": tj.optimizers.Nadam()},
            r"optimizer/slots/0/.*call optimizer.build\(model.trainable_variables\) before",
        ),
        (lambda run: {"model": tj.nn.Dense(3)}, "a model has its weights after a call, or with an input_shape"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, change: Any, match: str) -> None:
    run = Run()
    tj.save_weights(tmp_path / "w.safetensors", run.saved)
    with pytest.raises(WeightsError, match=match):
        tj.load_weights(tmp_path / "w.safetensors", change(run))


def test_files_that_are_none_of_weights(tmp_path: Path) -> None:
    w, path = tj.Variable(1.0), tmp_path / "w.safetensors"
    with pytest.raises(FileNotFoundError):
        tj.load_weights(path, w)
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="is no file of weights"):
        tj.load_weights(path, w)
    tj.save_weights(path, w)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(WeightsError, match="is no file of weights"):
        tj.load_weights(path, w)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w, path = tj.Variable(1.0), tmp_path / "w.safetensors"
    tj.save_weights(path, w)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", fail)
    w.assign(2.0)
    with pytest.raises(OSError, match="the disk is full"):
        tj.save_weights(path, w)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_what_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no variable"):
        tj.save_weights(tmp_path / "w", tj.nn.Dense(3))
    with pytest.raises(WeightsError, match="has dtype"):
        tj.save_weights(tmp_path / "w", tj.Variable(np.array("text")))
    with pytest.raises(TypeError, match="got ndarray"):
        tj.save_weights(tmp_path / "w", np.ones(3))
