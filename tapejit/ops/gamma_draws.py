"""Draws from gamma distributions, and how they change with the shape parameter.

Floor 4. `standard_gamma` is Marsaglia and Tsang's rejection with a fixed number of rounds, so that a draw always takes
as many random words and is the same eagerly and in kernels. Rejection has no useful derivative; that of the
distribution's quantile has: `quantile_slope`.

Sources: G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000;
M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients", NeurIPS 2018, section 3.
"""

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval
from ..families import Case, as_array, floats, library_call, uniform
from ..lowering import Composite
from .annotations import ArrayLike
from .arithmetic import minimum
from .comparison import equal, greater_equal, where
from .conversion import astype, stop_gradient
from .creation import iota
from .elementwise import exp, expm1, log, log1p
from .elementwise import sqrt as root
from .gammas import digamma
from .reductions import min as smallest
from .reductions import sum as total
from .shaping import Apply, expand_dims, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

ROUNDS = 6
"""The last proposal is taken in any case. Of a shape parameter of 1 one in 20 is refused, of larger ones fewer: so the
probability of any event is off by less than 2e-8 (4e-11 from 2 on)."""

NODES = (
    0.048307665687738324, 0.1444719615827965, 0.23928736225213706, 0.33186860228212767, 0.42135127613063533,
    0.5068999089322294, 0.5877157572407623, 0.6630442669302152, 0.7321821187402897, 0.7944837959679424,
    0.84936761373257, 0.8963211557660521, 0.9349060759377397, 0.9647622555875064, 0.9856115115452684,
    0.9972638618494816,
)  # fmt: skip
WEIGHTS = (
    0.09654008851472766, 0.09563872007927471, 0.09384439908080451, 0.09117387869576378, 0.08765209300440378,
    0.08331192422694671, 0.07819389578707023, 0.07234579410884834, 0.06582222277636168, 0.058684093478535565,
    0.05099805926237609, 0.042835898022226836, 0.034273862913021765, 0.025392065309262024, 0.016274394730905743,
    0.007018610009470506,
)  # fmt: skip
"""The rule of Gauss and Legendre with 32 nodes, of which half are given: NIST Digital Library, table 3.5.4."""

_DEPTH = 34.0  # integrands are left out where they are smaller than exp(-34), which is 2e-15


def _accepted(x: Any, u: Any, d: Any, c: Any, library: Any) -> tuple[Any, Any]:
    """A proposal for each normal number, and whether it is taken."""
    stretched = 1 + c * x
    cube = stretched * stretched * stretched
    positive = cube > 0
    cube = library.where(positive, cube, 1.0)
    bound = 0.5 * x * x + d - d * cube + d * library.log(cube)
    return d * cube, positive & (library.log(u) < bound)


