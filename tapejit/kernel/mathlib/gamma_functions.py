"""lgamma and digamma, of negative numbers too.

Both take a number of at least 8 (3 for `digamma`) by Stirling's series, with coefficients of least error on just that
range, and smaller ones to [1, 2] by recurrence, where a polynomial does the rest. Negative numbers take the reflection,
which stands in a branch. Sums of large terms are kept in two parts. Start reading at `lgamma`.

Sources: NIST Digital Library of Mathematical Functions, 5.5.1 to 5.5.4 and 5.11.1 to 5.11.2.
"""

from math import inf, nan

from .exponentials import LN2
from .lanes import Lanes, if_any, polynomial, split_polynomial
from .logarithms import rest_of_log, split

_STIRLING_FROM = 8
_FACTORIAL = (
    (
        0.48312896490097046, -0.14595989882946014, 0.06291037797927856, -0.03130808472633362, 0.016817865893244743,
        -0.009435691870748997, 0.0052737463265657425, -0.0031185366678982973, 0.002539834240451455,
        -0.0015235685277730227,
    ),
    (
        0.4831289505409809, -0.14595989591430594, 0.06291140107456973, -0.03130848750105256, 0.01679709863079318,
        -0.009425622444866466, 0.0054464578588479945, -0.003212074219661212, 0.001922915870775747,
        -0.001164411391056111, 0.0007115249966248006, -0.0004380350385281565, 0.0002712640603105519,
        -0.0001685724684616844, 0.00010561722793091, -6.793509438389492e-05, 4.218174345378775e-05,
        -2.149181240275076e-05, 1.471124285598983e-05, -1.852459009951721e-05, 1.0963268291407253e-05,
    ),
)  # fmt: skip
"""lgamma(1 + t)/(t² - t) by powers of t - 1/2, for t in [0, 1]."""
_STIRLING = (
    (0.08333327621221542, -0.0027626524679362774),
    (
        0.08333333333333309, -0.002777777777349336, 0.0007936505735051146, -0.0005951892774798045,
        0.0008364338008728182, -0.0016328737007392574,
    ),
)  # fmt: skip
"""x (lgamma(x) - (x - 1/2)(log x - 1) - the constant) by powers of 1/x²."""
_STIRLING_CONSTANT = 0.4189385332046727  # (log 2π - 1)/2
_LARGEST = (4.085003108497519e36, 2.5599833278516383e305)  # beyond it the result overflows
_SINE = (
    (-1.644934058189392, 0.8117420673370361, -0.1907465159893036, 0.026111427694559097, -0.0022279699333012104),
    (
        -1.6449340668482264, 0.8117424252833507, -0.19075182412197864, 0.02614784781570503, -0.0023460810147854674,
        0.00014842866168952724, -6.975376801505015e-06, 2.5207573611467085e-07, -6.303498508942555e-09,
    ),
)  # fmt: skip
"""(sin πr/πr - 1)/r² by powers of r², for r up to 1/2."""

