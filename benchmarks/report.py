"""Writes what a run found: a Markdown page, the figures as JSON, a chart."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.first_calls import FirstCalls, found_for
from benchmarks.runner import Options, Outcome, medians
from benchmarks.workload import Limit, Target, Workload
from benchmarks.workloads import LIMITS

SITUATIONS_IN_WORDS = (
    "*cold*: the first thing that a process compiles, imports of the compiler included. *ready*: after another small\n"
    "function was compiled. *stored*: the kernel is in the store and nothing was loaded before. *loaded*: after\n"
    "another kernel was loaded. Importing the library itself is in none of them."
)
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True, slots=True)
class Run:
    """All that a report needs."""

    command: str
    commit: str
    date: str
    machine: Mapping[str, str]
    options: Options
    workloads: Sequence[tuple[Workload, Sequence[Outcome]]]
    first_calls: Sequence[tuple[Workload, Sequence[FirstCalls]]] = ()

    @property
    def all_first_calls(self) -> list[FirstCalls]:
        return [outcome for _, outcomes in self.first_calls for outcome in outcomes]


def spoken(seconds: float) -> str:
    """A time with three digits and a fitting unit."""
    scale, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


def ratio(outcomes: Sequence[Outcome], target: Target) -> float | None:
    """Median over median; None if one of the two wasn't measured."""
    medians = {o.engine.name: o.quartiles[1] for o in outcomes if o.samples}
    if target.engine not in medians or target.peer not in medians:
        return None
    return medians[target.engine] / medians[target.peer]


def markdown(run: Run) -> str:
    return "\n".join([*_head(run), *_targets(run), *_tables(run), *_first_calls(run), *_versions(run)]) + "\n"


def _head(run: Run) -> Iterator[str]:
    machine = run.machine
    where = f"pinned to core {run.options.core}" if run.options.core is not None else "not pinned"
    yield "# Benchmark results"
    yield ""
    yield f"Written by `{run.command}` on {run.date}, at commit {run.commit}."
    yield f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}."
    yield f"Each engine in its own process, {where}, one thread; results were compared before the clock"
    yield "started. A figure is the time of one step: median and quartiles of"
    yield f"{run.options.rounds} rounds, which alternate and take about {run.options.seconds:g} s each."
    yield "Import is beyond NumPy's own; the first step includes tracing and compiling. First calls are measured"
    yield f"in fresh processes, {run.options.processes} for each figure, of which the median is given."


def _targets(run: Run) -> Iterator[str]:
    rows = [(workload, target, outcomes) for workload, outcomes in run.workloads for target in workload.targets]
    measured = {workload.name for workload, _ in run.first_calls}
    limits = [limit for limit in LIMITS if limit.workload in measured]
    if not rows and not limits:
        return
    yield from (
        "",
        "## Targets",
        "",
        "| workload | engine | at most | found | |",
        "| --- | --- | --- | --- | --- |",
    )
    for workload, target, outcomes in rows:
        found = ratio(outcomes, target)
        figure = "–" if found is None else f"{found:.2f} ×"
        verdict = "not measured" if found is None else "holds" if found <= target.ratio else "**misses**"
        at_most = f"{target.ratio:g} × {target.peer}"
        yield f"| {workload.name} | {target.engine} | {at_most} | {figure} | {verdict} |"
    for limit in limits:
        yield _limit_row(limit, *found_for(limit, run.all_first_calls))


def _limit_row(limit: Limit, at_most: float | None, found: float | None) -> str:
    verdict = "not measured" if found is None or at_most is None else "holds" if found <= at_most else "**misses**"
    wanted = f"{limit.times:g} × {limit.of}" if limit.of else spoken(limit.seconds)
    figure = "–" if found is None else spoken(found)
    return f"| {limit.workload}, first call | {limit.engine} | {wanted}, {limit.figure} | {figure} | {verdict} |"


def _first_calls(run: Run) -> Iterator[str]:
    if not run.first_calls:
        return
    yield from ("", "## First calls", "", SITUATIONS_IN_WORDS)
    for workload, outcomes in run.first_calls:
        yield from ("", f"### {workload.name}", "", workload.summary + ".", "")
        yield "| engine | cold | ready | = trace + compile | stored | loaded | = trace + load | peak memory | |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        yield from map(_first_call_row, outcomes)


