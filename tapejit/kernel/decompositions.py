"""LAPACK's orthogonal decompositions for object files: QR by Householder's reflections, spectra by Jacobi's rotations.

As in `linear_algebra`, which has what is simpler, each function has the name and the convention of LAPACK's, and does
of what that can what `lapack` makes use of. Jacobi's methods take a few sweeps over all pairs of columns, and are meant
for small matrices. (G. H. Golub and C. F. Van Loan, Matrix Computations, 4th edition, algorithms 5.1.1, 5.2.1, 8.5.3
and section 8.6.3.) Written with llvmlite's `ir` alone. Start reading at `FUNCTIONS`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from .instructions import FLOATS, I1, I8, I32, I64, OPERATIONS, Value, extreme, for_, variable, while_

_SWEEPS = 64
"""At most so many; a dozen is much."""

_WHOLE, _LETTER = I32.as_pointer(), I8.as_pointer()


class _Vector(NamedTuple):
    """Numbers at equal distances."""

    pointer: Value
    stride: Value

    def at(self, b: ir.IRBuilder, index: Value) -> Value:
        """The address of one of them."""
        return b.gep(self.pointer, [b.mul(index, self.stride)])


class _Arithmetic:
    """Loops over vectors, for one function."""

    def __init__(self, module: ir.Module, name: str, dtype: str, kinds: list[ir.Type]) -> None:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        function.attributes.add("nounwind")
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        self.arguments = function.args
        self.dtype = dtype
        self.number = FLOATS[dtype]
        self.epsilon = float(np.finfo(dtype).eps)

    def whole(self, address: Value) -> Value:
        """An integer that is passed by address."""
        return self.b.sext(self.b.load(address), I64)

    def does(self, name: str, *operands: Value) -> Value:
        """An operation of kernels."""
        return OPERATIONS[name].lower(self.b, self.dtype, *operands)

    def range(self, first: Value, last: Value, body: Callable[[Value], object]) -> None:
        """``body(index)`` from `first` to `last`, which is not included."""
        for_(self.b, self.b.sub(last, first), lambda index: body(self.b.add(first, index)))

    def total(self, count: Value, term: Callable[[Value], Value]) -> Value:
        """The sum of ``term(index)``."""
        b, slot = self.b, variable(self.b, self.number(0))

        def add(index: Value) -> None:
            b.store(b.fadd(b.load(slot), term(index), flags=("reassoc", "nsz", "contract")), slot)

        for_(b, count, add)
        return b.load(slot)

    def dot(self, count: Value, x: _Vector, y: _Vector) -> Value:
        """The sum of products."""
        b = self.b
        return self.total(count, lambda k: b.fmul(b.load(x.at(b, k)), b.load(y.at(b, k))))

    def largest(self, count: Value, x: _Vector) -> Value:
        """The largest absolute value."""
        b, slot = self.b, variable(self.b, self.number(0))

        def compare(k: Value) -> None:
            size = self.does("absolute", b.load(x.at(b, k)))
            b.store(extreme("maximum")(b, self.dtype, b.load(slot), size), slot)

        for_(b, count, compare)
        return b.load(slot)

    def scale(self, count: Value, x: _Vector, factor: Value) -> None:
        """``x *= factor``."""
        b = self.b
        for_(b, count, lambda k: b.store(b.fmul(b.load(x.at(b, k)), factor), x.at(b, k)))

    def subtract(self, count: Value, factor: Value, x: _Vector, y: _Vector) -> None:
        """``y -= factor * x``."""
        b = self.b

        def step(k: Value) -> None:
            b.store(b.fsub(b.load(y.at(b, k)), b.fmul(factor, b.load(x.at(b, k)))), y.at(b, k))

        for_(b, count, step)

    def rotate(self, count: Value, c: Value, s: Value, x: _Vector, y: _Vector) -> None:
        """``x, y = c * x - s * y, s * x + c * y``."""
        b = self.b

        def step(k: Value) -> None:
            one, other = b.load(x.at(b, k)), b.load(y.at(b, k))
            b.store(b.fsub(b.fmul(c, one), b.fmul(s, other)), x.at(b, k))
            b.store(b.fadd(b.fmul(s, one), b.fmul(c, other)), y.at(b, k))

        for_(b, count, step)

    def exchange(self, count: Value, x: _Vector, y: _Vector) -> None:
        """``x, y = y, x``."""
        b = self.b

        def step(k: Value) -> None:
            one, other = b.load(x.at(b, k)), b.load(y.at(b, k))
            b.store(other, x.at(b, k))
            b.store(one, y.at(b, k))

        for_(b, count, step)

    def angle(self, first: Value, last: Value, beside: Value) -> tuple[Value, Value]:
        """Cosine and sine of the smaller rotation that makes ``[[first, beside], [beside, last]]`` diagonal."""
        b, one = self.b, self.number(1)
        ratio = b.fdiv(b.fsub(last, first), b.fmul(self.number(2), beside))
        size = self.does("absolute", ratio)
        # Of a large number the square might overflow, and 1 more makes no difference.
        root = self.does("sqrt", b.fadd(one, b.fmul(size, size)))
        root = b.select(b.fcmp_ordered(">", size, self.number(1 / self.epsilon)), size, root)
        tangent = b.fdiv(one, b.fadd(size, root))
        tangent = self.does("copysign", tangent, ratio)
        c = b.fdiv(one, self.does("sqrt", b.fadd(one, b.fmul(tangent, tangent))))
        return c, b.fmul(tangent, c)

    def sweep(self, n: Value, pair: Callable[[Value, Value, Value], None]) -> None:
        """``pair(p, q, turned)`` for all p < q < n, again and again until none of them has set ``turned``."""
        b = self.b
        turned, sweeps = variable(b, I1(1)), variable(b, I64(0))

        def once() -> None:
            b.store(I1(0), turned)
            b.store(b.add(b.load(sweeps), I64(1)), sweeps)
            for_(b, n, lambda p: self.range(b.add(p, I64(1)), n, lambda q: pair(p, q, turned)))

        while_(b, lambda: b.and_(b.load(turned), b.icmp_signed("<", b.load(sweeps), I64(_SWEEPS))), once)

    def sort(self, n: Value, keys: Value, before: str, exchange: Callable[[Value, Value], None]) -> None:
        """Put keys in order, with what ``exchange(i, j)`` moves along."""
        b = self.b

        def place(i: Value) -> None:
            best = variable(b, i)

            def compare(j: Value) -> None:
                is_better = b.fcmp_ordered(before, b.load(b.gep(keys, [j])), b.load(b.gep(keys, [b.load(best)])))
                b.store(b.select(is_better, j, b.load(best)), best)

            self.range(b.add(i, I64(1)), n, compare)
            with b.if_then(b.icmp_signed("!=", b.load(best), i)):
                self.exchange(I64(1), _Vector(b.gep(keys, [i]), I64(1)), _Vector(b.gep(keys, [b.load(best)]), I64(1)))
                exchange(i, b.load(best))

        for_(b, n, place)

    def identity(self, n: Value, column: Callable[[Value], _Vector]) -> None:
        """Columns of the identity."""
        b = self.b

        def write(i: Value, j: Value) -> None:
            b.store(b.select(b.icmp_signed("==", i, j), self.number(1), self.number(0)), column(j).at(b, i))

        for_(b, n, lambda j: for_(b, n, lambda i: write(i, j)))


# --- QR -----------------------------------------------------------------------------------------------------


def _geqrf(module: ir.Module, name: str, dtype: str) -> None:
    """R, and the vectors of the reflections below it, of a matrix by columns with at least as many rows as columns."""
    number = FLOATS[dtype].as_pointer()
    do = _Arithmetic(module, name, dtype, [_WHOLE, _WHOLE, number, _WHOLE, number, number, _WHOLE, _WHOLE])
    b, (m_at, n_at, a, lda_at, tau, _, _, info) = do.b, do.arguments
    m, n, lda = do.whole(m_at), do.whole(n_at), do.whole(lda_at)
    b.store(I32(0), info)

    def reflect(k: Value) -> None:
        after = b.add(k, I64(1))
        count = b.sub(m, after)
        column = b.gep(a, [b.mul(k, lda)])
        below, head = _Vector(b.gep(column, [after]), I64(1)), b.gep(column, [k])
        first, size = b.load(head), do.largest(count, below)
        b.store(do.number(0), b.gep(tau, [k]))
        with b.if_then(b.fcmp_unordered("!=", size, do.number(0))):
            size = extreme("maximum")(b, dtype, size, do.does("absolute", first))

            def square(i: Value) -> Value:
                part = b.fdiv(b.load(below.at(b, i)), size)
                return b.fmul(part, part)

            part = b.fdiv(first, size)
            norm = b.fmul(size, do.does("sqrt", b.fadd(do.total(count, square), b.fmul(part, part))))
            beta = do.does("copysign", norm, b.fneg(first))
            factor = b.fdiv(b.fsub(beta, first), beta)
            do.scale(count, below, b.fdiv(do.number(1), b.fsub(first, beta)))
            b.store(factor, b.gep(tau, [k]))
            b.store(beta, head)
            do.range(after, n, lambda j: _reflected(do, count, factor, below, b.gep(a, [b.add(b.mul(j, lda), k)])))

    for_(b, n, reflect)
    b.ret_void()


def _reflected(do: _Arithmetic, count: Value, factor: Value, below: _Vector, head: Value) -> None:
    """Apply the reflection of a vector, which is 1 and then `below`, to the numbers from `head` on."""
    b, rest = do.b, _Vector(do.b.gep(head, [I64(1)]), I64(1))
    weight = b.fmul(factor, b.fadd(b.load(head), do.dot(count, below, rest)))
    b.store(b.fsub(b.load(head), weight), head)
    do.subtract(count, weight, below, rest)


def _orgqr(module: ir.Module, name: str, dtype: str) -> None:
    """The columns of Q, from what `_geqrf` leaves."""
    number = FLOATS[dtype].as_pointer()
    do = _Arithmetic(module, name, dtype, [_WHOLE] * 3 + [number, _WHOLE, number, number, _WHOLE, _WHOLE])
    b, (m_at, n_at, _, a, lda_at, tau, _, _, info) = do.b, do.arguments
    m, n, lda = do.whole(m_at), do.whole(n_at), do.whole(lda_at)
    b.store(I32(0), info)

    def column(number_of_column: Value) -> None:
        k = b.sub(b.sub(n, I64(1)), number_of_column)  # the last reflection first
        after = b.add(k, I64(1))
        count, own, factor = b.sub(m, after), b.gep(a, [b.mul(k, lda)]), b.load(b.gep(tau, [k]))
        below = _Vector(b.gep(own, [after]), I64(1))

        def other(j: Value) -> None:
            head = b.gep(a, [b.add(b.mul(j, lda), k)])
            b.store(do.number(0), head)
            _reflected(do, count, factor, below, head)

        do.range(after, n, other)
        do.scale(count, below, b.fneg(factor))
        b.store(b.fsub(do.number(1), factor), b.gep(own, [k]))
        for_(b, k, lambda i: b.store(do.number(0), b.gep(own, [i])))

    for_(b, n, column)
    b.ret_void()


# --- spectra ------------------------------------------------------------------------------------------------


def _syevd(module: ir.Module, name: str, dtype: str) -> None:
    """Eigenvalues, the smallest first, and eigenvectors as columns, of a matrix of which both triangles are given."""
    number = FLOATS[dtype].as_pointer()
    kinds = [_LETTER, _LETTER, _WHOLE, number, _WHOLE, number, number, _WHOLE, _WHOLE, _WHOLE, _WHOLE, I64, I64]
    do = _Arithmetic(module, name, dtype, kinds)
    b, (_, _, n_at, a, lda_at, values, work, _, _, _, info, _, _) = do.b, do.arguments
    n, lda = do.whole(n_at), do.whole(lda_at)
    b.store(I32(0), info)

    def row(i: Value) -> _Vector:
        return _Vector(b.gep(work, [i]), n)

    def column(j: Value) -> _Vector:
        return _Vector(b.gep(work, [b.mul(j, n)]), I64(1))

    def vector(j: Value) -> _Vector:
        return _Vector(b.gep(a, [b.mul(j, lda)]), I64(1))

    for_(b, n, lambda j: for_(b, n, lambda i: b.store(b.load(vector(j).at(b, i)), column(j).at(b, i))))
    do.identity(n, vector)
    least = b.fmul(do.largest(b.mul(n, n), _Vector(work, I64(1))), do.number(do.epsilon / 8))

    def pair(p: Value, q: Value, turned: Value) -> None:
        beside = b.load(column(q).at(b, p))
        with b.if_then(b.fcmp_ordered(">", do.does("absolute", beside), least)):
            c, s = do.angle(b.load(column(p).at(b, p)), b.load(column(q).at(b, q)), beside)
            do.rotate(n, c, s, column(p), column(q))
            do.rotate(n, c, s, row(p), row(q))
            do.rotate(n, c, s, vector(p), vector(q))
            b.store(do.number(0), column(q).at(b, p))
            b.store(do.number(0), column(p).at(b, q))
            b.store(I1(1), turned)

    do.sweep(n, pair)
    for_(b, n, lambda i: b.store(b.load(column(i).at(b, i)), b.gep(values, [i])))
    do.sort(n, values, "<", lambda i, j: do.exchange(n, vector(i), vector(j)))
    b.ret_void()


def _gesdd(module: ir.Module, name: str, dtype: str) -> None:
    """Singular values, the largest first, and vectors, of a matrix by columns with at most as many rows as columns.

    Its rows are turned until they are orthogonal, and the identity's columns with them.
    """
    number = FLOATS[dtype].as_pointer()
    kinds = [_LETTER, _WHOLE, _WHOLE, number, _WHOLE, number, number, _WHOLE, number, _WHOLE, number, _WHOLE]
    do = _Arithmetic(module, name, dtype, [*kinds, _WHOLE, _WHOLE, I64])
    b, (_, m_at, n_at, a, lda_at, values, u, ldu_at, vt, ldvt_at, _, _, _, info, _) = do.b, do.arguments
    m, n, lda, ldu, ldvt = (do.whole(each) for each in (m_at, n_at, lda_at, ldu_at, ldvt_at))
    b.store(I32(0), info)

    def row(i: Value) -> _Vector:
        return _Vector(b.gep(a, [i]), lda)

    def left(j: Value) -> _Vector:
        return _Vector(b.gep(u, [b.mul(j, ldu)]), I64(1))

    def right(i: Value) -> _Vector:
        return _Vector(b.gep(vt, [i]), ldvt)

    size = do.largest(b.mul(m, n), _Vector(a, I64(1)))
    size = b.select(b.fcmp_ordered(">", size, do.number(0)), size, do.number(1))
    for_(b, m, lambda i: for_(b, n, lambda k: b.store(b.fdiv(b.load(row(i).at(b, k)), size), row(i).at(b, k))))
    do.identity(m, left)

    def pair(p: Value, q: Value, turned: Value) -> None:
        beside = do.dot(n, row(p), row(q))
        first, last = do.dot(n, row(p), row(p)), do.dot(n, row(q), row(q))
        bound = b.fmul(do.does("sqrt", first), do.does("sqrt", last))
        bound = b.fmul(bound, do.number(4 * do.epsilon))
        with b.if_then(b.fcmp_ordered(">", do.does("absolute", beside), bound)):
            c, s = do.angle(first, last, beside)
            do.rotate(n, c, s, row(p), row(q))
            do.rotate(m, c, s, left(p), left(q))
            b.store(I1(1), turned)

    def exchange(i: Value, j: Value) -> None:
        do.exchange(n, row(i), row(j))
        do.exchange(m, left(i), left(j))

    do.sweep(m, pair)
    for_(b, m, lambda i: b.store(do.does("sqrt", do.dot(n, row(i), row(i))), b.gep(values, [i])))
    do.sort(m, values, ">", exchange)

    def finish(i: Value) -> None:
        at = b.gep(values, [i])
        value = b.load(at)
        with b.if_else(b.fcmp_ordered(">", value, do.number(0))) as (plain, lost):
            with plain:
                for_(b, n, lambda k: b.store(b.fdiv(b.load(row(i).at(b, k)), value), right(i).at(b, k)))
            with lost:
                _complete(do, n, i, right)
        b.store(b.fmul(value, size), at)

    for_(b, m, finish)
    b.ret_void()


def _complete(do: _Arithmetic, n: Value, count: Value, right: Callable[[Value], _Vector]) -> None:
    """A unit vector that is orthogonal to the first `count`: what is left of one of the axes.

    Of the squares of what is left of all axes the mean is at least 1/n, so one of them has that.
    """
    b, own = do.b, right(count)
    enough = b.fdiv(do.number(0.5), b.sitofp(n, do.number))
    axis, length = variable(b, I64(0)), variable(b, do.number(0))

    def attempt() -> None:
        for_(b, n, lambda k: b.store(do.number(0), own.at(b, k)))
        b.store(do.number(1), own.at(b, b.load(axis)))
        for _ in range(2):  # once more, for what rounding left
            for_(b, count, lambda j: do.subtract(n, do.dot(n, right(j), own), right(j), own))
        b.store(do.dot(n, own, own), length)
        b.store(b.add(b.load(axis), I64(1)), axis)

    unfinished = lambda: b.and_(  # noqa: E731 - a condition, in the words of the loop
        b.fcmp_ordered("<", b.load(length), enough), b.icmp_signed("<", b.load(axis), n)
    )
    while_(b, unfinished, attempt)
    do.scale(n, own, b.fdiv(do.number(1), do.does("sqrt", b.load(length))))


FUNCTIONS: Mapping[str, Callable[[ir.Module, str, str], None]] = {
    "?geqrf_": _geqrf,
    "?orgqr_": _orgqr,
    "?syevd_": _syevd,
    "?gesdd_": _gesdd,
}
