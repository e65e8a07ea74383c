"""Which names does a code object read and write? A symbolic run over its bytecode.

The run goes once through the instructions in order, with a stack that holds `Chain`s (a name and the
attributes and constant keys read from it), constants and unknowns. It needs no control flow: at every jump
target the stack is forgotten. Forgetting loses precision only, never a read: a chain that is forgotten counts
as one that was used there, and attributes of unknown values are listed as `loose`.

Opcode names and stack layouts are those of Python 3.11 to 3.14; an opcode that is not known empties the
stack.
"""

from __future__ import annotations

import dis
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from types import CodeType
from typing import Literal

from ..dataclass import dataclass

__all__ = ["ANY", "Chain", "Reads", "Step", "analyse", "read_instructions"]

Kind = Literal["global", "cell", "parameter"]

#: The builtins that read attributes whose names are not known before they run.
_READS_ANY = {"getattr", "hasattr"}

#: Types of constant keys that a path may contain; other keys (slices, frozensets) end a chain.
_KEYS = (str, int, float, bytes, bool, tuple, type(None))


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: an attribute, or an item with a constant key.

    The type of the key is a part of the step because ``1``, ``1.0`` and ``True`` are equal. Two kinds of steps
    say by the type what they are: to all attributes with a prefix, and to what a class has under a name.
    """

    is_item: bool
    key: object
    key_type: type

    @classmethod
    def attribute(cls, name: str) -> Step:
        """Return the step ``.name``."""
        return cls(is_item=False, key=name, key_type=str)

    @classmethod
    def item(cls, key: object) -> Step:
        """Return the step ``[key]``."""
        return cls(is_item=True, key=key, key_type=type(key))

    @classmethod
    def descriptor(cls, name: str) -> Step:
        """Return the step to what the class has under `name`, such as a property, without asking it."""
        return cls(is_item=False, key=name, key_type=type)

    @classmethod
    def attributes(cls, prefix: str) -> Step:
        """Return the step to a dict of all attributes with a prefix: what ``getattr(x, f"w{i}")`` may read."""
        return cls(is_item=False, key=prefix, key_type=dict)

    @property
    def is_several(self) -> bool:
        """Whether it is a step to all attributes with a prefix."""
        return self.key_type is dict

    @property
    def is_descriptor(self) -> bool:
        """Whether it is a step to what the class has."""
        return self.key_type is type

    def __str__(self) -> str:
        """Return the step as it is written in Python, with double quotes."""
        if not self.is_item:
            return f".{self.key}*" if self.is_several else f".{self.key}"
        return f'["{self.key}"]' if isinstance(self.key, str) else f"[{self.key!r}]"


#: All attributes that are no functions.
ANY = Step.attributes("")


@dataclass(frozen=True, slots=True)
class Chain:
    """A name and the steps read from it, for example ``self.optimizer.rates[0]``."""

    kind: Kind
    name: str
    steps: tuple[Step, ...] = ()

    def then(self, step: Step) -> Chain:
        """Return the chain that goes one step further."""
        return replace(self, steps=(*self.steps, step))


@dataclass(slots=True)
class Reads:
    """What one code object reads and writes.

    Attributes
    ----------
    ends : dict of Chain to int
        The chains whose value is used, with the line of the first use.
    stores : set of Chain
        The chains that are assigned or deleted.
    loose : dict of Step to int
        Attributes and keys that are read from values which could not be followed.
    aliases : dict of str to Chain
        Locals that are assigned exactly once, from a chain.
    rebound : set of str
        Parameters that are assigned in the body, so that their name is no root.
    calls : dict of int to Chain
        The called chain for each call, by the offset of its instruction.
    """

    ends: dict[Chain, int] = field(default_factory=dict)
    stores: set[Chain] = field(default_factory=set)
    loose: dict[Step, int] = field(default_factory=dict)
    aliases: dict[str, Chain] = field(default_factory=dict)
    rebound: set[str] = field(default_factory=set)
    calls: dict[int, Chain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Constant:
    value: object


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A string of which only the beginning is known."""

    text: str


@dataclass(frozen=True, slots=True)
class _Updated:
    """What ``+=`` and the like made of a chain: stored where it came from, the value was not used."""

    chain: Chain


