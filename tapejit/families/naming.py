"""What a family makes of a declaration bears the declaration's name.

Floor 3, beside the families.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any


def named_as(declared: Callable[..., Any], made: Any) -> Any:
    """`made` with the name and the docstring of `declared`: also in tracebacks, by which messages find it."""
    update_wrapper(made, declared)
    made.__code__ = made.__code__.replace(co_name=declared.__name__, co_qualname=declared.__qualname__)
    return made
