"""Straight lines for neighbouring indices of a loop at once, as LLVM vector instructions.

What a line computes is the same in every lane, and each lane computes what `straight.Scalars` would for its index, to
the bit. What does not depend on the index stays a scalar until it meets a vector. Start reading at `Vectors`;
`lower_on` says how functions come to work on vectors.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from llvmlite import ir

from .instructions import I32, OPERATIONS, Value, call_function, convert, kind, lane_by_lane, truth
from .mathlib.lanes import suffix_of
from .runtime import DTYPES
from .straight import Known, Scalars, TextError, Typed
from .vectors import multiply_add, splat

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
    fma : bool
        Whether the CPU multiplies and adds in one instruction.
    product : tuple of str and Typed, optional
        The name of a function whose call stands for a value that comes with the indices, and that value.
    """

    def __init__(
        self,
        known: Known,
        scope: dict[str, Typed],
        builder: ir.IRBuilder,
        *,
        lanes: int,
        mask: Value | None,
        fma: bool,
        product: tuple[str, Typed] | None = None,
    ) -> None:
        super().__init__(known, scope, builder)
        self._b = builder
        self._lanes = lanes
        self._mask = mask
        self._product = product
        self._fma = fma

    def spread(self, operand: Typed) -> Value:
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
        return Typed(type_, truth(self._b, "uint8", found) if type_ == "bool" else found)

    def _load_row(self, at: Value, cell: ir.Type) -> Value:
        row = ir.VectorType(cell, self._lanes)
        at = self._b.bitcast(at, row.as_pointer())
        size = _bytes_of(cell)
        if self._mask is None:
            return self._b.load(at, align=size)
        zero = ir.Constant(row, None)
        return call_function(self._b, f"llvm.masked.load.{suffix_of(row)}.p0", row, at, I32(size), self._mask, zero)

    def _store(self, pointer: Typed, index: Typed, value: Typed) -> None:
        if not _varies(index):
            raise TextError("every lane would store to one element")
        lanes = self.spread(self._converted(value, pointer.type[:-1]))
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
            name = f"llvm.masked.store.{suffix_of(row)}.p0"
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
        every = self.spread(index)
        places = [self._b.extract_element(every, I32(lane)) for lane in range(self._lanes)]
        if self._mask is None:
            return places
        inside = [self._b.extract_element(self._mask, I32(lane)) for lane in range(self._lanes)]
        return [self._b.select(flag, place, places[0]) for flag, place in zip(inside, places, strict=True)]

    # Expressions

    def _call(self, tree: ast.Call) -> Typed:
        assert isinstance(tree.func, ast.Name)
        match tree.func.id, tree.args:
            case name, _ if self._product is not None and name == self._product[0]:
                return self._product[1]
            case "accumulate", [total, ast.BinOp(_, ast.Mult(), _) as product]:
                one = self.value(product)
                if kind(one.type) == "f" and isinstance(one.value, ir.Instruction):
                    return self._add_product(self.value(total), one)
        return super()._call(tree)

    def _add_product(self, total: Typed, product: Typed) -> Typed:
        """A product that feeds a sum and nothing else is fused into it, as LLVM does with scalars."""
        factors = [Typed(product.type, factor) for factor in product.value.operands]
        x, y, sums = (self.spread(each) for each in (*factors, total))
        return Typed(total.type, multiply_add(self._b, total.type, x, y, sums, self._fma))

    def _choice(self, tree: ast.IfExp) -> Typed:
        raise TextError(f"not the same in every lane: {ast.unparse(tree)}")

    def _applied(self, name: str, given: Sequence[Typed], result: str, lower: Lower) -> Typed:
        if not any(map(_varies, given)):
            return super()._applied(name, given, result, lower)
        if len(given) == 1 and name == given[0].type:
            return given[0]  # a cast that changes nothing
        value = lower_on(self._b, name, lower, [self.spread(one) for one in given])
        if name in _ACCUMULATING:  # each lane has a number of its own, in the order of the text
            value.flags.clear()
        return Typed(result, value)

    def _arithmetic(self, instruction: str, left: Typed, right: Typed) -> Typed:
        if not (_varies(left) or _varies(right)):
            return super()._arithmetic(instruction, left, right)
        step = _step(instruction, left, right)
        if step is not None:
            return Typed(left.type, getattr(self._b, instruction)(left.value, right.value), step)
        return Typed(left.type, getattr(self._b, instruction)(self.spread(left), self.spread(right)))

    def _negative(self, operand: Typed) -> Typed:
        return Typed(operand.type, super()._negative(operand).value, -operand.step)

    def _inverted(self, operand: Typed) -> Typed:
        return Typed(operand.type, self._b.not_(self.spread(operand) if _varies(operand) else operand.value))

    def _compared(self, how: str, left: Typed, right: Typed) -> Value:
        if _varies(left) or _varies(right):
            left, right = (Typed(one.type, self.spread(one)) for one in (left, right))
        return super()._compared(how, left, right)

    def _cast(self, operand: Typed, type_: str) -> Typed:
        if not _varies(operand):
            return super()._cast(operand, type_)
        return Typed(type_, convert(self._b, operand.type, type_, self.spread(operand)))

    _EXPRESSIONS: ClassVar[Mapping[type, Callable[..., Typed]]] = {
        **Scalars._EXPRESSIONS,  # noqa: SLF001 - its own
        ast.Call: _call,
        ast.IfExp: _choice,
    }


def _bytes_of(cell: ir.Type) -> int:
    if isinstance(cell, ir.IntType):
        return int(cell.width) // 8
    return 4 if isinstance(cell, ir.FloatType) else 8


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


def lower_on(b: ir.IRBuilder, name: str, lower: Lower, operands: Sequence[Value]) -> Value:
    """Emit a function for vectors.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    name : str
        The function, as the text calls it.
    lower : callable
        Its instructions, ``lower(b, *operands)``.
    operands : sequence of ir.Value
        Vectors with equal numbers of lanes.
    """
    if name in OPERATIONS or name in _ALSO_ON_VECTORS:
        return lower(b, *operands)
    return lane_by_lane(b, lambda *scalars: lower(b, *scalars), *operands)


_ACCUMULATING = frozenset(("accumulate", "accumulate_product"))
_ALSO_ON_VECTORS = frozenset(("select", "bool_", "multiply_add", *DTYPES))
