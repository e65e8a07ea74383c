"""Linear algebra in kernels: the routines of `routines` as calls of LAPACK and BLAS functions by address.

LAPACK's matrices are stored by columns, ours by rows. So a matrix that is factorised is copied into scratch (it would
be overwritten anyway) by columns, whatever its strides; the right-hand sides stay where the result is wanted, and BLAS
is told to work by rows. Written with llvmlite's `ir` alone. Start reading at `ROUTINES`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from ..ops.linalg.functions import APPROXIMANTS
from ..ops.linalg.spectra import MARKED
from .instructions import FLOATS, I8, I32, I64, OPERATIONS, Value, extreme, for_, variable, while_
from .routines import POWERS, QR_WORK, SVD_WORK

Lower = Callable[..., Value]  # (builder, dtype, *arguments) -> 0, or another number where it fails

# CBLAS's names for how a matrix is stored and used.
_BY_ROWS, _AS_IT_IS, _TRANSPOSED, _UPPER, _LOWER, _OWN_DIAGONAL, _UNIT_DIAGONAL, _LEFT = (
    I32(code) for code in (101, 111, 112, 121, 122, 131, 132, 141)
)


# --- calls --------------------------------------------------------------------------------------------------


def _fortran(b: ir.IRBuilder, address: Value, *arguments: Value) -> Value:
    """Call a Fortran subroutine; returns the ``info`` that it leaves in its last argument.

    Integers are passed by address, as are letters, whose lengths come last: gfortran's convention.
    """
    given = [variable(b, b.trunc(value, I32)) if value.type == I64 else value for value in arguments]
    given = [variable(b, value) if value.type == I8 else value for value in given]
    info = variable(b, I32(0))
    given.append(info)
    given += [I64(1) for value in arguments if value.type == I8]
    subroutine = ir.FunctionType(ir.VoidType(), [value.type for value in given]).as_pointer()
    b.call(b.inttoptr(address, subroutine), given)
    return b.sext(b.load(info), I64)


def _c(b: ir.IRBuilder, address: Value, *arguments: Value) -> None:
    """Call a C function whose integers have 32 bits."""
    given = [b.trunc(value, I32) if value.type == I64 else value for value in arguments]
    function = ir.FunctionType(ir.VoidType(), [value.type for value in given]).as_pointer()
    b.call(b.inttoptr(address, function), given)


def _stride(b: ir.IRBuilder, length: Value) -> Value:
    """The distance of rows of this length: libraries refuse 0."""
    return extreme("maximum")(b, "int64", length, I64(1))


# --- matrices -----------------------------------------------------------------------------------------------


class _Matrix(NamedTuple):
    """Where a matrix begins, and the distances of its rows and of its columns, in elements."""

    pointer: Value
    down: Value
    across: Value

    def at(self, b: ir.IRBuilder, row: Value, column: Value) -> Value:
        """The address of an element."""
        return b.gep(self.pointer, [b.add(b.mul(row, self.down), b.mul(column, self.across))])

    def load(self, b: ir.IRBuilder, row: Value, column: Value) -> Value:
        """An element."""
        return b.load(self.at(b, row, column))


def _by_rows(pointer: Value, columns: Value) -> _Matrix:
    return _Matrix(pointer, columns, I64(1))


def _by_columns(pointer: Value, rows: Value) -> _Matrix:
    return _Matrix(pointer, I64(1), rows)


def _fill(
    b: ir.IRBuilder, target: _Matrix, rows: Value, columns: Value, value: Callable[[Value, Value], Value]
) -> None:
    """``target[i, j] = value(i, j)``."""
    for_(b, rows, lambda i: for_(b, columns, lambda j: b.store(value(i, j), target.at(b, i, j))))


class _Factors(NamedTuple):
    """P L U, by columns, L's unit diagonal left out, and which rows P exchanges."""

    pointer: Value
    pivots: Value
    n: Value

    def compute(self, b: ir.IRBuilder, getrf: Value, x: _Matrix) -> Value:
        """Factorise `x`; returns a number that is not 0 where U has a 0 in its diagonal."""
        _fill(b, _by_columns(self.pointer, self.n), self.n, self.n, lambda i, j: x.load(b, i, j))
        return _fortran(b, getrf, self.n, self.n, self.pointer, _stride(b, self.n), self.pivots)

    def exchanged(self, b: ir.IRBuilder, i: Value) -> Value:
        """The row that was exchanged with row `i`; LAPACK counts from 1."""
        return b.sub(b.sext(b.load(b.gep(self.pivots, [i])), I64), I64(1))

    def substitute(self, b: ir.IRBuilder, trsm: Value, out: Value, k: Value) -> None:
        """``out`` (n, k), by rows, becomes the solution z of P L U z = out. Seen by rows, L and U are transposed."""
        matrix = _by_rows(out, k)

        def exchange(i: Value) -> None:
            other = self.exchanged(b, i)

            def swap(j: Value) -> None:
                one, two = matrix.load(b, i, j), matrix.load(b, other, j)
                b.store(two, matrix.at(b, i, j))
                b.store(one, matrix.at(b, other, j))

            with b.if_then(b.icmp_signed("!=", i, other)):
                for_(b, k, swap)

        for_(b, self.n, exchange)
        one = out.type.pointee(1)
        for triangle, diagonal in ((_UPPER, _UNIT_DIAGONAL), (_LOWER, _OWN_DIAGONAL)):
            how = (_BY_ROWS, _LEFT, triangle, _TRANSPOSED, diagonal)
            _c(b, trsm, *how, self.n, k, one, self.pointer, _stride(b, self.n), out, _stride(b, k))


