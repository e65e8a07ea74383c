"""Powers of two operands, and the cube root.

``x**y = 2**(y log2(x))`` needs the logarithm to as many bits more as the exponent of the result has: as a sum of two
numbers.
"""

from math import inf, nan

from .exponentials import clamped, scaled
from .lanes import Lanes, polynomial, where_any
from .logarithms import split

# log2((1 + s) / (1 - s)) is s (2 / ln 2 + s**2 (2 / (3 ln 2) + s**2 (...))): the two in two parts, and the rest.
_FIRST = ((2.88539, 3.851926e-08), (2.8853900817779268, 4.0710547481862066e-17))
_THIRD = ((0.9617967, -7.0284618e-09), (0.9617966939259756, 5.0577616648125907e-17))
_LOG2 = (
    (0.5770802, 0.4118478, 0.33786592),
    (
        0.577078016355618, 0.41219858309191904, 0.32059890227762655, 0.2623077007421741, 0.22198401663690667,
        0.1912546943704494, 0.1903899951862529,
    ),
)  # fmt: skip
# (2**r - 1) / r is ``ln 2`` and what follows, which begins with what the float for ln 2 lacks: with less than half a
# unit in the last place lost before the 1 is added, whole results come out exactly.
_LN2 = (0.6931472, 0.6931471805599453)
_EXP2 = (
    (-1.9046543e-09, 0.24022648, 0.05550362, 0.009618527, 0.0013390206, 0.00015321073),
    (
        2.3190468138462996e-17, 0.24022650695910122, 0.05550410866482073, 0.009618129107596888, 0.001333355814668677,
        0.0001540353045420511, 1.525273354640512e-05, 1.3215436532645435e-06, 1.017818475717759e-07,
        7.073593581399036e-09, 4.436302947144179e-10,
    ),
)  # fmt: skip
# ((1 + e)**(-1/3) - 1) / e for |e| < 0.13.
_ROOT = (
    (-0.3333332, 0.2222109, -0.1728916, 0.14640383, -0.12253266),
    (-0.3333246129788969, 0.22225150949872702, -0.17519914410986628, 0.14232000776589818),
)


def power(x: Lanes, y: Lanes) -> Lanes:
    """`x` to the power `y`, as NumPy's."""
    high, low = _log2_in_two_parts(abs(x))
    product = y * high
    rest = y.fma(low, y.fma(high, -product))
    # The rest of the cases are special operands, and results that are subnormal, infinite or 0.
    simple = (x > 0) & (x < inf) & (abs(product) < x.pick(126.0, 1022.0))
    return where_any(~simple, lambda: _power_at_limits(x, y, product, rest), _power_of_two(product, rest))


def _power_of_two(exponent: Lanes, rest: Lanes) -> Lanes:
    """``2**(exponent + rest)``."""
    whole = exponent.round()
    r = (exponent - whole) + rest
    small = r.fma(r.pick(*_LN2), r * polynomial(r, r.pick(*_EXP2)))
    return scaled(small + 1.0, whole)


def _log2_in_two_parts(x: Lanes) -> tuple[Lanes, Lanes]:
    """``log2(x)`` to some 10 bits more than one number has."""
    f, k = split(x)
    denominator = f + 2.0
    s = f / denominator
    missing = f - (denominator - 2.0)
    # The reciprocal of the denominator is half of 1 - s.
    s_low = s.fma(-missing, s.fma(-denominator, f)) * s.fma(-0.5, 0.5)
    z = s * s
    z_low = (s + s).fma(s_low, s.fma(s, -z))
    # log2(1 + f) is s times the polynomial ``first + z (third + z (...))``.
    (first, first_low), (third, third_low) = x.pick(*_FIRST), x.pick(*_THIRD)
    tail = polynomial(z, x.pick(*_LOG2))
    inner = z.fma(tail, z.constant(third))
    inner_low = z.fma(tail, third - inner) + third_low
    term = z * inner
    term_low = z_low.fma(inner, z.fma(inner_low, z.fma(inner, -term)))
    factor = term + first
    factor_low = (term - (factor - first)) + (term_low + first_low)
    product = s * factor
    product_low = s_low.fma(factor, s.fma(factor_low, s.fma(factor, -product)))
    total = k + product
    return total, (product - (total - k)) + product_low


