"""asin, acos, atan and atan2.

The inverse sine of more than 1/2 is taken from the square root of (1 - x)/2, and the inverse tangent of more than 1/2
from a quotient, so that each needs one polynomial, on [0, 1/2]: C. T. Fike, Computer Evaluation of Mathematical
Functions (1968), chapter 3; W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), chapters 10
and 11. Start reading at `asin`.
"""

from .lanes import Lanes, polynomial, split_polynomial

_HALF_PI = ((1.5707963705062866, -4.371138828673793e-08), (1.5707963267948966, 6.123233995736766e-17))
"""π/2 in two parts."""
_ARCSINE = (
    (0.16666753590106964, 0.07495249062776566, 0.04547666013240814, 0.02414812333881855, 0.0422198623418808),
    (
        0.16666666666665375, 0.07500000000344936, 0.044642856821875083, 0.030381959399232435, 0.022371751855540637,
        0.017359796796578498, 0.013884339605218263, 0.012175011577924397, 0.00650322376715748,
        0.019595154785533864, -0.01632798637801198, 0.03198259570153163,
    ),
)  # fmt: skip
"""(asin x - x) / x³ by powers of x²."""
_ARCTANGENT = (
    (
        -0.333333283662796, 0.199997216463089, -0.14280468225479126, 0.11062254011631012, -0.08825802057981491,
        0.06774380058050156, -0.04514343664050102, 0.022919902577996254, -0.007494592573493719,
        0.0011487194569781423,
    ),
    (
        -0.33333333333333093, 0.1999999999995547, -0.1428571428280423, 0.11111111013709866, -0.09090907120302301,
        0.07692281199046001, -0.06666415099022777, 0.05880593169949471, -0.05253808363297197, 0.04723303195255915,
        -0.042217444758634856, 0.036694089889071906, -0.029986496701541156, 0.022086337110093193,
        -0.013996157740674193, 0.007264230581277064, -0.0029198167968721937, 0.0008436623075623585,
        -0.00015483791371964358, 1.349362931457265e-05,
    ),
)  # fmt: skip
"""(atan x - x) / x³ by powers of x²."""


def _series(square: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    return (polynomial if square.is_single else split_polynomial)(square, coefficients)


def _arcsine(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Whether |x| is more than 1/2; the root of (1 - |x|)/2 there, |x| elsewhere; and what its inverse sine adds."""
    size = abs(x)
    large = size > 0.5
    square = large.where(size.fma(-0.5, 0.5), size * size)
    base = large.where(square.sqrt(), size)
    return large, base, (base * square) * _series(square, x.pick(*_ARCSINE))


def asin(x: Lanes) -> Lanes:
    """The inverse sine; NaN beyond ±1."""
    large, base, above = _arcsine(x)
    first, second = x.pick(*_HALF_PI)
    result = base + above
    # The root counts twice. What the difference is rounded by goes to the small terms.
    difference = base.fma(-2.0, first)
    complement = difference + (base.fma(-2.0, first - difference) - above.fma(2.0, -second))
    return large.where(complement, result).with_sign_of(x)


def acos(x: Lanes) -> Lanes:
    """The inverse cosine; NaN beyond ±1."""
    large, base, above = _arcsine(x)
    first, second = x.pick(*_HALF_PI)
    negative = x < 0.0
    signed, signed_above = base.with_sign_of(x), above.with_sign_of(x)
    middle = first - (signed - (second - signed_above))
    near_one = base + above
    near_minus_one = first - (near_one - second)
    return large.where(negative.where(near_minus_one, near_one) * 2.0, middle)


def _angle(numerator: Lanes, denominator: Lanes, rights: Lanes, flip: Lanes) -> Lanes:
    """The inverse tangent of a quotient of at most 1, added to right angles or subtracted from them.

    Parameters
    ----------
    numerator, denominator : Lanes
        Not negative; the denominator is the larger one and not 0.
    rights : Lanes
        How many times π/2.
    flip : Lanes
        Zero, or the bit of the sign if the angle is subtracted.
    """
    tangent = _flipped(numerator / denominator, flip)
    square = tangent * tangent
    first, second = tangent.pick(*_HALF_PI)
    above = (tangent * square).fma(_series(square, tangent.pick(*_ARCTANGENT)), rights * second)
    return rights.fma(first, tangent + above)


def _flipped(x: Lanes, flip: Lanes) -> Lanes:
    return (x.as_integer() ^ flip).as_float()


def _sign_bit(x: Lanes) -> int:
    return -(1 << (x.bits - 1))


def atan(x: Lanes) -> Lanes:
    """The inverse tangent."""
    size = abs(x)
    above_one = size > 1.0
    flip = above_one.where(size.as_integer().constant(_sign_bit(x)), 0)
    rights = above_one.where(size.constant(1.0), 0.0)
    result = _angle(size.minimum(1.0), size.maximum(1.0), rights, flip)
    return x.is_nan().where(x, result.with_sign_of(x))


def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y), with the sign of `y`; 0 or ±π at the origin, multiples of π/4 at infinity."""
    width, height = abs(x), abs(y)
    above = height > width
    smaller, larger = above.where(width, height), above.where(height, width)
    # So that the sum of both can't overflow.
    scale = (larger > x.pick(2.0**126, 2.0**1022)).where(x.constant(0.5), 1.0)
    smaller, larger = smaller * scale, larger * scale
    infinite, zero = larger.equals(float("inf")), larger.equals(0.0)
    smaller = infinite.where(smaller.equals(float("inf")).where(x.constant(1.0), 0.0), smaller)
    larger = (infinite | zero).where(x.constant(1.0), larger)
    negative = x.as_integer() & _sign_bit(x)
    flip = above.where(negative ^ _sign_bit(x), negative)
    rights = above.where(x.constant(1.0), (negative < 0).where(x.constant(2.0), 0.0))
    result = _angle(smaller, larger, rights, flip)
    return (x.is_nan() | y.is_nan()).where(x + y, result.with_sign_of(y))
