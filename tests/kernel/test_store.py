"""The kernel store on disk: what comes back, what is refused, and what others do to its folder meanwhile."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from tapejit.errors import TapejitWarning
from tapejit.kernel import build, store
from tapejit.kernel.keys import make_key

KEY, OTHER = "a" * 64, "b" * 64
HEADER = {"symbol": "kernel", "symbols": ["expf"]}
SOURCE = "def answer(table, stage, lo, hi):\n    return lo * hi\n"
READER = """
import sys
from tapejit.kernel import keys, objects, store
entry = store.KernelStore(sys.argv[1]).get(keys.make_key("graph"))
kernel = objects.load(entry.code, entry.header["symbol"], tuple(entry.header["symbols"]))
assert "numba" not in sys.modules
print(kernel.call(0, -1, 6, 7))
"""
ENDLESS_WRITER = """
import itertools, sys
from tapejit.kernel import store
kernels = store.KernelStore(sys.argv[1], limit=60_000_000)
for n in itertools.count():
    key = f"{n % 4:064x}"
    kernels.put(key, {"symbol": key}, key.encode() * 60_000)
    print(n, flush=True)
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
    store.KernelStore(tmp_path / "kernels").put(make_key("graph"), header, built.code)
    assert run(READER, tmp_path / "kernels").stdout == "42\n"


def test_importing_the_room_loads_neither_numba_nor_llvmlite() -> None:
    run(
        "import sys, tapejit.kernel.store, tapejit.kernel.runtime, tapejit.kernel.blas, tapejit.kernel.door\n"
        "assert not {'numba', 'llvmlite'} & set(sys.modules)"
    )


# --- where ---------------------------------------------------------------------------------------------------


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", str(tmp_path))
    assert store.default_directory() == store.KernelStore().path == tmp_path
    monkeypatch.delenv("TAPEJIT_CACHE_DIR")
    assert "tapejit" in str(store.default_directory())
    assert store.default_directory().is_absolute()


def test_a_folder_is_the_same_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", "~/kernels")
    assert store.default_directory() == tmp_path / "kernels"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", "here")
    kernels = store.KernelStore()
    monkeypatch.chdir("/")
    assert kernels.path == store.KernelStore(tmp_path / "here").path


@pytest.mark.skipif(os.name != "posix", reason="homes")
def test_who_has_no_home_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", "~nobody-has-this-name/kernels")
    monkeypatch.chdir(tmp_path)
    kernels = store.KernelStore()
    with pytest.warns(TapejitWarning, match="no home folder"):
        kernels.put(KEY, HEADER, b"code")
    assert kernels.get(KEY) == store.Entry(HEADER, b"code")
    assert not list(tmp_path.iterdir())


# --- damage -------------------------------------------------------------------------------------------------


def code_at(data: bytes) -> int:
    """Where the code begins in an entry."""
    return 16 + int.from_bytes(data[8:16], "little")


def other_header(data: bytes, **changed: object) -> bytes:
    """The entry with another header and the checksum that belongs to it."""
    told = json.loads(data[16 : code_at(data)]) | changed
    text = json.dumps(told).encode()
    body = data[:8] + len(text).to_bytes(8, "little") + text + data[code_at(data) : -32]
    return body + store.hashlib.sha256(body).digest()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "magic cut": lambda data: data[:5],
    "length cut": lambda data: data[:12],
    "header cut": lambda data: data[:20],
    "code cut": lambda data: data[: code_at(data) + 3],
    "code missing": lambda data: data[: code_at(data)],
    "checksum cut": lambda data: data[:-10],
    "one byte cut": lambda data: data[:-1],
    "one byte more": lambda data: data + b"x",
    "foreign": lambda data: b"another!" + data[8:],
    "earlier format": lambda data: b"tapejit1" + data[8:],
    "length": lambda data: data[:12] + b"\xff" + data[13:],
    "checksum": lambda data: data[:-32] + bytes(32),
    "header of another key": lambda data: other_header(data, key=OTHER),
    "header without key": lambda data: other_header(data, key=None),
    "header of another shape": lambda data: other_header(data, header=["kernel"]),
    "two entries": lambda data: data + data,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_missing_warned_of_and_removed(
    kernels: store.KernelStore, damage: Callable[[bytes], bytes]
) -> None:
    kernels.put(KEY, HEADER, b"code" * 20)
    path = file_of(kernels)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(TapejitWarning, match=path.name):
        assert kernels.get(KEY) is None
    assert not path.exists()
    assert kernels.get(KEY) is None
    kernels.put(KEY, HEADER, b"again")
    assert kernels.get(KEY) == store.Entry(HEADER, b"again")
    assert kernels.on_disk


