"""From what a user passes to what a primitive takes: values of one dtype.

`coerce` is on the path of every eager operation, so the answer to "which dtype?" is remembered for each combination
of kinds.
"""

from typing import Any

import numpy as np

from ..aval import PYTHON_NUMBERS, Resolution, Resolver, common_dtype
from ..config import floatx
from ..errors import DtypeError, at_user_line
from ..primitive import BASE, READERS, Value, current, in_role

_RESOLUTIONS: dict[tuple[Any, ...], Resolution] = {}


def as_array(value: Any, borrow: bool = False) -> Value:
    """`value` as a tensor: tensors pass, numbers become 0-d arrays in `config.floatx`, int64 or bool."""
    if isinstance(value, Value):
        return value if type(value) is BASE[1] or not value.aval.weak else _settled(value, _kind(value))
    if type(value) in PYTHON_NUMBERS:
        return current().interpreter.number(value, number_dtype(type(value)))
    return current().interpreter.lift(value, borrow)


def number_dtype(kind: type) -> np.dtype:
    """The dtype of a Python number that meets no array."""
    return floatx() if kind is float else PYTHON_NUMBERS[kind]


def _kind(value: Value) -> Any:
    """The dtype of a value, or the Python type of a traced number, which takes the dtype of the others."""
    aval = value.aval
    if aval.weak:
        return {"f": float, "i": int, "b": bool}[aval.dtype.kind]
    return aval.dtype


def coerce(operation: str, operands: tuple[Any, ...], resolver: Resolver) -> tuple[Value, ...]:
    """The operands of one operation as values in the dtypes that `resolver` gives.

    Parameters
    ----------
    operation : str
        For messages.
    operands : tuple of array_like
        Tensors, variables, NumPy arrays, nests of numbers, or Python numbers, which take the others' dtype.
    resolver : callable
        From the operands' kinds to their dtypes.

    Raises
    ------
    DtypeError
        If NumPy has no such promotion.
    """
    eager = BASE[1]
    values, kinds = list(operands), list(operands)
    weak = True
    for position, operand in enumerate(operands):
        cls = type(operand)
        if cls in PYTHON_NUMBERS:
            kinds[position] = cls
            continue
        if cls is eager or isinstance(operand, Value):
            value = operand
        elif cls in READERS:
            value = READERS[cls](operand)
        else:
            convert = getattr(cls, "__tensor__", None)
            value = convert(operand) if convert is not None else current().interpreter.lift(operand, True)
        kind = value.array.dtype if type(value) is eager else _kind(value)
        weak = weak and type(kind) is type
        values[position], kinds[position] = value, kind
    if weak:
        # Where one is a float they all are in `floatx`: with int64 for the ints, float32 would become float64.
        widest = float if float in kinds else None
        values = [_settled(value, widest or kind) for value, kind in zip(values, kinds, strict=True)]
        kinds = [value.dtype for value in values]
    key = (resolver, *kinds)
    dtypes = _RESOLUTIONS.get(key) or _resolve(operation, resolver, tuple(kinds))
    for position, dtype in enumerate(dtypes):
        if kinds[position] is not dtype:
            values[position] = _in_dtype(values[position], dtype)
    return tuple(values)


def _settled(value: Any, kind: type) -> Value:
    """A number that meets only numbers, in the dtype that a Python number of this kind has."""
    if isinstance(value, Value):
        return _in_dtype(value, number_dtype(kind))
    return current().interpreter.number(value, number_dtype(kind))


def _resolve(operation: str, resolver: Resolver, kinds: tuple[Any, ...]) -> Resolution:
    try:
        dtypes = resolver(kinds)
    except TypeError:
        names = ", ".join(kind.__name__ if isinstance(kind, type) else kind.name for kind in kinds)
        raise DtypeError(at_user_line(f"{operation} does not take operands of dtype {names}")) from None
    _RESOLUTIONS[resolver, *kinds] = dtypes
    return dtypes


def _in_dtype(value: Any, dtype: np.dtype) -> Value:
    if not isinstance(value, Value):
        return current().interpreter.number(value, dtype)
    aval = value.aval
    if aval.dtype == dtype:
        return value.settled() if aval.weak else value
    return in_role("convert")(value, dtype)  # type: ignore[no-any-return]


def in_common_dtype(operation: str, operands: tuple[Any, ...]) -> tuple[Value, ...]:
    """The operands promoted to one dtype."""
    eager, first, last = BASE[1], operands[0], operands[-1]
    if len(operands) == 2 and type(first) is eager is type(last) and first.array.dtype is last.array.dtype:
        return operands
    return coerce(operation, operands, common_dtype)
