"""Vectors of numbers in registers, as LLVM instructions, and loops that are written out in them.

Written with llvmlite's `ir` alone. Used by `tiles` and `packing`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from .hints import as_written
from .instructions import FLOATS, I1, I8, I32, I64, Value, call_function


def vector_type(dtype: str, lanes: int) -> ir.VectorType:
    """The type of a register with this many numbers."""
    return ir.VectorType(FLOATS[dtype], lanes)


@functools.cache
def _uniform(type_: ir.Type, constant: object) -> Value:
    """A constant vector in one word, which llvmlite would write lane by lane."""
    made = ir.Constant(type_, 0)
    made.constant = constant
    return made


def zeros(dtype: str, lanes: int) -> Value:
    """The vector of zeros."""
    return _uniform(vector_type(dtype, lanes), None)


def mask_of(used: int, lanes: int) -> Value | None:
    """The constant that is true for the first `used` lanes; None if that is all of them."""
    return None if used == lanes else ir.Constant(ir.VectorType(I1, lanes), [lane < used for lane in range(lanes)])


def _suffix(dtype: str, lanes: int) -> str:
    return f"v{lanes}f{8 * np.dtype(dtype).itemsize}"


def load_vector(b: ir.IRBuilder, dtype: str, pointer: Value, lanes: int, mask: Value | None = None) -> Value:
    """Neighbouring numbers from memory; 0 in the lanes that are masked off, which are not read."""
    type_, size = vector_type(dtype, lanes), np.dtype(dtype).itemsize
    place = b.bitcast(pointer, type_.as_pointer())
    if mask is None:
        return b.load(place, align=size)
    name = f"llvm.masked.load.{_suffix(dtype, lanes)}.p0"
    return call_function(b, name, type_, place, I32(size), mask, zeros(dtype, lanes))


def store_vector(b: ir.IRBuilder, dtype: str, value: Value, pointer: Value, mask: Value | None = None) -> None:
    """Write a vector to neighbouring numbers in memory, but for the lanes that are masked off."""
    lanes, size = value.type.count, np.dtype(dtype).itemsize
    place = b.bitcast(pointer, value.type.as_pointer())
    if mask is None:
        b.store(value, place, align=size)
        return
    name = f"llvm.masked.store.{_suffix(dtype, lanes)}.p0"
    call_function(b, name, ir.VoidType(), value, place, I32(size), mask)


def prefetch(b: ir.IRBuilder, pointer: Value) -> None:
    """Ask for a line of the cache; an address outside of all arrays does no harm."""
    at = b.bitcast(pointer, I8.as_pointer())
    call_function(b, "llvm.prefetch.p0", ir.VoidType(), at, I32(0), I32(3), I32(1))  # to be read, often, data


def splat(b: ir.IRBuilder, number: Value, lanes: int) -> Value:
    """A vector with the same number in each lane."""
    alone = b.insert_element(_uniform(ir.VectorType(number.type, lanes), ir.Undefined), number, I32(0))
    return shuffle(b, alone, alone, (0,) * lanes)


def shuffle(b: ir.IRBuilder, one: Value, other: Value, lanes: Sequence[int]) -> Value:
    """The vector of these lanes of `one` and, counted on, of `other`."""
    return b.shuffle_vector(one, other, _order(tuple(lanes)))


@functools.cache
def _order(lanes: tuple[int, ...]) -> Value:
    """Lanes as a constant; one for all modules, as llvmlite takes long to write it."""
    return ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))


def multiply_add(b: ir.IRBuilder, dtype: str, x: Value, y: Value, total: Value, fma: bool) -> Value:
    """``x * y + total``, of vectors or of numbers; rounded once if the CPU can."""
    if not fma:
        return b.fadd(b.fmul(x, y), total)
    lanes = getattr(x.type, "count", 0)
    suffix = _suffix(dtype, lanes) if lanes else f"f{8 * np.dtype(dtype).itemsize}"
    return call_function(b, f"llvm.fma.{suffix}", x.type, x, y, total)


def counted(
    b: ir.IRBuilder,
    count: Value | int,
    body: Callable[..., Sequence[Value] | None],
    carried: Sequence[Value] = (),
    step: int = 1,
) -> list[Value]:
    """Instructions for a loop that carries values in registers, and that LLVM leaves as it is.

    Parameters
    ----------
    b : ir.IRBuilder
        Where they go.
    count : Value or int
        Where the index ends; at least 1, and a multiple of `step`.
    body : callable
        ``body(index, *carried)`` emits one round and returns the new values.
    carried : sequence of Value
        Their start.
    step : int
        How far the index moves in a round.

    Returns
    -------
    list of Value
        What is carried after the last round.
    """
    if isinstance(count, int):
        if count == step:  # one round is no loop
            return list(body(I64(0), *carried) or ())
        count = I64(count)
    before, inside = b.block, b.append_basic_block("tile")
    b.branch(inside)
    b.position_at_end(inside)
    phis = [b.phi(value.type) for value in (I64(0), *carried)]
    results = [b.add(phis[0], I64(step)), *(body(*phis) or ())]
    latch, after = b.block, b.append_basic_block("after")
    as_written(b.cbranch(b.icmp_signed("<", results[0], count), inside, after))
    for phi, start, result in zip(phis, (I64(0), *carried), results, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(result, latch)
    b.position_at_end(after)
    return results[1:]


class Matrix(NamedTuple):
    """Where a matrix begins, and the distances of its rows and of its columns, in elements.

    Element (i, j) is at ``pointer[i * down + j * across]``.
    """

    pointer: Value
    down: int
    across: int

    def at(self, b: ir.IRBuilder, row: Value, column: Value) -> Value:
        """The address of an element."""
        pointer = self.pointer
        for index, stride in ((row, self.down), (column, self.across)):
            if not (isinstance(index, ir.Constant) and index.constant == 0):
                pointer = b.gep(pointer, [times(b, index, stride)])
        return pointer

    @property
    def transposed(self) -> "Matrix":
        """The same numbers with rows and columns exchanged."""
        return Matrix(self.pointer, self.across, self.down)

    def beside(self, b: ir.IRBuilder, row: Value, column: Value) -> "Matrix":
        """The matrix that begins at an element."""
        return self._replace(pointer=self.at(b, row, column))


def times(b: ir.IRBuilder, index: Value, stride: int) -> Value:
    """An index times a stride."""
    if isinstance(index, ir.Constant):
        return I64(index.constant * stride)
    return index if stride == 1 else b.mul(index, I64(stride))


def place(b: ir.IRBuilder, dtype: str, count: int) -> Value:
    """Room for so many numbers on the stack, aligned for every vector."""
    with b.goto_entry_block():  # where it is made once, also inside loops
        room = b.alloca(ir.ArrayType(FLOATS[dtype], count))
        room.align = 64
        return b.bitcast(room, FLOATS[dtype].as_pointer())
