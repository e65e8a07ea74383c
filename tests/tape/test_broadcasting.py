"""Gradients of operations on shapes that broadcast, held against differences and against what NumPy broadcasts."""

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapejit as tj
from tests.gradients import check_gradients

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": tj.add,
    "subtract": tj.subtract,
    "multiply": tj.multiply,
    "divide": tj.divide,
    "power": tj.power,
    "atan2": tj.atan2,
    "maximum": tj.maximum,
    "minimum": tj.minimum,
}
TERNARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "where": lambda x, y, z: tj.where(x > 1.0, y * x, z),
    "clip": lambda x, y, z: tj.clip(x, 0.8 * y, 1.2 * z),
    "x y + z": lambda x, y, z: x * y + z,
    "x (y - z)": lambda x, y, z: x * (y - z) / (1.0 + z * z),
}


def shapes(count: int) -> st.SearchStrategy[arrays_of.BroadcastableShapes]:
    """Shapes that broadcast against each other, 0-d and empty ones among them."""
    return arrays_of.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, min_side=0, max_side=3)


def arrays(drawn: arrays_of.BroadcastableShapes, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.5, 1.5, shape) for shape in drawn.input_shapes]


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=15)
@given(drawn=shapes(2), seed=st.integers(0, 100))
def test_two_operands(name: str, drawn: arrays_of.BroadcastableShapes, seed: int) -> None:
    check_gradients(BINARY[name], arrays(drawn, seed), order=2, tolerance=1e-5)


@pytest.mark.parametrize("name", TERNARY)
@settings(max_examples=15)
@given(drawn=shapes(3), seed=st.integers(0, 100))
def test_three_operands(name: str, drawn: arrays_of.BroadcastableShapes, seed: int) -> None:
    check_gradients(TERNARY[name], arrays(drawn, seed), order=2, tolerance=1e-5)


@given(drawn=shapes(2), seed=st.integers(0, 100), dtypes=st.permutations(["float32", "float64", "float16"]))
def test_a_cotangent_is_summed_over_the_axes_that_were_broadcast(
    drawn: arrays_of.BroadcastableShapes, seed: int, dtypes: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(1, 4, shape).astype(dtype) for shape, dtype in zip(drawn.input_shapes, dtypes, strict=False))
    weights = rng.integers(1, 4, drawn.result_shape).astype(float)
    tensors = [tj.constant(x), tj.constant(y)]
    with tj.GradientTape() as tape:
        tape.watch(tensors)
        z = tensors[0] * tensors[1]
    found = tape.gradient(z, tensors, output_gradients=weights)
    for ct, own, other in ((found[0], x, y), (found[1], y, x)):
        products = weights * np.broadcast_to(other, drawn.result_shape)
        extra = products.ndim - own.ndim
        summed = products.sum(tuple(range(extra)))
        axes = tuple(axis for axis, length in enumerate(own.shape) if length == 1)
        assert ct.dtype == own.dtype
        assert ct.shape == own.shape
        np.testing.assert_array_equal(ct.numpy(), summed.sum(axes, keepdims=True))


@pytest.mark.parametrize(
    ("x", "y"), [((), (2, 3)), ((1,), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)), ((1, 1), (2, 3)), ((2, 1), (1, 3)),
                 ((0,), (1,)), ((0,), ()), ((1, 0), (3, 1)), ((2, 1, 3), (4, 1))],
)  # fmt: skip
@pytest.mark.parametrize("source", ["x", "y"])
def test_by_either_operand_alone(x: tuple[int, ...], y: tuple[int, ...], source: str) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0.5, 1.5, x), rng.uniform(0.5, 1.5, y)
    if source == "x":
        check_gradients(lambda t: t / second, [first])
    else:
        check_gradients(lambda t: first / t, [second])


def test_a_variable_that_is_broadcast_against_itself() -> None:
    check_gradients(lambda x: x[:, None] * x[None, :] + x, [np.array([0.5, 1.5, 2.0])])
