"""Sample inputs that declarations carry, from which one test file makes the tests of every op.

A `Sample` says how to draw one array; a `Case` is one call of a public function: samples (or plain values) for its
positional arguments and keywords.
"""

from __future__ import annotations  # numpy.random, which the types name, is imported when samples are drawn

from collections.abc import Callable
from typing import Any

import numpy as np

from ..aval import Shape
from ..dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """How to draw an array: ``draw(generator, shape)``, always the same for a seed.

    `shape` is None where the test chooses shapes itself (elementwise operations).
    """

    draw: Callable[[np.random.Generator, Shape], np.ndarray]
    shape: Shape | None = None

    def array(self, seed: int, shape: Shape | None = None) -> np.ndarray:
        """The array for this seed, float64, int64 or bool."""
        chosen = self.shape if shape is None else shape
        return np.asarray(self.draw(np.random.default_rng(seed), () if chosen is None else chosen))


@dataclass(frozen=True, slots=True)
class Case:
    """One call of a public function, with what is special about its derivatives."""

    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "kwargs", tuple(kwargs.items()))


def uniform(low: float, high: float, *shape: int) -> Sample:
    """Uniform floats in [low, high)."""
    return Sample(lambda generator, size: generator.uniform(low, high, size), shape or None)


def normal(*shape: int) -> Sample:
    """Standard normal floats of a given shape."""
    return Sample(lambda generator, size: generator.standard_normal(size), shape)


def floats(build: Callable[[np.random.Generator], np.ndarray]) -> Sample:
    """Floats made by a function of the generator, for matrices with a structure."""
    return Sample(lambda generator, _: build(generator), ())


def spaced(*shape: int) -> Sample:
    """Distinct floats at least 0.1 apart, in random order: maxima and signs are stable under small changes."""

    def draw(generator: np.random.Generator, size: Shape) -> np.ndarray:
        count = int(np.prod(size))
        return (generator.permutation(count) - count // 2 + 0.3).reshape(size) * 0.25

    return Sample(draw, shape or None)


def integers(low: int, high: int, *shape: int) -> Sample:
    """Integers in [low, high)."""
    return Sample(lambda generator, size: generator.integers(low, high, size), shape or None)


def booleans(*shape: int) -> Sample:
    """Fair coin flips."""
    return Sample(lambda generator, size: generator.random(size) < 0.5, shape or None)
