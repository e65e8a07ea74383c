"""All that one run found: what the page, the figures and the charts are made of, and how it stands to the targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from benchmarks import size
from benchmarks.agreement import AT_MOST, PEER, Agreement
from benchmarks.first_calls import FirstCalls, found_for
from benchmarks.registry import LIMITS
from benchmarks.runner import Options, Outcome, medians
from benchmarks.size import Size
from benchmarks.workload import Limit, Workload, verdict

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))

Measured = Sequence[tuple[Workload, Sequence[Outcome]]]


def spoken(seconds: float) -> str:
    """A time with three digits and a fitting unit."""
    scale, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


def in_unit(figure: float, part: str) -> str:
    """A figure of an engine's report in the unit that the figure's name ends with; seconds if it has none."""
    if part.endswith("_bytes"):
        return f"{figure / 2**20:,.3g} MiB"
    return spoken(figure) if not part or part.endswith("_seconds") else f"{figure:,.4g}"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found and where; parts that weren't measured are empty."""

    command: str
    commit: str
    date: str
    machine: Mapping[str, str]
    options: Options
    workloads: Measured = ()
    functions: Measured = ()
    first_calls: Sequence[tuple[Workload, Sequence[FirstCalls]]] = ()
    sizes: Sequence[Size] = ()
    agreements: Sequence[Agreement] = ()

    @property
    def compared(self) -> list[tuple[Workload, Sequence[Outcome]]]:
        """The engines of what was compared with the peer's numbers."""
        return [(agreement.workload, agreement.outcomes) for agreement in self.agreements]

    @property
    def all_first_calls(self) -> list[FirstCalls]:
        return [outcome for _, outcomes in self.first_calls for outcome in outcomes]

    @property
    def versions(self) -> dict[str, dict[str, str]]:
        """What the engines of each environment stand on."""
        return {
            outcome.engine.needs: outcome.versions
            for _, outcomes in [*self.workloads, *self.functions, *self.first_calls, *self.compared]
            for outcome in outcomes
            if outcome.versions
        }

    @property
    def wrong(self) -> list[str]:
        """Why this is no result: engines that failed or disagree."""
        return [
            f"{workload.name}: {outcome.engine.name} {outcome.status}: {outcome.detail}"
            for workload, outcomes in [*self.workloads, *self.functions, *self.first_calls, *self.compared]
            for outcome in outcomes
            if outcome.status in {"failed", "disagrees"}
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """One target and how the run stands to it."""

    workload: str
    engine: str
    at_most: str
    found: str
    verdict: str


def against_targets(run: Run) -> list[Row]:
    """Every target of what was measured."""
    return [
        *_of_steps(run.workloads),
        *_of_functions(run.functions),
        *_of_agreements(run.agreements),
        *_of_first_calls(run),
        *_of_sizes(run.sizes),
    ]


def _of_steps(measured: Measured) -> Iterator[Row]:
    for workload, outcomes in measured:
        for target in workload.targets:
            found = target.found(medians(outcomes))
            figure = "–" if found is None else f"{found:.3g} ×"
            at_most = f"{target.ratio:g} × {target.peer}"
            yield Row(workload.name, target.engine, at_most, figure, target.verdict(found))


def _of_functions(measured: Measured) -> Iterator[Row]:
    """One row for each peer: how many of the functions that it has hold, and which one is furthest from it."""
    for target in dict.fromkeys(target for workload, _ in measured for target in workload.targets):
        found: dict[str, float | None] = {}
        for workload, outcomes in measured:
            seconds = medians(outcomes)
            if target.peer in seconds:
                found[workload.name] = target.found(seconds)
        ratios = {name: ratio for name, ratio in found.items() if ratio is not None}
        worst = max(ratios, key=ratios.__getitem__, default=None)
        held = sum(ratio <= target.ratio for ratio in ratios.values())
        said = f"{held} of {len(found)}, worst {worst}: {ratios[worst]:.2f} ×" if worst else "–"
        word = target.verdict(inf if held < len(found) else ratios[worst] if worst else None)
        yield Row("functions, per element", target.engine, f"{target.ratio:g} × {target.peer}", said, word)


def _of_agreements(agreements: Sequence[Agreement]) -> Iterator[Row]:
    for agreement in agreements:
        for engine in (o.engine.name for o in agreement.outcomes if o.engine.needs == "tapejit"):
            worst = agreement.worst(engine)
            said, found = ("–", None) if worst is None else (f"{worst[1]:.1e}, {worst[0]}", worst[1])
            name = f"{agreement.workload.name}, agreement"
            yield Row(name, engine, f"{AT_MOST:g} from {PEER}", said, verdict(found, AT_MOST))


def _of_first_calls(run: Run) -> Iterator[Row]:
    measured = {workload.name for workload, _ in run.first_calls}
    for limit in LIMITS:
        if limit.workload in measured:
            yield _of_limit(limit, *found_for(limit, run.all_first_calls))


def _of_limit(limit: Limit, at_most: float | None, found: float | None) -> Row:
    wanted, figure = spoken(limit.seconds), "–" if found is None else in_unit(found, limit.part)
    if limit.times:
        said = [part for part in (limit.of, limit.peer, limit.peer_figure) if part]
        wanted = f"{limit.times:g} × {', '.join(said)}"
        if found is not None and at_most:
            ratio = found * limit.times / at_most
            figure = f"{ratio:{'.2f' if ratio >= 0.1 else '.2g'}} ×, {figure}"
    name = ", ".join([limit.workload, "first call", limit.figure, *([limit.part] if limit.part else [])])
    return Row(name, limit.engine, wanted, figure, verdict(found, at_most, limit.limit))


def _of_sizes(sizes: Sequence[Size]) -> Iterator[Row]:
    if sizes:
        found = size.ratio(sizes)
        figure = "–" if found is None else f"{found:.2f} ×"
        yield Row(
            "installed size", sizes[0].name, f"{size.AT_MOST:g} × {sizes[1].name}", figure, verdict(found, size.AT_MOST)
        )
