"""Philox4x32-10 in NumPy: from a key and a counter to random words, each block independent of the others.

Floor 4, pure NumPy. J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC '11, 2011, section 3.3, with the known-answer vectors of its library Random123. Kernels compute the
same words to the bit (`kernel.instructions.philox_word`).
"""

import numpy as np

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox_blocks(counters: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """The bijection of the paper, with ten rounds.

    Parameters
    ----------
    counters : ndarray, shape (4, n), uint64
        The four 32-bit words of each counter, least significant first.
    key : pair of int
        The two 32-bit words of the key.

    Returns
    -------
    ndarray, shape (n, 4), uint32
        Four random words for each counter.
    """
    c0, c1, c2, c3 = counters
    k0, k1 = key
    by0, by1 = map(np.uint64, MULTIPLIERS)
    for _ in range(ROUNDS):
        first, second = c0 * by0, c2 * by1
        c0, c1, c2, c3 = (
            (second >> _HALF) ^ c1 ^ np.uint64(k0),
            second & _LOW,
            (first >> _HALF) ^ c3 ^ np.uint64(k1),
            first & _LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def blocks_of(count: int, dtype: np.dtype) -> int:
    """How many 128-bit blocks give `count` words of `dtype`."""
    return -(-count * dtype.itemsize // 16)


def random_words(key: int, counter: int, count: int, dtype: np.dtype) -> np.ndarray:
    """`count` random words from the blocks at `counter` and after it.

    Parameters
    ----------
    key, counter : int
        64 bits each. Block j has the counter words (low and high half of ``counter + j`` modulo 2^64, 0, 0).
    count : int
        How many words.
    dtype : dtype
        uint32, in the order of the blocks' words, or uint64, each from two of them, the less significant
        first.

    Returns
    -------
    ndarray, shape (count,), `dtype`
    """
    numbers = np.arange(blocks_of(count, dtype), dtype=np.uint64) + np.uint64(counter)
    zeros = np.zeros_like(numbers)
    words = philox_blocks(
        np.stack([numbers & _LOW, numbers >> _HALF, zeros, zeros]), (key & 0xFFFFFFFF, key >> 32)
    ).reshape(-1)
    if dtype.itemsize == 8:
        pairs = words.reshape(-1, 2).astype(np.uint64)
        words = pairs[:, 0] | (pairs[:, 1] << _HALF)
    return words[:count]
