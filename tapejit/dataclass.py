"""`dataclass`, as the standard library's, but for the time that it takes: its methods are written when they are needed.

Floor 0. The standard library writes the text of up to six methods for each class and compiles it while the module is
imported, which for the classes of this package takes as long as all the rest of ``import tapejit``. Here a method is
written when it is first called, or is a function that all classes share the text of. What `dataclasses.fields`,
`dataclasses.replace` and the like see is the same.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError
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
        methods.append(_later(cls, "__init__", lambda: _init(cls, fields, frozen=frozen)))
    if eq:
        methods.append(_later(cls, "__eq__", lambda: _eq(fields)))
    if eq and frozen:
        methods.append(_later(cls, "__hash__", lambda: _hash(fields)))
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


_Text = tuple[str, dict[str, Any]]
"""Of a method: its definition, and what the names in it stand for."""


def _later(cls: type, name: str, write: Callable[[], _Text]) -> Callable[..., Any]:
    """What takes the place of a method until the first call."""

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        text, names = write()
        # As a part of this file, which tells whoever looks at frames that it is the library's own.
        exec(compile(text, f"{__file__} ({cls.__qualname__})", "exec"), names)
        written = names[name]
        written.__module__, written.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"
        setattr(cls, name, written)
        return written(self, *args, **kwargs)

    method.__name__ = name
    return method


def _init(cls: type, fields: Sequence[Field[Any]], *, frozen: bool) -> _Text:
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
    return text, names


def _assignment(cls: type, name: str, value: str, names: dict[str, Any]) -> str:
    """How a field of a class that refuses changes is set."""
    slot = getattr(cls, name, None)
    if not isinstance(slot, MemberDescriptorType):
        return f"put(self, {name!r}, {value})"
    names[f"put_{name}"] = slot.__set__
    return f"put_{name}(self, {value})"


def _eq(fields: Sequence[Field[Any]]) -> _Text:
    mine, others = _values(fields, "self"), _values(fields, "other")
    text = f"return {mine} == {others} if other.__class__ is self.__class__ else NotImplemented"
    return f"def __eq__(self, other):\n {text}", {}


def _hash(fields: Sequence[Field[Any]]) -> _Text:
    return f"def __hash__(self):\n return hash({_values(fields, 'self')})", {}


def _values(fields: Sequence[Field[Any]], of: str) -> str:
    """The fields that compare, as a tuple."""
    return "(" + "".join(f"{of}.{field.name}, " for field in fields if field.compare) + ")"


def _repr(fields: Sequence[Field[Any]]) -> Callable[[Any], str]:
    names = [field.name for field in fields if field.repr]

    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({values})"

    return __repr__


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
