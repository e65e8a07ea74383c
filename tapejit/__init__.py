"""tapejit: gradients of NumPy programs from tapes, and compiled train steps.

Start with `GradientTape` and `Variable`; then put `compile` on a step. The public operations carry the names of the
Python Array API standard.
"""

from importlib.metadata import PackageNotFoundError, version

from . import errors, ops, random
from .config import floatx, set_floatx, using_floatx
from .ops import *  # noqa: F403 (the operations are the library)
from .ops import linalg
from .step import CompiledStep, compile  # noqa: A004 (the name that users know)
from .tape import GradientTape
from .tensor import Tensor
from .variable import Variable

try:
    __version__ = version("tapejit")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0.0.0"

__all__ = [
    "CompiledStep",
    "GradientTape",
    "Tensor",
    "Variable",
    "compile",
    "errors",
    "floatx",
    "linalg",
    "random",
    "set_floatx",
    "using_floatx",
    *getattr(ops, "__all__", ()),
]
