"""The scalar functions of kernels as LLVM instructions: what the names of `runtime` mean to the compiler.

Operands may be vectors as well, all with the same number of lanes: an operation then does the same in each. Written
with llvmlite's `ir` alone, so that it can be read without knowing Numba; `build` gives each function to Numba under its
name. Start reading at `OPERATIONS`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from ..ops.philox import MULTIPLIERS, ROUNDS, WEYL
from .mathlib import linking
from .mathlib.functions import FUNCTIONS
from .mathlib.lanes import element_of, suffix_of, widened

Value = Any  # an `ir.Value`
Lower = Callable[..., Value]  # (builder, dtype of the operands, *operands) -> result

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
FLOATS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}


def kind(dtype: str) -> str:
    """NumPy's letter for what sort of number a dtype is."""
    return np.dtype(dtype).kind


def type_of(dtype: str) -> ir.Type:
    """The LLVM type of a scalar in a register; a boolean is one bit there and one byte in memory."""
    return FLOATS.get(dtype) or ir.IntType(1 if dtype == "bool" else 8 * np.dtype(dtype).itemsize)


def lanes_of(x: Value) -> int:
    """The number of lanes of an operand."""
    return x.type.count if isinstance(x.type, ir.VectorType) else 1


def _like(x: Value, number: float) -> Value:
    """A constant of an operand's type."""
    return ir.Constant(x.type, number)


def lane_by_lane(b: ir.IRBuilder, write: Callable[..., Value], *operands: Value) -> Value:
    """What `write` makes of scalars, for each lane of vectors in turn."""
    count = lanes_of(operands[0])
    if count == 1:
        return write(*operands)
    result = None
    for lane in range(count):
        one = write(*(b.extract_element(operand, I32(lane)) for operand in operands))
        if result is None:
            result = ir.Constant(ir.VectorType(one.type, count), ir.Undefined)
        result = b.insert_element(result, one, I32(lane))
    return result


def call_function(b: ir.IRBuilder, name: str, result: ir.Type, *arguments: Value) -> Value:
    """A call of a function outside the kernel, or of one of LLVM's own."""
    known = b.module.globals.get(name)
    if known is None:
        known = ir.Function(b.module, ir.FunctionType(result, [argument.type for argument in arguments]), name)
    return b.call(known, arguments)


def _intrinsic(name: str) -> Lower:
    def lower(b: ir.IRBuilder, _: str, *arguments: Value) -> Value:
        type_ = arguments[0].type
        return call_function(b, f"llvm.{name}.{suffix_of(type_)}", type_, *arguments)

    return lower


def _from_float(b: ir.IRBuilder, target: str, x: Value) -> Value:
    wide = widened(I64 if target in {"uint32", "int64", "uint64"} else I32, lanes_of(x))
    name = f"{suffix_of(wide)}.{suffix_of(x.type)}"
    result = call_function(b, f"llvm.fptosi.sat.{name}", wide, x)
    if target == "uint64":
        large = call_function(b, f"llvm.fptoui.sat.{name}", wide, x)
        return b.select(b.fcmp_ordered("<", x, _like(x, 2.0**63)), result, large)
    return b.trunc(result, widened(type_of(target), lanes_of(x)))


def convert(b: ir.IRBuilder, source: str, target: str, x: Value) -> Value:
    """Instructions that cast a scalar of dtype `source` to `target`, as `runtime` does."""
    old, new, to = kind(source), kind(target), widened(type_of(target), lanes_of(x))
    if target == "bool":
        return truth(b, source, x)
    if old == "f":
        if new != "f":
            return _from_float(b, target, x)
        return b.fpext(x, to) if target == "float64" else b.fptrunc(x, to)
    if source == "bool" and new == "f":  # a choice, which is one masked move, where a conversion is three instructions
        return b.select(truth(b, source, x), ir.Constant(to, 1.0), ir.Constant(to, 0.0))
    if new == "f":
        return b.sitofp(x, to) if old == "i" else b.uitofp(x, to)
    if element_of(x.type).width >= element_of(to).width:
        return b.trunc(x, to)
    return b.sext(x, to) if old == "i" else b.zext(x, to)


