"""New arrays: made from values, or filled with one.

Floor 4, above `shaping`. Under a trace nothing that is filled puts memory into the graph: it is a broadcast number.
What is made of the integers is in `counting`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import PYTHON_NUMBERS, Shape, checked_shape, parse_dtype
from ..config import floatx
from ..errors import at_user_line
from ..families import as_array
from ..families.operands import number_dtype
from ..primitive import claim, current, in_role
from ..pytree import flatten
from .annotations import ArrayLike, DtypeLike, ShapeLike
from .conversion import astype
from .shaping import broadcast_to, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor


# ---- from values


def asarray(value: ArrayLike, /, dtype: DtypeLike = None, *, copy: bool | None = None) -> "Tensor":
    """A tensor made of an array, a number, or a nest of numbers, arrays and tensors.

    Parameters
    ----------
    value : array_like
        Tensors pass; a list that holds tensors is stacked, so that gradients flow to them.
    dtype : dtype, optional
        By default that of arrays and tensors, `tapejit.floatx()` for Python floats, int64 for ints.
    copy : bool, optional
        Writable arrays are copied, because a tensor never changes; read-only ones are shared unless this is True.

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


def _is_shared(value: Any, array: Any) -> bool:
    """Whether `array` is `value`, or an eager tensor on its memory."""
    if isinstance(value, np.ndarray):
        return np.shares_memory(value, getattr(array, "array", None))
    return array is value


def _numbers(value: Any, dtype: np.dtype) -> Any:
    """Python numbers, also nested, straight in `dtype`, so that they are rounded once; else as `as_array` has it."""
    if type(value) in PYTHON_NUMBERS:
        return current().interpreter.number(dtype.type(value).item(), dtype)
    if isinstance(value, (list, tuple)):
        leaves, _ = flatten(value)
        if all(type(leaf) in PYTHON_NUMBERS for leaf in leaves):
            as_array(value)  # raises what is to be said about ragged lists
            return as_array(np.asarray(value, dtype), borrow=False)
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


# ---- filled


def full(shape: ShapeLike, fill_value: ArrayLike, dtype: DtypeLike = None) -> "Tensor":
    """A tensor filled with one value.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    fill_value : array_like
        Broadcasts to `shape`.
    dtype : dtype, optional
        By default that of `fill_value`: `tapejit.floatx()` for a Python float, int64 for an int.

    Returns
    -------
    Tensor
        Connected to `fill_value`. It takes the memory of one element.

    Raises
    ------
    ShapeError
        If a length is negative or `fill_value` does not broadcast.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.full((2, 2), 7.0).numpy()
    array([[7., 7.],
           [7., 7.]], dtype=float32)
    """
    wanted = checked_shape("full", shape)
    if type(fill_value) in PYTHON_NUMBERS:
        chosen = number_dtype(type(fill_value)) if dtype is None else parse_dtype("full", dtype)
        return _filled(wanted, fill_value, chosen)
    return broadcast_to(asarray(fill_value, dtype), wanted)


def _filled(shape: Shape, number: Any, dtype: np.dtype) -> "Tensor":
    """`number` everywhere, in the memory of one element."""
    element = current().interpreter.number(number, dtype)
    return in_role("broadcast")(element, shape) if shape else element  # type: ignore[no-any-return]


claim("zeros", lambda shape, dtype: _filled(shape, 0, dtype))
claim("ones", lambda shape, dtype: _filled(shape, 1, dtype))


def zeros(shape: ShapeLike, dtype: DtypeLike = None) -> "Tensor":
    """A tensor of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    dtype : dtype, optional
        By default `tapejit.floatx()`.

    Returns
    -------
    Tensor
        It takes the memory of one element.

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.zeros((2, 3)).numpy()
    array([[0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    return _filled(
        checked_shape("zeros", shape), 0, floatx() if dtype is None else parse_dtype("zeros", dtype)
    )


def ones(shape: ShapeLike, dtype: DtypeLike = None) -> "Tensor":
    """A tensor of ones.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    dtype : dtype, optional
        By default `tapejit.floatx()`.

    Returns
    -------
    Tensor
        It takes the memory of one element.

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If the dtype is unknown.

    Examples
    --------
    >>> tj.ones(3, dtype="int64").numpy()
    array([1, 1, 1])
    """
    return _filled(checked_shape("ones", shape), 1, floatx() if dtype is None else parse_dtype("ones", dtype))


def zeros_like(x: ArrayLike, /, dtype: DtypeLike = None) -> "Tensor":
    """Zeros in the shape of another array.

    Parameters
    ----------
    x : array_like
        Only its shape and dtype count.
    dtype : dtype, optional
        By default that of `x`.

    Returns
    -------
    Tensor
        Not connected to `x`.

    Examples
    --------
    >>> tj.zeros_like([1.0, 2.0]).numpy()
    array([0., 0.], dtype=float32)
    """
    return _like("zeros_like", x, 0, dtype)


def ones_like(x: ArrayLike, /, dtype: DtypeLike = None) -> "Tensor":
    """Ones in the shape of another array.

    Parameters
    ----------
    x : array_like
        Only its shape and dtype count.
    dtype : dtype, optional
        By default that of `x`.

    Returns
    -------
    Tensor
        Not connected to `x`.

    Examples
    --------
    >>> tj.ones_like([1.0, 2.0]).numpy()
    array([1., 1.], dtype=float32)
    """
    return _like("ones_like", x, 1, dtype)


def full_like(x: ArrayLike, /, fill_value: ArrayLike, dtype: DtypeLike = None) -> "Tensor":
    """One value in the shape of another array.

    Parameters
    ----------
    x : array_like
        Only its shape and dtype count.
    fill_value : array_like
        Broadcasts to the shape of `x`.
    dtype : dtype, optional
        By default that of `x`.

    Returns
    -------
    Tensor
        Connected to `fill_value`, not to `x`.

    Examples
    --------
    >>> tj.full_like([1.0, 2.0], 5).numpy()
    array([5., 5.], dtype=float32)
    """
    return _like("full_like", x, fill_value, dtype)


def _like(operation: str, x: Any, fill_value: Any, dtype: Any) -> "Tensor":
    array = as_array(x, borrow=True)
    return full(array.shape, fill_value, array.dtype if dtype is None else parse_dtype(operation, dtype))
