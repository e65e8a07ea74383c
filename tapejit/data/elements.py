"""Elements of data sets: nests of NumPy arrays, and how several become a batch and a batch becomes several.

The lowest module of this room.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..config import floatx
from ..errors import ShapeError, at_user_line
from ..pytree import TreeDef, flatten, leaf_paths, unflatten


def as_element(value: Any) -> Any:
    """A value as an element: what is in tuples and dicts as arrays, lists of numbers and of arrays each as one.

    Python floats have the dtype of ``tj.floatx()``.

    Raises
    ------
    ShapeError
        If a list has rows of several lengths.
    """
    if isinstance(value, dict):
        return {key: as_element(each) for key, each in value.items()}
    if isinstance(value, tuple):
        parts = [as_element(each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if value is None or isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(at_user_line(f"an element of a data set is an array, or a nest of arrays: {error}")) from error
    written = type(value) in (list, float) and array.dtype == np.float64 and not _holds_arrays(value)
    return array.astype(floatx()) if written else array


def _holds_arrays(value: Any) -> bool:
    """Whether the numbers in a list have a dtype of their own."""
    while isinstance(value, list) and value:
        value = value[0]
    return type(value) not in (bool, int, float, list)


def called(function: Callable[..., Any], element: Any) -> Any:
    """What a function makes of an element; a tuple is its arguments."""
    return function(*element) if type(element) is tuple else function(element)


def sliced(operation: str, nest: Any) -> tuple[list[np.ndarray], TreeDef, int]:
    """The arrays of a nest, their nest, and how many rows they have.

    Raises
    ------
    ShapeError
        If there is no array, one has no axis, or they don't have equally many rows.
    """
    nest = as_element(nest)
    leaves, tree = flatten(nest)
    if not leaves:
        raise ShapeError(at_user_line(f"{operation}: there is no array in {nest!r:.60}"))
    names = leaf_paths(nest, "tensors" if operation == "from_tensor_slices" else "element")
    for name, leaf in zip(names, leaves, strict=True):
        if not leaf.ndim:
            raise ShapeError(at_user_line(f"{operation}: {name} has no axis to take elements from; pass it as [x]"))
        if len(leaf) != len(leaves[0]):
            raise ShapeError(
                at_user_line(
                    f"{operation}: {name} has {len(leaf)} rows, {names[0]} has {len(leaves[0])}; an element takes one "
                    "row of each"
                )
            )
    return leaves, tree, len(leaves[0])


def rows(operation: str, nest: Any) -> Iterator[Any]:
    """The rows of a nest of arrays, one after the other."""
    leaves, tree, count = sliced(operation, nest)
    return (unflatten(tree, [leaf[number, ...] for leaf in leaves]) for number in range(count))


def stacked(elements: Sequence[Any], first: int) -> Any:
    """Elements as a batch, the first of which has the number `first`.

    Raises
    ------
    ShapeError
        If they are not alike.
    """
    leaves, tree = flatten(elements[0])
    columns: list[list[Any]] = [[leaf] for leaf in leaves]
    for number, element in enumerate(elements[1:], first + 1):
        others, other_tree = flatten(element)
        if other_tree != tree:
            raise ShapeError(at_user_line(f"batch: element {number} is another nest than element {first}"))
        for column, other in zip(columns, others, strict=True):
            if np.shape(other) != np.shape(column[0]):
                raise ShapeError(
                    at_user_line(
                        f"batch: element {number} has shape {np.shape(other)}, element {first} has "
                        f"{np.shape(column[0])}; give them one shape with map, for example by np.pad, or use batch(1)"
                    )
                )
            column.append(other)
    return unflatten(tree, [np.stack(column) for column in columns])
