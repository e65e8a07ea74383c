"""The functions by name: one place for what there is."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from . import (
    error_functions,
    exponentials,
    gamma_functions,
    hyperbolics,
    inverse_hyperbolics,
    inverse_trigonometry,
    logarithms,
    powers,
    trigonometry,
)
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
    "logaddexp": Function(2, hyperbolics.logaddexp),
    "asinh": Function(1, inverse_hyperbolics.asinh),
    "acosh": Function(1, inverse_hyperbolics.acosh),
    "atanh": Function(1, inverse_hyperbolics.atanh),
    "power": Function(2, powers.power),
    "cbrt": Function(1, powers.cbrt),
    "hypot": Function(2, powers.hypot),
    "sin": Function(1, trigonometry.sin),
    "cos": Function(1, trigonometry.cos),
    "tan": Function(1, trigonometry.tan),
    "asin": Function(1, inverse_trigonometry.asin),
    "acos": Function(1, inverse_trigonometry.acos),
    "atan": Function(1, inverse_trigonometry.atan),
    "atan2": Function(2, inverse_trigonometry.atan2),
    "erf": Function(1, error_functions.erf),
    "erfc": Function(1, error_functions.erfc),
    "lgamma": Function(1, gamma_functions.lgamma),
    "digamma": Function(1, gamma_functions.digamma),
    "trigamma": Function(1, gamma_functions.trigamma),
}
