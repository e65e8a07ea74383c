"""log and its relatives.

Each takes its argument apart into ``m * 2**k`` with m in [0.7, 1.42], so that ``log(1) = 0`` comes out exactly, and
``f = m - 1``. In float64 ``log(1 + f) = 2 atanh(f / (2 + f))`` is a short series, for one division; in float32 a
polynomial in f is as short.
"""

from math import inf, nan

from .exponentials import LN2
from .lanes import Lanes, polynomial
from .native import has_avx512, mantissa_and_exponent, with_limits_of_log

# (log(1 + f) - f + f**2 / 2) / f**3, and (2 atanh(s) - 2 s) / s**3 as a polynomial in s**2.
_SINGLE = (0.3333333, -0.25000823, 0.20001233, -0.166233, 0.14201558, -0.13160576, 0.12763323, -0.0763569)
_DOUBLE = (
    0.6666666666666735, 0.39999999999413105, 0.2857142874276126, 0.22222198532313475, 0.1818356658133854,
    0.15313989556147814, 0.14796592258775187,
)  # fmt: skip
# Logarithms of e and 2 to other bases, in two parts.
_LOG2_E = ((1.442695, 1.925963e-08), (1.4426950408889634, 2.0355273740931033e-17))
_LOG10_E = ((0.4342945, -1.010305e-08), (0.4342944819032518, 1.098319650216765e-17))
_LOG10_2 = ((0.30103, -1.4320989e-08), (0.3010299956639812, -2.8037281277851704e-18))


def _taken_apart(x: Lanes) -> tuple[Lanes, Lanes]:
    """The bits of m in [√½, √2), and k as an integer, with ``x = m * 2**k``; x is normal."""
    least, width = x.pick((0x3F3504F3, 23), (0x3FE6A09E667F3BCD, 52))
    bits = x.as_integer()
    exponent = (bits - least) >> width
    return bits - (exponent << width), exponent


def _small_float(integer: Lanes) -> Lanes:
    """A small integer as a float; AVX2 has no instruction for it in float64."""
    if integer.bits == 32:
        return integer.to_float()
    shift = 1.5 * 2.0**52
    return (integer + 0x4338000000000000).as_float() - shift


def split(x: Lanes) -> tuple[Lanes, Lanes]:
    """``f`` and ``k`` with ``x = (1 + f) * 2**k``, k whole, for positive x."""
    if has_avx512(x):
        mantissa, k = mantissa_and_exponent(x)  # in [1, 2)
        large = mantissa > x.pick(1.4142135, 1.4142135623730951)
        return large.where(mantissa * 0.5, mantissa) - 1.0, large.where(k + 1.0, k)
    least, up, by = x.pick((2.0**-126, 2.0**25, -25.0), (2.0**-1022, 2.0**54, -54.0))
    subnormal = x < least
    bits, exponent = _taken_apart(subnormal.where(x * up, x))
    k = _small_float(exponent)
    return bits.as_float() - 1.0, subnormal.where(k + by, k)


def correction(f: Lanes) -> Lanes:
    """``log(1 + f) - f``, to an error that is small against log(1 + f); f in [-0.3, 0.42]."""
    half = f * 0.5
    if f.is_single:
        return (f * f).fma(f * polynomial(f, _SINGLE), -(half * f))
    square = half * f
    s = f / (f + 2.0)
    z = s * s
    return s.fma(z.fma(polynomial(z, _DOUBLE), square), -square)


def rest_of_log(f: Lanes, term: Lanes) -> Lanes:
    """``log(1 + f) - f + term``, to an error that is small against log(1 + f), for f in [-0.3, 0.42]."""
    return correction(f) + term


def with_limits(x: Lanes, result: Lanes) -> Lanes:
    """`result` for positive finite x; -inf at 0, inf at inf, NaN below and for NaN."""
    if has_avx512(x):
        return with_limits_of_log(x, result)
    limit = (x > 0).where(x, x.equals(0).where(x.constant(-inf), x.constant(nan)))
    return ((x > 0) & (x < inf)).where(result, limit)


def log(x: Lanes) -> Lanes:
    """The natural logarithm."""
    f, k = split(x)
    high, low = x.pick(*LN2)
    return with_limits(x, k.fma(high, f + k.fma(low, correction(f))))


def _log_to_base(x: Lanes, scale: tuple[float, float], two: tuple[float, float]) -> Lanes:
    """``log(x) * scale``, where `two` is the result for 2; both in two parts."""
    f, k = split(x)
    small = f.fma(scale[1], correction(f) * scale[0])
    if two[1]:
        small = k.fma(two[1], small)
    return with_limits(x, k.fma(two[0], f.fma(scale[0], small)))


def log2(x: Lanes) -> Lanes:
    """The logarithm to base 2; exact where it is whole."""
    return _log_to_base(x, x.pick(*_LOG2_E), (1.0, 0.0))


def log10(x: Lanes) -> Lanes:
    """The logarithm to base 10."""
    return _log_to_base(x, x.pick(*_LOG10_E), x.pick(*_LOG10_2))


def log1p(x: Lanes) -> Lanes:
    """``log(1 + x)``, exact to rounding near 0 too."""
    larger = x.constant(1.0).maximum(x)
    total = larger + x.constant(1.0).minimum(x)
    lost = x.constant(1.0).minimum(x) - (total - larger)
    bits, exponent = _taken_apart(total)
    f, k = bits.as_float() - 1.0, _small_float(exponent)
    bias, width = x.pick((127, 23), (1023, 52))
    down = exponent.constant(bias) - exponent
    missing = lost * (down.maximum(down.constant(0)) << width).as_float()
    # What was lost counts as much less as the logarithm is flatter there: times about 1 / (1 + f).
    slope = polynomial(f, (1.0, -1.0, 0.9, -0.6))
    high, low = x.pick(*LN2)
    small = correction(f) + missing * slope
    result = k.fma(high, f + k.fma(low, small))
    return with_limits(total, result).with_sign_of(x)
