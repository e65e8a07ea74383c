"""Tensors made of what a user has: `asarray`, `constant`, `from_dlpack`.

Floor 4, above `shaping`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import PYTHON_NUMBERS, checked_shape, in_dtype, parse_dtype
from ..errors import DtypeError, at_user_line
from ..families import ALL, as_array
from ..primitive import Typed, current
from ..pytree import flatten
from .annotations import ArrayLike, DtypeLike, ShapeLike
from .conversion import astype
from .shaping import broadcast_to, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor


def asarray(value: ArrayLike, /, dtype: DtypeLike = None, *, copy: bool | None = None) -> "Tensor":
    """A tensor made of an array, a number, or a nest of numbers, arrays and tensors.

    Parameters
    ----------
    value : array_like
        Tensors pass; a list that holds tensors is stacked, so that gradients flow to them.
    dtype : dtype, optional
        By default that of arrays and tensors, `tapejit.floatx()` for Python floats, int64 for ints.
    copy : bool, optional
        Writable arrays are copied, because a tensor never changes; read-only ones are shared unless this is
        True.

    Returns
    -------
    Tensor
        Connected to `value` if that is a tensor or holds tensors.

    Raises
    ------
    ShapeError
        If nested lists are ragged.
    DtypeError
        If the dtype is unknown, or `value` is no array of numbers, booleans or strings.
    ValueError
        For ``copy=False`` where `value` has to be copied.

    Examples
    --------
    >>> tj.asarray([[1, 2], [3, 4]]).shape
    (2, 2)
    >>> tj.asarray(np.arange(3.0)).dtype
    dtype('float64')
    """
    wanted = None if dtype is None else parse_dtype("asarray", dtype)
    array = _numbers(value, wanted) if wanted is not None else as_array(value)
    if wanted is not None and array.dtype != wanted:
        array = astype(array, wanted)
    if copy is False and not _is_shared(value, array):
        raise ValueError(at_user_line("asarray: a tensor of this value needs a copy; leave out copy=False"))
    if copy and isinstance(value, np.ndarray) and _is_shared(value, array):
        return as_array(value.copy())  # type: ignore[return-value]
    return array  # type: ignore[return-value]


def from_dlpack(value: Any, /) -> "Tensor":
    """A tensor of another library's array, through DLPack.

    Parameters
    ----------
    value : object with ``__dlpack__``
        In the memory of the CPU, of a dtype that NumPy has.

    Returns
    -------
    Tensor
        With a copy of its elements, as others may write to theirs; a tensor or a variable as `asarray` takes it,
        connected.

    Raises
    ------
    DtypeError
        If `value` does not speak DLPack, and for dtypes that NumPy has not.
    BufferError
        For arrays that need a gradient or are elsewhere than on the CPU.

    Examples
    --------
    >>> tj.from_dlpack(np.arange(3.0)).tolist()
    [0.0, 1.0, 2.0]
    """
    if isinstance(value, Typed):
        return asarray(value)
    if not hasattr(value, "__dlpack__"):
        raise DtypeError(at_user_line(f"from_dlpack: {type(value).__name__} has no __dlpack__; tj.asarray takes nests"))
    # NumPy calls what it got without DLPack's flag read-only, although its owner may write it: so it is copied here.
    try:
        array = np.from_dlpack(value)
    except RuntimeError as error:
        raise DtypeError(at_user_line(f"from_dlpack: NumPy can't read the {type(value).__name__}: {error}")) from None
    return asarray(np.array(array))


def _is_shared(value: Any, array: Any) -> bool:
    """Whether `array` is `value`, or an eager tensor on its memory."""
    memory = getattr(array, "array", None)  # a traced tensor has none
    return array is value or (isinstance(value, np.ndarray) and memory is not None and np.shares_memory(value, memory))


def _numbers(value: Any, dtype: np.dtype) -> Any:
    """Python numbers, also nested, straight in `dtype`, so that they are rounded once; else `as_array`."""
    if dtype.kind not in ALL:
        return as_array(value)
    if type(value) in PYTHON_NUMBERS:
        return current().interpreter.number(value, dtype)
    if isinstance(value, (list, tuple)):
        leaves, _ = flatten(value)
        if all(type(leaf) in PYTHON_NUMBERS for leaf in leaves):
            as_array(value)  # raises what is to be said about ragged lists
            return as_array(in_dtype(value, dtype), borrow=False)
    return as_array(value)


def constant(value: ArrayLike, /, dtype: DtypeLike = None, shape: ShapeLike | None = None) -> "Tensor":
    """A tensor made of an array, a number, or a nest of numbers; arrays are copied.

    Parameters
    ----------
    value : array_like
        See `asarray`.
    dtype : dtype, optional
        By default that of arrays, `tapejit.floatx()` for Python floats, int64 for ints.
    shape : int or tuple of int, optional
        Shape of the result: a single element is repeated, more are reshaped.

    Returns
    -------
    Tensor
        Tapes follow it once it is watched.

    Raises
    ------
    ShapeError
        If nested lists are ragged, or `value` does not fill `shape`.
    DtypeError
        If the dtype is unknown, or `value` is no array of numbers, booleans or strings.

    Examples
    --------
    >>> tj.constant([1.0, 2.0])
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """
    array = asarray(value, dtype, copy=True if isinstance(value, np.ndarray) else None)
    if shape is None:
        return array
    wanted = checked_shape("constant", shape)
    return broadcast_to(reshape(array, ()), wanted) if array.size == 1 else reshape(array, wanted)
