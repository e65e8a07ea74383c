"""Machine code on disk, found by a key that names all that it depends on.

Needs no Numba, and llvmlite only for the CPU's name. Start reading at `KernelStore`; `make_key` says what a
stored kernel depends on.

An entry is one file: a magic word, the length of the header, the header as JSON, the code, and a SHA-256 over
all of it. Processes share the folder without locks: an entry is written beside its place and renamed into it,
so a reader sees all of it or nothing, and two writers of one key write the same thing.
"""

import contextlib
import functools
import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import config
from ..errors import warn
from . import door

MAGIC = b"tapejit1"
SUFFIX = ".kernel"
_LENGTH = struct.Struct("<Q")
_DIGEST = hashlib.sha256().digest_size
_ABANDONED_AFTER = 3600.0  # seconds until a half-written file belongs to nobody


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored kernel.

    Attributes
    ----------
    header : dict
        What was given to `KernelStore.put`: at least the symbol and its undefined symbols.
    code : bytes
        The object file.
    """

    header: dict[str, Any]
    code: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of the store's table of contents: key, bytes on disk, last use in seconds since the epoch."""

    key: str
    size: int
    used: float


def default_directory() -> Path:
    """The folder of the kernel store: ``TAPEJIT_CACHE_DIR``, else the user's cache folder."""
    chosen = config.cache_dir()
    return Path(chosen or door.user_cache_dir())


# --- keys ---------------------------------------------------------------------------------------------------


@functools.cache
def _versions() -> tuple[str, ...]:
    return tuple(f"{name}={door.installed_version(name)}" for name in ("numba", "llvmlite"))