# --- routines -----------------------------------------------------------------------------------------------


def _cholesky(b: ir.IRBuilder, dtype: str, potrf: Value, *arguments: Value) -> Value:
    pointer, down, across, out, n = arguments
    x, factor = _Matrix(pointer, down, across), _by_rows(out, n)

    def row(i: Value) -> None:
        after = b.add(i, I64(1))
        for_(b, after, lambda j: b.store(x.load(b, i, j), factor.at(b, i, j)))
        zero = FLOATS[dtype](0)
        for_(b, b.sub(n, after), lambda j: b.store(zero, factor.at(b, i, b.add(after, j))))

    for_(b, n, row)
    # The lower triangle by rows is the upper one by columns.
    return _fortran(b, potrf, I8(ord("U")), n, out, _stride(b, n))


def _solve(b: ir.IRBuilder, _: str, getrf: Value, trsm: Value, *arguments: Value) -> Value:
    x, down, across, y, y_down, y_across, out, n, k, scratch, pivots = arguments
    factors, right = _Factors(scratch, pivots, n), _Matrix(y, y_down, y_across)
    failed = factors.compute(b, getrf, _Matrix(x, down, across))
    with b.if_then(b.icmp_signed("==", failed, I64(0))):
        _fill(b, _by_rows(out, k), n, k, lambda i, j: right.load(b, i, j))
        factors.substitute(b, trsm, out, k)
    return failed


def _inverse(b: ir.IRBuilder, dtype: str, getrf: Value, trsm: Value, *arguments: Value) -> Value:
    x, down, across, out, n, scratch, pivots = arguments
    zero, one = FLOATS[dtype](0), FLOATS[dtype](1)
    factors = _Factors(scratch, pivots, n)
    failed = factors.compute(b, getrf, _Matrix(x, down, across))
    with b.if_then(b.icmp_signed("==", failed, I64(0))):
        _fill(b, _by_rows(out, n), n, n, lambda i, j: b.select(b.icmp_signed("==", i, j), one, zero))
        factors.substitute(b, trsm, out, n)
    return failed


def _finite(b: ir.IRBuilder, dtype: str, x: _Matrix, n: Value) -> Value:
    """0 if all elements of a square matrix are finite, else NaN."""
    check, zero = variable(b, FLOATS[dtype](0)), FLOATS[dtype](0)

    def add(i: Value, j: Value) -> None:
        b.store(b.fadd(b.load(check), b.fmul(x.load(b, i, j), zero)), check)

    for_(b, n, lambda i: for_(b, n, lambda j: add(i, j)))
    return b.load(check)


def _slogdet(b: ir.IRBuilder, dtype: str, getrf: Value, *arguments: Value) -> Value:
    x, down, across, sign, logarithm, n, scratch, pivots = arguments
    number = FLOATS[dtype]
    factors = _Factors(scratch, pivots, n)
    singular = factors.compute(b, getrf, _Matrix(x, down, across))
    b.store(number(1), sign)
    b.store(number(0), logarithm)

    def times(i: Value) -> None:
        element = _by_columns(scratch, n).load(b, i, i)
        below = b.fcmp_ordered("<", element, number(0))
        turned = b.xor(below, b.icmp_signed("!=", i, factors.exchanged(b, i)))
        before = b.load(sign)
        b.store(b.select(turned, b.fneg(before), before), sign)
        size = OPERATIONS["log"].lower(b, dtype, OPERATIONS["absolute"].lower(b, dtype, element))
        b.store(b.fadd(b.load(logarithm), size), logarithm)

    with b.if_else(b.icmp_signed("==", singular, I64(0))) as (regular, otherwise):
        with regular:
            for_(b, n, times)
        with otherwise:
            # A matrix with NaN is none that is known to be singular.
            check = _finite(b, dtype, _Matrix(x, down, across), n)
            b.store(check, sign)
            b.store(b.fadd(check, number(-np.inf)), logarithm)
    return I64(0)


