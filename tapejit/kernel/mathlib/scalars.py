"""What is left to one lane at a time: functions beside the vector ones, and the reduction of huge angles.

A function here is written into the module that calls it, once, and is not inlined: it stands outside the loops. Start
reading at `huge_angle`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import functools
import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .lanes import Lanes, intrinsic

_I64, _I128 = ir.IntType(64), ir.IntType(128)

_TWO_BY_PI = (
    0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4,
    0x9C845F8BBDF9283B, 0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB, 0xF0CFBC209AF4361D,
)  # fmt: skip
"""The bits of 2/π after the binary point, in words of 64."""
_HALF_PI = ((1.5707963705062866, -4.371138828673793e-08), (1.5707963267948966, 6.123233995736766e-17))
"""π/2 in two parts."""


def function_beside(x: Lanes, name: str, write: Callable[[Lanes], Lanes]) -> Callable[[Any], Any]:
    """What computes ``write(x)`` for one lane: a call of a function that is written at its first call.

    Parameters
    ----------
    x : Lanes
        Has the type of the argument and of the result.
    name : str
        What it is called within the module.
    write : callable
        Emits it, for a scalar.
    """
    type_ = x.element

    def each(value: Any) -> Any:
        known = x.b.module.globals.get(name)
        if known is None:
            known = ir.Function(x.b.module, ir.FunctionType(type_, [type_]), name)
            known.linkage = "linkonce_odr"  # the same one in each module: the linker keeps one
            for attribute in ("noinline", "nounwind"):
                known.attributes.add(attribute)
            b = ir.IRBuilder(known.append_basic_block())
            b.ret(write(Lanes(b, known.args[0])).value)
        return x.b.call(known, [value])

    return each


def branching(function: Callable[[Lanes], Lanes]) -> Callable[[Lanes], Lanes]:
    """Decorates a long function with branches: for one lane it is a call, so that callers stay small and whole."""

    @functools.wraps(function)
    def write(x: Lanes) -> Lanes:
        if x.count > 1:
            return function(x)
        name = f"tapejit_one_{function.__name__}_{'f32' if x.is_single else 'f64'}"
        return Lanes(x.b, function_beside(x, name, function)(x.value))

    return write


def _words(b: ir.IRBuilder, first: Any, count: int) -> list[Any]:
    """Words `first`, `first` + 1, … of 2/π, after one word of zeros: its integer part."""
    name = "tapejit_two_by_pi"
    table = b.module.globals.get(name)
    if table is None:
        words = (0, *_TWO_BY_PI)
        type_ = ir.ArrayType(_I64, len(words))
        table = ir.GlobalVariable(b.module, type_, name)
        table.global_constant, table.linkage = True, "linkonce_odr"
        table.initializer = ir.Constant(type_, list(words))
    places = (b.add(first, _I64(number)) for number in range(count))
    return [b.load(b.gep(table, [_I64(0), place], inbounds=True)) for place in places]


def huge_angle(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """A number of at least 2**17, and not negative, as a multiple of π/2 and a rest.

    Parameters
    ----------
    x : Lanes
        One lane.

    Returns
    -------
    rest, correction : Lanes
        Their sum is within π/4, and right to twice as many bits as `x` has, less a few.
    quadrant : Lanes
        An integer; the multiple of π/2, of which the last two bits count.

    Notes
    -----
    M. Payne and R. Hanek, Radian reduction for trigonometric functions, SIGNUM Newsletter 18 (1983): x is m * 2**e
    with an integer m, and those bits of 2/π whose products with it are multiples of 4 are left out. The 192 bits that
    follow are enough: no float64 is closer to a multiple of π/2 than 2**-61.
    """
    b = x.b
    width, bias = x.pick((23, 127), (52, 1023))
    bits = x.as_integer()
    exponent = Lanes(b, b.zext(bits.unsigned_shift(width).value, _I64)) - (bias + width)
    mantissa = b.zext(((bits & (2**width - 1)) | 2**width).value, _I128)
    start = exponent + 62  # the first bit that counts, in words that begin with one word of zeros
    words = _words(b, start.unsigned_shift(6).value, 4)
    shift = (start & 63).value
    high, middle, low = (
        b.zext(intrinsic(b, "llvm.fshl.i64", _I64, *pair, shift), _I128) for pair in itertools.pairwise(words)
    )
    # The product's lowest 192 bits without the last 64; the first two are the quadrant.
    below = b.add(b.lshr(b.mul(mantissa, low), _I128(64)), b.mul(mantissa, middle))
    product = b.add(b.shl(b.mul(mantissa, high), _I128(64)), below)
    quadrant = Lanes(b, b.lshr(b.add(product, _I128(2**125)), _I128(126))).truncated(x.bits)
    first, second = _two_parts(x, b.shl(product, _I128(2)))  # between -1/2 and 1/2
    half_pi, half_pi_low = x.pick(*_HALF_PI)
    rest = first * half_pi
    return rest, first.fma(half_pi, -rest) + (first * half_pi_low + second * half_pi), quadrant


def _two_parts(x: Lanes, fraction: Any) -> tuple[Lanes, Lanes]:
    """An integer of 128 bits with a sign, times 2**-128, as the sum of two floats of the type of `x`."""
    b = x.b
    width, bias = x.pick((23, 127), (52, 1023))
    negative = b.icmp_signed("<", fraction, _I128(0))
    size = b.select(negative, b.neg(fraction), fraction)
    zeros = intrinsic(b, "llvm.ctlz.i128", _I128, size, ir.IntType(1)(0))
    normal = b.shl(size, zeros)
    exponent = Lanes(b, b.sub(_I128(bias), zeros)).truncated(x.bits)
    sign = Lanes(b, b.select(negative, ir.Constant(x.element, -1.0), ir.Constant(x.element, 1.0)))
    scale: Lanes = (exponent << width).as_float() * sign

    def part(last: int, count: int) -> Lanes:
        """So many bits down to the one of value 2**-last."""
        taken = b.and_(b.lshr(normal, _I128(128 - last)), _I128(2**count - 1))
        return Lanes(b, taken).truncated(x.bits).to_float() * scale * 2.0**-last

    return part(width + 1, width + 1), part(2 * width + 1, width)
