"""What is heard while a function with a rule of the user's own runs: which variables it reads, what depends on what."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..aval import is_floating
from ..errors import RuleError, at_user_line
from ..primitive import BASE, Value, add_tape, current, interpreting, new_key, remove_tape
from ..tape.recording import Record, Recording
from ..variable import Variable
from .arguments import Arguments


def is_heard() -> bool:
    """Whether anyone listens: here, around a map over batches, or when what is traced here runs."""
    state = current()
    return bool(state.tapes) or state.interpreter is not BASE[0].interpreter


class _Nowhere(list[Record]):
    """Keeps no records: what depends on what is all that is asked for."""

    def append(self, record: Record) -> None:
        """Nothing."""


class Heard:
    """What a run of a function read and made."""

    __slots__ = ("_before", "recording")

    def __init__(self, values: Iterable[Value]) -> None:
        self._before = new_key()
        self.recording = Recording(watch_accessed=True)
        self.recording.records = _Nowhere()
        for value in values:
            self.recording.watch(value)

    def variables(self, given: Arguments) -> list[Variable]:
        """The trainable variables that it read, but for its arguments."""
        return [each for key, each in self.recording.variables.items() if key not in given.variables]

    def refuse_variables(self, label: str, given: Arguments) -> None:
        """Hold that it read no variables but its arguments, as its rule knows of no others.

        Raises
        ------
        RuleError
            If it did.
        """
        names = [each.name or "a Variable" for each in self.variables(given)]
        if names:
            raise RuleError(at_user_line(f"{label} reads {', '.join(names)}: pass it as an argument"))

    def is_own(self, value: Value) -> bool:
        """Whether the function made a value."""
        return value.key > self._before

    def loose(self, results: Sequence[Value]) -> tuple[int, ...]:
        """Positions of results that it made in ways that tapes don't see: an opaque call, behind a stop.

        To a gradient that uses it, such a result is the one with the rule: a second derivative would take it for
        constant.
        """
        return tuple(
            place
            for place, value in enumerate(results)
            if is_floating(value.dtype) and self.is_own(value) and not self.recording.follows((value,))
        )


@contextmanager
def watching(values: Sequence[Value]) -> Iterator[Heard]:
    """A block that is heard, by tapes as well; it is noted what depends on values."""
    heard = Heard(values if is_heard() else ())
    add_tape(heard.recording)
    try:
        yield heard
    finally:
        remove_tape(heard.recording)


@contextmanager
def alone() -> Iterator[Heard]:
    """A block of which tapes hear nothing."""
    heard = Heard(())
    with interpreting(current().interpreter, (heard.recording,)):
        yield heard