def _impl(a: np.ndarray, normals: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Round by round, with those that were refused so far."""
    shape, d = a.shape, a.reshape(-1) - 1 / 3
    normals, uniforms = (each.reshape(ROUNDS, -1) for each in (normals, uniforms))
    c = 1 / np.sqrt(9 * d)
    with np.errstate(divide="ignore"):
        out, taken = _accepted(normals[0], uniforms[0], d, c, np)
        out = np.array(out)
        for x, u in zip(normals[1:], uniforms[1:], strict=True):
            left = np.nonzero(~np.asarray(taken))
            found, more = _accepted(x[left], u[left], d[left], c[left], np)
            out[left] = found
            taken = np.array(taken)
            taken[left] = more
    return out.reshape(shape)


class _Traceable:
    """The functions of `_accepted` as tapejit's operations."""

    log, where = map(staticmethod, (log, where))


def _expand(a: Any, normals: Any, uniforms: Any) -> "Tensor":
    d = a - 1 / 3
    proposals, taken = _accepted(normals, uniforms, d, 1 / root(9 * d), _Traceable)
    rounds = reshape(iota(ROUNDS), (ROUNDS, *(1,) * len(a.shape)))
    first = smallest(where(taken, rounds, ROUNDS - 1), axis=0)
    return total(where(equal(rounds, first), proposals, 0), axis=0)  # type: ignore[no-any-return]


def _vjp(ct: Any, a: Any, out: Any) -> "Tensor":
    return ct * astype(quantile_slope(astype(a, np.float64), astype(out, np.float64)), a.dtype)  # type: ignore[no-any-return]


def _one_by_one(a: np.ndarray, normals: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """The algorithm of the paper as it stands."""
    out = np.empty_like(a)
    for place in np.ndindex(a.shape):
        d = a[place] - 1 / 3
        for x, u in zip(normals[:, *place], uniforms[:, *place], strict=True):
            v = (1 + x / sqrt(9 * d)) ** 3
            out[place] = d * v if v > 0 else d
            if v > 0 and np.log(u) < 0.5 * x * x + d - d * v + d * np.log(v):
                break
    return out


_standard_gamma: Apply = library_call(
    "standard_gamma",
    inputs=("a", "normals", "uniforms"),
    impl=_impl,
    rule=lambda a, normals, uniforms: Aval(a.shape, a.dtype),
    vjp={"a": _vjp},
    lowering=Composite(_expand),
    cases=(
        Case(uniform(1, 5, 30), floats(lambda g: g.standard_normal((ROUNDS, 30))), uniform(0, 1, ROUNDS, 30)),
        Case(uniform(1, 5, 2, 3), floats(lambda g: -9 - g.random((ROUNDS, 2, 3))), uniform(0, 1, ROUNDS, 2, 3)),
    ),
    reference=_one_by_one,
)


def standard_gamma(a: ArrayLike, normals: ArrayLike, uniforms: ArrayLike) -> "Tensor":
    """Draws with shape parameters of at least 1.

    Parameters
    ----------
    a : array_like, floating
        The shape parameters.
    normals, uniforms : array_like, shape (6, ...), dtype of `a`
        Independent numbers for each round and each element of `a`.

    Returns
    -------
    Tensor, shape and dtype of `a`
        The derivative by `a` is that of the quantile, not of what is computed: see `quantile_slope`.
    """
    return _standard_gamma(as_array(a), as_array(normals), as_array(uniforms))


def quantile_slope(a: Any, z: Any) -> "Tensor":
    """How a quantile z of the gamma distribution changes with its shape parameter: ``-∂P(a, z)/∂a / p(z)``.

    Parameters
    ----------
    a : Value, float64
        At least 1.
    z : Value, float64, shape of `a`
        Positive.

    Returns
    -------
    Tensor
        With a relative error of about 1e-12; its derivatives are those of the quadrature.

    Notes
    -----
    With ``log t = log z + v``, ``∂P/∂a = ∫ (log t - ψ(a)) p(t) dt`` up to z, and also the same integral from z on with
    the other sign, since the mean of ``log t`` is ψ(a). Of the two that one is taken over which the integrand does not
    change its sign: downwards from z if ``log z < ψ(a)``, else upwards. It is computed with 32 nodes, up to where
    ``exp(a v - z (e^v - 1))`` is negligible.
    """
    from_mean = log(z) - digamma(a)
    up = greater_equal(from_mean, 0)
    sign = where(up, 1.0, -1.0)
    length = stop_gradient(where(up, _upwards(a, z), _downwards(a, z)))
    half = np.asarray(NODES)
    shares = (1 + np.concatenate([-half[::-1], half])) / 2
    weights = np.concatenate([WEIGHTS[::-1], WEIGHTS]) / 2
    sign, length, from_mean, a, z = (expand_dims(x, -1) for x in (sign, length, from_mean, a, z))
    v = sign * length * shares
    integrand = sign * (v + from_mean) * exp(a * v - z * expm1(v))
    return total(z * length * weights * integrand, axis=-1)  # type: ignore[no-any-return]


def _downwards(a: Any, z: Any) -> Any:
    """From where on ``a v + z (e^-v - 1) > 34``: the second term is at least ``z (v² / (2 + v) - v)``."""
    rest = _DEPTH - 2 * (a - z)
    return (rest + root(rest * rest + 8 * _DEPTH * a)) / (2 * a)


def _upwards(a: Any, z: Any) -> Any:
    """From where on ``z (e^v - 1) - a v > 34``: by the first terms of the series, then by fixed-point steps."""
    beyond = z - a
    v = (root(beyond * beyond + 2 * _DEPTH * z) - beyond) / z
    for _ in range(3):  # each step is nearer, and none goes too far
        v = minimum(v, log1p((_DEPTH + a * v) / z))
    return v
