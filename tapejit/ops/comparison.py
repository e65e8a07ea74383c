"""Comparisons, tests for special values, logic, and `where`: what makes and uses booleans.

Floor 4, below `arithmetic`. None of the results but that of `where` is connected: tapes end here.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..aval import floating_dtype
from ..families import ALL, FLOATING, booleans, elementwise, integers, normal, uniform
from .annotations import ArrayLike

if TYPE_CHECKING:
    from ..tensor import Tensor

_BOOL = np.dtype(np.bool_)
_NAN, _INF = float("nan"), float("inf")
_SMALL = integers(-2, 3)  # so that equal ones occur


@elementwise(
    impl=np.equal, kernel="x == y", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, _NAN, False), (0.0, -0.0, True), (_INF, _INF, True)),
)  # fmt: skip
def equal(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether ``x == y``, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected to its operands: a gradient through it is None.

    Notes
    -----
    ``nan`` equals nothing; ``0.0`` equals ``-0.0``.

    Examples
    --------
    >>> tj.equal([1, 2, 3], 2).numpy()
    array([False,  True, False])
    """


@elementwise(
    impl=np.not_equal, kernel="x != y", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, _NAN, True), (0.0, -0.0, False)),
)  # fmt: skip
def not_equal(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether ``x != y``, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected. ``nan`` differs from everything, itself included.

    Examples
    --------
    >>> tj.not_equal([1, 2, 3], 2).numpy()
    array([ True, False,  True])
    """


@elementwise(
    impl=np.less, kernel="x < y", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 1.0, False), (1.0, _NAN, False), (-_INF, _INF, True)),
)  # fmt: skip
def less(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether ``x < y``, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected. False where an operand is nan.

    Examples
    --------
    >>> tj.less([1, 2, 3], 2).numpy()
    array([ True, False, False])
    """


@elementwise(
    impl=np.less_equal, kernel="x <= y", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 1.0, False), (0.0, -0.0, True)),
)  # fmt: skip
def less_equal(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether ``x <= y``, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected. False where an operand is nan.

    Examples
    --------
    >>> tj.less_equal([1, 2, 3], 2).numpy()
    array([ True,  True, False])
    """


@elementwise(
    impl=np.greater, kernel="x > y", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 1.0, False), (_INF, 1.0, True)),
)  # fmt: skip
def greater(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether ``x > y``, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected. False where an operand is nan.

    Examples
    --------
    >>> tj.greater([1, 2, 3], 2).numpy()
    array([False, False,  True])
    """


@elementwise(
    impl=np.greater_equal, kernel="x >= y", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 1.0, False), (0.0, -0.0, True)),
)  # fmt: skip
def greater_equal(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether ``x >= y``, element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected. False where an operand is nan.

    Examples
    --------
    >>> tj.greater_equal([1, 2, 3], 2).numpy()
    array([False,  True,  True])
    """


@elementwise(
    impl=np.isnan, kernel="isnan(x)", dtypes=FLOATING, result=_BOOL, resolve=floating_dtype,
    samples=uniform(-3, 3), special=((_NAN, True), (_INF, False), (0.0, False)),
)  # fmt: skip
def isnan(x: ArrayLike, /) -> "Tensor":
    """Whether an element is nan.

    Parameters
    ----------
    x : array_like
        Any shape; integers are never nan.

    Returns
    -------
    Tensor
        Boolean, of the same shape. Not connected.

    Examples
    --------
    >>> tj.isnan([0.0, float("nan"), float("inf")]).numpy()
    array([False,  True, False])
    """


@elementwise(
    impl=np.isinf, kernel="isinf(x)", dtypes=FLOATING, result=_BOOL, resolve=floating_dtype,
    samples=uniform(-3, 3), special=((_NAN, False), (_INF, True), (-_INF, True)),
)  # fmt: skip
def isinf(x: ArrayLike, /) -> "Tensor":
    """Whether an element is inf or -inf.

    Parameters
    ----------
    x : array_like
        Any shape; integers are never infinite.

    Returns
    -------
    Tensor
        Boolean, of the same shape. Not connected.

    Examples
    --------
    >>> tj.isinf([0.0, float("nan"), float("-inf")]).numpy()
    array([False, False,  True])
    """


@elementwise(
    impl=np.isfinite, kernel="isfinite(x)", dtypes=FLOATING, result=_BOOL, resolve=floating_dtype,
    samples=uniform(-3, 3), special=((_NAN, False), (_INF, False), (1e30, True)),
)  # fmt: skip
def isfinite(x: ArrayLike, /) -> "Tensor":
    """Whether an element is neither nan nor infinite.

    Parameters
    ----------
    x : array_like
        Any shape; integers are always finite.

    Returns
    -------
    Tensor
        Boolean, of the same shape. Not connected.

    Examples
    --------
    >>> tj.isfinite([0.0, float("nan"), float("inf")]).numpy()
    array([ True, False, False])
    """


@elementwise(
    impl=np.logical_and, kernel="logical_and(x, y)", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 1.0, True), (0.0, _NAN, False)),
)  # fmt: skip
def logical_and(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether both operands are true (not zero), element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other; nan counts as true.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected.

    Examples
    --------
    >>> tj.logical_and([True, True, False], [True, False, False]).numpy()
    array([ True, False, False])
    """


@elementwise(
    impl=np.logical_or, kernel="logical_or(x, y)", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 0.0, True), (0.0, -0.0, False)),
)  # fmt: skip
def logical_or(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether one of the operands is true (not zero), element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other; nan counts as true.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected.

    Examples
    --------
    >>> tj.logical_or([True, True, False], [True, False, False]).numpy()
    array([ True,  True, False])
    """


@elementwise(
    impl=np.logical_xor, kernel="logical_xor(x, y)", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, 0.0, True), (2.0, 1.0, False)),
)  # fmt: skip
def logical_xor(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Whether exactly one of the operands is true (not zero), element by element.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other; nan counts as true.

    Returns
    -------
    Tensor
        Boolean, of the broadcast shape. Not connected.

    Examples
    --------
    >>> tj.logical_xor([True, True, False], [True, False, False]).numpy()
    array([False,  True, False])
    """


@elementwise(
    impl=np.logical_not, kernel="logical_not(x)", dtypes=ALL, result=_BOOL, samples=_SMALL,
    special=((_NAN, False), (0.0, True), (-0.0, True)),
)  # fmt: skip
def logical_not(x: ArrayLike, /) -> "Tensor":
    """Whether an element is false (zero).

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as true.

    Returns
    -------
    Tensor
        Boolean, of the same shape. Not connected.

    Examples
    --------
    >>> tj.logical_not([True, False]).numpy()
    array([False,  True])
    """


@elementwise(
    impl=np.where, kernel="select(condition, x, y)", dtypes=ALL, role="select",
    samples=(booleans(), normal(), normal()),
    partials={"x": 1, "y": 1},
    masks={"x": lambda condition: condition, "y": lambda condition: ~condition},
    special=((True, 1.0, _NAN, 1.0), (False, _INF, 2.0, 2.0)),
)  # fmt: skip
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Elements of `x` where `condition` holds, else of `y`.

    Parameters
    ----------
    condition : array_like, boolean
        Other dtypes are true where they are not zero.
    x, y : array_like
        All three shapes broadcast against each other. Both are computed everywhere.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype of `x` and `y`. Each operand gets the cotangent of its own
        elements, 0 elsewhere.

    Notes
    -----
    The branch that is not taken leaks neither nan nor inf into a gradient, whatever its own slope is there:
    ``where(x > 0, sqrt(x), 0)`` has slope 0 at x ≤ 0.

    Examples
    --------
    >>> x = tj.constant([-1.0, 4.0])
    >>> tj.where(x > 0, tj.sqrt(x), 0).numpy()
    array([0., 2.], dtype=float32)
    """
