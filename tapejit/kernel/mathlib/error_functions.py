"""erf and erfc.

Near 0 the error function is a polynomial. Elsewhere it is 1 - erfc, where erfc need not be very exact: its logarithm is
a polynomial, or its fourth root in float32. Where erfc itself is wanted, ``exp(x²) erfc(x) (x + k)``, a smooth function
of 1/(x + k), is one (M. M. Shepherd and J. G. Laframboise, Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x
< ∞, Mathematics of Computation 36 (1981), 249), and its products are kept in two parts. Start reading at `erf`.
"""

from math import pi, sqrt

from .exponentials import LN2, LOG2_E, REST, scaled
from .lanes import Lanes, polynomial, split_polynomial

_NEAR = (
    (
        0.12837916612625122, -0.37612608075141907, 0.11283335834741592, -0.026842577382922173, 0.005166312213987112,
        -0.0007814788841642439, 7.209697650978342e-05,
    ),
    (
        0.12837916709551256, -0.37612638903183454, 0.11283791670942442, -0.02686617064289931, 0.005223977604689966,
        -0.0008548325870703971, 0.00012055292035174393, -1.4924685750072232e-05, 1.644683368402673e-06,
        -1.6204216644971434e-07, 1.370256913141906e-08, -7.764805895196478e-10,
    ),
)  # fmt: skip
"""erf(x)/x - 1 by powers of x², up to the limits."""
_LIMITS = ((1.1, 4.1), (1.0, 5.93))  # the second one is where erf rounds to 1
_FOURTH_ROOT = (
    1.0054455995559692, -0.30864009261131287, -0.06355392932891846, -0.05047488957643509, 0.06618315726518631,
    -0.02225388027727604, 0.003244945080950856, -0.0001805556530598551,
)  # fmt: skip
"""The fourth root of erfc by powers of x, between the limits for float32."""
_LOGARITHM = (
    -7.594393728673986e-07, -1.627899381971986, -0.9184840144713455, -0.14816593030387423, 0.02738991809326028,
    0.000602145310376482, -0.0027742146522982273, 0.0011199056560834827, -0.00019993486764067074,
    -2.671016514648573e-05, 3.193773509868396e-05, -1.2201482397772172e-05, 3.009427138598825e-06,
    -5.256896450507607e-07, 6.528340765571768e-08, -5.522862928799833e-09, 2.864951220787519e-10,
    -6.890173520215954e-12,
)  # fmt: skip
"""The logarithm of erfc to base 2 by powers of x, between the limits for float64."""
_EXP2 = (
    0.6931471805599453, 0.24022650695910133, 0.05550410866482223, 0.009618129107593338, 0.0013333558146391036,
    0.00015403530458108313, 1.5252733795209373e-05, 1.3215434775077107e-06, 1.017809093161787e-07,
    7.073872610148205e-09, 4.4493674909256484e-10,
)  # fmt: skip
"""(2**x - 1)/x by powers of x, for |x| up to 1/2."""
_MAGIC = 1.5 * 2.0**52  # added to a number it leaves the nearest integer in the last bits

_SHIFT = (3.0, 3.75)  # k
_CENTRE = (0.16796875, 0.134765625)  # of 1/(x + k)
_COMPLEMENT = (
    (
        1.0809446573257446, 5.356043338775635, 21.511756896972656, 67.87098693847656, 156.2660675048828,
        208.2335662841797, -65.00241088867188, -871.0639038085938, -778.3768920898438, 3304.765625,
    ),
    (
        1.1023074702825628, 7.310490854535965, 42.31799751256902, 212.04058990125534, 905.6656282108657,
        3207.2133145568546, 8910.409168781416, 16842.048697739265, 9087.073961693935, -62495.410943767216,
        -196877.8338716772, -24011.049905755586, 1225244.8942482502, 1993122.1870123285, -6331881.023460222,
        -21434302.667304765, 33124953.90845957, 193476536.99748704, -219078312.26190233, -1625541577.3627055,
        2250904287.394822, 9892433876.428259, -21912040192.526844,
    ),
)  # fmt: skip
"""``exp(x²) erfc(x) (x + k)`` by powers of 1/(x + k) less its centre."""
_COMPLEMENT_LOW = (-5.744952247255242e-08, 1.0953784676730106e-16)  # the second part of the first coefficient
_LAST = (10.06, 27.3)  # beyond it erfc rounds to 0


def _far(x: Lanes) -> Lanes:
    """erf(x) between the limits."""
    if x.is_single:
        root = polynomial(x, _FOURTH_ROOT)
        square = root * root
        return (-square).fma(square, 1.0)
    power = split_polynomial(x, _LOGARITHM)
    shifted = power + _MAGIC
    rest = power - (shifted - _MAGIC)
    result = polynomial(rest, _EXP2).fma(rest, 1.0)
    complement: Lanes = (result.as_integer() + (shifted.as_integer() << 52)).as_float()
    return 1.0 - complement


def erf(x: Lanes) -> Lanes:
    """The error function."""
    size = abs(x)
    low, high = x.pick(*_LIMITS)
    near = polynomial(x * x, x.pick(*_NEAR)).fma(size, size)
    is_far: Lanes = size > low
    return is_far.where(_far(size.minimum(high)), near).with_sign_of(x)


def _exponential(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """``exp(-x²)`` as two parts of a factor and the exponent of 2."""
    square = x * x
    exponent = (square * -LOG2_E).round()
    high, low = x.pick(*LN2)
    large = exponent.fma(-high, -square)  # exact
    small = exponent.fma(low, x.fma(x, -square))
    rest = large - small
    factor = rest + 1.0
    above = (rest * rest).fma(polynomial(rest, x.pick(*REST)), (large - rest) - small)
    return factor, (rest - (factor - 1.0)) + above, exponent


def erfc(x: Lanes) -> Lanes:
    """``1 - erf(x)``, to rounding also where that is small."""
    size = abs(x).minimum(x.pick(*_LAST))
    shift = x.pick(*_SHIFT)
    denominator = size + shift
    inverse = 1.0 / denominator
    centre = x.pick(*_CENTRE)
    centred = inverse - centre
    first, *others = x.pick(*_COMPLEMENT)
    slope = polynomial(centred, others)
    value = slope.fma(centred, first)
    lost = inverse - (centred + centre)
    value_below = slope.fma(centred, first - value) + slope.fma(lost, x.pick(*_COMPLEMENT_LOW))
    # exp(x²) erfc(x) at the point that `inverse` stands for, which is as far from x as both roundings make it.
    scaled_erfc = inverse * value
    away = denominator.fma(inverse.fma(-denominator, 1.0), (size - (denominator - shift)) * -1.0)
    derivative = (size * 2.0).fma(scaled_erfc, -2 / sqrt(pi))
    below = inverse.fma(value_below, inverse.fma(value, -scaled_erfc)) - derivative * away
    factor, factor_below, exponent = _exponential(size)
    product = factor * scaled_erfc
    lower = factor.fma(below, factor_below.fma(scaled_erfc, factor.fma(scaled_erfc, -product)))
    result = scaled(product + lower, exponent)
    return x.is_nan().where(x, (x < 0.0).where(2.0 - result, result))
