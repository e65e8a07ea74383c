"""Machine code: checked, and loaded into the process.

Imports neither Numba nor llvmlite, so that a stored kernel runs in a process that loads neither of them where `elf` can
place it; elsewhere LLVM's own loader does, see `targets`. Start reading at `load`; fresh and stored code go through it
alike.
"""

import ctypes
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import TapejitError
from . import door, elf

_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
# Without declared arguments ctypes takes prepared ones as they are, which saves 0.4 µs a call.
_PREPARED = ctypes.CFUNCTYPE(ctypes.c_int64)

_LIBM_STEMS = (
    "exp", "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "sin", "cos", "sincos",
    "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
    "tgamma", "lgamma", "pow", "fmod", "fma", "floor", "ceil", "rint", "nearbyint", "round", "roundeven",
    "trunc", "fabs", "copysign", "fmax", "fmin", "fmaximum", "fminimum", "ldexp", "frexp", "hypot",
)  # fmt: skip
# The latter ones are what LLVM calls on macOS for pairs of sines and cosines, powers of ten and fills.
_BLOCKS = (
    "memcpy", "memmove", "memset", "bzero",
    "memset_pattern4", "memset_pattern8", "memset_pattern16",
    "__sincos_stret", "__sincosf_stret", "__exp10", "__exp10f",
)  # fmt: skip
ALLOWED_SYMBOLS = frozenset([stem + suffix for stem in _LIBM_STEMS for suffix in ("", "f")] + list(_BLOCKS))
"""What machine code may refer to: the C library's mathematics and block operations, nothing of Python's."""


class UnknownSymbol(TapejitError, LookupError):  # noqa: N818 - it says what is wrong, as KeyError does
    """Machine code refers to a function that is not allowed, or that this process doesn't have."""


# --- undefined symbols --------------------------------------------------------------------------------------


def undefined_symbols(code: bytes) -> tuple[str, ...]:
    """Names that an object file refers to without defining them.

    Parameters
    ----------
    code : bytes
        A 64-bit little-endian ELF, Mach-O or COFF object.

    Returns
    -------
    tuple of str
        Sorted, without the underscore that Mach-O puts before C names.

    Raises
    ------
    ValueError
        For any other format, and for an object that refers to places beyond its end.
    """
    if code[:6] == b"\x7fELF\x02\x01":
        names = _elf_undefined(code)
    elif code[:4] == b"\xcf\xfa\xed\xfe":
        names = _macho_undefined(code)
    elif code[:2] in {b"\x64\x86", b"\x64\xaa"}:
        names = _coff_undefined(code)
    else:
        raise ValueError("not an ELF, Mach-O or COFF object of a 64-bit little-endian machine")
    try:
        return tuple(sorted(set(names)))
    except (struct.error, IndexError) as error:
        raise ValueError("not a whole object file") from error


