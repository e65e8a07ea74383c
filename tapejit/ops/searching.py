"""Places of values in an order: `searchsorted`, `digitize`.

Floor 4, above `slicing`. In kernels a binary search.
"""

from math import log2
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval
from ..errors import ShapeError, at_user_line
from ..families import Case, floats, in_common_dtype, library_call, normal
from ..lowering import Routine
from .annotations import ArrayLike
from .arithmetic import subtract
from .comparison import greater_equal, where
from .indexing import take
from .shaping import ravel, reshape
from .slicing import flip, slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

_INT64 = np.dtype(np.int64)


_ENDS = np.array([-np.inf, 1.0, np.inf, np.nan])


def _sorted(*shape: int) -> Any:
    return floats(lambda generator: np.sort(generator.standard_normal(shape)))


def _search(name: str, side: Any) -> Any:
    """A primitive that looks in each row of `x` for the values of the same row."""

    def reference(x: np.ndarray, values: np.ndarray) -> Any:
        return np.asarray(np.searchsorted(x, values, side))

    def impl(x: np.ndarray, values: np.ndarray) -> np.ndarray:
        out = np.empty(values.shape, np.int64)
        for row in np.ndindex(*values.shape[:-1]):
            out[row] = np.searchsorted(x[row], values[row], side)
        return out

    return library_call(
        name,
        inputs=("x", "values"),
        impl=impl,
        rule=lambda x, values: Aval(values.shape, _INT64),
        vjp={},
        lowering=Routine(name, "(n),(m)->(m)", lambda n, m: m * int(log2(n + 1) + 1)),
        reference=reference,
        cases=(
            Case(_sorted(7), normal(5)),
            Case(_sorted(1), normal(3)),
            Case(_sorted(0), normal(2)),
            Case(_sorted(4), normal(0)),
            Case(floats(lambda _: np.array([-1.0, 0, 0, 0, 2])), floats(lambda _: np.arange(-2.0, 4.0))),
            Case(floats(lambda _: _ENDS), floats(lambda _: _ENDS[::-1].copy())),
        ),
    )


_SEARCHES = {"left": _search("search_left", "left"), "right": _search("search_right", "right")}


def searchsorted(
    x: ArrayLike, values: ArrayLike, /, *, side: str = "left", sorter: ArrayLike | None = None
) -> "Tensor":
    """Where values would be put into an array in ascending order, so that it stays in order.

    Parameters
    ----------
    x : array_like, shape (n,)
        In ascending order, or put into it by `sorter`. nan counts as larger than all numbers.
    values : array_like
        Any shape; promoted with `x` to one dtype.
    side : str
        Whether a value goes to the ``"left"`` of equal elements or to their ``"right"``.
    sorter : array_like, shape (n,), integer, optional
        What `argsort` gives for `x`.

    Returns
    -------
    Tensor, shape of `values`
        int64, from 0 to n. Not connected.

    Raises
    ------
    ShapeError
        If `x` does not have one axis.
    ValueError
        For another `side`.

    Examples
    --------
    >>> tj.searchsorted([1.0, 2.0, 3.0], [0.0, 2.0, 5.0]).tolist()
    [0, 1, 3]
    """
    if side not in _SEARCHES:
        raise ValueError(at_user_line(f"searchsorted: side is 'left' or 'right', got {side!r:.80}"))
    row, wanted = in_common_dtype("searchsorted", (x, values))
    if len(row.shape) != 1:
        raise ShapeError(at_user_line(f"searchsorted looks in an array with one axis, got shape {row.shape}"))
    if sorter is not None:
        row = take(row, sorter)
    return reshape(_SEARCHES[side](row, ravel(wanted)), wanted.shape)


def digitize(x: ArrayLike, bins: ArrayLike, /, *, right: bool = False) -> "Tensor":
    """In which of the intervals between `bins` each element is.

    Parameters
    ----------
    x : array_like
        Any shape; promoted with `bins` to one dtype.
    bins : array_like, shape (n,)
        Borders in ascending or descending order.
    right : bool
        Whether an interval has its right border rather than its left one.

    Returns
    -------
    Tensor, shape of `x`
        int64, from 0 (before all borders) to n (behind all). Not connected.

    Raises
    ------
    ShapeError
        If `bins` does not have one axis.

    Examples
    --------
    >>> tj.digitize([0.5, 1.0, 7.0], [1.0, 2.0, 3.0]).tolist()
    [0, 1, 3]
    """
    values, borders = in_common_dtype("digitize", (x, bins))
    if len(borders.shape) != 1:
        raise ShapeError(at_user_line(f"digitize: bins have one axis, got shape {borders.shape}"))
    side = "left" if right else "right"
    ascending: Any = searchsorted(borders, values, side=side)
    count = borders.shape[0]
    if count < 2:
        return ascending  # type: ignore[no-any-return]
    descending = subtract(count, searchsorted(flip(borders), values, side=side))
    first, last = (reshape(slice_axis(borders, 0, at, at + 1), ()) for at in (0, count - 1))
    return where(greater_equal(last, first), ascending, descending)  # type: ignore[no-any-return]
