"""Where a name leads at run time: roots, steps, and reading them without running anybody's code.

A guard is evaluated between the user's calls, so reading it must have no effect: properties, `__getattr__`
and `__missing__` are never run. A path ends at the object that would run them; what such a getter reads in
its own frame is guarded there.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

import numpy as np

from tapejit.guards.bytecode import Step

from ..dataclass import dataclass

__all__ = [
    "Absent",
    "CellRoot",
    "ClosureRoot",
    "GlobalRoot",
    "Location",
    "ObjectRoot",
    "Reference",
    "Root",
    "elements",
    "is_gone",
    "is_held_here_only",
    "step_into",
]


class Absent(Enum):
    """Why there is no value at the end of a path."""

    MISSING = "no such name, attribute or key"
    CLOSED = "reading on would run code, or the value has no parts that can change"
    DEAD = "the object that the path starts from is gone"


_Bind = Callable[[object], str]


class Reference:
    """A reference that keeps its object alive only if there is no other way."""

    __slots__ = ("_weak", "target")

    def __init__(self, value: object, *, hold: bool = False) -> None:
        self._weak: weakref.ref[object] | None = None
        #: The object, when it can't be referred to weakly.
        self.target: object = value if hold else None
        if hold:
            return
        try:
            self._weak = weakref.ref(value)
        except TypeError:
            self.target = value

    @property
    def is_weak(self) -> bool:
        """Whether the object may go while this reference exists."""
        return self._weak is not None

    def get(self) -> object:
        """Return the object, or `Absent.DEAD`."""
        if self._weak is None:
            return self.target
        value = self._weak()
        return Absent.DEAD if value is None else value

    def differs(self, variable: str, bind: _Bind) -> str:
        """Return the expression that is true if the variable holds another object."""
        if self._weak is None:
            return f"{variable} is not {bind(self.target)}"
        return f"{variable} is None or {bind(self._weak)}() is not {variable}"

    @property
    def weak(self) -> weakref.ref[object] | None:
        """The weak reference, or None where the object is kept alive."""
        return self._weak

    def emit(self, bind: _Bind) -> str:
        """Return the expression that reads the object; None once it is gone."""
        return bind(self.target) if self._weak is None else f"{bind(self._weak)}()"


class Root(Protocol):
    """The start of a path."""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two roots the same."""

    @property
    def owner(self) -> object:
        """The object that holds the value, to tell who is written to."""

    @property
    def may_vanish(self) -> bool:
        """Whether the emitted expression is None once the root is gone."""

    def read(self) -> object:
        """Return the value, or an `Absent`."""

    def emit(self, bind: _Bind) -> str:
        """Return the expression that reads the value."""


@dataclass(frozen=True, slots=True)
class GlobalRoot:
    """A name in a module's globals, or else among the builtins."""

    namespace: Mapping[str, object]
    builtins: Mapping[str, object]
    name: str

    @property
    def key(self) -> tuple[object, ...]:
        """The namespace and the name."""
        return ("global", id(self.namespace), self.name)

    @property
    def owner(self) -> object:
        """The namespace."""
        return self.namespace

    @property
    def may_vanish(self) -> bool:
        """A namespace is held."""
        return False

    def read(self) -> object:
        """Look the name up as Python does."""
        found = self.namespace.get(self.name, Absent.MISSING)
        return self.builtins.get(self.name, Absent.MISSING) if found is Absent.MISSING else found

    def emit(self, bind: _Bind) -> str:
        """Return the look-up; a builtin's also notices a global that hides it."""
        found = f"{bind(self.namespace)}[{self.name!r}]"
        if self.name in self.namespace:
            return found
        return f"{found} if {self.name!r} in {bind(self.namespace)} else {bind(self.builtins)}[{self.name!r}]"


@dataclass(frozen=True, slots=True)
class CellRoot:
    """A closure's cell, so that rebinding a nonlocal is seen."""

    cell: types.CellType

    @property
    def key(self) -> tuple[object, ...]:
        """The cell."""
        return ("cell", id(self.cell))

    @property
    def owner(self) -> object:
        """The cell."""
        return self.cell

    @property
    def may_vanish(self) -> bool:
        """A cell is held."""
        return False

    def read(self) -> object:
        """Return the content."""
        return _content(self.cell)

    def emit(self, bind: _Bind) -> str:
        """Return the expression that reads the content."""
        return f"{bind(self.cell)}.cell_contents"


