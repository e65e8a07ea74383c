"""Hyperbolic functions, and those of learning that are related to them: sigmoid and softplus.

``exp(x)`` and ``exp(-x)`` come from one reduction, ``x = r + n ln 2``, with no division: with ``C = cosh(r)`` and
``S = sinh(r)``, which are short series, ``exp(±x) = 2**±n (C ± S)``.
"""

from .exponentials import exp, power_of_two, reduced, scaled, scaled_expm1
from .lanes import Lanes, polynomial
from .logarithms import log1p

# (cosh(r) - 1) / r**2 and (sinh(r) - r) / r**3 as polynomials in r**2.
_COSH = (
    (0.5, 0.041666266, 0.0013946277),
    (0.5000000000000013, 0.041666666666513794, 0.0013888888947403127, 2.4801489565398656e-05, 2.7631409351823566e-07),
)
_SINH = (
    (0.16666543, 0.008366612),
    (
        0.16666666666666677, 0.008333333333321577, 0.0001984126988626935, 2.7557244059138605e-06,
        2.510909128770272e-08,
    ),
)  # fmt: skip
# (2 atanh(s) - 2 s) / s**3 as a polynomial in s**2, for s up to 1 / 3.
_SERIES = (
    (0.6666641, 0.40021706, 0.27999023, 0.28025097),
    (
        0.6666666666666631, 0.4000000000015736, 0.2857142854783763, 0.22222223970822402, 0.1818174388408232,
        0.15386560838086835, 0.13300961036105538, 0.121061894786073, 0.08339634164427405, 0.17019470450902444,
    ),
)  # fmt: skip


def _parts(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """``n``, ``4**-n / 2`` and ``r`` with ``|x| = r + n ln 2``; the second one is nothing but small for large n."""
    size = x.constant(x.pick(91.0, 712.0)).minimum(abs(x))
    r, n = reduced(size)
    return n, power_of_two(n.constant(x.pick(60.0, 500.0)).minimum(n).fma(-2.0, -1.0)), r


def sinh(x: Lanes) -> Lanes:
    """The hyperbolic sine."""
    n, half, r = _parts(x)
    z = r * r
    plus, minus = 0.5 + half, 0.5 - half
    lost = (0.5 - minus) - half  # counts where it is about half a bit of the result
    rest = minus.fma(z * polynomial(z, x.pick(*_COSH)), plus.fma(r * z * polynomial(z, x.pick(*_SINH)), lost))
    return scaled(plus.fma(r, minus) + rest, n).with_sign_of(x)


def cosh(x: Lanes) -> Lanes:
    """The hyperbolic cosine."""
    n, half, r = _parts(x)
    z = r * r
    plus, minus = 0.5 + half, 0.5 - half
    small = (r * z).fma(polynomial(z, x.pick(*_SINH)), r)
    rest = plus.fma(z * polynomial(z, x.pick(*_COSH)), minus * small)
    return scaled(plus + rest, n)


def tanh(x: Lanes) -> Lanes:
    """The hyperbolic tangent: ``e = exp(2 |x|)`` gives ``(e - 1) / (e + 1)``, each with its exponent taken out."""
    size = x.constant(x.pick(10.0, 20.0)).minimum(abs(x))
    above, n, inverse = scaled_expm1(size + size)
    whole = above / (above + (inverse + inverse))
    # Where the result is small, taking a small part away from `above`, scaled, has less error than the quotient.
    part = above * n.fma(0.5, 0.5)
    return (n <= 1.0).where(part.fma(-whole, part), whole).with_sign_of(x)


def sigmoid(x: Lanes) -> Lanes:
    """``1 / (1 + exp(-x))``."""
    small = exp(-abs(x))
    # With q = sigmoid(-|x|) it is 1 - q, or q = exp(x) (1 - q), which carries less of the errors of q.
    factor = (x > 0).where(x.constant(1.0), small)
    return factor.fma(-(small / (small + 1.0)), factor)


def softplus(x: Lanes) -> Lanes:
    """``log(1 + exp(x))``."""
    small = exp(-abs(x))
    square = small * 0.5 * small
    s = small / (small + 2.0)
    z = s * s
    rest = s.fma(z.fma(polynomial(z, x.pick(*_SERIES)), square), -square)
    logarithm = small + rest
    lost = rest - (logarithm - small)
    return logarithm + (x.constant(0.0).maximum(x) + lost)


def logaddexp(x: Lanes, y: Lanes) -> Lanes:
    """``log(exp(x) + exp(y))``: the larger one and ``log(1 + exp(-|x - y|))``."""
    apart = x.equals(y).where(x.constant(0.0), x - y)  # equal infinities have no difference
    return x.maximum(y) + log1p(exp(-abs(apart)))
