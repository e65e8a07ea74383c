"""Kernels as object files for C: position-independent code with two functions, the user's and that of its messages.

The user's function has typed pointers and numbers as its parameters. It fills the kernel's table on the stack and calls
the kernel, which is not visible from outside. What the function captured is in the object, as constants. Imports
llvmlite; reached through `door` only. Start reading at `object_file`.
"""

# llvmlite's functions carry no types.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import llvmlite.binding as llvm
from llvmlite import ir

from ..dataclass import dataclass
from . import assembly, door
from .emission import Emitted
from .instructions import I1, I8, I32, I64, Value, type_of, variable, while_
from .linear_algebra import function_text
from .memory import ALIGNMENT, side_by_side
from .messages import Message, Number
from .objects import ALLOWED_SYMBOLS, UnknownSymbol, undefined_symbols
from .targets import target_cpu, target_machine

_KERNEL = "tapejit_kernel"
_POINTER = ir.PointerType(I8)
_DIGITS = 20  # of the largest number, with its sign

# What compilers and linkers bring: addresses of variables that each thread has for itself, checks of the stack.
_OF_THE_SYSTEM = frozenset(
    ("__tls_get_addr", "_tlv_bootstrap", "_tls_index", "_GLOBAL_OFFSET_TABLE_", "__chkstk", "___chkstk_ms")
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the C function: its dtype, its slot in the table (None where it is not read)."""

    dtype: str
    by_value: bool
    slot: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """The C function.

    Parameters
    ----------
    name : str
        A C identifier.
    slots : int
        How many the table has.
    parameters : sequence of Parameter
        In order.
    constants : mapping of int to bytes
        For slots of what is captured what stands at their addresses.
    libraries : mapping of int to str
        For slots of library functions their names.
    bundled : set of str
        Those of them that the object brings with it; the others are the program's.
    memory : sequence of (int, int)
        Slots of workspaces, and how many bytes each has.
    given : bool
        Whether a last parameter is the address of memory for them, which is the caller's, instead of the stack.
    details : sequence of int
        The slots where a failed check writes.
    messages : sequence of Message
        What statuses from 0 on say.
    """

    name: str
    slots: int
    parameters: Sequence[Parameter]
    constants: Mapping[int, bytes]
    libraries: Mapping[int, str]
    bundled: Collection[str]
    memory: Sequence[tuple[int, int]]
    given: bool
    details: Sequence[int]
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """Machine code for C.

    Attributes
    ----------
    code : bytes
        A relocatable object file.
    needs : tuple of str
        The functions of the C library's, and of BLAS and LAPACK, that it calls, sorted.
    target : str
        Platform and CPU that it is for.
    """

    code: bytes
    needs: tuple[str, ...]
    target: str


def object_file(emitted: Emitted, entry: Entry) -> ObjectFile:
    """Compile a kernel to an object file.

    Parameters
    ----------
    emitted : Emitted
        The kernel's text.
    entry : Entry
        How C calls it.

    Returns
    -------
    ObjectFile

    Raises
    ------
    UnknownSymbol
        The code refers to something that no C program has.
    """
    fixed = emitted.layout.fixed_slots()
    finish = partial(_finished, entry)
    made: ObjectFile = door.builder().build(emitted.source, emitted.name, _KERNEL, emitted.constants, fixed, finish)
    return made


def _finished(entry: Entry, texts: list[str], symbol: str, body: str, _started: float) -> ObjectFile:
    """What is made of the LLVM modules of a kernel, which are optimised as all kernels are, to the same bits."""
    module = assembly.optimised(texts, symbol, body)
    machine = target_machine(position_independent=True)
    # From here on nothing is optimised: where the kernel knew its table, its sums could come out in another order.
    module.link_in(llvm.parse_assembly(str(_Writer(entry).module)))
    for name in entry.bundled:
        module.link_in(llvm.parse_assembly(assembly.optimised_alone(function_text(name), name)))
    for name in (symbol, *entry.bundled):
        module.get_function(name).linkage = "internal"
    module.verify()
    code: bytes = machine.emit_object(module)
    needs = [name for name in undefined_symbols(code) if name not in _OF_THE_SYSTEM]
    foreign = [name for name in needs if name not in ALLOWED_SYMBOLS and name not in entry.libraries.values()]
    if foreign:
        raise UnknownSymbol(f"{entry.name} refers to {', '.join(foreign)}, which a C program doesn't have")
    return ObjectFile(code, tuple(needs), f"{llvm.get_process_triple()}, {target_cpu()[0]}")


class _Writer:
    """Writes the module with both functions."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.module = ir.Module()
        self.details = self._own("details", ir.ArrayType(I64, max(len(entry.details), 1)))
        self._write_function()
        self._write_messages()

    def _own(self, name: str, type_: ir.Type) -> Value:
        """A variable that each thread has for itself."""
        made = ir.GlobalVariable(self.module, type_, f"{self.entry.name}_{name}")
        made.storage_class, made.linkage = "thread_local", "internal"
        made.initializer = ir.Constant(type_, None)
        return made

    def _constant(self, contents: bytes) -> Value:
        type_ = ir.ArrayType(I8, len(contents))
        made = ir.GlobalVariable(self.module, type_, self.module.get_unique_name("constant"))
        made.global_constant, made.linkage, made.align = True, "internal", ALIGNMENT
        made.initializer = ir.Constant(type_, bytearray(contents))
        return made

    # The function

    def _write_function(self) -> None:
        entry = self.entry
        kinds = [_passed(each.dtype) if each.by_value else _POINTER for each in entry.parameters]
        kinds += [_POINTER] if entry.given else []
        function = ir.Function(self.module, ir.FunctionType(I32, kinds), entry.name)
        function.attributes.add("nounwind")
        b = ir.IRBuilder(function.append_basic_block("entry"))
        table = b.alloca(I64, max(entry.slots, 1))
        if entry.given:
            absent = b.icmp_unsigned("==", b.ptrtoint(function.args[-1], I64), I64(0))
            with b.if_then(absent, likely=False):
                b.ret(I32(len(entry.messages) - 1))
        for parameter, given in zip(entry.parameters, function.args, strict=False):
            if parameter.slot is not None:
                _store(b, table, parameter.slot, _kept(b, parameter.dtype, given) if parameter.by_value else given)
        for slot, contents in entry.constants.items():
            _store(b, table, slot, self._constant(contents))
        for slot, name in entry.libraries.items():
            _store(b, table, slot, ir.Function(self.module, ir.FunctionType(ir.VoidType(), []), name))
        self._give_memory(b, table, function.args[-1] if entry.given else None)
        kernel = ir.Function(self.module, ir.FunctionType(I64, [_POINTER, I64, I64, I64]), _KERNEL)
        status = b.call(kernel, [b.bitcast(table, _POINTER), I64(-1), I64(0), I64(0)])
        if entry.details:
            with b.if_then(b.icmp_signed("!=", status, I64(0)), likely=False):
                for place, slot in enumerate(entry.details):
                    detail = b.load(b.gep(table, [I64(slot)]))
                    b.store(detail, b.gep(self.details, [I64(0), I64(place)]))
        known = b.icmp_unsigned("<", status, I64(len(entry.messages)))
        b.ret(b.select(known, b.trunc(status, I32), I32(-1)))

    def _give_memory(self, b: ir.IRBuilder, table: Value, given: Value | None) -> None:
        offsets, size = side_by_side([count for _, count in self.entry.memory])
        if not size:
            return
        if given is None:
            start = b.alloca(I8, size)
            start.align = ALIGNMENT
            start = b.ptrtoint(start, I64)
        else:
            start = b.and_(b.add(b.ptrtoint(given, I64), I64(ALIGNMENT - 1)), I64(-ALIGNMENT))
        for (slot, _), offset in zip(self.entry.memory, offsets, strict=True):
            b.store(b.add(start, I64(offset)), b.gep(table, [I64(slot)]))

    # Messages

    def _write_messages(self) -> None:
        """``const char *NAME_message(int status)``; one with numbers is written to a buffer of the thread's."""
        entry = self.entry
        name = f"{entry.name}_message"
        function = ir.Function(self.module, ir.FunctionType(_POINTER, [I32]), name)
        function.attributes.add("nounwind")
        b = ir.IRBuilder(function.append_basic_block("entry"))
        others = function.append_basic_block("others")
        choice = b.switch(function.args[0], others)
        buffer = None
        if any(isinstance(piece, Number) for message in entry.messages for piece in message):
            buffer = self._own("text", ir.ArrayType(I8, max(map(_length, entry.messages))))
        for status, message in enumerate(entry.messages):
            block = function.append_basic_block(f"status{status}")
            choice.add_case(I32(status), block)
            b.position_at_end(block)
            self._write_message(b, message, buffer)
        b.position_at_end(others)
        self._write_message(b, (f"{entry.name}: unknown status",), None)

    def _write_message(self, b: ir.IRBuilder, message: Message, buffer: Value | None) -> None:
        if buffer is None or all(isinstance(piece, str) for piece in message):
            b.ret(b.bitcast(self._constant("".join(map(str, message)).encode() + b"\0"), _POINTER))
            return
        place = variable(b, b.bitcast(buffer, _POINTER))
        for piece in message:
            if isinstance(piece, str):
                _append_text(b, place, self._constant(piece.encode()), len(piece.encode()))
                continue
            number = b.load(b.gep(self.details, [I64(0), I64(piece.detail)]))
            if piece.divisor != 1:
                number = b.sdiv(number, I64(piece.divisor))
            if piece.modulus:
                number = b.srem(number, I64(piece.modulus))
            _append_number(b, place, number)
        b.store(I8(0), b.load(place))
        b.ret(b.bitcast(buffer, _POINTER))


def _passed(dtype: str) -> ir.Type:
    """The type of a number that is passed by value; a boolean is a byte."""
    return I8 if dtype == "bool" else type_of(dtype)


def _kept(b: ir.IRBuilder, dtype: str, value: Value) -> Value:
    """The address of a number that was passed by value."""
    if dtype == "bool":
        value = b.zext(b.icmp_unsigned("!=", value, I8(0)), I8)
    return variable(b, value)


def _store(b: ir.IRBuilder, table: Value, slot: int, address: Value) -> None:
    b.store(b.ptrtoint(address, I64), b.gep(table, [I64(slot)]))


def _length(message: Message) -> int:
    return 1 + sum(len(piece.encode()) if isinstance(piece, str) else _DIGITS for piece in message)


def _append_text(b: ir.IRBuilder, place: Value, text: Value, length: int) -> None:
    """Copy so many bytes to where `place` points, and move it behind them."""
    index = variable(b, I64(0))

    def step() -> None:
        now = b.load(index)
        b.store(b.load(b.gep(text, [I64(0), now])), b.gep(b.load(place), [now]))
        b.store(b.add(now, I64(1)), index)

    while_(b, lambda: b.icmp_signed("<", b.load(index), I64(length)), step)
    b.store(b.gep(b.load(place), [I64(length)]), place)


def _append_number(b: ir.IRBuilder, place: Value, number: Value) -> None:
    """Write a number in decimal digits, and move `place` behind them."""
    negative = b.icmp_signed("<", number, I64(0))
    with b.if_then(negative):
        b.store(I8(ord("-")), b.load(place))
        b.store(b.gep(b.load(place), [I64(1)]), place)
    rest = variable(b, b.select(negative, b.neg(number), number))  # of the smallest one it is right without a sign
    power = variable(b, I64(1))
    at_least = variable(b, I1(1))

    def grow() -> None:
        b.store(b.mul(b.load(power), I64(10)), power)

    while_(b, lambda: b.icmp_unsigned(">=", b.udiv(b.load(rest), b.load(power)), I64(10)), grow)

    def digit() -> None:
        value = b.udiv(b.load(rest), b.load(power))
        b.store(b.add(b.trunc(value, I8), I8(ord("0"))), b.load(place))
        b.store(b.gep(b.load(place), [I64(1)]), place)
        b.store(b.urem(b.load(rest), b.load(power)), rest)
        b.store(b.icmp_unsigned(">", b.load(power), I64(1)), at_least)
        b.store(b.udiv(b.load(power), I64(10)), power)

    while_(b, lambda: b.load(at_least), digit)
