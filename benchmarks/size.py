"""What an installation takes on disk, with all that it depends on: fresh environments, filled by pip.

Only the packages count: neither pip nor the interpreter, both of which are there before.
"""

import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.peers import PEERS, python_of

AT_MOST = 0.6
"""tapejit's size by JAX's."""

INSTALLED: Mapping[str, Sequence[str]] = {"tapejit": (str(ROOT),), "jax": PEERS["jax"]}


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes below an environment's site-packages, by folder; `why` says why there are none."""

    name: str
    folders: Mapping[str, int] = field(default_factory=dict)
    why: str = ""

    @property
    def total(self) -> int:
        return sum(self.folders.values())


def below(folder: Path) -> dict[str, int]:
    """Bytes of the files under each entry of a folder, the largest first; links count nothing."""
    sizes = {
        entry.name: sum(
            path.stat().st_size
            for path in (entry.rglob("*") if entry.is_dir() else (entry,))
            if path.is_file() and not path.is_symlink()
        )
        for entry in folder.iterdir()
    }
    return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


def measure(name: str, requirements: Sequence[str]) -> Size:
    """Install into a fresh environment and add up."""
    with tempfile.TemporaryDirectory(prefix="tapejit-bench-") as folder:
        venv.create(folder, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", str(python_of(Path(folder)))]
        done = subprocess.run([*pip, "install", "-q", *requirements], capture_output=True, text=True, check=False)
        if done.returncode:
            return Size(name, why=" | ".join(done.stderr.strip().splitlines()[-2:]) or "pip failed")
        (packages,) = Path(folder).glob("Lib/site-packages" if sys.platform == "win32" else "lib/*/site-packages")
        return Size(name, below(packages))


def run() -> list[Size]:
    return [measure(name, requirements) for name, requirements in INSTALLED.items()]


def ratio(sizes: Sequence[Size]) -> float | None:
    """The first by the second; None if one is missing."""
    totals = [size.total for size in sizes]
    return totals[0] / totals[1] if len(totals) > 1 and all(totals) else None
