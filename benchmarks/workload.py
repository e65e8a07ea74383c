"""What a workload declares: inputs, engines, the check that comes before the clock, and the ratios to reach.

A workload is a module in `workloads/` with one `Workload` object. Its engines are functions from the inputs
to a `Session`; an engine imports its library inside the function, because each runs in a process (and where
its library needs one, an environment) of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
MISSES = "**misses**"


class Missing(Exception):  # noqa: N818  an answer of an engine, not an error
    """An engine's library has not what the workload is about: its row says so, and the others are measured."""


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


def returning(
    names: Sequence[str], call: Callable[[], Sequence[Any]], ready: Callable[[Sequence[Any]], object] | None = None
) -> Session:
    """A session without state: each step is a call, and what the last one returned is compared.

    Parameters
    ----------
    names
        Of what a call returns.
    call
        One step.
    ready
        Waits for what it is given, for libraries whose calls return before they are finished.
    """
    found: list[Any] = []

    def step() -> None:
        found[:] = call()

    def result() -> Arrays:
        return {name: np.asarray(value) for name, value in zip(names, found, strict=True)}

    return Session(step, result, (lambda: ready(found)) if ready else nothing)


def told_by(step: Any) -> Callable[[], Mapping[str, object]]:
    """The report of one of tapejit's compiled steps, with the length of its kernel's text."""
    return lambda: {**step.report(), "source_lines": len(step.source().splitlines())}


@dataclass(frozen=True, slots=True)
class Engine:
    """One row of a workload's table."""

    name: str
    needs: str
    """The module that it imports, also the name of its environment (`--python jax=…`)."""
    prepare: Callable[[Arrays], Session]
    note: str = ""
    timed: bool = True
    """Whether its steps have a row; one that isn't is only compared."""
    compiles: bool = False
    """Whether its first call compiles, so that it has a row among the first calls."""
    cores: int = 1
    """How many cores it is pinned to."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its own, such as a number of threads."""


@dataclass(frozen=True, slots=True)
class Check:
    """After `steps` steps, results lie within the tolerances of `expected`, or of the first engine's."""

    steps: int
    rtol: float
    atol: float
    expected: Callable[[Arrays], Arrays] | None = None
    scaled: bool = False
    """Whether `atol` is a part of the largest value of each array: for sums that cancel in some places."""

    def differences(self, expected: Arrays, found: Arrays) -> list[str]:
        """Say for each array that differs how far; empty where the two agree."""
        if expected.keys() != found.keys():
            return [f"results are {sorted(found)}, expected {sorted(expected)}"]
        said = []
        for name, want in expected.items():
            have = np.asarray(found[name])
            if (have.shape, have.dtype) != (want.shape, want.dtype):
                said.append(f"{name} is {have.dtype}{have.shape}, expected {want.dtype}{want.shape}")
                continue
            atol = self.atol * float(np.max(np.abs(want))) if self.scaled and want.size else self.atol
            if not np.allclose(have, want, rtol=self.rtol, atol=atol):  # NaN is never close
                distance = np.max(np.abs(have.astype(np.float64) - want.astype(np.float64)))
                said.append(f"{name} is off by {distance:.3g} (rtol {self.rtol:g}, atol {atol:g})")
        return said


@dataclass(frozen=True, slots=True)
class Target:
    """The median of `engine` is to be at most `ratio` times that of `peer`, in the same run."""

    engine: str
    peer: str
    ratio: float
    limit: str = ""
    """What stands in the way, as far as it is known; said where the target is missed."""

    def verdict(self, found: float | None) -> str:
        """One word or two, and what limits a figure that misses."""
        return verdict(found, self.ratio, self.limit)

    def found(self, medians: Mapping[str, float]) -> float | None:
        """What the ratio is; None if one of the two wasn't measured."""
        if self.engine not in medians or self.peer not in medians:
            return None
        return medians[self.engine] / medians[self.peer]


def verdict(found: float | None, at_most: float | None, limit: str = "") -> str:
    """One word or two for a figure that has a limit, and what is in the way of one that misses."""
    if found is None or at_most is None:
        return "not measured"
    if found <= at_most:
        return "holds"
    return f"{MISSES}: {limit}" if limit else MISSES


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure of `first_calls` is to be at most `seconds`, or `times` another figure.

    The other figure is that of the workload `of`, of the engine `peer` and named `peer_figure`; what isn't said is
    the same as on this side. `part` says what of the engine's own report is limited, instead of the seconds of the
    whole call: ``"load_seconds"``, ``"intermediate_bytes"``.
    """

    workload: str
    engine: str
    figure: str
    part: str = ""
    seconds: float = 0.0
    times: float = 0.0
    of: str = ""
    peer: str = ""
    peer_figure: str = ""
    limit: str = ""
    """As a target's: what stands in the way where it is missed."""

    @property
    def other(self) -> tuple[str, str, str]:
        """Workload, engine and figure that it is measured by, if it isn't measured by seconds."""
        return self.of or self.workload, self.peer or self.engine, self.peer_figure or self.figure


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
