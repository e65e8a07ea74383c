"""lgamma, digamma and trigamma, of negative numbers too.

A number of at least 8 (3 for the derivatives) is taken by Stirling's series, with coefficients of least error on just
that range, a smaller one brought to [1, 2] by recurrence, where a polynomial does the rest. Negative numbers take the
reflection, which stands in a branch. Sums of large terms are kept in two parts. Start reading at `lgamma`.

Source: NIST Digital Library of Mathematical Functions, 5.5.1 to 5.5.4, 5.11.1, 5.11.2 and 5.15.
"""

from collections.abc import Callable
from math import inf, nan

from ...ops import gamma_functions as double
from .exponentials import LN2
from .lanes import Lanes, polynomial, split_polynomial, where_any
from .logarithms import rest_of_log, split
from .scalars import branching

# Coefficients for float32, and for float64; what they are of is said there.
_FACTORIAL = (
    (
        0.48312896490097046, -0.14595989882946014, 0.06291037797927856, -0.03130808472633362, 0.016817865893244743,
        -0.009435691870748997, 0.0052737463265657425, -0.0031185366678982973, 0.002539834240451455,
        -0.0015235685277730227,
    ),
    double.FACTORIAL,
)  # fmt: skip
_STIRLING = (
    (
        0.08333327621221542, -0.0027626524679362774,
    ),
    double.STIRLING,
)  # fmt: skip
_LARGEST = (4.085003108497519e36, 2.5599833278516383e305)  # beyond it the result overflows
_LARGEST_RESULT = (3.4028234663852886e38, 1.7976931348623157e308)
_SINE = (
    (
        -1.644934058189392, 0.8117420673370361, -0.1907465159893036, 0.026111427694559097, -0.0022279699333012104,
    ),
    double.SINE,
)  # fmt: skip

_ROOT_LESS_ONE = ((0.4616321325302124, 1.243815006546356e-08), (0.46163214496836236, -1.5522348162858677e-17))
"""The positive root of digamma less 1, in two parts."""
_DIGAMMA = (
    (
        0.9510558843612671, -0.42362749576568604, 0.24054250121116638, -0.14839895069599152, 0.09498579800128937,
        -0.06205471233532455, 0.04083719849586487, -0.02579358220100403, 0.017174942418932915, -0.016361789777874947,
        0.010805010795593262,
    ),
    double.DIGAMMA,
)  # fmt: skip
_DIGAMMA_LOW = (-8.132872153510107e-09, -5.482192047633853e-17)  # the second part of the first coefficient
_ASYMPTOTIC = (
    (
        0.08333327621221542, -0.008328731171786785, 0.0038447610568255186, -0.002731182612478733,
    ),
    double.ASYMPTOTIC,
)  # fmt: skip
_COTANGENT = (
    (
        3.289868116378784, 2.1646506786346436, 2.0344350337982178, 2.0145456790924072, 1.918182134628296,
        2.6063144207000732, -0.3848828077316284, 6.4812445640563965,
    ),
    double.COTANGENT,
)  # fmt: skip


_TRIGAMMA = (
    (
        0.9348021745681763, -0.8287966847419739, 0.704547643661499, -0.5790395140647888, 0.4629640579223633,
        -0.36215949058532715, 0.27979034185409546, -0.21077987551689148, 0.1441708505153656, -0.10984654724597931,
        0.1278027892112732, -0.08799584209918976,
    ),
    double.TRIGAMMA,
)  # fmt: skip
_TRIGAMMA_LOW = (1.8936278323167244e-08, -2.860709264526125e-17)  # the second part of the first coefficient
_TRIGAMMA_ASYMPTOTIC = (
    (
        0.16666662693023682, -0.033328406512737274, 0.02359980344772339, -0.029170824214816093, 0.032765939831733704,
    ),
    double.TRIGAMMA_ASYMPTOTIC,
)  # fmt: skip


_INVERSE_SQUARE_SINE = (
    (
        3.2898669242858887, 6.494107723236084, 10.165633201599121, 14.22803020477295, 15.990768432617188,
        35.60430908203125, -24.32320213317871, 118.78358459472656,
    ),
    double.INVERSE_SQUARE_SINE,
)  # fmt: skip


def _two_parts_of_log(x: Lanes) -> tuple[Lanes, Lanes]:
    f, k = split(x)
    high, low = x.pick(*LN2)
    large = k * high  # exact
    total = large + f
    return total, rest_of_log(f, k.fma(low, (large - total) + f))


