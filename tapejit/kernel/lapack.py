"""Linear algebra in kernels: the routines of `routines` as calls of LAPACK and BLAS functions by address.

LAPACK's matrices are stored by columns, ours by rows. So a matrix that is factorised is copied into scratch (it would
be overwritten anyway) by columns, whatever its strides; the right-hand sides stay where the result is wanted, and BLAS
is told to work by rows. Written with llvmlite's `ir` alone. Start reading at `ROUTINES`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from .instructions import FLOATS, I8, I32, I64, OPERATIONS, Value, extreme, for_, variable

Lower = Callable[..., Value]  # (builder, dtype, *arguments) -> 0, or another number where it fails

# CBLAS's names for how a matrix is stored and used.
_BY_ROWS, _TRANSPOSED, _UPPER, _LOWER, _OWN_DIAGONAL, _UNIT_DIAGONAL, _LEFT = (
    I32(code) for code in (101, 112, 121, 122, 131, 132, 141)
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
            b.store(number(0), sign)
            b.store(number(-np.inf), logarithm)
    return I64(0)


ROUTINES: Mapping[str, Lower] = {"cholesky": _cholesky, "solve": _solve, "inverse": _inverse, "slogdet": _slogdet}
