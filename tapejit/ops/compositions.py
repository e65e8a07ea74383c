"""Elementwise functions that are small compositions of others, and compile to the same loop as these.

Floor 4, above `activations`.
"""

from math import pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DtypeError, at_user_line
from ..families import FLOATING, as_array, in_common_dtype
from .activations import erf, sigmoid, softplus
from .annotations import ArrayLike
from .arithmetic import abs as size
from .arithmetic import maximum, minimum, multiply
from .comparison import equal, isfinite, isnan, less_equal, logical_or, where
from .conversion import astype
from .elementwise import expm1, tanh

if TYPE_CHECKING:
    from ..tensor import Tensor

_ROOT_HALF = sqrt(0.5)
_ROOT_TWO_BY_PI = sqrt(2 / pi)


def floating(operation: str, x: ArrayLike) -> Any:
    """`x` as a tensor of floats: integers and booleans become float64, as NumPy has it."""
    array = as_array(x)
    if array.dtype.kind not in "biuf":
        raise DtypeError(at_user_line(f"{operation} takes numeric or boolean arrays, got {array.aval}"))
    return array if array.dtype.kind in FLOATING else astype(array, np.float64)


def _pair(operation: str, x: ArrayLike, y: ArrayLike) -> tuple[Any, ...]:
    return in_common_dtype(operation, (x, y))


def _floating_pair(operation: str, x: ArrayLike, y: ArrayLike) -> tuple[Any, Any]:
    one, other = _pair(operation, x, y)
    return floating(operation, one), floating(operation, other)


def lerp(start: ArrayLike, end: ArrayLike, weight: ArrayLike, /) -> "Tensor":
    """``start + weight * (end - start)``, element by element: linear interpolation.

    Parameters
    ----------
    start, end, weight : array_like
        Shapes that broadcast against each other; promoted to one floating dtype.

    Returns
    -------
    Tensor
        The broadcast shape. It is `start` at weight 0 and `end` at weight 1, exactly, and grows with the weight
        between them. The partial derivatives are ``1 - weight``, `weight` and ``end - start``.

    Examples
    --------
    >>> tj.lerp([0.0, 10.0], [1.0, 20.0], 0.25).numpy()
    array([ 0.25, 12.5 ], dtype=float32)
    """
    low, high, share = (floating("lerp", each) for each in in_common_dtype("lerp", (start, end, weight)))
    apart = high - low
    return where(share < 0.5, low + share * apart, high - (1 - share) * apart)  # type: ignore[no-any-return]


def deg2rad(x: ArrayLike, /) -> "Tensor":
    """Degrees as radians, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is π / 180.

    Examples
    --------
    >>> tj.deg2rad([0.0, 180.0]).numpy().round(4)
    array([0.    , 3.1416], dtype=float32)
    """
    return multiply(floating("deg2rad", x), pi / 180)  # type: ignore[no-any-return]


def rad2deg(x: ArrayLike, /) -> "Tensor":
    """Radians as degrees, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is 180 / π.

    Examples
    --------
    >>> tj.rad2deg([0.0, np.pi]).numpy()
    array([  0., 180.], dtype=float32)
    """
    return multiply(floating("rad2deg", x), 180 / pi)  # type: ignore[no-any-return]


def heaviside(x: ArrayLike, at_zero: ArrayLike, /) -> "Tensor":
    """The step function: 0 for negative `x`, 1 for positive, `at_zero` at 0.

    Parameters
    ----------
    x, at_zero : array_like
        Shapes that broadcast against each other; promoted to one floating dtype.

    Returns
    -------
    Tensor
        The broadcast shape; nan where `x` is nan. Not connected to `x`, as it is piecewise constant; `at_zero`
        gets the cotangents of the places where it is taken.

    Examples
    --------
    >>> tj.heaviside([-2.0, 0.0, 2.0], 0.5).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    place, middle = _floating_pair("heaviside", x, at_zero)
    step = where(isnan(place), float("nan"), astype(place > 0, place.dtype))
    return where(equal(place, 0), middle, step)  # type: ignore[no-any-return]


def fmax(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The larger of two elements, or the one that is a number.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype; nan where both are. The derivative is 1 for the operand that is
        taken, `x` where they tie, and 0 for the other.

    Examples
    --------
    >>> tj.fmax([1.0, float("nan")], 0.5).numpy()
    array([1. , 0.5], dtype=float32)
    """
    left, right = _pair("fmax", x, y)
    if left.dtype.kind not in FLOATING:
        return maximum(left, right)  # type: ignore[no-any-return]
    return where(logical_or(left >= right, isnan(right)), left, right)  # type: ignore[no-any-return]


