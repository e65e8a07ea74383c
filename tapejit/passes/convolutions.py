"""Convolutions as sums of products that register tiles compute, and which ones are.

A tile's rows are places along one axis of the result, its columns channels. What is summed over are the places of the
kernel and the channels of the input, both read where they are: nothing is laid side by side. Start reading at
`summed_windows`; `in_window_tiles` says when it is worth it, by lengths alone, as `tiling` does. It is what was
measured (one thread, AMD Zen 4 with AVX-512, whose peak is 117 GF/s; float32, ms; in brackets windows laid side by side
and OpenBLAS):

==========================================  ============  ============  ============
input, kernel, stride                       forward       by kernel     by input
==========================================  ============  ============  ============
32×26×26×16, 3×3×16×16                      0.74          0.74          0.95
16×8×8×32, 3×3×32×64                        0.19 (0.23)   0.19 (0.27)   0.35 (0.44)
4×64×64×3, 7×7×3×64, 2                      0.55 (0.77)   0.72 (0.99)   1.28
8×28×28×16, 5×5×16×4                        0.28 (0.81)   0.28 (2.3)    0.19 (0.32)
4×16×16×128, 3×3×128×128                    2.1 (2.2)     2.1 (2.5)     2.9 (3.7)
4×16×16×256, 3×3×256×256                    18 (20)       17 (23)       26 (30)
2×10×10×512, 3×3×512×512                    10.9 (6.6)    6.3 (15)      38 (25)
==========================================  ============  ============  ============

So tiles are the better choice but where they would read a large kernel in long steps, again for each row of places.
Those of 3×3 places, without strides, are mostly not made so any more: see `winograd`.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from ..aval import Shape
from ..graph import Builder, Node
from ..lowering import Affine, Convolution, IndexMap
from ..primitive import in_role
from .access import Dot, Load
from .composing import traced
from .winograd import transforms

FEW_COLUMNS = 2
"""Fewer channels than this fill too little of a vector."""

FAR = 2048
"""Channels out of so many bytes are far from those of the next term: two to a page."""

LARGE_KERNEL = 1 << 22
"""A kernel of more bytes, in so long steps, does not stay near."""

FEW_TERMS = 512
"""Convolutions of at most so many multiplications are loops, which fuse with what comes before and after."""

LONG_SUM = 1024
"""Of more terms than this an element of the gradient of a kernel is a sum of sums, one for each example."""

LEAST_PART = 64
"""Sums over one example are not worth it where they have fewer terms than this."""

_TALL = 24
"""The most rows of a tile, about."""


def in_window_tiles(node: Node) -> bool:
    """Whether a convolution is made of register tiles."""
    x, kernel = (value.aval for value in node.inputs)
    channels, dtype = node.aval.shape[-1], node.aval.dtype
    if dtype.kind != "f" or dtype.itemsize not in {4, 8} or 0 in (*x.shape, *kernel.shape, *node.aval.shape):
        return False
    terms = _terms(node)
    row = channels * dtype.itemsize
    if row >= FAR and terms * row > LARGE_KERNEL:
        return False
    return node.aval.size * terms > FEW_TERMS and channels >= FEW_COLUMNS and node.aval.shape[row_axis(node)] > 1


def _terms(node: Node) -> int:
    """How many products each element is the sum of."""
    shape = node.inputs[1].aval.shape
    return prod(shape[axis] for axis in term_axes(shape, rank_of(node)))


def rank_of(node: Node) -> int:
    """The number of axes of space."""
    return len(dict(node.params)["strides"])


def term_axes(kernel_shape: Shape, rank: int) -> range:
    """The axes of a kernel that a convolution sums over."""
    return range(len(kernel_shape) - rank - 2, len(kernel_shape) - 1)


def row_axis(node: Node) -> int:
    """The axis of the result along which the rows of its tiles are: the last one that is long enough.

    One of the leading axes can't be it, along which there are other kernels.
    """
    shape = node.aval.shape
    lead = len(shape) - rank_of(node) - 2
    return max(range(lead, len(shape) - 1), key=lambda axis: (min(shape[axis], _TALL // 2), axis))


def runs_along_columns(load: Load, shape: Shape) -> bool:
    """Whether a kernel's channels out are neighbours; `load` is in terms of its axes worth a loop."""
    last = sum(length != 1 for length in shape) - 1
    return dict(load.linear.terms).get(last) == 1


