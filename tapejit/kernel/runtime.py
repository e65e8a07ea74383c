"""What the source text of a kernel may name, as plain Python and NumPy functions.

Lowest floor of the kernel room, with `routines` and `scalar_functions`; besides NumPy it imports only numbers'
definitions from `ops`. `build` gives every name of `NAMES` a second meaning, as LLVM instructions; here is the first
one, so that the same source also runs as plain Python: the oracle that compiled kernels are tested against. Start
reading at `plain`.

The rules that a source must keep, so that both meanings agree:

* operands of one call have one dtype (casts aside); a constant is a typed global, never a literal;
* integers narrower than 64 bits are widened by Numba's ``+ - *``: cast the result back, as in
  ``int32(a + b)``;
* a loop index is an int64 in the kernel, a Python int here: cast it where it becomes a value;
* `lanes` is `range` for a loop whose iterations may run side by side: what they add to one number they add in order,
  and what one of them leaves in scratch, no other one reads;
* index arithmetic may use ``//`` and ``%`` with positive divisors, and ``min`` and ``max`` of two integers;
  `floor_divide` and `remainder` hold for every divisor.
"""

from __future__ import annotations

import ast
import ctypes
import functools
import itertools
import linecache
import math
import weakref
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from ..ops import gamma_functions
from ..ops.philox import random_words
from .routines import ROUTINES
from .scalar_functions import known_functions

OK: Final = 0
RUN_ALL: Final = -1

Scalar: TypeAlias = Any  # a NumPy scalar: its dtype is known at run time only
Table: TypeAlias = Any  # int64 array here, int64* in a kernel
Kernel: TypeAlias = Callable[[Table, int, int, int], int]

DTYPES: Final = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
)  # fmt: skip

_CTYPES: Final[dict[str, Any]] = {
    name: getattr(ctypes, f"c_{name}")
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
} | {"float32": ctypes.c_float, "float64": ctypes.c_double}


class Pointer:
    """A typed address that is indexed like a C pointer.

    Parameters
    ----------
    address : int
        Address of element 0, in bytes.
    dtype : str
        One of `DTYPES`.
    """

    __slots__ = ("_cells", "_scalar", "address", "dtype")

    def __init__(self, address: int, dtype: str) -> None:
        self.address = int(address)
        self.dtype = dtype
        self._scalar = np.dtype(dtype).type
        self._cells: Any = ctypes.cast(self.address, ctypes.POINTER(_CTYPES[dtype]))

    def __getitem__(self, index: int) -> Scalar:
        return self._scalar(self._cells[index])

    def __setitem__(self, index: int, value: Scalar) -> None:
        # The dtype's own cast first, so that a float64 is rounded and an integer wrapped as in a kernel.
        self._cells[index] = _cast(self.dtype, value).item()


def _pointer_at(dtype: str) -> Callable[[Table, int], Pointer]:
    def pointer_at(table: Table, slot: int) -> Pointer:
        return Pointer(int(table[slot]), dtype)

    return pointer_at


def shifted(pointer: Pointer, offset: int) -> Pointer:
    """The pointer to element `offset` of `pointer`, as a sub-block's address for a matrix product."""
    step = int(offset) * np.dtype(pointer.dtype).itemsize
    return Pointer(pointer.address + step, pointer.dtype)


# --- casts --------------------------------------------------------------------------------------------------


def _saturated(value: float, low: int, high: int) -> int:
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return high if value > 0 else low
    return min(max(math.trunc(value), low), high)


def _cast(dtype: str, value: Scalar) -> Scalar:
    target = np.dtype(dtype)
    if target.kind not in "iu" or isinstance(value, (int, np.integer, np.bool_)):
        return np.asarray(value).astype(target)[()]
    if target == np.uint64:
        low, high = -(2**63), 2**64 - 1
    elif target.itemsize < 4 or target == np.int32:
        low, high = -(2**31), 2**31 - 1
    else:
        low, high = -(2**63), 2**63 - 1
    # The remaining bits are cut off: uint8(300.0) is 44 and uint8(-1.0) is 255, as with NumPy on x86.
    bits = _saturated(float(value), low, high) % 2 ** (8 * target.itemsize)
    return np.uint64(bits).astype(target)


# --- scalar functions ---------------------------------------------------------------------------------------


def erf(x: Scalar) -> Scalar:
    """The error function; a float32 argument is rounded once, from the float64 value."""
    return x.dtype.type(math.erf(x))


def erfc(x: Scalar) -> Scalar:
    """``1 - erf(x)``; a float32 argument is rounded once, from the float64 value."""
    return x.dtype.type(math.erfc(x))


def _from_array(function: Callable[[Any], Any]) -> Callable[[Scalar], Scalar]:
    """A function of arrays as one of scalars."""
    return lambda x: function(np.asarray(x))[()]


