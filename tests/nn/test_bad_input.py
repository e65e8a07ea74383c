"""What does not fit is an exception that names layer, shapes and the user's line, before anything is assigned."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import nn
from tapejit.errors import IndexRangeError, ShapeError


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


SHAPES: list[tuple[Callable[[], Any], np.ndarray, str]] = [
    (lambda: nn.Conv2D(2, 3), zeros(8, 8, 1), r"Conv2D 'conv2d' takes 4 axes .*height.*got \(8, 8, 1\)"),
    (lambda: nn.MaxPool2D(), zeros(4, 4), r"MaxPool2D .* takes 4 axes, got \(4, 4\)"),
    (lambda: nn.GlobalAveragePooling2D(), zeros(2, 4, 4), r"GlobalAveragePooling2D .* takes 4 axes"),
    (lambda: nn.MultiHeadAttention(1, 1), zeros(3, 3), r"MultiHeadAttention .* takes 3 axes, got \(3, 3\)"),
    (
        lambda: nn.Conv2D(2, 3, input_shape=(8, 8, 1)),
        zeros(2, 8, 8, 3),
        r"made for 1 channels .* got 3 in an input \(2",
    ),
    (lambda: nn.DepthwiseConv2D(3, input_shape=(8, 8, 2)), zeros(2, 8, 8, 3), "DepthwiseConv2D .* made for 2 channels"),
    (lambda: nn.BatchNormalization(axis=1, input_shape=(3, 2)), zeros(2, 4, 2), "made for 3 channels in axis 1, got 4"),
    (lambda: nn.LayerNormalization(input_shape=(3,)), zeros(2, 1), "LayerNormalization .* made for 3 channels"),
    (lambda: nn.LSTM(2, input_shape=(None, 3)), zeros(2, 5, 4), "LSTM .* made for 3 channels"),
    (lambda: nn.Conv2D(2, 5), zeros(2, 4, 6, 1), r"Conv2D .*a kernel of \(5, 5\) places is longer .*\(.*4, 6, 1\)"),
    (lambda: nn.Conv2D(2, 3, dilation_rate=2), zeros(2, 4, 9, 1), r"a kernel of \(5, 5\) places is longer"),
    (lambda: nn.MaxPool2D(5), zeros(2, 4, 4, 1), r"MaxPool2D .*windows of \(5, 5\) places are longer"),
    (lambda: nn.Conv2D(4, 3, groups=2), zeros(1, 8, 8, 3), "3 channels in 2 groups"),
    (lambda: nn.Reshape((5,)), zeros(2, 3, 4), r"Reshape .*shape \(3, 4\) has 12 elements, the target shape \(5,\)"),
    (lambda: nn.Reshape((5, -1)), zeros(2, 3, 4), "does not fit"),
    (lambda: nn.GRU(2), zeros(2, 0, 3), "sequences of no time"),
    (lambda: nn.BatchNormalization(axis=4), zeros(2, 3), "there is no axis 4 in an input of 2 axes"),
]


@pytest.mark.parametrize(("make", "x", "match"), SHAPES)
def test_shapes(make: Callable[[], Any], x: np.ndarray, match: str) -> None:
    layer = make()
    for call in (lambda: layer(x), lambda: tj.compile(lambda value: layer(value))(x)):
        with pytest.raises(ShapeError, match=match) as caught:
            call()
        assert "test_bad_input.py" in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential([nn.Conv2D(2, 5, input_shape=(4, 4, 1)), nn.Flatten(), nn.Dense(2)]),
        lambda: nn.Sequential([nn.Input((6, 6, 1)), nn.Conv2D(2, 3), nn.MaxPool2D(), nn.Conv2D(2, 3)]),
        lambda: nn.Sequential([nn.Reshape((5,), input_shape=(3, 4))]),
    ],
)
def test_shapes_that_are_known_beforehand(make: Callable[[], Any]) -> None:
    with pytest.raises(ShapeError, match=r"longer than the input|does not fit"):
        make()


def test_a_first_call_that_fails_leaves_a_layer_to_be_built() -> None:
    layer = nn.Conv2D(2, 3)
    with pytest.raises(ShapeError):
        layer(zeros(1, 2, 2, 1))
    assert layer(zeros(1, 5, 5, 3)).shape == (1, 3, 3, 2)


OPTIONS: list[tuple[Callable[[], Any], str]] = [
    (lambda: nn.Conv2D(2, 3, padding="full"), "Conv2D: padding is 'valid' or 'same', got 'full'"),
    (lambda: nn.Conv1D(2, 3, padding="full"), "'causal', got 'full'"),
    (lambda: nn.AveragePooling2D(padding="full"), "'valid' or 'same', got 'full'"),
    (lambda: nn.Conv2D(2, 3, data_format="channels_first"), "data_format is 'channels_last'"),
    (lambda: nn.Conv2D(3, 3, groups=2), "3 filters can't be divided into 2 groups"),
    (lambda: nn.Conv2D(-2, 3), "filters must be at least 1"),
    (lambda: nn.Conv2D(2, 3, strides=0), "strides are 2 numbers of at least 1"),
    (lambda: nn.Conv2D(2, (3, 3.5)), r"kernel_size are 2 whole numbers of at least 1, got \(3, 3.5\)"),
    (lambda: nn.MaxPool2D(2, "2"), "strides are 2 whole numbers of at least 1, got '2'"),
    (lambda: nn.Dense(2, input_shape=(-3,)), r"input_shape is a tuple of lengths and None, got \(-3,\)"),
    (lambda: nn.Dense("10"), "units must be at least 1, a whole number, got '10'"),
    (lambda: nn.Dense(2.5), "units must be at least 1, a whole number, got 2.5"),
    (lambda: nn.Dense(2, "rellu"), "no activation is called 'rellu'; there are linear, relu"),
    (lambda: nn.Dense(2, kernel_initializer="glorot"), "no initializer is called 'glorot'; there are .*glorot_uniform"),
    (lambda: nn.LSTM(2, recurrent_initializer="eye"), "no initializer is called 'eye'"),
    (lambda: nn.Dense(2, bias_regularizer="l3"), "no regularizer is called 'l3'; there are l1, l2"),
    (lambda: nn.Dense(2, input_shape=3), r"input_shape is a tuple of lengths and None, got 3; \(3,\) has one axis"),
    (lambda: nn.Dropout("0.1"), "rate must be from 0 to below 1, got '0.1'"),
    (lambda: nn.Reshape((-1, -1)), "one of which may be -1"),
    (lambda: nn.Embedding(3, 2, mask_zero=True), "hand mask=numbers != 0 to the recurrent layer"),
    (lambda: nn.LSTM(2, stateful=True), "use return_state and initial_state"),
    (lambda: nn.InputLayer(), "shape= is missing"),
    (lambda: nn.Sequential()(zeros(1, 2)), "Sequential 'sequential' was called, but has no layers"),
    (lambda: nn.Sequential().pop(), "has no layer to take away"),
]


@pytest.mark.parametrize(("make", "match"), OPTIONS)
def test_options(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        make()
    assert "test_bad_input.py" in str(caught.value)


class Unsized(nn.Layer):
    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(name="w", shape=input_shape)

    def call(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: nn.Dense(2, activaton="relu"), TypeError, "no option 'activaton'; did you mean 'activation'?"),
        (lambda: nn.Sequential(nn.Dense(2)), TypeError, "Sequential takes a list of layers, got Dense"),
        (lambda: nn.MultiHeadAttention(2, 3)(zeros(1, 2, 3), attention_mask=np.ones((1, 3, 2), bool)), ShapeError,
         r"masks of shape \(1, 1, 3, 2\) for scores .* \(1, 2, 2, 2\)"),
        (lambda: nn.Sequential([nn.Flatten]), TypeError, r"got the class Flatten; make one: Flatten\(…\)"),
        (lambda: nn.Layer().add_weight("w", (1,), shape=(2,)), TypeError, "add_weight got shape twice"),
        (lambda: Unsized()(zeros(1, 2)), ShapeError, r"weight 'w' can't have the shape \(None, 2\)"),
        (lambda: nn.Dense(3, kernel_initializer=lambda shape, dtype: tj.ones((2, 2)))(zeros(1, 4)), ShapeError,
         r"the initializer of 'kernel' gave the shape \(2, 2\) for \(4, 3\)"),
        (lambda: nn.GRU(2)(zeros(2, 3, 1), mask=np.ones((3, 2), bool)), ShapeError, r"a mask of shape \(3, 2\) where"),
        (lambda: nn.Embedding(5, 2)(np.array([1, 5])), IndexRangeError, "has 5 rows, there is no row 5"),
        (lambda: nn.Dropout(0.5, (None,))(zeros(2, 3), training=True), ShapeError, r"noise_shape \(None,\) for an"),
        (lambda: nn.Module()(1.0), NotImplementedError, "Module has no call"),
    ],
)  # fmt: skip
def test_calls(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        call()
    assert "test_bad_input.py" in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dense(2),
        nn.Dense(2, input_shape=(3,)),
        nn.Conv2D(2, 3),
        nn.Flatten(),
        nn.Embedding(3, 2),
        nn.LSTM(2),
        nn.BatchNormalization(),
        nn.Dropout(0.1),
        nn.MaxPool2D(),
        nn.MultiHeadAttention(1, 1),
    ],
)
def test_nothing_as_an_input(layer: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(layer).__name__} .* was called with None"):
        layer(None)


def test_nothing_is_assigned_by_a_step_that_fails() -> None:
    model = nn.Sequential(
        [nn.Embedding(5, 2), nn.GlobalAveragePooling1D(), nn.BatchNormalization(), nn.Dense(1, input_shape=(2,))]
    )
    optimizer = tj.optimizers.Adam()

    @tj.compile(strict=True)
    def step(numbers: Any, y: Any) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean((model(numbers, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    step(np.array([[1, 2], [3, 4]]), zeros(2, 1))
    before = [variable.numpy().copy() for variable in model.variables]
    with pytest.raises(IndexRangeError, match="index 9 is out of range"):
        step(np.array([[1, 2], [3, 9]]), zeros(2, 1))
    with pytest.raises(ShapeError, match="an empty batch"):
        step(np.zeros((0, 2), int), zeros(0, 1))
    with pytest.raises(ShapeError, match="an empty batch"):
        model(np.zeros((0, 2), int), training=True)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert model(np.zeros((0, 2), int)).shape == (0, 1)


def test_weights_that_do_not_fit_are_not_set_in_part() -> None:
    layer = nn.Dense(3, input_shape=(2,))
    before = layer.get_weights()
    with pytest.raises(ShapeError, match=r"weight 1 of dense, 'dense/bias', has shape \(3,\), the value \(7,\)"):
        layer.set_weights([before[0] + 1, np.zeros(7)])
    np.testing.assert_array_equal(layer.kernel.numpy(), before[0])
