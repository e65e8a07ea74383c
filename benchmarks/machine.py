"""Where and from what a run was made: the machine, and the commit of the tree."""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cores() -> list[int]:
    """Cores that this process may use; empty where the system doesn't tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says there begins with the peak of the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # noqa: PLC0415  not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def describe() -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": str(len(cores()) or os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }


def commit() -> str:
    """Return the commit checked out, with a mark if tracked files differ from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return f"{head} with uncommitted changes" if changed else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.strip()


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.exists():
        facts = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
        facts = {name.strip(): value.strip() for name, value in facts.items()}
        flags = facts.get("flags", "").split()
        widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
        named = facts.get("model name") or platform.processor() or platform.machine()
        family = f" family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else ""
        return f"{named}{family}{', ' + widest if widest else ''}"
    return platform.processor() or platform.machine()
