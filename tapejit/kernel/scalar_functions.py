"""Scalar functions of the user's, which kernels call by name: what each is, and a digest of all that it depends on.

Lowest floor of the kernel room, without Numba. A function is frozen when it is declared: global and closure values that
it reads, in functions that it calls as well, are those of that moment, so that machine code made from it at any time is
what the digest says. Start reading at `scalar_function`.
"""

import builtins
import dis
import hashlib
import inspect
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from enum import Enum
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..dataclass import dataclass
from ..errors import RuleError, at_user_line
from ..forks import Rank, lock

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_LIBRARIES = {*sys.stdlib_module_names, "numpy", "numba", "llvmlite", "scipy"}


@dataclass(frozen=True, slots=True, eq=False)
class ScalarFunction:
    """A function of numbers.

    Attributes
    ----------
    name : str
        What kernels call it; no other function in this process has it.
    inputs : tuple of str
        Its parameters.
    result : numpy.dtype or None
        Of its result; None: that of the operands.
    frozen : function
        The Python function.
    options : mapping
        What the user's ``njit`` was given.
    nested : tuple of (mapping, str, options)
        Where in the globals and closures of frozen functions others stand, which Numba has to compile first.
    place : str
        Where the user wrote it.
    digest : str
        Of all that its machine code depends on, besides dtypes.
    """

    name: str
    inputs: tuple[str, ...]
    result: np.dtype | None
    frozen: FunctionType
    options: Mapping[str, Any]
    nested: "tuple[Nested, ...]"
    place: str
    digest: str

    def plain(self, *operands: Any) -> Any:
        """The function as plain Python, of NumPy scalars."""
        dtype = operands[0].dtype if self.result is None else self.result
        return np.asarray(self.frozen(*operands)).astype(dtype)[()]


@dataclass(frozen=True, slots=True)
class Nested:
    """Another function that a frozen one reads: ``holder[key]``, or the contents of a cell where `key` is empty."""

    holder: Any
    key: str
    options: Mapping[str, Any]

    @property
    def function(self) -> Any:
        """What stands there."""
        return self.holder[self.key] if self.key else self.holder.cell_contents

    def replace(self, compiled: Any) -> None:
        """Let something else stand there."""
        if self.key:
            self.holder[self.key] = compiled
        else:
            self.holder.cell_contents = compiled


_KNOWN: dict[str, ScalarFunction] = {}
_LOCK = lock(Rank.CODE, threading.Lock)


def known_functions() -> Mapping[str, ScalarFunction]:
    """All of them, by name."""
    return _KNOWN


def scalar_function(
    function: Callable[..., Any], name: str, taken: Callable[[str], bool], result: np.dtype | None
) -> ScalarFunction:
    """Declare a function.

    Parameters
    ----------
    function : callable
        A Python function, or what ``numba.njit`` made of one.
    name : str
        The user's name for it.
    taken : callable
        Whether a name means something else in kernels.
    result : numpy.dtype, optional
        See `ScalarFunction`.

    Raises
    ------
    RuleError
        If it is no such function, or has other than positional parameters without defaults.
    """
    python = getattr(function, "py_func", function)
    if not isinstance(python, FunctionType):
        raise RuleError(
            at_user_line(f"primitive: {function!r} is no Python function, nor one that numba.njit compiles")
        )
    parameters = inspect.signature(python).parameters.values()
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    place = f"{python.__code__.co_filename}:{python.__code__.co_firstlineno}"
    if not parameters or any(each.kind not in plain or each.default is not each.empty for each in parameters):
        raise RuleError(
            at_user_line(f"primitive: {name} ({place}) must have positional parameters without defaults only")
        )
    freezer = _Freezer()
    frozen = freezer.function(function)
    digest = hashlib.sha256("\n".join([name, str(result), *freezer.lines]).encode()).hexdigest()
    inputs = tuple(each.name for each in parameters)
    with _LOCK:
        number, unique = 1, name
        while taken(unique) or (unique in _KNOWN and _KNOWN[unique].digest != digest):
            number += 1
            unique = f"{name}_{number}"
        if unique not in _KNOWN:
            _KNOWN[unique] = ScalarFunction(
                unique, inputs, result, frozen, _options(function), tuple(freezer.nested), place, digest
            )
        return _KNOWN[unique]


def _options(function: Any) -> Mapping[str, Any]:
    return dict(getattr(function, "targetoptions", {}))


