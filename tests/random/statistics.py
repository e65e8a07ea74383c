"""How far samples are from distributions."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np


def distance(sample: Any, distribution: Callable[[np.ndarray], np.ndarray]) -> float:
    """Kolmogorov's statistic, times the root of the sample's size: above 1.95 once in a thousand samples."""
    ordered = np.sort(np.asarray(sample, np.float64), axis=None)
    expected = distribution(ordered)
    steps = np.arange(ordered.size + 1) / ordered.size
    return float(max(np.max(steps[1:] - expected), np.max(expected - steps[:-1])) * sqrt(ordered.size))


def assert_mean(sample: Any, expected: float) -> None:
    """The mean is within four standard errors."""
    values = np.asarray(sample, np.float64)
    assert abs(values.mean() - expected) < 4 * values.std() / sqrt(values.size), (values.mean(), expected)
