"""Runs a workload: one process for each engine on one core, results compared first, then alternating rounds.

All engines of a workload are alive at once and sit on the same core (an engine for several threads on others, too);
only the one that was asked works. Rounds alternate and each begins with another engine, so that what slows the machine
for a while slows all. Small workloads of the same engines are run one after the other in the same processes.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.workload import Arrays, Engine, Workload

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TAPEJIT_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}


class EngineError(Exception):
    """An engine's process ended or was silent for too long; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure."""

    pythons: Mapping[str, Path]
    """The interpreter for each environment; engines of others run under this one."""
    rounds: int = 15
    seconds: float = 0.2
    """What one timed batch takes."""
    core: int | None = None
    """Where the engines are pinned; None where the system can't."""
    patience: float = 300.0
    """Seconds after which a silent engine is given up."""
    processes: int = 3
    """Fresh processes for each situation of a first call."""
    memory: float = 8 * 2**30
    """Bytes that the process of a first call may take."""

    def __post_init__(self) -> None:
        if self.rounds < 2:
            raise ValueError(f"rounds is {self.rounds}: a spread needs at least 2")

    def pinned(self, count: int) -> set[int]:
        """Where an engine for `count` cores sits: on `core` and the last of the others, as far as there are any."""
        if self.core is None:
            return set()
        others = [core for core in machine.cores() if core != self.core]
        return {self.core, *others[max(0, len(others) - (count - 1)) :]}


@dataclass(slots=True)
class Outcome:
    """What came of one engine.

    `status` is "measured", "not installed", "not possible", "missing", "failed" or "disagrees".
    """

    engine: Engine
    status: str = "measured"
    detail: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    import_seconds: float = 0.0
    first_step_seconds: float = 0.0
    samples: list[float] = field(default_factory=list)
    """Seconds of one step, one figure a round."""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        first, _, third = quantiles(self.samples, n=4, method="inclusive")
        return first, median(self.samples), third


def medians(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Seconds of a step by each engine that was measured."""
    return {outcome.engine.name: outcome.quartiles[1] for outcome in outcomes if outcome.samples}


class Worker:
    """One engine's process and the lines of JSON that go to and fro."""

    def __init__(self, engine: Engine, folder: Path, options: Options) -> None:
        self.patience = options.patience
        self.name = engine.name
        where = options.pinned(engine.cores)
        python = options.pythons.get(engine.needs, Path(sys.executable))
        self.errors = folder / f"{engine.name}.stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", engine.needs],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, **ONE_THREAD, **engine.environment},
            )
        if where:
            with contextlib.suppress(ProcessLookupError):  # it has ended already; `hear` says why
                os.sched_setaffinity(self.process.pid, where)

    def hear(self) -> dict[str, Any]:
        """Wait for the engine's next line."""
        pipe = self.process.stdout
        assert pipe is not None
        ready, _, _ = select.select([pipe], [], [], self.patience)
        if not ready:
            raise EngineError(f"silent for {self.patience:g} s{self.printed()}")
        line = pipe.readline()
        if not line:
            raise EngineError(f"its process ended with status {self.process.wait()}{self.printed()}")
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        pipe = self.process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            pass  # it has ended; `hear` says why
        return self.hear()

    def printed(self) -> str:
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        return ": " + " | ".join(lines[-3:]) if lines else ""

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


Job = tuple[Workload, Sequence[Engine]]


@dataclass(frozen=True, slots=True)
class Started:
    """A workload whose engines have taken the steps that are compared; their processes wait for more."""

    workload: Workload
    data: Arrays
    workers: Mapping[str, Worker]
    outcomes: Mapping[str, Outcome]
    results: Mapping[str, Arrays]
    """The arrays of each engine that has got so far."""


def run(workload: Workload, engines: Sequence[Engine], options: Options) -> list[Outcome]:
    """Measure `engines` on `workload`.

    Returns
    -------
    list of Outcome
        One for each engine, in their order, also for those that weren't measured. If any result disagrees,
        nothing is timed.
    """
    return run_together([(workload, engines)], options)[0]


def run_together(jobs: Sequence[Job], options: Options) -> list[list[Outcome]]:
    """Measure workloads whose engines have the same names and needs, all by the same processes.

    Returns
    -------
    list of list of Outcome
        As from `run`, for each workload.
    """
    found = []
    for started in start(jobs, options):
        outcomes = started.outcomes
        _compare(started.workload, started.data, started.results, outcomes)
        if all(outcome.status != "disagrees" for outcome in outcomes.values()):
            _time([started.workers[name] for name in started.results], outcomes, options)
        found.append(list(outcomes.values()))
    return found


