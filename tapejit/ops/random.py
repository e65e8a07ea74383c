"""Random draws as functions of a generator's state: the primitive `random_bits` and what bits become.

Floor 4. A state is a uint64 array [key, counter]. A draw of n words takes the blocks from the counter on, and
`advanced` moves the counter behind them. Everything after the bits is made of public operations, so draws are
traced, differentiated by their parameters, and the same in kernels. `tapejit.random` has the `Generator`.
"""

from math import pi, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..errors import ShapeError, at_user_line
from ..families import Case, as_array, library_call
from .annotations import ArrayLike
from .arithmetic import add, bitwise_and, floor_divide, multiply, subtract
from .conversion import astype
from .elementwise import cos, log, sin, sqrt
from .joining import concat
from .philox import blocks_of, random_words
from .shaping import Apply, reshape
from .slicing import slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

UINT32, UINT64, INT64 = np.dtype(np.uint32), np.dtype(np.uint64), np.dtype(np.int64)
_WORDS: dict[np.dtype, np.dtype] = {np.dtype(np.float32): UINT32, np.dtype(np.float64): UINT64}


def _bits_impl(state: np.ndarray, *, shape: Shape, dtype: np.dtype) -> np.ndarray:
    key, counter = state.tolist()
    return random_words(key, counter, prod(shape), dtype).reshape(shape)


def _bits_rule(state: Aval, *, shape: Shape, dtype: np.dtype) -> Aval:
    if state.shape != (2,) or state.dtype != UINT64:
        raise ShapeError(at_user_line(f"random_bits takes a state uint64[2], got {state}"))
    return Aval(shape, dtype)


_random_bits: Apply = library_call(
    "random_bits",
    inputs=("state",),
    impl=_bits_impl,
    rule=_bits_rule,
    vjp={},
    cases=(
        Case(np.array([1, 2], np.uint64), (3, 5), UINT32),
        Case(np.array([2**64 - 1, 2**64 - 1], np.uint64), (7,), UINT64),
        Case(np.array([0, 0], np.uint64), (), UINT32),
        Case(np.array([0, 0], np.uint64), (0, 2), UINT64),
    ),
    reference=lambda state, shape, dtype: _bits_impl(state, shape=shape, dtype=dtype),
)


def random_bits(state: ArrayLike, shape: Shape, dtype: np.dtype, /) -> "Tensor":
    """Random words by Philox4x32-10, see `philox.random_words`.

    Parameters
    ----------
    state : array_like, shape (2,), uint64
        Key and counter.
    shape : tuple of int
        The result's shape.
    dtype : dtype
        uint32 or uint64.

    Returns
    -------
    Tensor, shape `shape`, `dtype`
        Not connected to anything.
    """
    return _random_bits(as_array(state), shape=shape, dtype=dtype)


def advanced(state: Any, count: int, dtype: np.dtype) -> "Tensor":
    """`state` behind a draw of `count` words of `dtype`."""
    counter = add(slice_axis(state, 0, 1, 2), blocks_of(count, dtype))
    return concat([slice_axis(state, 0, 0, 1), counter])


# From bits to numbers. Each function returns the draw and the number of words and their dtype that it took.

Draw = tuple["Tensor", int, np.dtype]


def unit_words(state: Any, shape: Shape) -> Draw:
    """Words of 64 bits as they are."""
    return _random_bits(state, shape=shape, dtype=UINT64), prod(shape), UINT64


def unit_uniform(state: Any, shape: Shape, dtype: np.dtype) -> Draw:
    """Uniform on [0, 1): the upper 24 (float32) or 53 (float64) bits of a word, times 2^-24 or 2^-53."""
    words = _WORDS[dtype]
    digits = np.finfo(dtype).nmant + 1
    bits = _random_bits(state, shape=shape, dtype=words)
    upper = floor_divide(bits, 2 ** (8 * words.itemsize - digits))
    return multiply(astype(upper, dtype), 2.0**-digits), prod(shape), words


def unit_normal(state: Any, shape: Shape, dtype: np.dtype) -> Draw:
    """Standard normal, by Box and Muller (1958) from pairs of words of the dtype's size.

    Of 2m words, m = ceil(n / 2), the word a[i] of the first half and b[i] of the second give
    ``r = sqrt(-2 log((a + 1) 2^-w))`` and ``θ = b 2π 2^-w``, in the dtype, w = 32 or 64. The draw is
    ``r cos θ``, then ``r sin θ``, without the last one for odd n. The largest value is 6.66 or 9.42.
    """
    words = _WORDS[dtype]
    count = prod(shape)
    pairs = (count + 1) // 2
    unit = 2.0 ** (-8 * words.itemsize)
    floats = astype(_random_bits(state, shape=(2, pairs), dtype=words), dtype)
    first, second = (reshape(slice_axis(floats, 0, half, half + 1), (pairs,)) for half in (0, 1))
    radius = sqrt(multiply(log(multiply(add(first, 1.0), unit)), -2.0))
    angle = multiply(second, 2 * pi * unit)
    both = concat([multiply(radius, cos(angle)), multiply(radius, sin(angle))])
    return reshape(slice_axis(both, 0, 0, count), shape), 2 * pairs, words


def below(state: Any, bound: Any, shape: Shape) -> Draw:
    """Integers on [0, bound): the upper 64 bits of the 128-bit product of a 64-bit word and `bound`.

    No draw is rejected, so a result's probability differs from 1 / bound by at most 2^-64: relatively, less
    than bound · 2^-64, which is below 2^-32 for bounds up to 2^32.
    """
    words = _random_bits(state, shape=shape, dtype=UINT64)
    low, high = bitwise_and(words, 0xFFFFFFFF), floor_divide(words, 2**32)
    bound_low, bound_high = bitwise_and(bound, 0xFFFFFFFF), floor_divide(bound, 2**32)
    middle = add(multiply(high, bound_low), floor_divide(multiply(low, bound_low), 2**32))
    cross = add(multiply(low, bound_high), bitwise_and(middle, 0xFFFFFFFF))
    upper = add(floor_divide(middle, 2**32), floor_divide(cross, 2**32))
    return add(multiply(high, bound_high), upper), prod(shape), UINT64


def distances(low: Any, high: Any) -> "Tensor":
    """``high - low`` of int64 arrays as uint64, exact for every pair."""
    return subtract(astype(high, UINT64), astype(low, UINT64))  # type: ignore[no-any-return]
