"""`prod`, whose derivative is exact with any number of zeros among the factors, to every order.

Floor 4, above `slicing`. The derivative by a factor is the product of all others. Dividing the whole product
by the factor fails at 0, so the others are multiplied out: up a binary tree of pairs and down again, a
product of siblings at each level. Every step is a multiplication, so all higher derivatives are exact as
well.
"""

from collections.abc import Mapping, Sequence
from math import prod as _count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Shape, with_ones, without
from ..families import ALL, Case, integers, normal, reduction
from ..lowering import Reduction
from ..primitive import in_role
from .annotations import ArrayLike, Axis, DtypeLike
from .reductions import accumulated, spread
from .shaping import expand_dims, permute_dims, reshape
from .slicing import flip, pad_with, slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor


def _prod_vjp(ct: Any, x: Any, axes: tuple[int, ...], x_shape: Shape) -> Any:
    """``ct`` times the product of the other factors."""
    kept = with_ones(x_shape, axes)
    rest = tuple(axis for axis in range(len(x_shape)) if axis not in axes)
    order = rest + axes
    count = _count(x_shape[axis] for axis in axes)
    if count < 2:
        return spread(ct, axes, x_shape)
    factors = reshape(permute_dims(x, order), (*without(x_shape, axes), count))
    others = reshape(_others(factors), tuple(x_shape[axis] for axis in order))
    inverse = tuple(int(axis) for axis in np.argsort(order))
    return reshape(ct, kept) * permute_dims(others, inverse)


def _prod_jvp(inputs: Sequence[Any], tangents: Sequence[Any], out: Any, params: Mapping[str, Any]) -> Any:
    """The sum of each tangent times the other factors."""
    ones = in_role("ones")(out.shape, out.dtype)
    others = _prod_vjp(ones, inputs[0], params["axes"], inputs[0].shape)
    return in_role("sum")(tangents[0] * others, params["axes"])


def _others(x: Any) -> Any:
    """For each element of the last axis, two at least, the product of all others of that axis."""
    count = x.shape[-1]
    if count == 2:
        return flip(x, -1)
    odd = count % 2
    if odd:
        x = pad_with(x, [(0, 0)] * (len(x.shape) - 1) + [(0, 1)], 1)
    pairs = reshape(x, (*x.shape[:-1], x.shape[-1] // 2, 2))
    elsewhere = _others(prod(pairs, -1))
    out = reshape(expand_dims(elsewhere, -1) * flip(pairs, -1), x.shape)
    return slice_axis(out, len(out.shape) - 1, 0, count) if odd else out


@reduction(
    impl=lambda x, *, axes: np.multiply.reduce(x, axis=axes),
    lowering=Reduction("multiply"),
    dtypes=ALL,
    vjp=_prod_vjp,
    jvp=_prod_jvp,
    accumulate=accumulated,
    identity=True,
    cases=(
        Case(normal(3, 4)),
        Case(normal(3, 4), axis=1, keepdims=True),
        Case(normal(2, 3, 4), axis=(0, -1)),
        Case(normal()),
        Case(normal(7)),
        Case(normal(2), axis=0),
        Case(normal(0, 3), axis=0),
        Case(normal(0, 3), axis=1),
        Case(normal(1, 5), axis=0),
        Case(integers(0, 9, 2, 3), axis=0),
    ),
)
def prod(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False, dtype: DtypeLike = None) -> "Tensor":
    """Product along axes.

    Parameters
    ----------
    x : array_like
        Any shape. Booleans and integers narrower than int64 are multiplied as int64 (unsigned: uint64).
    axis : int or sequence of int, optional
        What to multiply along; by default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.
    dtype : dtype, optional
        What to convert to before the product.

    Returns
    -------
    Tensor
        Without the axes. The derivative by an element is the product of the others, exact where elements are
        0. The product of nothing is 1.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Examples
    --------
    >>> tj.prod([[1.0, 2.0], [3.0, 4.0]], axis=0).numpy()
    array([3., 8.], dtype=float32)
    """
