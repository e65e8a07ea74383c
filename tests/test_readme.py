"""What README.md says is so: its programs print what stands below them, and its lists are complete."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import tapejit as tj
from tapejit import config
from tapejit.primitive import REGISTRY

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
# A program, and what it prints: the ```text block that follows it, if one does.
PROGRAMS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", README, re.DOTALL)


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_the_programs_print_what_stands_below_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A compiled step finds its source lines through the file, as in a reader's own program.
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "readme"}
    for number, (program, expected) in enumerate(PROGRAMS):
        path = tmp_path / f"readme_{number}.py"
        path.write_text(program)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(program, str(path), "exec"), scope)
        assert printed.getvalue().strip() == expected.strip(), program
    assert len(PROGRAMS) >= 4


def test_the_first_example_fits_15_lines() -> None:
    assert len(PROGRAMS[0][0].splitlines()) <= 15


def test_every_operation_is_listed_once() -> None:
    table = section("Operations").partition("Tensors and variables have")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| ") and "` `" in line]
    listed = [name for first, names in rows if "tj." not in first for name in re.findall(r"`(\w+)`", names)]
    assert sorted(listed) == sorted(tj.ops.__all__)
    for first, names in rows:
        if "tj." in first:
            owner = eval(first.strip(" `"), {"tj": tj})
            assert all(hasattr(owner, name) for name in names_in(names))


def test_every_layer_loss_metric_and_optimizer_is_listed() -> None:
    rows = re.findall(r"^\| [\w ]+ \| `(tj\.[\w.]+)` \| (.*) \|$", section("Training"), re.MULTILINE)
    assert {"tj.nn", "tj.losses", "tj.metrics", "tj.optimizers"} < {owner for owner, _ in rows}
    for owner, names in rows:
        module, listed = eval(owner, {"tj": tj}), names_in(names)
        assert all(hasattr(module, name) for name in listed)
        public = getattr(module, "__all__", listed)
        assert {name for name in public if isinstance(getattr(module, name), type)} <= listed, owner


def test_what_runs_eagerly_is_listed() -> None:
    not_lowered = {name for name, primitive in REGISTRY.items() if primitive.lowering is None}
    listed = names_in(section("Limits today").partition("\n* Kernels")[0])
    assert not_lowered == listed


def test_the_settings_are_those_of_the_package() -> None:
    assert config.__doc__ is not None
    documented = re.findall(r"^(TAPEJIT_\w+) .*  (\S.*)$", config.__doc__, re.MULTILINE)
    rows = re.findall(r"^\| `(TAPEJIT_\w+)` \|.*\| (.+?) \|$", section("Settings"), re.MULTILINE)
    assert [(name, default.strip("`")) for name, default in rows] == documented


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)]+)\)", README))
def test_a_link_leads_somewhere(path: str) -> None:
    if path.startswith("#"):
        headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
        assert path[1:] in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    else:
        assert (Path(__file__).resolve().parents[1] / path).exists()
