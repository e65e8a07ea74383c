"""Numbers in the lanes of a vector, or one number: what the functions of this room are written with.

A `Lanes` behaves like a number in Python text, and each operation emits one LLVM instruction (or a call that LLVM turns
into a few) for all lanes. So each function is written once, as the formula that it is, for every width and dtype. A
Python number beside a `Lanes` is a constant of the same type.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Sequence
from typing import Any, Union

from llvmlite import ir

from ...dataclass import dataclass

Operand = Union["Lanes", int, float]

_FLOATS = {32: ir.FloatType(), 64: ir.DoubleType()}


def intrinsic(b: ir.IRBuilder, name: str, result: ir.Type, *arguments: Any) -> Any:
    """A call of LLVM's function `name`, which is declared at its first call."""
    known = b.module.globals.get(name)
    if known is None:
        known = ir.Function(b.module, ir.FunctionType(result, [argument.type for argument in arguments]), name)
    return b.call(known, arguments)


def element_of(type_: ir.Type) -> ir.Type:
    """The type of one lane."""
    return type_.element if isinstance(type_, ir.VectorType) else type_


def widened(element: ir.Type, count: int) -> ir.Type:
    """The type of `count` lanes; one lane is no vector."""
    return element if count == 1 else ir.VectorType(element, count)


