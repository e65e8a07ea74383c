"""Gradients held against differences, to second order."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapejit as tj

Function = Callable[..., Any]


def gradients(function: Function, arrays: list[np.ndarray], weights: np.ndarray) -> list[Any]:
    """Gradient tensors of ``sum(weights * function(*arrays))``, zeros where not connected."""
    sources = [tj.constant(array) for array in arrays]
    with tj.GradientTape() as tape:
        tape.watch(sources)
        target = tj.sum(tj.constant(weights) * function(*sources))
    return tape.gradient(target, sources, unconnected_gradients="zero")


def assert_derivatives(function: Function, *arrays: Any, order: int = 2, seed: int = 0) -> None:
    """Hold first and second derivatives of `function` at float64 `arrays` against central differences."""
    points = [np.asarray(array, np.float64) for array in arrays]
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(np.shape(function(*map(tj.constant, points)).numpy()))

    def value(*at: np.ndarray) -> float:
        return float(np.sum(weights * function(*map(tj.constant, at)).numpy()))

    direction = [rng.standard_normal(point.shape) for point in points]
    found = gradients(function, points, weights)
    for gradient, point in zip(found, points, strict=True):
        assert gradient.shape == point.shape
        assert gradient.dtype == np.float64
    slope = sum(np.sum(g.numpy() * d) for g, d in zip(found, direction, strict=True))
    np.testing.assert_allclose(slope, difference(value, points, direction), rtol=2e-6, atol=2e-7)
    if order == 2:
        other = [rng.standard_normal(point.shape) for point in points]

        def along(*at: Any) -> Any:
            inner = gradients_within(function, at, weights)
            return sum(tj.sum(g * d) for g, d in zip(inner, other, strict=True))

        assert_derivatives(along, *points, order=1, seed=seed + 1)


def gradients_within(function: Function, sources: tuple[Any, ...], weights: np.ndarray) -> list[Any]:
    with tj.GradientTape() as tape:
        tape.watch(list(sources))
        target = tj.sum(tj.constant(weights) * function(*sources))
    return tape.gradient(target, list(sources), unconnected_gradients="zero")


def difference(value: Function, points: list[np.ndarray], direction: list[np.ndarray]) -> float:
    step = 1e-5
    ahead = value(*[p + step * d for p, d in zip(points, direction, strict=True)])
    behind = value(*[p - step * d for p, d in zip(points, direction, strict=True)])
    return (ahead - behind) / (2 * step)
