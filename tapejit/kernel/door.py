"""The one lazy door: Numba, llvmlite and what else only kernels need come in here, when one is first built or loaded.

``import tapejit`` must not pay for them: Numba takes 0.2 s to import, and a process whose kernels are all in the store
never needs it; the others, with what they import, take as long as half of tapejit. No other module of tapejit imports
inside functions.
"""

from types import ModuleType


def builder() -> ModuleType:
    """The module `tapejit.kernel.build`, which imports Numba."""
    from . import build

    return build


def loader() -> ModuleType:
    """The module `tapejit.kernel.objects`, which imports llvmlite."""
    from . import objects

    return objects


def openblas() -> ModuleType:
    """The package `scipy_openblas32`, which knows where its library is."""
    import scipy_openblas32

    return scipy_openblas32  # type: ignore[no-any-return]


def user_cache_dir() -> str:
    """Where this system keeps what programs can make again, with a folder for tapejit."""
    import platformdirs

    return platformdirs.user_cache_dir("tapejit", appauthor=False)


def installed_version(package: str) -> str:
    """The version of an installed package, without importing it."""
    from importlib.metadata import version

    return version(package)
