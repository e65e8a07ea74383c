"""sin, cos and tan, of huge angles too.

An angle is reduced to a rest within π/4 and a quadrant by subtracting a multiple of π/2 in parts (W. J. Cody and
W. Waite, Software Manual for the Elementary Functions, 1980), of which `fma` makes the first difference exact. Where
the multiple has too many bits for that, a function of one lane takes over. Then a polynomial of least error, for the
sine, the cosine or the tangent of the rest. Start reading at `sin`.
"""

from collections.abc import Callable
from typing import NamedTuple

from .lanes import Lanes, polynomial, unless_rare, where_any
from .scalars import branching, function_beside, huge_angle

_BOUND = (131072.0, 4194304.0)
"""Up to here the multiple of π/2 has few enough bits for `_near`."""
_SHORT_BOUND = 6433.0
"""Up to here it has so few in float32 that its product with 12 bits is exact."""
_LARGEST = (3.4028234663852886e38, 1.7976931348623157e308)

_TWO_BY_PI = 0.6366197723675814
_MAGIC = (1.5 * 2.0**23, 1.5 * 2.0**52)  # added to a number it leaves the nearest integer in the last bits
_HALF_PI = (
    (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    (1.5707963267948966, 6.12323399409214e-17, 1.6446256936324258e-26),
)
"""π/2 in three parts; in float64 the second one has 30 bits."""
_HALF_PI_SHORT = (1.5707963705062866, -4.371395334601402e-08, 2.5633440682570896e-12)
"""The same for float32 with a second part of 12 bits."""

_SINE = (
    (-0.16666655242443085, 0.008332191035151482, -0.00019518571207299829),
    (
        -0.16666666666666632, 0.008333333333322474, -0.00019841269829836894, 2.7557313697550493e-06,
        -2.505075848493673e-08, 1.5896793967659145e-10,
    ),
)  # fmt: skip
"""(sin x - x) / x³ by powers of x²."""
_COSINE = (
    (0.04166664555668831, -0.00138873013202101, 2.4430661142105237e-05),
    (
        0.04166666666666665, -0.0013888888888881695, 2.4801587293654757e-05, -2.755731543758272e-07,
        2.0875858023396842e-09, -1.1366091246791899e-11,
    ),
)  # fmt: skip
"""(cos x - 1 + x²/2) / x⁴ by powers of x²."""
_TANGENT = (
    (
        0.3333335220813751, 0.13332583010196686, 0.05406865477561951, 0.021238569170236588, 0.010945702902972698,
        -4.645624358090572e-05, 0.00444199750199914,
    ),
    (
        0.33333333333332704, 0.13333333333424147, 0.05396825392235971, 0.02186948970713668, 0.008863217846152151,
        0.0035923004512604362, 0.0014546917107666187, 0.0005953328092903402, 0.0002216177537095224,
        0.0001380426985160628, -2.8457317861388993e-05, 9.129924132124204e-05, -4.5845502585997605e-05,
        2.109005021870676e-05,
    ),
)  # fmt: skip
"""(tan x - x) / x³ by powers of x²."""


class _Angle(NamedTuple):
    """A rest within π/4 of a multiple of π/2."""

    rest: Lanes
    correction: Lanes | None  # what the rest was rounded by; None where that does not matter
    quadrant: Lanes  # an integer whose last two bits count


Finish = Callable[[_Angle, Lanes], Lanes]
"""From a reduced angle and the angle with its sign to the function."""


def _multiple(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """The nearest multiple of π/2.

    As a float, and as an integer whose last two bits count; then what is left of `x` after the same multiple of π/2's
    first part, which is exact.
    """
    magic = x.pick(*_MAGIC)
    shifted = x.fma(_TWO_BY_PI, magic)
    multiple = shifted - magic
    return multiple, shifted.as_integer(), multiple.fma(-x.pick(*_HALF_PI)[0], x)


def _near_single(x: Lanes) -> _Angle:
    """For float32 between 0 and the bound, within 1 ulp."""
    multiple, quadrant, rest = _multiple(x)
    _, second, third = _HALF_PI[0]
    return _Angle(multiple.fma(-third, multiple.fma(-second, rest)), None, quadrant)


def _near(x: Lanes) -> _Angle:
    """For a number between 0 and the bound; the short one in float32."""
    multiple, quadrant, rest = _multiple(x)
    _, second, third = x.pick(_HALF_PI_SHORT, _HALF_PI[1])
    result = multiple.fma(-second, rest)
    correction = multiple.fma(-third, multiple.fma(-second, rest - result))
    return _Angle(result, correction, quadrant)


def _farther(x: Lanes) -> _Angle:
    """For float32 between 0 and the bound."""
    multiple, quadrant, rest = _multiple(x)
    _, second, third = _HALF_PI[0]
    product = multiple * second
    result = rest - product
    below = (rest - result) - product
    return _Angle(result, multiple.fma(-third, below - multiple.fma(second, -product)), quadrant)


def _reduced(x: Lanes, name: str, common: Callable[[], Lanes], finish: Finish) -> Lanes:
    """``common()`` up to the bound, ``finish`` of the angle beyond, one by one."""

    def huge(number: Lanes) -> Lanes:
        size = abs(number)
        is_finite: Lanes = size <= size.pick(*_LARGEST)  # inf and NaN come here too
        return is_finite.where(finish(_Angle(*huge_angle(size)), number), size - size)

    each = function_beside(x, f"tapejit_{name}_of_huge_{'f32' if x.is_single else 'f64'}", huge)
    return unless_rare(~(abs(x) <= x.pick(*_BOUND)), common, each, x)


def _sine_and_cosine(angle: _Angle) -> tuple[Lanes, Lanes]:
    x, correction, _ = angle
    square = x * x
    cube = x * square
    sine = polynomial(square, x.pick(*_SINE))
    cosine = polynomial(square, x.pick(*_COSINE)).fma(square, -0.5)
    if correction is None:
        return cube.fma(sine, x), cosine.fma(square, 1.0)
    return cube.fma(sine, correction) + x, 1.0 + square.fma(cosine, -(x * correction))


def _flipped(result: Lanes, quadrant: Lanes, bit: int, odd: Lanes | None = None) -> Lanes:
    """`result` with its sign changed where that bit of an integer is set, and for negative `odd`, -0 too."""
    sign = quadrant << (result.bits - 1 - bit)
    if odd is not None:
        sign = sign ^ odd.as_integer()
    return (result.as_integer() ^ (sign & -(1 << (result.bits - 1)))).as_float()


def _is_odd(integer: Lanes) -> Lanes:
    return (integer & 1).equals(1)


def _sine(angle: _Angle, x: Lanes) -> Lanes:
    sine, cosine = _sine_and_cosine(angle)
    return _flipped(_is_odd(angle.quadrant).where(cosine, sine), angle.quadrant, 1, x)


def _cosine(angle: _Angle, _: Lanes) -> Lanes:
    sine, cosine = _sine_and_cosine(angle)
    return _flipped(_is_odd(angle.quadrant).where(sine, cosine), angle.quadrant + 1, 1)


def _tangent(angle: _Angle, x: Lanes) -> Lanes:
    rest, correction, quadrant = angle
    assert correction is not None
    square = rest * rest
    below = correction.fma(square, correction)
    tangent = (rest * square).fma(polynomial(square, rest.pick(*_TANGENT)), below) + rest
    return _flipped(_is_odd(quadrant).where(1.0 / tangent, tangent), quadrant, 0, x)


@branching
def sin(x: Lanes) -> Lanes:
    """The sine; NaN at ±inf."""
    near = _near_single if x.is_single else _near
    return _reduced(x, "sin", lambda: _sine(near(abs(x)), x), _sine)


@branching
def cos(x: Lanes) -> Lanes:
    """The cosine; NaN at ±inf."""
    near = _near_single if x.is_single else _near
    return _reduced(x, "cos", lambda: _cosine(near(abs(x)), x), _cosine)


@branching
def tan(x: Lanes) -> Lanes:
    """The tangent; NaN at ±inf."""
    size = abs(x)
    if not x.is_single:
        return _reduced(x, "tan", lambda: _tangent(_near(size), x), _tangent)

    near, is_far = _tangent(_near(size), x), ~(size <= _SHORT_BOUND)

    def farther() -> Lanes:
        return is_far.where(_reduced(x, "tan", lambda: _tangent(_farther(size), x), _tangent), near)

    return where_any(is_far, farther, near)
