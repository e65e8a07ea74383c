"""Where a kernel comes from: memory, the store, or the compiler; and stored ones that are not what they should be."""

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import TapejitWarning
from tapejit.kernel import kernels
from tapejit.kernel.keys import make_key
from tapejit.kernel.store import SUFFIX, Entry, KernelStore

X = np.arange(3.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelStore:
    """A store that begins empty, in this process too."""
    found = KernelStore(tmp_path / "kernels")
    monkeypatch.setattr(kernels, "store", lambda: found)
    monkeypatch.setattr(kernels, "source_is_known", lambda: True)
    return found


def new_step(**options: Any) -> Any:
    """A step whose graph no other test has."""
    w = tj.Variable([1.0, 2.0, 3.0], dtype="float64")

    @tj.compile(strict=True, **options)
    def step(x):
        w.assign_add(tj.tanh(x) * 0.625 - w / 3)
        return tj.sum(w * x) + 0.375

    return step


def origin(step: Any) -> str:
    report = step.report()
    return {(1, 0): "built", (0, 1): "store", (0, 0): "memory"}[report["compilations"], report["from_cache"]]


def only_key(folder: KernelStore) -> str:
    (entry,) = folder.entries()
    return entry.key


def test_a_kernel_is_shared_then_loaded_then_built(folder: KernelStore) -> None:
    first = new_step()
    wanted = float(first(X))
    assert origin(first) == "built"
    second = new_step()
    built = kernels.compilations()
    assert float(second(X)) == wanted
    assert second._last.executable.kernel is first._last.executable.kernel
    del first, second
    gc.collect()
    third = new_step()
    assert float(third(X)) == wanted
    assert origin(third) == "store"
    assert kernels.compilations() == built
    del third
    gc.collect()
    folder.clear()
    fourth = new_step()
    assert float(fourth(X)) == wanted
    assert origin(fourth) == "built"


def test_without_the_cache_the_disk_is_left_alone(folder: KernelStore) -> None:
    for _ in range(2):
        step = new_step(cache=False)
        step(X)
        assert origin(step) == "built"
        assert not folder.path.exists()
        del step
        gc.collect()
    w = tj.Variable(2.0)
    step = tj.compile(lambda x: tj.sum(w * x * x), strict=True, cache=False)
    x = tj.constant(X)
    with tj.GradientTape() as tape:  # neither do the kernels of its gradients touch the disk
        tape.watch(x)
        y = step(x)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), 4 * X)
    assert not folder.path.exists()
    del step, y, tape
    gc.collect()
    stored = new_step()
    stored(X)
    assert len(folder.entries()) == 1


def test_a_source_that_changed_leaves_the_disk_alone(folder: KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "source_is_known", lambda: False)
    step = new_step()
    step(X)
    assert origin(step) == "built"
    assert not folder.path.exists()


def changed(**fields: Any) -> Callable[[Entry], Entry]:
    return lambda entry: Entry({**entry.header, **fields}, entry.code)


def layout(**fields: Any) -> Callable[[Entry], Entry]:
    return lambda entry: Entry({**entry.header, "layout": {**entry.header["layout"], **fields}}, entry.code)


def slot(**fields: Any) -> Callable[[Entry], Entry]:
    def change(entry: Entry) -> Entry:
        slots = entry.header["layout"]["slots"]
        return layout(slots=[{**slots[0], **fields}, *slots[1:]])(entry)

    return change


