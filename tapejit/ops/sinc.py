"""`sinc` and all its derivatives, right at 0 and near it.

Floor 4, above `elementwise`. The derivative of order k is one operation with k as a param, and its own derivative is
the one of order k + 1, so every order is exact. Away from 0 the derivatives of ``π x sinc(x) = sin(π x)`` give

    x f_k(x) = π**(k-1) sin(π x + k π/2) - k f_(k-1)(x),

and near 0, where these differences cancel, the power series has few terms.
"""

from math import factorial, pi
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval
from ..families import Case, composite, uniform
from ..primitive import Flow
from .annotations import ArrayLike
from .comparison import where
from .compositions import floating
from .elementwise import cos, sin

if TYPE_CHECKING:
    from ..tensor import Tensor

_LEAST = 1e-17


def _border(order: int) -> float:
    """Up to which |π x| the series is used."""
    return 1.0 + order


def _series(u: Any, order: int) -> Any:
    """``Σ (-1)**m u**(2m - k) / ((2m - k)! (2m + 1))``: the derivative by u = π x of sin(u) / u."""
    first = (order + 1) // 2
    count, border = first, _border(order)
    while border ** (2 * count - order) / factorial(2 * count - order) > _LEAST:
        count += 1
    square = u * u
    terms = [(-1) ** m / (factorial(2 * m - order) * (2 * m + 1)) for m in range(first, count)]
    total: Any = terms[-1]
    for coefficient in reversed(terms[:-1]):
        total = total * square + coefficient
    return total * u if 2 * first > order else total


def _recurrence(u: Any, order: int, library: Any) -> Any:
    """The same for u that is not small."""
    turned = (library.sin(u), library.cos(u), -library.sin(u), -library.cos(u))
    value = turned[0] / u
    for k in range(1, order + 1):
        value = (turned[k % 4] - k * value) / u
    return value


def _derivative(x: Any, order: int, library: Any) -> Any:
    u = x * pi
    small = abs(u) < _border(order)
    near = _series(library.where(small, u, 0), order)
    far = _recurrence(library.where(small, 1, u), order, library)
    return library.where(small, near, far) * pi**order


class _Operations:
    """The functions that the formulas need, of this package: NumPy has them under the same names."""

    sin, cos, where = staticmethod(sin), staticmethod(cos), staticmethod(where)


def _impl(x: np.ndarray, *, order: int) -> Any:
    return np.asarray(_derivative(x, order, np)).astype(x.dtype, copy=False)


_sinc: Any = composite(
    "sinc",
    impl=_impl,
    rule=lambda x, order: Aval(x.shape, x.dtype),
    vjp={"x": lambda ct, x, order: ct * _sinc(x, order=order + 1)},
    expand=lambda x, order: _derivative(x, order, _Operations),
    flow=Flow.POINTWISE,
    cases=(Case(uniform(-3, 3, 3, 4)), Case(uniform(-0.2, 0.2, 5)), Case(uniform(-1, 1)), Case(uniform(0, 1, 0, 2))),
    reference=np.sinc,
)


def sinc(x: ArrayLike, /) -> "Tensor":
    """``sin(π x) / (π x)``, 1 at 0, element by element.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.

    Returns
    -------
    Tensor
        Same shape, floating. The derivative is ``(cos(π x) - sinc(x)) / x``, 0 at 0; all derivatives are right
        near 0 too.

    Examples
    --------
    >>> tj.sinc([0.0, 0.5]).numpy().round(4)
    array([1.    , 0.6366], dtype=float32)
    """
    return _sinc(floating("sinc", x), order=0)  # type: ignore[no-any-return]
