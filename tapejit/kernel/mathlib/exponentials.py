"""exp and its relatives.

Each reduces its argument to the nearest multiple of ln 2, or to the nearest integer for `exp2`: what is left is in
[-0.35, 0.35], where a polynomial of least relative error does the rest. `reduced` and `scaled` serve other families.
"""

from .lanes import Lanes, polynomial
from .native import has_avx512, scaled_by_instruction

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has so few bits that its products with exponents are exact.
LN2 = ((0.693145751953125, 1.428606765330187e-06), (0.6931471803691238, 1.9082149292705877e-10))
# (e**r - 1 - r) / r**2 and 2**r.
REST = (
    (0.49999994, 0.16666521, 0.041668393, 0.008368745, 0.0013814525),
    (
        0.5000000000000011, 0.1666666666666641, 0.04166666666652971, 0.008333333333494914, 0.0013888888943764045,
        0.00019841269505902831, 2.4801492945695258e-05, 2.755758669285241e-06, 2.7630307638854555e-07,
        2.5000053567212694e-08,
    ),
)  # fmt: skip
_EXP2 = (
    (1.0, 0.69314724, 0.24022648, 0.055503324, 0.009618438, 0.0013398925, 0.00015353352),
    (
        1.0, 0.6931471805599453, 0.2402265069591013, 0.05550410866482008, 0.009618129107594011, 0.0013333558146775043,
        0.00015403530457265265, 1.5252733492987386e-05, 1.3215435199560435e-06, 1.0178199518006797e-07,
        7.073798428861582e-09, 4.434796076566143e-10,
    ),
)  # fmt: skip


def clamped(x: Lanes, low: float, high: float) -> Lanes:
    """`x` in [`low`, `high`]; NaN stays."""
    return x.constant(high).minimum(x.constant(low).maximum(x))


def power_of_two(whole: Lanes) -> Lanes:
    """``2**whole``, if it is a normal number."""
    # The sum has `whole` plus the bias of exponents in its last bits.
    shift, width = whole.pick((1.5 * 2.0**23 + 127, 23), (1.5 * 2.0**52 + 1023, 52))
    bits: Lanes = (whole + shift).as_integer() << width
    return bits.as_float()


def scaled(x: Lanes, exponent: Lanes) -> Lanes:
    """``x * 2**exponent``, rounded once, for a whole `exponent` of at most twice the range of exponents."""
    if has_avx512(x):
        return scaled_by_instruction(x, exponent)
    half = (exponent * 0.5).round()
    return x * power_of_two(half) * power_of_two(exponent - half)


def reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    """``r`` and ``n`` with ``x = r + n ln 2``, `n` whole."""
    exponent = (x * LOG2_E).round()
    high, low = x.pick(*LN2)
    return exponent.fma(-low, exponent.fma(-high, x)), exponent


def scaled_expm1(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """``2**-n (exp(x) - 1)``, ``n`` and ``2**-n``, for an x below which exp(x) counts."""
    exponent = (x * LOG2_E).round()
    high, low = x.pick(*LN2)
    most = exponent.constant(x.pick(100.0, 1000.0))  # where the 1 does not count any more
    inverse = power_of_two(-most.minimum(exponent))
    near, correction = exponent.fma(-high, x), exponent * low
    rest = near - correction
    # Where 1 - 2**-n and the rest cancel, both are exact; what is not comes in with the small terms.
    small = (rest * rest).fma(polynomial(rest, x.pick(*REST)), -correction)
    return (near + (1.0 - inverse)) + small, exponent, inverse


def exp(x: Lanes) -> Lanes:
    """The number e to the power x."""
    rest, exponent = reduced(clamped(x, *x.pick((-104.0, 89.0), (-746.0, 710.0))))
    return scaled(polynomial(rest, (1.0, 1.0, *x.pick(*REST))), exponent)


def exp2(x: Lanes) -> Lanes:
    """The number 2 to the power x."""
    # AVX-512's scaling gives 0 and inf for -inf and inf by itself, whatever the polynomial gives there.
    inside = x if has_avx512(x) else clamped(x, *x.pick((-151.0, 129.0), (-1076.0, 1025.0)))
    exponent = inside.round()
    return scaled(polynomial(inside - exponent, x.pick(*_EXP2)), exponent)


def expm1(x: Lanes) -> Lanes:
    """``exp(x) - 1``, exact to rounding near 0 too."""
    result, exponent, _ = scaled_expm1(clamped(x, *x.pick((-20.0, 89.0), (-40.0, 710.0))))
    return scaled(result, exponent).with_sign_of(x)