def _power_at_limits(x: Lanes, y: Lanes, product: Lanes, rest: Lanes) -> Lanes:
    """The power for whatever x and y; `product` and `rest` are y log2(|x|) where that is a number."""
    # Beyond the exponents that there are the rest is not small, nor of use.
    most = x.pick(200.0, 1200.0)
    inside = clamped(product, -most, most)
    usual = _power_of_two(inside, inside.equals(product).where(rest, 0.0))
    size, extent = abs(x), abs(y)
    whole = y.trunc().equals(y)
    half = y * 0.5
    odd = whole & ~half.trunc().equals(half)
    extreme = size.equals(0) | size.equals(inf) | extent.equals(inf)
    limit = ((size > 1) ^ (y > 0)).where(x.constant(0.0), x.constant(inf))
    result = extreme.where(size.equals(1).where(x.constant(1.0), limit), usual)
    result = (odd & (x.as_integer() < 0)).where(-result, result)
    undefined = x.is_nan() | y.is_nan() | ((x < 0) & (x > -inf) & ~whole)
    result = undefined.where(x.constant(nan), result)
    return (x.equals(1) | y.equals(0)).where(x.constant(1.0), result)


def cbrt(x: Lanes) -> Lanes:
    """The cube root."""
    size = abs(x)
    tiny, up, down = x.pick((2.0**-126, 2.0**24, 2.0**-8), (2.0**-1022, 2.0**54, 2.0**-18))
    subnormal = size < tiny
    size = subnormal.where(size * up, size)
    inverse = _inverse_square_of_root(size)
    root = size * inverse
    error = (root * root).fma(inverse, -1.0)
    correction = polynomial(error, x.pick(*_ROOT))
    if not x.is_single:
        inverse = (inverse * error).fma(correction, inverse)
        root = size * inverse
        error = (root * root).fma(inverse, -1.0)
        correction = error.fma(2 / 9, -1 / 3)
    result = (root * error).fma(correction, root)
    result = subnormal.where(result * down, result)
    finite: Lanes = size < inf
    return finite.where(result.with_sign_of(x), x)


def _inverse_square_of_root(x: Lanes) -> Lanes:
    """``x**(-2/3)`` to 4 %, for normal x: the bits of a float are about its logarithm.

    The upper bits, as a float that is a whole number, times -2/3, plus a constant, are the upper bits of the result.
    """
    shift, one, base = x.pick((9, 0x4B000000, 17447657.0), (20, 0x4330000000000000, 7513321956740606.0))
    upper: Lanes = x.as_integer().unsigned_shift(shift) | one
    bits: Lanes = upper.as_float().fma(-2 / 3, base).as_integer() << shift
    return bits.as_float()


def hypot(x: Lanes, y: Lanes) -> Lanes:
    """``sqrt(x**2 + y**2)``; numbers whose squares would overflow or vanish are scaled by a power of two."""
    larger, smaller = abs(x).maximum(abs(y)), abs(x).minimum(abs(y))
    high, down, low, up = x.pick((2.0**60, 2.0**-70, 2.0**-50, 2.0**100), (2.0**500, 2.0**-600, 2.0**-500, 2.0**600))
    one = x.constant(1.0)
    big, tiny = larger > high, larger < low
    scale = big.where(x.constant(down), tiny.where(x.constant(up), one))
    back = big.where(x.constant(1 / down), tiny.where(x.constant(1 / up), one))
    larger, smaller = larger * scale, smaller * scale
    result = larger.fma(larger, smaller * smaller).sqrt() * back
    result = (x.is_nan() | y.is_nan()).where(x + y, result)
    return (abs(x).equals(inf) | abs(y).equals(inf)).where(x.constant(inf), result)
