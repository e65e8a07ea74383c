"""Modules find what they hold, make weights when they see inputs, and say what does not fit."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import nn
from tapejit.errors import DtypeError, ShapeError


class Net(nn.Module):
    """Variables and modules in attributes, lists and dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tj.Variable(2.0, name="scale")
        self.blocks = [nn.Dense(3, input_shape=(2,)), {"last": nn.Dense(1, input_shape=(3,))}]
        self.again = self.blocks[0]
        self.frozen = tj.Variable(1.0, trainable=False, name="frozen")

    def call(self, x: Any) -> Any:
        return self.scale * self.blocks[1]["last"](self.blocks[0](x)) + self.frozen


def test_variables_are_found_once_in_order_inside_lists_and_dicts() -> None:
    net = Net()
    assert [path for path, _ in net.named_variables()] == [
        "scale", "blocks.0.kernel", "blocks.0.bias", "blocks.1.last.kernel", "blocks.1.last.bias", "frozen",
    ]  # fmt: skip
    assert len(net.variables) == 6
    assert [variable.name for variable in net.non_trainable_variables] == ["frozen"]
    assert net.submodules == (net.blocks[0], net.blocks[1]["last"])
    assert net.count_params() == 1 + 9 + 4 + 1


def test_a_module_that_is_not_trained_has_no_trainable_variables() -> None:
    net = Net()
    net.blocks[0].trainable = False
    assert len(net.trainable_variables) == 3
    assert len(net.variables) == 6
    net.trainable = False
    assert net.trainable_variables == ()


def test_modules_that_hold_each_other_are_no_endless_walk() -> None:
    one, other = Net(), Net()
    one.other, other.other = other, one
    assert len(one.variables) == 12
    assert len(one.trainable_variables) == 10


def test_training_reaches_the_layers_that_ask_for_it() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5, seed=1)

        def call(self, x: Any) -> Any:
            return self.drop(x)

    x = np.ones(1000, np.float32)
    for model in (Block(), nn.Sequential([Block()])):
        assert model(x).tolist() == x.tolist()
        assert 300 < float(tj.sum(model(x, training=True) == 0)) < 700
        assert model(x).tolist() == x.tolist()


def test_dropout_keeps_the_mean_and_has_its_own_state() -> None:
    layer = nn.Dropout(0.25, seed=3)
    x = np.ones((100, 100), np.float32)
    first, second = layer(x, training=True), layer(x, training=True)
    assert abs(float(tj.mean(first)) - 1.0) < 0.02
    assert not np.array_equal(first.numpy(), second.numpy())
    assert layer.variables == (layer.generator.state,)
    assert layer.weights == ()
    rows = nn.Dropout(0.5, noise_shape=(None, 1), seed=0)(x, training=True).numpy()
    assert (rows == rows[:, :1]).all()
    step = tj.compile(lambda value: nn.Dropout.call(layer, value, training=True), strict=True)
    layer.generator.set_state([3, 0])
    again = step(x)
    layer.generator.set_state([3, 0])
    np.testing.assert_array_equal(again.numpy(), layer(x, training=True).numpy())


def test_layers_build_from_a_shape_or_at_the_first_call() -> None:
    early, late = nn.Dense(3, input_shape=(2,)), nn.Dense(3)
    assert early.kernel.shape == (2, 3)
    assert not late.built
    late(np.ones((4, 2)))
    assert late.kernel.shape == (2, 3)
    model = nn.Sequential([nn.Dense(3, input_shape=(2,)), nn.Flatten(), nn.Dense(1)])
    assert len(model.trainable_variables) == 4
    assert model.output_shape == (None, 1)
    with pytest.raises(ShapeError, match="the length of the last axis can't be None"):
        nn.Dense(3, input_shape=(None,))


def test_weights_are_made_in_the_first_compiled_call() -> None:
    seeds = [nn.initializers.GlorotUniform(seed) for seed in (0, 1)]
    model = nn.Sequential([nn.Dense(4, "tanh", kernel_initializer=seeds[0]), nn.Dense(1, kernel_initializer=seeds[1])])
    step = tj.compile(lambda x: model(x), strict=True)
    x = np.ones((2, 3), np.float32)
    first = step(x)
    np.testing.assert_allclose(step(x).numpy(), first.numpy())
    np.testing.assert_allclose(model(x).numpy(), first.numpy(), rtol=1e-6)
    assert len(model.variables) == 4


