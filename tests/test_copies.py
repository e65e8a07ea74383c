"""Copies and pickles of what a program keeps: variables of their own, shared where the original shares."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapejit as tj


def pickled(protocol: int, thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol))


AGAIN: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": partial(pickled, number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
}
EVERY_WAY = pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)

X = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(6, 2)
Y = X[:, :1] * 2 - X[:, 1:]


def train(model: Any, optimizer: Any, times: int = 2) -> list[float]:
    losses = []
    for _ in range(times):
        with tj.GradientTape() as tape:
            loss = tj.mean((model(X, training=True) - Y) ** 2)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        losses.append(float(loss))
    return losses


def layers() -> Any:
    return tj.nn.Sequential(
        [tj.nn.Dense(4, activation="tanh", kernel_regularizer="l2"), tj.nn.Dropout(0.5, seed=1), tj.nn.Dense(1)]
    )


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: tj.optimizers.Adam(0.1),
    "SGD": lambda: tj.optimizers.SGD(tj.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9),
    "averages": lambda: tj.optimizers.RMSprop(0.1, use_ema=True, ema_momentum=0.5),
}


@EVERY_WAY
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_where_the_original_was(optimizer: Callable[[], Any], again: Callable[[Any], Any]) -> None:
    model, rule = layers(), optimizer()
    train(model, rule)
    other_model, other_rule = again((model, rule))
    assert len(other_rule.variables) == len(rule.variables)
    assert not {id(variable) for variable in (*other_model.variables, *other_rule.variables)} & {
        id(variable) for variable in (*model.variables, *rule.variables)
    }
    kept = [variable.numpy().copy() for variable in (*model.variables, *rule.variables)]
    losses = train(other_model, other_rule)
    for before, variable in zip(kept, (*model.variables, *rule.variables), strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
    assert train(model, rule) == losses
    names = [name for name, _ in rule.named_variables()]
    assert [name for name, _ in other_rule.named_variables()] == names


def test_slots_belong_to_their_variables_whatever_was_made_since() -> None:
    first, second = tj.Variable([1.0, 2.0]), tj.Variable([3.0, 4.0])
    rule = tj.optimizers.SGD(1.0, momentum=0.5)
    rule.apply_gradients([(np.float32([1.0, 0.0]), first)])
    text = pickle.dumps((rule, first))
    # Variables that are made now may have the numbers that others had in the process that wrote the pickle.
    rule, first = pickle.loads(text)
    rule.apply_gradients([(np.float32([0.0, 0.0]), second), (np.float32([0.0, 0.0]), first)])
    assert second.numpy().tolist() == [3.0, 4.0]
    assert first.numpy().tolist() == [-0.5, 2.0]


@EVERY_WAY
def test_one_variable_stays_one(again: Callable[[Any], Any]) -> None:
    table = tj.nn.Embedding(5, 3, input_shape=(2,))
    tied = {"table": table, "matrix": table.variables[0], "views": [table.variables[0]]}
    other = again(tied)
    assert other["matrix"] is other["views"][0]
    assert other["table"].variables[0] is other["matrix"]
    assert other["matrix"] is not tied["matrix"]


@EVERY_WAY
def test_generators_go_on_by_themselves(again: Callable[[Any], Any]) -> None:
    generator = tj.random.Generator(3)
    generator.uniform((2,))
    first, second = again((generator, generator))
    assert first is second
    expected = generator.normal((3,)).tolist()
    assert first.normal((3,)).tolist() == expected
    assert first.normal((3,)).tolist() != expected


def test_a_shallow_copy_of_a_generator_is_a_stream_of_its_own() -> None:
    generator = tj.random.Generator(3)
    other = copy.copy(generator)
    assert other.uniform().tolist() == generator.uniform().tolist()


THINGS: dict[str, Callable[[], Any]] = {
    "initializer": lambda: tj.nn.initializers.VarianceScaling(2.0),
    "initializer with a seed": lambda: tj.nn.initializers.RandomNormal(seed=4),
    "schedule": lambda: tj.optimizers.schedules.CosineDecay(0.1, 10),
    "loss": lambda: tj.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
    "regularizer": lambda: tj.nn.regularizers.L1L2(0.1, 0.2),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "initializer": lambda thing: thing((2, 3), "float32"),
    "initializer with a seed": lambda thing: thing((2, 3), "float32"),
    "schedule": lambda thing: thing(3),
    "loss": lambda thing: thing([0, 1], np.eye(2)),
    "regularizer": lambda thing: thing(np.ones(3)),
}


@EVERY_WAY
@pytest.mark.parametrize("name", THINGS)
def test_the_parts_of_models(name: str, again: Callable[[Any], Any]) -> None:
    thing = THINGS[name]()
    other = again(thing)
    assert CALLS[name](other).tolist() == CALLS[name](thing).tolist()


@EVERY_WAY
def test_metrics_count_on(again: Callable[[Any], Any]) -> None:
    mean = tj.metrics.Mean()
    mean.update_state([1.0, 3.0])
    other = again(mean)
    other.update_state([8.0])
    assert (float(mean.result()), float(other.result())) == (2.0, 4.0)


@EVERY_WAY
def test_data_sets_give_the_orders_that_would_have_come(again: Callable[[Any], Any]) -> None:
    rows = tj.data.Dataset.from_tensor_slices((np.arange(7), X[:1].repeat(7, 0))).shuffle(7, seed=1).batch(3)
    pairs = tj.data.Dataset.zip(tj.data.Dataset.range(5).shuffle(2).cache(), tj.data.Dataset.range(5)).prefetch(2)
    list(rows)
    other_rows, other_pairs = again((rows, pairs))
    assert len(other_rows) == 3
    for _ in range(2):
        for (ours, _), (theirs, _) in zip(rows, other_rows, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert list(map(str, pairs)) == list(map(str, other_pairs))


ERRORS = [
    kind
    for kind in vars(tj.errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == tj.errors.__name__
]


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_come_back_from_other_processes(kind: type[Exception]) -> None:
    again = pickle.loads(pickle.dumps(kind("what happened")))
    assert type(again) is kind
    assert str(again) == "what happened"


# Variables and tensors at hard places


class Named(tj.Variable):
    """A variable that is made in a way of its own, and knows more."""

    def __init__(self, unit: str) -> None:
        super().__init__([1.0, 2.0], trainable=False)
        self.unit = unit


@pytest.mark.parametrize("again", [copy.copy, *AGAIN.values()], ids=["copy", *AGAIN])
def test_a_subclass_of_variable_stays_one(again: Callable[[Any], Any]) -> None:
    length = Named("m")
    other = again(length)
    assert type(other) is Named
    assert (other.unit, other.trainable, other.tolist()) == ("m", False, [1.0, 2.0])
    other.assign_add([1.0, 1.0])
    assert length.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("again", [copy.copy, *AGAIN.values()], ids=["copy", *AGAIN])
def test_a_copy_is_heard_by_no_tape(again: Callable[[Any], Any]) -> None:
    w = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        again(w)
    assert tape.watched_variables() == ()


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_in_a_step_has_the_value_of_its_place(way: Callable[[Any], Any]) -> None:
    w, seen = tj.Variable(1.0), []

    @tj.compile
    def step(x: Any) -> Any:
        w.assign_add(x)
        made = way(w)
        seen.append(pickle.loads(made) if isinstance(made, bytes) else made)
        return w * 2.0

    with pytest.warns(tj.errors.TapejitWarning, match="runs eagerly"):
        step(2.0)
    assert float(step(3.0)) == 12.0
    assert [float(each) for each in seen[-2:]] == [3.0, 6.0]


def test_a_tensor_out_of_a_buffer_that_changes_keeps_its_numbers() -> None:
    buffers: list[Any] = []
    text = pickle.dumps(tj.constant([1.0, 2.0]), 5, buffer_callback=buffers.append)
    memory = [bytearray(buffer) for buffer in buffers]
    again = pickle.loads(text, buffers=memory)
    for each in memory:
        each[:] = bytes(len(each))
    assert again.tolist() == [1.0, 2.0]
