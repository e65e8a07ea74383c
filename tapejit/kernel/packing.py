"""Copies of some columns of a matrix, row by row without gaps: what a register tile reads fast.

A matrix whose columns are contiguous (a transposed one) is turned over in registers, square block by square block; one
whose rows are far apart is copied too where many tiles will read it. Written with llvmlite's `ir` alone. Start reading
at `pack`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from .instructions import FLOATS, I8, I64, Value, extreme
from .tile_shape import FAR, NEAR_ROWS, SCRATCH_BYTES, Columns
from .vectors import Matrix, counted, load_vector, mask_of, shuffle, store_vector, times, zeros

_SCRATCH = "copied_columns"


def packs(right: Matrix, k: int, strip: Columns, m: int, dtype: str) -> bool:
    """Whether a product of m rows copies the strips of its right matrix before it reads them."""
    size = np.dtype(dtype).itemsize
    if not k or k * strip.width * size > SCRATCH_BYTES:
        return False
    far = right.down * size >= FAR and k > NEAR_ROWS and m > 2 * strip.rows[0].height
    return right.across != 1 or far


def scratch(b: ir.IRBuilder, dtype: str) -> Value:
    """Room for a copy on the stack: the same for all products of a function, which come one after the other."""
    for instruction in b.function.entry_basic_block.instructions:
        if instruction.name.startswith(_SCRATCH):
            room = instruction
            break
    else:
        with b.goto_entry_block():
            room = b.alloca(ir.ArrayType(I8, SCRATCH_BYTES), name=_SCRATCH)
            room.align = 64
    return b.bitcast(room, FLOATS[dtype].as_pointer())


def pack(b: ir.IRBuilder, dtype: str, right: Matrix, target: Value, k: int, strip: Columns) -> None:
    """Emit the copy of the columns of one strip, from where `right` begins, over k rows.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    dtype : str
        ``"float32"`` or ``"float64"``.
    right : Matrix
        It begins at the strip's first column.
    target : Value
        Where the copy goes: the rows of the strip one after the other, each as wide as the strip. What is in lanes
        beyond the matrix doesn't matter, but they may be read.
    k : int
        The number of rows.
    strip : Columns
        How wide it is.
    """
    copy = _Copy(b, dtype, k, strip, right, Matrix(target, strip.width, 1))
    if right.across != 1:
        counted(b, strip.vectors, copy.columns)
        return
    whole = strip.vectors - (strip.used != strip.lanes)
    if whole:
        counted(b, whole, lambda index: copy.rows(index, strip.lanes))
    if whole < strip.vectors:
        copy.rows(I64(whole), strip.used)


class _Copy(NamedTuple):
    """The copy of a strip, one vector of columns after the other."""

    b: ir.IRBuilder
    dtype: str
    k: int
    strip: Columns
    right: Matrix
    to: Matrix

    def rows(self, index: Value, used: int) -> None:
        """Copy a vector of each row."""
        b, dtype, lanes = self.b, self.dtype, self.strip.lanes
        column = times(b, index, lanes)

        def row(p: Value) -> None:
            vector = load_vector(b, dtype, self.right.at(b, p, column), lanes, mask_of(used, lanes))
            store_vector(b, dtype, vector, self.to.at(b, p, column))

        counted(b, self.k, row)

    def columns(self, index: Value) -> None:
        """Copy the columns of a vector, square by square."""
        b, dtype, lanes = self.b, self.dtype, self.strip.lanes
        column = times(b, index, lanes)
        columns = [b.add(column, I64(j)) for j in range(self.strip.used if self.strip.vectors == 1 else lanes)]
        if self.strip.used not in {lanes, len(columns)}:  # the last ones again, in lanes that nobody reads
            last = I64(self.strip.width - lanes + self.strip.used - 1)
            columns = [extreme("minimum")(b, "int64", each, last) for each in columns]
        height = min(self.k, lanes)

        def square(index: Value) -> None:
            first = times(b, index, lanes)
            if self.k % lanes:  # the last one ends where the columns end, and repeats some rows
                first = extreme("minimum")(b, "int64", first, I64(self.k - height))
            rows = turned(b, [self._column(first, each, height) for each in columns], dtype, lanes)
            for p in range(height):
                store_vector(b, dtype, rows[p], self.to.at(b, b.add(first, I64(p)), column))

        counted(b, -(-self.k // lanes), square)

    def _column(self, first: Value, column: Value, height: int) -> Value:
        """So many elements of a column, as one vector."""
        b, dtype, lanes, down = self.b, self.dtype, self.strip.lanes, self.right.down
        at = self.right.at(b, first, column)
        if down == 1:
            return load_vector(b, dtype, at, lanes, mask_of(height, lanes))
        vector = zeros(dtype, lanes)
        for p in range(height):
            vector = b.insert_element(vector, b.load(b.gep(at, [I64(p * down)])), I64(p))
        return vector


def turned(b: ir.IRBuilder, columns: Sequence[Value], dtype: str, lanes: int) -> list[Value]:
    """The rows of the square that has these columns; missing ones are 0.

    Blocks of 1, 2, 4, … rows and columns change places with those beside them.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    columns : sequence of Value
        At most `lanes` vectors.
    dtype : str
        ``"float32"`` or ``"float64"``.
    lanes : int
        The lanes of each of them, a power of 2.
    """
    zero = zeros(dtype, lanes)
    rows = [*columns, *[zero] * (lanes - len(columns))]
    distance = 1
    while distance < lanes:
        upper = [lane if not lane & distance else lanes + lane - distance for lane in range(lanes)]
        lower = [lane + distance if not lane & distance else lanes + lane for lane in range(lanes)]
        moved = rows.copy()
        for i in range(lanes):
            if not i & distance:
                pair = rows[i], rows[i + distance]
                moved[i], moved[i + distance] = (shuffle(b, *pair, order) for order in (upper, lower))
        rows = moved
        distance *= 2
    return rows
