"""Machine code on disk, found by a key that names all that it depends on (see `keys`).

Start reading at `KernelStore`. An entry is one file: a magic word, the length of the header, the header as JSON, the
code, and a SHA-256 over all of it. Processes share the folder without locks: an entry is written beside its place and
renamed into it, so a reader sees all of it or nothing, and two writers of one key write the same thing.
"""

import contextlib
import hashlib
import json
import os
import stat
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import config
from ..dataclass import dataclass
from ..errors import warn
from . import door

MAGIC = b"tapejit2"
SUFFIX = ".kernel"
NOTE = ".note"
MEMORY_LIMIT = 64 << 20
"""Bytes that entries may take in memory, where there is no folder for them."""
_LENGTH = struct.Struct("<Q")
_DIGEST = hashlib.sha256().digest_size
_ABANDONED_AFTER = 3600.0  # seconds until a half-written file belongs to nobody
# A link could lead to another user's file, and a pipe would block.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


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
    """The folder of the kernel store: ``TAPEJIT_CACHE_DIR``, else the user's cache folder.

    Returns
    -------
    Path
        Absolute; where the user has no home folder it still begins with ``~``.
    """
    chosen = Path(config.cache_dir() or door.user_cache_dir())
    with contextlib.suppress(RuntimeError):
        chosen = chosen.expanduser()
    return chosen if chosen.parts[0].startswith("~") else chosen.absolute()


# --- the file format ----------------------------------------------------------------------------------------


def _pack(key: str, header: Mapping[str, Any], code: bytes) -> bytes:
    text = json.dumps({"key": key, "header": header}, sort_keys=True).encode()
    body = MAGIC + _LENGTH.pack(len(text)) + text + code
    return body + hashlib.sha256(body).digest()


def _unpack(key: str, data: bytes) -> Entry:
    """The entry of `key` in `data`; ValueError if it is not that, or not whole."""
    start = len(MAGIC) + _LENGTH.size
    if len(data) < start + _DIGEST or not data.startswith(MAGIC):
        raise ValueError("it is not of this version's format")
    body = memoryview(data)[:-_DIGEST]
    if hashlib.sha256(body).digest() != data[-_DIGEST:]:
        raise ValueError("its checksum does not match")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    told = json.loads(data[start : start + length])
    if not isinstance(told, dict) or told.get("key") != key or not isinstance(told.get("header"), dict):
        raise ValueError("it belongs to another key")
    return Entry(told["header"], bytes(body[start + length :]))