def select(condition: Scalar, chosen: Scalar, other: Scalar) -> Scalar:
    """`chosen` where `condition` holds, else `other`; both are evaluated."""
    return chosen if condition else other


def sigmoid(x: Scalar) -> Scalar:
    """1 / (1 + exp(-x)), written so that neither end overflows."""
    one = x.dtype.type(1)
    small = np.exp(-np.absolute(x))
    return select(x >= 0, one, small) / (one + small)


def softplus(x: Scalar) -> Scalar:
    """log(1 + exp(x)), written so that neither end overflows."""
    return np.maximum(x, x.dtype.type(0)) + np.log1p(np.exp(-np.absolute(x)))


def power(x: Scalar, exponent: Scalar) -> Scalar:
    """`x` to the power `exponent`.

    Integers wrap modulo 2**bits; a negative exponent gives the quotient 1 // x**-exponent cut towards
    zero (so 0 unless x is 1 or -1), since a kernel can't raise.
    """
    if x.dtype.kind == "f" or exponent >= 0:
        return np.power(x, exponent)
    if x == -1:
        return x if int(exponent) % 2 else -x
    return x.dtype.type(x == 1)


def accumulate(accumulator: Scalar, x: Scalar) -> Scalar:
    """One addition of a sum; compiled kernels may reorder it and fuse it with a product that feeds it."""
    return accumulator + x


def multiply_add(x: Scalar, y: Scalar, total: Scalar) -> Scalar:
    """One more product in a sum that keeps its order; rounded once by compiled kernels if the CPU can."""
    return total + x * y


def accumulate_product(accumulator: Scalar, x: Scalar) -> Scalar:
    """One multiplication of a product; compiled kernels may reorder it."""
    return accumulator * x


def philox_word(key: Scalar, counter: Scalar, index: int, bits: int) -> Scalar:
    """Word `index` of the random words of `bits` bits (32 or 64) from the block `counter` on, as a uint64.

    See `ops.philox.random_words`.
    """
    block, place = divmod(int(index), 128 // bits)
    words = random_words(int(key), (int(counter) + block) % 2**64, place + 1, np.dtype(f"uint{bits}"))
    return np.uint64(words[place])


# --- blocks, stages, errors ---------------------------------------------------------------------------------


def span(stage: int, index: int, lo: int, hi: int, n: int) -> tuple[int, int]:
    """Bounds of the outer loop of stage `index`: all of n, the part [lo, hi), or nothing."""
    if stage == RUN_ALL:
        return 0, n
    return (lo, hi) if stage == index else (0, 0)


def status(table: Table, slot: int, code: int, detail: int) -> int:
    """Store `detail` (which index, which check) in the table and return `code`."""
    table[slot] = detail
    return code


def _combine(add: Callable[[Scalar, Scalar], Scalar], partials: Pointer, blocks: int, width: int) -> None:
    step = 1
    while step < blocks:
        for block in range(0, blocks - step, 2 * step):
            for lane in range(width):
                left, right = block * width + lane, (block + step) * width + lane
                partials[left] = add(partials[left], partials[right])
        step *= 2


def combine_pairwise(partials: Pointer, blocks: int, width: int) -> None:
    """Add the rows of `partials`, laid out [blocks, width], in a fixed tree; the totals end in row 0."""
    _combine(np.add, partials, blocks, width)


def combine_pairwise_product(partials: Pointer, blocks: int, width: int) -> None:
    """Multiply the rows of `partials`, laid out [blocks, width], in a fixed tree, into row 0."""
    _combine(np.multiply, partials, blocks, width)


def _matrix(pointer: Pointer, rows: int, columns: int, stride: int) -> Any:
    dtype = np.dtype(pointer.dtype)
    if rows == 0 or columns == 0:
        return np.zeros((rows, columns), dtype)
    size = ((rows - 1) * stride + columns) * dtype.itemsize
    cells = np.frombuffer(memoryview((ctypes.c_char * size).from_address(pointer.address)), dtype)
    return np.lib.stride_tricks.as_strided(cells, (rows, columns), (stride * dtype.itemsize, dtype.itemsize))


def gemm_float64(  # noqa: PLR0913, PLR0917 - BLAS's own parameters
    _address: int, trans_a: int, trans_b: int, m: int, n: int, k: int,
    a: Pointer, lda: int, b: Pointer, ldb: int, c: Pointer, ldc: int,
) -> None:  # fmt: skip
    """C = op(A) op(B) in row-major order, C of shape (m, n), the sum over k.

    Parameters
    ----------
    _address : int
        Address of ``cblas_dgemm`` (``cblas_sgemm``) with 32-bit integers, from the table. Not used here.
    trans_a, trans_b : int
        1 if the stored matrix is the transpose of the factor, else 0.
    lda, ldb, ldc : int
        Distance of two stored rows, in elements.
    """
    left = _matrix(a, k, m, lda).T if trans_a else _matrix(a, m, k, lda)
    right = _matrix(b, n, k, ldb).T if trans_b else _matrix(b, k, n, ldb)
    _matrix(c, m, n, ldc)[...] = left @ right


gemm_float32 = gemm_float64


def dot_float64(  # noqa: PLR0917 - two operands, each with where it begins and its steps
    x: Pointer, x_first: int, x_step: int, y: Pointer, y_first: int, y_step: int, count: int, *outer: int
) -> Scalar:  # fmt: skip
    """The sum of `count` products ``x[x_first + p * x_step] * y[y_first + p * y_step]``, in order.

    `outer` are the steps in x and in y, and the count, of each axis that is summed over as well, outermost first.
    """
    total = np.dtype(x.dtype).type(0)
    axes = [*zip(outer[::3], outer[1::3], outer[2::3], strict=True), (x_step, y_step, count)]
    for index in itertools.product(*[range(length) for _, _, length in axes]):
        left = x_first + sum(place * axis[0] for place, axis in zip(index, axes, strict=True))
        right = y_first + sum(place * axis[1] for place, axis in zip(index, axes, strict=True))
        total += x[left] * y[right]
    return total


dot_float32 = dot_float64


UNARY: Final = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "sin", "cos", "tan", "tanh", "sinh",
    "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "floor", "ceil", "trunc", "rint", "absolute", "sign",
    "isnan", "isinf", "isfinite", "logical_not",
)  # fmt: skip
BINARY: Final = (
    "atan2", "hypot", "logaddexp", "copysign", "nextafter", "fmod", "maximum", "minimum", "floor_divide", "remainder",
    "left_shift", "right_shift", "logical_and", "logical_or", "logical_xor",
)  # fmt: skip

