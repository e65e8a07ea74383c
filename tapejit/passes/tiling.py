"""Which matrix products are made of register tiles, and which ones the BLAS library computes: `in_tiles`.

The choice depends on lengths alone, so that a program's plan is the same on every machine, and with it the order in
which the numbers of a sum are added. It is what was measured (one thread, AMD Zen 4 with AVX-512, whose peak is 117
GF/s; OpenBLAS with its kernels for AVX-512; float32, µs):

======================  =====  ========  ======
(m, k) · (k, n)         tiles  OpenBLAS  GF/s
======================  =====  ========  ======
64×64 · 64×128          8.9    9.8       118
256×32 · 32×16          2.2    3.0       116
64×128 · 128×10         2.2    3.0       75
(64×64)ᵀ · 64×128       8.9    9.9       118
64×10 · 10×128          1.5    2.3       109
64×128 · (64×128)ᵀ      9.4    12.6      111
1797×64 · 64×10         32     48        72
(1797×64)ᵀ · 1797×10    20     51        117
100000×64 · 64×10       1810   2680      71
4×512 · 512×512         18     51        116
2×512 · (512×512)ᵀ      32     13        33
8×512 · (512×512)ᵀ      44     92        95
256×256 · 256×256       290    319       116
512×512 · 512×512       2330   2500      115
======================  =====  ========  ======

So tiles are the better choice but where few rows are to pay for turning the right matrix over. Of n by n matrices they
are up to n = 768 in float32 (8.8 ms) and up to 384 in float64 (2.4 ms against 2.5; at 512 it is 6.4 against 5.5).
Larger products are left to the library, which also spreads them over threads (``TAPEJIT_NUM_THREADS``); long and
narrow ones are not, as it is slow at them.
"""

import numpy as np

LARGE = {4: 1 << 27, 8: 1 << 26}
"""Products of more multiplications than this are large, by the bytes of one number: beyond 512³ and 406³."""

NARROW = 32
"""A large product of at most so many rows or columns, or terms of a sum, is narrow."""

_FEW_ROWS = 4
"""Fewer rows are not worth the copy of a transposed right matrix."""

_LONGEST_COPY = 1024
"""More terms do not fit the space for that copy."""


def in_tiles(shape: tuple[int, int, int], dtype: np.dtype, *, right_transposed: bool = False) -> bool:
    """Whether a product is made of register tiles.

    Parameters
    ----------
    shape : tuple of int
        (m, n, k): the lengths of an (m, k) and a (k, n) matrix.
    dtype : dtype
        Of the matrices.
    right_transposed : bool
        Whether the right matrix's columns are contiguous, and not its rows.
    """
    m, n, k = shape
    if dtype.itemsize not in LARGE or dtype.kind != "f":
        return False
    if right_transposed and (m < _FEW_ROWS or k > _LONGEST_COPY):
        return False
    return m * n * k <= LARGE[dtype.itemsize] or min(m, n, k) <= NARROW
