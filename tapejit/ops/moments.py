"""`mean`, `var`, `std`: compositions of `sum`.

Floor 4, above `reductions`.
"""

from math import prod as _count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import normalize_axes
from ..errors import DtypeError, at_user_line
from ..families import ALL, as_array
from .annotations import ArrayLike, Axis
from .conversion import astype
from .elementwise import sqrt
from .powers import square
from .reductions import sum  # noqa: A004 (the Array API's name)

if TYPE_CHECKING:
    from ..tensor import Tensor


def mean(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """Arithmetic mean along axes.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to average along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes. The derivative by each element is ``1 / n``. The mean of nothing is nan.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.mean([[1.0, 2.0], [3.0, 4.0]], axis=0).numpy()
    array([2., 3.], dtype=float32)
    """
    array = _floating("mean", x)
    count = _length("mean", array, axis)
    return sum(array, axis, keepdims=keepdims) / count  # type: ignore[no-any-return]


def var(
    x: ArrayLike,
    /,
    axis: Axis = None,
    *,
    correction: float = 0,
    keepdims: bool = False,
    ddof: float | None = None,
) -> "Tensor":
    """Variance along axes: the mean squared distance from the mean.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    correction : float
        The sum of squares is divided by ``n - correction``.
    keepdims : bool
        Whether the axes stay, with length 1.
    ddof : float, optional
        NumPy's name for `correction`.

    Returns
    -------
    Tensor
        Floating, without the axes. The derivative is ``2 (x - mean) / (n - correction)``. nan or inf where
        ``n <= correction``.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.var([1.0, 2.0, 3.0, 4.0]).numpy()
    array(1.25, dtype=float32)
    """
    array = _floating("var", x)
    correction = correction if ddof is None else ddof
    if not isinstance(correction, (int, float, np.number)):
        raise DtypeError(at_user_line(f"var: correction (or ddof) is a number, got {correction!r:.80}"))
    count = max(_length("var", array, axis) - correction, 0)
    centered = array - mean(array, axis, keepdims=True)
    return sum(square(centered), axis, keepdims=keepdims) / count  # type: ignore[no-any-return]


def std(
    x: ArrayLike,
    /,
    axis: Axis = None,
    *,
    correction: float = 0,
    keepdims: bool = False,
    ddof: float | None = None,
) -> "Tensor":
    """Standard deviation along axes: the root of `var`.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to look along; by default all axes.
    correction : float
        The sum of squares is divided by ``n - correction``.
    keepdims : bool
        Whether the axes stay, with length 1.
    ddof : float, optional
        NumPy's name for `correction`.

    Returns
    -------
    Tensor
        Floating, without the axes. The derivative is ``(x - mean) / ((n - correction) std)``: where all
        elements are equal that is 0/0, nan. Use ``sqrt(var(x) + epsilon)`` where that may happen.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.std([1.0, 3.0]).numpy()
    array(1., dtype=float32)
    """
    return sqrt(var(x, axis, correction=correction, keepdims=keepdims, ddof=ddof))  # type: ignore[no-any-return]


def _floating(operation: str, x: Any) -> Any:
    array = as_array(x, borrow=True)
    if array.dtype.kind not in ALL:
        raise DtypeError(at_user_line(f"{operation} takes numeric or boolean arrays, got {array.aval}"))
    return array if array.dtype.kind == "f" else astype(array, np.float64)


def _length(operation: str, array: Any, axis: Any) -> int:
    """How many elements one result is made of."""
    return _count(array.shape[a] for a in normalize_axes(operation, axis, len(array.shape)))
