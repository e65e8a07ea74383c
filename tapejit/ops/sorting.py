"""Sorting: `sort` and `argsort`, along one axis, stable.

Floor 4. Descending order is ascending order of the flipped array, flipped back: equal elements keep their order, and in
kernels both flips are index maps.
"""

from math import log2
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, normalize_axis
from ..families import Case, as_array, booleans, integers, library_call, normal, spaced
from ..lowering import Routine
from ..primitive import in_role
from .annotations import ArrayLike
from .arithmetic import subtract
from .creation import arange
from .indexing import getitem, scatter_add
from .shaping import moveaxis, reshape
from .slicing import flip

if TYPE_CHECKING:
    from ..tensor import Tensor


def _comparisons(n: int) -> int:
    return int(n * log2(n)) if n else 0


def _places(x: Any) -> tuple[Any, ...]:
    """Where each element of the sorted array stood: an index."""
    shape: Shape = x.shape
    rank = len(shape)
    places = [
        reshape(arange(length), (1,) * axis + (length,) + (1,) * (rank - axis - 1))
        for axis, length in enumerate(shape[:-1])
    ]
    return (*places, _argsort(x))


def _put_back(ct: Any, x: Any) -> "Tensor":
    """The transpose of sorting the last axis: each cotangent goes to where its element came from."""
    return scatter_add(in_role("zeros")(x.shape, ct.dtype), _places(x), ct)


_argsort: Any = library_call(
    "argsort",
    inputs=("x",),
    impl=lambda x: np.argsort(x, axis=-1, kind="stable"),
    rule=lambda x: Aval(x.shape, np.dtype(np.int64)),
    vjp={},
    lowering=Routine("argsort", "(n)->(n)", _comparisons, below="n"),
    cases=(
        Case(spaced(5)),
        Case(integers(0, 3, 4, 20), axis=0),
        Case(integers(0, 3, 2, 3, 20), descending=True),
        Case(booleans(30)),
        Case(normal(0, 2)),
        Case(normal(3, 0)),
        Case(normal(1), descending=True),
    ),
    reference=lambda x, axis=-1, descending=False: np.argsort(
        np.negative(x, dtype=np.float64) if descending else x, axis, kind="stable"
    ),
)

_sort: Any = library_call(
    "sort",
    inputs=("x",),
    impl=lambda x: np.sort(x, axis=-1, kind="stable"),
    rule=lambda x: Aval(x.shape, x.dtype),
    vjp={"x": _put_back},
    jvp=lambda inputs, tangents, out, params: getitem(tangents[0], _places(inputs[0])),
    lowering=Routine("sort", "(n)->(n)", _comparisons),
    cases=(
        Case(spaced(5)),
        Case(spaced(4, 3), axis=0),
        Case(spaced(2, 3, 4), axis=1, descending=True),
        Case(spaced(2, 30)),
        Case(integers(-3, 3, 40), descending=True),
        Case(booleans(30)),
        Case(normal(0, 2)),
        Case(normal(3, 0)),
        Case(normal(1)),
    ),
    reference=lambda x, axis=-1, descending=False: np.flip(np.sort(x, axis), axis) if descending else np.sort(x, axis),
)


def sort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> "Tensor":
    """The elements in order along an axis.

    Parameters
    ----------
    x : array_like
        Any shape with an axis, any dtype.
    axis : int
        Along which axis; by default the last one.
    descending : bool
        Whether the largest element comes first.
    stable : bool
        Whether equal elements (0.0 and -0.0) keep their order. They do in any case.

    Returns
    -------
    Tensor, shape and dtype of `x`
        A new array. NaN counts as larger than all numbers: it comes last, or first if `descending`.

    Raises
    ------
    ShapeError
        If there is no such axis.

    Notes
    -----
    Linear between ties. The derivative puts each cotangent to where its element came from.

    Examples
    --------
    >>> tj.sort([3.0, 1.0, 2.0]).tolist(), tj.sort([3.0, 1.0, 2.0], descending=True).tolist()
    ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    """
    array = as_array(x, borrow=True)
    axis = normalize_axis("sort", axis, len(array.shape))
    rows = moveaxis(array, axis, -1)
    out = flip(_sort(flip(rows, -1)), -1) if descending else _sort(rows)
    return moveaxis(out, -1, axis)


def argsort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> "Tensor":
    """Where the elements of `sort` stood along the axis.

    Parameters
    ----------
    x : array_like
        Any shape with an axis, any dtype.
    axis : int
        Along which axis; by default the last one.
    descending : bool
        Whether the largest element comes first.
    stable : bool
        Whether equal elements (0.0 and -0.0) keep their order. They do in any case.

    Returns
    -------
    Tensor, shape of `x`
        int64. Not connected. NaN counts as larger than all numbers.

    Raises
    ------
    ShapeError
        If there is no such axis.

    Examples
    --------
    >>> tj.argsort([3.0, 1.0, 2.0]).tolist()
    [1, 2, 0]
    """
    array = as_array(x, borrow=True)
    axis = normalize_axis("argsort", axis, len(array.shape))
    rows: Any = moveaxis(array, axis, -1)
    out = subtract(rows.shape[-1] - 1, flip(_argsort(flip(rows, -1)), -1)) if descending else _argsort(rows)
    return moveaxis(out, -1, axis)
