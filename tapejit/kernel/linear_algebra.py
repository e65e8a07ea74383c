"""What object files for C bring with them in place of BLAS and LAPACK: products, triangles, two factorisations.

Each function has the name and the convention of the library's, and does of what that can what `lapack` and `build` make
use of. They are meant for small matrices: the library, which works in blocks, is faster at large ones. Written with
llvmlite's `ir` alone. Start reading at `FUNCTIONS`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from llvmlite import ir

from . import decompositions
from .blas import function_name
from .hints import with_loop_hints
from .instructions import FLOATS, I8, I32, I64, OPERATIONS, Value, extreme, for_, variable
from .targets import target_cpu
from .vectors import counted, load_vector, multiply_add, place, splat, store_vector, zeros

_VOID = ir.VoidType()
_TRANSPOSED, _LOWER, _UNIT_DIAGONAL = I32(112), I32(122), I32(132)  # CBLAS's names

_BLOCK, _ROWS, _COLUMNS = 256, 4, 16
"""Terms, rows and columns of a piece of a product: its part of the right matrix stays in the first cache."""


def function_text(name: str) -> str:
    """An LLVM module that defines a function of BLAS or LAPACK.

    Raises
    ------
    LookupError
        If it is none of those that kernels call.
    """
    for pattern, write in {**FUNCTIONS, **decompositions.FUNCTIONS}.items():
        for dtype in FLOATS:
            if name == function_name(pattern, dtype):
                module = ir.Module()
                write(module, name, dtype)
                return with_loop_hints(module, (), ())
    raise LookupError(f"there is no {name!r} to bring along")


def _begun(module: ir.Module, name: str, kinds: list[ir.Type]) -> tuple[ir.IRBuilder, list[Value]]:
    function = ir.Function(module, ir.FunctionType(_VOID, kinds), name)
    function.attributes.add("nounwind")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    return b, [b.sext(each, I64) if each.type == I32 else each for each in function.args]


def _number(b: ir.IRBuilder, address: Value) -> Value:
    """An integer that is passed by address."""
    return b.sext(b.load(address), I64)


def _dot(b: ir.IRBuilder, count: Value, x: Value, y: Value) -> Value:
    """The sum of products of two rows."""
    total = variable(b, x.type.pointee(0))

    def add(k: Value) -> None:
        product = b.fmul(b.load(b.gep(x, [k])), b.load(b.gep(y, [k])))
        b.store(b.fadd(b.load(total), product, flags=("reassoc", "nsz", "contract")), total)

    for_(b, count, add)
    return b.load(total)


def _subtract(b: ir.IRBuilder, count: Value, factor: Value, x: Value, y: Value) -> None:
    """``y -= factor * x``, of rows."""

    def step(j: Value) -> None:
        at = b.gep(y, [j])
        b.store(b.fsub(b.load(at), b.fmul(factor, b.load(b.gep(x, [j])))), at)

    for_(b, count, step)


# --- factorisations -----------------------------------------------------------------------------------------


def _potrf(module: ir.Module, name: str, dtype: str) -> None:
    """Cholesky's factor of a matrix of which the upper triangle is given by columns, the lower one by rows."""
    number, whole = FLOATS[dtype].as_pointer(), I32.as_pointer()
    b, (_, n_at, a, lda_at, info, _) = _begun(module, name, [I8.as_pointer(), whole, number, whole, whole, I64])
    n, lda = _number(b, n_at), _number(b, lda_at)
    b.store(I32(0), info)

    def row(i: Value) -> None:
        own = b.gep(a, [b.mul(i, lda)])

        def below(j: Value) -> None:
            other = b.gep(a, [b.mul(j, lda)])
            at = b.gep(own, [j])
            rest = b.fsub(b.load(at), _dot(b, j, own, other))
            b.store(b.fdiv(rest, b.load(b.gep(other, [j]))), at)

        for_(b, i, below)
        at = b.gep(own, [i])
        rest = b.fsub(b.load(at), _dot(b, i, own, own))
        with b.if_then(b.fcmp_unordered("<=", rest, FLOATS[dtype](0)), likely=False):
            b.store(b.trunc(b.add(i, I64(1)), I32), info)
            b.ret_void()
        b.store(OPERATIONS["sqrt"].lower(b, dtype, rest), at)

    for_(b, n, row)
    b.ret_void()


