"""asin, acos, atan and atan2.

The inverse sine of more than 1/2 is taken from the square root of (1 - x)/2, and the inverse tangent of more than 1/2
from a quotient, so that each needs one polynomial, on [0, 1/2]: C. T. Fike, Computer Evaluation of Mathematical
Functions (1968), chapter 3; W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), chapters 10
and 11. Start reading at `asin`.
"""

from .lanes import Lanes, polynomial

_HALF_PI = ((1.5707963705062866, -4.371138828673793e-08), (1.5707963267948966, 6.123233995736766e-17))
"""π/2 in two parts."""
_QUARTER_PI = ((0.7853982448577881, -8.146034247147327e-08), (0.7853981633974483, 3.061616997868383e-17))
"""π/4 in two parts; four times the first one is exact."""

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
    (-0.333332359790802, 0.19994285702705383, -0.14175653457641602, 0.10162746906280518, -0.05136542022228241),
    (
        -0.33333333333333315, 0.19999999999993814, -0.14285714284992512, 0.11111111069112249, -0.09090907659918815,
        0.07692276486079586, -0.06666207303193052, 0.058776413152674706, -0.052289146795811876,
        0.04584717823730412, -0.03699065432343765, 0.023456829034636428, -0.008231952613896948,
    ),
)  # fmt: skip
"""(atan x - x) / x³ by powers of x²."""


def _arcsine(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Whether |x| is more than 1/2; the root of (1 - |x|)/2 there, |x| elsewhere; and what its inverse sine adds."""
    size = abs(x)
    large = size > 0.5
    square = large.where(size.fma(-0.5, 0.5), size * size)
    base = large.where(square.sqrt(), size)
    return large, base, (base * square) * polynomial(square, x.pick(*_ARCSINE))


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


def _angle(numerator: Lanes, denominator: Lanes, quarters: Lanes, flip: Lanes) -> Lanes:
    """The inverse tangent of a quotient of at most 1, with a multiple of π/4 that it is added to or subtracted from.

    Parameters
    ----------
    numerator, denominator : Lanes
        Not negative; the denominator is the larger one and not 0.
    quarters : Lanes
        How many times π/4, before `numerator` is compared with half of `denominator`.
    flip : Lanes
        Zero, or the bit of the sign if the angle is subtracted.
    """
    # (a - b)/(a + b) is the tangent of the angle less π/4; the difference is exact.
    steep = numerator + numerator > denominator
    tangent = steep.where(numerator - denominator, numerator) / steep.where(numerator + denominator, denominator)
    square = tangent * tangent
    above = (tangent * square) * polynomial(square, tangent.pick(*_ARCTANGENT))
    one = tangent.constant(1.0)
    quarters = quarters + steep.where(_flipped(one, flip), 0.0)
    first, second = tangent.pick(*_QUARTER_PI)
    tangent, above = _flipped(tangent, flip), _flipped(above, flip)
    base = quarters * first
    result = base + tangent
    rest = (base - result) + tangent
    return result + (rest + quarters.fma(second, above))


def _flipped(x: Lanes, flip: Lanes) -> Lanes:
    return (x.as_integer() ^ flip).as_float()


def _sign_bit(x: Lanes) -> int:
    return -(1 << (x.bits - 1))


def atan(x: Lanes) -> Lanes:
    """The inverse tangent."""
    size = abs(x)
    above_one = size > 1.0
    flip = above_one.where(size.as_integer().constant(_sign_bit(x)), 0)
    quarters = above_one.where(size.constant(2.0), 0.0)
    result = _angle(size.minimum(1.0), size.maximum(1.0), quarters, flip)
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
    base = above.where(x.constant(2.0), (negative < 0).where(x.constant(4.0), 0.0))
    result = _angle(smaller, larger, base, flip)
    return (x.is_nan() | y.is_nan()).where(x + y, result.with_sign_of(y))
