"""`norm`: lengths of vectors, of any order.

Floor 4, above `powers` and `reductions`. The length 0 has the derivative 0, because `where` keeps what is behind the
root out of the gradient there.
"""

from math import inf
from typing import TYPE_CHECKING, Any

from ..errors import DtypeError, at_user_line
from ..families import as_array
from .annotations import ArrayLike, Axis
from .arithmetic import abs as size
from .comparison import equal, not_equal, where
from .compositions import floating
from .conversion import astype
from .elementwise import sqrt
from .powers import power, square
from .reductions import max as largest
from .reductions import min as smallest
from .reductions import sum as total

if TYPE_CHECKING:
    from ..tensor import Tensor


def norm(x: ArrayLike, /, ord: float = 2, *, axis: Axis = None, keepdims: bool = False) -> "Tensor":
    """Norm of vectors: ``sum(abs(x)**ord)**(1/ord)``.

    Parameters
    ----------
    x : array_like
        Any shape; integers are converted to float64.
    ord : int or float
        1 sums absolute values, 2 is the Euclidean length, inf the largest absolute value, -inf the smallest, 0 the
        number of elements that are not 0.
    axis : int or sequence of int, optional
        What makes a vector; by default all axes, also those of a matrix.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        Floating, without the axes. The norm of nothing is 0.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice, or has no elements with ``ord=inf``.
    DtypeError
        If `ord` is no number.

    Notes
    -----
    The derivative of the Euclidean norm is ``x / norm(x)``; at 0 it is 0, that of every order. By orders 1 and ±inf it
    is ``sign(x)``, which elements that tie share equally.

    Examples
    --------
    >>> tj.norm([3.0, -4.0]).item(), tj.norm([3.0, -4.0], 1).item(), tj.norm([3.0, -4.0], np.inf).item()
    (5.0, 7.0, 4.0)
    """
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise DtypeError(at_user_line(f"norm: ord is a number, got {ord!r:.80}; matrix norms are in tj.linalg"))
    array = floating("norm", as_array(x, borrow=True))
    if ord == 2:
        squares = total(square(array), axis, keepdims=keepdims)
        return _flat_at_zero(squares, sqrt(squares))
    if ord == 0:
        return total(astype(not_equal(array, 0), array.dtype), axis, keepdims=keepdims)  # type: ignore[no-any-return]
    sizes = size(array)
    if ord == 1:
        return total(sizes, axis, keepdims=keepdims)  # type: ignore[no-any-return]
    if ord in (inf, -inf):
        return (largest if ord > 0 else smallest)(sizes, axis, keepdims=keepdims)  # type: ignore[no-any-return]
    powers = power(sizes, ord)
    if 0 < ord < 2:  # powers of 0 have no slope, or no second one
        powers = where(equal(sizes, 0), 0, powers)
    sums = total(powers, axis, keepdims=keepdims)
    root = power(sums, 1 / ord)
    return _flat_at_zero(sums, root) if ord > 0 else root


def _flat_at_zero(sums: Any, root: Any) -> "Tensor":
    """The root of a sum; 0 without a slope where the sum is 0."""
    return where(equal(sums, 0), 0, root)  # type: ignore[no-any-return]
