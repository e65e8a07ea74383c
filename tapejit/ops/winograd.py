"""Convolutions of 3×3 places with fewer multiplications, after Winograd.

Floor 4. Tiles of 4×4 places of the input, 2 places apart along each axis, and the kernel are transformed so that 16
products of matrices, one for each place of a tile, give what transforms to 2×2 places of the result: 16
multiplications instead of 36 for each pair of channels. What is added and halved on the way costs a fraction of that
where there are many channels. The compiler takes these operations in place of `convolution`; see `passes.convolutions`
for when. Nobody else sees them, so they have no derivatives.

The transforms are those of F(2, 3) of A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks" (CVPR
2016, section 4.1), along both axes: ``B' d B``, ``G g G'``, ``A' m A``. Each result depends on the 3×3 places alone
that the definition names, and its rounding error is about as large as that of the definition (a third in tests), since
sums have a ninth of the terms: but it is relative to the largest of these places, not to each. Where one is infinite
the result may be NaN, as differences of places are taken.
"""

import itertools
from typing import Any

import numpy as np

from ..aval import Aval
from ..families import Case, library_call, normal
from ..lowering import Routine
from ..primitive import claim, in_role

SPREAD = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
"""From 4 places of the input: ``B'``."""

WEIGHTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""From 3 places of the kernel: ``G``."""

GATHERED = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
"""To 2 places of the result: ``A'``."""

PLACES = 16
"""Of a tile."""


