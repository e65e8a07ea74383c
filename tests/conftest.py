"""What every test stands on: a kernel store of its own, settings at their defaults, reproducible examples."""

import gc
import os
import tempfile
from collections.abc import Iterator
from importlib import import_module

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("tapejit", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("tapejit")

_STORE = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the user's settings and kernel store out of the run and of the processes that it starts."""
    store = tempfile.TemporaryDirectory(prefix="tapejit-tests-")
    config.stash[_STORE] = store
    settings = ("FLOATX", "CACHE", "CACHE_SIZE", "CPU", "NUM_THREADS", "WINOGRAD")
    for name in settings:
        os.environ.pop(f"TAPEJIT_{name}", None)
    os.environ["TAPEJIT_CACHE_DIR"] = store.name
    os.environ["TAPEJIT_CHECK"] = "1"
    tapejit = import_module("tapejit")  # only now, as it reads its settings
    for room in tapejit.__all__:  # may have primitives: tests that run over all find all, alone and together
        getattr(tapejit, room)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_STORE].cleanup()


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's generator, with the same draws in every run."""
    return np.random.default_rng(20_240_601)


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Only reference counts free anything."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
