"""What a stored kernel's key depends on."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapejit.errors import TapejitWarning
from tapejit.kernel import door, host, keys, store

PACKAGE = Path(keys.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    keys._surroundings.cache_clear()
    keys._say_once.cache_clear()
    yield
    keys._surroundings.cache_clear()
    keys._say_once.cache_clear()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two files, taken for tapejit's own source."""
    (tmp_path / "kernel").mkdir()
    for name in ("step.py", "kernel/build.py"):
        (tmp_path / name).write_text("one = 1\n")
        os.utime(tmp_path / name, (1e9, 1e9))
    monkeypatch.setattr(keys, "_PACKAGE", tmp_path)
    return tmp_path


def test_a_key_depends_on_all_that_the_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.make_key("graph") == keys.make_key("graph")
    found = {keys.make_key("graph"), keys.make_key("graph2"), keys.make_key("graph-source")}
    for module, name, other in (
        (keys, "source_digest", lambda: "changed"),
        (host, "description", lambda: ("linux", "znver9", "+avx2")),
        (host, "description", lambda: ("linux", "znver9", "-avx2")),
        (host, "description", lambda: ("darwin", "znver9", "+avx2")),
        (door, "version_text", lambda package: f"{package} 0"),
        (door, "version_text", lambda package: f"{package} {int(package == 'numba')}"),
        (door, "version_text", lambda package: f"{package} {int(package == 'llvmlite')}"),
    ):
        monkeypatch.setattr(module, name, other)
        keys._surroundings.cache_clear()
        found.add(keys.make_key("graph"))
    assert len(found) == 10
    assert all(len(key) == 64 for key in found)


def test_versions_are_told_without_importing_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "version" in door.version_text("numba")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_up_package").mkdir()
    (tmp_path / "made_up_package" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "made_up_package" / "_version.py").write_text("version = 7")
    assert door.version_text("made_up_package") == "version = 7"
    assert door.version_text("pytest")[0].isdigit()


def test_any_edit_of_the_source_is_another_key(checkout: Path) -> None:
    seen = {keys.source_digest()}
    for edit in (
        lambda: (checkout / "step.py").write_text("one = 2\n"),  # as long as before
        lambda: (checkout / "kernel" / "build.py").write_text(""),
        lambda: (checkout / "kernel" / "tiles.py").write_text(""),
        lambda: (checkout / "kernel" / "tiles.py").rename(checkout / "tiles.py"),
    ):
        edit()
        for path in checkout.rglob("*.py"):
            os.utime(path, (1e9, 1e9))  # a checkout may keep the times
        seen.add(keys.source_digest())
    assert len(seen) == 5


def test_what_is_no_source_does_not_matter(checkout: Path) -> None:
    before = keys.source_digest()
    (checkout / "__pycache__").mkdir()
    (checkout / "__pycache__" / "step.pyc").write_bytes(b"code")
    (checkout / "py.typed").write_text("")
    assert keys.source_digest() == before


def test_two_checkouts_of_one_text_share_their_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PACKAGE, tmp_path / "tapejit", ignore=shutil.ignore_patterns("__pycache__"))
    (before,) = {keys.source_digest()}
    monkeypatch.setattr(keys, "_PACKAGE", tmp_path / "tapejit")
    assert keys.source_digest() == before
    with (tmp_path / "tapejit" / "passes" / "schedule.py").open("a") as file:
        file.write("# edited\n")
    assert keys.source_digest() != before


def test_a_source_that_was_edited_after_the_import_is_told_once(checkout: Path) -> None:
    assert keys.source_is_known()
    path = checkout / "kernel" / "build.py"
    path.write_text("one = 3\n")
    os.utime(path, (time.time() + 5,) * 2)
    with pytest.warns(TapejitWarning, match=r"build.py was edited .* start the process again") as caught:
        assert not keys.source_is_known()
        assert not keys.source_is_known()
    assert len(caught) == 1


def test_a_package_without_source_is_told(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_PACKAGE", checkout / "tapejit.zip")
    with pytest.warns(TapejitWarning, match="without its source"):
        assert not keys.source_is_known()


EDITING = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
import tapejit as tj
from tapejit.kernel import store
assert tj.__file__.startswith(sys.argv[1])
step = tj.compile(lambda x: x * 2 + 1, strict=True)
step(np.ones(3))
if sys.argv[2] == "edits":
    path = os.path.join(sys.argv[1], "tapejit", "passes", "schedule.py")
    with open(path, "a") as file:
        file.write("# edited\\n")
    os.utime(path, (time.time() + 1,) * 2)  # clocks of files are coarse
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tj.compile(lambda x: x * 3 - tj.exp(x), strict=True)(np.ones(3))
    assert "schedule.py was edited" in str(caught[0].message), caught
print(len(store.KernelStore().entries()), step.report()["from_cache"])
"""


def test_an_edited_checkout_gets_no_code_of_the_one_before(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "src" / "tapejit", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path / "kernels")}

    def run(mode: str) -> str:
        command = [sys.executable, "-c", EDITING, str(tmp_path / "src"), mode]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("reads") == "1 0\n"
    assert run("reads") == "1 1\n"
    assert run("edits") == "1 1\n"  # what it built after the edit is not kept
    path = tmp_path / "src" / "tapejit" / "passes" / "schedule.py"
    os.utime(path, (time.time() - 10,) * 2)
    assert run("reads") == "2 0\n"
    assert run("reads") == "2 1\n"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each reading of the source; files count as settled at once."""
    done: list[str] = []
    read = keys.source_digest

    def reading() -> str:
        done.append(read())
        return done[-1]

    monkeypatch.setattr(keys, "source_digest", reading)
    monkeypatch.setattr(keys, "_SETTLED", -1)
    return done


@pytest.mark.skipif(os.name != "posix", reason="where the system tells when a file was changed")
def test_a_source_is_read_again_only_when_it_was_changed(checkout: Path, readings: list[str], tmp_path: Path) -> None:
    notes = store.KernelStore(tmp_path / "kernels")

    def key() -> str:
        keys._surroundings.cache_clear()
        return keys.make_key("graph", notes)

    first = key()
    assert key() == first == keys.make_key("graph")
    assert len(readings) == 2  # the last one had no notes
    (checkout / "step.py").write_text("one = 2\n")  # as long as before
    os.utime(checkout / "step.py", (1e9, 1e9))  # and as old
    second = key()
    assert second != first
    assert key() == second
    assert len(readings) == 3
    (checkout / "step.py").write_text("one = 1\n")
    assert key() == first
    assert (len(readings), len(notes.entries())) == (4, 0)


@pytest.mark.skipif(os.name != "posix", reason="where the system tells when a file was changed")
def test_what_was_noted_is_not_trusted_blindly(checkout: Path, readings: list[str], tmp_path: Path) -> None:
    notes = store.KernelStore(tmp_path / "kernels")
    keys._noted_digest(notes)
    (path,) = notes.path.iterdir()
    for spoil in (
        lambda: path.write_bytes(path.read_bytes()[:-1]),
        lambda: path.chmod(0o666),
        lambda: path.write_bytes(b""),
        path.unlink,
    ):
        spoil()
        before = len(readings)
        assert keys._noted_digest(notes) == readings[0]
        assert len(readings) == before + 1
        path.chmod(0o600)
    assert notes.clear() == 0
    assert not list(notes.path.iterdir())


def test_a_source_that_was_changed_just_now_is_not_noted(checkout: Path, tmp_path: Path) -> None:
    notes = store.KernelStore(tmp_path / "kernels")
    assert keys._noted_digest(notes) == keys.source_digest()
    assert not notes.path.exists()
