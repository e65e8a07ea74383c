"""Gradients for everyone else's code: SciPy's optimizers and integrators, Numba's compiled functions, C.

Floor above `step`. `scipy` has functions of flat vectors, `numba` functions for ``@njit`` code, `c` pointers to C
functions, `exports` object files for programs in C. What the latter three share is in `tracing`.
"""

from . import scipy
from .c import CFunction, to_cfunc
from .exports import Exported, export
from .numba import to_numba

__all__ = ["CFunction", "Exported", "export", "scipy", "to_cfunc", "to_numba"]
