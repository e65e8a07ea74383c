"""Kernels' object files in memory, without LLVM: where they are ELF for x86-64, and as plain as kernels are.

LLVM's own loader needs llvmlite, which takes longer to import than all else that a stored kernel waits for. LLVM writes
kernels with 64-bit addresses throughout, so that nothing is left to do but to put the sections somewhere and to write
the addresses in. Whatever is not as simple is left to LLVM. Start reading at `placed`.
"""

import ctypes
import functools
import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_RELOCATABLE, _X86_64 = 1, 62
_PROGRAM, _SYMBOLS, _UNWINDING = 1, 2, 0x70000001
_RELOCATIONS = _WITH_NUMBERS, _WITHOUT = 4, 9
_ALLOCATED, _EXECUTABLE = 2, 4
_HARMLESS = 0x10000000 | 0x20 | 0x10  # far away, strings, may be merged
_UNDEFINED = 0
_ADDRESS = 1  # the relocation R_X86_64_64: the symbol's address and a number, in eight bytes


class _Section(NamedTuple):
    """One section as the file has it."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int

    def bytes(self, code: bytes) -> bytes:
        """What is in it."""
        found = code[self.offset : self.offset + self.size]
        if len(found) != self.size:
            raise _NotPlainError
        return found


class _NotPlainError(Exception):
    """The object has something that is LLVM's to load."""


class Image:
    """Memory with a kernel's code, which it gives back when nobody holds it any more.

    Attributes
    ----------
    address : int
        Of the kernel's function.
    """

    __slots__ = ("__weakref__", "_memory", "address")

    def __init__(self, memory: mmap.mmap, address: int) -> None:
        self._memory = memory
        self.address = address


def placed(code: bytes, symbol: str) -> Image | None:
    """An object file in memory, ready to be called.

    Parameters
    ----------
    code : bytes
        The object file; what it refers to has been found to be allowed.
    symbol : str
        The kernel's function in it.

    Returns
    -------
    Image or None
        None where the file is another format's or machine's, where it has anything that kernels don't have, and where
        this system lets no one make memory executable.
    """
    try:
        return _placed(code, symbol)
    except (_NotPlainError, struct.error, IndexError, ValueError, OverflowError, OSError):
        return None


def _placed(code: bytes, symbol: str) -> Image:
    magic, kind, machine, _, _, _, at, _, _, _, _, _, count, _ = _HEADER.unpack_from(code)
    if magic[:6] != b"\x7fELF\x02\x01" or (kind, machine) != (_RELOCATABLE, _X86_64):
        raise _NotPlainError
    sections = [_Section(*_SECTION.unpack_from(code, at + number * _SECTION.size)) for number in range(count)]
    places, code_size, size = _layout(sections)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for number, place in places.items():
        memory[place : place + sections[number].size] = sections[number].bytes(code)
    symbols = _symbols(code, sections, {number: start + place for number, place in places.items()})
    for target, place, index, more in _relocations(code, sections, places):
        if place + 8 > sections[target].size:
            raise _NotPlainError
        at = places[target] + place
        memory[at : at + 8] = (_known(symbols[index][1]) + more & 2**64 - 1).to_bytes(8, "little")
    _protect(start, code_size, mmap.PROT_READ | mmap.PROT_EXEC)
    _protect(start + code_size, size - code_size, mmap.PROT_READ)
    return Image(memory, _known(dict(symbols).get(symbol)))


def _layout(sections: list[_Section]) -> tuple[dict[int, int], int, int]:
    """Where each section goes, with pages of their own for code; the size of that, and of all."""
    kept: dict[bool, list[int]] = {True: [], False: []}
    for number, section in enumerate(sections):
        if not section.flags & _ALLOCATED or section.kind == _UNWINDING:  # for exceptions, of which there are none
            continue
        plain = section.kind == _PROGRAM and not section.flags & ~(_ALLOCATED | _EXECUTABLE | _HARMLESS)
        if not plain or section.alignment > mmap.PAGESIZE:
            raise _NotPlainError
        kept[bool(section.flags & _EXECUTABLE)].append(number)
    places, end, code_size = {}, 0, 0
    for executable in (True, False):
        for number in kept[executable]:
            end = _aligned(end, sections[number].alignment)
            places[number] = end
            end += sections[number].size
        end = _aligned(end, mmap.PAGESIZE)
        code_size = end if executable else code_size
    return places, code_size, max(end, mmap.PAGESIZE)


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // max(alignment, 1)) * max(alignment, 1)


def _symbols(code: bytes, sections: list[_Section], starts: dict[int, int]) -> list[tuple[str, int | None]]:
    """The names and addresses of the symbols, by index; no address where none can be told."""
    found: list[tuple[str, int | None]] = []
    for section in sections:
        if section.kind != _SYMBOLS:
            continue
        text = sections[section.link].bytes(code)
        for at, _, _, home, value, _ in _SYMBOL.iter_unpack(section.bytes(code)):
            name = text[at : text.index(b"\0", at)].decode()
            if home == _UNDEFINED:
                found.append((name, _in_process(name) if name else None))
            else:
                found.append((name, starts[home] + value if home in starts else None))
    return found


def _in_process(name: str) -> int | None:
    """The address of a function of the C library or its mathematics, if this process has it."""
    for library in _libraries():
        if hasattr(library, name):
            return ctypes.cast(library[name], ctypes.c_void_p).value
    return None


@functools.cache
def _libraries() -> tuple[ctypes.CDLL, ...]:
    return ctypes.CDLL("libm.so.6"), ctypes.CDLL(None)


def _known(address: int | None) -> int:
    if address is None:
        raise _NotPlainError
    return address


def _relocations(code: bytes, sections: list[_Section], places: dict[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """For each address that is to be written in: the section, the place in it, the symbol's index, what to add."""
    for section in sections:
        if section.kind not in _RELOCATIONS or section.info not in places:
            continue
        for place, info, more in _RELOCATION.iter_unpack(section.bytes(code)):
            if info & 0xFFFFFFFF != _ADDRESS or section.kind != _WITH_NUMBERS:
                raise _NotPlainError
            yield section.info, place, info >> 32, more


def _protect(start: int, size: int, how: int) -> None:
    """Say what memory may be used for; it is never writable and executable at once."""
    if size and _libraries()[1].mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), how):
        raise OSError