def _getrf(module: ir.Module, name: str, dtype: str) -> None:
    """The factors L and U of a square matrix by columns, and which rows are exchanged; the largest pivots first."""
    number, whole = FLOATS[dtype].as_pointer(), I32.as_pointer()
    b, (n_at, _, a, lda_at, pivots, info) = _begun(module, name, [whole, whole, number, whole, whole, whole])
    n, lda = _number(b, n_at), _number(b, lda_at)
    b.store(I32(0), info)

    def size(column: Value, i: Value) -> Value:
        return OPERATIONS["absolute"].lower(b, dtype, b.load(b.gep(column, [i])))

    def exchange(i: Value, j: Value) -> None:
        def swap(k: Value) -> None:
            column = b.gep(a, [b.mul(k, lda)])
            one, other = b.gep(column, [i]), b.gep(column, [j])
            first, second = b.load(one), b.load(other)
            b.store(second, one)
            b.store(first, other)

        for_(b, n, swap)

    def eliminate(j: Value) -> None:
        column, after = b.gep(a, [b.mul(j, lda)]), b.add(j, I64(1))
        count = b.sub(n, after)
        best = variable(b, j)

        def compare(k: Value) -> None:
            i = b.add(after, k)
            larger = b.fcmp_ordered(">", size(column, i), size(column, b.load(best)))
            b.store(b.select(larger, i, b.load(best)), best)

        for_(b, count, compare)
        b.store(b.trunc(b.add(b.load(best), I64(1)), I32), b.gep(pivots, [j]))
        pivot = b.load(b.gep(column, [b.load(best)]))
        singular = b.fcmp_ordered("==", pivot, FLOATS[dtype](0))
        with b.if_then(b.and_(singular, b.icmp_signed("==", b.load(info), I32(0)))):
            b.store(b.trunc(after, I32), info)
        with b.if_then(b.not_(singular)):
            with b.if_then(b.icmp_signed("!=", b.load(best), j)):
                exchange(j, b.load(best))
            under = b.gep(column, [after])

            def divide(k: Value) -> None:
                at = b.gep(under, [k])
                b.store(b.fdiv(b.load(at), pivot), at)

            for_(b, count, divide)

            def update(k: Value) -> None:
                other = b.gep(a, [b.mul(b.add(after, k), lda)])
                _subtract(b, count, b.load(b.gep(other, [j])), under, b.gep(other, [after]))

            for_(b, count, update)

    for_(b, n, eliminate)
    b.ret_void()


# --- triangles and products ---------------------------------------------------------------------------------


def _trsm(module: ir.Module, name: str, dtype: str) -> None:
    """The solution of a triangular system on the left, all by rows, written over its right-hand sides."""
    number = FLOATS[dtype]
    kinds = [I32] * 7 + [number, number.as_pointer(), I32, number.as_pointer(), I32]
    b, (_, _, uplo, trans, diagonal, m, n, _, a, lda, right, ldb) = _begun(module, name, kinds)
    transposed = b.icmp_signed("==", trans, b.sext(_TRANSPOSED, I64))
    forward = b.xor(b.icmp_signed("==", uplo, b.sext(_LOWER, I64)), transposed)
    own = b.icmp_signed("!=", diagonal, b.sext(_UNIT_DIAGONAL, I64))
    down, across = b.select(transposed, I64(1), lda), b.select(transposed, lda, I64(1))
    last = b.sub(m, I64(1))

    def element(i: Value, k: Value) -> Value:
        return b.load(b.gep(a, [b.add(b.mul(i, down), b.mul(k, across))]))

    def row(number_of_row: Value) -> None:
        i = b.select(forward, number_of_row, b.sub(last, number_of_row))
        target = b.gep(right, [b.mul(i, ldb)])

        def earlier(count: Value) -> None:
            k = b.select(forward, count, b.sub(last, count))
            _subtract(b, n, element(i, k), b.gep(right, [b.mul(k, ldb)]), target)

        for_(b, number_of_row, earlier)
        with b.if_then(own):
            pivot = element(i, i)

            def divide(j: Value) -> None:
                at = b.gep(target, [j])
                b.store(b.fdiv(b.load(at), pivot), at)

            for_(b, n, divide)

    for_(b, m, row)
    b.ret_void()


def _gemm(module: ir.Module, name: str, dtype: str) -> None:
    """A product by rows, of matrices that may be stored transposed."""
    number = FLOATS[dtype]
    pointer = number.as_pointer()
    kinds = [I32] * 6 + [number, pointer, I32, pointer, I32, number, pointer, I32]
    b, (_, turned_x, turned_y, m, n, k, _, x, ldx, y, ldy, _, out, ldo) = _begun(module, name, kinds)
    left, right = _matrix(b, x, ldx, turned_x), _matrix(b, y, ldy, turned_y)
    _Product(b, dtype, left, right, _Matrix(out, ldo, I64(1)), (m, n, k)).write()
    b.ret_void()


class _Matrix(NamedTuple):
    """Where a matrix begins, and the distances of its rows and of its columns, in elements."""

    pointer: Value
    down: Value
    across: Value

    def at(self, b: ir.IRBuilder, row: Value, column: Value) -> Value:
        """The address of an element."""
        return b.gep(self.pointer, [b.add(b.mul(row, self.down), b.mul(column, self.across))])


