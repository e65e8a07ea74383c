"""tapejit: gradients of NumPy programs from tapes, and compiled train steps.

Start with `GradientTape` and `Variable`; then put `compile` on a step. The public operations carry the names of the
Python Array API standard, and take NumPy's arrays and numbers.

* Derivatives: `GradientTape`, `ForwardAccumulator`; of functions `grad`, `value_and_grad`, `vjp`, `jvp`, `linearize`,
  `hvp`, `jacobian`, `hessian`; `vmap`, `stop_gradient`, `checkpoint`.
* Compiled steps: `compile`; loops and branches in them: `scan`, `fori_loop`, `map`, `while_loop`, `cond`, `switch`.
* Training: `nn`, `losses`, `metrics`, `optimizers`, `data`, `save_weights`, `load_weights`; `random.Generator`.
* Rules of your own: `custom_gradient`, `custom_jvp`, `custom_vjp`, `primitive`, `numpy_function`.
* In other people's code: `to_numba`, `to_cfunc`, `export`, `scipy`, `from_dlpack`.
"""

from typing import TYPE_CHECKING

from . import errors, ops
from .config import floatx, set_floatx, using_floatx
from .constants import e, inf, nan, newaxis, pi
from .ops import *  # noqa: F403 (the operations are the library)
from .ops import linalg
from .rooms import opening
from .tape import GradientTape
from .tensor import Tensor
from .variable import Variable

__version__ = "0.1.0"  # pyproject.toml reads it here

if TYPE_CHECKING:
    from . import data, losses, metrics, nn, optimizers, random, testing
    from .constants import *  # noqa: F403 (the dtypes)
    from .control import checkpoint, cond, fori_loop, map, scan, switch, while_loop
    from .custom import custom_gradient, custom_jvp, custom_vjp, primitive
    from .functional import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp, vmap
    from .interop import export, scipy, to_cfunc, to_numba
    from .kernel.threads import num_threads, set_num_threads
    from .saving import load_weights, save_weights
    from .step import CompiledStep, TensorSpec, compile
    from .tape import ForwardAccumulator
else:
    del primitive  # the module, which would stand before the public name
    __getattr__ = opening(
        __name__,
        {
            "constants": (
                "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
                "uint32", "uint64",
            ),
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
            "step": ("CompiledStep", "TensorSpec", "compile"),
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
__all__ += ["e", "inf", "nan", "newaxis", "pi"]
# The dtypes are no part of that: with ``import *`` `bool` would stand before Python's.


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return sorted([*__all__, "__version__"])
