"""Copies of some columns of a matrix, row by row without gaps: what a register tile reads fast.

A matrix whose columns are contiguous (a transposed one) is turned over in registers, square block by square block; one
whose rows are far apart is copied too where many tiles will read it. Written with llvmlite's `ir` alone. Start reading
at `pack`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from .instructions import I64, Value
from .tile_shape import SCRATCH_BYTES, Columns
from .vectors import Matrix, counted, load_vector, mask_of, shuffle, store_vector, vector_type

_FAR = 1024
"""Bytes between rows from which on a copy pays: each row is on a page or in a cache set of its own."""


def packs(right: Matrix, k: int, strip: Columns, m: int, dtype: str) -> bool:
    """Whether a product of m rows copies the strips of its right matrix before it reads them."""
    size = np.dtype(dtype).itemsize
    if not k or k * strip.width * size > SCRATCH_BYTES:
        return False
    far = right.down * size >= _FAR and k > 64 and m > 2 * strip.rows[0].height
    return right.across != 1 or far


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
        Where the copy goes: the rows of the strip one after the other, each as wide as the strip. Lanes beyond the
        matrix are 0.
    k : int
        The number of rows.
    strip : Columns
        How wide it is.
    """
    copy, lanes = Matrix(target, strip.width, 1), strip.lanes

    def vector(column: Value, used: int) -> None:
        source, to = right.beside(b, I64(0), column), copy.beside(b, I64(0), column)
        (_rows if right.across == 1 else _columns)(b, dtype, source, to, k, (lanes, used))

    whole = strip.vectors - (strip.used != lanes)
    if whole:
        counted(b, whole, lambda index: vector(b.mul(index, I64(lanes)), lanes))
    if whole < strip.vectors:
        vector(I64(whole * lanes), strip.used)


def _rows(b: ir.IRBuilder, dtype: str, source: Matrix, to: Matrix, k: int, width: tuple[int, int]) -> None:
    """Copy one vector of each row."""
    lanes, used = width

    def row(p: Value) -> None:
        vector = load_vector(b, dtype, source.at(b, p, I64(0)), lanes, mask_of(used, lanes))
        store_vector(b, dtype, vector, to.at(b, p, I64(0)))

    counted(b, k, row)


def _columns(b: ir.IRBuilder, dtype: str, source: Matrix, to: Matrix, k: int, width: tuple[int, int]) -> None:
    """Copy one vector of each row of a transposed matrix: squares, and what is left of them."""
    lanes, used = width
    whole, rest = divmod(k, lanes)

    def square(first: Value, height: int) -> None:
        here = source.beside(b, first, I64(0))
        rows = turned(b, [_column(b, dtype, here, j, height, lanes) for j in range(used)], dtype, lanes)
        for p in range(height):
            store_vector(b, dtype, rows[p], to.at(b, b.add(first, I64(p)), I64(0)))

    if whole:
        counted(b, whole, lambda index: square(b.mul(index, I64(lanes)), lanes))
    if rest:
        square(I64(whole * lanes), rest)


def _column(b: ir.IRBuilder, dtype: str, source: Matrix, column: int, height: int, lanes: int) -> Value:
    """The first elements of a column, as one vector."""
    at = source.at(b, I64(0), I64(column))
    if source.down == 1:
        return load_vector(b, dtype, at, lanes, mask_of(height, lanes))
    vector = ir.Constant(vector_type(dtype, lanes), None)
    for p in range(height):
        vector = b.insert_element(vector, b.load(b.gep(at, [I64(p * source.down)])), I64(p))
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
    zero = ir.Constant(vector_type(dtype, lanes), None)
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