def _solve_lower(b: ir.IRBuilder, dtype: str, trsm: Value, *arguments: Value) -> Value:
    pointer, down, across, y, y_down, y_across, out, n, k, scratch = arguments
    x, lower, right = _Matrix(pointer, down, across), _by_rows(scratch, n), _Matrix(y, y_down, y_across)
    failed = variable(b, I64(0))

    def row(i: Value) -> None:
        for_(b, b.add(i, I64(1)), lambda j: b.store(x.load(b, i, j), lower.at(b, i, j)))
        with b.if_then(b.fcmp_ordered("==", lower.load(b, i, i), FLOATS[dtype](0))):
            b.store(b.add(i, I64(1)), failed)

    for_(b, n, row)
    with b.if_then(b.icmp_signed("==", b.load(failed), I64(0))):
        _fill(b, _by_rows(out, k), n, k, lambda i, j: right.load(b, i, j))
        how = (_BY_ROWS, _LEFT, _LOWER, _AS_IT_IS, _OWN_DIAGONAL)
        _c(b, trsm, *how, n, k, FLOATS[dtype](1), scratch, _stride(b, n), out, _stride(b, k))
    return b.load(failed)


# --- decompositions -----------------------------------------------------------------------------------------


def _if_finite(
    b: ir.IRBuilder, dtype: str, check: Value, targets: tuple[tuple[Value, Value], ...], compute: Callable[[], Value]
) -> Value:
    """What `compute` returns, if `check` is a number; else 0, and the targets, given with their lengths, are NaN."""
    failed = variable(b, I64(0))
    with b.if_else(b.fcmp_ordered("ord", check, check)) as (finite, otherwise):
        with finite:
            b.store(compute(), failed)
        with otherwise:
            for pointer, count in targets:
                _fill(b, _by_rows(pointer, count), I64(1), count, lambda i, j: FLOATS[dtype](np.nan))
    return b.load(failed)


def _copied(
    b: ir.IRBuilder, dtype: str, source: Callable[[Value, Value], Value], target: _Matrix, rows: Value, columns: Value
) -> Value:
    """Fill a matrix; returns 0 if all of its elements are finite, else NaN."""
    check, zero = variable(b, FLOATS[dtype](0)), FLOATS[dtype](0)

    def element(i: Value, j: Value) -> Value:
        value = source(i, j)
        b.store(b.fadd(b.load(check), b.fmul(value, zero)), check)
        return value

    _fill(b, target, rows, columns, element)
    return b.load(check)


def _negate(b: ir.IRBuilder, count: Value, at: Callable[[Value], Value]) -> None:
    for_(b, count, lambda i: b.store(b.fneg(b.load(at(i))), at(i)))


def _choose_signs(b: ir.IRBuilder, dtype: str, vectors: _Matrix, m: Value, n: Value, others: _Matrix | None) -> None:
    """Make the marked component of each of n columns positive (`MARKED`); rows of `others` change sign with them."""
    number = FLOATS[dtype]

    def size(i: Value, j: Value) -> Value:
        return OPERATIONS["absolute"].lower(b, dtype, vectors.load(b, i, j))

    def column(j: Value) -> None:
        largest, marked = variable(b, number(0)), variable(b, number(0))
        for_(b, m, lambda i: b.store(extreme("maximum")(b, dtype, b.load(largest), size(i, j)), largest))
        bound = b.fmul(number(MARKED), b.load(largest))

        def mark(below: Value) -> None:  # from the last row to the first, so that the first one stays
            i = b.sub(b.sub(m, I64(1)), below)
            chosen = b.fcmp_ordered(">=", size(i, j), bound)
            b.store(b.select(chosen, vectors.load(b, i, j), b.load(marked)), marked)

        for_(b, m, mark)
        with b.if_then(b.fcmp_ordered("<", b.load(marked), number(0))):
            _negate(b, m, lambda i: vectors.at(b, i, j))
            if others is not None:
                _negate(b, n, lambda k: others.at(b, j, k))

    for_(b, n, column)


