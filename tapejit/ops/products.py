"""Products of matrices and vectors.

Floor 4. One primitive, `matmul` of two arrays with equal batch axes; all else is that between reshapes and
broadcasts, or a multiplication and a sum.
"""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape, broadcast_shapes, checked_int, normalize_axis
from ..errors import ShapeError, at_user_line
from ..families import Case, as_array, contraction, in_common_dtype, normal
from .annotations import ArrayLike
from .arithmetic import multiply
from .conversion import astype
from .reductions import sum as total
from .shaping import Apply, broadcast_to, moveaxis, permute_dims, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor


def _check_inner(x: Shape, y: Shape) -> None:
    """The last axis of x meets the last but one of y (its only one if it is a vector)."""
    if not x or not y:
        raise ShapeError(at_user_line(f"matmul: shapes {x} and {y}: a 0-d array is no matrix; multiply with *"))
    axis = -2 if len(y) > 1 else 0
    if x[-1] != y[axis]:
        raise ShapeError(
            at_user_line(
                f"matmul: shapes {x} and {y} do not fit: axis -1 of the first has length {x[-1]}, axis "
                f"{axis} of the "
                f"second {y[axis]}; transpose one with .mT, or reshape it"
            )
        )


def _matmul_rule(x: Aval, y: Aval) -> Aval:
    _check_inner(x.shape, y.shape)
    return Aval((*x.shape[:-1], y.shape[-1]), x.dtype)


_matmul: Apply = contraction(
    "matmul",
    impl=np.matmul,
    rule=_matmul_rule,
    vjp={
        "x": lambda ct, y: _matmul(ct, matrix_transpose(y)),
        "y": lambda ct, x: _matmul(matrix_transpose(x), ct),
    },
    cases=(
        Case(normal(2, 3), normal(3, 4)),
        Case(normal(3), normal(3)),
        Case(normal(2, 3), normal(3)),
        Case(normal(3), normal(2, 3, 2)),
        Case(normal(2, 2, 3), normal(3, 2)),
        Case(normal(2, 1, 2, 3), normal(4, 3, 1)),
        Case(normal(2, 0), normal(0, 3)),
        Case(normal(0, 2), normal(2, 3)),
    ),
)


