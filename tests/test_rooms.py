"""Public rooms come in late, and are there for whoever asks."""

import ast
import copy
import importlib
import pickle
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

import tapejit as tj
from tapejit.rooms import opening

PACKAGES = ("tapejit", "tapejit.nn", "tapejit.optimizers")


def told_to_type_checkers(module: ModuleType) -> dict[str, set[str]]:
    """Names by room, of the imports that only a type checker sees."""
    found: dict[str, set[str]] = {}
    for node in ast.parse(Path(module.__file__ or "").read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for imported in node.body:
                assert isinstance(imported, ast.ImportFrom)
                for alias in imported.names:
                    room = found.setdefault(imported.module or alias.name, set())
                    room.update([alias.name] if imported.module else [])
    return found


def table_of(module: ModuleType) -> Mapping[str, Iterable[str]]:
    for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "opening":
            table: Mapping[str, Iterable[str]] = ast.literal_eval(node.args[1])
            return table
    raise AssertionError("no table")


@pytest.mark.parametrize("name", PACKAGES)
def test_people_and_type_checkers_find_the_same_names(name: str) -> None:
    module = importlib.import_module(name)
    table = table_of(module)
    told = told_to_type_checkers(module)
    for room in [room for room, names in told.items() if names == {"*"}]:  # but for what the package has at once
        told[room] = set(importlib.import_module(f"{name}.{room}").__all__) & set(table[room])
    assert {room: set(names) for room, names in table.items()} == told
    public = [name for room, names in table.items() for name in names or (room,)]
    assert set(public) - set(table.get("constants", ())) <= set(module.__all__)  # a star brings no `bool`
    assert len(public) == len(set(public))
    for room, names in table.items():
        brought = importlib.import_module(f"{name}.{room}")
        assert all(getattr(module, each) is getattr(brought, each) for each in names)
        assert names or getattr(module, room) is brought


def test_a_star_brings_all_that_is_public() -> None:
    names: dict[str, object] = {}
    exec("from tapejit import *", names)
    assert set(tj.__all__) <= set(names)
    assert names["primitive"] is tj.primitive
    assert callable(tj.primitive)  # and not the module of this name


def test_what_nobody_has_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'tapejit' has no attribute 'Graph'"):
        _ = tj.Graph  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"module 'tapejit\.nn' has no attribute 'dense2'"):
        _ = tj.nn.dense2  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match=r"cannot import name 'Dens' from 'tapejit\.nn'"):
        exec("from tapejit.nn import Dens")


def test_a_room_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("house")
    monkeypatch.setitem(sys.modules, "house", package)
    monkeypatch.setitem(sys.modules, "house.kitchen", ModuleType("house.kitchen"))
    sys.modules["house.kitchen"].table = "oak"  # type: ignore[attr-defined]
    get = opening("house", {"kitchen": ("table",)})
    assert get("table") == "oak"
    assert vars(package)["table"] == "oak"
    assert get("kitchen") is sys.modules["house.kitchen"]
    with pytest.raises(AttributeError, match="module 'house' has no attribute 'cellar'"):
        get("cellar")


PROGRAM = """
import pickle, sys
import tapejit as tj
{use}
print(sorted(name for name in sys.modules if name.startswith("tapejit.")))
"""


@pytest.mark.parametrize(
    ("use", "brought", "left"),
    [
        ("import tapejit.nn; tapejit.nn.Dense", "tapejit.nn.dense", "tapejit.nn.recurrent"),
        ("from tapejit.optimizers import Adam", "tapejit.optimizers.adam", "tapejit.optimizers.lion"),
        ("tj.losses.MeanSquaredError()", "tapejit.losses.regression", "tapejit.nn"),
        ("tj.cond", "tapejit.control.branches", "tapejit.step"),
        ("tj.Variable(1.0)", "tapejit.variable", "tapejit.graph"),
        ("tj.random.Generator(1)", "tapejit.random.generator", "tapejit.nn"),
        ("tj.compile", "tapejit.step", "tapejit.kernel.emission"),
    ],
)
def test_one_room_does_not_bring_the_others(use: str, brought: str, left: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(use=use)],
        capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True,
    )  # fmt: skip
    found = ast.literal_eval(done.stdout)
    assert brought in found
    assert left not in found


def test_an_operation_finds_the_room_that_it_needs() -> None:
    program = """
import numpy as np
import tapejit as tj
x = tj.Variable([1.0, 2.0])
with tj.GradientTape() as tape:
    y = tj.numpy_function(np.square, x, shape=2, dtype="float32", gradient=lambda x, out, ct: 2 * ct * x)
print(*tape.gradient(y, x).numpy())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False,
    )  # fmt: skip
    assert done.stdout == "2.0 4.0\n", done.stderr


def test_what_is_pickled_is_found_in_a_process_that_has_not_asked_for_its_room() -> None:
    data = pickle.dumps([tj.nn.Dense, tj.optimizers.SGD, tj.losses.Loss, tj.scan, tj.compile])
    program = f"import pickle; print([each.__name__ for each in pickle.loads({data!r})])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True
    )
    assert ast.literal_eval(done.stdout) == ["Dense", "SGD", "Loss", "scan", "compile"]
    assert copy.deepcopy(tj.nn.Dense) is tj.nn.Dense


def test_a_name_that_comes_in_while_a_step_is_traced_makes_no_second_trace() -> None:
    program = """
import numpy as np
import tapejit as tj
@tj.compile
def step(x):
    return tj.cond(tj.sum(x) > 0, lambda: x, lambda: -x) + tj.nn.activations.get("relu")(x)
for _ in range(3):
    step(np.ones(3))
print(step.report()["traces"], step.report()["eager_because"])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1", "None"], done.stderr