def _first_call_row(outcome: FirstCalls) -> str:
    def told(situation: str, *parts: str) -> str:
        figure = outcome.figure(situation, *parts)
        return "–" if figure is None else spoken(figure)

    def both(situation: str, other: str) -> str:
        parts = told(situation, "trace_seconds"), told(situation, other)
        return "–" if "–" in parts else " + ".join(parts)

    said = "" if outcome.status == "measured" else f"**{outcome.status}** {outcome.detail.replace('|', '¦')}"
    peak = "–" if outcome.peak is None else f"{outcome.peak / 2**20:,.0f} MiB"
    cells = (
        outcome.engine.name, told("cold"), told("ready"), both("ready", "compile_seconds"), told("stored"),
        told("loaded"), both("loaded", "load_seconds"), peak, said or outcome.engine.note,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _tables(run: Run) -> Iterator[str]:
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
        detail = outcome.detail.replace("|", "¦")
        return f"| {name} | **{said}** | | | | | {detail or note} |"
    low, middle, high = outcome.quartiles
    spread = f"{spoken(low)} – {spoken(high)}"
    imported = "–" if outcome.engine.needs == "numpy" else spoken(outcome.import_seconds)
    once = f"{imported} | {spoken(outcome.first_step_seconds)}"
    return f"| {name} | {spoken(middle)} | {spread} | {middle / reference:.2f} | {once} | {note} |"


def _versions(run: Run) -> Iterator[str]:
    yield from ("", "## Versions", "")
    stacks: dict[str, str] = {}
    for _, outcomes in [*run.workloads, *run.first_calls]:
        for outcome in outcomes:
            if outcome.versions:
                stacks[outcome.engine.needs] = ", ".join(f"{k} {v}" for k, v in outcome.versions.items())
    for needs, versions in stacks.items():
        yield f"* {needs} engines: {versions}"


def figures(run: Run) -> dict[str, object]:
    """All of it for programs; times are in seconds."""
    return {
        "command": run.command,
        "commit": run.commit,
        "date": run.date,
        "machine": dict(run.machine),
        "rounds": run.options.rounds,
        "core": run.options.core,
        "workloads": {
            workload.name: {
                "engines": {outcome.engine.name: _figures_of(outcome) for outcome in outcomes},
                "targets": [
                    {"engine": t.engine, "peer": t.peer, "at_most": t.ratio, "found": ratio(outcomes, t)}
                    for t in workload.targets
                ],
            }
            for workload, outcomes in run.workloads
        },
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
    """Write RESULTS.md, results.json and, where matplotlib is installed, results.png.

    Returns
    -------
    list of Path
        The files written.
    """
    into.mkdir(parents=True, exist_ok=True)
    page, data, chart = into / "RESULTS.md", into / "results.json", into / "results.png"
    text = markdown(run)
    drawn = draw(run, chart)
    if drawn:
        text = text.replace("\n## Targets", "\n![median time of a step](results.png)\n\n## Targets", 1)
    page.write_text(text)
    data.write_text(json.dumps(figures(run), indent=1) + "\n")
    return [page, data, chart] if drawn else [page, data]


def draw(run: Run, chart: Path) -> bool:
    """Draw the medians of steps, one panel a workload, with a line between the quartiles; False without matplotlib."""
    if not run.workloads:
        return False
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  a run without the bench extra has no chart
    except ModuleNotFoundError:
        return False
    rows = [len(outcomes) for _, outcomes in run.workloads]
    figure = Figure(figsize=(9, 0.8 + sum(0.9 + 0.32 * count for count in rows)), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=[count + 1 for count in rows])[:, 0]
    for panel, (workload, outcomes) in zip(panels, run.workloads, strict=True):
        for place, outcome in enumerate(outcomes):
            if not outcome.samples:
                panel.text(0.01, place, outcome.status, va="center", transform=panel.get_yaxis_transform())
                continue
            low, middle, high = outcome.quartiles
            color = "tab:blue" if outcome.engine.needs == "tapejit" else "dimgray"
            spread = [[middle - low], [high - middle]]
            panel.errorbar(middle, place, xerr=spread, fmt="o", color=color, capsize=3)
            panel.annotate(f"   {spoken(middle)}", (high, place), va="center")
        panel.set_yticks(range(len(outcomes)), [outcome.engine.name for outcome in outcomes])
        panel.set(xscale="log", ylim=(len(outcomes) - 0.5, -0.5))
        panel.margins(x=0.2)
        panel.grid(axis="x", color="gainsboro")
        panel.set_title(workload.name, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("seconds for one step (logarithmic), median and quartiles")
    figure.savefig(chart, dpi=120)
    return True