@dataclass(slots=True)
class _Freezer:
    """Copies functions with the values that they read, and says in `lines` what it met."""

    lines: list[str] = field(default_factory=list)
    nested: list[Nested] = field(default_factory=list)
    made: dict[int, FunctionType] = field(default_factory=dict)
    held: list[Any] = field(default_factory=list)  # what is known by address must live as long

    def function(self, function: Any) -> FunctionType:
        """A function with what it reads frozen."""
        python: FunctionType = getattr(function, "py_func", function)
        self.lines.append(f"function {sorted(map(str, _options(function).items()))}")
        if id(python) in self.made:
            self.lines.append(f"again {list(self.made).index(id(python))}")
            return self.made[id(python)]
        self.held.append(python)
        code = python.__code__
        scope: dict[str, Any] = {"__builtins__": builtins, "__name__": python.__module__}
        cells = tuple(CellType() for _ in python.__closure__ or ())
        defaults = python.__defaults__
        frozen = FunctionType(code, scope, python.__name__, defaults, cells or None)
        self.made[id(python)] = frozen
        self.lines += _code_lines(code)
        names = set(_all_names(code))
        self._value(defaults, names)
        for name in sorted(set(_global_names(code))):
            self.lines.append(f"global {name}")
            if name in python.__globals__:
                scope[name] = self._value(python.__globals__[name], names)
                self._note(python.__globals__[name], scope, name)
        for name, cell, new in zip(code.co_freevars, python.__closure__ or (), cells, strict=True):
            self.lines.append(f"closure {name}")
            new.cell_contents = self._value(cell.cell_contents, names)
            self._note(cell.cell_contents, new, "")
        return frozen

    def _note(self, value: Any, holder: Any, key: str) -> None:
        if _is_function(value):
            self.nested.append(Nested(holder, key, _options(value)))

    def _value(self, value: Any, names: set[str]) -> Any:
        """A value that a function reads; of a module of the user's only what has one of these names."""
        if _is_function(value):
            return self.function(value)
        if isinstance(value, ModuleType) and not _is_library(value):
            self.lines.append(f"module {value.__name__}")
            module = ModuleType(value.__name__)
            for name in sorted(names & vars(value).keys()):
                self.lines.append(f"attribute {name}")
                vars(module)[name] = self._value(vars(value)[name], names)
                self._note(vars(value)[name], vars(module), name)
            return module
        if isinstance(value, np.ndarray):
            value = value.copy()
        self.lines.append(_described(value))
        return value


def _is_function(value: Any) -> bool:
    """Whether it is a function of the user's, whose code is a part of what it computes."""
    python = getattr(value, "py_func", value)
    return isinstance(python, FunctionType) and (python is not value or not _is_library(python))


def _is_library(value: Any) -> bool:
    name = value.__name__ if isinstance(value, ModuleType) else value.__module__ or ""
    return name.partition(".")[0] in _LIBRARIES


def _described(value: Any) -> str:
    """A value with its type; one that nobody can tell from another is like no other."""
    kind = type(value)
    if kind in _PLAIN:
        return f"{kind.__name__} {value!r}"
    if isinstance(value, np.generic | np.ndarray):
        return f"{value.dtype.str} {np.shape(value)} {value.tobytes().hex()}"
    if isinstance(value, Enum):
        return f"{kind.__qualname__} {value.name} {value.value!r}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_described, value))})"
    if isinstance(value, ModuleType):
        return f"module {value.__name__} {getattr(value, '__version__', '')}"
    if isinstance(value, BuiltinFunctionType | FunctionType | type | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"
    if kind.__module__.partition(".")[0] == "numba":  # a type of its
        return f"{kind.__name__} {value!r}"
    return f"{kind.__name__} {uuid.uuid4().hex}"


def _code_lines(code: CodeType) -> Iterator[str]:
    """All of a code object but where it stands."""
    yield f"code {code.co_code.hex()} {getattr(code, 'co_exceptiontable', b'').hex()} {code.co_flags}"
    yield f"names {code.co_names} {code.co_varnames} {code.co_freevars} {code.co_cellvars} {code.co_argcount}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_lines(constant)
        elif isinstance(constant, frozenset):
            yield f"frozenset {sorted(map(_described, constant))}"
        else:
            yield _described(constant)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _all_names(code: CodeType) -> Iterator[str]:
    for each in _codes(code):
        yield from each.co_names


def _global_names(code: CodeType) -> Iterator[str]:
    for each in _codes(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
                yield str(instruction.argval)
