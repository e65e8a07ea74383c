"""`to_cfunc`: pointers to C functions, for `scipy.LowLevelCallable` and for C code in the process."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import TapejitError, at_user_line
from ..kernel import door
from .numba import to_numba

_SCALARS = {"float64": "double", "float32": "float", "int64": "int64_t", "int32": "int", "intc": "int"}
_POINTER = re.compile(r"CPointer\((\w+)\)$")


class CFunction:
    """A C function; made by `to_cfunc`.

    Attributes
    ----------
    address : int
        Of the function, for `ctypes`, Numba or C.
    ctypes : ctypes function
        The same, to be called from Python; it takes no GIL.
    native_name : str
        Its name in machine code.
    """

    def __init__(self, made: Any, signature: str) -> None:
        self._made = made
        self.signature = signature
        self.address: int = made.address
        self.ctypes = made.ctypes
        self.native_name: str = made.native_name

    def __repr__(self) -> str:
        return f"<C function {self.signature} at {self.address:#x}>"


def to_cfunc(function: Callable[..., Any], signature: str, /, *examples: Any) -> CFunction:
    """A C function of a function of tapejit's.

    Parameters
    ----------
    function : callable
        ``function(*examples)`` with one number as its result, written with tapejit's operations. Several results, such
        as those of ``tj.value_and_grad(f)``: the numbers and arrays behind the first are written to pointers.
    signature : str
        Of the C function, as `numba.cfunc` takes it: ``"float64(float64)"``. An array is ``CPointer(float64)``; an
        ``intc`` in front of the only one is its length, which SciPy passes: ``"float64(intc, CPointer(float64))"``.
        More ``CPointer`` than the function has arguments take its results from the second one on; a last
        ``CPointer(void)`` is ignored.
    *examples : array_like
        Arguments like those that it will get, of their shapes; left out, all are numbers.

    Returns
    -------
    CFunction
        With `address`, and `ctypes` to call it from Python.

    Raises
    ------
    TapejitError
        If the signature does not fit the function.

    Notes
    -----
    It needs neither Python nor the GIL. A failed check (an index out of range, a singular matrix) gives NaN, as a C
    function has no exceptions.

    Examples
    --------
    >>> bell = tj.to_cfunc(lambda x: tj.exp(-x * x), "float64(float64)")
    >>> bell.ctypes(0.0)
    1.0
    """
    result, parameters = _parsed(signature)
    if parameters and parameters[-1] == "CPointer(void)":
        parameters = parameters[:-1]
    arrays = [np.asarray(each) for each in examples]
    if not arrays:
        arrays = [np.zeros((), each) for each in parameters if each in _SCALARS]
    counted = len(parameters) > 1 and parameters[0] == "intc" and len(parameters) == len(arrays) + 1
    taken = parameters[1:] if counted else parameters
    _check(signature, arrays, taken)
    compiled = to_numba(function, *arrays)
    text = _text(signature, result, arrays, counted, taken)
    return CFunction(door.numba_calls().c_function(compiled, signature, text), signature)


def _parsed(signature: str) -> tuple[str, list[str]]:
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", signature)
    if found is None or found[1] not in _SCALARS:
        raise TapejitError(
            at_user_line(f"to_cfunc: {signature!r} is no signature such as 'float64(float64, CPointer(float64))'")
        )
    return found[1], [each.strip() for each in found[2].split(",") if each.strip()]


def _check(signature: str, arrays: list[np.ndarray], taken: list[str]) -> None:
    """Hold that the arguments of the signature are those of the examples, followed by pointers for results."""
    fits = len(taken) >= len(arrays)
    for array, kind in zip(arrays, taken, strict=False):
        pointer = _POINTER.match(kind)
        wanted = pointer[1] if pointer else kind
        fits = fits and bool(pointer) == bool(array.shape) and np.dtype(_dtype(wanted)) == array.dtype
    if not fits or not all(_POINTER.match(kind) for kind in taken[len(arrays) :]):
        given = ", ".join(f"{array.dtype.name}{list(array.shape)}" for array in arrays)
        raise TapejitError(
            at_user_line(f"to_cfunc: the signature {signature!r} does not fit the arguments {given or '(none)'}")
        )


def _dtype(name: str) -> str:
    return "int32" if name == "intc" else name


def _text(signature: str, result: str, arrays: list[np.ndarray], counted: bool, taken: list[str]) -> str:
    """The function that C calls, in Python that Numba compiles."""
    names = [f"x{number}" for number in range(len(taken))]
    given = [
        f"carray({name}, {array.shape}, np.{array.dtype.name})" if array.shape else name
        for name, array in zip(names, arrays, strict=False)
    ]
    more = names[len(arrays) :]
    parameters = [*(["count"] if counted else []), *names]
    if signature.replace(" ", "").endswith("CPointer(void))"):
        parameters.append("user_data")
    lines = [f"def entry({', '.join(parameters)}):", "    try:", f"        found = function({', '.join(given)})"]
    lines += ["    except Exception:", f"        return np.{_dtype(result)}({_failed(result)})"]
    if not more:
        return "\n".join([*lines, f"    return np.{_dtype(result)}(found)"]) + "\n"
    for number, name in enumerate(more, 1):
        lines.append(f"    for place, value in enumerate(np.ravel(np.asarray(found[{number}]))):")
        lines.append(f"        {name}[place] = value")
    return "\n".join([*lines, f"    return np.{_dtype(result)}(found[0])"]) + "\n"


def _failed(result: str) -> str:
    return "np.nan" if result.startswith("float") else "-1"
