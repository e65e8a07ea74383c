"""Products of vectors and arrays beside `matmul`: `dot`, `inner`, `vdot`, `cross`, `kron`.

Floor 4, above `products`, `slicing` and `joining`.
"""

from math import prod
from typing import TYPE_CHECKING

from ..aval import broadcast_shapes, normalize_axis
from ..errors import ShapeError, at_user_line
from ..families import as_array, in_common_dtype
from .annotations import ArrayLike
from .arithmetic import multiply
from .joining import concat
from .products import matmul, tensordot, vecdot
from .shaping import broadcast_to, ravel, reshape
from .slicing import slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor


def dot(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """NumPy's ``dot``: the last axis of `x` meets the last but one of `y`, or its only one.

    Parameters
    ----------
    x, y : array_like
        Any numeric dtype, promoted to one. With a 0-d operand it is a multiplication.

    Returns
    -------
    Tensor, shape: the other axes of x, then the other axes of y
        A new array.

    Raises
    ------
    ShapeError
        If the two axes differ in length.

    Notes
    -----
    The derivatives are such products of the cotangent with the other operand. For stacks of matrices use `matmul`.

    Examples
    --------
    >>> tj.dot([1, 2], [3, 4]).item()
    11
    """
    left, right = in_common_dtype("dot", (as_array(x), as_array(y)))
    if not left.shape or not right.shape:
        return multiply(left, right)  # type: ignore[no-any-return]
    if len(left.shape) <= 2 and len(right.shape) <= 2:
        return matmul(left, right)
    return tensordot(left, right, axes=(-1, max(len(right.shape) - 2, 0)))


def inner(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Sums of products over the last axes of both.

    Parameters
    ----------
    x, y : array_like
        Any numeric dtype, promoted to one. With a 0-d operand it is a multiplication.

    Returns
    -------
    Tensor, shape: the other axes of x, then the other axes of y
        A new array.

    Raises
    ------
    ShapeError
        If the last axes differ in length.

    Notes
    -----
    The derivatives are such products of the cotangent with the other operand.

    Examples
    --------
    >>> tj.inner([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    left, right = in_common_dtype("inner", (as_array(x), as_array(y)))
    if not left.shape or not right.shape:
        return multiply(left, right)  # type: ignore[no-any-return]
    return tensordot(left, right, axes=(-1, -1))


def vdot(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The sum of the products of all elements.

    Parameters
    ----------
    x, y : array_like
        Any numeric dtype, promoted to one; as many elements.

    Returns
    -------
    Tensor, shape ()
        A new array.

    Raises
    ------
    ShapeError
        If there are not as many elements in both.

    Notes
    -----
    With the cotangent c, the derivatives are ``c y`` and ``c x``.

    Examples
    --------
    >>> tj.vdot([[1, 2], [3, 4]], [[1, 1], [1, 1]]).item()
    10
    """
    return vecdot(ravel(x), ravel(y))


def cross(x: ArrayLike, y: ArrayLike, /, *, axis: int = -1) -> "Tensor":
    """Vector products of vectors with three elements.

    Parameters
    ----------
    x, y : array_like
        Any numeric dtype, promoted to one; of length 3 along `axis`, the shapes broadcast.
    axis : int
        The axis along the vectors.

    Returns
    -------
    Tensor
        The broadcast shape.

    Raises
    ------
    ShapeError
        If an operand has another length along the axis, or no such axis.

    Notes
    -----
    With the cotangent c, the derivatives are ``cross(y, c)`` and ``cross(c, x)``.

    Examples
    --------
    >>> tj.cross([1, 0, 0], [0, 1, 0]).tolist()
    [0, 0, 1]
    """
    left, right = in_common_dtype("cross", (as_array(x), as_array(y)))
    shape = broadcast_shapes("cross", [left.shape, right.shape])
    place = normalize_axis("cross", axis, len(shape))
    for each in (left, right):
        if each.shape[place - len(shape) :][:1] != (3,):
            raise ShapeError(
                at_user_line(
                    f"cross: shapes {left.shape} and {right.shape} must have length 3 along axis {axis}; for two "
                    "elements use x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]"
                )
            )
    one, other = broadcast_to(left, shape), broadcast_to(right, shape)
    a, b = ([slice_axis(each, place, at, at + 1) for at in range(3)] for each in (one, other))
    turns = ((1, 2), (2, 0), (0, 1))
    return concat([multiply(a[i], b[j]) - multiply(a[j], b[i]) for i, j in turns], axis=place)


def kron(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Kronecker product: `y` times each element of `x`, in the place of that element.

    Parameters
    ----------
    x, y : array_like
        Any numeric dtype, promoted to one; the one with fewer axes gets axes of length 1 in front.

    Returns
    -------
    Tensor
        Along each axis as long as both together multiply to.

    Notes
    -----
    Linear in both; the derivatives are sums of the cotangent times the other operand.

    Examples
    --------
    >>> tj.kron([1, 10], [1, 2]).tolist()
    [1, 2, 10, 20]
    """
    left, right = in_common_dtype("kron", (as_array(x), as_array(y)))
    rank = max(len(left.shape), len(right.shape))
    shapes = [(1,) * (rank - len(each.shape)) + each.shape for each in (left, right)]
    outer = reshape(left, tuple(length for each in shapes[0] for length in (each, 1)))
    inside = reshape(right, tuple(length for each in shapes[1] for length in (1, each)))
    return reshape(multiply(outer, inside), tuple(map(prod, zip(*shapes, strict=True))))
