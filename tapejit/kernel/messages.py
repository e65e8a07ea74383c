"""What a failed check says, in pieces: text, and numbers that are made of the details which the kernel left.

So that machine code can say the same as `Executable.fail`. Start reading at `pieces_of`.
"""

import re
from collections.abc import Iterator, Sequence
from string import Formatter
from typing import NamedTuple

from .layout import Failure


class Number(NamedTuple):
    """``details[detail] // divisor % modulus``; without a modulus if that is 0."""

    detail: int
    divisor: int = 1
    modulus: int = 0


Message = tuple[str | Number, ...]


def pieces_of(failure: Failure) -> Message:
    """What a failure says, without where in the user's program it was."""
    if failure.fault:
        return tuple(_of_a_matrix(failure))
    if failure.beyond:
        return tuple(_of_a_format(failure.beyond, failure.shape))
    length = failure.shape[0]
    return f"{failure.operation}: index ", Number(0), f" is out of range for an axis with length {length}"


def shown(message: Message) -> str:
    """A message without the numbers, which are not known before."""
    return "".join(piece if isinstance(piece, str) else "…" for piece in message)


_NUMBER = re.compile(r"\{(\d+):(\d+):(\d+)\}")


def template(message: Message) -> str:
    """A message as one text, for `filled`."""
    return "".join(piece if isinstance(piece, str) else f"{{{':'.join(map(str, piece))}}}" for piece in message)


def filled(text: str, details: Sequence[int]) -> str:
    """What a `template` says of these details; without any it is said as it stands."""
    if not details:
        return text

    def number(found: re.Match[str]) -> str:
        detail, divisor, modulus = map(int, found.groups())
        value = details[detail] // divisor
        return str(value % modulus if modulus else value)

    return _NUMBER.sub(number, text)


def _of_a_matrix(failure: Failure) -> Iterator[str | Number]:
    batch = failure.shape[:-2]
    yield f"{failure.operation}: the matrix"
    if any(length > 1 for length in batch):
        yield " at index ("
        yield from _index(0, batch, single=",")
        yield ")"
    yield f" of an array of shape {failure.shape} is {failure.fault}"


def _of_a_format(text: str, shape: tuple[int, ...]) -> Iterator[str | Number]:
    for words, field, _, _ in Formatter().parse(text):
        if words:
            yield words
        if field == "index":
            yield Number(0)
        elif field == "place":
            yield "["
            yield from _index(1, shape[1:])
            yield "]"


def _index(detail: int, lengths: Sequence[int], single: str = "") -> Iterator[str | Number]:
    """The index in an array of these lengths of the element that the detail counts."""
    divisor = 1
    numbers: list[Number] = []
    for length in reversed(lengths):
        numbers.insert(0, Number(detail, divisor, length))
        divisor *= length
    for place, number in enumerate(numbers):
        if place:
            yield ", "
        yield number
    if len(numbers) == 1:
        yield single
