"""Exponentials and logarithms to the bases 2 and 10, element by element.

Floor 4, beside `elementwise`, which has those to the base e.
"""

from math import log as _log
from typing import TYPE_CHECKING

import numpy as np

from ..families import FLOATING, elementwise, uniform
from .annotations import ArrayLike

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")
_LN2, _LN10 = _log(2), _log(10)


@elementwise(
    impl=np.exp2, kernel="exp2(x)", dtypes=FLOATING, samples=uniform(-3, 3), cost=15,
    partials={"x": lambda out: out * _LN2},
    special=((0.0, 1.0), (-1.0, 0.5), (_INF, _INF), (-_INF, 0.0), (_NAN, _NAN)), slopes=((0.0, _LN2), (-_INF, 0.0)),
)  # fmt: skip
def exp2(x: ArrayLike, /) -> "Tensor":
    """``2**x``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``log(2) * 2**x``. In kernels exact for a whole `x`.

    Examples
    --------
    >>> tj.exp2([0.0, 0.5]).numpy().round(4)
    array([1.    , 1.4142], dtype=float32)
    """


@elementwise(
    impl=np.log2, kernel="log2(x)", dtypes=FLOATING, samples=uniform(0.2, 4), cost=15,
    vjp={"x": lambda ct, x: ct / (x * _LN2)},
    special=((0.0, -_INF), (8.0, 3.0), (_INF, _INF), (-1.0, _NAN)), slopes=((0.0, _INF), (_INF, 0.0)),
)  # fmt: skip
def log2(x: ArrayLike, /) -> "Tensor":
    """Logarithm to the base 2, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / (x log(2))``.

    Notes
    -----
    ``log2(0)`` is -inf with the derivative inf; of a negative number it is nan, without a warning.

    Examples
    --------
    >>> tj.log2([1.0, 3.0]).numpy().round(4)
    array([0.   , 1.585], dtype=float32)
    """


@elementwise(
    impl=np.log10, kernel="log10(x)", dtypes=FLOATING, samples=uniform(0.2, 4), cost=15,
    vjp={"x": lambda ct, x: ct / (x * _LN10)},
    special=((0.0, -_INF), (1000.0, 3.0), (_INF, _INF), (-1.0, _NAN)), slopes=((0.0, _INF), (_INF, 0.0)),
)  # fmt: skip
def log10(x: ArrayLike, /) -> "Tensor":
    """Logarithm to the base 10, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``1 / (x log(10))``.

    Notes
    -----
    ``log10(0)`` is -inf with the derivative inf; of a negative number it is nan, without a warning.

    Examples
    --------
    >>> tj.log10([1.0, 2.0]).numpy().round(4)
    array([0.    , 0.301], dtype=float32)
    """
