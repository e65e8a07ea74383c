"""Gradients for everyone else's code: SciPy's optimizers and integrators.

Floor above `step`. Written with the public API only where nothing else is said. `scipy` has functions of flat vectors.
"""

from . import scipy

__all__ = ["scipy"]
