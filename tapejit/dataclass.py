"""`dataclass`, as the standard library's, but for the time that it takes: its methods are written when they are needed.

Floor 0. The standard library writes the text of up to six methods for each class and compiles it while the module is
imported, which for the classes of this package takes as long as all the rest of ``import tapejit``. Here a class gets
its ``__init__`` when it is first called; the other methods are functions that all classes share the text of. What
`dataclasses.fields`, `dataclasses.replace` and the like see is the same.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]


def _dataclass(
    cls: type | None = None, /, *, init: bool = True, eq: bool = True, frozen: bool = False, **layout: bool
) -> Any:
    """See `dataclasses.dataclass`; without order, unsafe hashes and ``InitVar``."""
    if cls is None:
        return lambda cls: _dataclass(cls, init=init, eq=eq, frozen=frozen, **layout)
    cls = dataclasses.dataclass(init=False, repr=False, eq=False, **layout)(cls)
    fields = dataclasses.fields(cls)
    methods: list[Callable[..., Any]] = [_repr(fields)]
    if init:
        methods.append(_init(cls, fields, frozen=frozen))
    if eq:
        compared = _values([field.name for field in fields if field.compare])
        methods += [_eq(compared), _hash(compared)] if frozen else [_eq(compared)]
    if frozen:
        methods += _frozen(cls, {field.name for field in fields})
        if layout.get("slots"):
            methods += _state([field.name for field in fields])
    own = {name for name, value in vars(cls).items() if value is not None}  # Python writes None for a lost __hash__
    for method in methods:
        if method.__name__ not in own:
            method.__qualname__ = f"{cls.__qualname__}.{method.__name__}"
            setattr(cls, method.__name__, method)
    if eq and not frozen and "__hash__" not in own:
        cls.__hash__ = None  # type: ignore[assignment]
    return cls


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass


def _init(cls: type, fields: Sequence[Field[Any]], *, frozen: bool) -> Callable[..., None]:
    """What takes the place of ``__init__`` until the first call."""

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        written = _written_init(cls, fields, frozen=frozen)
        cls.__init__ = written  # type: ignore[misc]
        written(self, *args, **kwargs)

    return __init__


def _written_init(cls: type, fields: Sequence[Field[Any]], *, frozen: bool) -> Callable[..., None]:
    names: dict[str, Any] = {"MISSING": MISSING, "put": object.__setattr__}
    parameters: dict[bool, list[str]] = {False: ["self"], True: []}  # by whether they are keywords only
    lines = []
    for field in fields:
        name, value, default = field.name, field.name, ""
        if field.default_factory is not MISSING:
            names[f"make_{name}"] = field.default_factory
            value, default = f"make_{name}() if {name} is MISSING else {name}", "=MISSING"
        elif field.default is not MISSING:
            names[f"default_{name}"] = field.default
            default = f"=default_{name}"
        if field.init:
            parameters[bool(field.kw_only)].append(name + default)
        elif default:
            value = f"make_{name}()" if default == "=MISSING" else f"default_{name}"
        else:
            continue
        lines.append(_assignment(cls, name, value, names) if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    keywords = ["*", *parameters[True]] if parameters[True] else []
    text = f"def __init__({', '.join([*parameters[False], *keywords])}):\n " + "\n ".join(lines or ["pass"])
    # As a part of this file, which tells whoever looks at frames that it is the library's own.
    exec(compile(text, f"{__file__} ({cls.__qualname__})", "exec"), names)
    written: Callable[..., None] = names["__init__"]
    written.__module__, written.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
    return written


def _assignment(cls: type, name: str, value: str, names: dict[str, Any]) -> str:
    """How a field of a class that refuses changes is set."""
    slot = getattr(cls, name, None)
    if not isinstance(slot, MemberDescriptorType):
        return f"put(self, {name!r}, {value})"
    names[f"put_{name}"] = slot.__set__
    return f"put_{name}(self, {value})"


def _values(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What gives the values of some fields."""
    if len(names) > 1:
        return attrgetter(*names)
    one = [attrgetter(name) for name in names]
    return lambda self: tuple([get(self) for get in one])


def _repr(fields: Sequence[Field[Any]]) -> Callable[[Any], str]:
    names = [field.name for field in fields if field.repr]

    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({values})"

    return __repr__


def _eq(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, object], bool]:
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _frozen(cls: type, names: set[str]) -> list[Callable[..., None]]:
    """What refuses changes; a class that derives from this one may have attributes that change."""

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        object.__delattr__(self, name)

    return [__setattr__, __delattr__]


def _state(names: Sequence[str]) -> list[Callable[..., Any]]:
    """What pickles frozen objects in slots."""

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: Sequence[Any]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return [__getstate__, __setstate__]
