"""NumPy's functions and ufuncs on tensors."""
from typing import Any


def numpy_ufunc(ufunc: Any, method: str, inputs: Any, kwargs: Any) -> Any:
    return NotImplemented


def numpy_function(function: Any, args: Any, kwargs: Any) -> Any:
    return NotImplemented
