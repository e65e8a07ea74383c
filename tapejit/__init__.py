"""tapejit: gradients of NumPy programs from tapes, and compiled train steps.

Start with `GradientTape` and `Variable`; then put `compile` on a step. The public operations carry the names of the
Python Array API standard.
"""

from typing import TYPE_CHECKING

from . import constants, errors, ops
from .config import floatx, set_floatx, using_floatx
from .constants import *  # noqa: F403 (pi, float32 and their like)
from .ops import *  # noqa: F403 (the operations are the library)
from .ops import linalg
from .rooms import opening
from .tape import GradientTape
from .tensor import Tensor
from .variable import Variable

__version__ = "0.1.0"  # pyproject.toml reads it here

if TYPE_CHECKING:
    from . import data, losses, metrics, nn, optimizers, random, testing
    from .arguments import TensorSpec
    from .control import checkpoint, cond, fori_loop, map, scan, switch, while_loop
    from .custom import custom_gradient, custom_jvp, custom_vjp, primitive
    from .functional import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp, vmap
    from .interop import export, scipy, to_cfunc, to_numba
    from .kernel.threads import num_threads, set_num_threads
    from .saving import load_weights, save_weights
    from .step import CompiledStep, compile
    from .tape import ForwardAccumulator
else:
    del primitive  # the module, which would stand before the public name
    __getattr__ = opening(
        __name__,
        {
            "arguments": ("TensorSpec",),
            "control": ("checkpoint", "cond", "fori_loop", "map", "scan", "switch", "while_loop"),
            "custom": ("custom_gradient", "custom_jvp", "custom_vjp", "primitive"),
            "data": (),
            "functional": (
                "grad", "hessian", "hvp", "jacobian", "jvp", "linearize", "value_and_grad", "vjp", "vmap",
            ),
            "interop": ("export", "scipy", "to_cfunc", "to_numba"),
            "kernel.threads": ("num_threads", "set_num_threads"),
            "losses": (),
            "metrics": (),
            "nn": (),
            "optimizers": (),
            "random": (),
            "saving": ("load_weights", "save_weights"),
            "step": ("CompiledStep", "compile"),
            "tape": ("ForwardAccumulator",),
            "testing": (),
        },
    )  # fmt: skip

__all__ = [
    "CompiledStep",
    "ForwardAccumulator",
    "GradientTape",
    "Tensor",
    "TensorSpec",
    "Variable",
    "checkpoint",
    "compile",
    "cond",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "data",
    "errors",
    "export",
    "floatx",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linalg",
    "linearize",
    "load_weights",
    "losses",
    "map",
    "metrics",
    "nn",
    "num_threads",
    "optimizers",
    "primitive",
    "random",
    "save_weights",
    "scan",
    "scipy",
    "set_floatx",
    "set_num_threads",
    "switch",
    "testing",
    "to_cfunc",
    "to_numba",
    "using_floatx",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
__all__ += ops.__all__
__all__ += constants.__all__


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return sorted([*__all__, "__version__"])
