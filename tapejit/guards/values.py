"""What counts as unchanged: one expectation for each kind of Python value."""

from __future__ import annotations

import gc
import math
import struct
from array import array as numbers_of_c
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import Enum
from itertools import islice
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType
from typing import Any, Protocol

import numpy as np

from tapejit.guards.paths import Absent, Reference

from ..dataclass import dataclass

__all__ = [
    "Contents",
    "Expectation",
    "Function",
    "Identity",
    "Image",
    "Method",
    "Missing",
    "Value",
    "capture",
    "describe",
    "difference",
    "is_container",
    "is_number",
    "is_plain_value",
    "is_structured",
    "same",
]

#: How many leaves of a container are compared; beyond them only the container's identity counts.
MAX_LEAVES = 1000
_MAX_DEPTH = 20

_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)
_CONTAINERS = (list, tuple, dict, set, frozenset, deque)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_BUFFERS = (bytearray, memoryview, numbers_of_c)
_MOST_BYTES = 1 << 20
_ITERATIONS: tuple[tuple[type, Callable[[Any], Iterator[object]]], ...] = (
    (list, list.__iter__),
    (tuple, tuple.__iter__),
    (set, set.__iter__),
    (frozenset, frozenset.__iter__),
    (deque, deque.__iter__),
)

_Bind = Callable[[object], str]


class _Unlike:
    """Never the value of anything: stands where an element has no value to compare by identity."""


_UNLIKE = _Unlike()


def is_plain_value(value: object) -> bool:
    """Whether `value` is compared by its bits: a number, str, bytes, None, or a tuple of those."""
    if isinstance(value, tuple):
        return type(value) is tuple and len(value) <= MAX_LEAVES and all(map(is_plain_value, value))
    return isinstance(value, _SCALARS)


def is_number(value: object) -> bool:
    """Whether `value` is a Python or NumPy number."""
    return isinstance(value, (bool, int, float, complex, np.number, np.bool_))


def is_container(value: object) -> bool:
    """Whether `value` is a builtin container, whose elements are compared."""
    return isinstance(value, _CONTAINERS)


def is_structured(value: object, opaque: Callable[[object], bool]) -> bool:
    """Whether `value` has attributes or items that a program may read by name and change."""
    if isinstance(value, (*_SCALARS, np.ndarray, CodeType, BuiltinFunctionType)):
        return False
    return not opaque(value)


def same(now: object, then: object) -> bool:
    """Whether two plain values have the same type and the same bits.

    ``0.0`` is not ``-0.0``, ``1`` is not ``True``, and a NaN equals a NaN with the same bits.
    """
    if now is then:
        return True
    if type(now) is not type(then):
        return False
    if isinstance(now, np.generic) and isinstance(then, np.generic):
        return now.dtype == then.dtype and now.tobytes() == then.tobytes()
    if isinstance(now, float) and isinstance(then, float):
        return _same_float(now, then)
    if isinstance(now, complex) and isinstance(then, complex):
        return _same_float(now.real, then.real) and _same_float(now.imag, then.imag)
    if isinstance(now, tuple) and isinstance(then, tuple):
        return len(now) == len(then) and all(map(same, now, then))
    return isinstance(now, _SCALARS) and now == then


def _same_float(now: float, then: float) -> bool:
    if now == then:
        return now != 0.0 or math.copysign(1.0, now) == math.copysign(1.0, then)
    return now != now and then != then and struct.pack("<d", now) == struct.pack("<d", then)  # noqa: PLR0124 - NaN


def describe(value: object) -> object:
    """Return what a message shows for `value`: itself if plain, else words, which keep nothing alive."""
    if is_plain_value(value):
        return value
    if isinstance(value, Absent):
        return _Words("missing")
    if isinstance(value, (FunctionType, MethodType)):
        return _Words(f"function {value.__qualname__} (line {value.__code__.co_firstlineno})")
    if isinstance(value, Enum):
        return _Words(f"{type(value).__qualname__}.{value.name}")
    if isinstance(value, type):
        return _Words(f"class {value.__qualname__}")
    if is_container(value):
        return _Words(f"{type(value).__name__} of {len(value)}")  # type: ignore[arg-type]
    if isinstance(value, np.ndarray):
        return _Words(f"{type(value).__qualname__} of shape {value.shape}, {value.dtype}, at {id(value):#x}")
    return _Words(f"{type(value).__qualname__} at {id(value):#x}")


