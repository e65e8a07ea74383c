"""Accumulators of reductions: where they are, how they start, how blocks and nested loops are combined.

Which loop has one, and how many terms it takes, says `passes.blocks`. One is a local variable, or a row in memory. A
row of the outermost loop is the result's own storage; so are the rows that blocks leave, where that is in the
workspace, as the first of them becomes the sum of all.
"""

import ast
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..passes.blocks import blocked, blocks_of, holds_partials, owner, row_axes, row_width
from ..passes.loops import Leaf, Loop
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
_IN_ORDER = {"add": ast.Add(), "multiply": ast.Mult()}
"""What stands for functions that may be computed in any order, where lanes have one."""
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
        own = [leaf for leaf in over if owner(leaf, loop) is loop]
        self._initialise(loop, [leaf for leaf in own if blocked(leaf, loop) == in_block])

    def block(self, loop: Loop, variable: str) -> None:
        """Open the loop over blocks, or close it with an empty name."""
        if variable:
            self._blocks[id(loop)] = variable
        else:
            del self._blocks[id(loop)]

    def end_block(self, loop: Loop, over: Sequence[Leaf]) -> None:
        """After one block: keep its result."""
        for leaf in over:
            if blocked(leaf, loop) and not row_axes(leaf, loop):
                self._text.line(f"{self._row(leaf, loop)}[{self._blocks[id(loop)]}] = {self._local(leaf, loop)}")

    def finish(self, loop: Loop, over: Sequence[Leaf]) -> None:
        """After `loop`: combine blocks, and hand the results on."""
        handed: list[Leaf] = []
        for leaf in over:
            if owner(leaf, loop) is not loop:
                continue
            axes = row_axes(leaf, loop)
            if blocked(leaf, loop):
                combine = _PAIRWISE[leaf.statement.combine or ""]
                self._text.line(
                    f"{combine}({self._row(leaf, loop)}, {self._block_count(loop)}, {row_width(leaf, loop)})"
                )
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
        combine = leaf.statement.combine or ""
        target = self._accumulator(leaf, owner(leaf, loop))
        factors = _factors(value) if loop.columns or leaf.loops[0].columns else None
        if factors is not None:
            self._text.line(f"{target} = multiply_add({', '.join(factors)}, {target})")
        elif self._text.in_lanes and combine in _IN_ORDER:
            self._text.line(f"{target} = {ex.unparse(ex.binary(target, _IN_ORDER[combine], value))}")
        else:
            self._text.line(f"{target} = {_COMBINE[combine]}({target}, {value})")

    # Where an accumulator is

    def _outer(self, leaf: Leaf, loop: Loop) -> Loop:
        """The next loop outside of `loop` over which the statement combines."""
        return leaf.reduced()[leaf.reduced().index(loop) - 1]

    def _in_place(self, leaf: Leaf, loop: Loop) -> bool:
        """Whether a row accumulates where the result is stored, or rows of which the first becomes the result."""
        return loop is leaf.reduced()[0] and (not blocked(leaf, loop) or self._holds_partials(leaf))

    def _holds_partials(self, leaf: Leaf) -> bool:
        place = self._addresses.plan.places[leaf.statement.node]
        return holds_partials(leaf, place.kind, place.axes)

    def _block_count(self, loop: Loop) -> int:
        return blocks_of(loop, self._addresses.plan.blocks[loop])

    def _accumulator(self, leaf: Leaf, loop: Loop) -> str:
        """The variable or the element that accumulates over `loop`, at the current index."""
        axes = row_axes(leaf, loop)
        if not axes:
            return self._local(leaf, loop)
        if self._in_place(leaf, loop) and not blocked(leaf, loop):
            return self._addresses.element(leaf)
        position = self._addresses.position(leaf, axes)
        if id(loop) in self._blocks and blocked(leaf, loop):
            position = f"{self._blocks[id(loop)]} * {row_width(leaf, loop)} + {position}"
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
            if self._in_place(leaf, loop) and row_axes(leaf, loop):
                self._rows[key] = self._addresses.pointer(node)
            else:
                in_blocks = blocked(leaf, loop)
                count = (self._block_count(loop) if in_blocks else 1) * row_width(leaf, loop)
                label = self._addresses.label(node) + ("_blocks" if in_blocks else "_part")
                self._rows[key] = self._addresses.row(label, count, node.aval.dtype, shared=loop.split)
        return self._rows[key]

    # Rows

    def _initialise(self, loop: Loop, over: Sequence[Leaf]) -> None:
        rows = []
        for leaf in over:
            if row_axes(leaf, loop):
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
        groups: list[list[tuple[Leaf, tuple[Loop, ...]]]] = []
        for leaf in over:
            variables = leaf.own_variables()
            around = tuple(own for axis in row_axes(leaf, loop) if (own := variables[axis]) is not None)
            alike = (members for members in groups if all(_alike(around, other) for _, other in members))
            group = next(alike, None)
            if group is None:
                group = []
                groups.append(group)
            group.append((leaf, around))
        for members in groups:
            with self._text.loops_over([around for _, around in members]):
                for leaf, _ in members:
                    write(leaf, loop)


def _factors(value: str) -> tuple[str, str] | None:
    """What is multiplied, where a value is a product."""
    match ast.parse(value, mode="eval").body:
        case ast.BinOp(left, ast.Mult(), right):
            return ex.unparse(left), ex.unparse(right)
    return None


def _alike(nest: Sequence[Loop], other: Sequence[Loop]) -> bool:
    """Whether loops can stand for both nests: of equal lengths, and where both have a loop it is at one depth."""
    return [loop.extent for loop in nest] == [loop.extent for loop in other] and all(
        first is second or (first not in other and second not in nest)
        for first, second in zip(nest, other, strict=True)
    )


def _ends(dtype: np.dtype) -> tuple[Any, Any]:
    """The smallest and the largest value."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _identity(leaf: Leaf) -> str:
    """Where a reduction starts."""
    dtype = leaf.statement.node.aval.dtype
    combine = leaf.statement.combine
    assert combine is not None
    return ex.unparse(ex.literal(_IDENTITY[combine](dtype), dtype))
