"""log and its relatives.

Each takes its argument apart into ``(1 + f) * 2**k`` with 1 + f in [√½, √2], so that ``log(1) = 0`` comes out exactly.
In float64 ``log(1 + f) = 2 atanh(f / (2 + f))`` is a short series, for one division; in float32 a polynomial in f is
as short. Start reading at `log`.
"""

from math import inf, nan

from .exponentials import LN2, scaled
from .lanes import Lanes, polynomial
from .native import has_avx512, mantissa_and_exponent, with_limits_of_log

# (log(1 + f) - f) / f**2 to several bases, for float32.
_NATURAL = (-0.5, 0.3333333, -0.25000823, 0.20001233, -0.166233, 0.14201558, -0.13160576, 0.12763323, -0.0763569)
_BINARY = (
    -0.72134733, 0.48089823, -0.36069664, 0.28856763, -0.23961727, 0.20459697, -0.19106251, 0.18619867, -0.10997629,
)  # fmt: skip
_DECIMAL = (
    -0.21714719, 0.1447648, -0.10858051, 0.08686751, -0.072131984, 0.061589822, -0.057515547, 0.056051385,
    -0.033106163,
)  # fmt: skip
# (2 atanh(s) - 2 s) / s**3 as a polynomial in s**2, for float64.
_SERIES = (
    0.6666666666666735, 0.39999999999413105, 0.2857142874276126, 0.22222198532313475, 0.1818356658133854,
    0.15313989556147814, 0.14796592258775187,
)  # fmt: skip
# Logarithms of e and 2 to other bases, in two parts.
_LOG2_E = ((1.442695, 1.925963e-08), (1.4426950408889634, 2.0355273740931033e-17))
_LOG10_E = ((0.4342945, -1.010305e-08), (0.4342944819032518, 1.098319650216765e-17))
_LOG10_2 = ((0.30103, -1.4320989e-08), (0.3010299956639812, -2.8037281277851704e-18))


def split(x: Lanes) -> tuple[Lanes, Lanes]:
    """``f`` and ``k`` with ``x = (1 + f) * 2**k``, k whole, for positive finite x; else anything."""
    if has_avx512(x):
        mantissa, k = mantissa_and_exponent(x)  # in [1, 2)
        large = mantissa > x.pick(1.4142135, 1.4142135623730951)
        return large.where(mantissa * 0.5, mantissa) - 1.0, large.where(k + 1.0, k)
    tiny, up, by = x.pick((2.0**-126, 2.0**25, -25.0), (2.0**-1022, 2.0**54, -54.0))
    subnormal = x < tiny
    bits = subnormal.where(x * up, x).as_integer()
    least, width = x.pick((0x3F3504F3, 23), (0x3FE6A09E667F3BCD, 52))
    exponent = (bits - least) >> width
    k = _small_float(exponent)
    return (bits - (exponent << width)).as_float() - 1.0, subnormal.where(k + by, k)


def _small_float(integer: Lanes) -> Lanes:
    """A small integer as a float; AVX2 has no instruction for it in float64."""
    if integer.bits == 32:
        return integer.to_float()
    return (integer + 0x4338000000000000).as_float() - 1.5 * 2.0**52


def rest_of_log(f: Lanes, term: Lanes) -> Lanes:
    """``log(1 + f) - f + term``, to an error that is small against log(1 + f), for f in [-0.3, 0.42]."""
    if f.is_single:
        return (f * f).fma(polynomial(f, _NATURAL), term)
    square = f * 0.5 * f
    s = f / (f + 2.0)
    z = s * s
    return s.fma(z.fma(polynomial(z, _SERIES), square), term - square)


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
    return with_limits(x, k.fma(high, f + rest_of_log(f, k * low)))


def log2(x: Lanes) -> Lanes:
    """The logarithm to base 2; exact where it is whole."""
    f, k = split(x)
    high, low = x.pick(*_LOG2_E)
    return with_limits(x, k + f.fma(high, _rest_to_base(f, _BINARY, high, f * low)))


def log10(x: Lanes) -> Lanes:
    """The logarithm to base 10."""
    f, k = split(x)
    high, low = x.pick(*_LOG10_E)
    two_high, two_low = x.pick(*_LOG10_2)
    rest = _rest_to_base(f, _DECIMAL, high, f.fma(low, k * two_low))
    return with_limits(x, k.fma(two_high, f.fma(high, rest)))


def _rest_to_base(f: Lanes, coefficients: tuple[float, ...], scale: float, term: Lanes) -> Lanes:
    """``scale * (log(1 + f) - f) + term``."""
    if f.is_single:
        return (f * f).fma(polynomial(f, coefficients), term)
    return rest_of_log(f, f.constant(0.0)).fma(scale, term)


def log1p(x: Lanes) -> Lanes:
    """``log(1 + x)``, exact to rounding near 0 too."""
    total, lost = one_more(x)
    return log_of_sum(total, lost).with_sign_of(x)


def one_more(x: Lanes) -> tuple[Lanes, Lanes]:
    """``1 + x`` as a number and what its rounding lost."""
    larger, smaller = x.constant(1.0).maximum(x), x.constant(1.0).minimum(x)
    total = larger + smaller
    return total, smaller - (total - larger)


def log_of_sum(total: Lanes, lost: Lanes, doublings: Lanes | None = None) -> Lanes:
    """The logarithm of ``(total + lost) * 2**doublings``, for a `lost` that is tiny beside `total`."""
    f, k = split(total)
    high, low = total.pick(*LN2)
    # What was lost counts as much less as the logarithm is flatter there: times about 1 / (1 + f).
    slope = polynomial(f, (1.0, -1.0, 0.8))
    missing = scaled(lost, -k)
    if doublings is not None:
        k = k + doublings
    result = k.fma(high, f + missing.fma(slope, rest_of_log(f, k * low)))
    return with_limits(total, result)