class _Words(str):
    """Words about a value, which print without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


Difference = tuple[str, object, object]


class Expectation(Protocol):
    """What a value must be like at the next call."""

    @property
    def shown(self) -> object:
        """What a message shows for the value as it was."""

    def same(self, value: object) -> bool:
        """Whether `value` is as expected."""

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the expression that is true if the variable is not as expected."""


def difference(expected: Expectation, value: object, text: str) -> Difference:
    """Return where `value` differs, what it was there and what it is."""
    if isinstance(expected, Contents):
        return expected.difference(value, text)
    if isinstance(expected, Image) and type(value) is expected.kind:
        return difference(expected.contents, _image(value), text)
    if isinstance(expected, Setting) and isinstance(value, ContextVar):
        return text, expected.shown, describe(_setting(value))
    return text, expected.shown, describe(value)


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing: the name, attribute or key was looked for and did not exist."""

    @property
    def shown(self) -> object:
        """The word for it."""
        return describe(Absent.MISSING)

    def same(self, value: object) -> bool:
        """Whether there is still nothing."""
        return value is Absent.MISSING

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        return f"{variable} is not {bind(Absent.MISSING)}"


@dataclass(frozen=True, slots=True)
class Value:
    """A plain value: equal type, equal bits."""

    value: object

    @property
    def shown(self) -> object:
        """The value."""
        return self.value

    def same(self, value: object) -> bool:
        """Whether type and bits are equal."""
        return same(value, self.value)

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison: identity first, since a value that nobody touched is the same object."""
        expected = bind(self.value)
        return f"{variable} is not {expected} and not {bind(same)}({variable}, {expected})"


@dataclass(frozen=True, slots=True)
class Identity:
    """The very same object."""

    reference: Reference
    shown: object

    def same(self, value: object) -> bool:
        """Whether it is the same object."""
        return self.reference.get() is value

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        return self.reference.differs(variable, bind)


