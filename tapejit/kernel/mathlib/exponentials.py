"""exp and its relatives."""

from math import factorial

from .lanes import Lanes, polynomial

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has so few bits that its products with exponents are exact.
LN2 = ((0.693145751953125, 1.428606765330187e-06), (0.6931471803691238, 1.9082149292705877e-10))
_TAYLOR = tuple(1 / factorial(power) for power in range(14))
_SINGLE = (1.0, 1.0, 0.5, 0.16666648, 0.041668225, 0.008335997, 0.0013798932, 0.00019910184)


def scaled(x: Lanes, exponent: Lanes) -> Lanes:
    """``x * 2**exponent`` for a whole `exponent`, in two factors, so that subnormal results come out right."""
    bias, width = x.pick((127, 23), (1023, 52))
    half = exponent.to_integer() >> 1
    rest = exponent.to_integer() - half
    first, second = (((part + bias) << width).as_float() for part in (half, rest))
    result: Lanes = x * first * second
    return result


def exp(x: Lanes) -> Lanes:
    """The number e to the power x: reduction by ln 2, a polynomial, and an exponent."""
    low, high = x.pick((-104.0, 89.0), (-746.0, 710.0))
    inside = x.maximum(low).minimum(high)
    exponent = (inside * LOG2_E).round()
    high_part, low_part = x.pick(*LN2)
    rest = exponent.fma(-high_part, inside)
    rest = exponent.fma(-low_part, rest)
    coefficients = x.pick(_SINGLE, _TAYLOR)
    result = scaled(polynomial(rest, coefficients), exponent)
    return x.is_nan().where(x, result)