_ROOT_LESS_ONE = ((0.4616321325302124, 1.243815006546356e-08), (0.46163214496836236, -1.5522348162858677e-17))
"""The positive root of digamma less 1, in two parts."""
_ASYMPTOTIC_FROM = 3
_DIGAMMA = (
    (
        0.9510558843612671, -0.42362749576568604, 0.24054250121116638, -0.14839895069599152, 0.09498579800128937,
        -0.06205471233532455, 0.04083719849586487, -0.02579358220100403, 0.017174942418932915,
        -0.016361789777874947, 0.010805010795593262,
    ),
    (
        0.951055876031833, -0.42362742128146047, 0.2405424842407744, -0.14840492305391886, 0.09498872445491689,
        -0.061922133272205075, 0.040760833813675235, -0.02697579679016962, 0.0179072524066281,
        -0.011908217259384615, 0.007926945139207366, -0.005279974610657322, 0.0035190019006145793,
        -0.0023451875362443426, 0.0015566571738506033, -0.0010380534430413885, 0.0007232398697760326,
        -0.000480874243800917, 0.00022739699198380794, -0.0001538466949039281, 0.0002595533905595155,
        -0.00017131984241388669,
    ),
)  # fmt: skip
"""digamma(1 + t)/(1 + t - its root) by powers of t - 1/2, for t in [0, 1]."""
_DIGAMMA_LOW = (-8.132872153510107e-09, -5.482192047633853e-17)  # the second part of the first coefficient
_ASYMPTOTIC = (
    (0.08333327621221542, -0.008328731171786785, 0.0038447610568255186, -0.002731182612478733),
    (
        0.08333333333332874, -0.008333333330808991, 0.0039682534591635385, -0.004166613227781399,
        0.007572357322002022, -0.020949782214603876, 0.0791204890568421, -0.35217646379224155, 1.5338158019052706,
        -5.420570349532689, 12.791833288859495, -14.510334636674518,
    ),
)  # fmt: skip
"""x² (log x - 1/2x - digamma(x)) by powers of 1/x²."""
_COTANGENT = (
    (
        3.289868116378784, 2.1646506786346436, 2.0344350337982178, 2.0145456790924072, 1.918182134628296,
        2.6063144207000732, -0.3848828077316284, 6.4812445640563965,
    ),
    (
        3.2898681336964533, 2.1646464674220027, 2.034686124022929, 2.0081547075164603, 2.0019893978755245,
        2.000484294895131, 2.000290194116522, 1.9975450451133823, 2.0262618582407868, 1.8003285776847293,
        3.091085055264793, -2.212368864658486, 13.051961600572321, -16.150363811495957, 17.196548849352812,
    ),
)  # fmt: skip
"""(1/r - π cot πr)/r by powers of r², for r up to 1/2."""


_TRIGAMMA = (
    (
        0.9348021745681763, -0.8287966847419739, 0.704547643661499, -0.5790395140647888, 0.4629640579223633,
        -0.36215949058532715, 0.27979034185409546, -0.21077987551689148, 0.1441708505153656, -0.10984654724597931,
        0.1278027892112732, -0.08799584209918976,
    ),
    (
        0.9348022005446793, -0.8287966442343201, 0.7045455170012289, -0.5790416377778401, 0.46306452509948637,
        -0.3621493650278781, 0.2780808134810186, -0.21030987292931824, 0.15705319598294976, -0.11604072766103947,
        0.0849689269232571, -0.061740363831745686, 0.044564640528135004, -0.031985954767474456,
        0.022861095705049326, -0.016248142015496174, 0.011391701480601306, -0.008071422801693737,
        0.006169772317615973, -0.004243386464176477, 0.001665163483920468, -0.001301558515290605,
        0.002903411121844131, -0.0019229459308035537,
    ),
)  # fmt: skip
"""trigamma(1 + t) by powers of t - 1/2, for t in [0, 1]."""
_TRIGAMMA_LOW = (1.8936278323167244e-08, -2.860709264526125e-17)  # the second part of the first coefficient
_TRIGAMMA_ASYMPTOTIC = (
    (0.16666662693023682, -0.033328406512737274, 0.02359980344772339, -0.029170824214816093, 0.032765939831733704),
    (
        0.16666666666661775, -0.03333333330249456, 0.023809516924445738, -0.03333255018370159, 0.075704310920093,
        -0.2507400063593315, 1.0929756377404403, -5.415825739231096, 25.460179622028843, -95.06932622557298,
        233.90119986951356, -274.3098153903516,
    ),
)  # fmt: skip
"""x³ (trigamma(x) - 1/x - 1/2x²) by powers of 1/x²."""


_INVERSE_SQUARE_SINE = (
    (
        3.2898669242858887, 6.494107723236084, 10.165633201599121, 14.22803020477295, 15.990768432617188,
        35.60430908203125, -24.32320213317871, 118.78358459472656,
    ),
    (
        3.2898681336964466, 6.493939402269791, 10.173430619351041, 14.057083028528323, 18.01790024607563,
        22.00548315617875, 26.00002379705531, 30.02581732328674, 33.70108313723389, 40.602209245021,
        25.257727937789817, 125.00278990154078, -217.58749711482292, 677.0659330961365, -855.883722542388,
        741.8326609934843,
    ),
)  # fmt: skip
"""(π/sin πr)² - 1/r² by powers of r², for r up to 1/2."""


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