def fmin(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The smaller of two elements, or the one that is a number.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype; nan where both are. The derivative is 1 for the operand that is
        taken, `x` where they tie, and 0 for the other.

    Examples
    --------
    >>> tj.fmin([1.0, float("nan")], 2.5).numpy()
    array([1. , 2.5], dtype=float32)
    """
    left, right = _pair("fmin", x, y)
    if left.dtype.kind not in FLOATING:
        return minimum(left, right)  # type: ignore[no-any-return]
    return where(logical_or(left <= right, isnan(right)), left, right)  # type: ignore[no-any-return]


def nan_to_num(
    x: ArrayLike, /, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> "Tensor":
    """The elements with numbers in the place of nan and infinities.

    Parameters
    ----------
    x : array_like
        Any shape.
    nan : float
        What stands for nan.
    posinf, neginf : float, optional
        What stands for inf and -inf; by default the largest and the smallest number of the dtype.

    Returns
    -------
    Tensor
        Same shape and dtype; integers as they are. The derivative is 1, and 0 for the elements that were replaced.

    Examples
    --------
    >>> tj.nan_to_num([1.0, float("nan")]).numpy()
    array([1., 0.], dtype=float32)
    """
    array: Any = as_array(x)
    if array.dtype.kind not in FLOATING:
        return array  # type: ignore[no-any-return]
    ends = np.finfo(array.dtype)
    above = float(ends.max) if posinf is None else posinf
    below = float(ends.min) if neginf is None else neginf
    finite = where(equal(array, float("inf")), above, where(equal(array, -float("inf")), below, array))
    return where(isnan(array), nan, finite)  # type: ignore[no-any-return]


# ---- closeness


def isclose(
    x: ArrayLike, y: ArrayLike, /, rtol: ArrayLike = 1e-5, atol: ArrayLike = 1e-8, *, equal_nan: bool = False
) -> "Tensor":
    """Whether two elements are equal but for a tolerance: ``abs(x - y) <= atol + rtol * abs(y)``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.
    rtol, atol : array_like
        Relative and absolute tolerance.
    equal_nan : bool
        Whether nan is close to nan.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected. An infinity is close to itself only.

    Examples
    --------
    >>> tj.isclose([1.0, 2.0], [1.0000001, 2.1]).numpy()
    array([ True, False])
    """
    left, right = _floating_pair("isclose", x, y)
    near = less_equal(size(left - right), atol + rtol * size(right)) & isfinite(right)
    close = logical_or(near, equal(left, right))
    return logical_or(close, isnan(left) & isnan(right)) if equal_nan else close  # type: ignore[no-any-return]


# ---- curves of learning


def silu(x: ArrayLike, /) -> "Tensor":
    """``x * sigmoid(x)``, element by element, also called swish.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``sigmoid(x) * (1 + x * (1 - sigmoid(x)))``.

    Examples
    --------
    >>> tj.silu([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.7311], dtype=float32)
    """
    array = floating("silu", x)
    return array * sigmoid(array)  # type: ignore[no-any-return]


def gelu(x: ArrayLike, /, *, approximate: bool = False) -> "Tensor":
    """``x Φ(x)`` with the normal distribution function Φ, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    approximate : bool
        Whether Φ is ``(1 + tanh(sqrt(2/π) (x + 0.044715 x**3))) / 2`` rather than exact.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``Φ(x) + x φ(x)``.

    Notes
    -----
    D. Hendrycks and K. Gimpel, Gaussian error linear units, arXiv:1606.08415 (2016).

    Examples
    --------
    >>> tj.gelu([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.8413], dtype=float32)
    """
    array = floating("gelu", x)
    if approximate:
        return 0.5 * array * (1 + tanh(_ROOT_TWO_BY_PI * (array + 0.044715 * array**3)))  # type: ignore[no-any-return]
    return 0.5 * array * (1 + erf(_ROOT_HALF * array))  # type: ignore[no-any-return]


def elu(x: ArrayLike, /, alpha: ArrayLike = 1.0) -> "Tensor":
    """`x` where it is positive, else ``alpha * (exp(x) - 1)``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    alpha : array_like
        Minus the limit at -inf.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is 1 where x > 0, else ``alpha * exp(x)``.

    Examples
    --------
    >>> tj.elu([-1.0, 2.0]).numpy().round(4)
    array([-0.6321,  2.    ], dtype=float32)
    """
    array = floating("elu", x)
    return where(array > 0, array, alpha * expm1(minimum(array, 0)))  # type: ignore[no-any-return]


def leaky_relu(x: ArrayLike, /, alpha: ArrayLike = 0.2) -> "Tensor":
    """`x` where it is positive, else ``alpha * x``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    alpha : array_like
        The slope on the left.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is 1 where x > 0, else `alpha`.

    Examples
    --------
    >>> tj.leaky_relu([-1.0, 2.0]).numpy()
    array([-0.2,  2. ], dtype=float32)
    """
    array = floating("leaky_relu", x)
    return where(array > 0, array, alpha * array)  # type: ignore[no-any-return]


def log_sigmoid(x: ArrayLike, /) -> "Tensor":
    """``log(sigmoid(x))``, element by element; neither end overflows.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, not positive. The derivative is ``sigmoid(-x)``.

    Examples
    --------
    >>> tj.log_sigmoid([0.0, -100.0]).numpy().round(4)
    array([  -0.6931, -100.    ], dtype=float32)
    """
    return -softplus(-floating("log_sigmoid", x))  # type: ignore[no-any-return]
