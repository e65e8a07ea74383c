"""The error function, its complement and the curves of learning: sigmoid, softplus, `logaddexp`, relu.

Floor 4, above `elementwise`.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import floating_dtype
from ..families import ALL, FLOATING, elementwise, spaced, uniform
from . import error_function
from .annotations import ArrayLike
from .comparison import isinf, isnan, where
from .elementwise import exp

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")
_TWO_BY_ROOT_PI = 2 / math.sqrt(math.pi)


def _sigmoid(x: np.ndarray) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, x.dtype.type(1), small) / (1 + small)


def _softplus(x: np.ndarray) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@elementwise(
    impl=error_function.erf, kernel="erf(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-3, 3),
    cost=30, partials={"x": lambda x: _TWO_BY_ROOT_PI * exp(-(x * x))},
    special=((0.0, 0.0), (-0.0, -0.0), (_INF, 1.0), (-_INF, -1.0), (_NAN, _NAN)),
    slopes=((0.0, _TWO_BY_ROOT_PI), (_INF, 0.0)), reference=np.vectorize(math.erf, otypes=[np.float64]),
)  # fmt: skip
def erf(x: ArrayLike, /) -> "Tensor":
    """Error function, element by element: ``2/sqrt(π) ∫₀ˣ exp(-t²) dt``.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, in [-1, 1], within 2 ulp. The derivative is ``2/sqrt(π) exp(-x**2)``.

    Examples
    --------
    >>> tj.erf([0.0, 1.0]).numpy().round(4)
    array([0.    , 0.8427], dtype=float32)
    """


@elementwise(
    impl=error_function.erfc, kernel="erfc(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-3, 3),
    cost=40, partials={"x": lambda x: -_TWO_BY_ROOT_PI * exp(-(x * x))},
    special=((0.0, 1.0), (-0.0, 1.0), (_INF, 0.0), (-_INF, 2.0), (10.0, math.erfc(10.0)), (_NAN, _NAN)),
    slopes=((0.0, -_TWO_BY_ROOT_PI), (_INF, 0.0)), reference=np.vectorize(math.erfc, otypes=[np.float64]),
)  # fmt: skip
def erfc(x: ArrayLike, /) -> "Tensor":
    """``1 - erf(x)``, exact to rounding also where that is small.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, in [0, 2], within 2 ulp. The derivative is ``-2/sqrt(π) exp(-x**2)``.

    Examples
    --------
    >>> tj.erfc(np.float64(10.0)).item()
    2.088487583762545e-45
    """


@elementwise(
    impl=_sigmoid, kernel="sigmoid(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-3, 3),
    cost=25,
    partials={"x": lambda out: out * (1 - out)}, reference=lambda x: 1 / (1 + np.exp(-x.astype(np.float64))),
    special=((0.0, 0.5), (_INF, 1.0), (-_INF, 0.0), (1e30, 1.0), (-1e30, 0.0), (_NAN, _NAN)),
    slopes=((0.0, 0.25), (_INF, 0.0), (-_INF, 0.0)),
)  # fmt: skip
def sigmoid(x: ArrayLike, /) -> "Tensor":
    """Logistic function, element by element: ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, in [0, 1]; neither end overflows. The derivative is ``out * (1 - out)``.

    Examples
    --------
    >>> tj.sigmoid([0.0, 2.0]).numpy().round(4)
    array([0.5   , 0.8808], dtype=float32)
    """


@elementwise(
    impl=_softplus, kernel="softplus(x)", dtypes=FLOATING, resolve=floating_dtype, samples=uniform(-3, 3),
    cost=40,
    partials={"x": sigmoid}, reference=lambda x: np.logaddexp(x.astype(np.float64), 0),
    special=((0.0, math.log(2)), (_INF, _INF), (-_INF, 0.0), (1e30, 1e30), (-1e30, 0.0), (_NAN, _NAN)),
    slopes=((0.0, 0.5), (_INF, 1.0), (-_INF, 0.0)),
)  # fmt: skip
def softplus(x: ArrayLike, /) -> "Tensor":
    """``log(1 + exp(x))``, element by element: a smooth `relu`.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating, not negative; neither end overflows. The derivative is ``sigmoid(x)``.

    Examples
    --------
    >>> tj.softplus([0.0, 100.0]).numpy().round(4)
    array([  0.6931, 100.    ], dtype=float32)
    """


def _weight(x: Any, y: Any) -> Any:
    """The part of ``exp(x)`` in ``exp(x) + exp(y)``: one half where both are the same infinity."""
    return sigmoid(where(isinf(x) & (x == y), 0, x - y))


@elementwise(
    impl=np.logaddexp, kernel="logaddexp(x, y)", dtypes=FLOATING, samples=uniform(-3, 3), cost=45,
    partials={"x": _weight, "y": lambda x, y: _weight(y, x)},
    special=(
        (0.0, 0.0, math.log(2)), (1e30, 1.0, 1e30), (-_INF, 2.0, 2.0), (_INF, -_INF, _INF), (-_INF, -_INF, -_INF),
        (_INF, _INF, _INF), (_NAN, _INF, _NAN), (-1000.0, -1000.0, math.log(2) - 1000),
    ),
    slopes=((2.0, 2.0, 0.5), (-_INF, 2.0, 0.0), (_INF, 2.0, 1.0), (-_INF, -_INF, 0.5), (_NAN, 1.0, _NAN)),
)  # fmt: skip
def logaddexp(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``log(exp(x) + exp(y))``, element by element; neither end overflows.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other; integers are converted to float64.

    Returns
    -------
    Tensor
        The broadcast shape, floating. The partial derivatives are ``sigmoid(x - y)`` and ``sigmoid(y - x)``.

    Examples
    --------
    >>> tj.logaddexp([0.0, 100.0], 0.0).numpy().round(4)
    array([  0.6931, 100.    ], dtype=float32)
    """


@elementwise(
    impl=lambda x: np.maximum(x, x.dtype.type(0)), kernel="maximum(x, const(0))", dtypes=ALL,
    samples=spaced(),
    vjp={"x": lambda ct, out: where(isnan(out), _NAN, ct)}, masks={"x": lambda out: out != 0},
    special=((0.0, 0.0), (_INF, _INF), (-_INF, 0.0), (_NAN, _NAN)),
    slopes=((0.0, 0.0), (-0.0, 0.0), (2.0, 1.0), (-2.0, 0.0), (_NAN, _NAN), (_INF, 1.0)),
)  # fmt: skip
def relu(x: ArrayLike, /) -> "Tensor":
    """``maximum(x, 0)``, element by element.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype. The derivative is 1 where x > 0 and 0 elsewhere, at 0 too; nan where `x` is nan.

    Examples
    --------
    >>> tj.relu([-1.0, 0.0, 2.0]).numpy()
    array([0., 0., 2.], dtype=float32)
    """
