"""The logarithm of the gamma function, and its derivatives.

Floor 4, above `activations`. The numbers come from `gamma_functions`; what is a derivative of more than second order is
composed of other operations.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import floating_dtype
from ..families import FLOATING, elementwise, uniform
from . import conversion, gamma_functions
from .annotations import ArrayLike
from .comparison import where
from .elementwise import cos, sin

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")
_EULER = 0.5772156649015329

_SHIFT = 10  # how far up the series of the third derivative begins
_SERIES = (1.0, 1.0, 1 / 2, 0.0, -1 / 6, 0.0, 1 / 6, 0.0, -3 / 10, 0.0, 5 / 6, 0.0, -691 / 210, 0.0, 35 / 2)
"""``-x² ψ''(x)`` by powers of 1/x: Bernoulli numbers."""


def _third_derivative(x: "Tensor") -> "Tensor":
    """Of `lgamma`, the derivative of `trigamma`: a recurrence, a series, and a reflection for negative numbers.

    Source: NIST Digital Library of Mathematical Functions, 5.15.5, 5.15.6 and 5.15.8.
    """
    negative = x < 0
    y = where(negative, 1 - x, x)
    total = -2 * _cubed(1 / y)
    for more in range(1, _SHIFT):
        total = total - 2 * _cubed(1 / (y + more))
    inverse = 1 / (y + _SHIFT)
    series = _SERIES[-1]
    for coefficient in _SERIES[-2::-1]:
        series = series * inverse + coefficient
    total = total - inverse * inverse * series
    angle = math.pi * where(negative, x - conversion.round(x), 0.25)
    reflected = total - 2 * cos(angle) * _cubed(math.pi / sin(angle))
    result: Tensor = where(negative, reflected, total)
    return result


def _cubed(x: Any) -> Any:
    return x * x * x


@elementwise(
    impl=gamma_functions.trigamma, kernel="trigamma(x)", dtypes=FLOATING, resolve=floating_dtype,
    samples=uniform(0.3, 12), cost=60, partials={"x": _third_derivative},
    special=((1.0, math.pi**2 / 6), (0.5, math.pi**2 / 2), (0.0, _INF), (-1.0, _INF), (_INF, 0.0), (_NAN, _NAN)),
    slopes=((1.0, -2.4041138063191886), (_INF, 0.0)),
)  # fmt: skip
def trigamma(x: ArrayLike, /) -> "Tensor":
    """Second derivative of `lgamma`, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating: ``Σ 1 / (x + k)**2`` over k = 0, 1, 2, …

    Notes
    -----
    It is inf at 0 and at negative integers, 0 at inf and nan at -inf. Negative numbers take the reflection ``(π / sin
    πx)**2 - trigamma(1 - x)``.

    Examples
    --------
    >>> tj.trigamma([1.0, 10.0]).numpy().round(4)
    array([1.6449, 0.1052], dtype=float32)
    """


@elementwise(
    impl=gamma_functions.digamma, kernel="digamma(x)", dtypes=FLOATING, resolve=floating_dtype,
    samples=uniform(0.3, 12), cost=60, partials={"x": trigamma},
    special=(
        (1.0, -_EULER), (2.0, 1 - _EULER), (0.5, -_EULER - 2 * math.log(2)), (0.0, -_INF), (-0.0, _INF),
        (-2.0, _NAN), (_INF, _INF), (-_INF, _NAN), (_NAN, _NAN),
    ),
    slopes=((1.0, math.pi**2 / 6), (_INF, 0.0)),
)  # fmt: skip
def digamma(x: ArrayLike, /) -> "Tensor":
    """Derivative of `lgamma`, ``Γ'(x) / Γ(x)``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``trigamma(x)``.

    Notes
    -----
    It is -inf at 0 and inf at -0, nan at negative integers, where it has no limit, and at -inf. The error is some ulp
    of the result or of 1, whichever is larger: near the roots of negative numbers it is not relative.

    Examples
    --------
    >>> tj.digamma([1.0, 10.0]).numpy().round(4)
    array([-0.5772,  2.2518], dtype=float32)
    """


@elementwise(
    impl=gamma_functions.lgamma, kernel="lgamma(x)", dtypes=FLOATING, resolve=floating_dtype,
    samples=uniform(0.3, 12), cost=60, partials={"x": digamma},
    special=(
        (1.0, 0.0), (2.0, 0.0), (0.5, math.log(math.pi) / 2), (0.0, _INF), (-0.0, _INF), (-3.0, _INF), (_INF, _INF),
        (-_INF, _INF), (_NAN, _NAN),
    ),
    slopes=((1.0, -_EULER), (_INF, _INF)), reference=np.vectorize(math.lgamma, otypes=[np.float64]),
)  # fmt: skip
def lgamma(x: ArrayLike, /) -> "Tensor":
    """``log |Γ(x)|``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``digamma(x)``.

    Notes
    -----
    It is inf at 0 and at negative integers, and at ±inf. The error is some ulp of the result or of 1, whichever is
    larger: near the roots of negative numbers it is not relative.

    Examples
    --------
    >>> tj.lgamma([1.0, 10.0]).numpy().round(4)
    array([ 0.    , 12.8018], dtype=float32)
    """
