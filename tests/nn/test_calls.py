"""How modules are called and built: what says that a call is one for training, when weights are made, what is added."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import nn

ONES = np.ones(1000, np.float32)


def dropped(result: Any) -> bool:
    """Whether about half of the ones were dropped."""
    return bool(0.3 < (result.numpy() == 0).mean() < 0.7)


class Block(nn.Module):
    """Asks for `training`, and hands it on by place."""

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.drop = nn.Dropout(rate, seed=1)

    def call(self, x: Any, training: Any = None) -> Any:
        return self.drop(x, training)


class AlwaysTraining(Block):
    def call(self, x: Any, training: bool = True) -> Any:  # noqa: ARG002 (the layer inside is told by itself)
        return self.drop(x)


class NeverTraining(Block):
    def call(self, x: Any, training: Any = None) -> Any:  # noqa: ARG002
        return self.drop(x, training=False)


class OwnCall(Block):
    def __call__(self, x: Any, training: bool = False) -> Any:
        return self.drop(x, training=training)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = {"a": [nn.Sequential([nn.Sequential([Block()])])]}

    def call(self, x: Any) -> Any:
        return self.parts["a"][0](x)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Block()(ONES), False),
        (lambda: Block()(ONES, True), True),
        (lambda: Block()(ONES, training=True), True),
        (lambda: Block()(ONES, training=np.True_), True),
        (lambda: Block()(ONES, training=None), False),
        (lambda: AlwaysTraining()(ONES), True),
        (lambda: AlwaysTraining()(ONES, training=False), False),
        (lambda: nn.Sequential([AlwaysTraining()])(ONES, training=False), False),
        (lambda: NeverTraining()(ONES, training=True), False),
        (lambda: OwnCall()(ONES, training=True), True),
        (lambda: Nested()(ONES), False),
        (lambda: Nested()(ONES, training=True), True),
        (lambda: nn.Sequential([nn.Dropout(0.5)])(ONES, True), True),
        (lambda: nn.Sequential([OwnCall()])(ONES, training=True), True),
        (lambda: nn.Sequential([OwnCall()])(ONES), False),
    ],
)
def test_what_says_that_a_call_is_one_for_training(call: Any, expected: bool) -> None:
    assert dropped(call()) == expected


def test_training_as_an_argument_of_a_step() -> None:
    block = Block()
    step = tj.compile(lambda x, training: block(x, training=training), strict=True)
    assert not dropped(step(ONES, False))
    assert dropped(step(ONES, True))


def test_arguments_by_keyword() -> None:
    x, y = np.ones((2, 3, 4), np.float32), np.ones((2, 5, 7), np.float32)
    assert nn.Dense(2)(inputs=x).shape == (2, 3, 2)
    assert nn.LSTM(2)(inputs=x).shape == (2, 2)
    attention = nn.MultiHeadAttention(2, 3)
    assert attention(query=x, value=y).shape == (2, 3, 4)
    assert [weight.shape for weight in attention.weights[:4]] == [(4, 2, 3), (2, 3), (7, 2, 3), (2, 3)]


class MyDense(nn.Layer):
    """Written as the guide of Keras has it."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(name="b", shape=self.units, initializer="zeros", regularizer=nn.regularizers.L2(0.1))
        self.seen = self.add_weight("seen", (), dtype="int32", trainable=False)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return tj.matmul(inputs, self.w) + self.b


def test_a_layer_of_the_users_builds_once() -> None:
    x = np.ones((2, 3), np.float32)
    for layer in (MyDense(4), MyDense(4, input_shape=(3,), name="mine"), MyDense(4, input_dim=3)):
        layer(x)
        weights = layer.weights
        assert [weight.shape for weight in weights] == [(3, 4), (4,), ()]
        assert weights[2].dtype == np.int32
        assert len(layer.trainable_variables) == 2
        layer.b.assign(np.ones(4))
        layer(x)
        assert all(one is other for one, other in zip(weights, layer.weights, strict=True))
        assert float(layer.losses[0]) == pytest.approx(0.4)
        layer.trainable = False
        assert layer.losses == []


def test_weights_are_made_by_hand_from_a_shape_or_at_the_first_call() -> None:
    layer = nn.Dense(4)
    layer.build((None, 3))
    kernel = layer.kernel
    layer(np.ones((2, 3)))
    assert layer.kernel is kernel
    late = nn.Sequential([nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)])
    late.build((None, 6, 5, 1))
    models = [
        late,
        nn.Sequential([nn.Input(shape=(6, 5, 1)), nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)]),
        nn.Sequential([nn.InputLayer(batch_shape=(None, 6, 5, 1)), nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)]),
        nn.Sequential([nn.Sequential([nn.Conv2D(2, 3, input_shape=(6, 5, 1))]), nn.Flatten(), nn.Dense(1)]),
    ]
    for model in models:
        assert model.count_params() == 20 + 25
        assert model.output_shape == (None, 1)
        assert model(np.ones((1, 6, 5, 1))).shape == (1, 1)


