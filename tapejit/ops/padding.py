"""`pad`: what stands around an array, a constant or elements of its own.

Floor 4, above `joining`. With elements of its own an axis is put together of slices: NumPy pads an array of the places
0, 1, 2, …, and each run in it that goes up, down or stays is one slice.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DtypeError, ShapeError, at_user_line
from ..families import as_array
from .annotations import ArrayLike
from .arrangement import MOST_PARTS
from .indexing import take
from .joining import concat
from .shaping import broadcast_to
from .slicing import checked_widths, flip, pad_with, slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

_OF_ITS_OWN = ("edge", "reflect", "symmetric", "wrap")


def pad(x: ArrayLike, pad_width: Any, /, mode: str = "constant", *, constant_values: float = 0) -> "Tensor":
    """`x` with elements put before and after it along each axis.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.
    pad_width : int, (before, after), ((before, after), …) or dict
        How many elements: the same on all sides, on all axes, for each axis, or by axis.
    mode : str
        ``"constant"``; ``"edge"``: the element at the border; ``"reflect"``: mirrored at that element, which is not
        repeated; ``"symmetric"``: mirrored behind it; ``"wrap"``: from the other end.
    constant_values : bool, int or float
        What the constant is.

    Returns
    -------
    Tensor, dtype of `x`
        A new array.

    Raises
    ------
    ShapeError
        If `pad_width` is negative or does not fit the axes, or there are no elements to repeat.
    DtypeError
        If `constant_values` is not a number.
    ValueError
        For another mode.

    Notes
    -----
    Linear up to the constant. The derivative by an element is the sum of the cotangents of all places where it stands.

    Examples
    --------
    >>> tj.pad([1, 2], (1, 2), constant_values=9).tolist(), tj.pad([1, 2, 3], 2, "reflect").tolist()
    ([9, 1, 2, 9, 9], [3, 2, 1, 2, 3, 2, 1])
    """
    array: Any = as_array(x, borrow=True)
    if mode == "constant":
        if not isinstance(constant_values, (bool, int, float, np.number, np.bool_)):
            raise DtypeError(
                at_user_line(
                    f"pad: constant_values is one number, got {constant_values!r}; use concat for values of an array"
                )
            )
        return pad_with(array, pad_width, constant_values)
    if mode not in _OF_ITS_OWN:
        modes = ", ".join(map(repr, ("constant", *_OF_ITS_OWN)))
        raise ValueError(at_user_line(f"pad: mode {mode!r} is not supported; there are {modes}"))
    array = as_array(x)
    for axis, (before, after) in enumerate(checked_widths(pad_width, array.shape)):
        if before or after:
            array = _arranged(array, axis, _places(array.shape, axis, (before, after), mode))
    return array  # type: ignore[no-any-return]


def _places(shape: tuple[int, ...], axis: int, widths: tuple[int, int], mode: Any) -> list[int]:
    """Where the elements of the padded axis come from."""
    if not shape[axis]:
        raise ShapeError(at_user_line(f"pad: axis {axis} of shape {shape} has no elements to repeat; use 'constant'"))
    return np.pad(np.arange(shape[axis]), widths, mode).tolist()  # type: ignore[no-any-return]


def _arranged(x: Any, axis: int, places: list[int]) -> Any:
    """The elements of an axis at `places`, run by run."""
    runs = list(_runs(places))
    if len(runs) > MOST_PARTS:
        return take(x, np.array(places), axis=axis)
    return concat([_run(x, axis, *run) for run in runs], axis=axis)


def _runs(places: list[int]) -> Iterator[tuple[int, int, int]]:
    """The first place of each run, how many there are, and the step: 1, 0 or -1."""
    start = 0
    while start < len(places):
        stop, step = start + 1, 1
        if stop < len(places) and abs(places[stop] - places[start]) <= 1:
            step = places[stop] - places[start]
            while stop < len(places) and places[stop] - places[stop - 1] == step:
                stop += 1
        yield places[start], stop - start, step
        start = stop


def _run(x: Any, axis: int, first: int, count: int, step: int) -> Any:
    if step == 0:
        part = slice_axis(x, axis, first, first + 1)
        return broadcast_to(part, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    if step > 0:
        return slice_axis(x, axis, first, first + count)
    return flip(slice_axis(x, axis, first - count + 1, first + 1), axis)
