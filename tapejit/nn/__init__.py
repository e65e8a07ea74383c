"""Neural networks: modules, layers, initializers, activations, regularizers, with the names of Keras.

Written with the public API only. `module` and `layer` have what all share; start there.
"""

from . import activations, initializers, regularizers
from .attention import MultiHeadAttention
from .convolutional import Conv1D, Conv2D, Conv2DTranspose, Conv3D, DepthwiseConv2D
from .dense import Activation, Dense, Flatten, LeakyReLU, Reshape
from .embedding import Embedding
from .layer import Layer
from .module import Module
from .normalization import BatchNormalization, LayerNormalization
from .pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPool2D,
    GlobalMaxPooling2D,
    MaxPool2D,
    MaxPooling2D,
)
from .recurrent import GRU, LSTM, SimpleRNN
from .sequential import Sequential
from .stochastic import Dropout

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Module",
    "MultiHeadAttention",
    "Reshape",
    "Sequential",
    "SimpleRNN",
    "activations",
    "initializers",
    "regularizers",
]
