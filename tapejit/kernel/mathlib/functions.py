"""The functions by name: one place for what there is."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from . import exponentials, hyperbolics, logarithms, powers
from .lanes import Lanes


class Function(NamedTuple):
    """One function; ``write(*operands)`` emits it for the lanes of its operands, which have one type."""

    arity: int
    write: Callable[..., Lanes]


FUNCTIONS: Mapping[str, Function] = {
    "exp": Function(1, exponentials.exp),
    "exp2": Function(1, exponentials.exp2),
    "expm1": Function(1, exponentials.expm1),
    "log": Function(1, logarithms.log),
    "log2": Function(1, logarithms.log2),
    "log10": Function(1, logarithms.log10),
    "log1p": Function(1, logarithms.log1p),
    "sinh": Function(1, hyperbolics.sinh),
    "cosh": Function(1, hyperbolics.cosh),
    "tanh": Function(1, hyperbolics.tanh),
    "sigmoid": Function(1, hyperbolics.sigmoid),
    "softplus": Function(1, hyperbolics.softplus),
    "power": Function(2, powers.power),
    "cbrt": Function(1, powers.cbrt),
}
