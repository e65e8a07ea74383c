"""Arguments that are no arrays, by position: functions and settings, which rules get as they are."""

from collections.abc import Sequence
from typing import Any

from ..dataclass import dataclass
from ..errors import RuleError, at_user_line


def positions_checked(label: str, positions: int | Sequence[int]) -> tuple[int, ...]:
    """``nondiff_argnums`` as a sorted tuple.

    Raises
    ------
    RuleError
        If one of them is no position.
    """
    found = (positions,) if isinstance(positions, int) else tuple(positions)
    if any(each < 0 for each in found):
        raise RuleError(at_user_line(f"{label}: nondiff_argnums counts positions from 0, got {positions!r}"))
    return tuple(sorted(set(found)))


@dataclass(frozen=True, slots=True)
class Static:
    """The arguments at these positions."""

    positions: tuple[int, ...]
    values: tuple[Any, ...]

    def joined(self, others: Sequence[Any]) -> list[Any]:
        """All arguments, given the others."""
        rest, static = iter(others), dict(zip(self.positions, self.values, strict=True))
        count = len(self.positions) + len(others)
        return [static[place] if place in static else next(rest) for place in range(count)]


def split_arguments(label: str, positions: tuple[int, ...], args: Sequence[Any]) -> tuple[Static, list[Any]]:
    """The static arguments of a call, and the others in order.

    Raises
    ------
    RuleError
        If there are too few.
    """
    if positions and positions[-1] >= len(args):
        raise RuleError(at_user_line(f"{label}: nondiff_argnums {positions} of {len(args)} arguments"))
    static = Static(positions, tuple(args[place] for place in positions))
    return static, [value for place, value in enumerate(args) if place not in positions]