def _product(size: Lanes, negative: Lanes) -> Lanes:
    """What makes Γ(|x|) of Γ in [1, 2), or Γ(|x| + 1) for a negative x; in Stirling's range |x| itself."""
    one = size.constant(1.0)
    product = ((size >= 1.0) & ~negative).where(one, size)
    product = (negative & (size < 1.0)).where(one, product)
    for less in range(1, _STIRLING_FROM - 1):
        product = product * (size >= less + 1.0).where(size - less, 1.0)
    return (size < _STIRLING_FROM).where(product, size)


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
    constant = negative.where(x.constant(1.0 + _STIRLING_CONSTANT), _STIRLING_CONSTANT)
    inverse = 1.0 / size
    above = inverse.fma(polynomial(inverse * inverse, x.pick(*_STIRLING)), constant)
    large_low = factor.fma(low, factor.fma(less, -large_high)) + above
    is_small = size < _STIRLING_FROM
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

    result = if_any(negative, reflected, high + low)
    result = ((size > x.pick(*_LARGEST)) | size.equals(0.0)).where(x.constant(inf), result)
    return x.is_nan().where(x, result)


def digamma(x: Lanes) -> Lanes:
    """The derivative of lgamma: NaN at negative integers and -inf, ∓inf at ±0.

    The error is up to 2 ulp of the result or of 1, whichever is larger: at the roots of negative numbers it is not
    relative.
    """
    size, negative = abs(x), x < 0.0
    small = size < 1.0
    upper = size >= 2.0
    # On [1, 2], from there down to 0 and up to 3: digamma(1 + t) = digamma(t) + 1/t.
    inverted = (upper & (size < _ASYMPTOTIC_FROM)).where(size - 1.0, size)
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
    asymptotic = size >= _ASYMPTOTIC_FROM
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

    result = if_any(negative, reflected, high + low)
    result = (size < x.pick(2.0**-30, 2.0**-60)).where((-inverse).with_sign_of(-x), result)
    result = x.equals(inf).where(x, result)
    return x.is_nan().where(x, result)


def _square(x: Lanes, low: Lanes) -> tuple[Lanes, Lanes]:
    """The square of a number in two parts."""
    square = x * x
    return square, x.fma(x, -square) + (x + x) * low


def trigamma(x: Lanes) -> Lanes:
    """The derivative of digamma: inf at 0 and negative integers, NaN at -inf."""
    size, negative = abs(x), x < 0.0
    small = size < 1.0
    upper = size >= 2.0
    # On [1, 2], from there down to 0 and up to 3: trigamma(1 + t) = trigamma(t) - 1/t².
    inverted = (upper & (size < _ASYMPTOTIC_FROM)).where(size - 1.0, size)
    inverse = 1.0 / inverted
    inverse_low = inverse * inverse.fma(-inverted, 1.0)
    square, square_low = _square(inverse, inverse_low)
    value, value_low = _polynomial(size - size.floor() - 0.5, x.pick(*_TRIGAMMA))
    sign = upper.where(x.constant(-1.0), (small & ~negative).where(x.constant(1.0), 0.0))
    high, low = _sum(sign * square, value, sign.fma(square_low, value_low + x.pick(*_TRIGAMMA_LOW)))
    # 1/x + 1/2x² + ...
    series = (inverse * square).fma(polynomial(square, x.pick(*_TRIGAMMA_ASYMPTOTIC)), square.fma(0.5, inverse_low))
    asymptotic = size >= _ASYMPTOTIC_FROM
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

    result = if_any(negative, reflected, high + low)
    # Poles, where the low parts are NaN, and inf.
    pole = square.equals(inf) | (negative & size.equals(size.round()) & (size < inf))
    result = pole.where(x.constant(inf), x.equals(inf).where(x.constant(0.0), result))
    return x.is_nan().where(x, result)