def _eigh(b: ir.IRBuilder, dtype: str, syevd: Value, *arguments: Value) -> Value:
    pointer, down, across, values, vectors, n, work, whole = arguments
    x, out = _Matrix(pointer, down, across), _by_rows(vectors, n)

    def symmetric(i: Value, j: Value) -> Value:
        low = b.icmp_signed(">=", i, j)
        return x.load(b, b.select(low, i, j), b.select(low, j, i))

    def swap(i: Value, j: Value) -> None:
        one, other = out.load(b, i, j), out.load(b, j, i)
        b.store(other, out.at(b, i, j))
        b.store(one, out.at(b, j, i))

    def compute() -> Value:
        squares = b.mul(b.mul(n, n), I64(2))
        sizes = b.add(squares, b.add(b.mul(n, I64(6)), I64(1))), b.add(b.mul(n, I64(5)), I64(3))
        how = (I8(ord("V")), I8(ord("L")), n, vectors, _stride(b, n), values)
        failed = _fortran(b, syevd, *how, work, sizes[0], whole, sizes[1])
        for_(b, n, lambda i: for_(b, i, lambda j: swap(i, j)))  # the vectors are rows so far
        _choose_signs(b, dtype, out, n, n, None)
        return failed

    check = _copied(b, dtype, symmetric, out, n, n)
    return _if_finite(b, dtype, check, ((values, n), (vectors, b.mul(n, n))), compute)


def _svd(b: ir.IRBuilder, dtype: str, gesdd: Value, *arguments: Value) -> Value:
    """What is x by rows is its transpose by columns: U and V trade places, and all results are by rows as they come."""
    pointer, down, across, u, s, vh, m, n, scratch, work, whole = arguments
    x = _Matrix(pointer, down, across)

    def compute() -> Value:
        count = b.add(b.mul(b.mul(n, n), I64(4)), b.mul(b.add(b.add(m, n), I64(1)), I64(SVD_WORK)))
        stride = _stride(b, n)
        how = (I8(ord("S")), n, m, scratch, stride, s, vh, stride, u, stride)
        failed = _fortran(b, gesdd, *how, work, count, whole)
        _choose_signs(b, dtype, _by_rows(u, n), m, n, _by_rows(vh, n))
        return failed

    check = _copied(b, dtype, lambda i, j: x.load(b, i, j), _by_rows(scratch, n), m, n)
    return _if_finite(b, dtype, check, ((u, b.mul(m, n)), (s, n), (vh, b.mul(n, n))), compute)


def _qr(b: ir.IRBuilder, dtype: str, geqrf: Value, orgqr: Value, *arguments: Value) -> Value:
    pointer, down, across, q, r, m, n, scratch, tau, work = arguments
    x, factored, upper = _Matrix(pointer, down, across), _by_columns(scratch, m), _by_rows(r, n)
    zero, count = FLOATS[dtype](0), extreme("maximum")(b, "int64", b.mul(n, I64(QR_WORK)), I64(1))

    def of_upper(i: Value, j: Value) -> Value:
        inside = b.icmp_signed("<=", i, j)
        return b.select(inside, factored.load(b, b.select(inside, i, j), j), zero)

    def of_q(i: Value, j: Value) -> Value:
        value = factored.load(b, i, j)
        return b.select(b.fcmp_ordered("<", upper.load(b, j, j), zero), b.fneg(value), value)

    def turn(i: Value) -> None:
        with b.if_then(b.fcmp_ordered("<", upper.load(b, i, i), zero)):
            _negate(b, b.sub(n, i), lambda k: upper.at(b, i, b.add(i, k)))

    _fill(b, factored, m, n, lambda i, j: x.load(b, i, j))
    failed = _fortran(b, geqrf, m, n, scratch, _stride(b, m), tau, work, count)
    _fill(b, upper, n, n, of_upper)
    _fortran(b, orgqr, m, n, n, scratch, _stride(b, m), tau, work, count)
    _fill(b, _by_rows(q, n), m, n, of_q)
    for_(b, n, turn)
    return failed


class _Squares(NamedTuple):
    """Arithmetic of square matrices, all by rows, for one kernel function."""

    b: ir.IRBuilder
    dtype: str
    gemm: Value
    n: Value

    def product(self, x: Value, y: Value, target: Value) -> None:
        """``target = x @ y``; it must be neither of them."""
        one, zero, stride = FLOATS[self.dtype](1), FLOATS[self.dtype](0), _stride(self.b, self.n)
        how = (_BY_ROWS, _AS_IT_IS, _AS_IT_IS, self.n, self.n, self.n)
        _c(self.b, self.gemm, *how, one, x, stride, y, stride, zero, target, stride)

    def combine(self, terms: Sequence[tuple[float, Value]], one: float, target: Value) -> None:
        """``target = Σ coefficient · matrix + one · identity``; it may be one of the matrices."""
        b, number = self.b, FLOATS[self.dtype]

        def element(i: Value, j: Value) -> Value:
            total = b.select(b.icmp_signed("==", i, j), number(one), number(0))
            for coefficient, matrix in terms:
                value = _by_rows(matrix, self.n).load(b, i, j)
                total = b.fadd(total, b.fmul(number(coefficient), value))
            return total

        _fill(b, _by_rows(target, self.n), self.n, self.n, element)


