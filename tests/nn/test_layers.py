"""Layers against the numbers of Keras, eagerly and compiled, in training and inference."""

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
