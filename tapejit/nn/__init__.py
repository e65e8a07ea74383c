"""Neural networks: modules, layers, initializers, activations, regularizers, with the names of Keras.

Written with the public API only. `module` and `layer` have what all share; start there.
"""

from typing import TYPE_CHECKING

from ..rooms import opening

if TYPE_CHECKING:
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
else:
    __getattr__ = opening(
        __name__,
        {
            "activations": (),
            "attention": ("MultiHeadAttention",),
            "convolutional": ("Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "DepthwiseConv2D"),
            "dense": ("Activation", "Dense", "Flatten", "LeakyReLU", "Reshape"),
            "embedding": ("Embedding",),
            "initializers": (),
            "layer": ("Layer",),
            "module": ("Module",),
            "normalization": ("BatchNormalization", "LayerNormalization"),
            "pooling": (
                "AveragePooling2D",
                "GlobalAveragePooling2D",
                "GlobalMaxPool2D",
                "GlobalMaxPooling2D",
                "MaxPool2D",
                "MaxPooling2D",
            ),
            "recurrent": ("GRU", "LSTM", "SimpleRNN"),
            "regularizers": (),
            "sequential": ("Sequential",),
            "stochastic": ("Dropout",),
        },
    )

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


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return sorted(__all__)
