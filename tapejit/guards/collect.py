"""Collects the guards of one trace: follows paths as they are read, and settles them when the trace is over.

A value is captured when a function that reads it is entered, and looked at again at the end. What differs by
then was changed by the trace itself: guarding it would make every call retrace, so it is left out and listed in
`Collected.unguarded`. If the program assigns it (a counter, a state kept in an attribute) it is listed as changed
too, since a call that runs no Python would go on without the change.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType

import numpy as np

from tapejit.guards.bytecode import Step
from tapejit.guards.check import Guard
from tapejit.guards.paths import Absent, Location, ObjectRoot, elements, is_gone, is_held_here_only, step_into
from tapejit.guards.randomness import RandomWatch, generator_of
from tapejit.guards.snapshots import Snapshots
from tapejit.guards.values import (
    Array,
    Contents,
    Elements,
    Expectation,
    Identity,
    Image,
    Missing,
    Value,
    capture,
    is_container,
    is_plain_value,
    is_structured,
)

from ..dataclass import dataclass

__all__ = ["Changed", "Collected", "Collector", "Site", "Unguarded"]

#: What an array tells without its elements.
_LOOKS = frozenset({"shape", "dtype", "ndim", "size", "nbytes", "itemsize", "__len__"})
#: Methods that change a container and tell nothing of it.
_WRITERS = frozenset(
    {
        "append", "appendleft", "extend", "extendleft", "insert", "add", "update", "discard", "remove", "clear", "sort",
        "reverse", "__setitem__",
    }
)  # fmt: skip
#: Arrays of more bytes are not compared element by element.
MAX_COMPARED_BYTES = 1 << 20

#: How many objects are searched for attributes that were read from values which could not be followed.
MAX_SEARCHED = 1000


@dataclass(frozen=True, slots=True)
class Site:
    """Where a name is read."""

    function: str
    line: int
    file: str


@dataclass(frozen=True, slots=True)
class Unguarded:
    """A path that was read but is not guarded.

    Attributes
    ----------
    path : str
        How the value is written in the program.
    reason : str
        Why a later change of it is not noticed.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A value that the program read and changed while it was traced.

    Attributes
    ----------
    guard : Guard
        What would have been guarded.
    before : object
        The value at first, or `Absent.MISSING`.
    """

    guard: Guard
    before: object

    @property
    def goes_on(self) -> bool:
        """Whether it is a plain value still, as a counter is, or elements of an array or a container.

        A trace can't tell them from constants.
        """
        return _goes_on(self.guard.expected, self.guard.location.read()) or _has_shrunk(self.guard)

    def undo(self) -> None:
        """Put back what was there."""
        if isinstance(self.guard.expected, Elements):
            self.guard.expected.restore()
        self.guard.location.write(self.before)

    def __str__(self) -> str:
        """Return what changed, and where it is read."""
        return str(self.guard.change() or self.guard.location.text)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a trace left."""

    guards: tuple[Guard, ...]
    unguarded: tuple[Unguarded, ...]
    changed: tuple[Changed, ...]
    #: Where iterators are that were there before the trace, with the places that read them.
    iterators: tuple[tuple[Location, Site], ...]
    #: What containers held, read or not.
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class Found:
    """A function that a path led to."""

    function: FunctionType
    #: Whether nothing that is guarded keeps it alive.
    may_vanish: bool


@dataclass(frozen=True, slots=True)
class Getter:
    """A property that a path met and did not run."""

    location: Location
    function: FunctionType


