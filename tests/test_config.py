"""Settings: read when they are first asked for, changed by setters, and for a block in its own context."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import config


@pytest.fixture
def _restored() -> Iterator[None]:
    before = tj.floatx()
    yield
    tj.set_floatx(before)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64"), float, ">f8"])
def test_set_floatx_takes_any_way_to_say_it(dtype: Any) -> None:
    tj.set_floatx(dtype)
    assert tj.floatx() == np.dtype("float64")
    assert tj.floatx().isnative


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("wrong", ["float16", "bfloat16", "int32", None, 7, object(), "", np.complex64])
@pytest.mark.parametrize(
    "setter", [tj.set_floatx, lambda dtype: tj.using_floatx(dtype).__enter__()], ids=["set", "using"]
)
def test_another_floatx_is_refused_and_changes_nothing(setter: Callable[[Any], None], wrong: Any) -> None:
    with pytest.raises(ValueError, match="floatx must be 'float32' or 'float64', got"):
        setter(wrong)
    assert tj.floatx() == np.dtype("float32")


def test_using_floatx_ends_with_its_block_even_by_an_exception() -> None:
    def fail() -> None:
        with tj.using_floatx("float64"):
            assert tj.floatx() == "float64"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert tj.floatx() == "float32"


@pytest.mark.usefixtures("_restored")
def test_using_floatx_is_of_this_thread_and_set_floatx_of_all() -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(tj.constant(1.0).dtype.name)

    def elsewhere() -> str:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return seen[-1]

    with tj.using_floatx("float64"):
        assert elsewhere() == "float32"
        tj.set_floatx("float64")
        assert elsewhere() == "float64"
        tj.set_floatx("float32")
        assert tj.constant(1.0).dtype == "float64", "the block goes before the default"
    assert elsewhere() == "float32"


SETTINGS = [
    (config.cache_enabled, "TAPEJIT_CACHE", [(None, True), ("", True), ("1", True), ("0", False)]),
    (config.cache_dir, "TAPEJIT_CACHE_DIR", [(None, None), ("", None), ("/some/where", "/some/where")]),
    (config.cache_size, "TAPEJIT_CACHE_SIZE", [(None, 1 << 30), ("", 1 << 30), ("1000", 1000), ("0", 0)]),
    (config.check_graphs, "TAPEJIT_CHECK", [(None, False), ("", False), ("0", False), ("1", True)]),
    (config.num_threads, "TAPEJIT_NUM_THREADS", [(None, 1), ("", 1), ("4", 4)]),
    (config.transforms_enabled, "TAPEJIT_WINOGRAD", [(None, True), ("", True), ("1", True), ("0", False)]),
]


@pytest.mark.parametrize(("setting", "variable", "values"), SETTINGS, ids=[name for _, name, _ in SETTINGS])
def test_environment(
    setting: Callable[[], Any], variable: str, values: list[tuple[str | None, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, expected in values:
        if text is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, text)
        assert setting() == expected


REFUSED = [
    *[(config.cache_enabled, "TAPEJIT_CACHE", "0 or 1", text) for text in ("off", "false", "2", "01")],
    (config.transforms_enabled, "TAPEJIT_WINOGRAD", "0 or 1", "off"),
    *[(config.check_graphs, "TAPEJIT_CHECK", "0 or 1", text) for text in ("yes", "true", "on")],
    *[(config.cache_size, "TAPEJIT_CACHE_SIZE", "a whole number from 0 up", text) for text in ("many", "-5", "1.5")],
    *[(config.num_threads, "TAPEJIT_NUM_THREADS", "a whole number from 1 up", text) for text in ("many", "-2", "0")],
    (config.emits_source, "TAPEJIT_EMIT", "source or instructions", "machine"),
]


@pytest.mark.parametrize(("setting", "variable", "choices", "text"), REFUSED)
def test_another_text_is_refused_by_name(
    setting: Callable[[], Any], variable: str, choices: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=f"^{variable} must be {choices}, got '{text}'$"):
        setting()


def test_the_table_of_the_documentation_names_every_variable() -> None:
    for _, variable, _ in SETTINGS:
        assert variable in (config.__doc__ or "")
    assert "TAPEJIT_FLOATX" in (config.__doc__ or "")