@dataclass(frozen=True, slots=True)
class Array(Identity):
    """The very same array, of the same shape and dtype, which can be set in place; its elements may change."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def same(self, value: object) -> bool:
        """Whether it is the same array and looks the same."""
        return (
            isinstance(value, np.ndarray)
            and self.reference.get() is value
            and value.shape == self.shape
            and value.dtype == self.dtype
        )

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        looks = f"{variable}.shape != {bind(self.shape)} or {variable}.dtype is not {bind(self.dtype)}"
        return f"{self.reference.differs(variable, bind)} or {looks}"


@dataclass(frozen=True, slots=True)
class Elements(Array):
    """The very same array with the same elements: NumPy computed with them while the function was traced."""

    data: bytes

    def same(self, value: object) -> bool:
        """Whether it is the same array and has the same elements."""
        return Array.same(self, value) and value.tobytes() == self.data  # type: ignore[attr-defined]

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        return f"{Array.changed(self, variable, bind)} or {variable}.tobytes() != {bind(self.data)}"

    def restore(self) -> None:
        """Put the elements back into the array."""
        array = self.reference.get()
        if isinstance(array, np.ndarray):
            array[...] = np.frombuffer(self.data, self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Setting:
    """A `contextvars.ContextVar` with the same value in the context of the moment."""

    variable: Identity
    value: Expectation

    @property
    def shown(self) -> object:
        """What is said about the value."""
        return self.value.shown

    def same(self, value: object) -> bool:
        """Whether it is the same variable with the same value."""
        return isinstance(value, ContextVar) and self.variable.same(value) and self.value.same(_setting(value))

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        return f"not {bind(self.same)}({variable})"


def _setting(variable: ContextVar[object]) -> object:
    return variable.get(Absent.MISSING)


@dataclass(frozen=True, slots=True)
class Image:
    """A view of a dict, or a buffer, through which the same is to be seen."""

    kind: type
    contents: Expectation

    @property
    def shown(self) -> object:
        """What is said about the contents."""
        return self.contents.shown

    def same(self, value: object) -> bool:
        """Whether it is of the same type and shows the same."""
        return type(value) is self.kind and self.contents.same(_image(value))

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        return f"not {bind(self.same)}({variable})"


def _image(value: object) -> object:
    """What a view or a buffer shows, as a value that can be compared; `value` if it is none, or too large."""
    if isinstance(value, MappingProxyType):
        shown = next(iter(gc.get_referents(value)), None)  # asking the proxy might run the code of another mapping
        return dict(shown) if type(shown) is dict else value
    if isinstance(value, _VIEWS):
        elements: Any = value
        return tuple(elements)
    if isinstance(value, _BUFFERS) and memoryview(value).nbytes <= _MOST_BYTES:
        view = memoryview(value)
        return view.format, view.tobytes()
    return value


@dataclass(frozen=True, slots=True)
class Function:
    """The same function with the same code."""

    reference: Reference
    code: CodeType
    shown: object

    def same(self, value: object) -> bool:
        """Whether it is the same function, with its code not replaced."""
        return isinstance(value, FunctionType) and self.reference.get() is value and value.__code__ is self.code

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        return f"{self.reference.differs(variable, bind)} or {variable}.__code__ is not {bind(self.code)}"


@dataclass(frozen=True, slots=True)
class Method:
    """A function bound to the same object; the bound method itself is a new object at each look-up."""

    owner: Reference
    function: Function

    @property
    def shown(self) -> object:
        """What is said about the function."""
        return self.function.shown

    def same(self, value: object) -> bool:
        """Whether object, function and code are the same."""
        return (
            isinstance(value, MethodType) and self.owner.get() is value.__self__ and self.function.same(value.__func__)
        )

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison."""
        owner = self.owner.differs(f"{variable}.__self__", bind)
        return f"{owner} or {self.function.changed(f'{variable}.__func__', bind)}"


MOST_WRITTEN_OUT = 16
"""Lists and tuples of at most so many elements are compared one by one in the text of the guards."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A container whose elements are as expected, in the same order."""

    kind: type
    shown: object
    length: int
    items: tuple[tuple[object, Expectation], ...]
    keys: tuple[object, ...] = ()
    #: The container itself, when not all of its elements are compared.
    identity: Reference | None = None

    def same(self, value: object) -> bool:
        """Whether type, length, keys and elements are the same."""
        if type(value) is not self.kind or (self.identity is not None and self.identity.get() is not value):
            return False
        if len(value) != self.length or not self._same_keys(value):  # type: ignore[arg-type]
            return False
        return all(
            now is then or expected.same(now) for now, (then, expected) in zip(_values(value), self.items, strict=False)
        )

    def _same_keys(self, value: object) -> bool:
        if not isinstance(value, dict):
            return True
        return all(
            now is then or (type(now) is type(then) and now == then)
            for now, then in zip(dict.keys(value), self.keys, strict=False)
        )

    def changed(self, variable: str, bind: _Bind) -> str:
        """Return the comparison, written out for short lists and tuples."""
        if self.kind not in (list, tuple) or len(self.items) != self.length or self.length > MOST_WRITTEN_OUT:
            return f"not {bind(self.same)}({variable})"
        tests = [f"type({variable}) is not {bind(self.kind)}", f"len({variable}) != {self.length}"]
        if self.identity is not None:
            tests.insert(0, self.identity.differs(variable, bind))
        tests += [expected.changed(f"{variable}[{place}]", bind) for place, (_, expected) in enumerate(self.items)]
        return " or ".join(f"({test})" for test in tests)

    def unchanged(self, value: object) -> Iterator[tuple[object, Expectation]]:
        """Yield the keys of a dict, with the expectations, whose values are the same."""
        if isinstance(value, dict) and self.identity is None:
            for key, (_, expected) in zip(self.keys, self.items, strict=True):
                if key in value and expected.same(value[key]):
                    yield key, expected

    def first_change(self, value: object) -> tuple[Expectation, object] | None:
        """Return the first element's expectation and value that differ; None if length or keys do."""
        if len(value) != self.length or not self._same_keys(value):  # type: ignore[arg-type]
            return None
        pairs = zip((expected for _, expected in self.items), _values(value), strict=False)
        return next((pair for pair in pairs if not pair[0].same(pair[1])), None)

    def difference(self, value: object, text: str) -> Difference:
        """Return the first element that differs, or the container itself."""
        if type(value) is not self.kind or len(value) != self.length:  # type: ignore[arg-type]
            return text, self.shown, describe(value)
        keys = self.keys if isinstance(value, dict) else range(len(self.items))
        for key, now, (_, expected) in zip(keys, _values(value), self.items, strict=False):
            if not expected.same(now):
                name = f'["{key}"]' if isinstance(key, str) else f"[{key!r}]"
                owner, several, _ = text.rpartition(".") if text.endswith("*") else ("", "", "")
                return difference(expected, now, f"{owner}.{key}" if several else f"{text}{name}")
        return text, self.shown, describe(value)


