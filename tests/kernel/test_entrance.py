"""The machine code before kernels: where it comes from, and that it refers to nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import TapejitWarning
from tapejit.kernel import entrance as written
from tapejit.kernel import kernels
from tapejit.kernel.store import Entry, KernelStore


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelStore]:
    """A store that begins empty, in this process too."""
    found = KernelStore(tmp_path / "kernels")
    monkeypatch.setattr(kernels, "store", lambda: found)
    monkeypatch.setattr(kernels, "source_is_known", lambda: True)
    monkeypatch.setattr("tapejit.step.routes.ENTRY_AFTER", 2)
    kernels.entrance.cache_clear()
    yield found
    kernels.entrance.cache_clear()


def works() -> bool:
    """Whether a step has an entry that takes its calls."""
    step = tj.compile(lambda x: x * 2, strict=True, cache=False)
    for n in range(6):
        assert step(np.full(3, float(n))).tolist() == [2.0 * n] * 3
    return step._entry is not None


def test_it_refers_to_no_function_by_name() -> None:
    built = written.build("function")
    assert built.symbols == ()
    assert "call" in built.assembly()


def test_it_is_built_once_and_then_found(folder: KernelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert works()
    keys = [entry.key for entry in folder.entries()]
    assert len(keys) == 1
    monkeypatch.setattr(written, "build", None)
    assert works()
    kernels.entrance.cache_clear()  # as in another process
    assert works()
    assert [entry.key for entry in folder.entries()] == keys


DAMAGES: dict[str, Any] = {
    "no object": lambda entry: Entry(entry.header, b"not machine code"),
    "half an object": lambda entry: Entry(entry.header, entry.code[: len(entry.code) // 2]),
    "no code": lambda entry: Entry(entry.header, b""),
    "another function": lambda entry: Entry(entry.header, written.build("another").code),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_stored_one_that_is_damaged_is_built_again(folder: KernelStore, damage: Any) -> None:
    assert works()
    (listing,) = folder.entries()
    entry = folder.get(listing.key)
    assert entry is not None
    damaged = damage(entry)
    folder.put(listing.key, damaged.header, damaged.code)
    kernels.entrance.cache_clear()
    with pytest.warns(TapejitWarning, match="compiled again"):
        assert works()
    assert folder.get(listing.key) == entry
