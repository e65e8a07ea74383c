"""Neural networks: modules, layers, initializers, activations, regularizers, with the names of Keras.

Written with the public API only. `module` and `layer` have what all share; start there.
"""

from . import activations, initializers, regularizers
from .dense import Activation, Dense, Flatten, LeakyReLU, Reshape
from .layer import Layer
from .module import Module
from .sequential import Sequential

__all__ = [
    "Activation",
    "Dense",
    "Flatten",
    "Layer",
    "LeakyReLU",
    "Module",
    "Reshape",
    "Sequential",
    "activations",
    "initializers",
    "regularizers",
]
