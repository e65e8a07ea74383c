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

_PACKAGE = Path(__file__).resolve().parents[1]
_IMPORTED = time.time_ns()


def make_key(signature: str) -> str:
    """The key of a kernel.

    Parameters
    ----------
    signature : str
        What the kernel computes, and by which of the settings that change how it is compiled.

    Returns
    -------
    str
        Hexadecimal SHA-256 over it, the platform, the CPU's name and features, the versions of Numba and llvmlite,
        and tapejit's own source (which stands for its version).
    """
    return hashlib.sha256(json.dumps([signature, *_surroundings()]).encode()).hexdigest()


@functools.cache
def _surroundings() -> tuple[str, ...]:
    versions = [door.version_text(package) for package in ("numba", "llvmlite")]
    return *host.description(), *versions, source_digest()


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
