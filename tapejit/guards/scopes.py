"""What the names of a frame are bound to: parameters, closure cells, globals.

A frame does not tell which function it runs, and only the function has the cells. The function is looked for
where paths led to functions, among the methods of the first argument, around the frame's callers (a nested
function shares the variables of the frame that made it), and at last with the garbage collector.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FrameType, FunctionType

from tapejit.guards.bytecode import Chain, Reads, Step
from tapejit.guards.collect import Collector, Site
from tapejit.guards.paths import CellRoot, ClosureRoot, GlobalRoot, Location, ObjectRoot, Reference

from ..dataclass import dataclass

__all__ = ["Scope", "Scopes", "readable_name"]

_MISSING = object()
_Names = dict[str, Location | None]


def readable_name(code: CodeType) -> str:
    """Return the qualified name of a function as a user would say it."""
    return code.co_qualname.rpartition("<locals>.")[2]


@dataclass(frozen=True, slots=True)
class Scope:
    """The names of one frame."""

    code: CodeType
    namespace: Mapping[str, object]
    builtins: Mapping[str, object]
    names: _Names
    reads: Reads

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it superfluous to follow the same paths again."""
        bound = tuple((name, place.key) for name, place in self.names.items() if place is not None)
        return (id(self.code), id(self.namespace), bound)

    def base(self, chain: Chain) -> Location | None:
        """Return the location of a chain's name; None if its value is of no interest or not known."""
        if chain.kind != "global":
            return self.names.get(chain.name)
        root = GlobalRoot(self.namespace, self.builtins, chain.name)
        is_builtin = chain.name not in self.namespace and chain.name in self.builtins
        return Location(root, (), chain.name, "a builtin" if is_builtin else "a global")


class Scopes:
    """The scopes of the frames that are running."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._running: dict[int, Scope] = {}

    def clear(self) -> None:
        """Forget all frames."""
        self._running.clear()

    def of(self, frame: FrameType) -> Scope | None:
        """Return the scope of a running frame."""
        return self._running.get(id(frame))

    def leave(self, frame: FrameType) -> None:
        """Forget a frame."""
        self._running.pop(id(frame), None)

    def enter(
        self, frame: FrameType, values: Mapping[str, object], reads: Reads, passed: Callable[[object], bool]
    ) -> list[Scope]:
        """Return the scopes of a frame that was entered; several if it can't be told which function it runs.

        Parameters
        ----------
        frame : frame
            The frame, before its first instruction.
        values : mapping
            Its local variables.
        reads : Reads
            What its code reads.
        passed : callable
            Says of a value whether it is an argument of the root function, which the call signature
            describes.
        """
        code = frame.f_code
        names = self._parameters(code, values, passed)
        self._add_method(code, values)
        closures = self._closures(frame, values) if code.co_freevars else [{}]
        scopes = [Scope(code, frame.f_globals, frame.f_builtins, {**names, **cells}, reads) for cells in closures]
        self._running[id(frame)] = scopes[0]
        return scopes

    def _parameters(self, code: CodeType, values: Mapping[str, object], passed: Callable[[object], bool]) -> _Names:
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
        bound = {name: values[name] for name in code.co_varnames[:count] if name in values}
        return {name: None if passed(value) else self._collector.locate(name, value) for name, value in bound.items()}

    def _add_method(self, code: CodeType, values: Mapping[str, object]) -> None:
        """Guard the class attribute that a method was found by, unless a path led to it already."""
        if not code.co_argcount or self._collector.functions(code):
            return
        owner = values.get(code.co_varnames[0])
        for klass in type(owner).__mro__:
            function = klass.__dict__.get(code.co_name)
            if isinstance(function, FunctionType) and function.__code__ is code:
                base = Location(ObjectRoot.to(klass), (), klass.__qualname__, "a class")
                site = Site(readable_name(code), code.co_firstlineno, code.co_filename)
                self._collector.follow(base, (Step.attribute(code.co_name),), site)
                return

    def _closures(self, frame: FrameType, values: Mapping[str, object]) -> list[_Names]:
        code = frame.f_code
        shared = self._lexical(frame, values)
        if shared is not None:
            return [shared]
        met = [found for found in self._collector.functions(code) if _fits(found.function, values)]
        if met:
            return [_cells(found.function, weak=found.may_vanish) for found in met]
        referrers = [value for value in gc.get_referrers(code) if isinstance(value, FunctionType)]
        functions = [f for f in referrers if f.__code__ is code and _fits(f, values)]
        return [_cells(function, weak=True) for function in functions] or [{}]

    def _lexical(self, frame: FrameType, values: Mapping[str, object]) -> _Names | None:
        """Return the free variables as those of the running frame that made the function, if there is one."""
        code, caller = frame.f_code, frame.f_back
        while caller is not None:
            scope = self._running.get(id(caller))
            if scope is not None and any(constant is code for constant in caller.f_code.co_consts):
                names = self._shared(code, scope, values)
                # Under recursion the nearest frame with the right code need not be the right frame.
                if all(place is None or place.read() is values.get(name) for name, place in names.items()):
                    return names
            caller = caller.f_back
        return None

    def _shared(self, code: CodeType, parent: Scope, values: Mapping[str, object]) -> _Names:
        """Return what the free variables are in the frame that made the function."""
        names: _Names = {}
        for name in code.co_freevars:
            alias = parent.reads.aliases.get(name)
            base = parent.base(alias) if alias is not None else None
            if name in parent.names:
                names[name] = parent.names[name]
            elif alias is not None and base is not None:
                names[name] = _extended(base, alias)
            else:
                names[name] = self._collector.locate(name, values.get(name))
        return names


def _extended(base: Location, chain: Chain) -> Location:
    for step in chain.steps:
        base = base.then(step)
    return base


def _fits(function: FunctionType, values: Mapping[str, object]) -> bool:
    """Whether the function's cells hold what the frame's free variables are."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return all(_content(cell) is values.get(name, _MISSING) for name, cell in cells)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _cells(function: FunctionType, *, weak: bool) -> _Names:
    names: _Names = {}
    for index, (name, cell) in enumerate(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)):
        root = ClosureRoot(Reference(function), id(cell), index) if weak else CellRoot(cell)
        names[name] = Location(root, (), name, "a closure variable")
    return names
