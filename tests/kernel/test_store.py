"""The kernel store on disk."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tapejit.errors import TapejitWarning
from tapejit.kernel import build, store

KEY, OTHER = "a" * 64, "b" * 64
HEADER = {"symbol": "kernel", "symbols": ["expf"]}
SOURCE = "def answer(table, stage, lo, hi):\n    return lo * hi\n"
READER = """
import sys
from tapejit.kernel import door, store
entry = store.KernelStore(sys.argv[1]).get(store.make_key("graph"))
kernel = door.loader().load(entry.code, entry.header["symbol"], tuple(entry.header["symbols"]))
assert "numba" not in sys.modules
print(kernel.call(0, -1, 6, 7))
"""
WRITER = """
import sys
from tapejit.kernel import store
kernels = store.KernelStore(sys.argv[1], limit=20_000)
for n in range(150):
    key = f"{n % 7:064x}"
    kernels.put(key, {"symbol": key}, key.encode() * 50)
    found = kernels.get(f"{(n + 3) % 7:064x}")
    assert found is None or found.code == found.header["symbol"].encode() * 50
"""


@pytest.fixture
def kernels(tmp_path: Path) -> store.KernelStore:
    return store.KernelStore(tmp_path / "kernels")


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def file_of(kernels: store.KernelStore) -> Path:
    (path,) = kernels.path.glob("*" + store.SUFFIX)
    return path


# --- what is put comes back ---------------------------------------------------------------------------------


def test_what_was_put_comes_back(kernels: store.KernelStore) -> None:
    assert kernels.get(KEY) is None
    assert kernels.entries() == []
    assert not kernels.path.exists()
    kernels.put(KEY, HEADER, b"code\0")
    again = store.KernelStore(kernels.path)
    assert again.get(KEY) == store.Entry(HEADER, b"code\0")
    assert again.get(OTHER) is None
    assert [entry.key for entry in again.entries()] == [KEY]
    assert again.path.stat().st_mode & 0o777 == 0o700
    assert again.clear() == 1
    assert kernels.get(KEY) is None


def test_a_second_put_replaces_the_first(kernels: store.KernelStore) -> None:
    kernels.put(KEY, HEADER, b"old")
    kernels.put(KEY, HEADER, b"new")
    assert kernels.get(KEY).code == b"new"
    assert len(kernels.entries()) == 1


def test_a_key_is_no_path(kernels: store.KernelStore) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        kernels.put("../../evil", HEADER, b"")


def test_another_process_runs_a_stored_kernel_without_numba(tmp_path: Path) -> None:
    built = build.build(SOURCE, "answer", "kernel", {})
    header = {"symbol": "kernel", "symbols": list(built.symbols)}
    store.KernelStore(tmp_path / "kernels").put(store.make_key("graph"), header, built.code)
    assert run(READER, tmp_path / "kernels").stdout == "42\n"


def test_importing_the_room_loads_neither_numba_nor_llvmlite() -> None:
    run(
        "import sys, tapejit.kernel.store, tapejit.kernel.runtime, tapejit.kernel.blas, tapejit.kernel.door\n"
        "assert not {'numba', 'llvmlite'} & set(sys.modules)"
    )


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_depends_on_all_that_the_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        store.make_key("graph"),
        store.make_key("graph", "O2"),
        store.make_key("graph2"),
        store.make_key("graphO2"),
    }
    monkeypatch.setattr(store, "_versions", lambda: ("numba=0",))
    keys.add(store.make_key("graph"))
    monkeypatch.setattr(store, "source_digest", lambda: "changed")
    keys.add(store.make_key("graph"))
    monkeypatch.setattr(store.door.loader(), "host_cpu", lambda: ("znver9", ""))
    keys.add(store.make_key("graph"))
    assert len(keys) == 7
    assert store.make_key("graph") == store.make_key("graph")


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", str(tmp_path))
    assert store.default_directory() == store.KernelStore().path == tmp_path
    monkeypatch.delenv("TAPEJIT_CACHE_DIR")
    assert "tapejit" in str(store.default_directory())


# --- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: b"another!" + data[8:],
        lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:],
        lambda data: data[:12] + b"\xff" + data[13:],
        lambda data: data[:-32] + bytes(32),
    ],
    ids=["empty", "header cut", "one byte cut", "foreign", "one bit", "length", "checksum"],
)
def test_a_damaged_entry_is_missing_warned_of_and_removed(kernels: store.KernelStore, damage) -> None:
    kernels.put(KEY, HEADER, b"code" * 20)
    path = file_of(kernels)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(TapejitWarning, match=path.name):
        assert kernels.get(KEY) is None
    assert not path.exists()
    assert kernels.get(KEY) is None
    kernels.put(KEY, HEADER, b"again")
    assert kernels.get(KEY).code == b"again"


def test_a_killed_writer_leaves_nothing_that_is_read(kernels: store.KernelStore) -> None:
    kernels.put(OTHER, HEADER, b"code")
    part = kernels.path / f"{KEY[:16]}.killed{store.SUFFIX}.part"
    part.write_bytes(b"half a ker")
    assert kernels.get(KEY) is None
    assert [entry.key for entry in kernels.entries()] == [OTHER]
    kernels.put(KEY, HEADER, b"code")
    assert part.exists()  # it may be another process at work
    os.utime(part, (time.time() - 7200,) * 2)
    store.KernelStore(kernels.path).put(KEY, HEADER, b"code")
    assert not part.exists()


def test_an_interrupted_write_leaves_no_file(kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.put(OTHER, HEADER, b"code")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kernels.put(KEY, HEADER, b"code")
    assert len(list(kernels.path.iterdir())) == 1


# --- folders that are not to be used ------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path, mode: int) -> None:
    kernels = store.KernelStore(tmp_path / "kernels")
    kernels.put(KEY, HEADER, b"code")
    kernels.path.chmod(mode)
    again = store.KernelStore(kernels.path)
    with pytest.warns(TapejitWarning, match="other users") as caught:
        assert again.get(KEY) is None
    again.put(KEY, HEADER, b"new")
    assert again.get(KEY).code == b"new"
    assert not again.on_disk
    assert len(caught) == 1
    assert len(list(kernels.path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="owners")
def test_a_folder_of_another_user_is_not_used(kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.put(KEY, HEADER, b"code")
    monkeypatch.setattr(os, "geteuid", lambda: kernels.path.stat().st_uid + 1)
    with pytest.warns(TapejitWarning, match="another user"):
        assert kernels.get(KEY) is None


def test_where_nothing_can_be_written_memory_serves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kernels = store.KernelStore(tmp_path / "file" / "kernels")
    with pytest.warns(TapejitWarning, match="memory only"):
        kernels.put(KEY, HEADER, b"code")
    kernels.put(OTHER, HEADER, b"code")  # says nothing more, as a warning would be an error
    assert kernels.get(KEY) == store.Entry(HEADER, b"code")
    assert kernels.clear() == 2


def test_a_full_disk_leaves_memory(kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(TapejitWarning, match="No space left"):
        kernels.put(KEY, HEADER, b"code")
    assert kernels.get(KEY).code == b"code"
    assert list(kernels.path.iterdir()) == []


def test_the_store_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE", "0")
    kernels = store.KernelStore(tmp_path / "kernels")
    kernels.put(KEY, HEADER, b"code")
    assert kernels.get(KEY).code == b"code"
    assert not kernels.path.exists()


# --- size, and many at once ---------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    kernels = store.KernelStore(tmp_path / "kernels", limit=3500)
    now = time.time()
    for n in range(3):
        kernels.put(f"{n:064x}", HEADER, bytes(1000))
        os.utime(kernels.path / f"{n:064x}{store.SUFFIX}", (now - 100 + n,) * 2)
    assert kernels.get("0" * 64) is not None  # used just now
    kernels.put(KEY, HEADER, bytes(1000))
    assert {int(entry.key, 16) for entry in kernels.entries()} == {0, 2, int(KEY, 16)}


def test_the_limit_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE_SIZE", "12345")
    assert store.KernelStore(tmp_path).limit == 12345


def test_processes_share_a_folder(tmp_path: Path) -> None:
    threads = [threading.Thread(target=run, args=(WRITER, tmp_path / "kernels")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kernels = store.KernelStore(tmp_path / "kernels")
    assert sum(entry.size for entry in kernels.entries()) <= 20_000
    assert not list(kernels.path.glob("*.part"))
    for entry in kernels.entries():
        assert kernels.get(entry.key) is not None