class _Null:
    """The NULL that CPython puts beside a callable."""


_NULL = _Null()
#: Up to 3.12 the NULL lies under the callable, from 3.13 on above it.
_NULL_ABOVE = sys.version_info >= (3, 13)
_Entry = Chain | _Constant | _Prefix | _Updated | _Null | None

#: How many values an opcode leaves; how many it takes follows from its stack effect.
_PUSHES: Mapping[str, int] = dict.fromkeys(
    (
        "BINARY_SLICE BUILD_CONST_KEY_MAP BUILD_LIST BUILD_MAP BUILD_SET BUILD_SLICE "
        "BUILD_TUPLE  CALL_FUNCTION_EX CALL_INTRINSIC_1 CALL_INTRINSIC_2 COMPARE_OP CONTAINS_OP "
        "CONVERT_VALUE FORMAT_SIMPLE  FORMAT_VALUE FORMAT_WITH_SPEC GET_ITER IMPORT_NAME IS_OP "
        "LIST_TO_TUPLE LOAD_ASSERTION_ERROR  LOAD_BUILD_CLASS LOAD_CLOSURE LOAD_COMMON_CONSTANT "
        "LOAD_FAST_AND_CLEAR LOAD_FROM_DICT_OR_GLOBALS LOAD_LOCALS  MAKE_FUNCTION "
        "SET_FUNCTION_ATTRIBUTE TO_BOOL UNARY_INVERT UNARY_NEGATIVE UNARY_NOT UNARY_POSITIVE"
    ).split(),
    1,
) | dict.fromkeys(
    (
        "CACHE COPY_FREE_VARS DELETE_FAST DICT_MERGE DICT_UPDATE EXTENDED_ARG KW_NAMES LIST_APPEND "
        "LIST_EXTEND  MAKE_CELL MAP_ADD NOP NOT_TAKEN POP_JUMP_IF_FALSE POP_JUMP_IF_NONE "
        "POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE  POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_NONE "
        "POP_JUMP_FORWARD_IF_NOT_NONE POP_JUMP_FORWARD_IF_TRUE  POP_JUMP_BACKWARD_IF_FALSE "
        "POP_JUMP_BACKWARD_IF_NONE POP_JUMP_BACKWARD_IF_NOT_NONE  POP_JUMP_BACKWARD_IF_TRUE POP_TOP "
        "RESUME SET_ADD SET_UPDATE STORE_SLICE"
    ).split(),
    0,
)

_LOCAL_LOADS = frozenset(
    "LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW LOAD_FAST_LOAD_FAST LOAD_FAST_BORROW_LOAD_FAST_BORROW".split()
)
_LOCAL_STORES = frozenset("STORE_FAST STORE_FAST_STORE_FAST".split())
_CONSTANTS = frozenset("LOAD_CONST LOAD_SMALL_INT".split())
_CELL_LOADS = frozenset("LOAD_DEREF LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF".split())
_STORED = frozenset("STORE_FAST STORE_FAST_STORE_FAST STORE_DEREF DELETE_FAST DELETE_DEREF".split())


def analyse(code: CodeType) -> Reads:
    """Return what `code` reads and writes by name.

    Parameters
    ----------
    code : types.CodeType
        The code object of a function, lambda, comprehension or generator.

    Returns
    -------
    Reads
        Chains with the lines they are used on. Nested code objects are not entered: they run in frames of
        their own.
    """
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    return read_instructions(
        dis.get_instructions(code),
        code.co_varnames[:count],
        code.co_cellvars,
        code.co_freevars,
        code.co_firstlineno,
    )


def read_instructions(
    instructions: Iterable[dis.Instruction],
    parameters: tuple[str, ...],
    cells: tuple[str, ...],
    free: tuple[str, ...],
    line: int,
) -> Reads:
    """Run symbolically over `instructions`; `analyse` for code that has been taken apart already."""
    listed = list(instructions)
    machine = _Machine(listed, parameters, cells, free, line)
    for instruction in listed:
        machine.execute(instruction)
    machine.forget()
    return machine.reads


