"""Measures first calls: tracing, compiling, loading. Each figure is the median of several fresh processes.

*cold*: the first thing that a process compiles. *ready*: after another small function was compiled, so that the
compiler is imported. *stored*: the kernel is in the store (for engines that have one), and nothing was loaded before.
*loaded*: the same after another kernel was loaded. *process* and *process_stored*: from the start of a process to the
first result, imports and inputs included, with nothing stored and with the kernel in the store. Processes of different
engines take turns on one core. One that takes more memory or time than it may is stopped; that is its result.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.runner import ONE_THREAD, ROOT, Options
from benchmarks.workload import Arrays, Engine, Limit, Workload

HAS_STORE = {"tapejit"}
"""Engines (by what they need) that keep machine code from process to process."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What has happened before a first call."""

    name: str
    stored: bool
    after_another: bool = False
    whole: bool = False
    """Whether the figure begins with the process."""

    def program(self, engine: Engine) -> tuple[str, ...]:
        """What runs in the process; from its start on, it must not import more than it needs."""
        if self.whole:
            return "benchmarks.whole_process", engine.prepare.__module__
        return ("benchmarks.first_call",)


SITUATIONS = (
    Situation("cold", stored=False),
    Situation("ready", stored=False, after_another=True),
    Situation("stored", stored=True),
    Situation("loaded", stored=True, after_another=True),
    Situation("process", stored=False, whole=True),
    Situation("process_stored", stored=True, whole=True),
)


@dataclass(slots=True)
class FirstCalls:
    """What came of one engine on one workload: `status` as in `runner.Outcome`."""

    workload: Workload
    engine: Engine
    status: str = "measured"
    detail: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def figure(self, situation: str, *of_report: str) -> float | None:
        """The median of a situation's seconds, or of parts that the engine itself tells; None if not measured."""
        samples = self.samples.get(situation)
        if not samples or not all(part in sample["report"] for sample in samples for part in of_report):
            return None
        if not of_report:
            return median(sample["seconds"] for sample in samples)
        return median(sum(sample["report"][part] for part in of_report) for sample in samples)

    @property
    def peak(self) -> float | None:
        """Bytes that a process took at most, in the situation that takes most."""
        peaks = [sample["peak"] for samples in self.samples.values() for sample in samples]
        return max(peaks, default=None)


class FirstCallError(Exception):
    """A process told nothing: it failed, or was stopped."""

    def __init__(self, why: str, *, stopped: bool) -> None:
        super().__init__(why)
        self.stopped = stopped


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the processes of one workload run."""

    workload: Workload
    folder: Path
    options: Options

    def call(self, engine: Engine, situation: Situation) -> dict[str, Any]:
        """What one fresh process told; `FirstCallError` where it told nothing."""
        python = self.options.pythons.get(engine.needs, Path(sys.executable))
        store = {"TAPEJIT_CACHE_DIR": str(self.folder / "store")} if situation.stored else {"TAPEJIT_CACHE": "0"}
        # Every engine finds its modules compiled to bytecode, as those of an installed package are.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TAPEJIT_CACHE") and name != "PYTHONDONTWRITEBYTECODE"
        }
        command = [str(python), "-m", *situation.program(engine), self.workload.name, engine.name]
        command += [str(self.folder / "inputs.npz"), str(self.result_of(engine))]
        errors = self.folder / "stderr"
        with errors.open("wb") as stderr:
            started = time.monotonic()
            process = subprocess.Popen(
                command + ["another"] * situation.after_another,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={**kept, **ONE_THREAD, **store},
            )
        if self.options.core is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, {self.options.core})
        why = self._watch(process)
        assert process.stdout is not None
        told = process.stdout.read()
        process.stdout.close()
        if process.wait() or why or not told:
            lines = errors.read_text(errors="replace").strip().splitlines()
            said = why or f"ended with status {process.returncode}: " + " | ".join(lines[-3:])
            raise FirstCallError(said, stopped=bool(why))
        found = json.loads(told.splitlines()[-1])
        if situation.whole:
            found["seconds"] = found.pop("printed") - started
        return found

    def result_of(self, engine: Engine) -> Path:
        return self.folder / f"{engine.name}.npz"

    def _watch(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end; stop the process where it takes too much, and say why."""
        end = time.monotonic() + self.options.patience
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                return ""
            taken = resident(process.pid)
            why = ""
            if taken > self.options.memory:
                why = f"runs out of memory: more than {self.options.memory / 2**30:g} GiB"
            elif time.monotonic() > end:
                why = f"takes more than {self.options.patience:g} s"
            if why:
                process.kill()
                process.wait()
                return why


def resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 where the system doesn't tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(workload: Workload, engines: Sequence[Engine], options: Options) -> list[FirstCalls]:
    """Measure the first calls of `engines` on `workload`, in every situation that they can be in."""
    data = workload.inputs()
    outcomes = [FirstCalls(workload, engine) for engine in engines]
    expected = _expected(workload, data)
    with tempfile.TemporaryDirectory(prefix="tapejit-bench-") as folder:
        bench = Bench(workload, Path(folder), options)
        np.savez(bench.folder / "inputs.npz", **data)
        for number in range(options.processes):
            turn = number % max(1, len(outcomes))
            for outcome in [*outcomes[turn:], *outcomes[:turn]]:
                for situation in SITUATIONS:
                    if outcome.status == "measured" and (outcome.engine.needs in HAS_STORE or not situation.stored):
                        _measure(bench, outcome, situation, expected, fill=number == 0)
    return outcomes


def _expected(workload: Workload, data: Arrays) -> Arrays:
    """The first engine's results: it is NumPy by hand, and needs no process of its own."""
    session = workload.engines[0].prepare(data)
    for _ in range(workload.check.steps):
        session.step()
    return {name: array.copy() for name, array in session.result().items()}


def _measure(bench: Bench, outcome: FirstCalls, situation: Situation, expected: Arrays, *, fill: bool) -> None:
    try:
        if situation.stored and fill:
            bench.call(outcome.engine, situation)
        told = bench.call(outcome.engine, situation)
    except FirstCallError as error:
        outcome.status = "stopped" if error.stopped else "failed"
        outcome.detail = f"{situation.name}: {error}"
        return
    if "needs" in told:
        outcome.status, outcome.detail = "not installed", f"no module '{told['needs']}' in its environment"
        return
    outcome.versions = told.pop("versions", outcome.versions)
    with np.load(bench.result_of(outcome.engine)) as arrays:
        differences = bench.workload.check.differences(expected, dict(arrays))
    if differences:
        outcome.status, outcome.detail = "disagrees", "; ".join(differences)
    elif situation.stored and not told["report"]["from_cache"]:
        outcome.status, outcome.detail = "failed", f"{situation.name}: its kernel was compiled again"
    else:
        outcome.samples.setdefault(situation.name, []).append(told)


def found_for(limit: Limit, outcomes: Sequence[FirstCalls]) -> tuple[float | None, float | None]:
    """What a limit allows and what was found, as far as they were measured."""
    of = {(outcome.workload.name, outcome.engine.name): outcome for outcome in outcomes}

    def figure(workload: str, engine: str, name: str) -> float | None:
        parts = [limit.part] if limit.part else []
        return of[workload, engine].figure(name, *parts) if (workload, engine) in of else None

    at_most: float | None = limit.seconds
    if limit.times:
        base = figure(*limit.other)
        at_most = None if base is None else base * limit.times
    return at_most, figure(limit.workload, limit.engine, limit.figure)