@pytest.fixture(scope="module")
def whole_entry() -> bytes:
    return store._pack(KEY, HEADER, b"code" * 20)


@hypothesis.given(place=st.integers(0), bit=st.integers(0, 7))
def test_one_bit_anywhere_is_noticed(whole_entry: bytes, place: int, bit: int) -> None:
    damaged = bytearray(whole_entry)
    damaged[place % len(damaged)] ^= 1 << bit
    with pytest.raises(ValueError, match=r"checksum|format"):
        store._unpack(KEY, bytes(damaged))


@hypothesis.given(data=st.binary(max_size=200), magic=st.booleans())
def test_what_is_no_entry_is_never_taken_for_one(data: bytes, magic: bool) -> None:
    with pytest.raises(ValueError, match=r"checksum|format|key|JSON|Expecting|decode"):
        store._unpack(KEY, store.MAGIC + data if magic else data)


def test_an_entry_under_another_name_is_not_taken(kernels: store.KernelStore) -> None:
    kernels.put(KEY, HEADER, b"code")
    (kernels.path / (OTHER + store.SUFFIX)).write_bytes(file_of(kernels).read_bytes())
    with pytest.warns(TapejitWarning, match="another key"):
        assert kernels.get(OTHER) is None
    assert kernels.get(KEY) is not None


posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and owners")


@posix
def test_an_entry_that_is_a_link_is_not_followed(kernels: store.KernelStore, tmp_path: Path) -> None:
    kernels.put(KEY, HEADER, b"code")
    elsewhere = file_of(kernels).rename(tmp_path / "elsewhere")
    (kernels.path / (KEY + store.SUFFIX)).symlink_to(elsewhere)
    with pytest.warns(TapejitWarning, match="can't be used"):
        assert kernels.get(KEY) is None
    assert elsewhere.exists()
    assert not kernels.entries()


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_entry_that_others_may_write_is_not_used(kernels: store.KernelStore, mode: int) -> None:
    kernels.put(KEY, HEADER, b"code")
    assert file_of(kernels).stat().st_mode & 0o777 == 0o600
    file_of(kernels).chmod(mode)
    with pytest.warns(TapejitWarning, match="other users"):
        assert kernels.get(KEY) is None


@posix
def test_what_is_no_file_does_not_stop_the_reader(kernels: store.KernelStore) -> None:
    kernels.put(OTHER, HEADER, b"code")
    os.mkfifo(kernels.path / (KEY + store.SUFFIX), 0o600)
    with pytest.warns(TapejitWarning, match="not a file"):
        assert kernels.get(KEY) is None
    assert kernels.get(OTHER) is not None


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


