"""Neural networks: modules, layers, initializers, activations, regularizers, with the names of Keras.

`module` and `layer` have what all share; start there.
"""

from typing import TYPE_CHECKING

from ..rooms import opening

if TYPE_CHECKING:
    from . import activations, initializers, regularizers
    from .attention import MultiHeadAttention
    from .convolutional import Conv1D, Conv2D, Conv2DTranspose, Conv3D, DepthwiseConv2D
    from .dense import ELU, Activation, Dense, Flatten, LeakyReLU, ReLU, Reshape, Softmax
    from .embedding import Embedding
    from .layer import Layer
    from .module import Module
    from .normalization import BatchNormalization, LayerNormalization
    from .pooling import (
        AveragePooling1D,
        AveragePooling2D,
        AvgPool1D,
        AvgPool2D,
        GlobalAveragePooling1D,
        GlobalAveragePooling2D,
        GlobalAvgPool1D,
        GlobalAvgPool2D,
        GlobalMaxPool1D,
        GlobalMaxPool2D,
        GlobalMaxPooling1D,
        GlobalMaxPooling2D,
        MaxPool1D,
        MaxPool2D,
        MaxPooling1D,
        MaxPooling2D,
    )
    from .recurrent import GRU, LSTM, SimpleRNN
    from .sequential import Input, InputLayer, Sequential
    from .stochastic import Dropout
else:
    __getattr__ = opening(
        __name__,
        {
            "activations": (),
            "attention": ("MultiHeadAttention",),
            "convolutional": ("Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D", "DepthwiseConv2D"),
            "dense": ("ELU", "Activation", "Dense", "Flatten", "LeakyReLU", "ReLU", "Reshape", "Softmax"),
            "embedding": ("Embedding",),
            "initializers": (),
            "layer": ("Layer",),
            "module": ("Module",),
            "normalization": ("BatchNormalization", "LayerNormalization"),
            "pooling": (
                "AveragePooling1D",
                "AveragePooling2D",
                "AvgPool1D",
                "AvgPool2D",
                "GlobalAveragePooling1D",
                "GlobalAveragePooling2D",
                "GlobalAvgPool1D",
                "GlobalAvgPool2D",
                "GlobalMaxPool1D",
                "GlobalMaxPool2D",
                "GlobalMaxPooling1D",
                "GlobalMaxPooling2D",
                "MaxPool1D",
                "MaxPool2D",
                "MaxPooling1D",
                "MaxPooling2D",
            ),
            "recurrent": ("GRU", "LSTM", "SimpleRNN"),
            "regularizers": (),
            "sequential": ("Input", "InputLayer", "Sequential"),
            "stochastic": ("Dropout",),
        },
    )

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "Activation",
    "AveragePooling1D",
    "AveragePooling2D",
    "AvgPool1D",
    "AvgPool2D",
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
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "Module",
    "MultiHeadAttention",
    "ReLU",
    "Reshape",
    "Sequential",
    "SimpleRNN",
    "Softmax",
    "activations",
    "initializers",
    "regularizers",
]


def __dir__() -> list[str]:
    """What is public, for tab completion."""
    return sorted(__all__)
