"""`Packing`: how a nest of arrays lies in one flat float64 vector, as SciPy wants it."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .. import ops
from ..aval import PYTHON_NUMBERS, is_floating
from ..errors import DtypeError, ShapeError, at_user_line
from ..pytree import flatten, flatten_up_to, unflatten

FLOAT64 = np.dtype(np.float64)


class Packing:
    """The nest's structure, and its arrays one after the other.

    Parameters
    ----------
    label : str
        Who packs, for messages.
    nest : nest of array_like
        Floating; its shapes are what counts. Lists of numbers, also nested ones, are arrays.

    Attributes
    ----------
    vector : ndarray, shape (n,), float64
        The nest as a vector.

    Raises
    ------
    DtypeError
        If something is not floating.
    ShapeError
        If a list is ragged, or there is no array at all.
    """

    def __init__(self, label: str, nest: Any) -> None:
        self._label = label
        leaves, self._tree = flatten(nest, _is_array)
        arrays = [_as_array(label, leaf) for leaf in leaves]
        if not arrays:
            raise ShapeError(at_user_line(f"{label}: the start has no arrays, so there is nothing to vary"))
        for array in arrays:
            if not is_floating(array.dtype):
                raise DtypeError(
                    at_user_line(
                        f"{label}: what is varied must be floating, got {array.dtype.name}{list(array.shape)}; write "
                        "it as floats"
                    )
                )
        self.shapes = tuple(array.shape for array in arrays)
        self.vector = _joined(arrays)

    def flatten(self, nest: Any) -> np.ndarray:
        """A nest of the same structure as a vector.

        Raises
        ------
        ShapeError
            If its structure or a shape is another.
        """
        leaves = flatten_up_to(self._tree, nest)
        arrays = [_as_array(self._label, leaf) for leaf in leaves or ()]
        if leaves is None or tuple(array.shape for array in arrays) != self.shapes:
            shapes = [np.shape(leaf) for leaf in flatten(nest, _is_array)[0]]
            raise ShapeError(
                at_user_line(
                    f"{self._label}: a nest with arrays of shapes {shapes} where the start has {list(self.shapes)}"
                )
            )
        return _joined(arrays)

    def joined(self, nest: Any) -> Any:
        """The same of tensors, as one; None where structure or shapes are others."""
        leaves = flatten_up_to(self._tree, nest)
        values = [ops.astype(ops.asarray(leaf), FLOAT64) for leaf in leaves or ()]
        if leaves is None or tuple(value.shape for value in values) != self.shapes:
            return None
        return in_a_row(values)

    def unflatten(self, vector: Any) -> Any:
        """A vector as the nest; of a tensor the parts are tensors, of an array views."""
        parts, begin = [], 0
        for shape in self.shapes:
            end = begin + prod(shape)
            part = vector[begin:end]
            parts.append(part.reshape(shape) if isinstance(part, np.ndarray) else ops.reshape(part, shape))
            begin = end
        return unflatten(self._tree, parts)

    def checked(self, vector: Any) -> np.ndarray:
        """A vector as SciPy gives it, float64.

        Raises
        ------
        ShapeError
            If it has another length, or other axes.
        DtypeError
            If it holds no real numbers.
        """
        point = np.asarray(vector)
        if point.dtype != FLOAT64:
            if point.dtype.kind not in "biuf":
                raise DtypeError(
                    at_user_line(f"{self._label}: a vector of {point.dtype}, where real numbers are varied")
                )
            point = point.astype(FLOAT64)
        if point.shape != self.vector.shape:
            raise ShapeError(at_user_line(f"{self._label}: a vector of shape {point.shape}, not {self.vector.shape}"))
        return point


def in_a_row(values: Sequence[Any]) -> Any:
    """Tensors as one vector."""
    rows = [ops.reshape(value, (prod(value.shape),)) for value in values]
    return rows[0] if len(rows) == 1 else ops.concat(rows)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(array).astype(FLOAT64) for array in arrays])


def _is_array(nest: Any) -> bool:
    """Whether a list is one of numbers, which SciPy takes for an array; tuples are nests."""
    return isinstance(nest, list) and bool(nest) and all(map(_is_number_or_row, nest))


def _is_number_or_row(item: Any) -> bool:
    return type(item) in PYTHON_NUMBERS or isinstance(item, np.generic) or _is_array(item)


def _as_array(label: str, leaf: Any) -> np.ndarray:
    try:
        return np.asarray(leaf)
    except ValueError:
        raise ShapeError(at_user_line(f"{label}: a list is ragged: its rows have different lengths")) from None
