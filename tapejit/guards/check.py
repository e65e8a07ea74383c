"""Do the guards hold? One generated function for all of them, since every call of a step asks.

The function reads each path once, from prefix to prefix, and compares by identity before anything else. A
failed comparison, a missing name or a value of another type on the way means "changed"; what changed is
worked out by `GuardSet.changes`, which may be slow.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from types import ModuleType

from tapejit.guards.bytecode import Step
from tapejit.guards.paths import Absent, Location, step_into
from tapejit.guards.planned import is_simple, write
from tapejit.guards.values import Expectation, Function, Identity, Missing, difference, is_number
from tapejit.kernel.plans import Plan

from ..dataclass import dataclass

__all__ = ["Change", "Guard", "GuardSet"]


SETTINGS = "settings"
"""The kind of a count that goes up whenever one of an object's settings is set: its numbers mean nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """A value that is no longer what it was when the function was traced.

    Attributes
    ----------
    path : str
        How the value is written in the program, for example ``self.lr`` or ``cfg["lr"]``.
    before, after : object
        The values, if they are plain (numbers, strings, None, tuples of those), else words about them.
    function : str
        The function that reads it.
    line : int
        The line of that file on which it is read.
    kind : str
        What kind of name it is, for example ``a global``.
    """

    path: str
    before: object
    after: object
    function: str
    line: int
    kind: str

    @property
    def is_number(self) -> bool:
        """Whether a number took the place of a number."""
        return is_number(self.before) and is_number(self.after)

    def __str__(self) -> str:
        """Return one line for a message."""
        if self.kind == SETTINGS:
            return f"{self.path} changed"
        if not self.kind:
            return f"{self.path}: {self.before!r} → {self.after!r}"
        where = f"{self.kind} read by {self.function}, line {self.line}"
        return f"{self.path}: {self.before!r} → {self.after!r} ({where})"


@dataclass(frozen=True, slots=True)
class Guard:
    """One value to be compared: where it is, what it was, who reads it."""

    location: Location
    expected: Expectation
    function: str
    line: int

    def change(self) -> Change | None:
        """Return what changed, if anything did.

        A path from an object that is gone can't be read by anybody.
        """
        value = self.location.read()
        if value is Absent.DEAD or self.expected.same(value):
            return None
        path, before, after = difference(self.expected, value, self.location.text)
        return Change(path, before, after, self.function, self.line, self.location.kind)

    def holds(self) -> bool:
        """Whether nothing changed."""
        return self.change() is None


class GuardSet:
    """The guards of one trace.

    Parameters
    ----------
    guards : iterable of Guard
        What to compare.

    Attributes
    ----------
    holds : callable
        Returns whether every value is as it was. It is an attribute, not a method, to save the call of a
        method.
    """

    __slots__ = ("_guards", "holds")

    def __init__(self, guards: Iterable[Guard]) -> None:
        self._guards = tuple(guards)
        self.holds: Callable[[], bool] = _Emission(self._guards).function()

    def write(self, plan: Plan) -> None:
        """Let a plan of a call look at all of this, now that it holds; what is rare is asked of a Python function."""
        rest = [guard for guard in self._guards if not is_simple(guard.location, guard.expected)]
        if rest:
            plan.holds(_Emission(rest).function())
        for guard in self._guards:
            if is_simple(guard.location, guard.expected):
                write(guard.location, guard.expected, plan)

    def __len__(self) -> int:
        """Return the number of guards."""
        return len(self._guards)

    def changes(self) -> tuple[Change, ...]:
        """Return what changed since the trace.

        Returns
        -------
        tuple of Change
            In the order in which the values were read; one for each path.
        """
        found = {change.path: change for guard in self._guards if (change := guard.change()) is not None}
        return tuple(found.values())

    def paths(self) -> tuple[str, ...]:
        """Return the paths of the guarded values, without Python's builtins, in the order of reading."""
        return tuple(dict.fromkeys(g.location.text for g in self._guards if g.location.kind != "a builtin"))

    def values(self) -> tuple[tuple[str, object], ...]:
        """Return the guarded paths with the values that stand there now, in the order of reading; no settings."""
        return tuple((g.location.text, g.location.read()) for g in self._guards if g.location.kind != SETTINGS)


