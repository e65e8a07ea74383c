"""What a workload declares: inputs, engines, the check that comes before the clock, and the ratios to reach.

A workload is a module in `workloads/` with one `Workload` object. Its engines are functions from the inputs
to a `Session`; an engine imports its library inside the function, because each runs in a process (and where
its library needs one, an environment) of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]


def nothing() -> None:
    """For engines whose steps are finished when they return."""


@dataclass(frozen=True, slots=True)
class Session:
    """One engine, set up on the inputs and ready to be timed."""

    step: Callable[[], object]
    """One step; its state goes on from call to call."""
    result: Callable[[], Arrays]
    """What the check compares, as NumPy arrays: the state after the steps so far."""
    wait: Callable[[], object] = nothing
    """Returns when the steps so far are finished; called at the end of each timed batch."""
    report: Callable[[], Mapping[str, object]] | None = None
    """What the engine itself says about its compilation, in the words of `tapejit.CompiledStep.report`."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One row of a workload's table."""

    name: str
    needs: str
    """The module that it imports, also the name of its environment (`--python jax=…`)."""
    prepare: Callable[[Arrays], Session]
    note: str = ""
    compiles: bool = False
    """Whether its first call compiles, so that it has a row among the first calls."""


@dataclass(frozen=True, slots=True)
class Check:
    """After `steps` steps, results lie within the tolerances of `expected`, or of the first engine's."""

    steps: int
    rtol: float
    atol: float
    expected: Callable[[Arrays], Arrays] | None = None

    def differences(self, expected: Arrays, found: Arrays) -> list[str]:
        """Say for each array that differs how far; empty where the two agree."""
        if expected.keys() != found.keys():
            return [f"results are {sorted(found)}, expected {sorted(expected)}"]
        said = []
        for name, want in expected.items():
            have = np.asarray(found[name])
            if (have.shape, have.dtype) != (want.shape, want.dtype):
                said.append(f"{name} is {have.dtype}{have.shape}, expected {want.dtype}{want.shape}")
            elif not np.allclose(have, want, rtol=self.rtol, atol=self.atol):  # NaN is never close
                distance = np.max(np.abs(have.astype(np.float64) - want.astype(np.float64)))
                said.append(f"{name} is off by {distance:.3g} (rtol {self.rtol:g}, atol {self.atol:g})")
        return said


@dataclass(frozen=True, slots=True)
class Target:
    """The median of `engine` is to be at most `ratio` times that of `peer`, in the same run."""

    engine: str
    peer: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure of `first_calls` is to be at most `seconds`, or `times` the same figure of the workload `of`."""

    workload: str
    engine: str
    figure: str
    seconds: float = 0.0
    times: float = 0.0
    of: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """The same mathematics on the same inputs, done by several engines; the first one is the reference."""

    name: str
    summary: str
    inputs: Callable[[], Arrays]
    engines: tuple[Engine, ...]
    check: Check
    targets: tuple[Target, ...] = field(default=())

    def engine(self, name: str) -> Engine:
        return next(engine for engine in self.engines if engine.name == name)
