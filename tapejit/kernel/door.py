"""The one lazy door: Numba, llvmlite and what else only kernels need come in here, when one is first built or loaded.

``import tapejit`` must not pay for them: Numba takes 0.2 s to import, and a process whose kernels are all in the store
never needs it, nor the planner, the emitter and LLVM; the others take as long as half of tapejit. No other module of
tapejit imports inside functions; public names bring their rooms through `tapejit.rooms`.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def emission() -> ModuleType:
    """The module `tapejit.kernel.emission`, which imports the planner: what makes a kernel's text of a graph."""
    from . import emission

    return emission


def builder() -> ModuleType:
    """The module `tapejit.kernel.build`, which imports Numba."""
    from . import build

    return build


def numba_calls() -> ModuleType:
    """The module `tapejit.kernel.numba_calls`, which imports Numba."""
    from . import numba_calls

    return numba_calls


def object_files() -> ModuleType:
    """The module `tapejit.kernel.object_files`, which imports Numba."""
    from . import object_files

    return object_files


def assembler() -> ModuleType:
    """The module `tapejit.kernel.assembly`, which imports llvmlite and not Numba."""
    from . import assembly

    return assembly


def targets() -> ModuleType:
    """The module `tapejit.kernel.targets`, which imports llvmlite."""
    from . import targets

    return targets


def entrance() -> ModuleType:
    """The module `tapejit.kernel.entrance`, which imports llvmlite's `ir`."""
    from . import entrance

    return entrance


def openblas() -> ModuleType:
    """The package `scipy_openblas32`, which knows where its library is."""
    import scipy_openblas32

    return scipy_openblas32  # type: ignore[no-any-return]


def user_cache_dir() -> str:
    """Where this system keeps what programs can make again, with a folder for tapejit."""
    import platformdirs

    return platformdirs.user_cache_dir("tapejit", appauthor=False)


def version_text(package: str) -> str:
    """What tells one version of an installed package from another, without importing it.

    Its `_version.py`, whose text is found in a tenth of the time that reading the version from its metadata takes.
    """
    from importlib.util import find_spec

    found = find_spec(package)
    if found is not None and found.origin is not None:
        with contextlib.suppress(OSError):
            return Path(found.origin).with_name("_version.py").read_text(encoding="utf-8")
    from importlib.metadata import version

    return version(package)


def find_library(name: str) -> str | None:
    """Where this system has a library of the C compiler's, such as ``m``."""
    from ctypes import util

    return util.find_library(name)


def checks() -> ModuleType:
    """The module `tapejit.passes.checks`, which a kernel of the store needs when it has found something wrong."""
    from ..passes import checks

    return checks


def progress_bar() -> Callable[..., Any] | None:
    """The bar of tqdm, which takes as long to import as half of tapejit; None if it is not installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm  # type: ignore[no-any-return]
