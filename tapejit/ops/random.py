"""Random draws as functions of a generator's state: the primitive `random_bits` and what bits become.

Floor 4. A state is a uint64 array [key, counter]. A draw of n words takes the blocks from the counter on, and
`advanced` moves the counter behind them. Everything after the bits is made of public operations, so draws are
traced, differentiated by their parameters, and the same in kernels. `tapejit.random` has the `Generator`.
"""

from collections.abc import Callable, Sequence
from math import pi, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..aval import Aval, Shape
from ..errors import ShapeError, at_user_line
from ..families import Case, as_array, library_call, pointwise
from ..families.batching import all_batched
from ..lowering import Composite
from ..primitive import BatchRule, Params
from .annotations import ArrayLike
from .arithmetic import add, bitwise_and, floor_divide, multiply, subtract
from .conversion import astype
from .elementwise import log, sqrt
from .joining import concat
from .philox import blocks_of, random_words
from .shaping import permute_dims, reshape
from .slicing import slice_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

UINT32, UINT64, INT64 = np.dtype(np.uint32), np.dtype(np.uint64), np.dtype(np.int64)
FLOAT64 = np.dtype(np.float64)
_WORDS: dict[np.dtype, np.dtype] = {np.dtype(np.float32): UINT32, FLOAT64: UINT64}
_FLOATS = {words: dtype for dtype, words in _WORDS.items()}


def _bits_impl(key: np.ndarray, counter: np.ndarray, *, count: int, bits: int) -> np.ndarray:
    return random_words(key.item(), counter.item(), count, np.dtype(f"uint{bits}"))


def _bits_rule(key: Aval, counter: Aval, *, count: int, bits: int) -> Aval:
    if any(number != Aval((), UINT64) for number in (key, counter)):
        raise ShapeError(at_user_line(f"random_bits takes a key and a counter, uint64[], got {key} and {counter}"))
    return Aval((count,), np.dtype(f"uint{bits}"))


def _lanes_impl(key: np.ndarray, counter: np.ndarray, *, count: int, bits: int) -> np.ndarray:
    out = np.empty((len(key), count), f"uint{bits}")
    for row, one, first in zip(out, key[:, 0].tolist(), counter[:, 0].tolist(), strict=True):
        row[:] = random_words(one, first, count, out.dtype)
    return out


def _more_lanes(apply: Callable[..., Any]) -> BatchRule:
    """The words of several states: those of all lanes under one another."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        columns = [reshape(each, (prod(each.shape), 1)) for each in all_batched(inputs, batched, size)]
        return reshape(apply(*columns, **params), (size, *inputs[batched.index(True)].shape[1:-1], params["count"]))

    return rule


_lane_bits = pointwise(
    "lane_bits",
    inputs=("key", "counter"),
    impl=_lanes_impl,
    rule=lambda key, counter, *, count, bits: Aval((key.shape[0], count), np.dtype(f"uint{bits}")),
    vjp={},
    kernel="philox_word(key, counter, axis1, bits)",
    cost=80,
    cases=(
        Case(np.array([[1], [2]], np.uint64), np.array([[3], [2**64 - 1]], np.uint64), count=5, bits=32),
        Case(np.array([[1]], np.uint64), np.array([[0]], np.uint64), count=3, bits=64),
        Case(np.zeros((0, 1), np.uint64), np.zeros((0, 1), np.uint64), count=3, bits=64),
    ),
    reference=_lanes_impl,
    batch=_more_lanes,
)


_random_bits = pointwise(
    "random_bits",
    inputs=("key", "counter"),
    impl=_bits_impl,
    rule=_bits_rule,
    vjp={},
    kernel="philox_word(key, counter, axis0, bits)",
    cost=80,
    cases=(
        Case(np.array([1, 2], np.uint64), (3, 5), UINT32),
        Case(np.array([2**64 - 1, 2**64 - 1], np.uint64), (7,), UINT64),
        Case(np.array([0, 0], np.uint64), (), UINT32),
        Case(np.array([0, 0], np.uint64), (0, 2), UINT64),
    ),
    reference=lambda state, shape, dtype: random_words(int(state[0]), int(state[1]), prod(shape), dtype).reshape(shape),
    batch=lambda _: _more_lanes(_lane_bits),
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

    Raises
    ------
    ShapeError
        If the state is no uint64[2].
    """
    array = as_array(state)
    if array.aval != Aval((2,), UINT64):
        raise ShapeError(at_user_line(f"random_bits takes a state uint64[2], got {array.aval}"))
    key, counter = (reshape(slice_axis(array, 0, place, place + 1), ()) for place in (0, 1))
    words = _random_bits(key, counter, count=prod(shape), bits=8 * dtype.itemsize)
    return reshape(words, shape)


