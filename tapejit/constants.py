"""The constants and dtypes of the Python Array API standard, under its names.

Floor 0. The dtypes are NumPy's.
"""

from math import e, inf, nan, pi

from numpy import bool_ as bool  # noqa: A004 (the standard's name)
from numpy import float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64

newaxis = None

__all__ = [
    "bool",
    "e",
    "float16",
    "float32",
    "float64",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "nan",
    "newaxis",
    "pi",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
