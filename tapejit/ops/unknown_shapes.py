"""Functions whose results have a shape that depends on values: `nonzero`, `argwhere`, `unique_values` and its like.

Floor 4, above `indexing`. A compiled step can't hold them: there they say what to use instead.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ConcretizationError, ShapeError, at_user_line
from ..families import as_array
from .annotations import ArrayLike
from .indexing import take
from .shaping import ravel

if TYPE_CHECKING:
    from ..tensor import Tensor


def numbers_of(array: Any, operation: str, way: str) -> np.ndarray:
    """The numbers of a tensor, on which the shape of a result depends.

    Raises
    ------
    ConcretizationError
        If the tensor is traced, with `way` to do without.
    """
    try:
        return array.numpy()  # type: ignore[no-any-return]
    except ConcretizationError:
        raise ConcretizationError(
            at_user_line(
                f"{operation}: the shape of its result depends on the values of {array.aval}, which a compiled step "
                f"has only when it runs, while its shapes are known before; {way}, or call it outside of the step"
            )
        ) from None


def nonzero(x: ArrayLike, /) -> "tuple[Tensor, ...]":
    """Where elements are not zero: an index array for each axis. In eager mode only.

    Parameters
    ----------
    x : array_like
        Any shape with an axis; nan is not zero.

    Returns
    -------
    tuple of Tensor
        int64, in row-major order. Not connected.

    Raises
    ------
    ShapeError
        If `x` has no axis.
    ConcretizationError
        In a compiled step, whose shapes can't depend on values.

    Examples
    --------
    >>> [each.tolist() for each in tj.nonzero([[0, 1], [2, 0]])]
    [[0, 1], [1, 0]]
    """
    array = as_array(x)
    if not array.shape:
        raise ShapeError(at_user_line("nonzero takes an array with an axis, got a 0-d one; use reshape(x, 1)"))
    numbers = numbers_of(array, "nonzero", "use tj.where(condition, x, y) or tj.count_nonzero")
    return tuple(as_array(places) for places in np.nonzero(numbers))  # type: ignore[misc]


def argwhere(x: ArrayLike, /) -> "Tensor":
    """Where elements are not zero: an index tuple for each. In eager mode only.

    Parameters
    ----------
    x : array_like
        Any shape; nan is not zero.

    Returns
    -------
    Tensor, shape (count, number of axes)
        int64, in row-major order. Not connected.

    Raises
    ------
    ConcretizationError
        In a compiled step, whose shapes can't depend on values.

    Examples
    --------
    >>> tj.argwhere([[0, 1], [2, 0]]).tolist()
    [[0, 1], [1, 0]]
    """
    numbers = numbers_of(as_array(x), "argwhere", "use tj.where(condition, x, y) or tj.count_nonzero")
    return as_array(np.argwhere(numbers))  # type: ignore[return-value]


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Any
    inverse_indices: Any


def _unique(operation: str, x: ArrayLike) -> UniqueAll:
    array = as_array(x)
    numbers = numbers_of(array, operation, "sort the elements with tj.sort and compare neighbours")
    _, indices, inverse, counts = np.unique(numbers, True, True, True, equal_nan=False)
    values = take(ravel(array), indices)
    return UniqueAll(values, as_array(indices), as_array(inverse.reshape(numbers.shape)), as_array(counts))


def unique_all(x: ArrayLike, /) -> UniqueAll:
    """The different elements in ascending order, where they first stand, and how often. In eager mode only.

    Parameters
    ----------
    x : array_like
        Any shape and dtype; each nan differs from all others.

    Returns
    -------
    values : Tensor, shape (n,), dtype of `x`
        Connected to the first of the elements that are equal.
    indices : Tensor, shape (n,)
        Where these stand in the flattened array.
    inverse_indices : Tensor, shape of `x`
        For each element where it stands among the values.
    counts : Tensor, shape (n,)
        How often each value occurs.

    Raises
    ------
    ConcretizationError
        In a compiled step, whose shapes can't depend on values.

    Examples
    --------
    >>> found = tj.unique_all([2, 1, 2])
    >>> found.values.tolist(), found.indices.tolist(), found.inverse_indices.tolist(), found.counts.tolist()
    ([1, 2], [1, 0], [1, 0, 1], [1, 2])
    """
    return _unique("unique_all", x)


def unique_counts(x: ArrayLike, /) -> UniqueCounts:
    """The different elements in ascending order and how often each occurs; see `unique_all`. In eager mode only.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.

    Returns
    -------
    values, counts : Tensor, shape (n,)

    Raises
    ------
    ConcretizationError
        In a compiled step, whose shapes can't depend on values.

    Examples
    --------
    >>> tj.unique_counts([2, 1, 2]).counts.tolist()
    [1, 2]
    """
    found = _unique("unique_counts", x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: ArrayLike, /) -> UniqueInverse:
    """The different elements in ascending order, and for each element where; see `unique_all`. In eager mode only.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.

    Returns
    -------
    values : Tensor, shape (n,)
    inverse_indices : Tensor, shape of `x`

    Raises
    ------
    ConcretizationError
        In a compiled step, whose shapes can't depend on values.

    Examples
    --------
    >>> tj.unique_inverse([2, 1, 2]).inverse_indices.tolist()
    [1, 0, 1]
    """
    found = _unique("unique_inverse", x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: ArrayLike, /) -> "Tensor":
    """The different elements in ascending order; see `unique_all`. In eager mode only.

    Parameters
    ----------
    x : array_like
        Any shape and dtype.

    Returns
    -------
    Tensor, shape (n,), dtype of `x`

    Raises
    ------
    ConcretizationError
        In a compiled step, whose shapes can't depend on values.

    Examples
    --------
    >>> tj.unique_values([2, 1, 2]).tolist()
    [1, 2]
    """
    return _unique("unique_values", x).values  # type: ignore[no-any-return]
