"""The inverse of the normal distribution function.

Floor 4, above `powers`. M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
Statistics 37, 1988: three quotients of polynomials.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval
from ..families import Case, as_array, composite, uniform
from ..families.batching import aligned
from .annotations import ArrayLike
from .arithmetic import abs as size
from .arithmetic import maximum, minimum
from .comparison import less, less_equal, where
from .elementwise import exp, log, sqrt
from .shaping import Apply

if TYPE_CHECKING:
    from ..tensor import Tensor

_CENTRE = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
        4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
        3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
    ),
)  # fmt: skip
_NEAR = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
    ),
)  # fmt: skip
_FAR = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
    ),
)  # fmt: skip
"""Numerators and denominators by ascending powers: of ``0.180625 - (p - 1/2)²``, then of the tail's depth."""


def _quotient(x: Any, parts: tuple[tuple[float, ...], tuple[float, ...]]) -> Any:
    sums = []
    for coefficients in parts:
        total: Any = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            total = total * x + coefficient
        sums.append(total)
    return sums[0] / sums[1]


def _quantile(p: Any, library: Any) -> Any:
    """`library` has ``log``, ``sqrt``, ``abs``, ``where``, ``minimum``, ``maximum``, ``less``, ``less_equal``."""
    q = p - 0.5
    central = library.less_equal(library.abs(q), 0.425)
    centre = q * _quotient(library.where(central, 0.180625 - q * q, 0.0), _CENTRE)
    tail = library.minimum(p, 1 - p)
    depth = library.sqrt(-library.log(library.where(central, 0.25, tail)))
    near = library.less_equal(depth, 5.0)
    sizes = library.where(
        near,
        _quotient(library.minimum(depth, 5.0) - 1.6, _NEAR),
        _quotient(library.minimum(library.maximum(depth, 5.0), 100.0) - 5.0, _FAR),
    )
    return library.where(central, centre, library.where(library.less(q, 0.0), -sizes, sizes))


class _Traceable:
    """The functions of `_quantile` as tapejit's operations."""

    log, sqrt, abs, where, minimum, maximum, less, less_equal = map(
        staticmethod, (log, sqrt, size, where, minimum, maximum, less, less_equal)
    )


def _impl(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(_quantile(p, np))


def _vjp(ct: Any, out: Any) -> "Tensor":
    return ct * (math.sqrt(2 * math.pi) * exp(0.5 * out * out))  # type: ignore[no-any-return]


_normal_quantile: Apply = composite(
    "normal_quantile",
    impl=_impl,
    rule=lambda p: Aval(p.shape, p.dtype),
    vjp={"p": _vjp},
    expand=lambda p: _quantile(p, _Traceable),
    batch=aligned,
    cases=(Case(uniform(0.1, 0.9, 40)), Case(uniform(0.08, 0.92, 2, 3)), Case(uniform(0.2, 0.8, 0))),
    reference=_impl,
)


def normal_quantile(p: ArrayLike) -> "Tensor":
    """The x with ``Φ(x) = p``.

    Parameters
    ----------
    p : array_like, floating
        In (0, 1).

    Returns
    -------
    Tensor, shape and dtype of `p`
        The derivative is ``√(2π) exp(x²/2)``.
    """
    return _normal_quantile(as_array(p))
