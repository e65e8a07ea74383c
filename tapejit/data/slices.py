"""Rows of arrays by their numbers: what shuffles and repeats them works on numbers, and a batch is gathered at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..pytree import TreeDef, unflatten
from .streams import Batched, Derived, Stream


class Slices(Derived):
    """The rows of arrays that a stream of numbers names.

    Parameters
    ----------
    numbers : Stream
        Of ints.
    arrays : list of ndarray
        Equally long.
    tree : TreeDef
        Their nest.
    """

    def __init__(self, numbers: Stream, arrays: list[np.ndarray], tree: TreeDef) -> None:
        super().__init__(numbers)
        self.numbers, self.arrays, self.tree = numbers, arrays, tree

    def __iter__(self) -> Iterator[Any]:
        return (self.taken(number) for number in self.numbers)

    def taken(self, chosen: Any) -> Any:
        """The row of a number, or a batch of those of a list of them, which is a copy."""
        return unflatten(self.tree, [array[chosen, ...] for array in self.arrays])

    def of(self, numbers: Stream) -> "Slices":
        """Other rows of the same arrays."""
        return Slices(numbers, self.arrays, self.tree)


class BatchedSlices(Batched):
    """Batches of rows."""

    def __init__(self, slices: Slices, batch_size: int, drop_remainder: bool) -> None:
        super().__init__(slices.numbers, batch_size, drop_remainder)
        self._slices = slices

    def joined(self, batch: list[int], first: int) -> Any:  # noqa: ARG002 (as `Batched` has it)
        """See `Batched`."""
        return self._slices.taken(np.array(batch, np.intp))
