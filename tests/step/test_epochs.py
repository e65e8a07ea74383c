"""`step.epochs`: whole epochs in few calls do what loops over shuffled batches do."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import IndexRangeError, ShapeError, TapejitWarning
from tapejit.kernel.driver import Program, Turns
from tapejit.kernel.shuffling import Order
from tapejit.step import epochs, progress
from tapejit.step.history import History

ROWS = 23
X = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32) + 0.25


class Model:
    """A linear one, with momentum, so that the order of the steps shows."""

    def __init__(self, wrap: Callable[..., Any] = tj.compile) -> None:
        self.w, self.slot = tj.Variable(tj.zeros(3)), tj.Variable(tj.zeros(3))
        self.rate = 0.1
        self.step = wrap(self.descend)

    def descend(self, x: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean((x @ self.w - y) ** 2)
        self.slot.assign(0.5 * self.slot + tape.gradient(loss, self.w))
        self.w.assign_sub(self.rate * self.slot)
        return {"loss": loss, "first": x[0, 0]}


def strict(function: Any) -> Any:
    return tj.compile(function, strict=True)


def orders(count: int, seed: int) -> np.ndarray:
    """The orders that `epochs` takes, from its own parts."""
    order = Order(ROWS, int(np.random.default_rng(seed).integers(2**63)))
    return np.array([order.move_on().copy() for _ in range(count)])


def by_hand(model: Model, order: np.ndarray, size: int, drop: bool) -> list[Any]:
    ends = ROWS - ROWS % size if drop else ROWS
    rows = [order[start : start + size] for start in range(0, ends, size)]
    return [model.step(X[batch], Y[batch]) for batch in rows]


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("size", [5, 50])
def test_epochs_are_loops_over_shuffled_batches(size: int, drop: bool) -> None:
    model, other = Model(strict), Model(strict)
    if drop and size > ROWS:
        with pytest.raises(ShapeError, match="23 rows fill no batch of 50; take a smaller batch_size, or drop_rem"):
            model.step.epochs(X, Y, batch_size=size, drop_remainder=True)
        return
    history = model.step.epochs(X, Y, batch_size=size, epochs=3, shuffle=7, drop_remainder=drop)
    results = [by_hand(other, order, size, drop) for order in orders(3, seed=7)]
    for key in ("loss", "first"):
        expected = np.array([[float(step[key]) for step in epoch] for epoch in results], np.float32)
        np.testing.assert_allclose(history.results[key].numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(model.w.numpy(), other.w.numpy(), rtol=1e-5)
    used = ROWS - ROWS % size if drop else ROWS
    weights = [min(size, used - start) for start in range(0, used, size)]
    expected = np.average(history.results["loss"].numpy(), 1, weights)
    np.testing.assert_allclose(history.means["loss"].numpy(), expected, rtol=1e-6)
    assert (history.epochs, model.step.report()["eager_because"]) == (3, None)


def test_each_epoch_takes_every_row_once_in_another_order() -> None:
    found = orders(200, seed=0)
    assert (np.sort(found) == np.arange(ROWS)).all()
    assert len(np.unique(found, axis=0)) == 200
    order = Order(4, 1)
    many = np.array([order.move_on().copy() for _ in range(24_000)])
    counts = np.unique(many, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert np.sum((counts - 1000) ** 2 / 1000) < 49.7  # chi squared, 23 degrees of freedom, p = 0.001


def test_seeds_generators_and_no_shuffling() -> None:
    def losses(shuffle: Any) -> list[float]:
        return Model().step.epochs(X, Y, batch_size=5, epochs=2, shuffle=shuffle).results["first"].tolist()  # type: ignore[no-any-return]

    assert losses(1) == losses(1) == losses(np.random.default_rng(1))
    assert losses(1) != losses(2)
    assert losses(True) != losses(True)
    assert losses(tj.random.Generator(5)) == losses(tj.random.Generator(5)) != losses(tj.random.Generator(6))
    generator = tj.random.Generator(5)
    assert losses(generator) != losses(generator)
    assert losses(False) == [X[::5, 0].tolist()] * 2
    with pytest.raises(TypeError, match="shuffle is a bool, a seed of 0 or more or a generator, got 'yes'"):
        losses("yes")
    with pytest.raises(TypeError, match=r"batch_size is an int, got 5\.0"):
        Model().step.epochs(X, Y, batch_size=5.0)


def test_a_callback_or_other_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**options: Any) -> tuple[list[Any], list[float]]:
        model = Model(strict)
        history = model.step.epochs(X, Y, batch_size=5, epochs=6, shuffle=4, **options)
        return history.results["loss"].tolist(), model.w.tolist()

    expected = run()
    assert run(callback=lambda *_: None) == expected
    monkeypatch.setattr(epochs, "RESULT_BYTES", 100)  # two epochs
    assert run() == expected


def test_arrays_that_change_in_the_callback_are_seen() -> None:
    x, total = np.ones((4, 2), np.float32), tj.Variable(0.0)
    scale = np.ones(1)

    def change(epoch: int, _: Any) -> None:
        x[...] = 10
        scale[0] = 2
        total.assign(0.5 * total.read_value())

    step = strict(lambda x: total.assign_add(tj.sum(x) * scale[0]) is None or tj.sum(x))
    history = step.epochs(x, batch_size=2, epochs=3, shuffle=False, callback=change)
    assert history.results.tolist() == [[4, 4], [40, 40], [40, 40]]
    assert float(total) == ((8 / 2 + 160) / 2 + 160) / 2


@pytest.mark.parametrize("drop", [False, True])
def test_few_calls_run_many_epochs(monkeypatch: pytest.MonkeyPatch, drop: bool) -> None:
    """The smaller last batch of each epoch, a kernel of its own, among them."""
    counts: list[int] = []
    run, take_turns = Program.run, Turns.run
    each = 4 if drop else 5
    monkeypatch.setattr(Program, "run", lambda self, count: counts.append(count) or run(self, count))
    monkeypatch.setattr(Turns, "run", lambda self, count: counts.append(count * each) or take_turns(self, count))
    model, other = Model(strict), Model(strict)
    history = model.step.epochs(X, Y, batch_size=5, epochs=50, shuffle=3, drop_remainder=drop)
    assert sum(counts) == 50 * each
    assert len(counts) < 10  # chunks grow
    assert "gather" in model.step.source()
    expected = [by_hand(other, order, 5, drop) for order in orders(50, seed=3)]
    losses = [[float(step["loss"]) for step in epoch] for epoch in expected]
    np.testing.assert_allclose(history.results["loss"].numpy(), losses, rtol=1e-4, atol=1e-6)


def test_the_callback_hears_means_and_may_stop() -> None:
    heard: list[tuple[int, float]] = []

    def callback(epoch: int, results: Any) -> bool:
        heard.append((epoch, float(results["loss"])))
        model.rate = 0.05  # what the step reads by name
        return epoch == 2

    model = Model(strict)
    history = model.step.epochs(X, Y, batch_size=5, epochs=9, shuffle=0, callback=callback)
    assert [epoch for epoch, _ in heard] == [0, 1, 2]
    assert [loss for _, loss in heard] == history.means["loss"].tolist()
    assert model.step.report()["traces"] == 4  # two sizes, two rates


def test_nests_tensors_lists_constants_and_mapped_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(">f4"))
    np.save(tmp_path / "y.npy", Y)
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    total = tj.Variable(0.0)

    @strict
    def step(data: Any, scale: Any, label: str) -> Any:
        total.assign_add(scale * tj.sum(data["x"]) + tj.sum(data["y"][0]) + tj.sum(data["y"][1]))
        return label

    swapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    history = step.epochs({"x": swapped, "y": (mapped, tj.constant(Y))}, 2.0, "a", batch_size=5)
    assert float(total) == pytest.approx(2 * X.sum() + 2 * Y.sum(), rel=1e-5)
    assert (history.results, history.means) == ("a", "a")
    step.epochs({"x": X.tolist(), "y": (Y[::-1], Y)}, label="a", scale=2.0, batch_size=5)
    assert float(total) == pytest.approx(4 * X.sum() + 4 * Y.sum(), rel=1e-5)


def test_a_step_that_runs_eagerly_warns_once_and_does_the_same() -> None:
    losses: list[float] = []

    def step(x: Any, y: Any) -> Any:
        result = model.descend(x, y)
        losses.append(float(result["loss"].numpy()))
        return result["loss"]

    model, other = Model(), Model(strict)
    eager = tj.compile(step)
    with pytest.warns(TapejitWarning, match="step runs eagerly from now on") as caught:
        history = eager.epochs(X, Y, batch_size=5, epochs=2, shuffle=3)
    assert len(caught) == 1
    expected = other.step.epochs(X, Y, batch_size=5, epochs=2, shuffle=3)
    np.testing.assert_allclose(history.results.numpy(), expected.results["loss"].numpy(), rtol=1e-5)
    assert losses[-10:] == history.results.numpy().ravel().tolist()


def test_a_step_that_runs_eagerly_once_is_compiled_from_the_next_epoch_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    take_turns = Turns.run
    monkeypatch.setattr(Turns, "run", lambda self, count: rounds.append(count) or take_turns(self, count))
    settings: dict[str, float] = {}

    @strict
    def step(x: Any) -> Any:
        if "scale" not in settings:
            settings["scale"] = 2.0
        return settings["scale"] * tj.sum(x)

    history = step.epochs(X, batch_size=ROWS, epochs=30)
    np.testing.assert_allclose(history.results, np.full((30, 1), 2 * X.sum()), rtol=1e-5)
    assert 20 < sum(rounds) < 30


def test_a_step_that_fails_is_named_and_the_history_is_of_what_was_done() -> None:
    table = tj.Variable(tj.zeros(4))
    count = tj.Variable(0)

    @strict
    def step(index: Any, limit: Any) -> Any:
        count.assign_add(1)
        return tj.sum(tj.take(table, tj.where(count > 12, index + limit[0], index)))

    indices = np.arange(ROWS) % 4
    with pytest.raises(IndexRangeError, match=r"^epoch 2, step 2: .*index \d is out of range") as caught:
        step.epochs(indices, np.full(ROWS, 4), batch_size=5, epochs=4)
    assert count.numpy() == 12
    history = caught.value.history  # type: ignore[attr-defined]
    assert (history.epochs, history.results.shape) == (2, (2, 5))


def test_an_interrupted_run_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(epoch: int, _: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    model, other = Model(strict), Model(strict)
    with pytest.raises(KeyboardInterrupt) as caught:
        model.step.epochs(X, Y, batch_size=5, epochs=4, shuffle=0, callback=interrupt)
    done = other.step.epochs(X, Y, batch_size=5, epochs=2, shuffle=0, callback=lambda *_: None)
    history: History = caught.value.history  # type: ignore[attr-defined]
    np.testing.assert_array_equal(history.results["loss"], done.results["loss"])
    np.testing.assert_array_equal(model.w, other.w)

    take_turns = Turns.run

    def interrupted(self: Turns, rounds: int) -> int:
        take_turns(self, rounds)
        raise KeyboardInterrupt

    monkeypatch.setattr(Turns, "run", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        model.step.epochs(X, Y, batch_size=5, epochs=4, shuffle=1)
    monkeypatch.undo()
    history = caught.value.history  # type: ignore[attr-defined]
    assert 1 <= history.epochs <= 4
    done = other.step.epochs(X, Y, batch_size=5, epochs=history.epochs, shuffle=1, callback=lambda *_: None)
    np.testing.assert_array_equal(history.results["loss"], done.results["loss"])
    np.testing.assert_array_equal(model.w, other.w)


def test_a_run_that_is_interrupted_between_steps_keeps_those_that_were_done(monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = Program.run, 0

    def interrupted(self: Program, count: int) -> int:
        nonlocal calls
        status = run(self, count)
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return status

    monkeypatch.setattr(Program, "run", interrupted)
    count = tj.Variable(0)
    step = strict(lambda x: count.assign_add(1) is None or tj.sum(x))
    with pytest.raises(KeyboardInterrupt) as caught:
        step.epochs(X, batch_size=5, epochs=4)
    assert 0 < int(count) < 5  # one by one at first, and then some more
    assert caught.value.history.epochs == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((X, Y[1:]), {}, r"epochs: argument y has 22 rows, argument x has 23"),
        ((X[:0], Y[:0]), {}, "0 rows fill no batch of 5"),
        ((X, np.array(1.0)), {}, "argument y has no axis of rows"),
        ((1.0, 2.0), {}, "no argument is an array"),
        ((X, Y), {"batch_size": 0}, "batch_size is 0, and has to be 1 at least"),
        ((X, Y), {"epochs": -1}, "the number of epochs is -1"),
        ((X, Y), {"shuffle": -1}, "shuffle is a bool, a seed of 0 or more or a generator, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(arrays: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model().step.epochs(*arrays, **{"batch_size": 5, **options})


def test_results_whose_shape_is_the_batchs_want_full_batches() -> None:
    count = tj.Variable(0)
    step = strict(lambda x: count.assign_add(1) is None or 2 * x)
    with pytest.raises(ShapeError, match=r"a result has shape \(5, 3\), in the smaller last batch \(3, 3\)"):
        step.epochs(X, batch_size=5)
    assert int(count) == 0
    assert step.epochs(X, batch_size=5, drop_remainder=True).results.shape == (1, 4, 5, 3)
    assert Model().step.epochs(X, Y, batch_size=5, epochs=0) == History(None, None, 0)


def test_a_bar_is_shown_on_long_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "BAR_AFTER", -1.0)
    model = Model()
    model.step.epochs(X, Y, batch_size=5, epochs=4, progress=False)
    model.step.epochs(X, Y, batch_size=5, epochs=4)  # standard error is no terminal
    assert not capsys.readouterr().err
    history = model.step.epochs(X, Y, batch_size=5, epochs=4, progress=True)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert f"{float(history.means['loss'][-1]):.4g}" in shown
    monkeypatch.setattr(progress, "STEPS_AFTER", -1.0)  # in the middle of the first epoch
    for step in (Model().step, tj.compile(Model().descend, check_finite=True)):
        step.epochs(X, Y, batch_size=5, epochs=2, progress=True)
        assert "10/10" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model.step.epochs(X, Y, batch_size=5, progress=True)
    assert not capsys.readouterr().err