class Collector:
    """Follows paths to values.

    Parameters
    ----------
    opaque : callable
        Says of a value whether it counts by identity alone.
    is_foreign : callable
        Says of a module or function whether it belongs to a library or an installed package.
    random : RandomWatch
        Is told about generators that a path meets.
    """

    def __init__(
        self, opaque: Callable[[object], bool], is_foreign: Callable[[object], bool], random: RandomWatch
    ) -> None:
        self._opaque = opaque
        self._is_foreign = is_foreign
        self._random = random
        self._pending: dict[tuple[object, ...], Guard] = {}
        self._before: dict[tuple[object, ...], object] = {}
        # Where arrays are of which more was read than their looks.
        self._valued: set[tuple[object, ...]] = set()
        # Ids of containers that were read, not only written to.
        self._read: set[int] = set()
        self._snapshots = Snapshots()
        self._iterators: list[tuple[Location, Site]] = []
        self._loose: dict[Step, Site] = {}
        self._candidates: dict[tuple[object, ...], tuple[Location, Site]] = {}
        self._classes: dict[tuple[object, ...], type] = {}  # of objects that paths begin at
        self._stored: set[tuple[int, Step | None]] = set()
        # Objects whose ids are in the tables live until the end of the trace, so that no id is used twice.
        self._kept: list[object] = []
        self._known: dict[int, Location] = {}
        self._functions: dict[int, dict[int, Found]] = {}
        self._getters: deque[Getter] = deque()

    def functions(self, code: CodeType) -> list[Found]:
        """Return the functions with this code that a path led to."""
        return list(self._functions.get(id(code), {}).values())

    def getters(self) -> Iterator[Getter]:
        """Yield, once, the properties of foreign classes that paths met: their frames are passed over."""
        while self._getters:
            yield self._getters.popleft()

    def locate(self, name: str, value: object) -> Location | None:
        """Return where a value is that a name was bound to: a path that led there, or the object itself."""
        if not is_structured(value, self._opaque) or is_plain_value(value):
            return None
        known = self._known.get(id(value))
        if known is not None:
            return known
        location = Location(ObjectRoot.to(value), (), name, "an object")
        self._remember(location, value)
        return location

    def follow(self, base: Location, steps: tuple[Step, ...], site: Site) -> object:
        """Guard the value that `steps` lead to from `base`, as far as they can be followed.

        Returns
        -------
        object
            The value at which the path ended, or `Absent.MISSING`.
        """
        location, value = base, base.read()
        if not base.steps and isinstance(base.root, ObjectRoot):
            self._classes[base.root.key] = type(value)
        fixed: tuple[Location, object] | None = None
        left = deque(steps)
        while left:
            step = left[0]
            found = self._read_part(value, step)
            if found is Absent.CLOSED:
                self._meet_getter(location, value, step, site)
                break
            left.popleft()
            if fixed is None and self._is_fixed(value, found):
                fixed = location, value
            self._remember(location, value)
            location, value = location.then(step), found
        if not (isinstance(value, np.ndarray) and left and not left[0].is_item and left[0].key in _LOOKS):
            self._valued.add(location.key)
        if not (left and not left[0].is_item and left[0].key in _WRITERS):
            self._read.add(id(value))
        if fixed is None or is_plain_value(value) or is_container(value):
            self.add(location, value, site)
        else:
            self._watch(location, value, site)
            self.add(*fixed, site)
        return value

    def _read_part(self, value: object, step: Step) -> object:
        if isinstance(value, np.ndarray):
            return step_into(value, step) if step.is_item else Absent.CLOSED
        if isinstance(value, Absent) or not is_structured(value, self._opaque):
            return Absent.CLOSED
        everything = step.is_several or step.key == "__dict__"
        return Absent.CLOSED if everything and self._is_foreign(value) else step_into(value, step)

    def note_store(self, base: Location, steps: tuple[Step, ...]) -> None:
        """Remember that the program writes to this path."""
        target = base
        for step in steps:
            target = target.then(step)
        owner = target.owner()
        if not isinstance(owner, Absent):
            self._kept.append(owner)
            self._stored.add((id(owner), steps[-1] if steps else None))

    def add(self, location: Location, value: object, site: Site) -> None:
        """Guard the value at a location, and what belongs to it."""
        key = location.key
        if key in self._candidates or value is Absent.DEAD or value is Absent.CLOSED:
            return
        self._candidates[key] = (location, site)
        # Of arrays in containers only the identity: the container is guarded even if their elements change.
        expected = capture(value, self._opaque, lambda array: array is value and _is_comparable(array))
        vacuous = not location.steps and isinstance(location.root, ObjectRoot) and isinstance(expected, Identity)
        if not vacuous:
            self._pending[key] = Guard(location, expected, site.function, site.line)
            self._before[key] = value
        self._snapshots.take(value)
        self._remember(location, value)
        self._add_parts(location, value, site)

    def _add_parts(self, location: Location, value: object, site: Site) -> None:
        self._watch(location, value, site)
        if isinstance(value, MethodType) and isinstance(value.__func__, FunctionType):
            self.add_function(location.then(Step.attribute("__func__"), location.text), value.__func__, site)
        elif isinstance(value, FunctionType):
            self.add_function(location, value, site)
        elif isinstance(value, functools.partial):
            for name in ("func", "args", "keywords"):
                self.follow(location, (Step.attribute(name),), site)
        elif isinstance(value, (operator.attrgetter, operator.itemgetter)):
            for step in _getter_steps(value):
                self._loose.setdefault(step, site)
        elif is_container(value):
            for part, element in elements(location, value):
                self._add_element(part, element, site)

    def _add_element(self, location: Location, element: object, site: Site) -> None:
        if len(self._known) < MAX_SEARCHED and not is_plain_value(element):
            self._remember(location, element)
            if isinstance(element, FunctionType):
                self.add_function(location, element, site)
        self._watch(location, element, site)

    def add_function(self, location: Location, function: FunctionType, site: Site) -> None:
        """Remember a function that a path leads to, and guard its defaults."""
        same_code = self._functions.setdefault(id(function.__code__), {})
        if id(function) in same_code:
            return
        self._kept += [function, function.__code__]
        same_code[id(function)] = Found(function, may_vanish=location.root.may_vanish)
        if self._is_foreign(function):
            return
        code = function.__code__
        defaults = function.__defaults__ or ()
        names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
        words = f"a default of {function.__name__},"
        holder = location.then(Step.attribute("__defaults__"))
        for index, (name, value) in enumerate(zip(names, defaults, strict=True), start=-len(defaults)):
            self.add(holder.then(Step.item(index), name, words), value, site)
        holder = location.then(Step.attribute("__kwdefaults__"))
        for name, value in (function.__kwdefaults__ or {}).items():
            self.add(holder.then(Step.item(name), name, words), value, site)

    def settle(self, loose: Mapping[Step, Site]) -> Collected:
        """Compare everything with what it was at first, and return what is worth a guard."""
        changed = self._changed()
        for memory in (self._kept, self._known, self._functions, self._before):
            memory.clear()
        roots = {location.root.key: location.root for location, _ in self._candidates.values()}
        gone = {key for key, root in roots.items() if isinstance(root, ObjectRoot) and is_held_here_only(root)}
        changed = tuple(change for change in changed if not is_gone(change.guard.location, gone))
        guards: list[Guard] = []
        unguarded: list[Unguarded] = []
        for guard in self._pending.values():
            if is_gone(guard.location, gone):
                guards += self._of_its_class(guard)
            else:
                settled = self._settle(guard)
                guards += settled
                if not settled and guard.location.read() is not Absent.DEAD:
                    unguarded.append(self._unguarded(guard))
        taken = set(self._pending)
        starts = [(place, site) for place, site in self._candidates.values() if place.root.key not in gone]
        found = self._search(starts, {**self._loose, **loose})
        guards += [guard for guard in found if guard.location.key not in taken]
        iterators = [
            (place, site)
            for place, site in self._iterators
            if place.root.key not in gone and not isinstance(place.read(), Absent)
        ]
        self._pending.clear()
        self._candidates.clear()
        self._classes.clear()
        return Collected(tuple(guards), tuple(dict.fromkeys(unguarded)), changed, tuple(iterators), self._snapshots)

    def _of_its_class(self, guard: Guard) -> Iterator[Guard]:
        """Guard in the class what was read there through an object that the trace made and dropped."""
        klass = self._classes.get(guard.location.root.key)
        if klass is not None and guard.location.steps:
            location = Location(ObjectRoot.to(klass), guard.location.steps, guard.location.text, guard.location.kind)
            if guard.expected.same(location.read()):
                yield Guard(location, guard.expected, guard.function, guard.line)

    def _changed(self) -> tuple[Changed, ...]:
        """Return what the program read and changed, with an assignment or in another way."""
        return tuple(
            Changed(guard, self._before[key])
            for key, guard in self._pending.items()
            if guard.change() is not None and self._is_of_the_program(key, guard)
        )

    def _is_of_the_program(self, key: tuple[object, ...], guard: Guard) -> bool:
        """Whether a change is the program's own, and of something that it read."""
        if isinstance(guard.expected, (Value, Elements, Image)):
            return True
        if self._is_stored(guard.location) or _has_shrunk(guard):
            return True
        if isinstance(guard.expected, Missing):
            # A key that came without a store that is seen: `defaultdict` adds those that are looked up.
            return bool(guard.location.steps) and guard.location.steps[-1].is_item
        return isinstance(guard.expected, Contents) and id(self._before[key]) in self._read

    def _settle(self, guard: Guard) -> list[Guard]:
        """Return what can be guarded of a value that may have changed."""
        value = guard.location.read()
        if guard.expected.same(value):
            return [guard]
        if value is Absent.DEAD or self._is_stored(guard.location):
            return []
        if isinstance(guard.expected, Missing) and not isinstance(value, Absent):
            expected: Expectation = capture(value, self._opaque)
            return [Guard(guard.location, expected, guard.function, guard.line)]
        if isinstance(guard.expected, Contents):
            return [
                Guard(guard.location.then(Step.item(key)), expected, guard.function, guard.line)
                for key, expected in guard.expected.unchanged(value)
            ]
        return []

    def _unguarded(self, guard: Guard) -> Unguarded:
        if self._is_stored(guard.location):
            return Unguarded(guard.location.text, f"{guard.function} writes it while it is traced")
        return Unguarded(guard.location.text, "it changed while the function was traced")

    def with_elements(
        self, guards: tuple[Guard, ...], by_reference: Callable[[np.ndarray], bool]
    ) -> tuple[tuple[Guard, ...], tuple[Unguarded, ...]]:
        """Return the guards, with those of arrays that NumPy computed with comparing the elements.

        Parameters
        ----------
        guards : tuple of Guard
            What `settle` returned.
        by_reference : callable
            Says of an array whether the trace took it as it is, so that later elements are seen anyway.

        Returns
        -------
        guards, unguarded : tuple
            The latter are arrays that are too large to be compared at each call.
        """
        too_large: list[Unguarded] = []

        def computed_with(array: np.ndarray) -> bool:
            return _is_comparable(array) and not by_reference(array)

        settled = []
        for guard in guards:
            value, valued = guard.location.read(), guard.location.key in self._valued
            if isinstance(guard.expected, (Array, Contents)):
                elements = computed_with if valued else _no_array
                expected = capture(value, self._opaque, elements)
                guard = Guard(guard.location, expected, guard.function, guard.line)  # noqa: PLW2901
            if valued and isinstance(value, np.ndarray) and not _is_comparable(value) and not by_reference(value):
                reason = "NumPy computed with it, and it is too large to be compared at each call"
                too_large.append(Unguarded(guard.location.text, reason))
            settled.append(guard)
        return tuple(settled), tuple(too_large)

    def _is_stored(self, location: Location) -> bool:
        """Whether the program writes to the location or to a prefix of it."""
        for count in range(len(location.steps) + 1):
            prefix = Location(location.root, location.steps[:count], location.text, location.kind)
            step = prefix.steps[-1] if prefix.steps else None
            if (id(prefix.owner()), step) in self._stored:
                return True
        return False

    def _search(self, starts: list[tuple[Location, Site]], loose: Mapping[Step, Site]) -> Iterator[Guard]:
        """Guard what may have been read from values that could not be followed.

        Those values come from somewhere: from the ends of paths and from the elements of containers. Each
        object there is asked for the attributes that were read. That may guard too much, which costs a
        retrace at most.
        """
        queue = deque((location, location.read()) for location, _ in starts)
        seen: set[int] = set()
        while queue and len(seen) < MAX_SEARCHED:
            location, value = queue.popleft()
            if isinstance(value, Absent) or id(value) in seen or not is_structured(value, self._opaque):
                continue
            seen.add(id(value))
            if is_container(value):
                queue.extend(elements(location, value))
                continue
            if isinstance(value, (ModuleType, FunctionType, MethodType)) or self._is_foreign_class(value):
                continue
            for step, site in loose.items():
                found = step_into(value, step)
                if isinstance(found, (Absent, MethodType)) or (id(value), step) in self._stored:
                    continue
                part = location.then(step)
                yield Guard(part, capture(found, self._opaque), site.function, site.line)
                queue.append((part, found))

    def _is_foreign_class(self, value: object) -> bool:
        module = sys.modules.get(value.__module__) if isinstance(value, type) else None
        return module is not None and self._is_foreign(module)

    def _remember(self, location: Location, value: object) -> None:
        if is_structured(value, self._opaque) and not isinstance(value, (ModuleType, type, Absent)):
            self._kept.append(value)
            self._known.setdefault(id(value), location)

    def _is_fixed(self, owner: object, found: object) -> bool:
        """Whether `found` is a part of an installed module that nobody changes, such as a function."""
        if not isinstance(owner, ModuleType) or isinstance(found, Absent) or not self._is_foreign(owner):
            return False
        return not is_plain_value(found) and not is_container(found)

    def _watch(self, location: Location, value: object, site: Site) -> None:
        if isinstance(value, Iterator) and type(value).__module__ in {"builtins", "itertools"}:
            self._iterators.append((location, site))
        generator = generator_of(value)
        if generator is not None:
            self._kept.append(generator)
            self._random.watch(generator, f"{location.text} at {site.file}:{site.line}", anew=True)

    def _meet_getter(self, location: Location, value: object, step: Step, site: Site) -> None:
        """Guard a property or another object with ``__get__``, and remember to follow it where it is foreign."""
        if step.is_item or isinstance(value, (Absent, ModuleType)) or not is_structured(value, self._opaque):
            return
        descriptor = Step.descriptor(str(step.key))
        getter = step_into(value, descriptor)
        if not isinstance(getter, Absent) and not self._is_foreign(getter):
            self.add(location.then(descriptor), getter, site)
        function = getattr(getter, "fget", None) if isinstance(getter, property) else None
        if isinstance(function, FunctionType) and self._is_foreign(function):
            self._remember(location, value)
            self._getters.append(Getter(location, function))


def _no_array(_: np.ndarray) -> bool:
    return False


def _is_comparable(array: np.ndarray) -> bool:
    return array.nbytes <= MAX_COMPARED_BYTES


def _goes_on(expected: Expectation, value: object) -> bool:
    """Whether what a value became is something that a trace can't tell from a constant."""
    if isinstance(expected, Contents) and type(value) is expected.kind:
        part = expected.first_change(value)
        return part is None or _goes_on(*part)
    return isinstance(expected, Elements) or (isinstance(expected, Value) and is_plain_value(value))


def _has_shrunk(guard: Guard) -> bool:
    """Whether the program took elements from a container that is still in its place."""
    expected, value = guard.expected, guard.location.read()
    if not isinstance(expected, Contents) or type(value) is not expected.kind or isinstance(value, (tuple, frozenset)):
        return False
    return len(value) < expected.length  # type: ignore[arg-type]


def _getter_steps(getter: object) -> Iterator[Step]:
    """Yield what an `operator.attrgetter` or `operator.itemgetter` reads, wherever it reads it."""
    for key in getter.__reduce__()[1]:
        if isinstance(getter, operator.itemgetter):
            yield Step.item(key)
        else:
            yield from map(Step.attribute, key.split("."))