@dataclass(frozen=True, slots=True)
class ClosureRoot:
    """A cell of a function that is not held: cells have no weak references, functions do."""

    function: Reference
    cell_id: int
    index: int

    @property
    def key(self) -> tuple[object, ...]:
        """The cell."""
        return ("cell", self.cell_id)

    @property
    def owner(self) -> object:
        """The cell, or None once the function is gone."""
        function = self.function.get()
        closure = getattr(function, "__closure__", None)
        return closure[self.index] if closure else None

    @property
    def may_vanish(self) -> bool:
        """The function may go."""
        return True

    def read(self) -> object:
        """Return the content."""
        cell = self.owner
        return _content(cell) if isinstance(cell, types.CellType) else Absent.DEAD

    def emit(self, bind: _Bind) -> str:
        """Return a call: this is rare, so it may be slower."""
        return f"{bind(self._read_or_none)}()"

    def _read_or_none(self) -> object:
        value = self.read()
        if value is Absent.MISSING:
            raise ValueError("the cell is empty")
        return None if value is Absent.DEAD else value


@dataclass(frozen=True, slots=True)
class ObjectRoot:
    """An object itself: what a parameter was bound to."""

    reference: Reference
    identity: int

    @classmethod
    def to(cls, value: object, *, hold: bool = False) -> ObjectRoot:
        """Return the root for `value`, which is kept alive if `hold` or if it can't be referred to weakly."""
        return cls(Reference(value, hold=hold), id(value))

    @property
    def key(self) -> tuple[object, ...]:
        """The object."""
        return ("object", self.identity)

    @property
    def owner(self) -> object:
        """Nobody: the object can't be rebound."""
        return None

    @property
    def may_vanish(self) -> bool:
        """Whether the object is held weakly."""
        return self.reference.is_weak

    def read(self) -> object:
        """Return the object."""
        return self.reference.get()

    def emit(self, bind: _Bind) -> str:
        """Return the expression that reads the object."""
        return self.reference.emit(bind)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return Absent.MISSING


@dataclass(frozen=True, slots=True)
class Location:
    """A root, the steps from it, and how a reader would write it down."""

    root: Root
    steps: tuple[Step, ...]
    text: str
    kind: str

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two locations the same."""
        return (self.root.key, self.steps)

    def then(self, step: Step, text: str | None = None, kind: str | None = None) -> Location:
        """Return the location one step further."""
        words = kind or ("an item" if step.is_item else "an attribute")
        return Location(self.root, (*self.steps, step), text or f"{self.text}{step}", words)

    def read(self) -> object:
        """Return the value now, or an `Absent`."""
        value = self.root.read()
        for step in self.steps:
            if isinstance(value, Absent):
                return value
            value = step_into(value, step)
        return value

    def write(self, value: object) -> None:
        """Put back what was there, or nothing for `Absent.MISSING`, without running anybody's code."""
        owner = self.owner()
        if isinstance(owner, types.CellType):
            if value is not Absent.MISSING:
                owner.cell_contents = value
            return
        if self.steps and self.steps[-1].is_several:
            self._write_several(owner, value)
            return
        key = self.steps[-1].key if self.steps else getattr(self.root, "name", None)
        is_attribute = bool(self.steps) and not self.steps[-1].is_item
        holder = getattr(owner, "__dict__", None) if is_attribute else owner
        if isinstance(holder, dict):
            dict.pop(holder, key, None) if value is Absent.MISSING else dict.__setitem__(holder, key, value)
        elif isinstance(holder, list) and isinstance(key, int):
            list.__setitem__(holder, key, value)
        elif isinstance(holder, np.ndarray):
            holder[key] = value  # type: ignore[index]
        elif is_attribute:  # of a class, or a slot
            change = type if isinstance(owner, type) else object
            if value is not Absent.MISSING:
                change.__setattr__(owner, str(key), value)
            elif hasattr(owner, str(key)):
                change.__delattr__(owner, str(key))

    def _write_several(self, owner: object, before: object) -> None:
        """Put back the attributes of an instance that are not what they were."""
        now = self.read()
        if not isinstance(before, dict) or not isinstance(now, dict):
            return
        base = Location(self.root, self.steps[:-1], self.text, self.kind)
        for name in {**before, **now}:
            value = before.get(name, Absent.MISSING)
            if value is not now.get(name, Absent.MISSING):
                of_class = _find(type(owner).__mro__, name) is value
                base.then(Step.attribute(name)).write(Absent.MISSING if of_class else value)

    def owner(self) -> object:
        """Return the object that holds the value: whom a write would change."""
        if not self.steps:
            return self.root.owner
        return Location(self.root, self.steps[:-1], self.text, self.kind).read()


def step_into(value: object, step: Step) -> object:
    """Return the attribute or item of `value` that `step` names, or an `Absent`; no user code runs."""
    if step.is_item:
        return _item(value, step.key)
    if step.is_several:
        return _attributes(value, str(step.key))
    name = str(step.key)
    if step.is_descriptor:
        return _find(value.__mro__ if isinstance(value, type) else type(value).__mro__, name)
    if isinstance(value, types.ModuleType):
        namespace = vars(value)
        if name == "__dict__":
            return namespace
        return namespace.get(name, Absent.CLOSED if "__getattr__" in namespace else Absent.MISSING)
    if isinstance(value, type):
        return _class_attribute(value, name)
    return _instance_attribute(value, name)