def _name_at(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


def _elf_undefined(code: bytes) -> Iterator[str]:
    (sections_at,) = struct.unpack_from("<Q", code, 0x28)
    entry_size, count = struct.unpack_from("<HH", code, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", code, sections_at + i * entry_size) for i in range(count)]
    for _, kind, _, _, offset, size, link, *_ in headers:
        if kind != 2:  # SHT_SYMTAB
            continue
        names = code[headers[link][4] : headers[link][4] + headers[link][5]]
        for name, info, _, section, _, _ in struct.iter_unpack("<IBBHQQ", code[offset : offset + size]):
            if section == 0 and info >> 4 and name:  # SHN_UNDEF, not STB_LOCAL
                yield _name_at(names, name)


def _macho_undefined(code: bytes) -> Iterator[str]:
    (commands,) = struct.unpack_from("<I", code, 16)
    at = 32
    for _ in range(commands):
        command, length = struct.unpack_from("<II", code, at)
        if command == 2:  # LC_SYMTAB
            symbols_at, count, names_at, names_size = struct.unpack_from("<IIII", code, at + 8)
            names = code[names_at : names_at + names_size]
            table = code[symbols_at : symbols_at + 16 * count]
            for name, kind, _, _, _ in struct.iter_unpack("<IBBHQ", table):
                if not kind & 0xE0 and kind & 0x0F == 1:  # no debug entry, external, N_UNDF
                    yield _name_at(names, name).removeprefix("_")
        at += length


def _coff_undefined(code: bytes) -> Iterator[str]:
    symbols_at, count = struct.unpack_from("<II", code, 8)
    names = code[symbols_at + 18 * count :]
    index = 0
    while index < count:
        name, value, section, _, storage, extra = struct.unpack_from("<8sIhHBB", code, symbols_at + 18 * index)
        # `_fltused` is a mark that the compiler leaves for Microsoft's linker, not a function.
        if section == 0 and value == 0 and storage == 2:
            zeros, offset = struct.unpack("<II", name)
            text = _name_at(names, offset) if zeros == 0 else name.rstrip(b"\0").decode()
            if text != "_fltused":
                yield text
        index += 1 + extra


# --- loading ------------------------------------------------------------------------------------------------


class LoadedKernel:
    """A kernel in memory; the machine code lives as long as this object or its `call`.

    Attributes
    ----------
    address : int
        Of the C function ``int64 kernel(int64 *table, int64 stage, int64 lo, int64 hi)``.
    call : ctypes function
        The same function; it takes four integers, the first the table's address, and releases the GIL.
    run : ctypes function
        The same function for what `prepared` makes of its arguments.
    symbol : str
        The function's name in the object.
    seconds : float
        How long loading took.
    """

    __slots__ = ("address", "call", "run", "seconds", "symbol")

    def __init__(self, engine: Any, address: int, symbol: str, started: float) -> None:
        self.symbol = symbol
        self.address = address
        self.call: Callable[[int, int, int, int], int] = _SIGNATURE(self.address)
        # Whoever holds the function, or is inside it, keeps the code: a call may outlive this object.
        self.call.engine = engine  # type: ignore[attr-defined]
        self.run: Callable[..., int] = _PREPARED(self.address)
        self.run.engine = engine  # type: ignore[attr-defined]
        self.seconds = time.perf_counter() - started

    @staticmethod
    def prepared(table: int, stage: int, lo: int, hi: int) -> tuple[Any, ...]:
        """What to give to `run` for these arguments of `call`."""
        return ctypes.c_void_p.from_param(table), *map(ctypes.c_int64.from_param, (stage, lo, hi))


def load(code: bytes, symbol: str, symbols: tuple[str, ...]) -> LoadedKernel:
    """Load one kernel's object file.

    Parameters
    ----------
    code : bytes
        The object file.
    symbol : str
        The kernel's function in it.
    symbols : tuple of str
        The undefined symbols that were recorded when it was built.

    Returns
    -------
    LoadedKernel

    Raises
    ------
    UnknownSymbol
        A symbol that the code refers to is not allowed or not in this process, or the object has no `symbol`.
    ValueError
        It is no object file.
    """
    started = time.perf_counter()
    needed = {*symbols, *undefined_symbols(code)}
    for name in needed:
        if name not in ALLOWED_SYMBOLS:
            raise UnknownSymbol(f"kernel {symbol!r} refers to {name!r}, which a kernel may not call")
    image = elf.placed(code, symbol)
    if image is not None:
        return LoadedKernel(image, image.address, symbol, started)
    targets = door.targets()
    for name in needed:
        if not targets.has_symbol(name):
            raise UnknownSymbol(f"kernel {symbol!r} needs {name!r}, which this process doesn't have")
    engine = targets.engine_with(code)
    address = engine.get_function_address(symbol)
    if not address:
        raise UnknownSymbol(f"the object file has no function {symbol!r}")
    return LoadedKernel(engine, address, symbol, started)