def _values(value: object) -> list[object]:
    """Return the elements by the builtin's own iteration: a subclass might run code of its own."""
    if isinstance(value, dict):
        return list(dict.values(value))
    for kind, iterate in _ITERATIONS:
        if isinstance(value, kind):
            return list(iterate(value))
    return []


@dataclass(slots=True)
class _Capture:
    """One walk over a container, which takes a bounded number of leaves."""

    opaque: Callable[[object], bool]
    computed_with: Callable[[np.ndarray], bool]
    left: int = MAX_LEAVES

    def expectation(self, value: object, depth: int) -> Expectation:
        self.left -= 1
        if is_plain_value(value):
            return Value(value)
        if isinstance(value, FunctionType):
            return Function(Reference(value), value.__code__, describe(value))
        if isinstance(value, MethodType) and isinstance(value.__func__, FunctionType):
            bound = value.__func__
            return Method(Reference(value.__self__), Function(Reference(bound), bound.__code__, describe(bound)))
        if isinstance(value, ContextVar):
            return Setting(Identity(Reference(value), describe(value)), self.expectation(_setting(value), depth + 1))
        if value is Absent.MISSING:
            return Missing()
        if isinstance(value, np.ndarray):
            looks = Reference(value), describe(value), value.shape, value.dtype
            return Elements(*looks, value.tobytes()) if self.computed_with(value) else Array(*looks)
        if is_container(value) and not self.opaque(value):
            return self._contents(value, depth)
        return self._seen_through(value, depth)

    def _seen_through(self, value: object, depth: int) -> Expectation:
        image = _image(value)
        contents = None if image is value else self.expectation(image, depth + 1)
        if contents is None or (isinstance(contents, Contents) and contents.identity is not None):
            return Identity(Reference(value), describe(value))
        return Image(type(value), contents)

    def _contents(self, value: object, depth: int) -> Expectation:
        items: list[tuple[object, Expectation]] = []
        identity = None
        for element in _values(value):
            if self.left <= 0 or depth >= _MAX_DEPTH:
                identity = Reference(value)
                break
            expected = self.expectation(element, depth + 1)
            items.append((expected.value if isinstance(expected, Value) else _UNLIKE, expected))
        keys = tuple(islice(dict.keys(value), len(items))) if isinstance(value, dict) else ()
        length = len(value)  # type: ignore[arg-type]
        return Contents(type(value), describe(value), length, tuple(items), keys, identity)


def capture(
    value: object, opaque: Callable[[object], bool], computed_with: Callable[[np.ndarray], bool] = lambda array: False
) -> Expectation:
    """Return the expectation that `value` stays as it is.

    Parameters
    ----------
    value : object
        Any Python value, or `Absent.MISSING`.
    opaque : callable
        Says of a value whether it counts by identity alone, as tensors and variables do.
    computed_with : callable, optional
        Says of an array whether its elements count too.

    Returns
    -------
    Expectation
        It refers to objects weakly where they allow it.
    """
    return _Capture(opaque, computed_with).expectation(value, 0)
