"""`tapejit.dataclass` does what the standard library's does; only its methods are written later."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tapejit.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A point."""

    x: float
    y: float = 0.0
    tags: tuple[str, ...] = dataclasses.field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Named(Point):
    """A point with a name."""

    name: str = dataclasses.field(default="", kw_only=True)


KINDS: tuple[dict[str, bool], ...] = (
    {},
    {"slots": True},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "eq": False},
    {"slots": True, "weakref_slot": True, "eq": False},
)


def declare(decorator: Any, **options: bool) -> Any:
    @decorator(**options)
    class Thing:
        """A thing."""

        one: int
        two: list[int] = dataclasses.field(default_factory=list)
        three: str = "c"
        four: int = dataclasses.field(init=False, default=4, repr=False)
        five: list[int] = dataclasses.field(init=False, default_factory=lambda: [5], hash=False, compare=False)
        six: int = dataclasses.field(kw_only=True, default=6)

        def __post_init__(self) -> None:
            if self.one < 0:
                raise ValueError("one is negative")

    return Thing


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (TypeError, ValueError, AttributeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_it_does_what_the_standard_one_does(options: dict[str, bool]) -> None:
    ours, theirs = declare(dataclass, **options), declare(dataclasses.dataclass, **options)
    for kind, other in ((ours, theirs), (theirs, ours)):
        one = kind(1)
        assert dataclasses.asdict(one) == dataclasses.asdict(other(1))
        assert [field.name for field in dataclasses.fields(one)] == [field.name for field in dataclasses.fields(other)]
    calls: tuple[Callable[[Any], Any], ...] = (
        lambda kind: repr(kind(1, [2], "d", six=7)),
        lambda kind: repr(dataclasses.replace(kind(1), three="e")),
        lambda kind: kind(1, [2]) == kind(1, [2]),
        lambda kind: kind(1, [2]) == kind(1, [3]),
        lambda kind: kind(1) == kind(1).one,
        lambda kind: isinstance(hash(kind(1, ())), int),
        lambda kind: hash(kind(1, ())) == hash(kind(1, ())),
        lambda kind: kind(1).five is kind(1).five,
        lambda kind: setattr(kind(1), "one", 2),
        lambda kind: delattr(kind(1), "one"),
        lambda kind: setattr(kind(1), "seven", 7) if options.get("slots") and not options.get("frozen") else None,
        lambda kind: kind(-1),
        lambda kind: kind(),
        lambda kind: kind(1, [2], "d", 4),
        lambda kind: kind(1, seven=7),
        lambda kind: kind.__match_args__,
        lambda kind: hasattr(kind(1), "__dict__"),
        lambda kind: str(inspect.signature(type(kind(1)).__init__)).count(","),
    )
    for call in calls:
        assert outcome(lambda call=call: call(ours)) == outcome(lambda call=call: call(theirs))


def test_a_first_call_that_fails_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'one'"):
        declare(dataclass)()


def test_own_methods_are_kept() -> None:
    @dataclass(frozen=True, slots=True)
    class Own:
        """Its own methods."""

        x: int

        def __repr__(self) -> str:
            return "own"

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return True

    @dataclass(slots=True, init=False)
    class Made:
        """Its own way to be made."""

        x: int

        def __init__(self) -> None:
            self.x = 3

    assert (repr(Own(1)), hash(Own(1)), Own(1) == 2, Made().x) == ("own", 7, True, 3)


def test_a_derived_class_compares_and_shows_all_fields() -> None:
    one = Named(1.0, tags=("a",), name="b")
    assert repr(one) == "Named(x=1.0, y=0.0, tags=('a',), name='b')"
    assert one == Named(1.0, name="b") != Named(1.0, name="c")
    assert one != Point(1.0)
    assert len({one, Named(1.0, name="b"), Point(1.0), Point(1.0)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        one.x = 2.0  # type: ignore[misc]


def test_frozen_objects_in_slots_are_pickled_and_copied() -> None:
    one = Named(1.0, 2.0, ("a",), name="b")
    for same in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert (same, same.tags) == (one, ("a",))


def test_an_object_that_holds_itself_can_be_shown() -> None:
    @dataclass(slots=True)
    class Ring:
        """A ring."""

        next: Any = None

    ring = Ring()
    ring.next = ring
    assert repr(ring).endswith("Ring(next=...)")
