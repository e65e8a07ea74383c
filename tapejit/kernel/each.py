"""A scalar function of the user's for each element of arrays, in eager mode: a small kernel for each dtype."""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..config import emits_source
from ..forks import Rank, lock
from . import door, kernels
from .scalar_functions import ScalarFunction
from .text import Text

_LOCK = lock(Rank.CODE, threading.Lock)


def each_element(function: ScalarFunction, arrays: Sequence[np.ndarray], result: np.dtype) -> np.ndarray:
    """What a function gives for each element of arrays, with NumPy's broadcasting.

    Parameters
    ----------
    function : ScalarFunction
        Takes a number of each array.
    arrays : sequence of ndarray
        Of one dtype.
    result : numpy.dtype
        Of the result.

    Raises
    ------
    CompileError
        If the function can't be compiled.
    """
    shape = np.broadcast_shapes(*[array.shape for array in arrays])
    operands = [np.ascontiguousarray(np.broadcast_to(array, shape)) for array in arrays]
    out = np.empty(shape, result)
    table = np.array([each.ctypes.data for each in (*operands, out)], np.int64)
    with _LOCK:
        loaded = _loaded(function, arrays[0].dtype.name, result.name, emits_source())
    loaded.call(table.ctypes.data, 0, 0, out.size)
    return out


@cache
def _loaded(function: ScalarFunction, dtype: str, result: str, as_source: bool) -> Any:
    text = Text()
    name, source = text.fresh("each_element"), []
    operands = [text.fresh(each) for each in function.inputs]
    out, index = text.fresh("result"), text.fresh("i")
    source.append(f"def {name}(table, stage, lo, hi):")
    source += [f"    {each} = {dtype}_at(table, {slot})" for slot, each in enumerate(operands)]
    source.append(f"    {out} = {result}_at(table, {len(operands)})")
    source.append(f"    for {index} in range(hi):")
    source.append(f"        {out}[{index}] = {function.name}({', '.join(f'{each}[{index}]' for each in operands)})")
    source.append("    return OK\n")
    symbol = f"tapejit_each_{function.digest[:24]}"
    signature = f"{symbol} {function.digest} {dtype} {result}{' source' if as_source else ''}"
    return kernels.stored(signature, symbol, lambda: door.builder().build("\n".join(source), name, symbol, {}))
