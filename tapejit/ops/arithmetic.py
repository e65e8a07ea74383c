"""Addition to remainder, signs, the larger and the smaller, and operations on bits: what operators stand for.

Floor 4, above `comparison`. Powers are in `powers`, functions such as `exp` in `elementwise`.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DtypeError, at_user_line
from ..families import ALL, INTEGRAL, NUMERIC, as_array, elementwise, integers, normal, spaced, uniform
from .annotations import ArrayLike
from .comparison import isnan, where

if TYPE_CHECKING:
    from ..tensor import Tensor

_NAN, _INF = float("nan"), float("inf")


@elementwise(
    impl=np.add, kernel="x + y", dtypes=ALL, samples=normal(), role="add", neutral=((0, -0.0), (1, -0.0)),
    partials={"x": 1, "y": 1}, special=((_INF, -_INF, _NAN), (-0.0, 0.0, 0.0)),
)  # fmt: skip
def add(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Sum of two arrays, element by element: ``x + y``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other. Booleans are combined by "or", as in NumPy.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The partial derivatives are 1 and 1.

    Examples
    --------
    >>> tj.add([1.0, 2.0], 0.5).numpy()
    array([1.5, 2.5], dtype=float32)
    """


@elementwise(
    impl=np.subtract, kernel="x - y", dtypes=NUMERIC, samples=normal(), neutral=((1, 0.0),),
    partials={"x": 1, "y": -1}, special=((_INF, _INF, _NAN), (0.0, 0.0, 0.0)),
)  # fmt: skip
def subtract(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Difference of two arrays, element by element: ``x - y``.

    Parameters
    ----------
    x, y : array_like, numeric
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The partial derivatives are 1 and -1.

    Raises
    ------
    DtypeError
        For booleans: use ``^``.

    Examples
    --------
    >>> tj.subtract([1.0, 2.0], 0.5).numpy()
    array([0.5, 1.5], dtype=float32)
    """


@elementwise(
    impl=np.multiply, kernel="x * y", dtypes=ALL, samples=normal(), neutral=((0, 1), (1, 1)),
    partials={"x": lambda y: y, "y": lambda x: x}, special=((0.0, _INF, _NAN), (-1.0, 0.0, -0.0)),
    slopes=((0.0, 3.0, 3.0),),
)  # fmt: skip
def multiply(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Product of two arrays, element by element: ``x * y``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other. Booleans are combined by "and", as in NumPy.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The partial derivatives are `y` and `x`.

    Examples
    --------
    >>> tj.multiply([1.0, 2.0], 0.5).numpy()
    array([0.5, 1. ], dtype=float32)
    """


@elementwise(
    impl=np.divide, kernel="x / y", dtypes=NUMERIC, samples=(normal(), uniform(0.5, 2.0)), cost=4,
    neutral=((1, 1),),
    vjp={"x": lambda ct, y: ct / y, "y": lambda ct, y, out: -(ct * out / y)},
    special=((1.0, 0.0, _INF), (-1.0, 0.0, -_INF), (0.0, 0.0, _NAN), (1.0, _INF, 0.0)),
    slopes=((0.0, 4.0, 0.25),),
)  # fmt: skip
def divide(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Quotient of two arrays, element by element: ``x / y``.

    Parameters
    ----------
    x, y : array_like, numeric
        Shapes that broadcast against each other. Integers are divided as float64.

    Returns
    -------
    Tensor
        The broadcast shape, floating. The partial derivatives are ``1 / y`` and ``-x / y**2``.

    Notes
    -----
    ``1 / 0`` is inf and ``0 / 0`` is nan, without a warning.

    Examples
    --------
    >>> tj.divide([1.0, 2.0], 4.0).numpy()
    array([0.25, 0.5 ], dtype=float32)
    """


@elementwise(
    impl=np.floor_divide, kernel="floor_divide(x, y)", dtypes=NUMERIC, cost=6,
    samples=(uniform(-9, 9), uniform(0.5, 2.0)),
    special=((-7.0, 2.0, -4.0), (7.0, -2.0, -4.0), (0.0, 0.0, _NAN)),
)  # fmt: skip
def floor_divide(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Quotient rounded towards minus infinity: ``x // y``.

    Parameters
    ----------
    x, y : array_like, numeric
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. Not connected, as it is piecewise constant.

    Notes
    -----
    An integer divided by 0 gives 0, as in NumPy.

    Examples
    --------
    >>> tj.floor_divide([7, -7], 2).numpy()
    array([ 3, -4])
    """


@elementwise(
    impl=np.remainder, kernel="remainder(x, y)", dtypes=NUMERIC, cost=6,
    samples=(uniform(-2.4, -2.1), uniform(0.9, 1.0)),
    partials={"x": 1, "y": lambda x, y: -floor_divide(x, y)},
    special=((-7.0, 2.0, 1.0), (7.0, -2.0, -1.0), (1.0, 0.0, _NAN), (1.0, _INF, 1.0)),
    slopes=((4.0, 2.0, 1.0),),
)  # fmt: skip
def remainder(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """Remainder with the sign of the divisor: ``x % y``, that is ``x - y * floor(x / y)``.

    Parameters
    ----------
    x, y : array_like, numeric
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The partial derivatives are 1 and ``-floor(x / y)``, also where
        the value jumps.

    Notes
    -----
    A float's remainder by 0 is nan, an integer's is 0.

    Examples
    --------
    >>> tj.remainder([7.5, -7.5], 2.0).numpy()
    array([1.5, 0.5], dtype=float32)
    """


@elementwise(
    impl=np.negative,
    kernel="-x",
    dtypes=NUMERIC,
    samples=normal(),
    involution=True,
    partials={"x": -1},
    special=((0.0, -0.0),),
)
def negative(x: ArrayLike, /) -> "Tensor":
    """``-x``, element by element.

    Parameters
    ----------
    x : array_like, numeric
        Any shape. Unsigned integers wrap, as in NumPy.

    Returns
    -------
    Tensor
        Same shape and dtype. The derivative is -1.

    Raises
    ------
    DtypeError
        For booleans: use ``~``.

    Examples
    --------
    >>> tj.negative([1.0, -2.0]).numpy()
    array([-1.,  2.], dtype=float32)
    """


def positive(x: ArrayLike, /) -> "Tensor":
    """``+x``: the array itself.

    Parameters
    ----------
    x : array_like, numeric
        Any shape.

    Returns
    -------
    Tensor
        `x` if it is a tensor, else a tensor made of it.

    Raises
    ------
    DtypeError
        For booleans.

    Examples
    --------
    >>> tj.positive([1.0, -2.0]).numpy()
    array([ 1., -2.], dtype=float32)
    """
    array = as_array(x)
    if array.dtype.kind not in NUMERIC:
        raise DtypeError(at_user_line(f"positive takes numeric arrays, got {array.aval}"))
    return array  # type: ignore[return-value]


@elementwise(
    impl=np.sign, kernel="sign(x)", dtypes=NUMERIC, samples=spaced(), partials={"x": 0},
    special=((0.0, 0.0), (_INF, 1.0), (-_INF, -1.0), (_NAN, _NAN)), slopes=((0.0, 0.0), (2.0, 0.0)),
)  # fmt: skip
def sign(x: ArrayLike, /) -> "Tensor":
    """-1, 0 or 1, element by element.

    Parameters
    ----------
    x : array_like, numeric
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype. The derivative is 0 everywhere; it is connected, so a gradient is 0 and not
        None.

    Notes
    -----
    ``sign(nan)`` is nan, ``sign(-0.0)`` is 0.

    Examples
    --------
    >>> tj.sign([-3.0, 0.0, 5.0]).numpy()
    array([-1.,  0.,  1.], dtype=float32)
    """


@elementwise(
    impl=np.absolute, kernel="absolute(x)", dtypes=ALL, samples=spaced(), partials={"x": sign},
    special=((-0.0, 0.0), (-_INF, _INF), (_NAN, _NAN)), slopes=((0.0, 0.0), (-2.0, -1.0), (_NAN, _NAN)),
)  # fmt: skip
def abs(x: ArrayLike, /) -> "Tensor":
    """Absolute value, element by element.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype. The derivative is ``sign(x)``, which is 0 at 0.

    Examples
    --------
    >>> tj.abs([-3.0, 0.0, 5.0]).numpy()
    array([3., 0., 5.], dtype=float32)
    """


@elementwise(
    impl=np.maximum, kernel="maximum(x, y)", dtypes=ALL, samples=(spaced(), uniform(-0.02, 0.02)),
    vjp={"x": lambda ct, out: where(isnan(out), _NAN, ct), "y": lambda ct, out: where(isnan(out), _NAN, ct)},
    masks={"x": lambda x, y: ~(x < y), "y": lambda x, y: ~(x >= y)},
    special=((_NAN, 1.0, _NAN), (1.0, _NAN, _NAN), (-_INF, 2.0, 2.0)),
    slopes=((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 2.0, 0.0), (1.0, _NAN, _NAN), (_NAN, 1.0, _NAN)),
)  # fmt: skip
def maximum(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The larger of two elements.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The derivative is 1 for the larger operand and 0 for the other;
        `x` gets it where they tie.

    Notes
    -----
    If an operand is nan so is the result, and so are both derivatives.

    Examples
    --------
    >>> tj.maximum([-1.0, 2.0], 0.0).numpy()
    array([0., 2.], dtype=float32)
    """


@elementwise(
    impl=np.minimum, kernel="minimum(x, y)", dtypes=ALL, samples=(spaced(), uniform(-0.02, 0.02)),
    vjp={"x": lambda ct, out: where(isnan(out), _NAN, ct), "y": lambda ct, out: where(isnan(out), _NAN, ct)},
    masks={"x": lambda x, y: ~(x > y), "y": lambda x, y: ~(x <= y)},
    special=((_NAN, 1.0, _NAN), (1.0, _NAN, _NAN), (-_INF, 2.0, -_INF)),
    slopes=((1.0, 1.0, 1.0), (2.0, 1.0, 0.0), (1.0, 2.0, 1.0), (1.0, _NAN, _NAN), (_NAN, 1.0, _NAN)),
)  # fmt: skip
def minimum(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """The smaller of two elements.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. The derivative is 1 for the smaller operand and 0 for the
        other; `x` gets it where they tie.

    Notes
    -----
    If an operand is nan so is the result, and so are both derivatives.

    Examples
    --------
    >>> tj.minimum([-1.0, 2.0], 0.0).numpy()
    array([-1.,  0.], dtype=float32)
    """


@elementwise(impl=np.bitwise_and, kernel="x & y", dtypes=INTEGRAL, samples=integers(0, 100))
def bitwise_and(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``x & y``: "and" of booleans, or of the bits of integers.

    Parameters
    ----------
    x, y : array_like, boolean or integer
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. Not differentiable.

    Raises
    ------
    DtypeError
        For floating operands.

    Examples
    --------
    >>> tj.bitwise_and([12, 10], 6).numpy()
    array([4, 2])
    """


@elementwise(impl=np.bitwise_or, kernel="x | y", dtypes=INTEGRAL, samples=integers(0, 100))
def bitwise_or(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``x | y``: "or" of booleans, or of the bits of integers.

    Parameters
    ----------
    x, y : array_like, boolean or integer
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. Not differentiable.

    Raises
    ------
    DtypeError
        For floating operands.

    Examples
    --------
    >>> tj.bitwise_or([12, 10], 6).numpy()
    array([14, 14])
    """


@elementwise(impl=np.bitwise_xor, kernel="x ^ y", dtypes=INTEGRAL, samples=integers(0, 100))
def bitwise_xor(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``x ^ y``: "exclusive or" of booleans, or of the bits of integers.

    Parameters
    ----------
    x, y : array_like, boolean or integer
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. Not differentiable.

    Raises
    ------
    DtypeError
        For floating operands.

    Examples
    --------
    >>> tj.bitwise_xor([12, 10], 6).numpy()
    array([10, 12])
    """


@elementwise(impl=np.invert, kernel="~x", dtypes=INTEGRAL, samples=integers(0, 100))
def bitwise_invert(x: ArrayLike, /) -> "Tensor":
    """``~x``: "not" of booleans, or the bits of integers inverted.

    Parameters
    ----------
    x : array_like, boolean or integer
        Any shape.

    Returns
    -------
    Tensor
        Same shape and dtype. Not differentiable.

    Raises
    ------
    DtypeError
        For floating operands.

    Examples
    --------
    >>> tj.bitwise_invert([True, False]).numpy()
    array([False,  True])
    """
