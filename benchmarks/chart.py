"""Charts of a run: tapejit's time by that of each peer, on a logarithmic scale; left of the line, tapejit is faster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.run import Measured, Run
from benchmarks.runner import medians

PEERS = {
    "numpy": ("NumPy by hand", "dimgray", "s"),
    "njit": ("Numba by hand", "tab:orange", "D"),
    "jax": ("JAX", "tab:blue", "o"),
    "torch": ("PyTorch", "tab:red", "^"),
    "tensorflow": ("TensorFlow", "tab:green", "v"),
    "autograd": ("HIPS autograd", "tab:purple", "P"),
    "tapejit": ("tapejit on one thread", "black", "x"),
}
"""How each library is drawn: its name is the beginning of its engines' names."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: the ratios to peers, by the peer's engine, and the targets among them."""

    label: str
    ratios: Mapping[str, float]
    targets: Mapping[str, float]


def library(engine: str) -> str:
    return engine.partition("_")[0]


def lines(measured: Measured) -> Iterator[Line]:
    """A line for each of tapejit's engines that was measured."""
    for workload, outcomes in measured:
        found = medians(outcomes)
        for engine in (name for name in found if library(name) == "tapejit"):
            targets = {target.peer: target.ratio for target in workload.targets if target.engine == engine}
            ratios = {
                peer: found[engine] / seconds
                for peer, seconds in found.items()
                if peer in targets or comparable(engine, peer)
            }
            label = workload.name if engine == "tapejit_compiled" else f"{workload.name}, {engine.partition('_')[2]}"
            yield Line(label, ratios, targets)


def comparable(engine: str, peer: str) -> bool:
    """Whether a user has the choice between the two: what runs eagerly is held against what does so, too."""
    if library(peer) == "tapejit" or engine.endswith("at_once") != peer.endswith("at_once"):
        return False
    return "eager" not in engine or "eager" in peer or peer == "autograd"


def draw(run: Run, into: Path) -> list[Path]:
    """Draw what was measured of steps and of functions; nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  a run without the bench extra has no chart
    except ModuleNotFoundError:
        return []
    drawn = []
    for measured, name, title in (
        (run.workloads, "results.png", "time of a step in tapejit ÷ time in … (left of 1, tapejit is faster)"),
        (run.functions, "functions.png", "time of an element in tapejit ÷ time in … (left of 1, tapejit is faster)"),
    ):
        shown = list(lines(measured))
        if shown:
            figure = Figure(figsize=(9.5, 2.2 + 0.3 * len(shown)), layout="constrained")
            _panel(figure.subplots(), shown, title)
            figure.legend(loc="outside upper left", ncols=4, fontsize=8, frameon=False)
            figure.supxlabel(footer(run), fontsize=7.5, color="dimgray")
            figure.savefig(into / name, dpi=120)
            drawn.append(into / name)
    return drawn


def footer(run: Run) -> str:
    """Machine, commit and versions, in two lines."""
    stacks = run.versions
    packages = {name: version for stack in stacks.values() for name, version in stack.items() if name in SHOWN}
    said = ", ".join(f"{SHOWN[name]} {packages[name]}" for name in SHOWN if name in packages)
    machine = run.machine
    return f"{machine['processor']}, one core; commit {run.commit}, {run.date}\n{said}"


SHOWN = {
    "tapejit": "tapejit",
    "jax": "JAX",
    "torch": "PyTorch",
    "tensorflow-cpu": "TensorFlow",
    "tensorflow": "TensorFlow",
    "numba": "Numba",
    "autograd": "autograd",
    "numpy": "NumPy",
    "python": "Python",
}
"""The packages that a chart names."""


def _panel(panel: Any, shown: Sequence[Line], title: str) -> None:
    named = set()
    for place, line in enumerate(shown):
        for peer, ratio in line.ratios.items():
            name, color, marker = PEERS[library(peer)]
            label = None if name in named else name
            named.add(name)
            panel.plot(ratio, place, marker, color=color, markersize=6, label=label, alpha=0.85, linestyle="none")
        for peer, ratio in line.targets.items():
            panel.plot(ratio, place, "|", color=PEERS[library(peer)][1], markersize=15, markeredgewidth=1.6, zorder=1)
    panel.axvline(1.0, color="black", linewidth=1.0, zorder=1)
    panel.set_yticks(range(len(shown)), [line.label for line in shown])
    panel.set(xscale="log", ylim=(len(shown) - 0.5, -0.5))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.grid(axis="both", color="gainsboro", zorder=0)
    panel.set_axisbelow(True)
    panel.set_title(title, loc="left", fontsize=10)
    panel.plot([], [], "|", color="dimgray", markersize=12, label="at most (target)", linestyle="none")
    panel.spines[["top", "right"]].set_visible(False)
