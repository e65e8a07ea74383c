"""What lies under a kernel that moves over an array: a view, with an element of the array at several places.

Floor 4, above `slicing`. One linear primitive, `windows`, of which convolutions are products with their kernels.
"""

from collections.abc import Mapping
from functools import reduce
from itertools import product
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..families import Case, as_array, library_call, normal
from ..families.batching import shifted
from ..lowering import Affine, IndexMap, View
from .annotations import ArrayLike
from .shaping import Apply
from .slicing import unslice

if TYPE_CHECKING:
    from ..tensor import Tensor

Ints = tuple[int, ...]


def _impl(x: np.ndarray, *, lengths: Ints, taps: Ints, strides: Ints, dilations: Ints) -> np.ndarray:
    if 0 in lengths:
        return np.zeros(_shape(x.shape, lengths, taps), x.dtype)
    rank = len(lengths)
    steps = x.strides[-1 - rank : -1]
    moved = [step * stride for step, stride in zip(steps, strides, strict=True)]
    inner = [step * dilation for step, dilation in zip(steps, dilations, strict=True)]
    shape = _shape(x.shape, lengths, taps)
    every = (*x.strides[: -1 - rank], *moved, *inner, x.strides[-1])
    return np.lib.stride_tricks.as_strided(x, shape, every, writeable=False)


def _shape(shape: Shape, lengths: Ints, taps: Ints) -> Shape:
    return (*shape[: -1 - len(lengths)], *lengths, *taps, shape[-1])


def _index(input_shape: Shape, output_shape: Shape, params: Mapping[str, Any]) -> IndexMap:
    rank = len(params["lengths"])
    first = len(input_shape) - rank - 1
    places = (
        Affine.axis(first + axis, stride) + Affine.axis(first + rank + axis, dilation)
        for axis, (stride, dilation) in enumerate(zip(params["strides"], params["dilations"], strict=True))
    )
    return (*map(Affine.axis, range(first)), *places, Affine.axis(first + 2 * rank))


def _transpose(ct: Any, x_shape: Shape, lengths: Ints, taps: Ints, strides: Ints, dilations: Ints) -> Any:
    """Each place of the window back to where it was taken."""
    rank = len(lengths)
    first = len(x_shape) - rank - 1
    parts = []
    for place in product(*map(range, taps)):
        part = ct[(*(slice(None),) * (first + rank), *place)]
        starts = tuple(at * dilation for at, dilation in zip(place, dilations, strict=True))
        parts.append(unslice(part, x_shape, (*(0,) * first, *starts, 0), (*(1,) * first, *strides, 1)))
    return reduce(add, parts)


_windows: Apply = library_call(
    "windows",
    inputs=("x",),
    impl=_impl,
    rule=lambda x, *, lengths, taps, strides, dilations: Aval(_shape(x.shape, lengths, taps), x.dtype),
    vjp={"x": _transpose},
    lowering=View(_index),
    linear=True,
    batch=shifted(lambda size, **params: params),
    cases=(
        Case(normal(2, 5, 1), lengths=(3,), taps=(2,), strides=(1,), dilations=(2,)),
        Case(normal(1, 5, 4, 2), lengths=(2, 3), taps=(2, 2), strides=(2, 1), dilations=(1, 1)),
    ),
    reference=_impl,
)


def windows(x: ArrayLike, /, *, lengths: Ints, taps: Ints, strides: Ints, dilations: Ints) -> "Tensor":
    """What lies under a kernel at each of its places.

    Parameters
    ----------
    x : array_like, shape (..., *space, channels)
        Any dtype.
    lengths, taps : tuple of int
        For each axis of space the number of places, and the number of elements that the kernel takes.
    strides, dilations : tuple of int
        The distances of its places, and of what it takes.

    Returns
    -------
    Tensor, shape (..., *lengths, *taps, channels), dtype of `x`
        It shares the memory of `x`: ``out[..., o, k, c] = x[..., o * stride + k * dilation, c]``.
    """
    return _windows(as_array(x), lengths=lengths, taps=taps, strides=strides, dilations=dilations)
