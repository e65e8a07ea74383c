"""The functions by name: one place for what there is."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from . import exponentials
from .lanes import Lanes


class Function(NamedTuple):
    """One function; ``write(*operands)`` emits it for the lanes of its operands, which have one type."""

    arity: int
    write: Callable[..., Lanes]


FUNCTIONS: Mapping[str, Function] = {
    "exp": Function(1, exponentials.exp),
}
