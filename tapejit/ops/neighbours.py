"""Elements with those next to them: differences, the trapezoidal rule, convolutions.

Floor 4, above `slicing` and `products`.
"""

from typing import TYPE_CHECKING, Any

from ..aval import checked_int, normalize_axis
from ..errors import DtypeError, ShapeError, at_user_line
from ..families import as_array, in_common_dtype
from ..primitive import in_role
from .annotations import ArrayLike
from .arithmetic import multiply, subtract
from .comparison import not_equal
from .compositions import floating
from .joining import concat
from .products import matmul
from .reductions import sum as total
from .shaping import broadcast_to, expand_dims, reshape
from .slicing import flip, pad_with, slice_axis
from .taking import take_along_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

_MOST_TERMS = 32
"""Up to so many terms a convolution is written out."""


def _rest(x: Any, axis: int) -> Any:
    return slice_axis(x, axis, 1, x.shape[axis])


def _but_last(x: Any, axis: int) -> Any:
    return slice_axis(x, axis, 0, max(x.shape[axis] - 1, 0))


def diff(
    x: ArrayLike,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> "Tensor":
    """Each element less the one before it, along an axis.

    Parameters
    ----------
    x : array_like
        Any shape with an axis; of booleans whether neighbours differ.
    axis : int
        Along which axis.
    n : int
        How many times.
    prepend, append : array_like, optional
        What is put before and behind `x` first: a number, or an array that fits but for the length of the axis.

    Returns
    -------
    Tensor
        Shorter by `n` along the axis; the dtype of `x`.

    Raises
    ------
    ShapeError
        If there is no such axis, or `prepend` or `append` does not fit.
    ValueError
        If `n` is negative.

    Notes
    -----
    Linear. The derivative is the negative difference of the cotangent.

    Examples
    --------
    >>> tj.diff([1.0, 4.0, 9.0]).tolist(), tj.diff([1.0, 4.0, 9.0], n=2).tolist()
    ([3.0, 5.0], [2.0])
    """
    array: Any = as_array(x)
    place = normalize_axis("diff", axis, len(array.shape))
    times = checked_int("diff", "n", n)
    if times < 0:
        raise ValueError(at_user_line(f"diff: n is not negative, got {times}"))
    if not times:
        return array  # type: ignore[no-any-return]
    parts = [_end(each, array, place) for each in (prepend, append)]
    if parts != [[], []]:
        array = concat([*parts[0], array, *parts[1]], axis=place)
    for _ in range(times):
        operation = not_equal if array.dtype.kind == "b" else subtract
        array = operation(_rest(array, place), _but_last(array, place))
    return array  # type: ignore[no-any-return]


def _end(value: Any, x: Any, axis: int) -> list[Any]:
    if value is None:
        return []
    array = as_array(value)
    if array.shape:
        return [array]
    return [broadcast_to(array, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))]


def trapezoid(y: ArrayLike, x: ArrayLike | None = None, /, dx: ArrayLike = 1.0, *, axis: int = -1) -> "Tensor":
    """The integral of samples by the trapezoidal rule, along an axis.

    Parameters
    ----------
    y : array_like
        Samples; integers are converted to float64.
    x : array_like, optional
        Where they are: with one axis, or with a shape that broadcasts to that of `y`.
    dx : float
        The distance between neighbours, where there is no `x`.
    axis : int
        Along which axis.

    Returns
    -------
    Tensor
        Floating, without the axis.

    Raises
    ------
    ShapeError
        If there is no such axis, or the shapes do not fit.

    Notes
    -----
    ``Σ (x[i+1] - x[i]) (y[i+1] + y[i]) / 2``: linear in y.

    Examples
    --------
    >>> tj.trapezoid([1.0, 2.0, 3.0]).item()
    4.0
    """
    samples = floating("trapezoid", y)
    place = normalize_axis("trapezoid", axis, len(samples.shape))
    sums: Any = _rest(samples, place) + _but_last(samples, place)
    if x is None:
        return 0.5 * dx * total(sums, place)  # type: ignore[no-any-return]
    where = floating("trapezoid", x)
    if len(where.shape) == 1:
        where = reshape(where, (where.shape[0], *(1,) * (len(samples.shape) - place - 1)))
    widths = diff(where, axis=place - len(samples.shape))
    return total(0.5 * (widths * sums), place)  # type: ignore[no-any-return]


