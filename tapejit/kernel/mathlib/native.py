"""Instructions of AVX-512 that take the place of several others; what uses them has another way as well.

Both ways give the same bits.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from typing import Any

from llvmlite import ir

from ..targets import target_cpu
from .lanes import Lanes, element_of, intrinsic, widened

_NEEDED = frozenset(("+avx512f", "+avx512vl", "+avx512dq"))


def has_avx512(x: Lanes) -> bool:
    """Whether this CPU has them, for as many lanes."""
    return x.count * x.bits <= 512 and _NEEDED.issubset(target_cpu()[1].split(","))


def _padded(x: Lanes, count: int) -> Any:
    """The lanes of `x` in a vector of `count`."""
    wide = widened(element_of(x.value.type), count)
    unknown = ir.Constant(wide, ir.Undefined)
    if x.count == 1:
        return x.b.insert_element(unknown, x.value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), count), [min(k, x.count - 1) for k in range(count)])
    return x.value if x.count == count else x.b.shuffle_vector(x.value, x.value, lanes)


def _cut(x: Lanes, wide: Any) -> Lanes:
    """As many lanes of `wide` as `x` has."""
    if x.count == 1:
        return Lanes(x.b, x.b.extract_element(wide, ir.IntType(32)(0)))
    if wide.type.count == x.count:
        return Lanes(x.b, wide)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), x.count), list(range(x.count)))
    return Lanes(x.b, x.b.shuffle_vector(wide, wide, lanes))


def _instruction(name: str, *operands: Lanes | int) -> Lanes:
    """One instruction for lanes of floats, with immediate numbers among its operands.

    The last lanes among the operands stay where a mask is not set, which it is in all lanes here.
    """
    x = next(operand for operand in operands if isinstance(operand, Lanes))
    count = max(x.count, 128 // x.bits)
    number = ir.IntType(32)
    arguments = [_padded(one, count) if isinstance(one, Lanes) else number(one) for one in operands]
    every = ir.IntType(16 if count == 16 else 8)(-1)
    more = [number(4)] if count * x.bits == 512 else []  # rounded as everything else
    symbol = f"llvm.x86.avx512.mask.{name}.p{x.pick('s', 'd')}.{count * x.bits}"
    wide = widened(element_of(x.value.type), count)
    return _cut(x, intrinsic(x.b, symbol, wide, *arguments, every, *more))


def scaled_by_instruction(x: Lanes, exponent: Lanes) -> Lanes:
    """``x * 2**floor(exponent)``, rounded once."""
    return _instruction("scalef", x, exponent, x)


def mantissa_and_exponent(x: Lanes) -> tuple[Lanes, Lanes]:
    """``m`` in [1, 2) and ``k`` with ``x = m * 2**k``, for positive finite x, subnormal ones too."""
    return _instruction("getmant", x, 0, x), _instruction("getexp", x, x)


def with_limits_of_log(x: Lanes, result: Lanes) -> Lanes:
    """`result` for positive finite x; -inf at 0, inf at inf, NaN below and for NaN."""
    # Four bits for each kind of x: NaN, NaN, 0, 1, -inf, inf, negative, positive.
    kinds = ir.Constant(widened(ir.IntType(x.bits), x.count), 0x03530422)
    return _instruction("fixupimm", result, x, Lanes(x.b, kinds), 0)