def truth(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    """Instructions for ``x != 0``; NaN is true."""
    if dtype == "bool":
        return x
    zero = _like(x, 0)
    return b.fcmp_unordered("!=", x, zero) if kind(dtype) == "f" else b.icmp_unsigned("!=", x, zero)


def _less(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
    compare = {"f": b.fcmp_ordered, "i": b.icmp_signed}.get(kind(dtype), b.icmp_unsigned)
    return compare("<", x, y)


def _absolute(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    if kind(dtype) == "f":
        return _intrinsic("fabs")(b, dtype, x)
    return b.select(_less(b, dtype, x, _like(x, 0)), b.neg(x), x)


def _sign(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    zero, one = _like(x, 0), _like(x, 1)
    # 0 has the sign +0 whatever its own, and NaN stays.
    rest = b.select(b.fcmp_ordered("==", x, zero), zero, x) if kind(dtype) == "f" else zero
    below = b.select(_less(b, dtype, x, zero), _like(x, -1), rest)
    return b.select(_less(b, dtype, zero, x), one, below)


def extreme(name: str) -> Lower:
    """Instructions for "maximum" or "minimum"; a NaN stays."""

    def lower(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
        if kind(dtype) == "f":
            return _intrinsic(name)(b, dtype, x, y)
        return b.select(_less(b, dtype, *((y, x) if name == "maximum" else (x, y))), x, y)

    return lower


def _mathlib(name: str) -> Lower:
    return lambda b, _, *operands: linking.call(b, name, *operands)


def _float_divmod(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> tuple[Value, Value]:
    """NumPy's ``npy_divmod``: the remainder has the divisor's sign, the quotient is rounded to an integer."""
    zero, one = _like(x, 0), _like(x, 1)
    rest = b.frem(x, y)
    quotient = b.fdiv(b.fsub(x, rest), y)
    nonzero = truth(b, dtype, rest)
    moved = b.and_(nonzero, b.xor(_less(b, dtype, y, zero), _less(b, dtype, rest, zero)))
    unmoved = b.select(nonzero, rest, _intrinsic("copysign")(b, dtype, zero, y))
    modulus = b.select(moved, b.fadd(rest, y), unmoved)
    quotient = b.select(moved, b.fsub(quotient, one), quotient)
    floor = _intrinsic("floor")(b, dtype, quotient)
    floor = b.select(_less(b, dtype, _like(x, 0.5), b.fsub(quotient, floor)), b.fadd(floor, one), floor)
    plain = b.fdiv(x, y)
    floor = b.select(truth(b, dtype, quotient), floor, _intrinsic("copysign")(b, dtype, zero, plain))
    # By zero: x / 0 (inf or NaN) and NaN.
    defined = truth(b, dtype, y)
    return b.select(defined, floor, plain), b.select(defined, modulus, rest)


def _integer_divmod(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> tuple[Value, Value]:
    """Floored division; by zero both results are 0, the smallest integer by -1 wraps."""
    zero, one = _like(x, 0), _like(x, 1)
    signed = kind(dtype) == "i"
    by_zero = b.icmp_unsigned("==", y, zero)
    negates = b.icmp_signed("==", y, _like(x, -1)) if signed else ir.Constant(by_zero.type, 0)
    safe = b.select(b.or_(by_zero, negates), one, y)
    quotient, rest = (b.sdiv(x, safe), b.srem(x, safe)) if signed else (b.udiv(x, safe), b.urem(x, safe))
    moved = b.and_(b.icmp_unsigned("!=", rest, zero), _less(b, dtype, b.xor(rest, y), zero))
    quotient = b.select(negates, b.neg(x), b.select(moved, b.sub(quotient, one), quotient))
    rest = b.select(moved, b.add(rest, y), rest)
    return b.select(by_zero, zero, quotient), b.select(by_zero, zero, rest)


def _fmod(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
    """The remainder with the sign of the dividend; an integer's by zero is 0."""
    if kind(dtype) == "f":
        return b.frem(x, y)
    zero, one = _like(x, 0), _like(x, 1)
    signed = kind(dtype) == "i"
    none = b.icmp_unsigned("==", y, zero)
    if signed:  # by -1 the smallest integer would be a fault
        none = b.or_(none, b.icmp_signed("==", y, _like(x, -1)))
    safe = b.select(none, one, y)
    return b.srem(x, safe) if signed else b.urem(x, safe)


def _divmod(part: int) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
        return (_float_divmod if kind(dtype) == "f" else _integer_divmod)(b, dtype, x, y)[part]

    return lower


def _power(b: ir.IRBuilder, dtype: str, x: Value, exponent: Value) -> Value:
    if kind(dtype) == "f":
        return linking.call(b, "power", x, exponent)
    return lane_by_lane(b, lambda *both: _integer_power(b, dtype, *both), x, exponent)


def _integer_power(b: ir.IRBuilder, dtype: str, x: Value, exponent: Value) -> Value:
    """Squares and products, for each bit of the exponent; the result wraps."""
    one, zero = _like(x, 1), _like(x, 0)
    slots = [variable(b, start) for start in (one, x, exponent)]

    def step() -> None:
        result, square, left = (b.load(slot) for slot in slots)
        b.store(b.select(b.trunc(left, I1), b.mul(result, square), result), slots[0])
        b.store(b.mul(square, square), slots[1])
        b.store(b.lshr(left, one), slots[2])

    while_(b, lambda: b.icmp_unsigned("!=", b.load(slots[2]), zero), step)
    result = b.load(slots[0])
    # The powers of 1 and -1 are the same upwards and downwards.
    unit = b.icmp_unsigned("==", _absolute(b, dtype, x), one)
    return b.select(b.or_(unit, b.not_(_less(b, dtype, exponent, zero))), result, zero)


def variable(b: ir.IRBuilder, start: Value) -> Value:
    """The address of a local variable that is `start` here."""
    with b.goto_entry_block():  # where LLVM makes a register of it, also inside loops
        slot = b.alloca(start.type)
    b.store(start, slot)
    return slot


def while_(b: ir.IRBuilder, condition: Callable[[], Value], body: Callable[[], None]) -> None:
    """Instructions for ``while condition: body``."""
    test, inside, after = (b.append_basic_block(name) for name in ("while", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    b.cbranch(condition(), inside, after)
    b.position_at_end(inside)
    body()
    b.branch(test)
    b.position_at_end(after)


def for_(b: ir.IRBuilder, count: Value, body: Callable[[Value], object]) -> None:
    """Instructions for ``for index in range(count): body(index)``."""
    slot = variable(b, I64(0))

    def step() -> None:
        index = b.load(slot)
        body(index)
        b.store(b.add(index, I64(1)), slot)

    while_(b, lambda: b.icmp_signed("<", b.load(slot), count), step)


def own_function(b: ir.IRBuilder, name: str, values: tuple[Value, ...], body: Callable[..., Value]) -> Value:
    """A call of a function of the kernel's own, which is written at its first call: ``body(builder, *parameters)``."""
    known = b.module.globals.get(name)
    if known is None:
        known = ir.Function(b.module, ir.FunctionType(I64, [value.type for value in values]), name)
        known.linkage = "internal"
        inner = ir.IRBuilder(known.append_basic_block())
        inner.ret(body(inner, *known.args))
    return b.call(known, values)


def _accumulate(name: str) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, accumulator: Value, x: Value) -> Value:
        if kind(dtype) != "f":
            return {"add": b.add, "mul": b.mul}[name](accumulator, x)
        if name == "add" and isinstance(x, ir.Instruction) and x.opname == "fmul":
            # A product that feeds the sum may be fused into it; its other users lack the flag.
            x.flags[:] = ["contract"]
        # `nsz` lets the lanes start at zero: a sum of -0.0 alone may become 0.0.
        return {"add": b.fadd, "mul": b.fmul}[name](accumulator, x, flags=("reassoc", "nsz", "contract"))

    return lower


def philox_word(b: ir.IRBuilder, key: Value, counter: Value, index: Value, bits: Value) -> Value:
    """Instructions for `runtime.philox_word`: all ten rounds, for this one word.

    The 32-bit words are held in 64-bit registers, so that a product is one instruction, of vectors too.
    """
    low, half = I64(0xFFFFFFFF), I64(32)
    per_block = b.udiv(I64(128), bits)
    number = b.add(counter, b.udiv(index, per_block))
    c0, c1, c2, c3 = b.and_(number, low), b.lshr(number, half), I64(0), I64(0)
    k0, k1 = b.and_(key, low), b.lshr(key, half)
    for _ in range(ROUNDS):
        first, second = (b.mul(c, I64(by)) for c, by in zip((c0, c2), MULTIPLIERS, strict=True))
        c0, c1, c2, c3 = (
            b.xor(b.xor(b.lshr(second, half), c1), k0),
            b.and_(second, low),
            b.xor(b.xor(b.lshr(first, half), c3), k1),
            b.and_(first, low),
        )
        k0, k1 = (b.and_(b.add(k, I64(step)), low) for k, step in zip((k0, k1), WEYL, strict=True))
    place = b.urem(index, per_block)
    odd, upper = b.trunc(place, I1), b.trunc(b.lshr(place, I64(1)), I1)
    word = b.select(upper, b.select(odd, c3, c2), b.select(odd, c1, c0))
    joined = [b.or_(c, b.shl(d, half)) for c, d in ((c0, c1), (c2, c3))]
    return b.select(b.icmp_unsigned("==", bits, I64(64)), b.select(odd, joined[1], joined[0]), word)


class Operation(NamedTuple):
    """One scalar function; ``lower(builder, dtype, *operands)`` emits it and returns the result."""

    arity: int  # operands, all of one dtype
    kinds: str  # the kinds of dtypes that it takes, by NumPy's letters
    lower: Lower
    result: str | None = None  # the result's dtype; None for that of the operands


def _size(how: str) -> Lower:
    return lambda b, dtype, x: b.fcmp_ordered(how, _absolute(b, dtype, x), _like(x, np.inf))


def _logical(name: str) -> Lower:
    return lambda b, dtype, *operands: getattr(b, name)(*(truth(b, dtype, x) for x in operands))


def _shift_left(b: ir.IRBuilder, _: str, x: Value, count: Value) -> Value:
    """Zeros come in; all bits are gone where `count` is no number of bits below the width."""
    zero, within = _within_width(b, x, count)
    return b.select(within, b.shl(x, b.select(within, count, zero)), zero)


def _shift_right(b: ir.IRBuilder, dtype: str, x: Value, count: Value) -> Value:
    """Copies of the sign's bit come in, zeros for unsigned integers."""
    zero, within = _within_width(b, x, count)
    if kind(dtype) == "i":
        return b.ashr(x, b.select(within, count, _like(x, element_of(x.type).width - 1)))
    return b.select(within, b.lshr(x, b.select(within, count, zero)), zero)


def _within_width(b: ir.IRBuilder, x: Value, count: Value) -> tuple[Value, Value]:
    return _like(x, 0), b.icmp_unsigned("<", count, _like(x, element_of(x.type).width))


def _nextafter(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
    """The bits of x as an integer, one up or down: away from 0 where y is on the far side of x."""
    integer = widened(I32 if dtype == "float32" else I64, lanes_of(x))
    zero, one = _like(x, 0), ir.Constant(integer, 1)
    bits = b.bitcast(x, integer)
    away = b.icmp_unsigned("==", _less(b, dtype, x, y), _less(b, dtype, zero, x))
    moved = b.bitcast(b.select(away, b.add(bits, one), b.sub(bits, one)), x.type)
    least = _intrinsic("copysign")(b, dtype, b.bitcast(one, x.type), y)
    moved = b.select(b.fcmp_ordered("==", x, zero), least, moved)
    moved = b.select(b.fcmp_ordered("==", x, y), y, moved)
    return b.select(b.fcmp_unordered("uno", x, y), b.fadd(x, y), moved)


_INTRINSICS = "sqrt floor ceil rint trunc"
OPERATIONS: Mapping[str, Operation] = {
    **{name: Operation(1, "f", _intrinsic(name)) for name in _INTRINSICS.split()},
    "copysign": Operation(2, "f", _intrinsic("copysign")),
    "nextafter": Operation(2, "f", _nextafter),
    "left_shift": Operation(2, "iu", _shift_left),
    "right_shift": Operation(2, "iu", _shift_right),
    "fmod": Operation(2, "iuf", _fmod),
    "absolute": Operation(1, "biuf", _absolute),
    "sign": Operation(1, "iuf", _sign),
    "maximum": Operation(2, "biuf", extreme("maximum")),
    "minimum": Operation(2, "biuf", extreme("minimum")),
    "floor_divide": Operation(2, "iuf", _divmod(0)),
    "remainder": Operation(2, "iuf", _divmod(1)),
    "isnan": Operation(1, "f", lambda b, _, x: b.fcmp_unordered("uno", x, x), "bool"),
    "isinf": Operation(1, "f", _size("=="), "bool"),
    "isfinite": Operation(1, "f", _size("<"), "bool"),
    **{f"logical_{name}": Operation(2, "biuf", _logical(f"{name}_"), "bool") for name in ("and", "or")},
    "logical_xor": Operation(2, "biuf", _logical("xor"), "bool"),
    "logical_not": Operation(1, "biuf", _logical("not_"), "bool"),
    "accumulate": Operation(2, "iuf", _accumulate("add")),
    "accumulate_product": Operation(2, "iuf", _accumulate("mul")),
    **{name: Operation(function.arity, "f", _mathlib(name)) for name, function in FUNCTIONS.items()},
    "power": Operation(2, "iuf", _power),
}