def _local_names(argval: object) -> tuple[str, ...]:
    """Return the names of a local-variable instruction; a superinstruction has two."""
    return tuple(map(str, argval)) if isinstance(argval, tuple) else (str(argval),)


def _beginning(part: _Entry) -> _Prefix | None:
    """Return what is known of a string that begins with `part`."""
    return _Prefix(part.value) if isinstance(part, _Constant) and isinstance(part.value, str) else None


class _Machine:
    """The symbolic stack, one method per family of opcodes."""

    def __init__(
        self,
        instructions: list[dis.Instruction],
        parameters: tuple[str, ...],
        cells: tuple[str, ...],
        free: tuple[str, ...],
        line: int,
    ) -> None:
        self.reads = Reads()
        self._stack: list[_Entry] = []
        self._parameters = frozenset(parameters)
        self._cells = frozenset(cells)
        self._free = frozenset(free)
        self._line = line
        self._stores: Counter[str] = Counter()
        self._own_names: set[str] = set()
        for instruction in instructions:
            self._count_stores(instruction)
        self.reads.rebound = {name for name in parameters if self._stores[name]}
        self._handlers: dict[str, Callable[[dis.Instruction], None]] = {
            **dict.fromkeys(_LOCAL_LOADS, self._load_local),
            **dict.fromkeys(_LOCAL_STORES, self._store_local),
            **dict.fromkeys(_CONSTANTS, self._load_constant),
            **dict.fromkeys(_CELL_LOADS, self._load_cell),
            "STORE_FAST_LOAD_FAST": self._store_and_load_local,
            "STORE_DEREF": self._store_cell,
            "DELETE_DEREF": self._delete_cell,
            "LOAD_GLOBAL": self._load_global,
            "LOAD_NAME": self._load_name,
            "STORE_GLOBAL": self._store_global,
            "DELETE_GLOBAL": self._delete_global,
            "STORE_NAME": self._discard,
            "LOAD_ATTR": self._load_attribute,
            "LOAD_METHOD": self._load_attribute,
            "LOAD_SUPER_ATTR": self._load_super,
            "STORE_ATTR": self._store_attribute,
            "DELETE_ATTR": self._store_attribute,
            "BINARY_SUBSCR": self._load_item,
            "BINARY_OP": self._binary,
            "BUILD_STRING": self._build_string,
            "STORE_SUBSCR": self._store_item,
            "DELETE_SUBSCR": self._store_item,
            "UNPACK_SEQUENCE": self._unpack,
            "FOR_ITER": self._next,
            "COPY": self._copy,
            "SWAP": self._swap,
            "PUSH_NULL": self._push_null,
            "PRECALL": self._nothing,
            "CALL": self._call,
            "CALL_KW": self._call,
        }

    def _count_stores(self, instruction: dis.Instruction) -> None:
        name = instruction.opname
        if name in _STORED or name == "LOAD_FAST_AND_CLEAR":
            self._stores.update(_local_names(instruction.argval))
        elif name == "STORE_FAST_LOAD_FAST":
            self._stores.update(_local_names(instruction.argval)[:1])
        elif name in {"STORE_NAME", "DELETE_NAME"}:
            self._own_names.add(str(instruction.argval))

    def execute(self, instruction: dis.Instruction) -> None:
        """Apply one instruction to the stack."""
        if instruction.is_jump_target:
            self.forget()
        if instruction.positions is not None and instruction.positions.lineno is not None:
            self._line = instruction.positions.lineno
        handler = self._handlers.get(instruction.opname)
        if handler is not None:
            handler(instruction)
        elif instruction.opname in _PUSHES:
            self._generic(instruction)
        else:
            self.forget()

    def forget(self) -> None:
        """Empty the stack; what was on it counts as used."""
        self._end(*self._stack)
        self._stack.clear()

    def _pop(self) -> _Entry:
        return self._stack.pop() if self._stack else None

    def _take(self, count: int) -> list[_Entry]:
        """Pop `count` entries; the deepest comes first."""
        taken = [self._pop() for _ in range(count)]
        return taken[::-1]

    def _end(self, *entries: _Entry) -> None:
        for entry in entries:
            chain = entry.chain if isinstance(entry, _Updated) else entry
            if isinstance(chain, Chain):
                self.reads.ends.setdefault(chain, self._line)

    def _store_in(self, target: Chain, value: _Entry) -> None:
        if not (isinstance(value, _Updated) and value.chain == target):
            self._end(value)
        self.reads.stores.add(target)

    def _extend(self, owner: _Entry, step: Step) -> Chain | None:
        if isinstance(owner, Chain):
            return owner.then(step)
        self.reads.loose.setdefault(step, self._line)
        return None

    def _generic(self, instruction: dis.Instruction) -> None:
        pushes = _PUSHES[instruction.opname]
        effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        self._end(*self._take(pushes - effect))
        self._stack.extend([None] * pushes)

    def _nothing(self, instruction: dis.Instruction) -> None:
        """Leave the stack alone: 3.11 announces a call with an instruction of its own."""

    def _discard(self, instruction: dis.Instruction) -> None:
        self._end(self._pop())

    def _load_constant(self, instruction: dis.Instruction) -> None:
        self._stack.append(_Constant(instruction.argval))

    def _local(self, name: str) -> Chain | None:
        if name in self.reads.aliases:
            return self.reads.aliases[name]
        if name in self._parameters and name not in self.reads.rebound:
            return Chain("parameter", name)
        return None

    def _load_local(self, instruction: dis.Instruction) -> None:
        self._stack.extend(self._local(name) for name in _local_names(instruction.argval))

    def _store(self, name: str) -> None:
        value = self._pop()
        if isinstance(value, Chain) and self._stores[name] == 1 and name not in self._parameters:
            self.reads.aliases[name] = value
            if name not in self._cells:
                return
        self._end(value)

    def _store_local(self, instruction: dis.Instruction) -> None:
        for name in _local_names(instruction.argval):
            self._store(name)

    def _store_and_load_local(self, instruction: dis.Instruction) -> None:
        stored, loaded = _local_names(instruction.argval)
        self._store(stored)
        self._stack.append(self._local(loaded))

    def _load_cell(self, instruction: dis.Instruction) -> None:
        name = str(instruction.argval)
        if instruction.opname == "LOAD_FROM_DICT_OR_DEREF":
            self._pop()
        self._stack.append(Chain("cell", name) if name in self._free else self._local(name))

    def _store_cell(self, instruction: dis.Instruction) -> None:
        name = str(instruction.argval)
        if name not in self._free:
            self._store(name)
            return
        self._store_in(Chain("cell", name), self._pop())

    def _delete_cell(self, instruction: dis.Instruction) -> None:
        if instruction.argval in self._free:
            self.reads.stores.add(Chain("cell", str(instruction.argval)))

    def _load_global(self, instruction: dis.Instruction) -> None:
        name = Chain("global", str(instruction.argval))
        if not (instruction.arg or 0) & 1:
            self._stack.append(name)
        else:
            self._stack.extend((name, _NULL) if _NULL_ABOVE else (_NULL, name))

    def _load_name(self, instruction: dis.Instruction) -> None:
        name = str(instruction.argval)
        self._stack.append(None if name in self._own_names else Chain("global", name))

    def _store_global(self, instruction: dis.Instruction) -> None:
        self._store_in(Chain("global", str(instruction.argval)), self._pop())

    def _delete_global(self, instruction: dis.Instruction) -> None:
        self.reads.stores.add(Chain("global", str(instruction.argval)))

    def _load_attribute(self, instruction: dis.Instruction) -> None:
        value = self._extend(self._pop(), Step.attribute(str(instruction.argval)))
        self._stack.append(value)
        # dis hides the method flag in argval, stack_effect knows it; a second entry holds self or NULL.
        is_method = instruction.opname == "LOAD_METHOD" or (
            dis.stack_effect(instruction.opcode, instruction.arg, jump=False) == 1
        )
        if is_method:
            self._stack.append(_NULL)

    def _load_super(self, instruction: dis.Instruction) -> None:
        effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        self._end(*self._take(3))
        self._stack.extend([None] * (3 + effect))

    def _store_attribute(self, instruction: dis.Instruction) -> None:
        owner = self._pop()
        value = self._pop() if instruction.opname == "STORE_ATTR" else None
        if isinstance(owner, Chain):
            self._store_in(owner.then(Step.attribute(str(instruction.argval))), value)
        else:
            self._end(value)

    def _subscript(self) -> Chain | None:
        key, owner = self._pop(), self._pop()
        if isinstance(key, _Constant) and isinstance(key.value, _KEYS):
            return self._extend(owner, Step.item(key.value))
        self._end(owner, key)
        return None

    def _load_item(self, instruction: dis.Instruction) -> None:
        self._stack.append(self._subscript())

    def _binary(self, instruction: dis.Instruction) -> None:
        if instruction.argrepr == "[]":  # since 3.14 a subscript is a binary operation
            self._stack.append(self._subscript())
            return
        operand, target = self._pop(), self._pop()
        self._end(operand)
        if isinstance(target, Chain) and instruction.argrepr.endswith("="):
            self._stack.append(_Updated(target))
            return
        self._end(target)
        self._stack.append(_beginning(target) if instruction.argrepr == "+" else None)

    def _build_string(self, instruction: dis.Instruction) -> None:
        parts = self._take(instruction.arg or 0)
        self._end(*parts)
        self._stack.append(_beginning(parts[0]) if parts else None)

    def _store_item(self, instruction: dis.Instruction) -> None:
        key, owner = self._pop(), self._pop()
        value = self._pop() if instruction.opname == "STORE_SUBSCR" else None
        if isinstance(owner, Chain) and isinstance(key, _Constant) and isinstance(key.value, _KEYS):
            self._store_in(owner.then(Step.item(key.value)), value)
        else:
            if isinstance(owner, Chain) and instruction.opname == "STORE_SUBSCR":
                owner = owner.then(Step.attribute("__setitem__"))
            self._end(owner, key, value)

    def _unpack(self, instruction: dis.Instruction) -> None:
        owner, count = self._pop(), instruction.arg or 0
        items = [owner.then(Step.item(i)) if isinstance(owner, Chain) else None for i in range(count)]
        self._end(owner)
        self._stack.extend(reversed(items))

    def _next(self, instruction: dis.Instruction) -> None:
        self._stack.append(None)

    def _copy(self, instruction: dis.Instruction) -> None:
        depth = instruction.arg or 1
        self._stack.append(self._stack[-depth] if depth <= len(self._stack) else None)

    def _swap(self, instruction: dis.Instruction) -> None:
        depth = instruction.arg or 1
        missing = max(0, depth - len(self._stack))
        self._stack[:0] = [None] * missing
        self._stack[-1], self._stack[-depth] = self._stack[-depth], self._stack[-1]

    def _push_null(self, instruction: dis.Instruction) -> None:
        self._stack.append(_NULL)

    def _call(self, instruction: dis.Instruction) -> None:
        count = instruction.arg or 0
        taken = self._take(count + 2 + (instruction.opname == "CALL_KW"))
        callee = taken[1] if isinstance(taken[0], _Null) else taken[0]
        if isinstance(callee, Chain):
            self.reads.calls[instruction.offset] = callee
        if callee == Chain("global", "len") and isinstance(taken[2], Chain):
            taken[2] = taken[2].then(Step.attribute("__len__"))
        self._stack.append(self._result_of(callee, taken[2:]))
        self._end(*taken)

    def _result_of(self, callee: _Entry, arguments: list[_Entry]) -> Chain | None:
        """Return the chain that a call of a builtin reads, if that is also what the call returns."""
        if not isinstance(callee, Chain) or callee.kind != "global" or callee.steps or not arguments:
            return None
        owner, name = arguments[0], arguments[1] if len(arguments) > 1 else None
        if callee.name == "vars":
            return self._extend(owner, Step.attribute("__dict__"))
        if callee.name not in _READS_ANY or len(arguments) < 2:
            return None
        if not (isinstance(name, _Constant) and isinstance(name.value, str)):
            self._end(self._extend(owner, Step.attributes(name.text) if isinstance(name, _Prefix) else ANY))
            return None
        read = self._extend(owner, Step.attribute(name.value))
        if callee.name == "getattr":
            return read
        self._end(read)
        return None
