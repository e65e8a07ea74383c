"""Writes what a run found: a Markdown page, the figures as JSON, charts."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks import chart
from benchmarks.agreement import PEER
from benchmarks.first_calls import FirstCalls, found_for
from benchmarks.registry import LIMITS
from benchmarks.run import Measured, Run, against_targets, in_unit, spoken
from benchmarks.runner import Outcome, medians
from benchmarks.workload import verdict
from benchmarks.workloads.functions import SIZE

SITUATIONS_IN_WORDS = (
    "*cold*: the first thing that a process compiles, imports of the compiler included. *ready*: after another small\n"
    "function was compiled. *stored*: the kernel is in the store and nothing was loaded before. *loaded*: after\n"
    "another kernel was loaded. Importing the library itself is in none of them. *process*: from the start of a\n"
    "process to the first result, all imports included, with nothing stored; *from the store*: the same with the\n"
    "kernel in the store."
)


def markdown(run: Run) -> str:
    parts = (_head, _targets, _steps, _functions, _agreements, _first_calls, _sizes, _versions)
    return "\n".join(line for part in parts for line in part(run)) + "\n"


def _head(run: Run) -> Iterator[str]:
    machine, options = run.machine, run.options
    where = f"pinned to core {options.core}" if options.core is not None else "not pinned"
    yield "# Benchmark results"
    yield ""
    yield f"Written by `{run.command}` on {run.date}, at commit {run.commit}."
    yield f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']};"
    yield f"load average {machine['load']} before anything was started."
    yield f"Each engine in its own process, {where}, one thread if not said otherwise; results were compared before the"
    yield "clock started. A figure is the time of one step: median and quartiles of"
    yield f"{options.rounds} rounds, which alternate and take about {options.seconds:g} s each."
    yield "Import is beyond NumPy's own; the first step includes tracing and compiling. First calls are measured"
    yield f"in fresh processes, {options.processes} for each figure, of which the median is given."


def _targets(run: Run) -> Iterator[str]:
    rows = against_targets(run)
    if rows:
        yield from (
            "",
            "## Targets",
            "",
            "| workload | engine | at most | found | |",
            "| --- | --- | --- | --- | --- |",
        )
        for row in rows:
            yield f"| {row.workload} | {row.engine} | {row.at_most} | {row.found} | {row.verdict} |"


def _functions(run: Run) -> Iterator[str]:
    if not run.functions:
        return
    yield from ("", "## Functions", "", f"Time of one element, of {SIZE:,}: medians.", "")
    shown_as = {"tapejit_compiled": "tapejit", "jax_jit": "JAX", "numpy": "NumPy"}
    yield f"| function | {' | '.join(shown_as.values())} | × JAX | × NumPy | |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for workload, outcomes in run.functions:
        found = medians(outcomes)
        times = [spoken(found[engine] / SIZE) if engine in found else "–" for engine in shown_as]
        ratios = [target.found(found) for target in workload.targets]
        shown = ["–" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        parts = [ratio / target.ratio for ratio, target in zip(ratios, workload.targets, strict=True) if ratio]
        said = (
            verdict(max(parts), 1.0)
            if parts
            else "; ".join(_cell(o.detail) or o.status for o in outcomes if not o.samples)
        )
        yield f"| {' | '.join([workload.name, *times, *shown, said])} |"


def _cell(detail: str) -> str:
    return detail.replace("|", "¦")


def _agreements(run: Run) -> Iterator[str]:
    if not run.agreements:
        return
    yield from ("", "## Agreement", "")
    yield f"The largest |x - y| / max(1, |x| + |y|) between an engine's numbers and those of {PEER}, in float64."
    for agreement in run.agreements:
        workload = agreement.workload
        names = list(next(iter(agreement.deviations.values()), ()))
        yield from ("", f"### {workload.name}", "", workload.summary + ".", "")
        yield f"| engine | {' | '.join([*names, ''])} |"
        yield f"|{' --- |' * (len(names) + 2)}"
        for outcome in agreement.outcomes:
            if outcome.engine.name == PEER and outcome.status == "measured":
                continue
            found = agreement.deviations.get(outcome.engine.name, {})
            shown = [f"{found[name]:.1e}" if found.get(name) else "0" if name in found else "–" for name in names]
            said = outcome.engine.note if found else f"**not compared** {_cell(outcome.detail)}"
            yield f"| {' | '.join([outcome.engine.name, *shown, said])} |"


def _sizes(run: Run) -> Iterator[str]:
    if not run.sizes:
        return
    yield from ("", "## Installed size", "", "A fresh environment's packages, pip not counted.", "")
    yield from ("| | MB | largest |", "| --- | --- | --- |")
    for found in run.sizes:
        largest = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in list(found.folders.items())[:6])
        total = f"{found.total / 1e6:.0f}" if found.folders else "–"
        yield f"| {found.name} | {total} | {largest or _cell(found.why)} |"


def _first_calls(run: Run) -> Iterator[str]:
    if not run.first_calls:
        return
    yield from ("", "## First calls", "", SITUATIONS_IN_WORDS)
    for workload, outcomes in run.first_calls:
        yield from ("", f"### {workload.name}", "", workload.summary + ".", "")
        yield (
            "| engine | cold | ready | = trace + compile | stored | loaded | = trace + load "
            "| process | from the store | peak memory | intermediates | lines of text | |"
        )
        yield f"|{' --- |' * 13}"
        yield from map(_first_call_row, outcomes)


def _first_call_row(outcome: FirstCalls) -> str:
    def told(situation: str, *parts: str) -> str:
        figure = outcome.figure(situation, *parts)
        return "–" if figure is None else in_unit(figure, *parts or ("",))

    def both(situation: str, other: str) -> str:
        parts = told(situation, "trace_seconds"), told(situation, other)
        return "–" if "–" in parts else " + ".join(parts)

    said = "" if outcome.status == "measured" else f"**{outcome.status}** {_cell(outcome.detail)}"
    peak = "–" if outcome.peak is None else f"{outcome.peak / 2**20:,.0f} MiB"
    cells = (
        outcome.engine.name, told("cold"), told("ready"), both("ready", "compile_seconds"), told("stored"),
        told("loaded"), both("loaded", "load_seconds"), told("process"), told("process_stored"), peak,
        told("ready", "intermediate_bytes"), told("ready", "source_lines"), said or outcome.engine.note,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _steps(run: Run) -> Iterator[str]:
    for workload, outcomes in run.workloads:
        yield from ("", f"## {workload.name}", "", workload.summary + ".", "")
        first = next((outcome for outcome in outcomes if outcome.samples), None)
        reference, reference_name = (first.quartiles[1], first.engine.name) if first else (None, "reference")
        yield f"| engine | median | quartiles | × {reference_name} | import | first step | |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for outcome in outcomes:
            yield _row(outcome, reference)


def _row(outcome: Outcome, reference: float | None) -> str:
    name, note = outcome.engine.name, outcome.engine.note
    if not outcome.samples or reference is None:
        said = "not timed" if outcome.status == "measured" else outcome.status
        return f"| {name} | **{said}** | | | | | {_cell(outcome.detail) or note} |"
    low, middle, high = outcome.quartiles
    spread = f"{spoken(low)} – {spoken(high)}"
    imported = "–" if outcome.engine.needs == "numpy" else spoken(outcome.import_seconds)
    once = f"{imported} | {spoken(outcome.first_step_seconds)}"
    return f"| {name} | {spoken(middle)} | {spread} | {middle / reference:.2f} | {once} | {note} |"


def _versions(run: Run) -> Iterator[str]:
    yield from ("", "## Versions", "")
    for needs, versions in run.versions.items():
        yield f"* {needs} engines: {', '.join(f'{name} {version}' for name, version in versions.items())}"


def figures(run: Run) -> dict[str, object]:
    """All of it for programs; times are in seconds."""
    return {
        "command": run.command,
        "commit": run.commit,
        "date": run.date,
        "machine": dict(run.machine),
        "rounds": run.options.rounds,
        "core": run.options.core,
        "workloads": _figures_of_steps(run.workloads),
        "functions": _figures_of_steps(run.functions),
        "first_calls": {
            workload.name: {
                outcome.engine.name: {
                    "status": outcome.status,
                    "detail": outcome.detail,
                    "versions": outcome.versions,
                    "samples": outcome.samples,
                }
                for outcome in outcomes
            }
            for workload, outcomes in run.first_calls
        },
        "limits": [
            {**asdict(limit), "at_most": at_most, "found": found}
            for limit in LIMITS
            for at_most, found in [found_for(limit, run.all_first_calls)]
        ],
        "sizes": [asdict(found) for found in run.sizes],
        "agreements": {agreement.workload.name: agreement.deviations for agreement in run.agreements},
        "targets": [asdict(row) for row in against_targets(run)],
    }


def _figures_of_steps(measured: Measured) -> dict[str, object]:
    return {
        workload.name: {
            "engines": {outcome.engine.name: _figures_of(outcome) for outcome in outcomes},
            "targets": [{**asdict(target), "found": target.found(medians(outcomes))} for target in workload.targets],
        }
        for workload, outcomes in measured
    }


def _figures_of(outcome: Outcome) -> dict[str, object]:
    low, middle, high = outcome.quartiles if outcome.samples else (None, None, None)
    return {
        "status": outcome.status,
        "detail": outcome.detail,
        "versions": outcome.versions,
        "import_seconds": outcome.import_seconds,
        "first_step_seconds": outcome.first_step_seconds,
        "median": middle,
        "quartiles": [low, high],
        "samples": outcome.samples,
    }


def write(run: Run, into: Path) -> list[Path]:
    """Write RESULTS.md, results.json and, where matplotlib is installed, results.png and functions.png.

    Returns
    -------
    list of Path
        The files written.
    """
    into.mkdir(parents=True, exist_ok=True)
    page, data = into / "RESULTS.md", into / "results.json"
    charts = chart.draw(run, into)
    text = markdown(run)
    for heading, drawn in (("Targets", "results.png"), ("Functions", "functions.png")):
        if into / drawn in charts:
            shown = f"\n![tapejit's time by that of others]({drawn})\n"
            text = text.replace(f"\n## {heading}\n", f"\n## {heading}\n{shown}", 1)
    page.write_text(text)
    data.write_text(json.dumps(figures(run), indent=1) + "\n")
    return [page, data, *charts]
