"""Makes the peers' environments outside the tree: `python -m benchmarks.peers --into DIR`.

One virtual environment a peer, because they can't share one: `DIR/jax`, `DIR/torch`. One that stands already
is brought to the same requirements.
"""

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

# What each environment is made of; its name is what the engines `need`.
PEERS = {
    "jax": ("jax>=0.10,<0.11", "numpy"),
    "torch": ("torch==2.13.0", "numpy"),  # a plain "torch" would bring gigabytes of CUDA
    "tensorflow": (
        "tensorflow-cpu>=2.20,<2.22; platform_system != 'Darwin' and platform_machine in 'x86_64 AMD64'",
        "tensorflow>=2.20,<2.22; platform_system == 'Darwin' or platform_machine not in 'x86_64 AMD64'",
        "numpy",
    ),
    "autograd": ("autograd>=1.8,<2", "scipy", "numpy"),  # its erf is SciPy's
}


def python_of(folder: Path) -> Path:
    """Where a virtual environment keeps its interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def found_in(folder: Path) -> dict[str, Path]:
    """Return the interpreters of the peers whose environments stand under `folder`."""
    return {name: python for name in PEERS if (python := python_of(folder.absolute() / name)).exists()}


def make(name: str, into: Path) -> None:
    folder = into / name
    if not python_of(folder).exists():
        venv.create(folder, with_pip=True)
    subprocess.run([str(python_of(folder)), "-m", "pip", "install", "-q", *PEERS[name]], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--into", type=Path, required=True, metavar="DIR", help="outside the checkout")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), help="the peers to make")
    chosen = parser.parse_args()
    if chosen.into.resolve().is_relative_to(Path(__file__).resolve().parents[1]):
        sys.exit("--into is inside the checkout: the peers take gigabytes, put them elsewhere")
    for name in chosen.only:
        print(f"{name}: {', '.join(PEERS[name])}", flush=True)
        make(name, chosen.into)
    print(f"now: python -m benchmarks --peers {chosen.into}")


if __name__ == "__main__":
    main()
