"""What users pass to loops and branches and get from their functions: nests, whose leaves become values.

A Python number is *weak*: as an initial value, or as what a function gives, it takes the dtype of what stands in its
place otherwise. Its `Aval` says so. All here happens alike in eager mode and under a trace.
"""

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..aval import PYTHON_NUMBERS, Aval
from ..errors import DtypeError, ShapeError, TapejitError, at_user_line
from ..families import as_array
from ..primitive import Value, current, in_role
from ..pytree import TreeDef, flatten, unflatten

_RANK = {"b": 0, "i": 1, "u": 1, "f": 2}
"""Kinds of numbers: each can take those of a lower rank."""


def is_weak(leaf: Any) -> bool:
    """Whether a leaf is a Python number, or a traced one."""
    return type(leaf) in PYTHON_NUMBERS or (isinstance(leaf, Value) and leaf.aval.weak)


def lifted(leaf: Any) -> Any:
    """A leaf as a value; numbers stay what they are."""
    return leaf if is_weak(leaf) else as_array(leaf)


def aval_of(leaf: Any) -> Aval:
    """Of a number or a value."""
    if type(leaf) in PYTHON_NUMBERS:
        return Aval((), PYTHON_NUMBERS[type(leaf)], weak=True)
    return leaf.aval  # type: ignore[no-any-return]


def met(before: Aval, leaf: Any) -> Aval | None:
    """The type of what was `before`, now that `leaf` stands in its place; None if they don't fit together."""
    after = aval_of(leaf)
    if before.shape != after.shape:
        return None
    if before.weak and after.weak:
        return max(before, after, key=lambda aval: _RANK[aval.dtype.kind])
    if before.weak or after.weak:
        number, array = (before, after) if before.weak else (after, before)
        fits = array.dtype.kind in _RANK and _RANK[number.dtype.kind] <= _RANK[array.dtype.kind]
        return array if fits else None
    return before if before.dtype == after.dtype else None


def in_aval(leaf: Any, aval: Aval) -> Value:
    """A leaf that `met` this type, as a value of its dtype."""
    if type(leaf) in PYTHON_NUMBERS:
        return current().interpreter.number(leaf, aval.dtype)
    value: Value = leaf.settled()
    return value if value.dtype == aval.dtype else ops.astype(value, aval.dtype)


def of_their_own(leaves: Sequence[Any], since: int) -> list[Any]:
    """What an iteration takes, as values that nobody else has: those newer than a key are, where they are not repeated.

    A tape in a body that watches its carry follows the carry alone, whatever the loop began with. In a graph it is so
    by itself, since a body's arguments are nodes of their own.
    """
    taken: set[int] = set()
    own = []
    for leaf in leaves:
        if isinstance(leaf, Value):
            if leaf.key <= since or leaf.key in taken:
                leaf = in_role("reshape")(leaf, leaf.shape)  # noqa: PLW2901 (the same numbers under another key)
            taken.add(leaf.key)
        own.append(leaf)
    return own


def finished(value: Any, weak: bool) -> Any:
    """A result, in the dtype that a Python number has among arrays if it was one to the end."""
    if not weak:
        return value
    kind = {dtype: kind for kind, dtype in PYTHON_NUMBERS.items()}[value.dtype]
    return ops.astype(value, as_array(kind(0)).dtype)


def flattened(nest: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of a nest as numbers and values."""
    leaves, tree = flatten(nest)
    return [lifted(leaf) for leaf in leaves], tree


class _Word:
    """Text that stands in a nest without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def in_words(tree: TreeDef, avals: Sequence[Aval]) -> str:
    """A nest as a user would write it, with the types of its leaves."""
    words = [_Word(f"a Python {_python_name(aval)}" if aval.weak else str(aval)) for aval in avals]
    return repr(unflatten(tree, words))


def _python_name(aval: Aval) -> str:
    return {"b": "bool", "i": "int", "f": "float"}[aval.dtype.kind]


def mismatch(before: Sequence[Aval], after: Sequence[Aval], same_nest: bool, message: str) -> TapejitError:
    """The error for types that don't fit: a `DtypeError` if only dtypes differ."""
    shapes = [aval.shape for aval in before] == [aval.shape for aval in after]
    kind = DtypeError if same_nest and shapes else ShapeError
    return kind(at_user_line(message))


def is_list_of_numbers(nest: Any) -> bool:
    """Whether a list is meant as an array."""
    leaves, _ = flatten(nest)
    return isinstance(nest, list) and bool(leaves) and all(type(leaf) in PYTHON_NUMBERS for leaf in leaves)
