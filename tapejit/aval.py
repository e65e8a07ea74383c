"""What is known of an array without its numbers: shape and dtype, and how both combine.

Floor 1. `Aval` is what rules compute with while a step is traced; `promote` is NumPy 2's promotion, in which a Python
number takes the dtype of the arrays that it meets.
"""

from collections.abc import Callable, Sequence
from math import prod
from operator import index as as_int
from typing import Any

import numpy as np

from .dataclass import dataclass
from .errors import DtypeError, NumberError, ShapeError, TapejitError, at_user_line

Shape = tuple[int, ...]

_MOST_ELEMENTS = 2**63 - 1

PYTHON_NUMBERS: dict[type, np.dtype] = {
    bool: np.dtype(np.bool_),
    int: np.dtype(np.int64),
    float: np.dtype(np.float64),
}


@dataclass(frozen=True, slots=True)
class Aval:
    """Shape and dtype of an array whose numbers may not exist yet.

    `weak` marks a traced Python number: like the number itself it takes the dtype of the arrays that it meets. No node
    of a graph is weak; weakness belongs to how a traced number is used.
    """

    shape: Shape
    dtype: np.dtype
    weak: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the contiguous array."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


def is_floating(dtype: np.dtype) -> bool:
    """Whether derivatives with respect to arrays of this dtype exist."""
    return dtype.kind == "f"


def broadcast_shapes(operation: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that NumPy's broadcasting gives.

    Raises
    ------
    ShapeError
        Naming the operation, the shapes and the axis that does not fit.
    """
    for shape in shapes:
        if shape != shapes[0]:
            break
    else:  # nearly always
        return shapes[0] if shapes else ()
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for position, length in enumerate(shape, rank - len(shape)):
            if length == 1 or length == result[position]:
                continue
            if result[position] != 1:
                listed = " and ".join(map(str, shapes))
                raise ShapeError(
                    at_user_line(
                        f"{operation}: shapes {listed} do not broadcast: axis {position - rank} has "
                        f"{result[position]} and {length}; make them equal, or one of them 1 with expand_dims"
                    )
                )
            result[position] = length
    return tuple(result)


def checked_int(operation: str, what: str, value: Any) -> int:
    """`value`, which a message calls `what`, as a Python int.

    Raises
    ------
    DtypeError
        If it is none, and no integer array with one element.
    """
    try:
        return as_int(value)
    except TapejitError:  # of a tensor, which knows better
        raise
    except TypeError:
        raise DtypeError(at_user_line(f"{operation}: {what} is an int, got {value!r:.80}")) from None


def normalize_axis(operation: str, axis: int, rank: int) -> int:
    """`axis` counted from the front.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    position = checked_int(operation, "an axis", axis)
    if not -rank <= position < rank:
        raise ShapeError(at_user_line(f"{operation}: axis {position} is out of range for an array with {rank} axes"))
    return position % rank


def normalize_axes(operation: str, axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted; all of them for None.

    Raises
    ------
    ShapeError
        If one is out of range or named twice.
    """
    if axis is None:
        return tuple(range(rank))
    if type(axis) is int:
        return (normalize_axis(operation, axis, rank),)
    axes = sorted(normalize_axis(operation, a, rank) for a in lengths_of(axis))
    if len(set(axes)) != len(axes):
        raise ShapeError(at_user_line(f"{operation}: axis {tuple(lengths_of(axis))} names an axis twice"))
    return tuple(axes)


def lengths_of(shape: Any) -> Sequence[Any]:
    """What a shape, or axes, list: the elements of a tuple, a list or an array with an axis; else it is one length."""
    if isinstance(shape, (tuple, list)):
        return shape
    is_listing = getattr(shape, "ndim", 0) == 1 and shape.dtype.kind in "iu"
    return shape.tolist() if is_listing else (shape,)


def checked_shape(operation: str, shape: Any) -> Shape:
    """`shape` as a tuple of non-negative ints.

    Raises
    ------
    ShapeError
        If a length is negative.
    DtypeError
        If a length is not an integer.
    """
    try:
        result = tuple(map(as_int, lengths_of(shape)))
    except TapejitError:
        raise
    except TypeError:
        raise DtypeError(at_user_line(f"{operation}: a shape is made of ints, got {shape!r:.80}")) from None
    if any(length < 0 for length in result):
        raise ShapeError(at_user_line(f"{operation}: negative length in shape {result}"))
    if prod(result) > _MOST_ELEMENTS:
        raise ShapeError(at_user_line(f"{operation}: shape {result} has more elements than an address can count"))
    return result


def without(shape: Shape, axes: Sequence[int]) -> Shape:
    """`shape` less some axes."""
    return tuple(length for axis, length in enumerate(shape) if axis not in axes)


def with_ones(shape: Shape, axes: Sequence[int]) -> Shape:
    """`shape` with length 1 at some axes, as a reduction with ``keepdims`` leaves it."""
    return tuple(1 if axis in axes else length for axis, length in enumerate(shape))


def parse_dtype(operation: str, dtype: Any) -> np.dtype:
    """`dtype` as a NumPy dtype; Python's ``float`` and ``int`` mean float64 and int64, as in NumPy.

    Raises
    ------
    DtypeError
        If NumPy knows no such dtype.
    """
    try:
        return np.dtype(dtype)  # type: ignore[no-any-return]
    except (TypeError, ValueError, SyntaxError):
        raise DtypeError(
            at_user_line(f"{operation}: {dtype!r} is not a dtype; use for example 'float32' or np.float64")
        ) from None


def in_dtype(numbers: Any, dtype: np.dtype) -> np.ndarray:
    """Python numbers, also nested, as an array of a dtype.

    Raises
    ------
    NumberError
        If the dtype can't hold one.
    """
    try:
        return np.array(numbers, dtype)
    except (OverflowError, ValueError) as error:
        words = str(error) if "bounds" in str(error) else f"{numbers!r:.80} can't be made {dtype.name}: {error}"
        raise NumberError(at_user_line(f"{words}; use a float, or a wider dtype")) from None


Kind = Any  # a numpy.dtype, or the Python type of a weak number
Resolution = tuple[np.dtype, ...]
Resolver = Callable[[tuple[Kind, ...]], Resolution]


def _with_numbers(kinds: tuple[Kind, ...]) -> list[Any]:
    """Arguments for `numpy.result_type`, which tells a Python number by its value's type."""
    return [kind(0) if isinstance(kind, type) else kind for kind in kinds]


def common_dtype(kinds: tuple[Kind, ...]) -> Resolution:
    """Every operand in NumPy's result type."""
    dtype = np.result_type(*_with_numbers(kinds))
    return (dtype,) * len(kinds)


def floating_dtype(kinds: tuple[Kind, ...]) -> Resolution:
    """Every operand in the dtype in which NumPy computes ``exp`` of their result type."""
    dtype = np.exp.resolve_dtypes((np.result_type(*_with_numbers(kinds)), None))[0]
    return (dtype,) * len(kinds)


def as_ufunc(ufunc: np.ufunc) -> Resolver:
    """The dtypes in which NumPy itself runs `ufunc`."""

    def resolve(kinds: tuple[Kind, ...]) -> Resolution:
        if all(isinstance(kind, type) for kind in kinds):
            known = tuple(PYTHON_NUMBERS[kinds[0]] for _ in kinds)
        else:  # a bool is no weak number to NumPy, it is of the lowest dtype
            known = tuple(PYTHON_NUMBERS[bool] if kind is bool else kind for kind in kinds)
        return tuple(ufunc.resolve_dtypes((*known, *([None] * ufunc.nout)))[: len(kinds)])

    return resolve