def _item(value: object, key: object) -> object:
    # Subclasses may compute their items; only those that keep the builtin look-up are read.
    look_up = getattr(type(value), "__getitem__", None)
    if isinstance(value, dict):
        if look_up not in {dict.__getitem__, OrderedDict.__getitem__}:
            return Absent.CLOSED
        return dict.get(value, key, Absent.MISSING)  # does not run `__missing__`
    if isinstance(value, (list, tuple)) and isinstance(key, int):
        if look_up not in {list.__getitem__, tuple.__getitem__}:
            return Absent.CLOSED
        return value[key] if -len(value) <= key < len(value) else Absent.MISSING
    if type(value) is np.ndarray:
        return _element(value, key)
    return Absent.CLOSED


def _element(array: Any, key: object) -> object:
    """Return a number in an array; a part that is an array itself is a new object at each look-up."""
    try:
        found: object = array[key] if isinstance(key, (int, tuple)) else None
    except IndexError:
        return Absent.MISSING
    return found if isinstance(found, np.generic) else Absent.CLOSED


def _attributes(value: object, prefix: str) -> object:
    """Return the attributes with a prefix that are no functions, those of the classes included."""
    found = _all_attributes(value)
    return {name: found[name] for name in found if name.startswith(prefix)} if isinstance(found, dict) else found


def _all_attributes(value: object) -> dict[str, object] | Absent:
    if isinstance(value, types.ModuleType):
        return vars(value)
    if not isinstance(type(value).__getattribute__, types.WrapperDescriptorType):
        return Absent.CLOSED  # written in Python
    found: dict[str, object] = {}
    for klass in reversed(value.__mro__ if isinstance(value, type) else type(value).__mro__):
        for name, attribute in klass.__dict__.items():
            is_slot = isinstance(attribute, types.MemberDescriptorType)
            here = getattr(value, name, Absent.MISSING) if is_slot else attribute
            if not name.startswith("__") and not hasattr(type(here), "__get__"):
                found[name] = here
    return found if isinstance(value, type) else found | dict(getattr(value, "__dict__", ()))


def _find(mro: tuple[type, ...], name: str) -> object:
    for klass in mro:
        namespace = klass.__dict__
        if name in namespace:
            return namespace[name]
    return Absent.MISSING


def _class_attribute(value: type, name: str) -> object:
    if name == "__dict__":
        return dict(value.__dict__)
    found = _find(value.__mro__, name)
    if found is Absent.MISSING:
        return found
    if isinstance(found, (types.FunctionType, staticmethod, classmethod)):
        return getattr(value, name)
    return Absent.CLOSED if hasattr(type(found), "__get__") else found


def _instance_attribute(value: object, name: str) -> object:
    kind = type(value)
    if not isinstance(kind.__getattribute__, types.WrapperDescriptorType):
        return Absent.CLOSED  # written in Python
    found = _find(kind.__mro__, name)
    if isinstance(found, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return getattr(value, name, Absent.MISSING)  # a slot
    is_data = hasattr(type(found), "__set__") or hasattr(type(found), "__delete__")
    if found is not Absent.MISSING and is_data:
        return Absent.CLOSED  # a property
    namespace = getattr(value, "__dict__", None)
    if isinstance(namespace, dict) and name in namespace:
        return namespace[name]
    if found is Absent.MISSING:
        return Absent.CLOSED if hasattr(kind, "__getattr__") else Absent.MISSING
    if isinstance(found, (types.FunctionType, staticmethod, classmethod)):
        return getattr(value, name)
    return Absent.CLOSED if hasattr(type(found), "__get__") else found


def elements(location: Location, value: object) -> Iterator[tuple[Location, object]]:
    """Yield what a builtin container holds, each with its location."""
    if isinstance(value, dict):
        for key, element in list(dict.items(value)):
            if isinstance(key, (str, int, float, bytes, tuple)):
                yield location.then(Step.item(key)), element
    elif isinstance(value, (list, tuple)):
        for index, element in enumerate(list(value)):
            yield location.then(Step.item(index)), element


def is_gone(location: Location, gone: set[tuple[object, ...]]) -> bool:
    """Whether nobody can see what is there, because the object was made by the trace and dropped."""
    return location.root.key in gone or location.root.read() is Absent.DEAD


def is_held_here_only(root: ObjectRoot) -> bool:
    """Whether nobody but the root holds the object: it was made by the trace, for example as an argument."""
    reference = root.reference
    if reference.is_weak:
        return False
    sample = ObjectRoot.to([])  # counted in the same way, whatever this Python counts
    return sys.getrefcount(reference.target) <= sys.getrefcount(sample.reference.target)