def test_a_layer_that_is_added_or_changed_takes_effect_in_a_compiled_step() -> None:
    model = nn.Sequential([nn.Dense(1, kernel_initializer="ones", input_shape=(2,))])
    step = tj.compile(lambda x: model(x), strict=True)
    x = np.full((1, 2), -1.0, np.float32)
    assert step(x).tolist() == [[-2.0]]
    model.add(nn.Activation("relu"))
    assert step(x).tolist() == [[0.0]]
    model.layers[0].activation = lambda value: -value
    assert step(x).tolist() == [[2.0]]


def test_losses_of_regularizers() -> None:
    layer = nn.Dense(2, kernel_initializer="ones", kernel_regularizer=nn.regularizers.l2(0.5), bias_regularizer="l1")
    model = nn.Sequential([layer])
    model(np.ones((1, 3)))
    assert [float(loss) for loss in model.losses] == [3.0, 0.0]
    assert float(nn.regularizers.l1_l2(0.5, 0.25)(tj.constant([-2.0]))) == 2.0


def test_shapes_in_and_out() -> None:
    x = np.ones((2, 3, 4), np.float32)
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Reshape((4, -1))(x).shape == (2, 4, 3)
    assert nn.Reshape((4, -1)).compute_output_shape((None, 3, 4)) == (None, 4, 3)
    assert nn.Flatten().compute_output_shape((None, 3, None)) == (None, None)
    assert nn.LeakyReLU(0.1)(tj.constant([-1.0, 2.0])).numpy().round(3).tolist() == [
        np.float32(-0.1).round(3), 2.0,
    ]  # fmt: skip
    states = nn.LSTM(3, return_state=True)(x)
    assert [state.shape for state in states] == [(2, 3)] * 3
    with_state = nn.GRU(3)(x, initial_state=np.ones((2, 3)))
    assert with_state.shape == (2, 3)


def test_an_attention_that_looks_back_only() -> None:
    layer = nn.MultiHeadAttention(2, 3)
    x = np.random.default_rng(0).normal(size=(1, 4, 5)).astype(np.float32)
    _, weights = layer(x, use_causal_mask=True, return_attention_scores=True)
    assert (np.triu(weights.numpy()[0, 0], 1) == 0).all()
    mask = np.array([[True, False, False, False]])
    masked, weights = layer(x, attention_mask=mask, return_attention_scores=True)
    assert weights.numpy()[0, 0].tolist() == [[1.0, 0.0, 0.0, 0.0]] * 4
    assert masked.shape == x.shape


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: nn.Dense(2)(np.ones(3)), ShapeError, r"Dense 'dense' takes at least 2 axes, got \(3,\)"),
        (lambda: nn.Dense(2, input_shape=(3,))(np.ones((1, 4))), ShapeError, "made for 3 channels .* got 4"),
        (lambda: nn.LSTM(2)(np.ones((1, 4))), ShapeError, r"takes 3 axes \(batch, time, features\)"),
        (lambda: nn.LSTM(2)(np.ones((1, 4, 3)), initial_state=np.ones((1, 2))), ShapeError, "2 states, got 1"),
        (lambda: nn.Embedding(3, 2)(np.ones(3)), DtypeError, "takes integers"),
        (lambda: nn.Dropout(1.0), ValueError, "rate must be from 0 to below 1"),
        (lambda: nn.Dense(0), ValueError, "units must be at least 1"),
        (lambda: nn.Dense(2, "sine"), ValueError, "no activation is called 'sine'"),
        (lambda: nn.Dense(2, kernel_initializer="best")(np.ones((1, 1))), ValueError, "no initializer is called"),
        (lambda: nn.Dense(2, kernel_regularizer="l3")(np.ones((1, 1))), ValueError, "no regularizer is called"),
        (lambda: nn.Sequential([3]), TypeError, "a layer was expected, got int"),
        (lambda: nn.LayerNormalization(0)(np.ones((2, 2))), ValueError, "axis 0 is that of the batch"),
        (lambda: nn.Dense(2, input_shape=(3,)).set_weights([1]), ValueError, "has 2 weights, got 1 values"),
    ],
)
def test_what_does_not_fit(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_a_summary_has_all_layers(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential([nn.Dense(3, input_shape=(2,)), nn.Activation("relu"), nn.Dense(1)])
    model.layers[0].trainable = False
    text = model.summary()
    assert capsys.readouterr().out == text + "\n"
    assert "dense (Dense)" in text
    assert "activation (Activation)" in text
    assert text.endswith("13 parameters, 4 of them trained")
