"""Follows the user's frames during a trace and collects what they read by name.

A profile function sees each frame as it is entered. Frames of libraries are passed over; for a frame of the
user's, the code says which names are read (`bytecode`), the frame what they are bound to (`scopes`), and the
collector follows them to values.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType

import numpy as np

from tapejit.configurable import Relied, collecting
from tapejit.guards.bytecode import ANY, Chain, Reads, Step, analyse
from tapejit.guards.check import SETTINGS, Guard, GuardSet
from tapejit.guards.collect import Changed, Collected, Collector, Site, Unguarded
from tapejit.guards.origin import Origin, Origins
from tapejit.guards.paths import GlobalRoot, Location, ObjectRoot, step_into
from tapejit.guards.randomness import RandomWatch, makes_generator, new_each_time
from tapejit.guards.scopes import Scope, Scopes, readable_name
from tapejit.guards.values import capture, is_container

__all__ = ["AssignedOnceError", "Recorder", "Unguarded"]

#: Containers whose contents are part of the call signature.
_DESCRIBED = (list, tuple, dict, set, frozenset)

#: A package's functions that look at no attributes.
_TYPE_CHECKS = frozenset({"__instancecheck__", "__subclasscheck__"})

#: An instruction that is being executed may have moved on over its inline caches, by at most so many bytes.
_CACHES = 8


class AssignedOnceError(Exception):
    """A function assigned what it read before: a trace after that fits later calls, not this one.

    Parameters
    ----------
    change : object
        What it assigned.
    again : bool
        Whether it assigns something each time, though nothing that a trace would take for a constant.
    """

    def __init__(self, change: object, *, again: bool) -> None:
        super().__init__(f"a call ran eagerly, because it assigned what it read: {change}; the next one is compiled")
        self.again = again


class Recorder:
    """Records what a function reads by name while it is traced.

    One recorder serves one trace, in one thread.

    Parameters
    ----------
    is_library : callable
        Says of a file name whether its functions are the library's, whose reads need no guards.
    opaque : callable
        Says of a value whether it counts by identity alone: tensors, variables, tracers. Arrays always do.

    Examples
    --------
    >>> from tapejit.guards import Recorder
    >>> rate = 0.5
    >>> def halve(x):
    ...     return x * rate
    >>> recorder = Recorder(is_library=lambda filename: False, opaque=lambda value: False)
    >>> with recorder.recording(halve):
    ...     halve(3.0)
    1.5
    >>> guards = recorder.guards()
    >>> guards.paths(), guards.holds()
    (('halve', 'rate'), True)
    """

    def __init__(self, is_library: Callable[[str], bool], opaque: Callable[[object], bool]) -> None:
        self._origins = Origins(is_library)
        self._random = RandomWatch()
        self._collector = Collector(opaque, self._is_foreign, self._random)
        self._scopes = Scopes(self._collector)
        self._reads: dict[int, tuple[CodeType, Reads]] = {}
        self._loose: dict[Step, Site] = {}
        self._own: dict[int, CodeType] = {}  # the library's code; held, so that no other takes its place
        self._done: set[tuple[object, ...]] = set()
        self._given: set[int] = set()
        self._opaque = opaque
        self._relied_on: Relied = {}
        self._arguments: list[object] | None = None
        self._collected: Collected | None = None
        self._anew: tuple[str, str] | None = None  # what gives another value each time, and the way out
        self._too_large: tuple[Unguarded, ...] = ()

    @property
    def drew_random(self) -> str | None:
        """What drew from Python's or NumPy's generators, with file and line; None if nothing did."""
        return self._random.drew

    @property
    def unguarded(self) -> tuple[Unguarded, ...]:
        """The paths that were read but can't be guarded, with the reasons."""
        return (*self._settled().unguarded, *self._too_large)

    @property
    def changed(self) -> tuple[Changed, ...]:
        """What the function read and changed: calls that run no Python would go on without the change."""
        return self._settled().changed

    @property
    def repeats(self) -> str | None:
        """What Python did that gives another value each time, and the way out; None if it did nothing of the kind.

        It drew a number, advanced an iterator or read a clock.
        """
        if self._random.drew is not None:
            return _repeating(
                f"{self._random.drew} draws a number", "use tj.random.Generator, or draw outside and pass the value"
            )
        for location, site in self._settled().iterators:
            return _repeating(
                f"the iterator {location.text} at {site.file}:{site.line} advances",
                "take the item outside and pass it as an argument",
            )
        return self._anew and _repeating(*self._anew)

    def undo(self, *, runs_again: bool = True) -> None:
        """Put back what the function read and changed, as after a trace that came to nothing.

        Parameters
        ----------
        runs_again : bool
            Whether the same call is run again. Then generators draw the same numbers once more, and what was only put
            into containers is taken out too; else it stays, as it does after an exception.
        """
        settled = self._settled()
        for change in reversed(settled.changed):
            change.undo()
        if runs_again:
            settled.snapshots.restore()
            self._random.rewind()

    def guards(self, by_reference: Callable[[np.ndarray], bool] = lambda array: True) -> GuardSet:
        """Return the guards for what was recorded.

        Parameters
        ----------
        by_reference : callable
            Says of an array whether it was taken as it is. Of others, with which NumPy computed, the elements are
            compared.

        Returns
        -------
        GuardSet
            It refers to the user's objects weakly where they allow it.
        """
        guards, self._too_large = self._collector.with_elements(self._settled().guards, by_reference)
        return GuardSet((*guards, *(self._unchanged(thing, name) for (_, name), thing in self._relied_on.items())))

    def _unchanged(self, thing: object, name: str) -> Guard:
        """The guard that holds as long as an attribute on which the library relies stays as it was."""
        owner = type(thing).__name__
        shown, kind = (f"the settings of {owner}", SETTINGS) if name == "settings_made" else (f"{name} of {owner}", "")
        location = Location(ObjectRoot.to(thing), (Step.attribute(name),), shown, kind)
        return Guard(location, capture(getattr(thing, name), self._opaque), owner, 0)

    @contextmanager
    def recording(self, function: Callable[..., object]) -> Iterator[None]:
        """Record while `function` is called inside the ``with``.

        Parameters
        ----------
        function : callable
            The user's function: a plain or wrapped function, a bound method, a `functools.partial` or an
            object with `__call__`. Containers and numbers among the arguments of its call are left to the
            call signature.
        """
        self._add_root(function)
        self._random.start()
        previous = sys.getprofile()
        own, event_of_others = self._own, self._event

        def event(frame: FrameType, kind: str, argument: object) -> None:
            # Nearly all events come from the library itself, and mean nothing.
            if id(frame.f_code) not in own:
                event_of_others(frame, kind, argument)

        with collecting() as self._relied_on:
            sys.setprofile(event)
            try:
                yield
            finally:
                _restore_profile(previous)
                self._random.finish()
                self._scopes.clear()
                self._arguments = []

    def _settled(self) -> Collected:
        if self._collected is None:
            self._collected = self._collector.settle(self._loose)
        return self._collected

    def _is_foreign(self, value: object) -> bool:
        if isinstance(value, FunctionType):
            return self._origins.of_code(value.__code__, value.__globals__) is not Origin.USER
        if isinstance(value, ModuleType):
            if value.__name__ in sys.builtin_module_names:
                return True
            return self._origins.of_file(getattr(value, "__file__", None) or "<made at run time>") is not Origin.USER
        return False

    def _add_root(self, function: object) -> None:
        """Guard the function itself, through all its wrappings, and know its `self`."""
        site = Site(getattr(function, "__name__", type(function).__name__), 0, "")
        current: object = function
        while True:
            if isinstance(current, partial):
                self._given.update(map(id, (*current.args, *current.keywords.values())))
                base = Location(ObjectRoot.to(current), (), "partial", "an object")
                self._collector.add(base, current, site)
                current = current.func
            elif isinstance(current, MethodType):
                self._given.add(id(current.__self__))
                current = current.__func__
            elif isinstance(current, FunctionType):
                name, line = current.__name__, current.__code__.co_firstlineno
                # Held, because the step holds it too: its cells can then be read directly.
                base = Location(ObjectRoot.to(current, hold=True), (), name, "the function")
                self._collector.add(base, current, Site(name, line, current.__code__.co_filename))
                defaults = (*(current.__defaults__ or ()), *(current.__kwdefaults__ or {}).values())
                self._given.update(map(id, defaults))
                if "__wrapped__" not in vars(current):
                    return
                current = vars(current)["__wrapped__"]
            else:
                method = step_into(type(current), Step.attribute("__call__"))
                if not isinstance(method, FunctionType):
                    return
                self._given.add(id(current))
                current = method

    def _event(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._enter(frame)
        elif event == "return":
            self._scopes.leave(frame)
        elif event == "c_call" and RandomWatch.is_draw(argument):
            self._random.watch(argument.__self__, None)  # type: ignore[attr-defined]
            self._note_draw(frame, "random." + argument.__qualname__.rpartition(".")[2])  # type: ignore[attr-defined]
        elif event == "c_call" and (anew := new_each_time(argument)) and self._origin(frame) is Origin.USER:
            name = self._called(frame)[0] or argument.__qualname__  # type: ignore[attr-defined]
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            self._anew = self._anew or (f"{name}() at {place} {anew[0]}", anew[1])

    def _origin(self, frame: FrameType) -> Origin:
        return self._origins.of_code(frame.f_code, frame.f_globals)

    def _enter(self, frame: FrameType) -> None:
        code = frame.f_code
        origin = self._origin(frame)
        if origin is Origin.LIBRARY:
            self._own[id(code)] = code
            return
        if origin is Origin.INSTALLED:
            self._enter_installed(frame)
            return
        if code.co_name == "<module>":
            return  # an import inside the function: it runs once, whether traced or not
        reads = self._reads_of(code)
        values = dict(frame.f_locals)
        if self._arguments is None:
            self._note_arguments(code, values)
        for scope in self._scopes.enter(frame, values, reads, self._passed):
            self._follow_all(scope, reads)

    def _reads_of(self, code: CodeType) -> Reads:
        known = self._reads.get(id(code))
        if known is None:
            known = self._reads[id(code)] = (code, analyse(code))
            name = readable_name(code)
            for step, line in known[1].loose.items():
                self._loose.setdefault(step, Site(name, line, code.co_filename))
        return known[1]

    def _note_arguments(self, code: CodeType, values: dict[str, object]) -> None:
        """Remember the containers that the caller passed: the call signature describes them."""
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
        passed = [values[name] for name in code.co_varnames[:count] if name in values]
        passed += [part for value in passed for part in _parts(value)]
        self._arguments = [value for value in passed if isinstance(value, _DESCRIBED) and id(value) not in self._given]

    def _passed(self, value: object) -> bool:
        return any(value is argument for argument in self._arguments or ())

    def _follow_all(self, scope: Scope, reads: Reads) -> None:
        if scope.key in self._done:
            return
        self._done.add(scope.key)
        name = readable_name(scope.code)
        for chain in reads.stores:
            base = scope.base(chain)
            if base is not None:
                self._collector.note_store(base, chain.steps)
        for chain, line in reads.ends.items():
            base = scope.base(chain)
            if base is not None:
                self._collector.follow(base, chain.steps, Site(name, line, scope.code.co_filename))
        for parameter in reads.rebound:
            location = scope.names.get(parameter)
            if location is not None:
                site = Site(name, scope.code.co_firstlineno, scope.code.co_filename)
                self._collector.add(location, location.read(), site)
        self._follow_getters(Site(name, scope.code.co_firstlineno, scope.code.co_filename))

    def _follow_getters(self, site: Site) -> None:
        """Follow what properties of foreign classes read from their object; their frames are passed over."""
        for getter in self._collector.getters():
            code = getter.function.__code__
            if code.co_argcount != 1 or ("getter", id(code), getter.location.key) in self._done:
                continue
            self._done.add(("getter", id(code), getter.location.key))
            for chain in self._reads_of(code).ends:
                if chain.kind == "parameter":
                    self._collector.follow(getter.location, chain.steps, site)

    def _enter_installed(self, frame: FrameType) -> None:
        caller = frame.f_back
        if caller is None:
            return
        if frame.f_code.co_name in {"random", "getrandbits"} and frame.f_globals.get("__name__") == "random":
            self._note_draw(frame, f"random.SystemRandom().{frame.f_code.co_name}")
        elif self._origin(caller) is Origin.USER:
            if makes_generator(self._called(caller)[1]):
                self._note_draw(frame, "numpy.random's new generator")
            self._enter_package(frame, caller)

    def _enter_package(self, frame: FrameType, caller: FrameType) -> None:
        """Guard all attributes of the objects that a package's function was given: what it reads is not followed."""
        code = frame.f_code
        if code.co_name in _TYPE_CHECKS:
            return
        site = Site(readable_name(caller.f_code), caller.f_lineno, caller.f_code.co_filename)
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        given: dict[str, object] = {name: frame.f_locals.get(name) for name in names}
        if code is os.getenv.__code__:
            given = {"os.environ": os.environ}
        for name, value in given.items():
            if isinstance(value, (type, FunctionType, MethodType, ModuleType)) or is_container(value):
                continue
            location = self._collector.locate(name, value)
            if location is not None:
                self._collector.follow(location, (ANY,), site)

    def _called(self, frame: FrameType) -> tuple[str | None, object]:
        """Return how the call that `frame` is making is written, and the function that a path leads to."""
        calls = self._reads_of(frame.f_code).calls
        offset = max((offset for offset in calls if 0 <= frame.f_lasti - offset <= _CACHES), default=None)
        if offset is None:
            return None, None
        chain: Chain = calls[offset]
        if chain.kind == "global":
            root = GlobalRoot(frame.f_globals, frame.f_builtins, chain.name)
            location = Location(root, chain.steps, "", "")
        else:
            scope = self._scopes.of(frame)
            base = scope.base(chain) if scope is not None else None
            if base is None:
                return None, None
            location = Location(base.root, (*base.steps, *chain.steps), "", "")
        return chain.name + "".join(map(str, chain.steps)), location.read()

    def _note_draw(self, frame: FrameType, description: str) -> None:
        """Note a draw, unless the library itself made it; a package's draw is its caller's."""
        current: FrameType | None = frame
        while current is not None:
            origin = self._origin(current)
            if origin is Origin.LIBRARY:
                return
            if origin is Origin.USER:
                text = self._called(current)[0] or description
                self._random.note(f"{text}() at {current.f_code.co_filename}:{current.f_lineno}")
                return
            current = current.f_back


def _repeating(what: str, way_out: str) -> str:
    return f"{what} while the step is traced, and compiled calls would repeat the value; {way_out}"


def _parts(value: object) -> tuple[object, ...]:
    """Return what a container passes on, as ``*arguments`` and ``**options`` do."""
    if isinstance(value, dict):
        return tuple(dict.values(value))
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def _restore_profile(previous: object) -> None:
    if callable(previous) or previous is None:
        sys.setprofile(previous)
        return
    # A profiler written in C, such as cProfile before Python 3.12, installs itself and is not callable.
    sys.setprofile(None)
    enable = getattr(previous, "enable", None)
    if callable(enable):
        enable()