def summed_windows(node: Node, left: Load, right: Load) -> Dot:
    """The sum that each element is.

    Parameters
    ----------
    node : Node
        The convolution.
    left, right : Load
        The input and the kernel, in terms of their own axes worth a loop.
    """
    params, rank = dict(node.params), rank_of(node)
    shape, kernel_shape = node.aval.shape, node.inputs[1].aval.shape
    own = [axis for axis, length in enumerate(shape) if length != 1]
    lead = len(shape) - rank - 2
    places = _Axes({axis: own.index(axis) for axis in own})
    summed = [axis for axis in term_axes(kernel_shape, rank) if kernel_shape[axis] != 1]
    terms = _Axes({axis: len(own) + summed.index(axis) for axis in summed})
    under = [
        places(lead + 1 + axis).scaled(stride) + terms(lead + axis).scaled(dilation)
        for axis, (stride, dilation) in enumerate(zip(params["strides"], params["dilations"], strict=True))
    ]
    x_index = (*map(places, range(lead + 1)), *under, terms(len(kernel_shape) - 2))
    kernel_index = (*map(places, range(lead)), *map(terms, term_axes(kernel_shape, rank)), places(len(shape) - 1))
    x_shape = node.inputs[0].aval.shape
    lengths = tuple(kernel_shape[axis] for axis in summed)
    return _outermost_first(_at(left, x_index, x_shape), _at(right, kernel_index, kernel_shape), len(own), lengths)


class _Axes(dict[int, int]):
    """From axes of a value to those of a statement; what is not in it has length 1."""

    def __call__(self, axis: int) -> Affine:
        return Affine.axis(self[axis]) if axis in self else Affine()


def _at(load: Load, index: IndexMap, shape: Shape) -> Load:
    """A load in terms of other axes, given the index of the value that it is a load of."""
    inner = tuple(affine for affine, length in zip(index, shape, strict=True) if length != 1)
    outer = None if load.index is None else tuple(affine.substitute(inner) for affine in load.index)
    return Load(load.root, load.linear.substitute(inner), outer)


def _outermost_first(left: Load, right: Load, own: int, lengths: tuple[int, ...]) -> Dot:
    """The sum along memory of the left operand; at least one axis is summed over."""
    if not lengths:
        return Dot(left, right, (1,))
    steps = dict(left.linear.terms)
    order = sorted(range(len(lengths)), key=lambda term: -abs(steps.get(own + term, 0)))
    renamed: dict[int, Affine] = {axis: Affine.axis(axis) for axis in range(own)}
    renamed |= {own + term: Affine.axis(own + place) for place, term in enumerate(order)}

    def sorted_terms(load: Load) -> Load:
        index = None if load.index is None else tuple(affine.substitute(renamed) for affine in load.index)
        return Load(load.root, load.linear.substitute(renamed), index)

    return Dot(sorted_terms(left), sorted_terms(right), tuple(lengths[term] for term in order))


# --- graph to graph -------------------------------------------------------------------------------------------


def convolutions(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """A convolution as other operations where tiles are no good; a long sum as one of sums over an example each."""
    lowering = None if node.primitive is None else node.primitive.lowering
    if not isinstance(lowering, Convolution):
        return None
    expand = _expansion(node, lowering)
    return None if expand is None else traced(builder, expand, inputs, node.where, **dict(node.params))


def _expansion(node: Node, lowering: Convolution) -> Callable[..., Any] | None:
    transformed = transforms(node)
    if transformed is not None:
        return transformed
    if not in_window_tiles(node):
        return lowering.expand
    kernel, terms = node.inputs[1].aval, _terms(node)
    channels = kernel.shape[-2]
    if kernel.size > node.aval.size and terms > LONG_SUM and 1 < channels <= terms // LEAST_PART:
        return _example_by_example
    return None


def _example_by_example(x: Any, kernel: Any, *, strides: tuple[int, ...], dilations: tuple[int, ...]) -> Any:
    """The sum over the channels of the input of convolutions with one each, which are in front of all axes."""
    permute, reshape, total = in_role("permute"), in_role("reshape"), in_role("sum")
    count = len(x.shape)
    apart = permute(x, (count - 1, *range(count - 1)))
    weights = permute(kernel, (count - 2, *range(count - 2), count - 1))
    weights = reshape(weights, (*weights.shape[:-1], 1, weights.shape[-1]))
    parts = in_role("convolution")(reshape(apart, (*apart.shape, 1)), weights, strides=strides, dilations=dilations)
    return total(parts, (0,))
