"""Shifts of the bits of integers.

Floor 4, beside `arithmetic`, which has the other operations on bits.
"""

from typing import TYPE_CHECKING

import numpy as np

from ..families import elementwise, integers
from .annotations import ArrayLike

if TYPE_CHECKING:
    from ..tensor import Tensor

_INTEGERS = "iu"


@elementwise(
    impl=np.left_shift, kernel="left_shift(x, y)", dtypes=_INTEGERS, samples=(integers(0, 100), integers(0, 9)),
    reference=np.left_shift,
)  # fmt: skip
def bitwise_left_shift(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``x << y``: the bits of integers moved up by `y` places; zeros come in.

    Parameters
    ----------
    x, y : array_like, integer
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype; bits that are moved out are lost. 0 where `y` is negative or not
        below the number of bits. Not differentiable.

    Raises
    ------
    DtypeError
        For floating operands.

    Examples
    --------
    >>> tj.bitwise_left_shift([1, 3], 2).numpy()
    array([ 4, 12])
    """


@elementwise(
    impl=np.right_shift, kernel="right_shift(x, y)", dtypes=_INTEGERS, samples=(integers(-100, 100), integers(0, 9)),
    reference=np.right_shift,
)  # fmt: skip
def bitwise_right_shift(x: ArrayLike, y: ArrayLike, /) -> "Tensor":
    """``x >> y``: the bits of integers moved down by `y` places: ``floor(x / 2**y)``.

    Parameters
    ----------
    x, y : array_like, integer
        Shapes that broadcast against each other.

    Returns
    -------
    Tensor
        The broadcast shape, the common dtype. Where `y` is negative or not below the number of bits it is 0, -1
        for negative `x`. Not differentiable.

    Raises
    ------
    DtypeError
        For floating operands.

    Examples
    --------
    >>> tj.bitwise_right_shift([16, -5], 2).numpy()
    array([ 4, -2])
    """