def suffix_of(type_: ir.Type) -> str:
    """How LLVM names overloads for a type: ``f32``, ``v16f32``, ``v8i64``."""
    element = element_of(type_)
    letter = f"i{element.width}" if isinstance(element, ir.IntType) else "f32" if element == _FLOATS[32] else "f64"
    return f"v{type_.count}{letter}" if isinstance(type_, ir.VectorType) else letter


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """Floats, integers or truth values, one in each lane.

    Parameters
    ----------
    b : ir.IRBuilder
        Where instructions go.
    value : ir.Value
        A scalar, or a vector.
    """

    b: ir.IRBuilder
    value: Any

    # Types

    @property
    def count(self) -> int:
        """The number of lanes."""
        return self.value.type.count if isinstance(self.value.type, ir.VectorType) else 1

    @property
    def element(self) -> Any:
        """LLVM's type of one lane."""
        return element_of(self.value.type)

    @property
    def bits(self) -> int:
        """Bits of one lane."""
        element = self.element
        if isinstance(element, ir.IntType):
            return int(element.width)
        return 32 if element == _FLOATS[32] else 64

    @property
    def is_float(self) -> bool:
        """Whether lanes hold floats."""
        return not isinstance(element_of(self.value.type), ir.IntType)

    @property
    def is_single(self) -> bool:
        """Whether lanes hold float32."""
        return self.is_float and self.bits == 32

    def constant(self, number: float) -> "Lanes":
        """The same number in every lane, of this type."""
        return Lanes(self.b, ir.Constant(self.value.type, number))

    def pick(self, single: Any, double: Any) -> Any:
        """What is for float32, or what is for float64: coefficients, bounds."""
        return single if self.bits == 32 else double

    def operand(self, other: Operand) -> Any:
        """The value of what stands beside this number: a constant of its type where it is a Python number."""
        return other.value if isinstance(other, Lanes) else ir.Constant(self.value.type, other)

    def _new(self, value: Any) -> "Lanes":
        return Lanes(self.b, value)

    def _call(self, name: str, *others: Operand) -> "Lanes":
        arguments = [self.value, *map(self.operand, others)]
        return self._new(intrinsic(self.b, f"llvm.{name}.{suffix_of(self.value.type)}", self.value.type, *arguments))

    # Arithmetic

    def __add__(self, other: Operand) -> "Lanes":
        return self._new((self.b.fadd if self.is_float else self.b.add)(self.value, self.operand(other)))

    def __radd__(self, other: Operand) -> "Lanes":
        return self.__add__(other)

    def __sub__(self, other: Operand) -> "Lanes":
        return self._new((self.b.fsub if self.is_float else self.b.sub)(self.value, self.operand(other)))

    def __rsub__(self, other: float) -> "Lanes":
        return self.constant(other) - self

    def __mul__(self, other: Operand) -> "Lanes":
        return self._new((self.b.fmul if self.is_float else self.b.mul)(self.value, self.operand(other)))

    def __rmul__(self, other: Operand) -> "Lanes":
        return self.__mul__(other)

    def __truediv__(self, other: Operand) -> "Lanes":
        return self._new(self.b.fdiv(self.value, self.operand(other)))

    def __rtruediv__(self, other: float) -> "Lanes":
        return self.constant(other) / self

    def __neg__(self) -> "Lanes":
        return self._new((self.b.fneg if self.is_float else self.b.neg)(self.value))

    def __abs__(self) -> "Lanes":
        return self._call("fabs") if self.is_float else self._new((self < 0).where(-self, self).value)

    def fma(self, factor: Operand, term: Operand) -> "Lanes":
        """``self * factor + term``, rounded once."""
        return self._call("fma", factor, term)

    def sqrt(self) -> "Lanes":
        """The square root, correctly rounded."""
        return self._call("sqrt")

    def maximum(self, other: Operand) -> "Lanes":
        """The larger one; if one is NaN, either may come out."""
        other = self._new(self.operand(other))
        return (self > other).where(self, other)

    def minimum(self, other: Operand) -> "Lanes":
        """The smaller one; if one is NaN, either may come out."""
        other = self._new(self.operand(other))
        return (self < other).where(self, other)

    def round(self) -> "Lanes":
        """The nearest integer, ties to even, as a float."""
        return self._call("rint")

    def floor(self) -> "Lanes":
        """The next integer below, as a float."""
        return self._call("floor")

    def trunc(self) -> "Lanes":
        """The integer part, as a float."""
        return self._call("trunc")

    def with_sign_of(self, other: "Lanes") -> "Lanes":
        """The size of this number with the sign of another."""
        return self._call("copysign", other)

    # Bits

    def as_integer(self) -> "Lanes":
        """The same bits as an integer of the same width."""
        return self._new(self.b.bitcast(self.value, widened(ir.IntType(self.bits), self.count)))

    def as_float(self) -> "Lanes":
        """The same bits as a float of the same width."""
        return self._new(self.b.bitcast(self.value, widened(_FLOATS[self.bits], self.count)))

    def to_float(self) -> "Lanes":
        """A signed integer as the nearest float of the same width."""
        return self._new(self.b.sitofp(self.value, widened(_FLOATS[self.bits], self.count)))

    def truncated(self, bits: int) -> "Lanes":
        """The last bits of an integer."""
        return self._new(self.b.trunc(self.value, widened(ir.IntType(bits), self.count)))

    def __and__(self, other: Operand) -> "Lanes":
        return self._new(self.b.and_(self.value, self.operand(other)))

    def __or__(self, other: Operand) -> "Lanes":
        return self._new(self.b.or_(self.value, self.operand(other)))

    def __xor__(self, other: Operand) -> "Lanes":
        return self._new(self.b.xor(self.value, self.operand(other)))

    def __invert__(self) -> "Lanes":
        return self._new(self.b.not_(self.value))

    def __lshift__(self, other: Operand) -> "Lanes":
        return self._new(self.b.shl(self.value, self.operand(other)))

    def __rshift__(self, other: Operand) -> "Lanes":
        """Signed: copies of the highest bit come in."""
        return self._new(self.b.ashr(self.value, self.operand(other)))

    def unsigned_shift(self, other: Operand) -> "Lanes":
        """To the right; zeros come in."""
        return self._new(self.b.lshr(self.value, self.operand(other)))

    # Truth values

    def _compared(self, how: str, other: Operand) -> "Lanes":
        compare = self.b.fcmp_ordered if self.is_float else self.b.icmp_signed
        return self._new(compare(how, self.value, self.operand(other)))

    def __lt__(self, other: Operand) -> "Lanes":
        return self._compared("<", other)

    def __le__(self, other: Operand) -> "Lanes":
        return self._compared("<=", other)

    def __gt__(self, other: Operand) -> "Lanes":
        return self._compared(">", other)

    def __ge__(self, other: Operand) -> "Lanes":
        return self._compared(">=", other)

    def equals(self, other: Operand) -> "Lanes":
        """Whether the two are equal; a NaN equals nothing."""
        return self._compared("==", other)

    def is_nan(self) -> "Lanes":
        """Whether it is not a number."""
        return self._new(self.b.fcmp_unordered("uno", self.value, self.value))

    def where(self, chosen: "Lanes", other: Operand) -> "Lanes":
        """`chosen` in the lanes that are true, `other` in the rest."""
        return self._new(self.b.select(self.value, chosen.value, chosen.operand(other)))

    def any(self) -> Any:
        """One bit: whether any lane is true."""
        if self.count == 1:
            return self.value
        return intrinsic(self.b, f"llvm.vector.reduce.or.{suffix_of(self.value.type)}", ir.IntType(1), self.value)


def polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """``c[0] + c[1] x + c[2] x² + …`` by Horner's rule, each step rounded once."""
    *rest, last = coefficients
    result = x.constant(last)
    for coefficient in reversed(rest):
        result = result.fma(x, coefficient)
    return result


def split_polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """The same with two polynomials in x², which the processor works on at the same time: for long ones.

    The first coefficients are left to Horner's rule, since both may be larger than their sum.
    """
    first, second, *rest = coefficients
    square = x * x
    even, odd = (polynomial(square, rest[start::2]) for start in (0, 1))
    return odd.fma(x, even).fma(x, second).fma(x, first)


def where_any(chosen: Lanes, write: Callable[[], Lanes], other: Lanes) -> Lanes:
    """What `write` emits, for all lanes, if any lane of `chosen` is true, else `other`: a branch around rare work.

    Parameters
    ----------
    chosen : Lanes
        Truth values.
    write : callable
        Emits the result, which is right in all lanes.
    other : Lanes
        The result if no lane is chosen.
    """
    b = other.b
    before = b.block
    with b.if_then(chosen.any(), likely=False):
        written = write().value
        inside = b.block
    result = b.phi(other.value.type)
    result.add_incoming(other.value, before)
    result.add_incoming(written, inside)
    return Lanes(b, result)


def unless_rare(rare: Lanes, common: Callable[[], Lanes], each: Callable[[Any], Any], x: Lanes) -> Lanes:
    """`common()`, with the lanes in which `rare` is true computed one by one, only if there are any.

    Parameters
    ----------
    rare : Lanes
        Truth values.
    common : callable
        Emits what nearly all lanes need.
    each : callable
        From one scalar ``ir.Value`` of `x` to the result's, at some cost (a call of a function).
    x : Lanes
        The argument.
    """
    usual = common()
    return where_any(rare, lambda: Lanes(x.b, _lane_by_lane(rare, usual, each, x)), usual)


def _lane_by_lane(rare: Lanes, usual: Lanes, each: Callable[[Any], Any], x: Lanes) -> Any:
    """A loop over the bits of `rare` that are set."""
    b = x.b
    if x.count == 1:
        return each(x.value)
    mask, start = ir.IntType(x.count), b.block
    body, after = b.append_basic_block("lane"), b.append_basic_block("after")
    all_left = b.bitcast(rare.value, mask)
    b.branch(body)
    b.position_at_end(body)
    left, found = b.phi(mask), b.phi(usual.value.type)
    lane = intrinsic(b, f"llvm.cttz.i{x.count}", mask, left, ir.IntType(1)(1))
    if x.count < 32:
        lane = b.zext(lane, ir.IntType(32))
    filled = b.insert_element(found, each(b.extract_element(x.value, lane)), lane)
    following = b.and_(left, b.sub(left, mask(1)))
    for phi, first, later in ((left, all_left, following), (found, usual.value, filled)):
        phi.add_incoming(first, start)
        phi.add_incoming(later, b.block)
    b.cbranch(b.icmp_unsigned("!=", following, mask(0)), body, after)
    b.position_at_end(after)
    return filled
