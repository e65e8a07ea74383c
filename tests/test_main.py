"""``python -m tapejit``: the demo, the kernel store, and what a wrong command gets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tapejit as tj

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_ONE = (
    "import sys, runpy; sys.modules[{module!r}] = None; sys.argv[1:] = ['demo', '--picture', 'x.png'];"
    "runpy.run_module('tapejit', run_name='__main__')"
)
INTERRUPTED = (
    "import sys, signal; import tapejit as tj; from tapejit import __main__;"
    "tj.nn.Sequential = lambda layers: signal.raise_signal(signal.SIGINT); sys.exit(__main__.main(['demo']))"
)


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "error", *command], capture_output=True, text=True, env=environment, check=False
    )


def tapejit(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "tapejit", *arguments, **settings)


def test_the_demo_fills_the_store_and_the_next_one_uses_it(tmp_path: Path) -> None:
    store, picture = str(tmp_path / "kernels"), tmp_path / "digits.png"
    first = tapejit("demo", TAPEJIT_CACHE_DIR=store)
    second = tapejit("demo", "--picture", str(picture), TAPEJIT_CACHE_DIR=store, PYTHONIOENCODING="ascii")
    for done in (first, second):
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.replace(str(picture), "").splitlines())) < 100
        assert done.stdout.count("w = 1.9939865, b = -1.0019997") == 2
        losses = re.findall(r"losses of the first steps: ([\d.]+, [\d.]+, [\d.]+)", done.stdout)
        assert len(losses) == 2
        assert losses[0] == losses[1]
        right, wrong = re.findall(r"([\d.]+)% of 450 held-out .* these; (\d+) are not", done.stdout)[0]
        assert float(right) >= 98
        assert done.stdout.count(" read as ") == min(int(wrong), 5)
        assert "epoch 200 of 200, mean loss 0.0" in done.stdout
        assert len(re.findall(r"[\d.]+ .s a step", done.stdout)) == 4
        assert "def fit_data(real_x, real_y):" in done.stdout
        assert "def fit_data(table, stage, lo, hi):" in done.stdout
        assert "def train_step(images, labels):" in done.stdout
        assert re.search(r"\n      for i in range\(.*\n(    .*\n)+ +conv2d_1_kernel_next\[", done.stdout)
        assert len(re.findall(r"loop_nests +\d", done.stdout)) == 1
    assert first.stdout.count("compiled now") == 2
    assert second.stdout.count("from the kernel store") == 2
    assert "██" in first.stdout
    assert "@@" in second.stdout  # what is drawn where there is only ASCII
    assert picture.read_bytes().startswith(b"\x89PNG")

    listed = tapejit("cache", "list", TAPEJIT_CACHE_DIR=store).stdout.splitlines()
    count = len(listed) - 1
    assert count >= 4  # a line, a step, epochs, what reads digits, and the machine code that leads calls to kernels
    assert re.fullmatch(r"[0-9a-f]{16} +[\d,]+ bytes  last used \d{4}-\d\d-\d\d \d\d:\d\d", listed[0])
    assert listed[-1].startswith(f"{count} kernels, ")
    assert tapejit("cache", TAPEJIT_CACHE_DIR=store).stdout.splitlines() == listed
    assert tapejit("cache", "path", TAPEJIT_CACHE_DIR=store).stdout == f"{store}\n"
    assert tapejit("cache", "clear", TAPEJIT_CACHE_DIR=store).stdout == f"removed {count} kernels from {store}\n"
    assert tapejit("cache", "list", TAPEJIT_CACHE_DIR=store).stdout.startswith("0 kernels, 0 of ")


@pytest.mark.parametrize(
    ("module", "said", "way"),
    [
        ("sklearn", "scikit-learn, which is not installed", "pip install 'tapejit[demo]'"),
        ("matplotlib", "matplotlib, which is not installed", "pip install matplotlib"),
    ],
)
def test_the_demo_says_what_to_install(module: str, said: str, way: str) -> None:
    done = run("-c", WITHOUT_ONE.format(module=module))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert way in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_in_a_folder_that_is_not_there_is_refused_before_the_work() -> None:
    done = tapejit("demo", "--picture", "nope/x.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tapejit demo: there is no folder nope for the picture\n"


def test_an_interrupted_demo_ends_in_a_line() -> None:
    done = run("-c", INTERRUPTED)
    assert (done.returncode, done.stderr) == (130, "\ntapejit demo: interrupted\n")


def test_output_that_nobody_reads_on_is_no_error() -> None:
    command = f"{sys.executable} -W error -m tapejit cache | true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("", "")


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


@pytest.mark.parametrize(
    "arguments", [(), ("fit",), ("cache", "burn"), ("cache", "list", "path"), ("demo", "twice"), ("demo", "--picture")]
)
def test_a_wrong_command_gets_the_usage(arguments: tuple[str, ...]) -> None:
    done = tapejit(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m tapejit")