def start(jobs: Sequence[Job], options: Options) -> Iterator[Started]:
    """Each workload in turn, after its first steps; its engines live until the last one is done with."""
    with tempfile.TemporaryDirectory(prefix="tapejit-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        workers: dict[str, Worker] = {}
        opened: dict[str, Outcome] = {}
        for engine in {engine.name: engine for _, engines in jobs for engine in engines}.values():
            opened[engine.name], worker = _opened(engine, folder, options, stack)
            if worker is not None:
                workers[engine.name] = worker
        for workload, engines in jobs:
            outcomes = {engine.name: replace(opened[engine.name], engine=engine, samples=[]) for engine in engines}
            present = {name: workers[name] for name in outcomes if name in workers}
            data = workload.inputs()
            yield Started(workload, data, present, outcomes, _results(workload, data, present, outcomes, folder))


def _opened(
    engine: Engine, folder: Path, options: Options, stack: contextlib.ExitStack
) -> tuple[Outcome, Worker | None]:
    """An engine's process with its library imported, or why there is none."""
    outcome = Outcome(engine)
    where = options.pinned(engine.cores)
    if where and len(where) < engine.cores:
        outcome.status, outcome.detail = "not possible", f"it is for {engine.cores} cores, and there is {len(where)}"
        return outcome, None
    try:
        worker = Worker(engine, folder, options)
        stack.callback(worker.close)
        reply = worker.hear()
    except EngineError as error:
        outcome.status, outcome.detail = "failed", str(error)
        return outcome, None
    if reply["event"] == "not_installed":
        outcome.status, outcome.detail = "not installed", f"no module '{engine.needs}' in its environment"
        return outcome, None
    outcome.versions, outcome.import_seconds = reply["versions"], reply["import_seconds"]
    return outcome, worker


def _results(
    workload: Workload, data: Arrays, workers: Mapping[str, Worker], outcomes: Mapping[str, Outcome], folder: Path
) -> dict[str, Arrays]:
    inputs = folder / "inputs.npz"
    np.savez(inputs, **data)
    results: dict[str, Arrays] = {}
    for name, worker in workers.items():  # one after the other, so that first steps are timed alone
        try:
            found = _result(workload, worker, outcomes[name], inputs)
        except EngineError as error:
            outcomes[name].status, outcomes[name].detail = "failed", str(error)
            continue
        if found is not None:
            results[name] = found
    return results


def _result(workload: Workload, worker: Worker, outcome: Outcome, inputs: Path) -> Arrays | None:
    """What an engine has after the steps that are compared; None if its library hasn't what it takes."""
    reply = worker.ask(do="prepare", workload=workload.name, engine=worker.name, inputs=str(inputs))
    if reply["event"] == "missing":
        outcome.status, outcome.detail = "missing", reply["detail"]
        return None
    outcome.first_step_seconds = reply["first_step_seconds"]
    into = inputs.with_name(f"{worker.name}.npz")
    worker.ask(do="check", steps=workload.check.steps, into=str(into))
    with np.load(into) as arrays:
        return dict(arrays)


def _compare(workload: Workload, data: Arrays, results: Mapping[str, Arrays], outcomes: Mapping[str, Outcome]) -> None:
    """Mark engines that disagree with what is expected: recorded figures, or else the first engine's."""
    if not results:
        return
    check = workload.check
    origin = "the recorded result" if check.expected else next(iter(results))
    expected = check.expected(data) if check.expected else results[origin]
    for name, found in results.items():
        differences = check.differences(expected, found)
        if differences:
            outcomes[name].status = "disagrees"
            outcomes[name].detail = f"with {origin} after {check.steps} steps: " + "; ".join(differences)


def _time(workers: list[Worker], outcomes: Mapping[str, Outcome], options: Options) -> None:
    """Alternate; the first round finds the size of a batch and warms up, and isn't kept."""
    for number in range(-1, options.rounds):
        turn = number % max(1, len(workers))
        for worker in [*workers[turn:], *workers[:turn]]:
            outcome = outcomes[worker.name]
            if outcome.status != "measured":
                continue
            try:
                reply = worker.ask(do="round", seconds=options.seconds)
            except EngineError as error:
                outcome.status, outcome.detail, outcome.samples = "failed", str(error), []
                continue
            if number >= 0:
                outcome.samples.append(reply["seconds"])
