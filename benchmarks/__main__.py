"""`python -m benchmarks`: run workloads, print the tables, and after a full run write RESULTS.md."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import first_calls, machine, peers, report, runner
from benchmarks.runner import Options
from benchmarks.workload import Engine, Workload
from benchmarks.workloads import FIRST_CALLS, STEPS, WORKLOADS

HERE = Path(__file__).resolve().parent


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all if none")
    made.add_argument("--engines", nargs="+", metavar="ENGINE", help="only these")
    made.add_argument("--peers", type=Path, metavar="DIR", help="what `python -m benchmarks.peers` has made")
    made.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the interpreter for NAME's engines",
    )
    made.add_argument("--only", choices=("steps", "first_calls"), help="only what steps cost, or what comes before")
    made.add_argument("--rounds", type=int, default=15, help="of timed batches of steps")
    made.add_argument("--seconds", type=float, default=0.2, help="of one timed batch")
    made.add_argument("--processes", type=int, default=3, help="for each situation of a first call")
    made.add_argument("--memory", type=float, default=8.0, metavar="GIB", help="that a first call may take")
    made.add_argument("--patience", type=float, default=300.0, metavar="SECONDS", help="that an engine may take")
    made.add_argument("--core", type=int, help="to pin the engines to; the last one if not said")
    made.add_argument("--into", type=Path, metavar="DIR", help="write the results here, also of a partial run")
    return made


def options_of(chosen: argparse.Namespace) -> Options:
    pythons = peers.found_in(chosen.peers) if chosen.peers else {}
    for pair in chosen.python:
        name, _, path = pair.partition("=")
        if not Path(path).is_file():
            sys.exit(f"--python {pair}: expected NAME=PATH with the path of an interpreter")
        pythons[name] = Path(path).absolute()  # not resolved: the link is what makes it the environment's
    cores = machine.cores()
    if chosen.core is not None and chosen.core not in cores:
        sys.exit(f"--core {chosen.core}: this process may use {cores}")
    core = chosen.core if chosen.core is not None else (cores[-1] if cores else None)
    memory = chosen.memory * 2**30
    return Options(pythons, chosen.rounds, chosen.seconds, core, chosen.patience, chosen.processes, memory)


Measure = Callable[[Workload, tuple[Engine, ...], Options], list[Any]]


def measured(what: str, run: Measure, workloads: Mapping[str, Workload], chosen: argparse.Namespace) -> list[Any]:
    """Each chosen workload with what came of its chosen engines."""
    found = []
    options = options_of(chosen)
    if chosen.only not in (None, what):
        return []
    for name, workload in workloads.items():
        wanted = tuple(
            engine
            for engine in workload.engines
            if (not chosen.engines or engine.name in chosen.engines) and (what == "steps" or engine.compiles)
        )
        if wanted and (not chosen.workloads or name in chosen.workloads):
            print(f"{what}, {name}: {', '.join(engine.name for engine in wanted)}", file=sys.stderr, flush=True)
            found.append((workload, run(workload, wanted, options)))
    return found


def _without_folder(argument: str) -> str:
    """A path by its last part: which folder of this machine it was says nothing to a reader."""
    return Path(argument).name if "/" in argument else argument


def main() -> int:
    chosen = parser().parse_args()
    known = {engine.name for workload in WORKLOADS.values() for engine in workload.engines}
    for kind, names, all_names in (
        ("workload", chosen.workloads, set(WORKLOADS)),
        ("engine", chosen.engines or (), known),
    ):
        if unknown := set(names) - all_names:
            sys.exit(f"no such {kind}: {', '.join(sorted(unknown))}; there are {', '.join(sorted(all_names))}")
    options = options_of(chosen)
    found = report.Run(
        command=shlex.join(["python", "-m", "benchmarks", *map(_without_folder, sys.argv[1:])]),
        commit=machine.commit(),
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine.describe(),
        options=options,
        workloads=measured("steps", runner.run, STEPS, chosen),
        first_calls=measured("first_calls", first_calls.run, FIRST_CALLS, chosen),
    )
    print(report.markdown(found))
    wrong = [
        f"{workload.name}: {outcome.engine.name} {outcome.status}: {outcome.detail}"
        for workload, outcomes in [*found.workloads, *found.first_calls]
        for outcome in outcomes
        if outcome.status in {"failed", "disagrees"}
    ]
    if wrong:
        print("\n".join(["NOT A RESULT:", *wrong]), file=sys.stderr)
        return 1
    partial = bool(chosen.workloads or chosen.engines or chosen.only)
    into = chosen.into or (None if partial else HERE)
    if into is not None:
        print("written:", *report.write(found, into), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