def _series(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    return (polynomial if x.is_single else split_polynomial)(x, coefficients)


def _polynomial(x: Lanes, coefficients: tuple[float, ...]) -> tuple[Lanes, Lanes]:
    """A polynomial, and what its last step was rounded by."""
    first, *others = coefficients
    above = _series(x, tuple(others))
    value = above.fma(x, first)
    return value, above.fma(x, first - value)


def _times(x: Lanes, y: Lanes, y_low: Lanes) -> tuple[Lanes, Lanes]:
    """A product, and what it was rounded by with ``x * y_low`` added."""
    product = x * y
    return product, x.fma(y_low, x.fma(y, -product))


def _sum(first: Lanes, second: Lanes, rest: Lanes) -> tuple[Lanes, Lanes]:
    """The sum of two numbers, and what it was rounded by with a small third one added."""
    total = first + second
    part = total - first
    return total, (first - (total - part)) + (second - part) + rest


def _if_negative(negative: Lanes, reflected: Callable[[], Lanes], usual: Lanes) -> Lanes:
    return where_any(negative, lambda: negative.where(reflected(), usual), usual)


def _product(size: Lanes, negative: Lanes) -> Lanes:
    """What makes Γ(|x|) of Γ in [1, 2), or Γ(|x| + 1) for a negative x; in Stirling's range |x| itself."""
    one = size.constant(1.0)
    product = ((size >= 1.0) & ~negative).where(one, size)
    product = (negative & (size < 1.0)).where(one, product)
    for less in range(1, double.STIRLING_FROM - 1):
        product = product * (size >= less + 1.0).where(size - less, 1.0)
    return (size < double.STIRLING_FROM).where(product, size)


@branching
def lgamma(x: Lanes) -> Lanes:
    """The logarithm of |Γ(x)|: inf at the poles and at ±inf.

    The error is up to 2 ulp of the result or of 1, whichever is larger: at the roots of negative numbers it is not
    relative.
    """
    size, negative = abs(x), x < 0.0
    high, low = _two_parts_of_log(_product(size, negative))
    # Below Stirling's range.
    fraction = size - size.floor()
    factor = fraction.fma(fraction, -fraction)
    rest, rest_low = _times(factor, *_polynomial(fraction - 0.5, x.pick(*_FACTORIAL)))
    downwards = (size < 1.0) & ~negative
    small_high, small_low = (downwards.where(-part, part) for part in (high, low))
    small_high, small_low = _sum(small_high, rest, small_low + rest_low)
    # In it; lgamma(1 + x) has x + 1/2 where lgamma(x) has x - 1/2, and another constant.
    factor, less = size + negative.where(x.constant(0.5), -0.5), high - 1.0
    large_high = factor * less
    constant = negative.where(x.constant(1.0 + double.STIRLING_CONSTANT), double.STIRLING_CONSTANT)
    inverse = 1.0 / size
    above = inverse.fma(polynomial(inverse * inverse, x.pick(*_STIRLING)), constant)
    large_low = factor.fma(low, factor.fma(less, -large_high)) + above
    is_small = size < double.STIRLING_FROM
    high, low = is_small.where(small_high, large_high), is_small.where(small_low, large_low)

    def reflected() -> Lanes:
        """log(π/sin π|x|) - lgamma(1 + |x|)."""
        rest = abs(size - size.round())
        square = rest * rest
        above = rest * square * polynomial(square, x.pick(*_SINE))
        sine = rest + above
        first, second = _two_parts_of_log(sine)
        second = second + ((rest - sine) + above) / sine
        result = (-first - high) - (second + low)
        return rest.equals(0.0).where(x.constant(inf), result)

    result = _if_negative(negative, reflected, high + low)
    # The first product overflows at the last number already.
    result = size.equals(x.pick(*_LARGEST)).where(x.constant(x.pick(*_LARGEST_RESULT)), result)
    result = ((size > x.pick(*_LARGEST)) | size.equals(0.0)).where(x.constant(inf), result)
    return x.is_nan().where(x, result)


@branching
def digamma(x: Lanes) -> Lanes:
    """The derivative of lgamma: NaN at negative integers and -inf, ∓inf at ±0.

    The error is up to 2 ulp of the result or of 1, whichever is larger: at the roots of negative numbers it is not
    relative.
    """
    size, negative = abs(x), x < 0.0
    small = size < 1.0
    upper = size >= 2.0
    # On [1, 2], from there down to 0 and up to 3: digamma(1 + t) = digamma(t) + 1/t.
    inverted = (upper & (size < double.ASYMPTOTIC_FROM)).where(size - 1.0, size)
    inverse = 1.0 / inverted
    fraction = size - size.floor()
    root, root_low = x.pick(*_ROOT_LESS_ONE)
    distance = fraction - root
    distance_low = (fraction - (distance + root)) - root_low
    value, value_low = _polynomial(fraction - 0.5, x.pick(*_DIGAMMA))
    product, product_low = _times(distance, value, value_low + x.pick(*_DIGAMMA_LOW))
    product_low = distance_low.fma(value, product_low)
    added = upper.where(inverse, (small & ~negative).where(-inverse, 0.0))
    added_low = added * inverse.fma(-inverted, 1.0)
    high, low = _sum(added, product, product_low + added_low)
    # log x - 1/2x - ...
    log_high, log_low = _two_parts_of_log(size)
    square = inverse * inverse
    series = square.fma(-_series(square, x.pick(*_ASYMPTOTIC)), inverse.fma(-0.5, log_low))
    asymptotic = size >= double.ASYMPTOTIC_FROM
    high, low = asymptotic.where(log_high, high), asymptotic.where(series, low)

    def reflected() -> Lanes:
        """digamma(1 + |x|) + π cot π|x|."""
        rest = size - size.round()
        pole = 1.0 / rest
        pole_low = pole * pole.fma(-rest, 1.0)
        product, product_low = _times(-rest, *_polynomial(rest * rest, x.pick(*_COTANGENT)))
        total, total_low = _sum(pole, product, pole_low + product_low)
        total, total_low = _sum(total, high, low + total_low)
        whole = small.where(x.constant(0.0), 1.0 / size)  # digamma(1 + x) = digamma(x) + 1/x
        return rest.equals(0.0).where(x.constant(nan), total + (total_low + whole))

    result = _if_negative(negative, reflected, high + low)
    result = (size < x.pick(2.0**-30, 2.0**-60)).where((-inverse).with_sign_of(-x), result)
    result = x.equals(inf).where(x, result)
    return x.is_nan().where(x, result)


def _square(x: Lanes, low: Lanes) -> tuple[Lanes, Lanes]:
    """The square of a number in two parts."""
    square = x * x
    return square, x.fma(x, -square) + (x + x) * low


@branching
def trigamma(x: Lanes) -> Lanes:
    """The derivative of digamma: inf at 0 and negative integers, NaN at -inf."""
    size, negative = abs(x), x < 0.0
    small = size < 1.0
    upper = size >= 2.0
    # On [1, 2], from there down to 0 and up to 3: trigamma(1 + t) = trigamma(t) - 1/t².
    inverted = (upper & (size < double.ASYMPTOTIC_FROM)).where(size - 1.0, size)
    inverse = 1.0 / inverted
    inverse_low = inverse * inverse.fma(-inverted, 1.0)
    square, square_low = _square(inverse, inverse_low)
    value, value_low = _polynomial(size - size.floor() - 0.5, x.pick(*_TRIGAMMA))
    sign = upper.where(x.constant(-1.0), (small & ~negative).where(x.constant(1.0), 0.0))
    high, low = _sum(sign * square, value, sign.fma(square_low, value_low + x.pick(*_TRIGAMMA_LOW)))
    # 1/x + 1/2x² + ...
    series = (inverse * square).fma(polynomial(square, x.pick(*_TRIGAMMA_ASYMPTOTIC)), square.fma(0.5, inverse_low))
    asymptotic = size >= double.ASYMPTOTIC_FROM
    high, low = asymptotic.where(inverse, high), asymptotic.where(series, low)

    def reflected() -> Lanes:
        """(π/sin π|x|)² - trigamma(1 + |x|)."""
        rest = size - size.round()
        inverse = 1.0 / rest
        pole, pole_low = _square(inverse, inverse * inverse.fma(-rest, 1.0))
        value, value_low = _polynomial(rest * rest, x.pick(*_INVERSE_SQUARE_SINE))
        first, second = _sum(pole, value, pole_low + value_low)
        whole = 1.0 / size  # trigamma(1 + x) = trigamma(x) - 1/x²
        correction = small.where(-low, whole.fma(whole, -low))
        return (first - high) + (second + correction)

    result = _if_negative(negative, reflected, high + low)
    # Poles, where the low parts are NaN, and inf.
    pole = square.equals(inf) | (negative & size.equals(size.round()) & (size < inf))
    result = pole.where(x.constant(inf), x.equals(inf).where(x.constant(0.0), result))
    return x.is_nan().where(x, result)
