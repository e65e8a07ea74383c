"""Neural networks: modules, layers, initializers, activations, regularizers, with the names of Keras.

Written with the public API only. `module` and `layer` have what all share; start there.
"""

from . import activations, initializers, regularizers
from .attention import MultiHeadAttention
from .dense import Activation, Dense, Flatten, LeakyReLU, Reshape
from .embedding import Embedding
from .layer import Layer
from .module import Module
from .normalization import BatchNormalization, LayerNormalization
from .recurrent import GRU, LSTM, SimpleRNN
from .sequential import Sequential
from .stochastic import Dropout

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Module",
    "MultiHeadAttention",
    "Reshape",
    "Sequential",
    "SimpleRNN",
    "activations",
    "initializers",
    "regularizers",
]
