"""Gradients held against central differences in random directions, in float64, to any order."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import ops
from tapejit.tape import GradientTape

Function = Callable[..., Any]


def floating_outputs(out: Any) -> list[Any]:
    outputs = out if isinstance(out, (tuple, list)) else [out]
    return [each for each in outputs if each.dtype.kind == "f"]


def weighted_sum(out: Any, seed: int) -> Any:
    """One number out of all floating results, each element with a weight of its own."""
    rng = np.random.default_rng(seed)
    total = ops.constant(0.0, dtype="float64")
    for each in floating_outputs(out):
        total = total + ops.sum(each * rng.uniform(0.5, 1.5, each.shape))
    return total


def gradient_of(function: Function) -> Function:
    """The function that gives the gradients by all of its arguments, None where it is not connected."""

    def gradient(*tensors: Any) -> list[Any]:
        with GradientTape() as tape:
            tape.watch(tensors)
            y = function(*tensors)
        return list(tape.gradient(y, list(tensors)))

    return gradient


def directional(
    function: Function, arrays: Sequence[np.ndarray], directions: Sequence[np.ndarray], step: float
) -> float:
    """Derivative of a number along a direction, by central differences of fourth order."""

    def at(distance: float) -> float:
        moved = [array + distance * direction for array, direction in zip(arrays, directions, strict=True)]
        return float(function(*map(ops.constant, moved)).numpy())

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


def check_gradients(
    function: Function, arrays: Sequence[np.ndarray], order: int = 2, seed: int = 0, tolerance: float = 1e-6
) -> None:
    """Compare gradients with differences of the next lower order.

    Parameters
    ----------
    function : callable
        From tensors to a tensor or a tuple of them.
    arrays : sequence of ndarray, float64
        Where.
    order : int
        The highest derivative to check.
    seed : int
        Of weights and directions.
    tolerance : float
        Absolute and relative.
    """
    current: Function = lambda *tensors: weighted_sum(function(*tensors), seed)  # noqa: E731
    rng = np.random.default_rng(seed + 1)
    for degree in range(1, order + 1):
        gradient = gradient_of(current)
        found = gradient(*map(ops.constant, arrays))
        directions = [rng.uniform(-1, 1, array.shape) for array in arrays]
        expected = directional(current, arrays, directions, 1e-3)
        value = sum(
            float((ct.numpy() * direction).sum())
            for ct, direction in zip(found, directions, strict=True)
            if ct is not None
        )
        for ct, array in zip(found, arrays, strict=True):
            assert ct is None or (ct.shape == array.shape and ct.dtype == array.dtype), (ct, array.shape)
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance, err_msg=f"derivative {degree}")
        if all(ct is None for ct in found):
            return
        weights = [rng.uniform(0.5, 1.5, array.shape) for array in arrays]
        current = _weighted(gradient, weights)


def _weighted(gradient: Function, weights: Sequence[np.ndarray]) -> Function:
    def function(*tensors: Any) -> Any:
        total = ops.constant(0.0, dtype="float64")
        for ct, weight in zip(gradient(*tensors), weights, strict=True):
            if ct is not None:
                total = total + ops.sum(ct * weight)
        return total

    return function
