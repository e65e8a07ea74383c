"""tapejit: gradients of NumPy programs from tapes, and compiled train steps.

Start with `GradientTape` and `Variable`; then put `compile` on a step. The public operations carry the names of the
Python Array API standard.
"""

from . import control, data, errors, losses, metrics, nn, ops, optimizers, random, testing
from .arguments import TensorSpec
from .config import floatx, set_floatx, using_floatx
from .control import *  # noqa: F403 (loops and branches)
from .custom import custom_gradient, custom_jvp, custom_vjp, primitive
from .functional import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp, vmap
from .interop import export, scipy, to_cfunc, to_numba
from .kernel.threads import num_threads, set_num_threads
from .ops import *  # noqa: F403 (the operations are the library)
from .ops import linalg
from .saving import load_weights, save_weights
from .step import CompiledStep, compile
from .tape import ForwardAccumulator, GradientTape
from .tensor import Tensor
from .variable import Variable

__version__ = "0.1.0"  # pyproject.toml reads it here

__all__ = [
    "CompiledStep",
    "ForwardAccumulator",
    "GradientTape",
    "Tensor",
    "TensorSpec",
    "Variable",
    "compile",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "data",
    "errors",
    "export",
    "floatx",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linalg",
    "linearize",
    "load_weights",
    "losses",
    "metrics",
    "nn",
    "num_threads",
    "optimizers",
    "primitive",
    "random",
    "save_weights",
    "scipy",
    "set_floatx",
    "set_num_threads",
    "testing",
    "to_cfunc",
    "to_numba",
    "using_floatx",
    "value_and_grad",
    "vjp",
    "vmap",
]
__all__ += ops.__all__
__all__ += control.__all__


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return sorted([*__all__, "__version__"])
