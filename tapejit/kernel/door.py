"""The one lazy door: Numba and llvmlite come in here, when a kernel is first built or loaded.

``import tapejit`` must not pay for them: Numba takes 0.2 s to import, and a process whose kernels are all in
the store never needs it. No other module of tapejit imports inside functions.
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