NAMES: Final[Mapping[str, Any]] = {
    "OK": OK,
    "RUN_ALL": RUN_ALL,
    "lanes": range,
    **{f"{dtype}_at": _pointer_at(dtype) for dtype in DTYPES},
    **{dtype if dtype != "bool" else "bool_": functools.partial(_cast, dtype) for dtype in DTYPES},
    **{name: getattr(np, name) for name in UNARY + BINARY},
    **{name: _from_array(getattr(gamma_functions, name)) for name in ("lgamma", "digamma", "trigamma")},
    **{
        function.__name__: function
        for function in (
            erf, erfc, select, sigmoid, softplus, power, accumulate, accumulate_product, multiply_add, philox_word,
            shifted, span, status, combine_pairwise, combine_pairwise_product, gemm_float64,
        )
    },
    "gemm_float32": gemm_float32,
    "dot_float32": dot_float32,
    "dot_float64": dot_float64,
    **{
        f"{name}_{dtype}": routine.plain
        for name, routine in ROUTINES.items()
        for dtype in DTYPES
        if np.dtype(dtype).kind in routine.kinds
    },
}  # fmt: skip


def all_names() -> dict[str, Any]:
    """`NAMES`, and the user's own functions."""
    return {**NAMES, **{name: function.plain for name, function in known_functions().items()}}


def define(
    source: str,
    name: str,
    names: Mapping[str, Any],
    constants: Mapping[str, np.generic],
    text: str | ast.Module | None = None,
) -> Callable[..., Any]:
    """Execute `source` and return its function `name`.

    Parameters
    ----------
    source : str
        Text of one module that defines `name`.
    name : str
        The kernel function's name.
    names, constants : mapping
        The globals that the text may use.
    text : str or ast.Module, optional
        What is executed instead; tracebacks show `source` nonetheless.

    Returns
    -------
    function
        As long as it lives, its file name is registered with `linecache`, so tracebacks show the text.
    """
    filename = f"<tapejit {name} {zlib.crc32(source.encode()):08x}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    scope: dict[str, Any] = {**names, **constants, "__name__": "tapejit.kernel.generated"}
    exec(compile(text or source, filename, "exec"), scope)
    function: Callable[..., Any] = scope[name]
    weakref.finalize(function, linecache.cache.pop, filename, None).atexit = False
    return function


def plain(source: str, name: str, constants: Mapping[str, np.generic]) -> Kernel:
    """The kernel `name` of `source` as plain Python, with NumPy's floating-point warnings off.

    Parameters
    ----------
    source, name, constants
        As for `tapejit.kernel.build.build`.

    Returns
    -------
    callable
        ``status = kernel(table, stage, lo, hi)`` with `table` an int64 array.
    """
    function = define(source, name, all_names(), constants)

    @functools.wraps(function)
    def kernel(table: Table, stage: int, lo: int, hi: int) -> int:
        with np.errstate(all="ignore"):
            return int(function(table, stage, lo, hi))

    return kernel
