"""Weights in files: resuming gives the same numbers, and files of something else are told from the right ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import TapejitWarning, WeightsError


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


OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True}, "AdamW": {}, "Adamax": {}, "Nadam": {},
    "RMSprop": {"centered": True, "momentum": 0.5}, "Adagrad": {}, "Adadelta": {}, "Lion": {},
}  # fmt: skip


class Epochs:
    """A model, an optimizer with all that it can keep, and a shuffled data set."""

    def __init__(self, name: str) -> None:
        self.model = tj.nn.Sequential([tj.nn.Dense(3, "tanh", input_shape=(2,)), tj.nn.Dropout(0.3), tj.nn.Dense(1)])
        self.optimizer = getattr(tj.optimizers, name)(
            weight_decay=0.01, clipnorm=1.0, use_ema=True, ema_overwrite_frequency=3, **OPTIONS[name]
        )
        self.optimizer.build(self.model.trainable_variables)
        rows = np.sin(np.arange(30, dtype=np.float32)).reshape(10, 3)
        self.data = tj.data.Dataset.from_tensor_slices((rows[:, :2], rows[:, 2:])).shuffle(10).batch(4).prefetch(1)
        self.saved = {"model": self.model, "optimizer": self.optimizer, "data": self.data}

    def step(self, x: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.losses.MeanSquaredError()(y, self.model(x, training=True))
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def run(self, step: Any = None) -> list[float]:
        return [float((step or self.step)(x, y)) for x, y in self.data]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_optimizer_goes_on_to_the_bit(tmp_path: Path, name: str) -> None:
    first, second, path = Epochs(name), Epochs(name), tmp_path / "run.safetensors"
    first.run()
    first.optimizer.learning_rate = 0.1
    tj.save_weights(path, first.saved)
    expected = first.run() + first.run()
    tj.load_weights(path, second.saved)
    assert second.run() + second.run() == expected


def test_compiled_epochs_go_on_to_the_bit(tmp_path: Path) -> None:
    first, second, path = Epochs("Adam"), Epochs("Adam"), tmp_path / "run.safetensors"
    steps = [tj.compile(run.step, strict=True) for run in (first, second)]
    first.run(steps[0])
    tj.save_weights(path, first.saved)
    expected = first.run(steps[0])
    tj.load_weights(path, second.saved)
    assert second.run(steps[1]) == expected


def test_what_fits_of_a_file(tmp_path: Path) -> None:
    path, run = tmp_path / "run.safetensors", Run()
    tj.save_weights(path, run.saved)
    other = tj.nn.Sequential([tj.nn.Dense(4, "tanh", input_shape=(3,)), tj.nn.Dense(2)])
    kept = other.layers[1].kernel.numpy()
    left = tj.load_weights(path, {"model": other}, strict=False)
    assert left == ["model/layers/1/kernel", "model/layers/1/bias"]
    np.testing.assert_array_equal(other.layers[0].kernel, run.model.layers[0].kernel)
    np.testing.assert_array_equal(other.layers[1].kernel, kept)
    assert tj.load_weights(path, {"model": run.model}, strict=False) == []
    with pytest.raises(WeightsError, match="it has no another"):
        tj.load_weights(path, {"another": tj.Variable(1.0)}, strict=False)


class Trainer(tj.nn.Module):
    """A module with an optimizer and a data set in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = tj.nn.Dense(1, input_shape=(2,))
        self._optimizer = tj.optimizers.Adam()
        self.data = tj.data.Dataset.range(4).shuffle(4)


def test_optimizers_and_data_sets_in_modules_are_saved(tmp_path: Path) -> None:
    first, second, path = Trainer(), Trainer(), tmp_path / "w.safetensors"
    first._optimizer.apply_gradients(zip([np.ones((2, 1)), np.ones(1)], first.layer.weights, strict=True))
    list(first.data)
    tj.save_weights(path, {"trainer": [first]})
    with pytest.raises(WeightsError, match=r"trainer/0/_optimizer/slots/0/momentum.*call optimizer.build"):
        tj.load_weights(path, {"trainer": [second]})
    second._optimizer.build(second.layer.weights)
    assert tj.load_weights(path, {"trainer": [second]}) == []
    assert int(second._optimizer.iterations) == 1
    np.testing.assert_array_equal(second._optimizer.variables[2], first._optimizer.variables[2])
    assert list(map(int, second.data)) == list(map(int, first.data))


class Two(tj.nn.Module):
    """Attributes that differ in an underscore only."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self._w = tj.Variable(1.0), tj.Variable(2.0)


def test_no_two_variables_share_a_name(tmp_path: Path) -> None:
    x, y, two, path = tj.Variable(1.0), tj.Variable(2.0), Two(), tmp_path / "w.safetensors"
    for target, variables in (({"a/b": x, "a": {"b": y}}, (x, y)), (two, two.variables)):
        tj.save_weights(path, target)
        for variable in variables:
            variable.assign(0.0)
        tj.load_weights(path, target)
        assert [float(variable) for variable in variables] == [1.0, 2.0]


def test_a_compiled_step_that_saves_or_loads_runs_eagerly(tmp_path: Path) -> None:
    v, path = tj.Variable(0.0), tmp_path / "w.safetensors"

    @tj.compile
    def save() -> None:
        v.assign_add(1.0)
        tj.save_weights(path, v)

    @tj.compile
    def load() -> Any:
        tj.load_weights(path, v)
        return v + 1

    for step in (save, load):
        with pytest.warns(TapejitWarning, match="runs eagerly"):
            step()
    save()
    v.assign(0.0)
    assert float(load()) == 3.0


def test_places_that_are_none_for_a_file(tmp_path: Path) -> None:
    w = tj.Variable(1.0)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing for w"):
        tj.save_weights(tmp_path / "missing" / "w", w)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        tj.save_weights(tmp_path, w)
    (tmp_path / "link").symlink_to(tmp_path / "w")
    tj.save_weights(tmp_path / "link", w)
    assert (tmp_path / "link").is_symlink()
    tj.load_weights(tmp_path / "w", w)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "w"]


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
    several = (
        r"layers/0/kernel is float32\[3, 4\] in it, and float32\[3, 5\] here; model/layers/0/bias is .*so are 6 more"
    )
    with pytest.raises(WeightsError, match=several):
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
        (lambda run: {**run.saved, "more": tj.Variable(1.0)}, "it has no more; strict=False takes what fits"),
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


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapejit.saving.safetensors", None)
    for function in (tj.save_weights, tj.load_weights):
        with pytest.raises(ModuleNotFoundError, match=r"python -m pip install 'tapejit\[save\]'"):
            function(tmp_path / "w", tj.Variable(1.0))


def test_what_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no variable"):
        tj.save_weights(tmp_path / "w", tj.nn.Dense(3))
    with pytest.raises(WeightsError, match="has dtype"):
        tj.save_weights(tmp_path / "w", tj.Variable(np.array("text")))
    with pytest.raises(TypeError, match="got ndarray for x"):
        tj.save_weights(tmp_path / "w", {"x": np.ones(3)})
