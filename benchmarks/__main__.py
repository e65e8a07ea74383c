"""`python -m benchmarks`: run workloads, print the tables, and after a full run write RESULTS.md."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import agreement, first_calls, machine, peers, report, runner, size
from benchmarks.registry import AGREEMENT, FIRST_CALLS, FUNCTIONS, STEPS, WORKLOADS
from benchmarks.run import Measured, Run
from benchmarks.runner import Options
from benchmarks.workload import Engine, Workload

HERE = Path(__file__).resolve().parent
PARTS = ("steps", "functions", "agreement", "first_calls", "size")
NAMES = f"of {', '.join(STEPS | AGREEMENT | FIRST_CALLS)}, or a function such as {next(iter(FUNCTIONS))}; all if none"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=NAMES)
    made.add_argument("--engines", nargs="+", metavar="ENGINE", help="only these")
    made.add_argument("--peers", type=Path, metavar="DIR", help="what `python -m benchmarks.peers` has made")
    made.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the interpreter for NAME's engines",
    )
    made.add_argument("--only", choices=PARTS, help="this part only")
    made.add_argument("--rounds", type=int, default=15, help="of timed batches of steps")
    made.add_argument("--seconds", type=float, default=0.2, help="of one timed batch")
    made.add_argument("--processes", type=int, default=3, help="for each situation of a first call")
    made.add_argument("--memory", type=float, default=8.0, metavar="GIB", help="that a first call may take")
    made.add_argument("--patience", type=float, default=100.0, metavar="SECONDS", help="that an engine may take")
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


KEPT = {"agreement": (agreement.PEER,)}
"""Engines that a part can't do without, whichever are chosen."""

Jobs = list[tuple[Workload, tuple[Engine, ...]]]


def jobs(what: str, workloads: Mapping[str, Workload], chosen: argparse.Namespace) -> Jobs:
    """Each chosen workload with its chosen engines; none if something else is to be measured only."""
    if chosen.only not in (None, what):
        return []
    found: Jobs = []
    for name, workload in workloads.items():
        wanted = tuple(
            engine
            for engine in workload.engines
            if (not chosen.engines or engine.name in [*chosen.engines, *KEPT.get(what, ())])
            and (what != "first_calls" or engine.compiles)
            and (what != "steps" or engine.timed)
        )
        if wanted and (not chosen.workloads or name in chosen.workloads):
            found.append((workload, wanted))
    return found


def one_by_one(
    what: str, run: Callable[[Workload, tuple[Engine, ...], Options], Any], found: Jobs, options: Options
) -> list[tuple[Workload, Any]]:
    """Each workload with what came of its engines."""
    outcomes = []
    for workload, engines in found:
        print(f"{what}, {workload.name}: {', '.join(engine.name for engine in engines)}", file=sys.stderr, flush=True)
        outcomes.append((workload, run(workload, engines, options)))
    return outcomes


def together(found: Jobs, options: Options) -> Measured:
    """The functions: many small workloads, each with a fraction of the time of a large one."""
    if not found:
        return ()
    print(f"functions: {len(found)}", file=sys.stderr, flush=True)
    short = replace(options, rounds=max(3, options.rounds // 3), seconds=options.seconds / 4)
    outcomes = runner.run_together(found, short)
    return [(workload, outcome) for (workload, _), outcome in zip(found, outcomes, strict=True)]


def sizes(chosen: argparse.Namespace) -> list[size.Size]:
    wanted = chosen.only == "size" or not (chosen.only or chosen.workloads or chosen.engines)
    if wanted:
        print(f"size: {', '.join(size.INSTALLED)}", file=sys.stderr, flush=True)
    return size.run() if wanted else []


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
    found = Run(
        command=shlex.join(["python", "-m", "benchmarks", *map(_without_folder, sys.argv[1:])]),
        commit=machine.commit(),
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine.describe(),
        options=options,
        workloads=one_by_one("steps", runner.run, jobs("steps", STEPS, chosen), options),
        functions=together(jobs("functions", FUNCTIONS, chosen), options),
        first_calls=one_by_one("first_calls", first_calls.run, jobs("first_calls", FIRST_CALLS, chosen), options),
        sizes=sizes(chosen),
        agreements=[
            found for _, found in one_by_one("agreement", agreement.run, jobs("agreement", AGREEMENT, chosen), options)
        ],
    )
    print(report.markdown(found))
    if found.wrong:
        print("\n".join(["NOT A RESULT:", *found.wrong]), file=sys.stderr)
        return 1
    partial = bool(chosen.workloads or chosen.engines or chosen.only)
    into = chosen.into or (None if partial else HERE)
    if into is not None:
        print("written:", *report.write(found, into), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