def test_shapes_that_a_layer_of_the_users_does_not_say_are_seen_in_the_first_call() -> None:
    class Half(nn.Layer):
        def call(self, x: Any) -> Any:
            return x[:, ::2]

    class Double(nn.Dense):
        def call(self, inputs: Any) -> Any:
            return tj.concat([super().call(inputs)] * 2, axis=1)

    model = nn.Sequential([nn.Dense(6, input_shape=(3,)), Half(), Double(2), nn.Dense(5)])
    assert model(np.ones((2, 3))).shape == (2, 5)
    assert [layer.output_shape for layer in model.layers] == [(None, 6), (None, 3), (None, 4), (None, 5)]


def test_a_layer_with_another_class_before_it_is_built_from_a_shape() -> None:
    class Noted:
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.note = "there"

    class NotedDense(Noted, nn.Dense):
        pass

    assert NotedDense(3, input_shape=(2,)).kernel.shape == (2, 3)


def test_a_layer_that_is_used_elsewhere_says_no_shape() -> None:
    conv = nn.Conv2D(2, 3, input_shape=(8, 8, 1))
    model = nn.Sequential([nn.Input((5, 5, 1)), conv, nn.Flatten(), nn.Dense(1)])
    assert model(np.ones((1, 5, 5, 1))).shape == (1, 1)


def test_modules_build_too_and_need_no_super_init() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(3)
            self.bias = self.add_weight(name="bias", shape=(3,))

        def build(self, input_shape: Any) -> None:
            self.scale = tj.Variable(tj.ones(input_shape[1:]))

        def call(self, x: Any) -> Any:
            return self.dense(x * self.scale) + self.bias

    module = Scaled()
    assert module(np.ones((2, 4), np.float32)).shape == (2, 3)
    assert module.bias.name == "scaled/bias"
    assert len(module.trainable_variables) == 4


def test_a_layer_of_several_inputs_sees_a_list_of_shapes() -> None:
    class Add(nn.Layer):
        def build(self, input_shape: Any) -> None:
            self.shapes = input_shape

        def call(self, inputs: Any) -> Any:
            return inputs[0] + inputs[1]

    layer = Add()
    layer([np.ones((2, 3)), np.ones((2, 1))])
    assert layer.shapes == [(None, 3), (None, 1)]


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.LSTM(3), (2, 4, 3)),
        (lambda: nn.MultiHeadAttention(2, 3), (2, 4, 3)),
        (lambda: nn.Dense(2, kernel_initializer="truncated_normal"), (2, 3)),
    ],
)
def test_first_values_are_those_of_eager_calls_when_a_compiled_one_makes_the_weights(make: Any, shape: Any) -> None:
    layer, x = make(), np.ones(shape, np.float32)
    step = tj.compile(lambda value: layer(value), strict=True)
    np.testing.assert_allclose(step(x).numpy(), layer(x).numpy(), rtol=1e-5)
    if isinstance(layer, nn.LSTM):
        assert layer.bias.numpy().tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6
        square = layer.recurrent_kernel.numpy() @ layer.recurrent_kernel.numpy().T
        np.testing.assert_allclose(square, np.eye(3), atol=1e-6)