def _scaled(b: ir.IRBuilder, dtype: str, x: Value, n: Value, norm: Value) -> Value:
    """Halve a matrix until its norm is small enough for the approximant; returns how many times."""
    number = FLOATS[dtype]
    left, scale, times = variable(b, norm), variable(b, number(1)), variable(b, I64(0))

    def halve() -> None:
        for slot in (left, scale):
            b.store(b.fmul(b.load(slot), number(0.5)), slot)
        b.store(b.add(b.load(times), I64(1)), times)

    bound = number(APPROXIMANTS[np.dtype(dtype)][0])
    while_(b, lambda: b.fcmp_ordered(">", b.load(left), bound), halve)
    matrix = _by_rows(x, n)
    _fill(b, matrix, n, n, lambda i, j: b.fmul(matrix.load(b, i, j), b.load(scale)))
    return b.load(times)


def _norm(b: ir.IRBuilder, dtype: str, x: _Matrix, n: Value) -> Value:
    """The largest sum of absolute values of a column."""
    largest = variable(b, FLOATS[dtype](0))

    def column(j: Value) -> None:
        total = variable(b, FLOATS[dtype](0))

        def add(i: Value) -> None:
            b.store(b.fadd(b.load(total), OPERATIONS["absolute"].lower(b, dtype, x.load(b, i, j))), total)

        for_(b, n, add)
        b.store(extreme("maximum")(b, dtype, b.load(largest), b.load(total)), largest)

    for_(b, n, column)
    return b.load(largest)


def _expm(b: ir.IRBuilder, dtype: str, getrf: Value, trsm: Value, gemm: Value, *arguments: Value) -> Value:
    """See `ops.linalg.functions.exponential`."""
    pointer, down, across, out, n, powers, factors, pivots = arguments
    squares, size = _Squares(b, dtype, gemm, n), b.mul(n, n)
    x, second, fourth, sixth, odd, even = (b.gep(powers, [b.mul(size, I64(k))]) for k in range(POWERS))
    coefficients = APPROXIMANTS[np.dtype(dtype)][1]
    c = [coefficient / coefficients[0] for coefficient in coefficients]
    source = _Matrix(pointer, down, across)
    _fill(b, _by_rows(x, n), n, n, lambda i, j: source.load(b, i, j))
    norm = _norm(b, dtype, source, n)

    def approximant() -> Value:
        for one, other, target in ((x, x, second), (second, second, fourth), (fourth, second, sixth)):
            squares.product(one, other, target)
        for shift, target in ((1, odd), (0, even)):
            low = [(c[2 + shift], second), (c[4 + shift], fourth), (c[6 + shift], sixth)]
            if len(c) > 8:
                high = [(c[8 + shift], second), (c[10 + shift], fourth), (c[12 + shift], sixth)]
                squares.combine(high, 0.0, out)
                squares.product(sixth, out, target)
                low.append((1.0, target))
            squares.combine(low, c[shift], target)
        squares.product(x, odd, out)
        squares.combine([(1.0, even), (-1.0, out)], 0.0, x)
        squares.combine([(1.0, even), (1.0, out)], 0.0, out)
        solved = _Factors(factors, pivots, n)
        failed = solved.compute(b, getrf, _by_rows(x, n))
        with b.if_then(b.icmp_signed("==", failed, I64(0))):
            solved.substitute(b, trsm, out, n)
        return failed

    def compute() -> Value:
        times = _scaled(b, dtype, x, n, norm)
        failed = approximant()

        def square(_: Value) -> None:
            squares.product(out, out, x)
            squares.combine([(1.0, x)], 0.0, out)

        for_(b, times, square)
        return failed

    check = b.fmul(norm, FLOATS[dtype](0))
    return _if_finite(b, dtype, check, ((out, size),), compute)


ROUTINES: Mapping[str, Lower] = {
    "cholesky": _cholesky,
    "solve": _solve,
    "inverse": _inverse,
    "slogdet": _slogdet,
    "solve_lower": _solve_lower,
    "eigh": _eigh,
    "svd": _svd,
    "qr": _qr,
    "expm": _expm,
}