@posix
def test_writers_that_are_killed_leave_whole_entries_and_what_a_later_one_removes(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    for _ in range(6):  # nearly all of a writer's time goes into writing 4 MB
        writer = subprocess.Popen([sys.executable, "-c", ENDLESS_WRITER, folder], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
        writer.wait()
        writer.stdout.close()
    kernels = store.KernelStore(folder, limit=60_000_000)
    assert kernels.entries()
    for entry in kernels.entries():
        assert kernels.get(entry.key) == store.Entry({"symbol": entry.key}, entry.key.encode() * 60_000)
    parts = list(folder.glob("*.part"))
    (folder / f"abandoned{store.SUFFIX}.part").write_bytes(b"half a ker")
    for part in folder.glob("*.part"):
        os.utime(part, (time.time() - 7200,) * 2)
    kernels.put(KEY, HEADER, b"code")
    assert not list(folder.glob("*.part")), parts


def test_half_written_files_count_to_the_limit(tmp_path: Path) -> None:
    kernels = store.KernelStore(tmp_path / "kernels", limit=5000)
    kernels.put(OTHER, HEADER, bytes(1000))
    (kernels.path / f"another{store.SUFFIX}.part").write_bytes(bytes(4000))
    store.KernelStore(kernels.path, limit=5000).put(KEY, HEADER, bytes(100))
    assert [entry.key for entry in kernels.entries()] == [KEY]


def test_an_interrupted_write_leaves_no_file(kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.put(OTHER, HEADER, b"code")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kernels.put(KEY, HEADER, b"code")
    assert len(list(kernels.path.iterdir())) == 1


def test_a_folder_that_is_removed_meanwhile_is_made_again(
    kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    removed = []

    def remove_first(part: Path, path: Path) -> Path:
        if not removed:
            removed.append(part)
            part.unlink()
            part.parent.rmdir()
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", remove_first)
    kernels.put(KEY, HEADER, b"code")
    assert kernels.get(KEY) == store.Entry(HEADER, b"code")
    assert kernels.path.stat().st_mode & 0o777 == 0o700


@posix
def test_the_users_umask_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kernels = store.KernelStore(tmp_path / "deep" / "kernels")
        kernels.put(KEY, HEADER, b"code")
    finally:
        os.umask(before)
    assert store.KernelStore(kernels.path).get(KEY) is not None


# --- folders that are not to be used ------------------------------------------------------------------------


@posix
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


@posix
def test_a_folder_of_another_user_is_not_used(kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.put(KEY, HEADER, b"code")
    monkeypatch.setattr(os, "geteuid", lambda: kernels.path.stat().st_uid + 1)
    with pytest.warns(TapejitWarning, match="another user"):
        assert kernels.get(KEY) is None


@posix
def test_a_folder_may_be_a_link_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large_disk").mkdir(mode=0o700)
    (tmp_path / "kernels").symlink_to(tmp_path / "large_disk")
    kernels = store.KernelStore(tmp_path / "kernels")
    kernels.put(KEY, HEADER, b"code")
    assert kernels.get(KEY) is not None
    assert len(list((tmp_path / "large_disk").iterdir())) == 1
    own = Path.lstat

    def of_another_user(path: Path) -> os.stat_result:
        values = list(own(path))
        values[4] = os.geteuid() + 1
        return os.stat_result(values)

    monkeypatch.setattr(Path, "lstat", of_another_user)
    with pytest.warns(TapejitWarning, match="link of another user"):
        assert kernels.get(KEY) is None


@posix
def test_a_link_to_nothing_and_a_file_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").write_text("in the way")
    for name in ("link", "file"):
        kernels = store.KernelStore(tmp_path / name)
        with pytest.warns(TapejitWarning, match=f"{name} (can't be used|is not a folder)"):
            kernels.put(KEY, HEADER, b"code")
        assert kernels.get(KEY) is not None


def test_a_folder_that_can_only_be_read_is_read(kernels: store.KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.put(KEY, HEADER, b"code")
    opened = os.open

    def reading_only(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", reading_only)
    again = store.KernelStore(kernels.path)
    with pytest.warns(TapejitWarning, match="Read-only file system") as caught:
        again.put(OTHER, HEADER, b"new")
    again.put("c" * 64, HEADER, b"newer")
    assert len(caught) == 1
    for key, code in ((KEY, b"code"), (OTHER, b"new"), ("c" * 64, b"newer")):
        assert again.get(key) == store.Entry(HEADER, code)
    assert [entry.key for entry in again.entries()] == [KEY]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_the_right_to_write(kernels: store.KernelStore) -> None:
    kernels.put(KEY, HEADER, b"code")
    kernels.path.chmod(0o500)
    with pytest.warns(TapejitWarning, match="Permission denied"):
        kernels.put(OTHER, HEADER, b"code")
    assert kernels.get(KEY) is not None
    kernels.path.chmod(0o700)


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


def test_memory_is_not_filled_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE", "0")
    monkeypatch.setattr(store, "MEMORY_LIMIT", 2500)
    kernels = store.KernelStore(tmp_path)
    for n in range(5):
        kernels.put(f"{n:064x}", HEADER, bytes(1000))
        kernels.get("0" * 64)  # used each time
    assert [n for n in range(5) if kernels.get(f"{n:064x}") is not None] == [0, 4]


def test_the_store_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CACHE", "0")
    kernels = store.KernelStore(tmp_path / "kernels")
    kernels.put(KEY, HEADER, b"code")
    assert kernels.get(KEY).code == b"code"
    assert not kernels.path.exists()


# --- size, and many at once ---------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    kernels = store.KernelStore(tmp_path / "kernels", limit=4000)
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


def test_what_other_processes_write_is_counted_again_now_and_then(tmp_path: Path) -> None:
    first, second = (store.KernelStore(tmp_path / "kernels", limit=20_000) for _ in range(2))
    for n in range(40):
        (first if n % 2 else second).put(f"{n:064x}", HEADER, bytes(1000))
    assert sum(entry.size for entry in first.entries()) <= 1.25 * 20_000


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
