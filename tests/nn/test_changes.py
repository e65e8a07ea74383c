"""What is changed between two calls of a compiled step counts in the second one: frozen, added, replaced, set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import nn

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


def train_step(model: Any) -> Callable[..., Any]:
    @tj.compile(strict=True)
    def step(x: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean((model(x, training=True) - y) ** 2)
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            variable.assign_sub(0.1 * gradient)
        return loss

    return step


def assigned(step: Callable[..., Any], model: Any) -> list[bool]:
    """Call the step, hold that its loss is that of now, and say which weights it changed."""
    model(X)  # weights are there
    before = model.get_weights()
    expected = float(tj.mean((model(X, training=True) - Y) ** 2))
    model.set_weights(before)
    assert float(step(X, Y)) == pytest.approx(expected, rel=1e-5)
    return [not np.array_equal(old, new.numpy()) for old, new in zip(before, model.weights, strict=True)]


def dense(**options: Any) -> nn.Dense:
    return nn.Dense(3, **{"bias_initializer": "ones", **options})


def test_frozen_layers_stay_as_they_are() -> None:
    model = nn.Sequential([dense(), dense()])
    step = train_step(model)
    assert assigned(step, model) == [True] * 4
    model.layers[0].trainable = False
    assert assigned(step, model) == [False, False, True, True]
    model.layers[0].trainable = True
    model.layers[1].bias.trainable = False
    assert assigned(step, model) == [True, True, True, False]


def test_a_frozen_base_normalises_by_its_running_means() -> None:
    base = nn.Sequential([dense(use_bias=False), nn.BatchNormalization()])
    model = nn.Sequential([base, dense()])
    step = train_step(model)
    assert assigned(step, model) == [True] * 7
    base.trainable = False
    assert base.layers[1].trainable is False
    assert assigned(step, model) == [False] * 5 + [True] * 2
    np.testing.assert_array_equal(base(X, training=True).numpy(), base(X).numpy())
    base.trainable = True
    assert len(model.trainable_variables) == 5


def test_a_frozen_layer_stays_so_in_a_layer_that_is_made_around_it() -> None:
    class Around(nn.Layer):
        def __init__(self, inner: Any) -> None:
            self.inner = inner
            super().__init__()

        def call(self, x: Any) -> Any:
            return self.inner(x)

    inner = dense(input_shape=(3,), trainable=False)
    assert Around(inner).trainable_variables == ()


class Stack(nn.Module):
    """Layers in a list, and heads in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [dense(), dense()]
        self.heads = {"one": dense()}

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return sum(head(x) for head in self.heads.values())


def test_layers_in_lists_and_dicts_are_added_and_replaced() -> None:
    model = Stack()
    step = train_step(model)
    assert assigned(step, model) == [True] * 6
    model.blocks.append(dense())
    assert assigned(step, model) == [True] * 8
    model.blocks[0] = dense()
    assert assigned(step, model) == [True] * 8
    model.heads["two"] = dense()
    assert assigned(step, model) == [True] * 10
    del model.heads["one"], model.blocks[1]
    assert assigned(step, model) == [True] * 6


def test_a_step_that_asks_only_for_the_variables() -> None:
    model = Stack()
    model(X)

    @tj.compile(strict=True)
    def count() -> Any:
        return sum(tj.sum(variable * 0 + 1) for variable in model.trainable_variables)

    assert float(count()) == 36
    model.blocks.append(dense(input_shape=(3,)))
    assert float(count()) == 48
    model.blocks[0].trainable = False
    assert float(count()) == 36
    model.heads["one"] = nn.Dense(1, input_shape=(3,))
    assert float(count()) == 28


def test_values_kept_in_a_module_beside_its_layers_are_no_reason_to_trace_again() -> None:
    model = Stack()
    model.history = []
    step = train_step(model)
    for _ in range(4):
        model.history.append(float(step(X, Y)))
    assert step.report()["traces"] == 1


def test_sequential_takes_layers_away_and_finds_them() -> None:
    model = nn.Sequential([dense(name="first"), dense(), dense()])
    assert [layer.name for layer in model.layers] == ["first", "dense", "dense_1"]
    assert model.get_layer("dense_1") is model.get_layer(index=2)
    step = tj.compile(lambda x: model(x), strict=True)
    step(X)
    assert model.layers[2].kernel.name == "dense_1/kernel"
    last = model.pop()
    np.testing.assert_allclose(last(step(X)).numpy(), last(model(X)).numpy(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"no layer called 'dense_1'; there are \['first', 'dense'\]"):
        model.get_layer("dense_1")


def test_what_is_set_on_a_layer() -> None:
    norm, drop, layer = nn.BatchNormalization(), nn.Dropout(0.5), dense(input_shape=(3,))
    step = tj.compile(lambda x: (norm(x, training=True), drop(x, training=True), layer(x)), strict=True)
    step(X)
    norm.momentum, drop.rate, layer.kernel, layer.bias = 0.0, 0.0, tj.Variable(tj.eye(3)), None
    _, same, product = step(X)
    np.testing.assert_allclose(norm.moving_mean.numpy(), X.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(same.numpy(), X)
    np.testing.assert_allclose(product.numpy(), X, rtol=1e-6)


def test_what_is_set_counts_where_call_is_compiled_by_itself() -> None:
    model = nn.Sequential([dense(kernel_initializer="identity", bias_initializer="zeros")])
    model(X)
    of_model, of_layer = tj.compile(model.call, strict=True), tj.compile(model.layers[0].call, strict=True)
    of_model(X)
    of_layer(X)
    model.layers[0].activation = tj.square
    np.testing.assert_allclose(of_layer(X).numpy(), X**2, rtol=1e-6)
    model.add(nn.Activation(tj.exp))
    np.testing.assert_allclose(of_model(X).numpy(), np.exp(X**2), rtol=1e-5)


def test_variables_can_be_joined_with_lists() -> None:
    layer, other = dense(input_shape=(3,)), tj.Variable(1.0)
    assert len(layer.trainable_variables + [other]) == 3  # noqa: RUF005 (as users of Keras write)
    assert len([other] + layer.trainable_variables) == 3  # noqa: RUF005
    assert len(layer.trainable_variables + layer.trainable_variables) == 4
    with tj.GradientTape() as tape:
        loss = other * tj.sum(layer(X))
    gradients = tape.gradient(loss, [*layer.trainable_variables, other])
    assert len(gradients) == 3
