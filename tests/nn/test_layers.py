"""Layers against the numbers of Keras, eagerly and compiled, in training and inference, forward and gradients."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj

HERE = Path(__file__).parent
KERAS = [case for name in ("keras.json", "keras_space.json") for case in json.loads((HERE / name).read_text())]
"""From Keras 3.13 in float64: for a layer with these weights and inputs what comes out, and the weights after that."""

GRADIENTS = json.loads((HERE / "keras_gradients.json").read_text())
"""From Keras 3.15, with the gradients, by inputs and trainable weights, of the sum of the sines of all results and the
losses of the layer."""


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    with tj.using_floatx("float64"):
        yield


def made(case: dict[str, Any]) -> tuple[Any, list[Any], dict[str, Any]]:
    """The layer, its inputs, and the keywords of the call."""
    layer = getattr(tj.nn, case["layer"])(**case["options"])
    inputs = [np.array(each) for each in case["inputs"]]
    keywords = {"training": case["training"], **case["call"]}
    layer(*inputs, **keywords)
    assign(layer, [weight for _, weight in case["weights"]])
    return layer, inputs, keywords


def assign(layer: Any, weights: list[Any]) -> None:
    """Weights in the order of Keras; its attention has an axis for the heads."""
    layer.set_weights(
        [np.reshape(weight, variable.shape) for weight, variable in zip(weights, layer.weights, strict=True)]
    )


def check(found: Any, case: dict[str, Any], layer: Any) -> None:
    values = found if isinstance(found, tuple) else (found,)
    # Keras computes the softmax of an attention in float32.
    tolerance = 1e-7 if case["layer"] == "MultiHeadAttention" else 1e-12
    for value, expected in zip(values, case["outputs"], strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=tolerance, atol=tolerance)
    for variable, expected in zip(layer.weights, case["after"], strict=True):
        np.testing.assert_allclose(variable.numpy().ravel(), np.ravel(expected), rtol=1e-12)


CASES = [pytest.param(case, id=f"{case['layer']}-{number}") for number, case in enumerate(KERAS)]


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_of_keras(case: dict[str, Any]) -> None:
    layer, inputs, keywords = made(case)
    check(layer(*inputs, **keywords), case, layer)
    shape = layer.compute_output_shape((None, *inputs[0].shape[1:]))
    value = layer(*inputs, **keywords)
    result = value[0] if isinstance(value, tuple) else value
    assert result.shape[1:] == tuple(shape)[1:]


@pytest.mark.parametrize("case", CASES)
def test_compiled_layers_do_what_eager_ones_do(case: dict[str, Any]) -> None:
    layer, inputs, keywords = made(case)
    step = tj.compile(lambda *given: layer(*given, **keywords), strict=True)
    check(step(*inputs), case, layer)


def differentiated(layer: Any, case: dict[str, Any]) -> Any:
    """A function of the floating inputs that gives results, loss and gradients."""
    indices = [np.array(each) for each in case["inputs"] if np.array(each).dtype.kind != "f"]
    keywords = {name: np.array(value) if isinstance(value, list) else value for name, value in case["call"].items()}

    def function(*inputs: Any) -> Any:
        given = [tj.asarray(each) for each in inputs]
        with tj.GradientTape() as tape:
            tape.watch(given)
            out = layer(*given, *indices, training=case["training"], **keywords)
            outs = out if isinstance(out, tuple) else (out,)
            loss = sum([tj.sum(tj.sin(each)) for each in outs] + layer.losses)
        gradients = tape.gradient(loss, [*given, *layer.trainable_variables], unconnected_gradients="zero")
        return outs, loss, gradients

    return function


def floating(case: dict[str, Any]) -> list[Any]:
    return [array for array in map(np.array, case["inputs"]) if array.dtype.kind == "f"]


def check_gradients(found: Any, case: dict[str, Any], layer: Any) -> None:
    # Keras computes the softmax of an attention, and the factors of regularizers, in float32.
    tolerance = 1e-6 if case["layer"] == "MultiHeadAttention" else 1e-7
    outs, loss, gradients = found
    for value, expected in zip(outs, case["outputs"], strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(float(loss), case["loss"], rtol=tolerance)
    for value, expected in zip(gradients, case["gradients"], strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=tolerance, atol=tolerance)
    for variable, expected in zip(layer.weights, case["after"], strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=tolerance)


def with_weights(case: dict[str, Any]) -> Any:
    """The layer, with weights of the shapes, names and order of Keras."""
    layer = getattr(tj.nn, case["layer"])(**case["options"])
    layer(*map(np.array, case["inputs"]))
    assert [weight.name.split("/")[-1] for weight in layer.weights] == [name for name, _ in case["weights"]]
    layer.set_weights([weight for _, weight in case["weights"]])
    return layer


OPTIONS = [pytest.param(case, id=f"{case['layer']}-{number}") for number, case in enumerate(GRADIENTS)]
ACTIVATIONS = [case for case in GRADIENTS if case["layer"] == "Activation"]
COMPILED = (0, 1, 2, 4, 6, 13, 15, 19, 20, 22)


@pytest.mark.parametrize("case", OPTIONS)
def test_the_gradients_of_keras(case: dict[str, Any]) -> None:
    layer = with_weights(case)
    check_gradients(differentiated(layer, case)(*floating(case)), case, layer)


@pytest.mark.parametrize("case", [OPTIONS[number] for number in COMPILED])
def test_the_gradients_of_keras_in_kernels(case: dict[str, Any]) -> None:
    layer = with_weights(case)
    step = tj.compile(differentiated(layer, case), strict=True)
    check_gradients(step(*floating(case)), case, layer)


def test_the_gradients_of_activations_in_kernels() -> None:
    layers = [with_weights(case) for case in ACTIVATIONS]
    functions = [differentiated(layer, case) for layer, case in zip(layers, ACTIVATIONS, strict=True)]
    step = tj.compile(lambda x: [function(x) for function in functions], strict=True)
    for found, case, layer in zip(step(*floating(ACTIVATIONS[0])), ACTIVATIONS, layers, strict=True):
        check_gradients(found, case, layer)
