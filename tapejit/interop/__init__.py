"""Gradients for everyone else's code: SciPy's optimizers and integrators, Numba's compiled functions.

Floor above `step`. `scipy` has functions of flat vectors, `numba` functions for ``@njit`` code.
"""

from . import scipy
from .numba import to_numba

__all__ = ["scipy", "to_numba"]