def _read(path: Path) -> bytes:
    """The contents of a file that only this user can have written; ValueError for another one."""
    with os.fdopen(os.open(path, _READ), "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise ValueError("it is not a file")
        reason = _distrust(info)
        if reason is not None:
            raise ValueError(f"it {reason}")
        return file.read()


def _distrust(info: os.stat_result) -> str | None:
    """Why machine code from a folder or file must not be run, or None if it may be."""
    if os.name != "posix":
        return None  # the user's profile is private on Windows, and its modes say nothing
    if info.st_uid != os.geteuid():
        return "belongs to another user"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    return None


# --- the store ----------------------------------------------------------------------------------------------


class KernelStore:
    """Kernels in a folder that belongs to one user.

    Parameters
    ----------
    directory : path-like, optional
        The folder, created with mode 0700 at the first `put`; `default_directory` if not given.
    limit : int, optional
        Bytes that the files may take, half-written ones included; `config.cache_size` if not given. The least recently
        used go first.

    Notes
    -----
    A folder that another user owns or may write is not used: machine code from it would run with this user's
    rights. Then, and where the folder can't be written, new kernels are kept in memory, and one warning says so.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, limit: int | None = None) -> None:
        self.path = Path(directory).absolute() if directory is not None else default_directory()
        self.limit = config.cache_size() if limit is None else limit
        self._memory: OrderedDict[str, Entry] = OrderedDict()
        self._reads = self._writes = config.cache_enabled()
        self._size: int | None = None  # bytes in the folder as last counted, plus what was written since
        self._added = 0  # bytes written since then: other processes may have written as much

    @property
    def on_disk(self) -> bool:
        """Whether new entries outlive the process."""
        return self._writes

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, or None. One that can't be used is removed, with a warning, and counts as missing."""
        entry = self._memory.get(key)
        if entry is not None:
            self._memory.move_to_end(key)
            return entry
        path = self._file(key)
        if not self._reads or not self._usable(create=False):
            return None
        try:
            entry = _unpack(key, _read(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                path.unlink()
            reason = getattr(error, "strerror", None) or error
            warn(f"the stored kernel {path} can't be used ({reason}); it is removed and will be compiled again")
            return None
        with contextlib.suppress(OSError):  # another process may have evicted it
            os.utime(path)
        return entry

    def put(self, key: str, header: Mapping[str, Any], code: bytes) -> None:
        """Keep a kernel.

        Parameters
        ----------
        key : str
            From `keys.make_key`.
        header : mapping
            What JSON can express: symbol, undefined symbols, and whatever the reader needs.
        code : bytes
            The object file.
        """
        path, data = self._file(key), _pack(key, header, code)
        if not self._writes or not self._usable(create=True):
            self._remember(key, data)
            return
        try:
            self._write(path, data)
        except OSError as error:
            self._remember(key, data)
            self._stop_writing(f"{self.path} can't be written ({error.strerror})")
            return
        self._shrink(len(data))

    def note(self, key: str) -> Mapping[str, Any] | None:
        """What was last noted under a key; None if nothing was, or it can't be read."""
        if not self._reads or not self._usable(create=False):
            return None
        try:
            return _unpack(key, _read(self.path / (key + NOTE))).header
        except (OSError, ValueError):
            return None

    def keep_note(self, key: str, note: Mapping[str, Any]) -> None:
        """Note something beside the kernels, in the place of what was noted under this key, if the folder allows."""
        if self._writes and self._usable(create=True):
            with contextlib.suppress(OSError):
                self._write(self.path / (key + NOTE), _pack(key, note, b""))

    def entries(self) -> list[Listing]:
        """The table of contents of the folder, the most recently used first."""
        if not self._reads or not self._usable(create=False):
            return []
        found = [
            Listing(path.name.removesuffix(SUFFIX), info.st_size, info.st_mtime)
            for path, info in self._files()
            if path.name.endswith(SUFFIX)
        ]
        return sorted(found, key=lambda listing: listing.used, reverse=True)

    def clear(self) -> int:
        """Remove every entry, and what killed writers left.

        Returns
        -------
        int
            How many entries there were.

        Raises
        ------
        OSError
            If one can't be removed.
        """
        count = len(self._memory)
        self._memory.clear()
        self._size = None
        if self._reads and self._usable(create=False):
            for path, _ in self._files():
                with contextlib.suppress(FileNotFoundError):  # evicted by another process meanwhile
                    path.unlink()
                    count += path.name.endswith(SUFFIX)
        return count

    def _remember(self, key: str, data: bytes) -> None:
        """Keep an entry in memory, where the least recently used go as well."""
        self._memory[key] = _unpack(key, data)
        self._memory.move_to_end(key)
        while len(self._memory) > 1 and sum(len(entry.code) for entry in self._memory.values()) > MEMORY_LIMIT:
            self._memory.popitem(last=False)

    def _file(self, key: str) -> Path:
        if not (key.isascii() and key.isalnum()):
            raise ValueError(f"a key is a hexadecimal number, not {key!r}")
        return self.path / (key + SUFFIX)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path) as listing:
            for item in listing:
                if item.name.endswith((SUFFIX, SUFFIX + ".part", NOTE)):
                    with contextlib.suppress(FileNotFoundError):  # evicted by another process meanwhile
                        yield Path(item.path), item.stat(follow_symlinks=False)

    def _usable(self, *, create: bool) -> bool:
        """Whether the folder may be used; looked at each time, as it costs microseconds and may change."""
        if not self.path.is_absolute():
            self._give_up(f"this user has no home folder for {self.path}")
            return False
        try:
            if create:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            info, own = self.path.stat(), self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._give_up(f"{self.path} can't be used ({error.strerror})")
            return False
        reason = None if stat.S_ISDIR(info.st_mode) else "is not a folder"
        # A link may be the administrator's. Another user could turn his to a folder of his own at any moment.
        if reason is None and stat.S_ISLNK(own.st_mode) and own.st_uid not in {0, os.geteuid()}:
            reason = "is a link of another user"
        reason = reason or _distrust(info)
        if reason is not None:
            self._give_up(f"{self.path} {reason}")
        return reason is None

    def _give_up(self, reason: str) -> None:
        self._reads = False
        self._stop_writing(reason)

    def _stop_writing(self, reason: str) -> None:
        if self._writes:
            self._writes = False
            warn(
                f"new kernels are kept in memory only, since {reason}; set TAPEJIT_CACHE_DIR to a folder of your own "
                "with mode 0700, or TAPEJIT_CACHE=0 to silence this"
            )

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self._write_once(path, data)
        except FileNotFoundError:  # someone has cleared the folder meanwhile
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write_once(path, data)

    def _write_once(self, path: Path, data: bytes) -> None:
        # A name that no other writer has; `tempfile` would find one too, and costs each import of tapejit 3 ms.
        part = self.path / f"{path.name[:16]}.{os.urandom(8).hex()}{SUFFIX}.part"
        try:
            with os.fdopen(os.open(part, _WRITE, 0o600), "wb") as file:
                file.write(data)
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def _shrink(self, added: int) -> None:
        """Evict the least recently used; the folder is listed only when it may be past the limit."""
        self._added += added
        if self._size is not None and self._added <= self.limit // 8 and self._size + self._added <= self.limit:
            return
        files = sorted(self._files(), key=lambda file: file[1].st_mtime)
        self._size, self._added = sum(info.st_size for _, info in files), 0
        newest = files[-1][1].st_mtime if files else 0.0
        for path, info in files:
            half_written = path.name.endswith(".part")
            if half_written and newest - info.st_mtime < _ABANDONED_AFTER:
                continue
            if self._size > self.limit or half_written:
                with contextlib.suppress(OSError):
                    path.unlink()
                    self._size -= info.st_size
