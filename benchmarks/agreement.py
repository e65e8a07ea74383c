"""Holds the results of all engines against JAX's in float64, number by number: |x - y| / max(1, |x| + |y|).

No clock here: each engine takes a workload's steps once, in its own process and on the same inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from benchmarks.runner import Options, Outcome, start
from benchmarks.workload import Arrays, Engine, Workload

PEER = "jax_jit"
AT_MOST = 1e-10


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far each engine is from the peer."""

    workload: Workload
    outcomes: Sequence[Outcome]
    deviations: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """For each engine that was compared the largest deviation of each of its results."""

    def worst(self, engine: str) -> tuple[str, float] | None:
        """The result that is furthest away, and how far; None if the engine was not compared."""
        found = self.deviations.get(engine)
        return max(found.items(), key=lambda pair: pair[1]) if found else None


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest of |x - y| / max(1, |x| + |y|); infinite where a number or a shape is missing."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return inf
    same = found == expected  # infinities, too
    with np.errstate(invalid="ignore"):
        apart = np.abs(found - expected) / np.maximum(1.0, np.abs(found) + np.abs(expected))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), inf, apart))
    return float(np.max(apart, initial=0.0))


def deviations(found: Arrays, expected: Arrays) -> dict[str, float]:
    """The deviation of each expected array."""
    return {name: deviation(found[name], array) if name in found else inf for name, array in expected.items()}


def run(workload: Workload, engines: Sequence[Engine], options: Options) -> Agreement:
    """Compare `engines`, of which the peer has to be one, on `workload`."""
    (started,) = start([(workload, engines)], options)
    expected = started.results.get(PEER)
    compared = {
        name: deviations(found, expected) for name, found in started.results.items() if expected and name != PEER
    }
    return Agreement(workload, list(started.outcomes.values()), compared)