def tiles_along(length: int) -> int:
    """How many tiles there are along an axis of the result; the last one may overlap the one before."""
    return -(-length // 2)


def _origins(length: int) -> np.ndarray:
    """Where the tiles begin that cover an axis of the result."""
    return np.minimum(2 * np.arange(tiles_along(length)), length - 2)


def _both(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A matrix applied along the first two axes, in the dtype of `x`."""
    matrix = matrix.astype(x.dtype)
    along = np.tensordot(matrix, x, ((1,), (0,)))
    return np.moveaxis(np.tensordot(matrix, along, ((1,), (1,))), 0, 1)


def _tiles(x: np.ndarray, size: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Tiles of `x`, shape (..., h, w, c), as (size, size, ..., rows, columns, c)."""
    down, across = (each + np.arange(size)[:, None] for each in (rows, columns))
    found = x[..., down[:, None, :, None], across[None, :, None, :], :]
    return np.moveaxis(found, (-5, -4), (0, 1))


def convolved(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What `winograd_conv` computes: of (..., h, w, c) and matrices (..., 16, c, d) those (..., h - 2, w - 2, d)."""
    lead, (h, w, c), d = x.shape[:-3], x.shape[-3:], weights.shape[-1]
    rows, columns = _origins(h - 2), _origins(w - 2)
    spread = _both(SPREAD, _tiles(x, 4, rows, columns))
    spread = spread.reshape(PLACES, *lead, len(rows) * len(columns), c)
    products = spread @ np.moveaxis(weights, -3, 0)
    shape = (4, 4, *lead, len(rows), len(columns), d)
    places = _both(GATHERED, products.reshape(shape))
    out = np.empty((*lead, h - 2, w - 2, d), x.dtype)
    for row, column in ((1, 1), (1, 0), (0, 1), (0, 0)):  # of tiles that overlap the last one counts
        out[..., (rows + row)[:, None], columns + column, :] = places[row, column]
    return out


def transformed(kernel: np.ndarray) -> np.ndarray:
    """What `winograd_kernel` computes: of (..., 3, 3, c, d) the matrices (..., 16, c, d)."""
    weights = np.moveaxis(_both(WEIGHTS, np.moveaxis(kernel, (-4, -3), (0, 1))), (0, 1), (-4, -3))
    return np.reshape(weights, (*kernel.shape[:-4], PLACES, *kernel.shape[-2:]))


def by_kernel(x: np.ndarray, ct: np.ndarray) -> np.ndarray:
    """What `winograd_by_kernel` computes: of (..., h, w, c) and (..., h - 2, w - 2, d) the sums (..., 3, 3, c, d)."""
    lead, c, d = x.shape[:-3], x.shape[-1], ct.shape[-1]
    rows, columns = (_origins(length) for length in ct.shape[-3:-1])
    spread = _both(SPREAD, _tiles(x, 4, rows, columns))
    own = _tiles(ct, 2, rows, columns)
    # What overlapping tiles share counts once.
    own[0, :, ..., rows % 2 == 1, :, :] = 0
    own[:, 0, ..., columns % 2 == 1, :] = 0
    own = _both(GATHERED.T, own)
    count = len(rows) * len(columns)
    spread, own = (each.reshape(PLACES, *lead, count, each.shape[-1]) for each in (spread, own))
    products = np.swapaxes(spread, -1, -2) @ own
    places = _both(WEIGHTS.T, products.reshape(4, 4, *lead, c, d))
    return np.ascontiguousarray(np.moveaxis(places, (0, 1), (-4, -3)))


def _matrix_by_matrix(kernel: Any) -> np.ndarray:
    """`transformed` as it is defined."""
    found = np.einsum("py,qx,...yxcd->...pqcd", WEIGHTS, WEIGHTS, kernel).astype(kernel.dtype)
    return np.reshape(found, (*kernel.shape[:-4], PLACES, *kernel.shape[-2:]))


def _tile_by_tile(x: Any, weights: Any) -> np.ndarray:
    """`convolved` as it is defined, one tile after the other."""
    rows, columns = _origins(x.shape[-3] - 2), _origins(x.shape[-2] - 2)
    out = np.empty((*x.shape[:-3], x.shape[-3] - 2, x.shape[-2] - 2, weights.shape[-1]), x.dtype)
    apart = weights.reshape(*weights.shape[:-3], 4, 4, *weights.shape[-2:])
    for row, column in itertools.product(rows, columns):
        tile = x[..., row : row + 4, column : column + 4, :]
        spread = np.einsum("py,qx,...yxc->...pqc", SPREAD, SPREAD, tile)
        products = np.einsum("...pqc,...pqcd->...pqd", spread, apart)
        found = np.einsum("rp,sq,...pqd->...rsd", GATHERED, GATHERED, products)
        out[..., row : row + 2, column : column + 2, :] = found
    return out


def _direct_by_kernel(x: Any, ct: Any) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(-3, -2))
    return np.einsum("...ijcyx,...ijd->...yxcd", windows, ct)  # type: ignore[no-any-return]


def _convolution_rule(x: Aval, kernel: Aval) -> Aval:
    *lead, h, w, _ = x.shape
    return Aval((*lead, h - 2, w - 2, kernel.shape[-1]), x.dtype)


def _multiplications(h: int, w: int, c: int, d: int) -> int:
    return 2 * PLACES * tiles_along(h - 2) * tiles_along(w - 2) * c * d


_kernel: Any = library_call(
    "winograd_kernel",
    inputs=("kernel",),
    impl=transformed,
    rule=lambda kernel: Aval((*kernel.shape[:-4], PLACES, *kernel.shape[-2:]), kernel.dtype),
    vjp={},
    lowering=Routine("winograd_kernel", "(m,n,c,d)->(p,c,d)", lambda m, n, c, d: 4 * PLACES * c * d),
    cases=(Case(normal(3, 3, 2, 3)), Case(normal(2, 3, 3, 1, 17))),
    reference=_matrix_by_matrix,
)
_convolution: Any = library_call(
    "winograd_conv",
    inputs=("x", "kernel"),
    impl=convolved,
    rule=_convolution_rule,
    vjp={},
    lowering=Routine(
        "winograd_conv", "(h,w,c),(p,c,d)->(i,j,d)", lambda h, w, c, p, d: _multiplications(h, w, c, d), neighbours=True
    ),
    cases=(Case(normal(6, 8, 2), normal(16, 2, 3)), Case(normal(2, 5, 7, 3), normal(2, 16, 3, 17))),
    reference=_tile_by_tile,
)
_by_kernel: Any = library_call(
    "winograd_by_kernel",
    inputs=("x", "ct"),
    impl=by_kernel,
    rule=lambda x, ct: Aval((*x.shape[:-3], 3, 3, x.shape[-1], ct.shape[-1]), x.dtype),
    vjp={},
    lowering=Routine(
        "winograd_by_kernel",
        "(h,w,c),(i,j,d)->(m,n,c,d)",
        lambda h, w, c, i, j, d: _multiplications(h, w, c, d),
        neighbours=True,
    ),
    cases=(Case(normal(6, 8, 2), normal(4, 6, 3)), Case(normal(2, 5, 7, 3), normal(2, 3, 5, 17))),
    reference=_direct_by_kernel,
)


def _winograd(x: Any, kernel: Any) -> Any:
    """A convolution; all examples, in front of x, have the same kernel."""
    weights = _kernel(kernel)
    return _convolution(x, in_role("broadcast")(weights, (*x.shape[:-3], *weights.shape)))


claim("winograd", _winograd)
claim("winograd_by_kernel", _by_kernel)