def matmul(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Matrix product, ``x @ y``.

    Parameters
    ----------
    x : array_like, shape (..., n, k) or (k,)
        Any dtype; promoted with `y`.
    y : array_like, shape (..., k, m) or (k,)
        Leading axes broadcast. A vector is a row on the left and a column on the right.

    Returns
    -------
    Tensor, shape (..., n, m), without n or m where that operand is a vector
        A new array.

    Raises
    ------
    ShapeError
        If the inner axes differ, the leading ones do not broadcast, or an operand is 0-d.

    Notes
    -----
    With the cotangent c, the derivatives are ``c @ y.mT`` by x and ``x.mT @ c`` by y. A product over an axis
    of length 0 is 0.

    Examples
    --------
    >>> tj.matmul([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    if getattr(x, "ndim", 0) != 2 or getattr(y, "ndim", 0) != 2:
        # Views of an operand are made below, so it must not be the user's own memory.
        x, y = (operand if isinstance(operand, (int, float)) else as_array(operand) for operand in (x, y))
    left, right = in_common_dtype("matmul", (x, y))
    if len(left.shape) == 2 == len(right.shape):
        return _matmul(left, right)
    return _general(left, right)


def _general(x: Any, y: Any) -> "Tensor":
    shape, other = x.shape, y.shape
    _check_inner(shape, other)
    inner = shape[-1]
    if len(other) <= 2:  # all rows of x at once
        rows = reshape(x, (prod(shape[:-1]), inner))
        product = _matmul(rows, y if len(other) == 2 else reshape(y, (inner, 1)))
        return reshape(product, (*shape[:-1], *other[1:]))
    if len(shape) == 1:
        x = reshape(x, (1, inner))
    batch = broadcast_shapes("matmul", (x.shape[:-2], other[:-2]))
    product = _matmul(with_batch(x, batch), with_batch(y, batch))
    return reshape(product, (*batch, other[-1])) if len(shape) == 1 else product


def with_batch(x: Any, batch: Shape) -> Any:
    """The matrices with these leading axes."""
    return x if x.shape[:-2] == batch else broadcast_to(x, (*batch, *x.shape[-2:]))


def matrix_transpose(x: ArrayLike, /) -> "Tensor":
    """The last two axes of `x` exchanged.

    Parameters
    ----------
    x : array_like, shape (..., n, m)
        Any dtype.

    Returns
    -------
    Tensor, shape (..., m, n), dtype of `x`
        It shares the memory of `x`.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Notes
    -----
    Linear. The derivative is the same exchange.

    Examples
    --------
    >>> tj.matrix_transpose([[1, 2], [3, 4]]).tolist()
    [[1, 3], [2, 4]]
    """
    array = as_array(x)
    rank = len(array.shape)
    if rank < 2:
        raise ShapeError(
            at_user_line(f"matrix_transpose takes an array with two axes or more, got shape {array.shape}")
        )
    return permute_dims(array, (*range(rank - 2), rank - 1, rank - 2))


def tensordot(
    x: ArrayLike, y: ArrayLike, /, axes: int | tuple[int | Sequence[int], int | Sequence[int]] = 2
) -> "Tensor":
    """Product of two arrays, summed over pairs of axes.

    Parameters
    ----------
    x, y : array_like
        Any dtype; promoted to one.
    axes : int or pair of (sequences of) ints
        The last axes of x with the first of y, that many; or the axes of x and those of y.

    Returns
    -------
    Tensor, shape: the other axes of x, then the other axes of y
        A new array.

    Raises
    ------
    ShapeError
        If the axes of a pair differ in length, or are out of range or not paired.

    Notes
    -----
    The derivatives are tensordots of the cotangent with the other operand.

    Examples
    --------
    >>> tj.tensordot(tj.ones((2, 3)), tj.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    left, right = in_common_dtype("tensordot", (as_array(x), as_array(y)))
    summed, with_these = _pairs(axes, left.shape, right.shape)
    free = [axis for axis in range(len(left.shape)) if axis not in summed]
    other = [axis for axis in range(len(right.shape)) if axis not in with_these]
    rows, columns = [left.shape[axis] for axis in free], [right.shape[axis] for axis in other]
    inner = prod(left.shape[axis] for axis in summed)
    product = _matmul(
        reshape(permute_dims(left, (*free, *summed)), (prod(rows), inner)),
        reshape(permute_dims(right, (*with_these, *other)), (inner, prod(columns))),
    )
    return reshape(product, (*rows, *columns))


def _pairs(axes: Any, x: Shape, y: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of x and of y that are summed over."""
    if isinstance(axes, (tuple, list)):
        if len(axes) != 2:
            raise ShapeError(at_user_line(f"tensordot: axes {axes!r} must be an int or a pair"))
        left, right = (
            tuple(normalize_axis("tensordot", axis, len(shape)) for axis in (each if _is_several(each) else (each,)))
            for each, shape in zip(axes, (x, y), strict=True)
        )
    else:
        axes = checked_int("tensordot", "axes, unless it is a pair,", axes)
        if not 0 <= axes <= min(len(x), len(y)):
            raise ShapeError(at_user_line(f"tensordot: axes {axes} is out of range for shapes {x} and {y}"))
        left, right = tuple(range(len(x) - axes, len(x))), tuple(range(axes))
    paired = len(left) == len(right) == len(set(left)) == len(set(right))
    if not paired or any(x[one] != y[other] for one, other in zip(left, right, strict=True)):
        raise ShapeError(
            at_user_line(
                f"tensordot: axes {left} of shape {x} do not fit axes {right} of shape {y}: as many on "
                "both sides, "
                f"none twice, and of equal length"
            )
        )
    return left, right


def _is_several(axes: Any) -> bool:
    return isinstance(axes, (tuple, list))


def outer(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """All products of an element of `x` and an element of `y`, both flattened.

    Parameters
    ----------
    x, y : array_like, n and m elements
        Any numeric dtype; promoted to one.

    Returns
    -------
    Tensor, shape (n, m)
        A new array.

    Notes
    -----
    ``out[i, j] = x[i] * y[j]``. With the cotangent c, the derivatives are ``c @ y`` and ``x @ c``.

    Examples
    --------
    >>> tj.outer([1, 2], [3, 4]).tolist()
    [[3, 4], [6, 8]]
    """
    left, right = in_common_dtype("outer", (as_array(x), as_array(y)))
    columns, rows = reshape(left, (prod(left.shape), 1)), reshape(right, (1, prod(right.shape)))
    return multiply(columns, rows)  # type: ignore[no-any-return]


def vecdot(x: ArrayLike, y: ArrayLike, /, *, axis: int = -1) -> "Tensor":
    """Sum of the products along one axis.

    Parameters
    ----------
    x, y : array_like
        Any numeric dtype, promoted to one; equally long along `axis`, the other axes broadcast.
    axis : int
        The axis of each that is summed over.

    Returns
    -------
    Tensor
        A new array without that axis.

    Raises
    ------
    ShapeError
        If the lengths along `axis` differ, or the other axes do not broadcast.

    Notes
    -----
    ``out = Σ x y``. With the cotangent c, the derivatives are ``c y`` and ``c x``.

    Examples
    --------
    >>> tj.vecdot([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    left, right = in_common_dtype("vecdot", (as_array(x), as_array(y)))
    one, other = (normalize_axis("vecdot", axis, len(each.shape)) for each in (left, right))
    if left.shape[one] != right.shape[other]:
        raise ShapeError(
            at_user_line(
                f"vecdot: shapes {left.shape} and {right.shape} differ along axis {axis}: "
                f"{left.shape[one]} and "
                f"{right.shape[other]}"
            )
        )
    if one != len(left.shape) - 1:
        left = moveaxis(left, one, -1)
    if other != len(right.shape) - 1:
        right = moveaxis(right, other, -1)
    products = multiply(left, right)
    # Sums of narrow integers are wide, as in `numpy.sum`; NumPy's `vecdot` stays in the operands' dtype.
    return astype(total(products, -1), products.dtype)