@dataclass(slots=True)
class _Node:
    """A prefix of paths."""

    location: Location
    expected: list[Expectation] = field(default_factory=list)
    children: dict[Step, _Node] = field(default_factory=dict)


class _Emission:
    """Writes the function that compares all guards."""

    def __init__(self, guards: Iterable[Guard]) -> None:
        self._names: dict[int, str] = {}
        self._environment: dict[str, object] = {}
        self._variables = 0
        self._roots: dict[tuple[object, ...], _Node] = {}
        self._missing = [guard for guard in guards if isinstance(guard.expected, Missing)]
        for guard in guards:
            if not isinstance(guard.expected, Missing):
                self._insert(guard)

    def function(self) -> Callable[[], bool]:
        """Return the compiled function."""
        lines = [line for node in self._roots.values() for line in self._root(node)]
        lines += [f"if not {self._bind(guard.holds)}(): return False" for guard in self._missing]
        body = "\n".join(f"        {line}" for line in lines or ["pass"])
        failures = "(AttributeError, IndexError, KeyError, TypeError, ValueError)"
        text = f"def holds():\n    try:\n{body}\n    except {failures}:\n        return False\n    return True\n"
        # The text is made of names bound here, keys' representations and identifiers from the program's
        # bytecode.
        exec(compile(text, "<tapejit guards>", "exec"), self._environment)
        function: Callable[[], bool] = self._environment["holds"]  # type: ignore[assignment]
        return function

    def _insert(self, guard: Guard) -> None:
        location = guard.location
        start = Location(location.root, (), location.text, location.kind)
        node = self._roots.setdefault(location.root.key, _Node(start))
        for step in location.steps:
            node = node.children.setdefault(step, _Node(node.location.then(step)))
        node.expected.append(guard.expected)

    def _bind(self, value: object) -> str:
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = f"k{len(self._names)}"
            self._environment[name] = value  # also keeps the id from being used again
        return name

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def _root(self, node: _Node) -> Iterator[str]:
        variable = self._variable()
        root = node.location.root
        yield f"{variable} = {root.emit(self._bind)}"
        if not root.may_vanish:
            yield from self._node(node, variable)
            return
        yield f"if {variable} is not None:"
        yield "    pass"
        for line in self._node(node, variable):
            yield f"    {line}"

    def _node(self, node: _Node, variable: str) -> Iterator[str]:
        for expected in node.expected:
            yield f"if {expected.changed(variable, self._bind)}: return False"
        value = node.location.read() if node.children else Absent.MISSING
        known = any(isinstance(expected, (Identity, Function)) for expected in node.expected)
        # An object of another type might have a property where this one has an attribute.
        if not known and not isinstance(value, (ModuleType, Absent)):
            yield f"if type({variable}) is not {self._bind(type(value))}: return False"
        for step, child in node.children.items():
            name = self._variable()
            yield f"{name} = {self._read(variable, step, value)}"
            yield from self._node(child, name)

    def _read(self, variable: str, step: Step, value: object) -> str:
        """Return the expression that takes a step from a variable, which holds `value` or its like."""
        whole = step.is_several or (step.key == "__dict__" and isinstance(value, type))
        if whole or step.is_descriptor or (step.is_item and hasattr(type(value), "__missing__")):
            return f"{self._bind(step_into)}({variable}, {self._bind(step)})"
        if step.is_item:
            return f"{variable}[{self._bind(step.key)}]"
        name = str(step.key)
        if name.isidentifier() and not keyword.iskeyword(name):
            return f"{variable}.{name}"
        return f"getattr({variable}, {name!r})"