def advanced(state: Any, count: int, dtype: np.dtype) -> "Tensor":
    """`state` behind a draw of `count` words of `dtype`."""
    counter = add(slice_axis(state, 0, 1, 2), blocks_of(count, dtype))
    return concat([slice_axis(state, 0, 0, 1), counter])


# Box and Muller's transform, once for NumPy and for kernels. Sine and cosine are made of additions and products,
# which are the same everywhere; NumPy's own float32 functions are up to 4 ulp off.

# Coefficients of sine and cosine on [-π/4, π/4], highest first: S. L. Moshier, Cephes Mathematical Library 2.8, 2000.
_SINE: dict[np.dtype, tuple[float, ...]] = {
    np.dtype(np.float32): (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1),
    np.dtype(np.float64): (
        1.58962301576546568060e-10, -2.50507477628578072866e-8, 2.75573136213857245213e-6,
        -1.98412698295895385996e-4, 8.33333333332211858878e-3, -1.66666666666666307295e-1,
    ),
}  # fmt: skip
_COSINE: dict[np.dtype, tuple[float, ...]] = {
    np.dtype(np.float32): (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
    np.dtype(np.float64): (
        -1.13585365213876817300e-11, 2.08757008419747316778e-9, -2.75573141792967388112e-7,
        2.48015872888517045348e-5, -1.38888888888730564116e-3, 4.16666666666665929218e-2,
    ),
}  # fmt: skip


def _polynomial(z: Any, coefficients: tuple[float, ...]) -> Any:
    """The polynomial with these coefficients, highest first, by Horner's rule."""
    total, *rest = coefficients
    for coefficient in rest:
        total = total * z + coefficient
    return total


def _on_circle(words: Any, dtype: np.dtype) -> tuple[Any, Any]:
    """Cosine and sine of ``words · 2π 2^-w``: of the exact rest to the nearest quarter turn, rotated by that."""
    width = 8 * words.dtype.itemsize
    turned = words + 2 ** (width - 3)
    rest = (turned & (2 ** (width - 2) - 1)).astype(f"int{width}") - 2 ** (width - 3)
    angle = rest.astype(dtype) * (2 * pi * 2.0**-width)
    z = angle * angle
    sine = angle + angle * z * _polynomial(z, _SINE[dtype])
    cosine = 1 - 0.5 * z + z * z * _polynomial(z, _COSINE[dtype])
    quarters = turned // 2 ** (width - 2)
    odd, quarters = (quarters & 1).astype(dtype), quarters.astype(dtype)
    # Sine and cosine of 0 to 3 quarter turns as products: NumPy's `where` takes ten times as long.
    across, up = (1 - odd) * (1 - quarters), odd * (2 - quarters)
    return across * cosine - up * sine, across * sine + up * cosine


def _transformed(words: Any, library: Any) -> Any:
    """`unit_normal` of words, shape (2, m), as one row; `library` has ``log``, ``sqrt`` and ``concat``."""
    dtype = _FLOATS[words.dtype]
    # In float64, where 32 bits are exact; and rounded from it a logarithm's last bit seldom depends on who computes it.
    unit = (words[0].astype(FLOAT64) + 1.0) * 2.0 ** (-8 * dtype.itemsize)
    radius = library.sqrt(library.log(unit).astype(dtype) * -2.0)
    cosine, sine = _on_circle(words[1], dtype)
    return library.concat([radius * cosine, radius * sine])


class _Traceable:
    """The functions of `_transformed` as tapejit's operations."""

    log, sqrt, concat = map(staticmethod, (log, sqrt, concat))


def _reference(words: np.ndarray) -> np.ndarray:
    """The transform with NumPy's own functions, rounded once."""
    first, second = words.astype(FLOAT64) * 2.0 ** (-8 * words.itemsize)
    radius = np.sqrt(-2 * np.log(first + 2.0 ** (-8 * words.itemsize)))
    both = np.concat([radius * np.cos(2 * pi * second), radius * np.sin(2 * pi * second)])
    return both.astype(_FLOATS[words.dtype])


def _box_muller_batch(apply: Callable[..., Any]) -> BatchRule:
    """The pairs of all lanes next to each other: each gives the same numbers as alone."""

    def rule(inputs: Sequence[Any], batched: Sequence[bool], size: int, params: Params) -> Any:
        (words,) = inputs
        pairs = words.shape[2]
        drawn = apply(reshape(permute_dims(words, (1, 0, 2)), (2, size * pairs)))
        return reshape(permute_dims(reshape(drawn, (2, size, pairs)), (1, 0, 2)), (size, 2 * pairs))

    return rule


_box_muller = library_call(
    "box_muller",
    inputs=("words",),
    impl=lambda words: _transformed(words, np),
    rule=lambda words: Aval((2 * words.shape[1],), _FLOATS[words.dtype]),
    vjp={},
    lowering=Composite(lambda words: _transformed(words, _Traceable)),
    batch=_box_muller_batch,
    cases=(
        Case(np.array([[0, 0, 0, 7, 2**63], [0, 2**62, 2**63, 2**61, 2**61 + 1]], UINT64)),
        Case(random_words(1, 0, 40, UINT64).reshape(2, 20)),
        Case(np.zeros((2, 0), UINT32)),
    ),
    reference=_reference,
)


# From bits to numbers. Each function returns the draw and the number of words and their dtype that it took.

Draw = tuple["Tensor", int, np.dtype]


def unit_words(state: Any, shape: Shape) -> Draw:
    """Words of 64 bits as they are."""
    return random_bits(state, shape, UINT64), prod(shape), UINT64


def unit_uniform(state: Any, shape: Shape, dtype: np.dtype) -> Draw:
    """Uniform on [0, 1): the upper 24 (float32) or 53 (float64) bits of a word, times 2^-24 or 2^-53."""
    words = _WORDS[dtype]
    digits = np.finfo(dtype).nmant + 1
    bits = random_bits(state, shape, words)
    upper = floor_divide(bits, 2 ** (8 * words.itemsize - digits))
    return multiply(astype(upper, dtype), 2.0**-digits), prod(shape), words


def unit_normal(state: Any, shape: Shape, dtype: np.dtype) -> Draw:
    """Standard normal, by Box and Muller (1958) from pairs of words of the dtype's size.

    Of 2m words, m = ceil(n / 2), the word a[i] of the first half and b[i] of the second give
    ``r = sqrt(-2 log((a + 1) 2^-w))`` and ``θ = b 2π 2^-w``, w = 32 or 64. The draw is ``r cos θ``, then
    ``r sin θ``, without the last one for odd n. The largest value is 6.66 or 9.42. Computed in the dtype, but for
    the logarithm; from eager to compiled only that may differ, which makes at most 2 ulp of the draw.
    """
    words = _WORDS[dtype]
    count = prod(shape)
    pairs = (count + 1) // 2
    both = _box_muller(random_bits(state, (2, pairs), words))
    return reshape(slice_axis(both, 0, 0, count), shape), 2 * pairs, words


def below(state: Any, bound: Any, shape: Shape) -> Draw:
    """Integers on [0, bound): the upper 64 bits of the 128-bit product of a 64-bit word and `bound`.

    No draw is rejected, so a result's probability differs from 1 / bound by at most 2^-64: relatively, less
    than bound · 2^-64, which is below 2^-32 for bounds up to 2^32.
    """
    words = random_bits(state, shape, UINT64)
    low, high = bitwise_and(words, 0xFFFFFFFF), floor_divide(words, 2**32)
    bound_low, bound_high = bitwise_and(bound, 0xFFFFFFFF), floor_divide(bound, 2**32)
    middle = add(multiply(high, bound_low), floor_divide(multiply(low, bound_low), 2**32))
    cross = add(multiply(low, bound_high), bitwise_and(middle, 0xFFFFFFFF))
    upper = add(floor_divide(middle, 2**32), floor_divide(cross, 2**32))
    return add(multiply(high, bound_high), upper), prod(shape), UINT64


def distances(low: Any, high: Any) -> "Tensor":
    """``high - low`` of int64 arrays as uint64, exact for every pair."""
    return subtract(astype(high, UINT64), astype(low, UINT64))  # type: ignore[no-any-return]


def unit_open(state: Any, shape: Shape, dtype: np.dtype) -> Draw:
    """Uniform on (0, 1) without the ends: ``(k + 1/2) 2^-b`` with the upper b = 23 (float32) or 52 bits of a word."""
    words = _WORDS[dtype]
    digits = np.finfo(dtype).nmant
    bits = random_bits(state, shape, words)
    upper = floor_divide(bits, 2 ** (8 * words.itemsize - digits))
    return multiply(add(astype(upper, dtype), 0.5), 2.0**-digits), prod(shape), words
