"""What the elements of a product are summed over, as loops of LLVM instructions: one axis, or several.

Long sums are sums of blocks. Written with llvmlite's `ir` alone. Used by `tiles`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from llvmlite import ir

from .instructions import I64, Value
from .vectors import counted, times

BLOCK = 1024
"""The most terms that are added up one after the other; sums of so many are added up in turn."""

Pointers = tuple[Value, Value]
"""Where both operands begin."""


class Steps(NamedTuple):
    """An axis that is summed over: how far one step goes in the left and in the right operand, and how many it has."""

    left: int
    right: int
    length: int | Value


def terms_of(numbers: Sequence[int]) -> tuple[Steps, ...]:
    """The axes, outermost first, as the text of a kernel has them: three numbers each, the innermost in front."""
    inner, *outer = (Steps(*numbers[place : place + 3]) for place in range(0, len(numbers), 3))
    return (*outer, inner)


def count_of(axes: Sequence[Steps]) -> int:
    """How many terms a sum over all of these axes has; their lengths are known."""
    return prod(int(steps.length) for steps in axes)


def moved(b: ir.IRBuilder, at: Pointers, steps: Steps, index: Value) -> Pointers:
    """Where the operands begin at an index of an axis."""
    left, right = (b.gep(one, [times(b, index, step)]) for one, step in zip(at, steps[:2], strict=True))
    return left, right


def summed(
    b: ir.IRBuilder,
    axes: Sequence[Steps],
    at: Pointers,
    accumulators: list[Value],
    term: Callable[[Pointers, Value, list[Value]], list[Value]],
    unrolled: int = 1,
) -> list[Value]:
    """Emit loops over all terms, one inside the other.

    Parameters
    ----------
    b : ir.IRBuilder
        Where the instructions go.
    axes : sequence of Steps
        Outermost first, none of no terms.
    at : tuple of Value
        Where the operands of the first term are.
    accumulators : list of Value
        What the sums begin with.
    term : callable
        ``term(at, index, accumulators)`` emits one term and gives the new sums; `index` is that of the innermost axis.
    unrolled : int
        How many terms there are in the body of the innermost loop, which has a multiple of so many.

    Returns
    -------
    list of Value
        The sums.
    """
    steps, *inner = axes

    def one(index: Value, *accumulators: Value) -> list[Value]:
        found = list(accumulators)
        here = moved(b, at, steps, index)
        if inner:
            return summed(b, inner, here, found, term, unrolled)
        for p in range(unrolled):
            found = term(moved(b, here, steps, I64(p)), b.add(index, I64(p)), found)
        return found

    return counted(b, steps.length, one, accumulators, 1 if inner else unrolled)


def each_block(
    b: ir.IRBuilder,
    axes: Sequence[Steps],
    at: Pointers,
    block: Callable[..., list[Value]],
    carried: Sequence[Value] = (),
) -> list[Value]:
    """Emit loops over blocks of at most `BLOCK` terms: all of the inner axes, and a part of the one around them.

    Parameters
    ----------
    b, axes, at
        As for `summed`, of more than `BLOCK` terms.
    block : callable
        ``block(at, first, axes, *carried)`` emits one block, given where its operands begin, at which index of its
        outermost axis, and the axes; it gives the new carried values.
    carried : sequence of Value
        Their start.

    Returns
    -------
    list of Value
        What is carried in the end.
    """
    inside, place = 1, len(axes) - 1
    while inside * int(axes[place].length) <= BLOCK:
        inside *= int(axes[place].length)
        place -= 1
    most = BLOCK // inside

    def around(depth: int, at: Pointers, carried: Sequence[Value]) -> list[Value]:
        steps = axes[depth]
        if depth < place:
            return counted(
                b, steps.length, lambda index, *each: around(depth + 1, moved(b, at, steps, index), each), carried
            )

        def some(index: Value, *carried: Value) -> list[Value]:
            first = b.mul(index, I64(most))
            left_over = b.sub(I64(steps.length), first)
            count = b.select(b.icmp_signed("<", left_over, I64(most)), left_over, I64(most))
            part = steps._replace(length=count)
            return block(moved(b, at, steps, first), first, (part, *axes[depth + 1 :]), *carried)

        return counted(b, -(-int(steps.length) // most), some, carried)

    return around(0, at, carried)
