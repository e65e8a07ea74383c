"""`python -m benchmarks`: run workloads, print the tables, and after a full run write RESULTS.md."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, peers, report
from benchmarks.runner import Options, Outcome, run
from benchmarks.workload import Workload
from benchmarks.workloads import WORKLOADS

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
    made.add_argument("--rounds", type=int, default=15)
    made.add_argument("--seconds", type=float, default=0.2, help="of one timed batch")
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
    return Options(pythons, chosen.rounds, chosen.seconds, core)


def measure(names: Sequence[str], engines: Sequence[str] | None, options: Options) -> list:
    found: list[tuple[Workload, list[Outcome]]] = []
    for name in names:
        workload = WORKLOADS[name]
        wanted = tuple(e for e in workload.engines if engines is None or e.name in engines)
        if wanted:
            print(f"{name}: {', '.join(engine.name for engine in wanted)}", file=sys.stderr, flush=True)
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
        workloads=measure(chosen.workloads or list(WORKLOADS), chosen.engines, options),
    )
    print(report.markdown(found))
    wrong = [
        f"{workload.name}: {outcome.engine.name} {outcome.status}: {outcome.detail}"
        for workload, outcomes in found.workloads
        for outcome in outcomes
        if outcome.status in {"failed", "disagrees"}
    ]
    if wrong:
        print("\n".join(["NOT A RESULT:", *wrong]), file=sys.stderr)
        return 1
    partial = bool(chosen.workloads or chosen.engines)
    into = chosen.into or (None if partial else HERE)
    if into is not None:
        print("written:", *report.write(found, into), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
