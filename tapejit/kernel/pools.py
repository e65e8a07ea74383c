"""Workspaces for calls from compiled code that are too large for the stack: as many as threads may want at once.

A call takes one that nobody has and gives it back, by one atomic exchange each. Where all are taken it allocates memory
of its own. Written for Numba's builder and context. Start reading at `Pool`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from .instructions import I1, I8, I64, Value, variable, while_
from .memory import ALIGNMENT, address_of

_MOST_BYTES = 1 << 28
_LINE = ALIGNMENT // 8  # numbers that share a cache line would slow each other down


class Pool:
    """Workspaces of one size; a page of them takes memory only once it was used.

    Parameters
    ----------
    size : int
        Bytes of each.

    Attributes
    ----------
    count : int
        How many there are.
    taken : ndarray of int64
        Which of them somebody has; of each line the first number.
    """

    def __init__(self, size: int) -> None:
        self.size = -(-size // ALIGNMENT) * ALIGNMENT
        self.count = max(min(_MOST_BYTES // self.size, max(16, 4 * (os.cpu_count() or 1))), 1)
        self.taken = np.zeros(self.count * _LINE, np.int64)
        self._memory = np.empty(self.count * self.size + ALIGNMENT, np.uint8)

    def use(self, context: Any, b: ir.IRBuilder, body: Callable[[Value], Value]) -> Value:
        """What ``body(address)`` returns, an int64, while a workspace is the caller's; it must not leave by itself."""
        index, found = variable(b, I64(0)), variable(b, I1(0))

        def attempt() -> None:
            before = b.atomic_rmw("xchg", self._flag(b, b.load(index)), I64(1), "acquire")
            free = b.icmp_signed("==", before, I64(0))
            b.store(free, found)
            b.store(b.select(free, b.load(index), b.add(b.load(index), I64(1))), index)

        left = lambda: b.icmp_signed("<", b.load(index), I64(self.count))  # noqa: E731
        while_(b, lambda: b.and_(left(), b.not_(b.load(found))), attempt)
        own, start = variable(b, ir.Constant(I8.as_pointer(), None)), variable(b, I64(0))
        with b.if_else(b.load(found)) as (pooled, exhausted):
            with pooled:
                first = address_of(self._memory) + -address_of(self._memory) % ALIGNMENT
                b.store(b.add(I64(first), b.mul(b.load(index), I64(self.size))), start)
            with exhausted:
                b.store(context.nrt.allocate(b, I64(self.size + ALIGNMENT)), own)
                above = b.add(b.ptrtoint(b.load(own), I64), I64(ALIGNMENT - 1))
                b.store(b.and_(above, I64(-ALIGNMENT)), start)
        result = body(b.load(start))
        with b.if_else(b.load(found)) as (pooled, exhausted):
            with pooled:
                b.store_atomic(I64(0), self._flag(b, b.load(index)), "release", 8)
            with exhausted:
                context.nrt.free(b, b.load(own))
        return result

    def _flag(self, b: ir.IRBuilder, index: Value) -> Value:
        """The address of what says whether a workspace is taken."""
        return b.inttoptr(b.add(I64(address_of(self.taken)), b.mul(index, I64(ALIGNMENT))), I64.as_pointer())
