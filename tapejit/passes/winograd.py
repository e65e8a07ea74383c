"""Which convolutions are computed by Winograd's transforms (`ops.winograd`), with fewer multiplications: `transforms`.

By lengths alone, as with tiles. It is what was measured (one thread, AMD Zen 4 with AVX-512; float32, ms; in brackets
the sums of `convolutions`):

========================  ===========  ===========  ===========
input, kernel             forward      by kernel    by input
========================  ===========  ===========  ===========
32×26×26×16, 3×3×16×16    0.43 (0.74)  0.47 (0.74)  0.54 (0.91)
16×28×28×8, 3×3×8×8       0.11 (0.13)  0.13 (0.15)  0.13 (0.15)
16×32×32×32, 3×3×32×32    1.3 (2.3)    1.3 (2.3)    1.6 (2.7)
32×7×7×64, 3×3×64×64      0.37 (0.51)  0.75 (0.52)  0.68 (1.0)
4×30×30×64, 3×3×64×64     1.0 (2.0)    1.2 (2.1)    1.3 (2.4)
4×16×16×128, 3×3×128×128  1.0 (2.0)    1.3 (2.0)    1.4 (2.7)
4×18×18×256, 3×3×256×256  6.6 (11)     18 (22)      14 (29)
========================  ===========  ===========  ===========
"""

from collections.abc import Callable
from typing import Any

from ..config import transforms_enabled
from ..graph import Node
from ..ops.winograd import PLACES, tiles_along
from ..primitive import in_role

MANY_CHANNELS = 8
"""Fewer channels, in or out, are not worth Winograd's transforms."""

WORTH_TRANSFORMS = 1.5
"""By how many times there have to be fewer multiplications: tiles stick out of results of few places."""

MANY_TILES = 25
"""So many tiles have to be added up in an example before the matrices of a kernel's gradient are worth transforming."""

LARGE_KERNEL = 1 << 22
"""A transformed kernel of more bytes does not stay near."""


def transforms(node: Node) -> Callable[..., Any] | None:
    """What computes a convolution so, from its inputs and params; None where its sums are better.

    Parameters
    ----------
    node : Node
        The convolution.
    """
    if not transforms_enabled():
        return None
    if _in_transforms(node):
        return _transformed
    return _transformed_by_kernel if _in_transforms_by_kernel(node) else None


def _in_transforms(node: Node) -> bool:
    """Whether a convolution is computed with fewer multiplications, by Winograd's transforms."""
    *size, c, d = node.inputs[1].aval.shape
    if not _is_plain(node) or size != [3, 3] or min(c, d) < MANY_CHANNELS:
        return False
    return PLACES * c * d * node.aval.dtype.itemsize <= LARGE_KERNEL and _fits_tiles(*node.aval.shape[1:-1])


def _in_transforms_by_kernel(node: Node) -> bool:
    """Whether it is the gradient of such a convolution by its kernel."""
    c, *places, d = node.aval.shape
    if not _is_plain(node) or places != [3, 3] or min(c, d) < MANY_CHANNELS:
        return False
    height, width = node.inputs[1].aval.shape[:2]
    return _fits_tiles(height, width) and tiles_along(height) * tiles_along(width) >= MANY_TILES


def _is_plain(node: Node) -> bool:
    """Whether it is over two axes of space, without strides, and of one stack of inputs."""
    params = dict(node.params)
    if len(node.aval.shape) != 4 or any(value.aval.size == 0 for value in node.inputs):
        return False
    steps = params["strides"], params["dilations"]
    return steps == ((1, 1), (1, 1)) and node.aval.dtype.kind == "f" and node.aval.dtype.itemsize in {4, 8}


def _fits_tiles(height: int, width: int) -> bool:
    """Whether few places of the tiles stick out of a result."""
    return 9 * height * width >= WORTH_TRANSFORMS * PLACES * tiles_along(height) * tiles_along(width)


def _transformed(x: Any, kernel: Any, **_: Any) -> Any:
    return in_role("winograd")(x, kernel)


def _transformed_by_kernel(x: Any, kernel: Any, **_: Any) -> Any:
    """The channels of `x` are its first axis, its examples the last one; those of the kernel are before its last."""
    permute = in_role("permute")
    parts = in_role("winograd_by_kernel")(permute(x, (3, 1, 2, 0)), permute(kernel, (2, 0, 1, 3)))
    return permute(in_role("sum")(parts, (0,)), (2, 0, 1, 3))
