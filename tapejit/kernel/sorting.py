"""Sorting and searching in kernels: the routines of `routines` as LLVM instructions.

The sort is a stable merge sort without recursion: runs of `RUN` elements are sorted by insertion, then merged in pairs,
back and forth between the result and scratch. What is moved are the elements themselves, or for `argsort` their
indices. Written with llvmlite's `ir` alone. Start reading at `ROUTINES`, at the end.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Mapping

from llvmlite import ir

from .instructions import I64, Value, extreme, for_, kind, variable, while_

Lower = Callable[..., Value]  # (builder, dtype, *arguments) -> 0

RUN = 16
"""Up to this length insertion is faster than merging."""
TOGETHER = 16
"""How many values are searched for at a time."""


def _less(b: ir.IRBuilder, dtype: str, x: Value, y: Value) -> Value:
    """The order of `numpy.sort`: NaN comes after everything else. A boolean is a byte in memory."""
    if kind(dtype) == "f":
        return b.and_(b.fcmp_unordered("<", x, y), b.fcmp_ordered("ord", x, x))
    return (b.icmp_signed if kind(dtype) == "i" else b.icmp_unsigned)("<", x, y)


class _Sort:
    """Writes the instructions of one sort; `key` gives what an element is compared by."""

    def __init__(self, b: ir.IRBuilder, dtype: str, key: Callable[[Value], Value]) -> None:
        self._b = b
        self._dtype = dtype
        self._key = key

    def sort(self, out: Value, n: Value, scratch: Value) -> None:
        """Sort `out` in place."""
        b = self._b
        self._in_steps(n, I64(RUN), lambda low: self._insert(out, low, self._smaller(b.add(low, I64(RUN)), n)))
        width, source, target = (variable(b, start) for start in (I64(RUN), out, scratch))

        def level() -> None:
            half, here, there = (b.load(slot) for slot in (width, source, target))
            double = b.shl(half, I64(1))

            def pair(low: Value) -> None:
                middle, high = (self._smaller(b.add(low, length), n) for length in (half, double))
                self._merge(here, there, low, middle, high)

            self._in_steps(n, double, pair)
            for value, slot in ((double, width), (there, source), (here, target)):
                b.store(value, slot)

        while_(b, lambda: b.icmp_signed("<", b.load(width), n), level)
        last = b.load(source)
        address, wanted = (b.ptrtoint(pointer, I64) for pointer in (last, out))
        with b.if_then(b.icmp_unsigned("!=", address, wanted)):
            for_(b, n, lambda i: self._move(last, i, out, i))

    def _smaller(self, x: Value, y: Value) -> Value:
        return extreme("minimum")(self._b, "int64", x, y)

    def _in_steps(self, n: Value, step: Value, body: Callable[[Value], None]) -> None:
        """``for low in range(0, n, step): body(low)``."""
        b = self._b
        count = b.sdiv(b.sub(b.add(n, step), I64(1)), step)
        for_(b, count, lambda number: body(b.mul(number, step)))

    def _load(self, pointer: Value, index: Value) -> Value:
        return self._b.load(self._b.gep(pointer, [index]))

    def _move(self, source: Value, i: Value, target: Value, j: Value) -> None:
        self._b.store(self._load(source, i), self._b.gep(target, [j]))

    def _before(self, element: Value, other: Value) -> Value:
        return _less(self._b, self._dtype, self._key(element), self._key(other))

    def _insert(self, out: Value, low: Value, high: Value) -> None:
        """Sort the elements from `low` to `high` by insertion."""
        b = self._b

        def insert(count: Value) -> None:
            at = b.add(low, count)
            element, place = self._load(out, at), variable(b, at)

            def goes_down() -> Value:
                here = b.load(place)
                inside = b.icmp_signed(">", here, low)
                neighbour = self._load(out, b.select(inside, b.sub(here, I64(1)), low))
                return b.and_(inside, self._before(element, neighbour))

            def step() -> None:
                here = b.load(place)
                self._move(out, b.sub(here, I64(1)), out, here)
                b.store(b.sub(here, I64(1)), place)

            while_(b, goes_down, step)
            b.store(element, b.gep(out, [b.load(place)]))

        for_(b, b.sub(high, low), insert)

    def _merge(self, source: Value, target: Value, low: Value, middle: Value, high: Value) -> None:
        """Merge two neighbouring runs; of equal elements those of the first come first."""
        b = self._b
        left, right, place = (variable(b, start) for start in (low, middle, low))

        def both() -> Value:
            return b.and_(b.icmp_signed("<", b.load(left), middle), b.icmp_signed("<", b.load(right), high))

        def smaller() -> None:
            i, j, at = (b.load(slot) for slot in (left, right, place))
            one, other = self._load(source, i), self._load(source, j)
            later = self._before(other, one)
            b.store(b.select(later, other, one), b.gep(target, [at]))
            moved = b.zext(later, I64)
            b.store(b.add(j, moved), right)
            b.store(b.add(i, b.sub(I64(1), moved)), left)
            b.store(b.add(at, I64(1)), place)

        while_(b, both, smaller)
        self._append(source, b.load(left), middle, target, place)
        self._append(source, b.load(right), high, target, place)

    def _append(self, source: Value, start: Value, end: Value, target: Value, place: Value) -> None:
        """Move what is left of a run behind what is merged; `place` is the address of how much that is."""
        b = self._b
        at, count = b.load(place), b.sub(end, start)
        for_(b, count, lambda k: self._move(source, b.add(start, k), target, b.add(at, k)))
        b.store(b.add(at, count), place)


def _sort(b: ir.IRBuilder, dtype: str, *arguments: Value) -> Value:
    x, stride, out, n, scratch = arguments
    for_(b, n, lambda i: b.store(b.load(b.gep(x, [b.mul(i, stride)])), b.gep(out, [i])))
    _Sort(b, dtype, lambda element: element).sort(out, n, scratch)
    return I64(0)


def _argsort(b: ir.IRBuilder, dtype: str, *arguments: Value) -> Value:
    x, stride, out, n, scratch = arguments
    for_(b, n, lambda i: b.store(i, b.gep(out, [i])))
    _Sort(b, dtype, lambda index: b.load(b.gep(x, [b.mul(index, stride)]))).sort(out, n, scratch)
    return I64(0)


class _Search:
    """Writes a binary search for several values at a time, so that their loads wait for memory together.

    The number of steps depends on the length alone, and a step has no branch.
    """

    def __init__(self, b: ir.IRBuilder, dtype: str, side: str, arguments: tuple[Value, ...]) -> None:
        self._b = b
        self._dtype = dtype
        self._on_the_left = side == "left"
        self._x, self._stride, self._values, self._step, self._out, self._n, self._m = arguments

    def search(self) -> None:
        """Find all values."""
        b = self._b
        groups = b.udiv(self._m, I64(TOGETHER))
        for_(b, groups, lambda number: self._group(b.mul(number, I64(TOGETHER)), TOGETHER))
        done = b.mul(groups, I64(TOGETHER))
        for_(b, b.sub(self._m, done), lambda number: self._group(b.add(done, number), 1))

    def _group(self, first: Value, size: int) -> None:
        b = self._b
        numbers = [b.add(first, I64(lane)) for lane in range(size)]
        wanted = [b.load(b.gep(self._values, [b.mul(number, self._step)])) for number in numbers]
        lows, left = [variable(b, I64(0)) for _ in numbers], variable(b, self._n)

        def halve() -> None:
            half = b.lshr(b.load(left), I64(1))
            for low, value in zip(lows, wanted, strict=True):
                here = b.load(low)
                before = self._is_before(b.sub(b.add(here, half), I64(1)), value)
                # No select: LLVM would make a branch of it, which nobody can predict.
                b.store(b.add(here, b.and_(half, b.sext(before, I64))), low)
            b.store(b.sub(b.load(left), half), left)

        while_(b, lambda: b.icmp_signed(">", b.load(left), I64(1)), halve)
        with b.if_then(b.icmp_signed(">", self._n, I64(0))):
            for low, value in zip(lows, wanted, strict=True):
                here = b.load(low)
                b.store(b.add(here, b.zext(self._is_before(here, value), I64)), low)
        for number, low in zip(numbers, lows, strict=True):
            b.store(b.load(low), b.gep(self._out, [number]))

    def _is_before(self, place: Value, value: Value) -> Value:
        """Whether an element is before the place of a value: on its left, or not on its right."""
        b = self._b
        element = b.load(b.gep(self._x, [b.mul(place, self._stride)]))
        if self._on_the_left:
            return _less(b, self._dtype, element, value)
        return b.not_(_less(b, self._dtype, value, element))


def _search(side: str) -> Lower:
    def lower(b: ir.IRBuilder, dtype: str, *arguments: Value) -> Value:
        _Search(b, dtype, side, arguments).search()
        return I64(0)

    return lower


ROUTINES: Mapping[str, Lower] = {
    "sort": _sort,
    "argsort": _argsort,
    "search_left": _search("left"),
    "search_right": _search("right"),
}