def _checked_pair(operation: str, x: ArrayLike, y: ArrayLike) -> tuple[Any, Any]:
    left, right = in_common_dtype(operation, (x, y))
    if left.dtype.kind == "b":
        raise DtypeError(at_user_line(f"{operation} takes numeric arrays, got {left.aval}"))
    for each in (left, right):
        if len(each.shape) != 1 or not each.shape[0]:
            raise ShapeError(
                at_user_line(f"{operation} takes arrays with one axis, not empty, got {left.aval} and {right.aval}")
            )
    return left, right


def _sliding_sums(x: Any, weights: Any, mode: str, operation: str) -> Any:
    """``out[i] = Σ x[i + j] weights[j]`` for all places at which the two overlap as `mode` has it."""
    length, terms = x.shape[0], weights.shape[0]
    if mode not in ("full", "same", "valid"):
        raise ValueError(at_user_line(f"{operation}: mode is 'full', 'same' or 'valid', got {mode!r:.80}"))
    before = {"full": terms - 1, "same": terms // 2, "valid": 0}[mode]
    after = {"full": terms - 1, "same": (terms - 1) // 2, "valid": 0}[mode]
    padded = pad_with(x, ((before, after),), 0) if before or after else x
    count = length + before + after - terms + 1
    if terms <= _MOST_TERMS:
        products = [
            multiply(slice_axis(padded, 0, j, j + count), reshape(slice_axis(weights, 0, j, j + 1), ()))
            for j in range(terms)
        ]
        return sum(products[1:], start=products[0])
    starts, steps = in_role("iota")(length=count), in_role("iota")(length=terms)
    places = expand_dims(starts, 1) + steps
    windows = take_along_axis(broadcast_to(padded, (count, padded.shape[0])), places, axis=1)
    return matmul(windows, weights)


def convolve(x: ArrayLike, y: ArrayLike, /, mode: str = "full") -> "Tensor":
    """Discrete convolution of two sequences: ``out[i] = Σ x[j] y[i - j]``.

    Parameters
    ----------
    x : array_like, shape (n,)
        Numeric; promoted with `y`.
    y : array_like, shape (m,)
        Numeric.
    mode : str
        ``"full"``: wherever the two overlap; ``"same"``: the middle part, as long as the longer one; ``"valid"``: where
        they overlap completely.

    Returns
    -------
    Tensor, shape (n + m - 1,), (max(n, m),) or (abs(n - m) + 1,)
        A new array.

    Raises
    ------
    ShapeError
        If one has not one axis, or no elements.
    ValueError
        For another mode.

    Notes
    -----
    Bilinear; the derivatives are correlations of the cotangent with the other operand.

    Examples
    --------
    >>> tj.convolve([1.0, 2.0, 3.0], [1.0, 1.0]).tolist()
    [1.0, 3.0, 5.0, 3.0]
    """
    left, right = _checked_pair("convolve", x, y)
    if left.shape[0] < right.shape[0]:
        left, right = right, left
    return _sliding_sums(left, flip(right), mode, "convolve")  # type: ignore[no-any-return]


def correlate(x: ArrayLike, y: ArrayLike, /, mode: str = "valid") -> "Tensor":
    """Cross-correlation of two sequences: ``out[i] = Σ x[i + j] y[j]``.

    Parameters
    ----------
    x : array_like, shape (n,)
        Numeric; promoted with `y`.
    y : array_like, shape (m,)
        Numeric.
    mode : str
        As in `convolve`.

    Returns
    -------
    Tensor, shape (n + m - 1,), (max(n, m),) or (abs(n - m) + 1,)
        A new array.

    Raises
    ------
    ShapeError
        If one has not one axis, or no elements.
    ValueError
        For another mode.

    Notes
    -----
    ``convolve(x, flip(y), mode)``.

    Examples
    --------
    >>> tj.correlate([1.0, 2.0, 3.0], [1.0, 1.0]).tolist()
    [3.0, 5.0]
    """
    left, right = _checked_pair("correlate", x, y)
    if left.shape[0] < right.shape[0]:
        return flip(_sliding_sums(right, left, mode, "correlate"))
    return _sliding_sums(left, right, mode, "correlate")  # type: ignore[no-any-return]