DAMAGES: dict[str, Callable[[Entry], Entry]] = {
    "unknown symbol": changed(symbols=["system"]),
    "symbol that no process has": changed(symbols=["exp", "no_such_function"]),
    "other function": changed(symbol="another_kernel"),
    "no symbols": lambda entry: Entry({"symbol": "kernel"}, entry.code),
    "no header": lambda entry: Entry({}, entry.code),
    "symbols of another type": changed(symbols=7),
    "no object": lambda entry: Entry(entry.header, b"not machine code"),
    "half an object": lambda entry: Entry(entry.header, entry.code[: len(entry.code) // 2]),
    "no code": lambda entry: Entry(entry.header, b""),
    "no layout": changed(layout={}),
    "layout of another type": changed(layout=[1, 2]),
    "a field less": changed(layout={"slots": []}),
    "a result more": layout(outputs=[[[], "float64"], [[], "float64"]]),
    "a result of another shape": layout(outputs=[[[1000], "float64"]]),
    "a result of another dtype": layout(outputs=[[[], "float32"]]),
    "a number more": layout(numbers=[["float64", 0], ["float64", 1], ["float64", 2], ["float64", 3]]),
    "an update of no variable": layout(updates=[5]),
    "an update less": layout(updates=[], in_place=[]),
    "an answer too few": layout(in_place=[]),
    "an argument that is not there": slot(kind="argument", position=1),
    "a position below zero": slot(position=-1),
    "a slot of no kind": slot(kind="elsewhere"),
    "a table of no dtype": slot(kind="numbers", dtype="float16"),
    "a slot with a field more": slot(size=8),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_an_entry_that_does_not_fit_is_built_again(folder: KernelStore, damage: Callable[[Entry], Entry]) -> None:
    step = new_step()
    wanted = float(step(X))
    del step
    gc.collect()
    key = only_key(folder)
    entry = folder.get(key)
    assert entry is not None
    damaged = damage(entry)
    folder.put(key, damaged.header, damaged.code)
    again = new_step()
    with pytest.warns(TapejitWarning, match="compiled again"):
        found = again(X)
    assert float(found) == wanted
    assert origin(again) == "built"
    assert folder.get(key) == entry
    del again
    gc.collect()
    assert float(new_step()(X)) == wanted


def test_an_entry_copied_under_another_kernels_name(folder: KernelStore) -> None:
    step = new_step()
    wanted = float(step(X))
    key = only_key(folder)
    other = tj.compile(lambda x: tj.sum(x) / 7, strict=True)
    other(X)
    (name,) = {entry.key for entry in folder.entries()} - {key}
    (folder.path / (key + SUFFIX)).write_bytes((folder.path / (name + SUFFIX)).read_bytes())
    del step
    gc.collect()
    again = new_step()
    with pytest.warns(TapejitWarning, match="another key"):
        assert float(again(X)) == wanted


def test_a_kernel_that_is_known_is_found_while_another_is_built(
    folder: KernelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, began, found = new_step(), threading.Event(), threading.Event()
    known(X)
    wait = []

    def slow_build(*arguments: Any) -> Any:
        began.set()
        wait.append(found.wait(20))
        return build(*arguments)

    build = kernels._built
    monkeypatch.setattr(kernels, "_built", slow_build)
    thread = threading.Thread(target=lambda: tj.compile(lambda x: tj.cos(x) / 9 - x, strict=True)(X))
    thread.start()
    assert began.wait(20)
    new_step()(X)
    found.set()
    thread.join()
    assert wait == [True]


def test_threads_that_want_one_kernel_build_it_once(folder: KernelStore) -> None:
    steps, values = [new_step() for _ in range(6)], []
    built = kernels.compilations()
    threads = [threading.Thread(target=lambda step=step: values.append(float(step(X)))) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values) == 6
    assert len(set(values)) == 1
    assert kernels.compilations() == built + 1


def test_a_key_is_made_of_the_graph_and_not_of_its_numbers(folder: KernelStore) -> None:
    for factor in (2.0, 3.0):
        tj.compile(lambda x, factor=factor: x * factor - 1.0, strict=True)(X)
        gc.collect()
    assert len(folder.entries()) == 1
    tj.compile(lambda x: x * 2.0 - 1.0, strict=True)(X.astype(np.float32))
    tj.compile(lambda x: x * 2.0 - 1.0, strict=True)(np.arange(4.0))
    tj.compile(lambda x: x / 2.0 - 1.0, strict=True)(X)
    assert len(folder.entries()) == 4
    assert all(len(make_key(entry.key)) == len(entry.key) for entry in folder.entries())


def test_a_build_leaves_the_garbage_collector_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            tj.compile(lambda x, n=int(enabled): tj.sin(x) * x + tj.sum(x) / (2 + n), cache=False)(np.ones(3))
            assert gc.isenabled() == enabled
        finally:
            gc.enable()
