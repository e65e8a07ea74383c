"""Accumulators of reductions: where they are, how they start, how blocks and nested loops are combined.

An accumulator belongs to one statement and one of the loops over which it combines. It is a local variable where all
axes of the result lie outside of that loop; else it is a row with an element for each index of the result's axes
inside of it. No accumulator takes more than `BLOCK` terms: longer loops run in blocks, whose results are combined
pairwise, and an inner loop has an accumulator of its own where sharing the outer one's would exceed that.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..passes import Leaf, Loop
from ..passes.plan import BLOCK
from . import expressions as ex
from .addresses import Addresses
from .text import Text
from .values import Values

_IDENTITY: dict[str, Callable[[np.dtype], Any]] = {
    "add": lambda dtype: 0,
    "multiply": lambda dtype: 1,
    "maximum": lambda dtype: _ends(dtype)[0],
    "minimum": lambda dtype: _ends(dtype)[1],
    "or": lambda dtype: False,
    "and": lambda dtype: True,
}
_COMBINE = {
    "add": "accumulate",
    "multiply": "accumulate_product",
    "maximum": "maximum",
    "minimum": "minimum",
    "or": "logical_or",
    "and": "logical_and",
}
_PAIRWISE = {"add": "combine_pairwise", "multiply": "combine_pairwise_product"}


class Reductions:
    """The accumulators of one kernel."""

    def __init__(self, addresses: Addresses, values: Values, text: Text) -> None:
        self._addresses = addresses
        self._values = values
        self._text = text
        self._locals: dict[tuple[int, int], str] = {}
        self._rows: dict[tuple[int, int], str] = {}
        self._blocks: dict[int, str] = {}  # the variables of open loops over blocks, by id(loop)

    # Around a loop

    def start(self, loop: Loop, over: Sequence[Leaf]) -> None:
        """Before `loop`, or before one block of it, over which the statements `over` combine."""
        in_block = id(loop) in self._blocks
        own = [leaf for leaf in over if self._owns(leaf, loop)]
        self._initialise(loop, [leaf for leaf in own if self.blocked(leaf, loop) == in_block])

    def block(self, loop: Loop, variable: str) -> None:
        """Open the loop over blocks, or close it with an empty name."""
        if variable:
            self._blocks[id(loop)] = variable
        else:
            del self._blocks[id(loop)]

    def blocked(self, leaf: Leaf, loop: Loop) -> bool:
        """Whether the statement leaves one partial result for each block of `loop`."""
        return loop.extent > BLOCK and leaf.statement.combine in _PAIRWISE and self._owns(leaf, loop)

    def end_block(self, loop: Loop, over: Sequence[Leaf]) -> None:
        """After one block: keep its result."""
        for leaf in over:
            if self.blocked(leaf, loop) and not self._axes(leaf, loop):
                self._text.line(f"{self._row(leaf, loop)}[{self._blocks[id(loop)]}] = {self._local(leaf, loop)}")

    def finish(self, loop: Loop, over: Sequence[Leaf]) -> None:
        """After `loop`: combine blocks, and hand the results on."""
        handed: list[Leaf] = []
        for leaf in over:
            if not self._owns(leaf, loop):
                continue
            axes = self._axes(leaf, loop)
            if self.blocked(leaf, loop):
                combine = _PAIRWISE[leaf.statement.combine or ""]
                self._text.line(f"{combine}({self._row(leaf, loop)}, {_block_count(loop)}, {self._width(leaf, loop)})")
                if not axes:
                    self._text.line(f"{self._local(leaf, loop)} = {self._row(leaf, loop)}[0]")
            if axes:
                handed.append(leaf)
            elif loop is leaf.reduced()[0]:
                self._values.settle(leaf, self._local(leaf, loop))
            else:
                self.add(leaf, self._outer(leaf, loop), self._local(leaf, loop))
        self._over_rows(loop, [leaf for leaf in handed if not self._in_place(leaf, loop)], self._hand_on)
        for leaf in handed:
            if loop is leaf.reduced()[0]:
                self._values.finish(leaf.statement.node)

    def add(self, leaf: Leaf, loop: Loop, value: str) -> None:
        """Combine a value into the accumulator for `loop`."""
        function = _COMBINE[leaf.statement.combine or ""]
        target = self._accumulator(leaf, self._owner(leaf, loop))
        self._text.line(f"{target} = {function}({target}, {value})")

    # Where an accumulator is

    def _axes(self, leaf: Leaf, loop: Loop) -> tuple[int, ...]:
        """The result's axes whose loops lie inside of `loop`: the accumulator has them."""
        at = leaf.loops.index(loop)
        return tuple(
            axis for axis, own in enumerate(leaf.own_variables()) if own is not None and leaf.loops.index(own) > at
        )

    def _width(self, leaf: Leaf, loop: Loop) -> int:
        """Elements of one row."""
        return prod(leaf.statement.node.aval.shape[axis] for axis in self._axes(leaf, loop))

    def _owner(self, leaf: Leaf, loop: Loop) -> Loop:
        """The loop whose accumulator takes what is combined over `loop`: itself, or one around it."""
        pairwise = leaf.statement.combine in _PAIRWISE
        owner, terms = leaf.reduced()[0], 0
        for each in leaf.reduced():
            length = min(each.extent, BLOCK)
            shares = terms and self._axes(leaf, each) and (not pairwise or terms * each.extent <= BLOCK)
            owner, terms = (owner, terms * length) if shares else (each, length)
            if each is loop:
                break
        return owner

    def _owns(self, leaf: Leaf, loop: Loop) -> bool:
        return self._owner(leaf, loop) is loop

    def _outer(self, leaf: Leaf, loop: Loop) -> Loop:
        """The next loop outside of `loop` over which the statement combines."""
        return leaf.reduced()[leaf.reduced().index(loop) - 1]

    def _in_place(self, leaf: Leaf, loop: Loop) -> bool:
        """Whether a row accumulates where the result is stored."""
        return loop is leaf.reduced()[0] and not self.blocked(leaf, loop)

    def _accumulator(self, leaf: Leaf, loop: Loop) -> str:
        """The variable or the element that accumulates over `loop`, at the current index."""
        axes = self._axes(leaf, loop)
        if not axes:
            return self._local(leaf, loop)
        if self._in_place(leaf, loop):
            return self._addresses.element(leaf)
        position = self._addresses.position(leaf, axes)
        if id(loop) in self._blocks and self.blocked(leaf, loop):
            position = f"{self._blocks[id(loop)]} * {self._width(leaf, loop)} + {position}"
        return f"{self._row(leaf, loop)}[{position}]"

    def _local(self, leaf: Leaf, loop: Loop) -> str:
        key = id(leaf), id(loop)
        if key not in self._locals:
            label = self._addresses.label(leaf.statement.node)
            self._locals[key] = self._text.fresh(label if loop is leaf.reduced()[0] else f"{label}_part")
        return self._locals[key]

    def _row(self, leaf: Leaf, loop: Loop) -> str:
        """The pointer to rows of partial results: one for each block of `loop`, or just one."""
        key = id(leaf), id(loop)
        if key not in self._rows:
            node = leaf.statement.node
            blocked = self.blocked(leaf, loop)
            count = (_block_count(loop) if blocked else 1) * self._width(leaf, loop)
            label = self._addresses.label(node) + ("_blocks" if blocked else "_part")
            self._rows[key] = self._addresses.row(label, count, node.aval.dtype)
        return self._rows[key]

    # Rows

    def _initialise(self, loop: Loop, over: Sequence[Leaf]) -> None:
        rows = []
        for leaf in over:
            if self._axes(leaf, loop):
                rows.append(leaf)
            else:
                self._text.line(f"{self._local(leaf, loop)} = {_identity(leaf)}")
        self._over_rows(loop, rows, self._clear)

    def _clear(self, leaf: Leaf, loop: Loop) -> None:
        """An element of a row starts."""
        self._text.line(f"{self._accumulator(leaf, loop)} = {_identity(leaf)}")

    def _hand_on(self, leaf: Leaf, loop: Loop) -> None:
        """An element of a row goes to the result, or to the accumulator of the next loop."""
        value = self._accumulator(leaf, loop)
        if loop is leaf.reduced()[0]:
            self._text.line(f"{self._addresses.element(leaf)} = {value}")
        else:
            self.add(leaf, self._outer(leaf, loop), value)

    def _over_rows(self, loop: Loop, over: Sequence[Leaf], write: Callable[[Leaf, Loop], None]) -> None:
        """`write` for each element of the statements' rows; rows of equal shape in the same loops."""
        groups: dict[tuple[int, ...], list[tuple[Leaf, tuple[Loop, ...]]]] = {}
        for leaf in over:
            variables = leaf.own_variables()
            around = tuple(own for axis in self._axes(leaf, loop) if (own := variables[axis]) is not None)
            groups.setdefault(tuple(own.extent for own in around), []).append((leaf, around))
        for members in groups.values():
            with self._text.loops_over([around for _, around in members]):
                for leaf, _ in members:
                    write(leaf, loop)


def _ends(dtype: np.dtype) -> tuple[Any, Any]:
    """The smallest and the largest value."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _block_count(loop: Loop) -> int:
    return -(-loop.extent // BLOCK)


def _identity(leaf: Leaf) -> str:
    """Where a reduction starts."""
    dtype = leaf.statement.node.aval.dtype
    combine = leaf.statement.combine
    assert combine is not None
    return ex.unparse(ex.literal(_IDENTITY[combine](dtype), dtype))
