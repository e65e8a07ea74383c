"""What machine code depends on besides its graph, and the key that names all of it.

Start reading at `make_key`. The package's own source is part of a key: a changed emitter, or another checkout of the
same version, is never served old machine code.
"""

import functools
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import warn
from . import door, host
from .store import KernelStore

_PACKAGE = Path(__file__).resolve().parents[1]
_IMPORTED = time.time_ns()
_SETTLED = 2_000_000_000
"""Nanoseconds after which a changed file has another time if it is changed again, on any file system."""


def make_key(signature: str, notes: KernelStore | None = None) -> str:
    """The key of a kernel.

    Parameters
    ----------
    signature : str
        What the kernel computes, and by which of the settings that change how it is compiled.
    notes : KernelStore, optional
        Where it is noted what the source was like when it was last read.

    Returns
    -------
    str
        Hexadecimal SHA-256 over it, the platform, the CPU's name and features, the versions of Numba and llvmlite,
        and tapejit's own source (which stands for its version).
    """
    return hashlib.sha256(json.dumps([signature, *_surroundings(notes)]).encode()).hexdigest()


@functools.cache
def _surroundings(notes: KernelStore | None) -> tuple[str, ...]:
    versions = [door.version_text(package) for package in ("numba", "llvmlite")]
    return *host.description(), *versions, _noted_digest(notes)


def _noted_digest(notes: KernelStore | None) -> str:
    """`source_digest`, without reading files that are as they were when it was noted.

    Besides sizes and times of edits, which a checkout may keep, the system's own times of changes tell that, which
    nobody can set. A file that was changed just now could be changed once more without another time.
    """
    if notes is None or os.name != "posix":
        return source_digest()
    found = [(item.path, item.stat()) for item in _sources(_PACKAGE)]
    told = [(path, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for path, at in found]
    state = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    key = hashlib.sha256(f"source {_PACKAGE}".encode()).hexdigest()
    note = notes.note(key) or {}
    if note.get("state") == state:
        return str(note["digest"])
    digest = source_digest()
    if time.time_ns() - max(at.st_ctime_ns for _, at in found) > _SETTLED:
        notes.keep_note(key, {"state": state, "digest": digest})
    return digest


def source_digest() -> str:
    """SHA-256 over the package's own source: names and contents."""
    digest = hashlib.sha256()
    for item in _sources(_PACKAGE):
        text = Path(item.path).read_bytes()
        digest.update(f"{os.path.relpath(item.path, _PACKAGE)}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()


@functools.cache
def _say_once(reason: str) -> None:
    warn(f"kernels are neither read from the kernel store nor kept there, since {reason}")


def source_is_known() -> bool:
    """Whether the package's files are what this process runs; if not, a warning has said so.

    A file that was edited after the import is not what runs. A key made of the new file would let old code in under it.
    """
    found = [(item.stat().st_mtime_ns, item.path) for item in _sources(_PACKAGE)]
    newest, path = max(found, default=(_IMPORTED + 1, ""))
    if newest <= _IMPORTED:
        return True
    if found:
        _say_once(f"{path} was edited after this process had imported tapejit; start the process again")
    else:
        _say_once("tapejit was installed without its source, which the keys of kernels stand on")
    return False


def _sources(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            items = sorted(listing, key=lambda item: item.name)
    except OSError:  # imported from an archive
        return
    for item in items:
        if item.is_dir():
            yield from _sources(item.path)
        elif item.name.endswith(".py"):
            yield item