def test_what_a_call_adds_to_the_loss() -> None:
    class Penalised(nn.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(tj.sum(x))
            return x

    inner = Penalised()
    model = nn.Sequential([inner, nn.Dense(1, kernel_initializer="ones", activity_regularizer="l1")])

    def step(x: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean(model(x)) + sum(model.losses)
        return loss, tape.gradient(loss, model.trainable_variables)

    compiled = tj.compile(step, strict=True)
    for scale in (1.0, 2.0):
        x = np.full((2, 3), scale, np.float32)
        for loss, (kernel, bias) in (step(x), compiled(x)):
            assert float(loss) == pytest.approx(3 * scale + 6 * scale + 0.01 * 3 * scale)
            assert kernel.numpy() == pytest.approx(np.full((3, 1), 1.01 * scale))
            assert bias.numpy() == pytest.approx(1.01)
    assert compiled.report()["traces"] <= 2
    model(np.ones((2, 3)))
    assert [float(loss) for loss in model.losses] == pytest.approx([6.0, 0.03])
    assert len(inner.losses) == 1
    again = copy.deepcopy(model)
    assert again.losses == []
    assert len(pickle.loads(pickle.dumps(model.layers[1])).weights) == 2


def test_functions_and_layers_as_activations() -> None:
    x = np.array([[-1.0, 2.0]], np.float32)
    for activation in (tj.tanh, nn.activations.relu, nn.LeakyReLU(0.1), "hard_silu", lambda value: 2 * value):
        layer = nn.Dense(2, activation, kernel_initializer="identity")
        expected = nn.activations.get(activation)(tj.asarray(x))
        np.testing.assert_allclose(layer(x).numpy(), expected.numpy(), rtol=1e-6)


def test_a_compiled_call_of_a_layer() -> None:
    class Scaled(nn.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer="ones")
            self.drop = nn.Dropout(0.5, seed=0)

        @tj.compile
        def call(self, x: Any, training: bool = False) -> Any:
            return self.drop(x * self.scale, training=training)

    layer = Scaled()
    assert layer(ONES[:, None]).shape == (1000, 1)
    assert dropped(layer(ONES[:, None], training=True))
    with tj.GradientTape() as tape:
        loss = tj.sum(layer(ONES[:, None]))
    assert float(tape.gradient(loss, layer.scale)[0]) == 1000
    model = nn.Sequential([nn.Dense(2), nn.Dropout(0.5)])
    step = tj.compile(model, strict=True)
    np.testing.assert_allclose(step(np.eye(3)).numpy(), model(np.eye(3)).numpy(), rtol=1e-6)


def test_a_first_compiled_call_that_fails_leaves_a_model_that_works() -> None:
    model = nn.Sequential([MyDense(3), nn.LSTM(2), nn.Dense(1)])

    @tj.compile(strict=True)
    def step(x: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean((model(x) - y) ** 2)
        return loss, tape.gradient(loss, model.trainable_variables)

    x = np.ones((4, 2, 3), np.float32)
    with pytest.raises(ValueError, match="do not broadcast"):
        step(x, np.ones((3, 7), np.float32))
    loss, gradients = step(x, np.zeros((4, 1), np.float32))
    assert float(loss) == pytest.approx(float(tj.mean(model(x) ** 2)), rel=1e-4)
    assert [gradient.shape for gradient in gradients] == [weight.shape for weight in model.trainable_variables]


def test_what_is_dropped_of_a_recurrent_state_is_dropped_for_the_kernel_alone() -> None:
    layer = nn.GRU(50, recurrent_dropout=0.5, seed=0, input_shape=(None, 1), kernel_initializer="zeros")
    bias = np.zeros((2, 150), np.float32)
    bias[0, :50] = 100.0  # the update gate keeps the state
    layer.bias.assign(bias)
    state = np.full((1, 50), 0.5, np.float32)
    kept = layer(np.ones((1, 3, 1)), initial_state=state, training=True)
    np.testing.assert_allclose(kept.numpy(), state, rtol=1e-6)


def test_options_that_are_numpy_numbers_do_not_widen_results() -> None:
    x, half = np.ones((2, 3), np.float32), np.float64(0.5)
    layers = [
        nn.LeakyReLU(half),
        nn.LeakyReLU(alpha=half),
        nn.ReLU(half, half, half),
        nn.ELU(half),
        nn.Dropout(half),
        nn.LayerNormalization(epsilon=half),
        nn.BatchNormalization(momentum=half, epsilon=half),
    ]
    for layer in layers:
        assert layer(x, training=True).dtype == np.float32
    assert nn.regularizers.L1L2(half, half)(tj.constant(x)).dtype == np.float32


def test_a_text_model_as_a_tutorial_has_it() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__(self)
            self.embedding = nn.Embedding(7, 4)
            self.gru = nn.GRU(5, return_sequences=True, return_state=True)
            self.dense = nn.Dense(7)

        def call(self, inputs: Any, states: Any = None, return_state: bool = False, training: bool = False) -> Any:
            x = self.embedding(inputs, training=training)
            if states is None:
                states = self.gru.get_initial_state(x)
            x, states = self.gru(x, initial_state=states, training=training)
            x = self.dense(x, training=training)
            return (x, states) if return_state else x

    model = Model()
    text = np.array([[1, 2, 3, 4]])
    whole = model(text)
    first, states = model(text[:, :2], return_state=True)
    second = model(text[:, 2:], states=states)
    np.testing.assert_allclose(tj.concat([first, second], axis=1).numpy(), whole.numpy(), rtol=1e-5)
    assert [state.shape for state in nn.LSTM(3).get_initial_state(2)] == [(2, 3)] * 2
    with pytest.raises(TypeError, match="Model: name is a str, got int"):
        nn.Module.__init__(model, 3)
