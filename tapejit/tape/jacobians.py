"""Jacobians in reverse mode: the rows of an identity matrix as a batch of cotangents.

In a kernel the identity is nothing but a comparison of indices, and the batch is one axis of the operations that the
rules bind: a compiled Jacobian has as many loops as one gradient, whatever the number of its rows. Start reading at
`jacobian_rows`; `columns` is the same in forward mode.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from .. import ops
from ..aval import Shape, checked_int
from ..batching import BatchedTensor, Batching
from ..errors import ShapeError, at_user_line
from ..primitive import Value, current, in_role, interpreting
from ..variable import Variable
from .recording import Record
from .reverse import pull_back


def checked_chunk(operation: str, chunk_size: int | None) -> int | None:
    """How many rows to compute at once.

    Raises
    ------
    ShapeError
        If it is not positive.
    """
    if chunk_size is None:
        return None
    size = checked_int(operation, "chunk_size", chunk_size)
    if size < 1:
        raise ShapeError(at_user_line(f"{operation}: chunk_size is how many rows are computed at once, got {size}"))
    return size


def chunks_of(total: int, chunk_size: int | None) -> Iterator[tuple[int, int]]:
    """The first row of each chunk, and how many there are; one chunk where there are no rows."""
    step = chunk_size or max(total, 1)
    for first in range(0, max(total, 1), step):
        yield first, min(step, total - first)


def basis(level: Batching, first: int, shape: Shape, dtype: Any) -> BatchedTensor:
    """A batch of arrays, each with a 1 at one place: those from the place `first` on."""
    ones = ops.eye(level.size, prod(shape), k=first, dtype=dtype)
    return BatchedTensor(level, in_role("reshape")(ones, (level.size, *shape)))


def joined(parts: Sequence[Any]) -> Any:
    """The rows of all chunks; None where there is no connection."""
    if parts[0] is None:
        return None
    return parts[0] if len(parts) == 1 else ops.concat(parts)


def jacobian_rows(
    records: list[Record], target: Value | Variable, sources: Sequence[int], chunk_size: int | None
) -> list[Any]:
    """For each source, by its key, the Jacobian with the target's axes in one; None where it is not connected.

    Parameters
    ----------
    records : list of Record
        What connects them.
    target : Value or Variable
        Its elements are the rows.
    sources : sequence of key
        What to differentiate by.
    chunk_size : int, optional
        How many rows to pull back at once; by default all.
    """
    if not target.shape:
        found = pull_back(records, {target.key: in_role("ones")((), target.dtype)}, sources)
        return [None if key not in found else ops.expand_dims(found[key], 0) for key in sources]
    chunks = []
    for first, size in chunks_of(prod(target.shape), chunk_size):
        level = Batching(current(), size)
        seed = basis(level, first, target.shape, target.dtype)
        chunks.append(_pulled(level, records, target, seed, sources))
    return [joined(parts) for parts in zip(*chunks, strict=True)]


def batch_jacobian_rows(records: list[Record], target: Value | Variable, source: int) -> Any:
    """The derivatives of row i of the target by row i of the source, the column of the target first.

    None where the source is not connected.
    """
    batch, *rest = target.shape
    columns = prod(rest)
    level = Batching(current(), columns)
    ones = in_role("reshape")(ops.eye(columns, dtype=target.dtype), (columns, 1, columns))
    seed = in_role("reshape")(in_role("broadcast")(ones, (columns, batch, columns)), (columns, batch, *rest))
    return _pulled(level, records, target, BatchedTensor(level, seed), (source,))[0]


def _pulled(
    level: Batching, records: list[Record], target: Value | Variable, seed: BatchedTensor, sources: Sequence[int]
) -> list[Any]:
    """For each source the cotangents, the batch first."""
    with interpreting(level):
        found = pull_back(records, {target.key: seed}, sources)
    return [level.all_of(found[key]) if key in found else None for key in sources]
