"""``python -m tapejit``: the demo, the kernel store, and what a wrong command gets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tapejit as tj

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_SCIKIT_LEARN = (
    "import sys, runpy; sys.modules['sklearn'] = None; sys.argv[1:] = ['demo'];"
    "runpy.run_module('tapejit', run_name='__main__')"
)


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "error", *command], capture_output=True, text=True, env=environment, check=False
    )


def tapejit(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "tapejit", *arguments, **settings)


def test_the_demo_fills_the_store_and_the_next_one_uses_it(tmp_path: Path) -> None:
    store = str(tmp_path / "kernels")
    first, second = (tapejit("demo", TAPEJIT_CACHE_DIR=store) for _ in range(2))
    for done in (first, second):
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) < 100
        assert done.stdout.count("w = 1.9939865, b = -1.0019997") == 2
        shares = [float(share) for share in re.findall(r"([\d.]+)% of 450 held-out", done.stdout)]
        assert len(shares) == 2
        assert min(shares) >= 93
        assert len(re.findall(r"[\d.]+ µs a step", done.stdout)) == 4
        assert "def fit_data(real_x, real_y):" in done.stdout
        assert "def fit_data(table, stage, lo, hi):" in done.stdout
        assert "def train(table, stage, lo, hi):" in done.stdout
        assert len(re.findall(r"loop_nests +\d", done.stdout)) == 2
    assert first.stdout.count("compiled now") == 2
    assert second.stdout.count("from the kernel store") == 2

    listed = tapejit("cache", "list", TAPEJIT_CACHE_DIR=store).stdout.splitlines()
    assert len(listed) == 4  # with the machine code that leads frequent calls to kernels
    assert re.fullmatch(r"[0-9a-f]{16} +[\d,]+ bytes  last used \d{4}-\d\d-\d\d \d\d:\d\d", listed[0])
    assert listed[-1].startswith("3 kernels, ")
    assert tapejit("cache", TAPEJIT_CACHE_DIR=store).stdout.splitlines() == listed
    assert tapejit("cache", "path", TAPEJIT_CACHE_DIR=store).stdout == f"{store}\n"
    assert tapejit("cache", "clear", TAPEJIT_CACHE_DIR=store).stdout == f"removed 3 kernels from {store}\n"
    assert tapejit("cache", "list", TAPEJIT_CACHE_DIR=store).stdout.startswith("0 kernels, 0 of ")


def test_without_scikit_learn_the_demo_says_what_to_install() -> None:
    done = run("-c", WITHOUT_SCIKIT_LEARN)
    assert (done.returncode, done.stdout) == (1, "")
    assert "scikit-learn, which is not installed" in done.stderr
    assert "pip install 'tapejit[demo]'" in done.stderr


def test_a_store_that_is_off_is_listed_as_off(tmp_path: Path) -> None:
    done = tapejit("cache", "list", TAPEJIT_CACHE_DIR=str(tmp_path), TAPEJIT_CACHE="0")
    assert done.returncode == 0
    assert done.stdout.endswith("(the store is off: TAPEJIT_CACHE=0)\n")


@pytest.mark.parametrize(("variable", "text"), [("TAPEJIT_CACHE_SIZE", "abc"), ("TAPEJIT_CACHE", "off")])
def test_a_wrong_setting_is_one_line(variable: str, text: str, tmp_path: Path) -> None:
    done = tapejit("cache", TAPEJIT_CACHE_DIR=str(tmp_path), **{variable: text})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{variable} must be ")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    store = str(tmp_path / "kernels")
    assert tapejit("cache", TAPEJIT_CACHE_DIR=store).stdout.startswith("0 kernels, 0 of ")
    assert tapejit("cache", "clear", TAPEJIT_CACHE_DIR=store).stdout == f"removed 0 kernels from {store}\n"
    assert not Path(store).exists()


def test_what_can_not_be_removed_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "kernels" / ("a" * 64 + ".kernel")
    blocked.mkdir(parents=True)
    blocked.parent.chmod(0o700)
    done = tapejit("cache", "clear", TAPEJIT_CACHE_DIR=str(blocked.parent))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{blocked} can't be removed (")


def test_a_folder_that_is_not_to_be_trusted_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = run("-W", "default", "-m", "tapejit", "cache", TAPEJIT_CACHE_DIR=str(tmp_path))
    assert done.stdout.startswith("0 kernels")
    assert "can be written by other users" in done.stderr


def test_the_version() -> None:
    assert tapejit("--version").stdout == f"tapejit {tj.__version__}\n"


def test_help_names_the_commands() -> None:
    done = tapejit("--help")
    assert done.returncode == 0
    assert re.search(r"^ +demo ", done.stdout, re.MULTILINE)
    assert re.search(r"^ +cache ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [(), ("fit",), ("cache", "burn"), ("cache", "list", "path"), ("demo", "twice")])
def test_a_wrong_command_gets_the_usage(arguments: tuple[str, ...]) -> None:
    done = tapejit(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m tapejit")
