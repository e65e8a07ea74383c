"""``python -m tapejit``: the demo, and the kernel store."""

import argparse
import os
import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import __version__, config
from .kernel.store import KernelStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.

    Returns
    -------
    int
        The exit code: 1 where kernels can't be removed or something isn't installed, 2 where an environment variable
        holds what it can't or a folder isn't there, 130 after Ctrl-C; a wrong command raises SystemExit with 2.
    """
    chosen = _parser().parse_args(arguments)
    try:
        code = _demo(chosen.picture) if chosen.command == "demo" else _cache(chosen.action)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\ntapejit {chosen.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tapejit", description="Gradients of NumPy programs from tapes, and compiled train steps."
    )
    parser.add_argument("--version", action="version", version=f"tapejit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,cache}")
    demo = commands.add_parser("demo", help="fit a line and recognise digits, eagerly and compiled; needs scikit-learn")
    demo.add_argument("--picture", type=Path, metavar="FILE", help="draw how it went into this file; needs matplotlib")
    cache = commands.add_parser("cache", help="the kernels that are kept on disk")
    cache.add_argument(
        "action",
        nargs="?",
        default="list",
        choices=("list", "clear", "path"),
        help="what to do (list, if none)",
    )
    return parser


def _demo(picture: Path | None) -> int:
    # As a module of its own, so that the other commands don't import what the demo needs (scikit-learn).
    code: int = runpy.run_module("tapejit.demo.__main__")["main"](picture)
    return code


def _cache(action: str) -> int:
    try:
        store = KernelStore()
    except ValueError as error:  # a setting that is wrong
        print(error, file=sys.stderr)
        return 2
    return {"list": _list, "clear": _clear, "path": _path}[action](store)


def _path(store: KernelStore) -> int:
    print(store.path)
    return 0


def _list(store: KernelStore) -> int:
    entries = store.entries()
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        print(f"{entry.key[:16]}  {entry.size:>9,} bytes  last used {used}")
    total = sum(entry.size for entry in entries)
    print(f"{_kernels(len(entries))}, {total:,} of {store.limit:,} bytes, in {store.path}{_off()}")
    return 0


def _clear(store: KernelStore) -> int:
    try:
        print(f"removed {_kernels(store.clear())} from {store.path}{_off()}")
    except OSError as error:
        print(f"{error.filename} can't be removed ({error.strerror})", file=sys.stderr)
        return 1
    return 0


def _kernels(count: int) -> str:
    return f"{count} kernel" if count == 1 else f"{count} kernels"


def _off() -> str:
    return "" if config.cache_enabled() else " (the store is off: TAPEJIT_CACHE=0)"


if __name__ == "__main__":
    sys.exit(main())
