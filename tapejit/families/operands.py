"""From what a user passes to what a primitive takes: values of one dtype.

`coerce` is on the path of every eager operation, so the answer to "which dtype?" is remembered for each combination
of kinds.
"""

from typing import Any

import numpy as np

from ..aval import PYTHON_NUMBERS, Resolution, Resolver, common_dtype, is_floating
from ..config import floatx
from ..errors import DtypeError, at_user_line
from ..primitive import Value, current, in_role

_RESOLUTIONS: dict[tuple[Any, ...], Resolution] = {}


def as_array(value: Any, borrow: bool = False) -> Value:
    """`value` as a tensor: tensors pass, numbers become 0-d arrays in `config.floatx`, int64 or bool."""
    if isinstance(value, Value):
        return value
    if type(value) in PYTHON_NUMBERS:
        return current().interpreter.number(value, number_dtype(type(value)))
    return current().interpreter.lift(value, borrow)


def number_dtype(kind: type) -> np.dtype:
    """The dtype of a Python number that meets no array."""
    return floatx() if kind is float else PYTHON_NUMBERS[kind]


def _kind(value: Any) -> Any:
    """The dtype of a value, or the Python type of a number that takes the dtype of the others."""
    if not isinstance(value, Value):
        return type(value)
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
    values = tuple(
        operand
        if isinstance(operand, Value) or type(operand) in PYTHON_NUMBERS
        else current().interpreter.lift(operand, True)
        for operand in operands
    )
    kinds = tuple(map(_kind, values))
    if all(type(kind) is type for kind in kinds):
        values = tuple(map(_settled, values))
        kinds = tuple(value.dtype for value in values)
    dtypes = _RESOLUTIONS.get((resolver, kinds)) or _resolve(operation, resolver, kinds)
    return tuple(map(_in_dtype, values, dtypes))


def _settled(value: Any) -> Value:
    """A number that meets only numbers, in its own dtype."""
    if isinstance(value, Value):
        return in_role("convert")(value, number_dtype(_kind(value)))  # type: ignore[no-any-return]
    return as_array(value)


def _resolve(operation: str, resolver: Resolver, kinds: tuple[Any, ...]) -> Resolution:
    try:
        dtypes = resolver(kinds)
    except TypeError:
        names = ", ".join(kind.__name__ if isinstance(kind, type) else kind.name for kind in kinds)
        raise DtypeError(at_user_line(f"{operation} does not take operands of dtype {names}")) from None
    _RESOLUTIONS[resolver, kinds] = dtypes
    return dtypes


def _in_dtype(value: Any, dtype: np.dtype) -> Value:
    if not isinstance(value, Value):
        return current().interpreter.number(value, dtype)
    aval = value.aval
    if aval.dtype == dtype and not aval.weak:
        return value
    return in_role("convert")(value, dtype)  # type: ignore[no-any-return]


def in_common_dtype(operation: str, operands: tuple[Any, ...]) -> tuple[Value, ...]:
    """The operands promoted to one dtype."""
    return coerce(operation, operands, common_dtype)


def require_floating(operation: str, value: Value) -> None:
    """Refuse integers and booleans where the mathematics needs a real number.

    Raises
    ------
    DtypeError
        Naming the dtype and the way out.
    """
    if not is_floating(value.dtype):
        raise DtypeError(
            at_user_line(f"{operation} takes floating arrays, got {value.dtype.name}; convert with tj.astype(x, 'float32')")
        )
