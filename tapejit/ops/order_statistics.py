"""`median`, `quantile`, `percentile`: elements at places in the order, and what lies between them.

Floor 4, above `sorting`. The elements that are picked share the derivative by their weights in the interpolation; that
is a subgradient, since the order changes where elements tie. Start reading at `_between`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..aval import Shape, normalize_axes, with_ones, without
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import as_array
from ..primitive import Typed, in_role
from .annotations import ArrayLike, Axis
from .arithmetic import maximum, minimum, subtract
from .comparison import isnan, logical_and, logical_not, where
from .compositions import floating, lerp
from .conversion import astype, ceil, floor
from .conversion import round as rint
from .indexing import getitem
from .reductions import sum as total
from .shaping import expand_dims, moveaxis, permute_dims, ravel, reshape
from .sorting import sort
from .taking import take_along_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN = float("nan")


class _Method(NamedTuple):
    """How a place between two elements is read: from which ones, and with which weight of the second."""

    below: str
    above: str
    weight: float | None = 0.0  # None for the fraction


_METHODS = {
    "linear": _Method("floor", "ceil", None),
    "lower": _Method("floor", "floor"),
    "higher": _Method("ceil", "ceil"),
    "nearest": _Method("rint", "rint"),
    "midpoint": _Method("floor", "ceil", 0.5),
}
_ROUNDED: dict[str, Callable[[Any], Any]] = {"floor": floor, "ceil": ceil, "rint": rint}


def _in_order(operation: str, x: ArrayLike, axis: Axis) -> tuple[Any, Shape, tuple[int, ...]]:
    """The elements sorted along one last axis, the shape of the array and the axes that became this one."""
    array = floating(operation, as_array(x, borrow=True))
    shape: Shape = array.shape
    axes = normalize_axes(operation, axis, len(shape))
    rest = tuple(place for place in range(len(shape)) if place not in axes)
    count = int(np.prod([shape[place] for place in axes]))
    if not count:
        raise ShapeError(at_user_line(f"{operation} of no elements has no value: shape {shape}, axis {axis}"))
    rows = reshape(permute_dims(array, (*rest, *axes)), (*without(shape, axes), count))
    return sort(rows), shape, axes


def _spread_nan(out: Any, ordered: Any) -> Any:
    """`out`, and nan where a row has one: it then stands last. Its derivative is nan as well."""
    last = getitem(ordered, (..., -1))
    factor = where(isnan(last), _NAN, in_role("ones")((), ordered.dtype))
    return out * reshape(factor, (*factor.shape, *(1,) * (len(out.shape) - len(factor.shape))))


def _shaped(out: Any, shape: Shape, axes: tuple[int, ...], q_shape: Shape, keepdims: bool) -> Any:
    """From shape (rest, number of quantiles) to that of the quantiles, then the rest."""
    kept = with_ones(shape, axes) if keepdims else without(shape, axes)
    return reshape(moveaxis(out, -1, 0), (*q_shape, *kept))


def _at(ordered: Any, place: float, method: _Method) -> Any:
    """What stands at one place that is known beforehand: slices of the rows."""
    low, high = (int(getattr(np, each)(place)) for each in (method.below, method.above))
    first = getitem(ordered, (..., low))
    weight = place - low if method.weight is None else method.weight
    if high == low or weight == 0:
        return first
    second = getitem(ordered, (..., high))
    apart = second - first
    return first + apart * weight if weight < 0.5 else second - apart * (1 - weight)


def _between(ordered: Any, places: Any, method: _Method) -> Any:
    """What stands at places that are computed: shape (..., k) against rows (..., n)."""
    below, above = (_ROUNDED[each](places) for each in (method.below, method.above))
    first, second = (take_along_axis(ordered, astype(each, np.int64), axis=-1) for each in (below, above))
    if method.weight is None:
        return lerp(first, second, astype(places - below, ordered.dtype))
    return lerp(first, second, method.weight)


def _checked(operation: str, q: Any, method: str, highest: int) -> tuple[Any, _Method]:
    """Quantiles as a Python number, a NumPy array or a tensor, and the method."""
    if method not in _METHODS:
        raise ValueError(at_user_line(f"{operation}: method is one of {', '.join(_METHODS)}, got {method!r:.80}"))
    if isinstance(q, Typed):
        return floating(operation, q), _METHODS[method]
    numbers = np.asarray(q)
    if numbers.dtype.kind not in "iuf":
        raise DtypeError(at_user_line(f"{operation}: q is made of numbers, got {q!r:.80}"))
    if not np.all((numbers >= 0) & (numbers <= highest)):
        raise ValueError(at_user_line(f"{operation}: q is between 0 and {highest}, got {q!r:.80}"))
    return numbers.astype(np.float64), _METHODS[method]


def _places(q: Any, highest: int, last: Any) -> tuple[Any, Any]:
    """From quantiles (k,) to places (..., k) in rows whose last element is at `last`; and where they are in range."""
    share = astype(ravel(q), np.float64) / highest
    inside = logical_and(share >= 0, share <= 1)
    return where(inside, share, 0) * last, inside


def _quantile(x: ArrayLike, axis: Axis, asked: tuple[Any, _Method], keepdims: bool, highest: int) -> "Tensor":
    quantiles, how = asked
    ordered, shape, axes = _in_order("quantile" if highest == 1 else "percentile", x, axis)
    last = ordered.shape[-1] - 1
    if isinstance(quantiles, np.ndarray) and not quantiles.ndim:
        out = expand_dims(_at(ordered, float(quantiles) / highest * last, how), -1)
    else:
        places, inside = _places(quantiles, highest, float(last))
        rank = len(ordered.shape) - 1
        out = _between(ordered, reshape(places, (*(1,) * rank, *places.shape)), how)
        out = where(inside, out, _NAN) if isinstance(quantiles, Typed) else out
    return _shaped(_spread_nan(out, ordered), shape, axes, quantiles.shape, keepdims)  # type: ignore[no-any-return]


def quantile(
    x: ArrayLike, q: ArrayLike, /, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> "Tensor":
    """The elements that stand at shares `q` of the way through the order.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    q : array_like
        Between 0 (the smallest element) and 1 (the largest).
    axis : int or sequence of int, optional
        What to order; by default all axes.
    method : str
        What is between two elements: ``"linear"`` interpolation, the ``"lower"``, ``"higher"`` or ``"nearest"`` one
        (of two the one with the even place), or the ``"midpoint"``.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor, shape of `q`, then the other axes
        Floating; nan where an element is nan.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.
    ValueError
        If `q` is out of range or the method is unknown. A `q` that is a tensor gives nan out of range.

    Notes
    -----
    The place of q in n elements is ``q (n - 1)``. The one or two elements that are picked share the derivative by their
    weights; where elements tie, this is one of the subgradients. `q` gets the slope of the interpolation.

    Examples
    --------
    >>> tj.quantile([4.0, 1.0, 2.0, 3.0], [0.0, 0.5]).numpy()
    array([1. , 2.5], dtype=float32)
    """
    return _quantile(x, axis, _checked("quantile", q, method, 1), keepdims, 1)


def percentile(
    x: ArrayLike, q: ArrayLike, /, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> "Tensor":
    """`quantile` with `q` in percent.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    q : array_like
        Between 0 (the smallest element) and 100 (the largest).
    axis : int or sequence of int, optional
        What to order; by default all axes.
    method : str
        As in `quantile`.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor, shape of `q`, then the other axes
        Floating; nan where an element is nan.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.
    ValueError
        If `q` is out of range or the method is unknown.

    Notes
    -----
    With the derivative of `quantile`.

    Examples
    --------
    >>> tj.percentile([4.0, 1.0, 2.0, 3.0], 50).item()
    2.5
    """
    return _quantile(x, axis, _checked("percentile", q, method, 100), keepdims, 100)


def median(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """The element in the middle of the order; of an even number the mean of the two.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to order; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes; nan where an element is nan.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Notes
    -----
    The derivative is 1 by the element in the middle, or one half by each of the two; where elements tie, this is one of
    the subgradients.

    Examples
    --------
    >>> tj.median([4.0, 1.0, 2.0]).item(), tj.median([4.0, 1.0, 2.0, 3.0]).item()
    (2.0, 2.5)
    """
    ordered, shape, axes = _in_order("median", x, axis)
    low, high = (ordered.shape[-1] - 1) // 2, ordered.shape[-1] // 2
    middle = getitem(ordered, (..., low))
    if high > low:  # halves, since the sum may overflow
        middle = 0.5 * middle + 0.5 * getitem(ordered, (..., high))
    out = expand_dims(_spread_nan(middle, ordered), -1)
    return _shaped(out, shape, axes, (), keepdims)  # type: ignore[no-any-return]


def nanquantile(
    x: ArrayLike, q: ArrayLike, /, axis: Axis = None, *, method: str = "linear", keepdims: bool = False
) -> "Tensor":
    """`quantile` of the elements that are numbers.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    q : array_like
        Between 0 (the smallest number) and 1 (the largest).
    axis : int or sequence of int, optional
        What to order; by default all axes.
    method : str
        As in `quantile`.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor, shape of `q`, then the other axes
        Floating; nan where there is no number, without a warning.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.
    ValueError
        If `q` is out of range or the method is unknown.

    Notes
    -----
    With the derivative of `quantile`; that by each nan is 0.

    Examples
    --------
    >>> tj.nanquantile([4.0, float("nan"), 2.0], 0.5).item()
    3.0
    """
    quantiles, how = _checked("nanquantile", q, method, 1)
    ordered, shape, axes = _in_order("nanquantile", x, axis)
    numbers = total(astype(logical_not(isnan(ordered)), np.float64), -1, keepdims=True)
    places, inside = _places(quantiles, 1, maximum(subtract(numbers, 1), 0))
    out = where(inside, _between(ordered, minimum(places, float(ordered.shape[-1] - 1)), how), _NAN)
    return _shaped(out, shape, axes, quantiles.shape, keepdims)  # type: ignore[no-any-return]


def nanmedian(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> "Tensor":
    """`median` of the elements that are numbers.

    Parameters
    ----------
    x : array_like
        Any shape; integers and booleans are converted to float64.
    axis : int or sequence of int, optional
        What to order; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes; nan where there is no number, without a warning.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements.

    Notes
    -----
    With the derivative of `median`; that by each nan is 0.

    Examples
    --------
    >>> tj.nanmedian([4.0, float("nan"), 2.0]).item()
    3.0
    """
    return nanquantile(x, 0.5, axis, keepdims=keepdims)
