"""Functional transforms: derivatives and batches of functions, as functions.

Floor 11, above `control`.
"""

from .vectorize import vmap

__all__ = ["vmap"]
