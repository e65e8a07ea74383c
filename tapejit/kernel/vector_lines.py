"""Straight lines for neighbouring indices of a loop at once, as LLVM vector instructions.

What a line computes is the same in every lane, and each lane computes what `straight.Scalars` would for its index, to
the bit. What does not depend on the index stays a scalar until it meets a vector. Start reading at `Vectors`;
`lower_on` says how functions come to work on vectors.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from llvmlite import ir

from .instructions import I32, I64, Value, call_function, kind, type_of
from .straight import Known, Scalars, TextError, Typed
from .vectors import splat

Lower = Callable[..., Value]


class Vectors(Scalars):
    """Assignments, one after the other, for the indices that the lanes of a vector stand for.

    Parameters
    ----------
    known, scope, builder
        As for `Scalars`. The index of the loop is in the scope, with step 1.
    lanes : int
        How many indices, at least two.
    mask : ir.Value, optional
        Which of them are in the loop; the first one is, and without a mask all are. Nothing else is read or written.
    product : tuple of str and Typed
        The name of the function whose one call stands for the value that comes with the indices, and that value.
    """

    def __init__(
        self,
        known: Known,
        scope: dict[str, Typed],
        builder: ir.IRBuilder,
        lanes: int,
        mask: Value | None,
        product: tuple[str, Typed],
    ) -> None:
        super().__init__(known, scope, builder)
        self._b = builder
        self._lanes = lanes
        self._mask = mask
        self._product = product

    def _spread(self, operand: Typed) -> Value:
        """An operand with a value in each lane."""
        if isinstance(operand.value.type, ir.VectorType):
            return operand.value
        every = splat(self._b, operand.value, self._lanes)
        if not operand.step:
            return every
        offsets = ir.Constant(every.type, [operand.step * lane for lane in range(self._lanes)])
        return self._b.add(every, offsets)

    # Memory

    def _load(self, pointer: Typed, index: Typed, fixed: bool = False) -> Typed:
        if not _varies(index):
            return super()._load(pointer, index, fixed)
        type_ = pointer.type[:-1]
        cell = pointer.value.type.pointee
        if index.step == 1:
            found = self._load_row(self._b.gep(pointer.value, [index.value]), cell)
        else:
            found = ir.Constant(ir.VectorType(cell, self._lanes), None)
            for lane, place in enumerate(self._places(index)):
                found = self._b.insert_element(found, self._b.load(self._b.gep(pointer.value, [place])), I32(lane))
        return Typed(type_, _is_not_zero(self._b, "uint8", found) if type_ == "bool" else found)

    def _load_row(self, at: Value, cell: ir.Type) -> Value:
        row = ir.VectorType(cell, self._lanes)
        at = self._b.bitcast(at, row.as_pointer())
        size = _bytes_of(cell)
        if self._mask is None:
            return self._b.load(at, align=size)
        zero = ir.Constant(row, None)
        return call_function(self._b, f"llvm.masked.load.{_suffix(row)}.p0", row, at, I32(size), self._mask, zero)

    def _store(self, pointer: Typed, index: Typed, value: Typed) -> None:
        if not _varies(index):
            raise TextError("every lane would store to one element")
        lanes = self._spread(self._converted(value, pointer.type[:-1]))
        cell = pointer.value.type.pointee
        row = ir.VectorType(cell, self._lanes)
        if pointer.type == "bool*":
            lanes = self._b.zext(lanes, row)
        if index.step != 1:
            self._scatter(pointer, index, lanes)
            return
        at = self._b.bitcast(self._b.gep(pointer.value, [index.value]), row.as_pointer())
        size = _bytes_of(cell)
        if self._mask is None:
            self._b.store(lanes, at, align=size)
        else:
            name = f"llvm.masked.store.{_suffix(row)}.p0"
            call_function(self._b, name, ir.VoidType(), lanes, at, I32(size), self._mask)

    def _scatter(self, pointer: Typed, index: Typed, lanes: Value) -> None:
        first = self._b.extract_element(lanes, I32(0))
        for lane, place in enumerate(self._places(index)):
            value = self._b.extract_element(lanes, I32(lane))
            if self._mask is not None:  # a lane that is not in the loop repeats what the first one does
                value = self._b.select(self._b.extract_element(self._mask, I32(lane)), value, first)
            self._b.store(value, self._b.gep(pointer.value, [place]))

    def _places(self, index: Typed) -> list[Value]:
        """The index in each lane; that of the first one where a lane is not in the loop."""
        every = self._spread(index)
        places = [self._b.extract_element(every, I32(lane)) for lane in range(self._lanes)]
        if self._mask is None:
            return places
        inside = [self._b.extract_element(self._mask, I32(lane)) for lane in range(self._lanes)]
        return [self._b.select(flag, place, places[0]) for flag, place in zip(inside, places, strict=True)]

    # Expressions

    def _call(self, tree: ast.Call) -> Typed:
        assert isinstance(tree.func, ast.Name)
        name, product = self._product
        return product if tree.func.id == name else super()._call(tree)

    def _choice(self, tree: ast.IfExp) -> Typed:
        raise TextError(f"not the same in every lane: {ast.unparse(tree)}")

    def _applied(self, name: str, given: Sequence[Typed], result: str, lower: Lower) -> Typed:
        if not any(map(_varies, given)):
            return super()._applied(name, given, result, lower)
        if len(given) == 1 and name == given[0].type:
            return given[0]  # a cast that changes nothing
        types, lanes = [one.type for one in given], [self._spread(one) for one in given]
        return Typed(result, lower_on(self._b, name, types, result, lower, lanes))

    def _arithmetic(self, instruction: str, left: Typed, right: Typed) -> Typed:
        if not (_varies(left) or _varies(right)):
            return super()._arithmetic(instruction, left, right)
        step = _step(instruction, left, right)
        if step is not None:
            return Typed(left.type, getattr(self._b, instruction)(left.value, right.value), step)
        return Typed(left.type, getattr(self._b, instruction)(self._spread(left), self._spread(right)))

    def _negative(self, operand: Typed) -> Typed:
        return Typed(operand.type, super()._negative(operand).value, -operand.step)

    def _inverted(self, operand: Typed) -> Typed:
        return Typed(operand.type, self._b.not_(self._spread(operand) if _varies(operand) else operand.value))

    def _compared(self, how: str, left: Typed, right: Typed) -> Value:
        if _varies(left) or _varies(right):
            left, right = (Typed(one.type, self._spread(one)) for one in (left, right))
        return super()._compared(how, left, right)

    def _cast(self, operand: Typed, type_: str) -> Typed:
        if not _varies(operand):
            return super()._cast(operand, type_)
        return Typed(type_, _converted(self._b, operand.type, type_, self._spread(operand)))

    _EXPRESSIONS = {**Scalars._EXPRESSIONS, ast.Call: _call, ast.IfExp: _choice}  # noqa: SLF001


def _varies(operand: Typed) -> bool:
    """Whether it is not the same in every lane."""
    return bool(operand.step) or isinstance(operand.value.type, ir.VectorType)


def _step(instruction: str, left: Typed, right: Typed) -> int | None:
    """By how much a sum or product of indices grows from lane to lane, if it does so evenly."""
    if any(isinstance(one.value.type, ir.VectorType) for one in (left, right)):
        return None
    if instruction in {"add", "sub"}:
        return left.step + (right.step if instruction == "add" else -right.step)
    for one, other in ((left, right), (right, left)):
        if instruction == "mul" and not one.step and isinstance(one.value, ir.Constant):
            return other.step * int(one.value.constant)
    return None


# Functions


def lower_on(
    b: ir.IRBuilder, name: str, types: Sequence[str], result: str, lower: Lower, operands: Sequence[Value]
) -> Value:
    """Emit a function for vectors.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    name : str
        The function, as the text calls it.
    types : sequence of str
        The dtypes of its operands.
    result : str
        The dtype of its result.
    lower : callable
        Its instructions for scalars, ``lower(b, *operands)``: where it has none for vectors, they are emitted for each
        lane.
    operands : sequence of ir.Value
        Vectors with equal numbers of lanes.
    """
    dtype = types[0]
    if name in _CASTS:
        return _converted(b, dtype, result, operands[0])
    write = _ON_VECTORS.get(name)
    found = None if write is None else write(b, dtype, *operands)
    if found is not None:
        return found
    lanes = operands[0].type.count
    found = ir.Constant(ir.VectorType(type_of(result), lanes), ir.Undefined)
    for lane in range(lanes):
        value = lower(b, *(b.extract_element(operand, I32(lane)) for operand in operands))
        found = b.insert_element(found, value, I32(lane))
    return found


def _suffix(type_: ir.VectorType) -> str:
    """How LLVM names overloads for a vector."""
    element = type_.element
    letter = f"i{element.width}" if isinstance(element, ir.IntType) else f"f{8 * _bytes_of(element)}"
    return f"v{type_.count}{letter}"


def _bytes_of(cell: ir.Type) -> int:
    if isinstance(cell, ir.IntType):
        return max(int(cell.width) // 8, 1)
    return 4 if isinstance(cell, ir.FloatType) else 8


def _intrinsic(name: str) -> Lower:
    def write(b: ir.IRBuilder, _dtype: str, *operands: Value) -> Value:
        return call_function(b, f"llvm.{name}.{_suffix(operands[0].type)}", operands[0].type, *operands)

    return write


def _converted(b: ir.IRBuilder, source: str, target: str, x: Value) -> Value:
    """As `instructions.convert`."""
    if source == target:
        return x
    if target == "bool":
        return _is_not_zero(b, source, x)
    old, new, to = kind(source), kind(target), ir.VectorType(type_of(target), x.type.count)
    if old == "f" and new != "f":
        return _from_float(b, source, target, x)
    if old == "f":
        return b.fpext(x, to) if target == "float64" else b.fptrunc(x, to)
    if new == "f":
        return b.sitofp(x, to) if old == "i" else b.uitofp(x, to)
    if x.type.element.width >= to.element.width:
        return b.trunc(x, to)
    return b.sext(x, to) if old == "i" else b.zext(x, to)


def _from_float(b: ir.IRBuilder, source: str, target: str, x: Value) -> Value:
    wide = ir.VectorType(I64 if target in {"uint32", "int64", "uint64"} else I32, x.type.count)
    name = f"{_suffix(wide)}.{_suffix(x.type)}"
    result = call_function(b, f"llvm.fptosi.sat.{name}", wide, x)
    if target == "uint64":
        large = call_function(b, f"llvm.fptoui.sat.{name}", wide, x)
        return b.select(b.fcmp_ordered("<", x, ir.Constant(x.type, 2.0**63)), result, large)
    to = ir.VectorType(type_of(target), x.type.count)
    return result if wide == to else b.trunc(result, to)


def _is_not_zero(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    if dtype == "bool":
        return x
    zero = ir.Constant(x.type, None)
    return b.fcmp_unordered("!=", x, zero) if kind(dtype) == "f" else b.icmp_unsigned("!=", x, zero)


def _less(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
    compare = {"f": b.fcmp_ordered, "i": b.icmp_signed}.get(kind(dtype), b.icmp_unsigned)
    return compare("<", x, y)


def _absolute(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    if kind(dtype) == "f":
        return _intrinsic("fabs")(b, dtype, x)
    zero = ir.Constant(x.type, None)
    return b.select(_less(b, dtype, x, zero), b.sub(zero, x), x)


def _sign(b: ir.IRBuilder, dtype: str, x: Value) -> Value:
    zero, one, minus_one = (ir.Constant(x.type, number) for number in (0, 1, -1))
    rest = b.select(b.fcmp_ordered("==", x, zero), zero, x) if kind(dtype) == "f" else zero
    below = b.select(_less(b, dtype, x, zero), minus_one, rest)
    return b.select(_less(b, dtype, zero, x), one, below)


def _extreme(name: str) -> Lower:
    def write(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
        if kind(dtype) == "f":
            return _intrinsic(name)(b, dtype, x, y)
        return b.select(_less(b, dtype, *((y, x) if name == "maximum" else (x, y))), x, y)

    return write


def _logical(name: str) -> Lower:
    return lambda b, dtype, *operands: getattr(b, name)(*(_is_not_zero(b, dtype, x) for x in operands))


def _accumulate(name: str) -> Lower:
    def write(b: ir.IRBuilder, dtype: str, accumulator: Value, x: Value) -> Value:
        if kind(dtype) != "f":
            return {"add": b.add, "mul": b.mul}[name](accumulator, x)
        if name == "add" and isinstance(x, ir.Instruction) and x.opname == "fmul":
            x.flags[:] = ["contract"]  # as for scalars
        return {"add": b.fadd, "mul": b.fmul}[name](accumulator, x, flags=("reassoc", "nsz", "contract"))

    return write


def _size(how: str) -> Lower:
    return lambda b, dtype, x: b.fcmp_ordered(how, _absolute(b, dtype, x), ir.Constant(x.type, np.inf))


_CASTS = frozenset(("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                    "float32", "float64"))  # fmt: skip
_ON_VECTORS: Mapping[str, Lower] = {
    **{name: _intrinsic(name) for name in ("sqrt", "floor", "ceil", "rint")},
    "select": lambda b, _, flag, chosen, other: b.select(flag, chosen, other),
    "absolute": _absolute,
    "sign": _sign,
    "maximum": _extreme("maximum"),
    "minimum": _extreme("minimum"),
    "isnan": lambda b, _, x: b.fcmp_unordered("uno", x, x),
    "isinf": _size("=="),
    "isfinite": _size("<"),
    **{f"logical_{name}": _logical(f"{name}_") for name in ("and", "or")},
    "logical_xor": _logical("xor"),
    "logical_not": _logical("not_"),
    "accumulate": _accumulate("add"),
    "accumulate_product": _accumulate("mul"),
}