@functools.cache
def source_digest() -> str:
    """SHA-256 over the package's own source: a changed emitter must never be served old machine code."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()


def make_key(graph_signature: str, flags: str = "") -> str:
    """The key of a kernel.

    Parameters
    ----------
    graph_signature : str
        What the kernel computes.
    flags : str
        Settings that change how it is compiled.

    Returns
    -------
    str
        Hexadecimal SHA-256 over both, the CPU's name and features, the versions of Numba and llvmlite, and
        tapejit's own source (which stands for its version).
    """
    parts = (graph_signature, flags, *door.loader().host_cpu(), *_versions(), source_digest())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


# --- the file format ----------------------------------------------------------------------------------------


def _pack(header: Mapping[str, Any], code: bytes) -> bytes:
    text = json.dumps(header, sort_keys=True).encode()
    body = MAGIC + _LENGTH.pack(len(text)) + text + code
    return body + hashlib.sha256(body).digest()


def _unpack(data: bytes) -> Entry:
    """The entry in `data`; ValueError if it is not one, or not whole."""
    start = len(MAGIC) + _LENGTH.size
    if len(data) < start + _DIGEST or not data.startswith(MAGIC):
        raise ValueError("not a kernel of this version of the store")
    body = memoryview(data)[:-_DIGEST]
    if hashlib.sha256(body).digest() != data[-_DIGEST:]:
        raise ValueError("checksum does not match")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    return Entry(json.loads(data[start : start + length]), bytes(body[start + length :]))


# --- the store ----------------------------------------------------------------------------------------------


class KernelStore:
    """Kernels in a folder that belongs to one user.

    Parameters
    ----------
    directory : path-like, optional
        The folder, created with mode 0700 at the first `put`; `default_directory` if not given.
    limit : int, optional
        Bytes that the entries may take; `config.cache_size` if not given. The least recently used go first.

    Notes
    -----
    A folder that another user owns or may write is not used: machine code from it would run with this user's
    rights. Then, and where the folder can't be written, kernels are kept in memory, and one warning says so.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        self.path = Path(directory) if directory is not None else default_directory()
        self.limit = config.cache_size() if limit is None else limit
        self._memory: dict[str, Entry] = {}
        self._on_disk = config.cache_enabled()
        self._size: int | None = None  # bytes in the folder as last counted, plus what was written since

    @property
    def on_disk(self) -> bool:
        """Whether entries outlive the process."""
        return self._on_disk

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, or None. A corrupt entry is removed, with a warning, and counts as missing."""
        if key in self._memory or not self._usable(create=False):
            return self._memory.get(key)
        path = self._file(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._give_up(f"{path} can't be read ({error.strerror})")
            return None
        try:
            entry = _unpack(data)
        except ValueError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            warn(f"the stored kernel {path} is damaged ({error}); it was removed and will be compiled again")
            return None
        with contextlib.suppress(OSError):  # another process may have evicted it
            os.utime(path)
        return entry

    def put(self, key: str, header: Mapping[str, Any], code: bytes) -> None:
        """Keep a kernel.

        Parameters
        ----------
        key : str
            From `make_key`.
        header : mapping
            What JSON can express: symbol, undefined symbols, and whatever the reader needs.
        code : bytes
            The object file.
        """
        data = _pack(header, code)
        if not self._usable(create=True):
            self._memory[key] = _unpack(data)
            return
        try:
            self._write(key, data)
        except OSError as error:
            self._memory[key] = _unpack(data)
            self._give_up(f"{self.path} can't be written ({error.strerror})")
            return
        self._shrink(len(data))

    def entries(self) -> list[Listing]:
        """The table of contents of the folder, the most recently used first."""
        if not self._usable(create=False):
            return []
        found = [
            Listing(path.name.removesuffix(SUFFIX), info.st_size, info.st_mtime)
            for path, info in self._files()
            if path.name.endswith(SUFFIX)
        ]
        return sorted(found, key=lambda listing: listing.used, reverse=True)

    def clear(self) -> int:
        """Remove every entry, and what killed writers left; returns how many entries there were."""
        count = len(self._memory)
        self._memory.clear()
        self._size = None
        if self._usable(create=False):
            for path, _ in self._files():
                with contextlib.suppress(OSError):
                    path.unlink()
                    count += path.name.endswith(SUFFIX)
        return count

    def _file(self, key: str) -> Path:
        if not key.isalnum():
            raise ValueError(f"a key is a hexadecimal number, not {key!r}")
        return self.path / (key + SUFFIX)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path) as listing:
            for item in listing:
                if item.name.endswith((SUFFIX, SUFFIX + ".part")):
                    with contextlib.suppress(FileNotFoundError):  # evicted by another process meanwhile
                        yield Path(item.path), item.stat(follow_symlinks=False)

    def _usable(self, *, create: bool) -> bool:
        """Whether the folder may be used; looked at each time, as it costs a microsecond and may change."""
        if not self._on_disk:
            return False
        try:
            if create:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._give_up(f"{self.path} can't be used ({error.strerror})")
            return False
        reason = _distrust(info)
        if reason is not None:
            self._give_up(f"{self.path} {reason}")
        return self._on_disk

    def _give_up(self, reason: str) -> None:
        if self._on_disk:
            self._on_disk = False
            warn(
                f"the kernel store is kept in memory only, since {reason}; set TAPEJIT_CACHE_DIR to a folder "
                "of your own, or TAPEJIT_CACHE=0 to silence this"
            )

    def _write(self, key: str, data: bytes) -> None:
        # A name that no other writer has; `tempfile` would find one too, and costs each import of tapejit 3 ms.
        part = self.path / f"{key[:16]}.{os.urandom(8).hex()}{SUFFIX}.part"
        try:
            with part.open("xb") as file:
                file.write(data)
            part.replace(self._file(key))
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def _shrink(self, added: int) -> None:
        """Evict the least recently used entries; the folder is listed only when it may be past the limit."""
        if self._size is not None:
            self._size += added
            if self._size <= self.limit:
                return
        files = sorted(self._files(), key=lambda file: file[1].st_mtime)
        self._size = sum(info.st_size for _, info in files)
        newest = files[-1][1].st_mtime if files else 0.0
        for path, info in files:
            half_written = path.name.endswith(".part")
            if half_written and newest - info.st_mtime < _ABANDONED_AFTER:
                continue
            if self._size > self.limit or half_written:
                with contextlib.suppress(OSError):
                    path.unlink()
                self._size -= info.st_size


def _distrust(info: os.stat_result) -> str | None:
    """Why machine code from a folder must not be run, or None if it may be."""
    if not stat.S_ISDIR(info.st_mode):
        return "is not a folder"
    if os.name != "posix":
        return None  # the user's profile is private on Windows, and its modes say nothing
    if info.st_uid != os.geteuid():
        return "belongs to another user"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    return None