def _matrix(b: ir.IRBuilder, pointer: Value, stride: Value, transposition: Value) -> _Matrix:
    """A matrix as CBLAS describes it."""
    turned = b.icmp_signed("==", transposition, b.sext(_TRANSPOSED, I64))
    return _Matrix(pointer, b.select(turned, I64(1), stride), b.select(turned, stride, I64(1)))


class _Product:
    """Writes a product in pieces: some terms of the sums and some columns at a time.

    The part of the right matrix that these are is copied to the stack, with zeros for columns that are not there; then
    some rows at a time go through it. Rows beyond the last one are computed as that one again, and not stored.
    """

    def __init__(
        self, b: ir.IRBuilder, dtype: str, left: _Matrix, right: _Matrix, out: _Matrix, lengths: tuple[Value, ...]
    ) -> None:
        self.b = b
        self.dtype = dtype
        self.left = left
        self.right = right
        self.out = out
        self.m, self.n, self.k = lengths
        self.part = place(b, dtype, _BLOCK * _COLUMNS)
        self.line = place(b, dtype, _COLUMNS)
        self.fma = not {"+fma", "+neon"}.isdisjoint(target_cpu()[1].split(","))

    def write(self) -> None:
        """All pieces."""
        self.pieces(self.k, _BLOCK, lambda p, terms: self.pieces(self.n, _COLUMNS, partial(self.of_columns, p, terms)))

    def pieces(self, total: Value, step: int, body: Callable[[Value, Value], None]) -> None:
        """``body(first, count)`` for each piece of at most `step`."""
        b = self.b

        def piece(index: Value) -> None:
            first = b.mul(index, I64(step))
            body(first, self.least(b.sub(total, first), I64(step)))

        for_(b, b.udiv(b.add(total, I64(step - 1)), I64(step)), piece)

    def least(self, one: Value, other: Value) -> Value:
        """The smaller one of two integers."""
        return extreme("minimum")(self.b, "int64", one, other)

    def of_columns(self, p: Value, terms: Value, j: Value, columns: Value) -> None:
        """The part of the product from terms `p` on, in the columns from `j` on."""
        b = self.b

        def copy(row: Value, column: Value) -> None:
            inside = b.icmp_signed("<", column, columns)
            source = self.right.at(b, b.add(p, row), b.add(j, b.select(inside, column, I64(0))))
            value = b.select(inside, b.load(source), FLOATS[self.dtype](0))
            b.store(value, b.gep(self.part, [b.add(b.mul(row, I64(_COLUMNS)), column)]))

        for_(b, terms, lambda row: for_(b, I64(_COLUMNS), lambda column: copy(row, column)))
        self.pieces(self.m, _ROWS, lambda i, rows: self.of_rows(i, rows, p, terms, j, columns))

    def of_rows(self, i: Value, rows: Value, p: Value, terms: Value, j: Value, columns: Value) -> None:
        """The same of the rows from `i` on."""
        b, dtype, last = self.b, self.dtype, self.b.sub(self.m, I64(1))
        starts = [self.left.at(b, self.least(b.add(i, I64(row)), last), p) for row in range(_ROWS)]

        def term(index: Value, *totals: Value) -> list[Value]:
            right = load_vector(b, dtype, b.gep(self.part, [b.mul(index, I64(_COLUMNS))]), _COLUMNS)
            offset = b.mul(index, self.left.across)
            lefts = [splat(b, b.load(b.gep(start, [offset])), _COLUMNS) for start in starts]
            pairs = zip(lefts, totals, strict=True)
            return [multiply_add(b, dtype, left, right, total, self.fma) for left, total in pairs]

        for row, total in enumerate(counted(b, terms, term, [zeros(dtype, _COLUMNS)] * _ROWS)):
            with b.if_then(b.icmp_signed("<", I64(row), rows)):
                store_vector(b, dtype, total, self.line)
                for_(b, columns, partial(self.add, b.add(i, I64(row)), p, j))

    def add(self, row: Value, p: Value, j: Value, column: Value) -> None:
        """Add one of the numbers of `line` to the result, or begin with it."""
        b = self.b
        target, value = self.out.at(b, row, b.add(j, column)), b.load(b.gep(self.line, [column]))
        first = b.icmp_signed("==", p, I64(0))
        b.store(b.select(first, value, b.fadd(b.load(target), value)), target)


FUNCTIONS: Mapping[str, Callable[[ir.Module, str, str], None]] = {
    "cblas_?gemm": _gemm,
    "cblas_?trsm": _trsm,
    "?potrf_": _potrf,
    "?getrf_": _getrf,
}
