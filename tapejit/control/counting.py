"""Small arithmetic on indices; its numbers are the operations' own, so that they are literals of graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..families import as_array

INT64 = np.dtype(np.int64)


def truth_of(condition: Any) -> Any:
    """Whether a scalar is true: it is not 0."""
    value: Any = as_array(condition)
    return value if value.dtype.kind == "b" else value != 0


def place_of(condition: Any) -> Any:
    """1 if a scalar is true, else 0: an index."""
    return ops.astype(truth_of(condition), INT64)


def in_int64(number: Any) -> Any:
    """A bound of a range."""
    return ops.astype(as_array(number), INT64)


def clamped(index: Any, branches: Sequence[Any]) -> Any:
    """The index of one of these branches: the nearest that there is."""
    value = as_array(index)
    last = len(branches) - 1
    if value.dtype.kind == "u":  # which may be beyond the largest int64
        return ops.astype(ops.minimum(value, ops.asarray(last, value.dtype)), INT64)
    return ops.clip(ops.astype(value, INT64), 0, last)


def followed_by(index: Any) -> Any:
    """The next index."""
    return index + 1
