"""Loops and branches for random programs: what `random_operations` has, for operations that hold regions."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import tapejit as tj
from tests.kernel.random_operations import Draft, Function, floating, integral

Drawn = tuple[str, Function, tuple[int, ...]] | None

MOST = 5
"""Iterations."""

STEPS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "recurrence": lambda s, x, c: (tj.tanh(s * 0.5 + x * c), s),
    "sum so far": lambda s, x, c: (s + x * 0.25, tj.sin(s) * c),
    "turned over": lambda s, x, c: (tj.flip(s) * 0.5 + tj.sin(x), tj.sum(s) * 0.25),
    "shifted": lambda s, x, c: (tj.roll(s, 1) * c * 0.5 + x, tj.cos(s)),
    "normalised": lambda s, x, c: (tj.sin(s - tj.sum(s) * 0.125) * c, tj.tanh(x) + s),
    "outer": lambda s, x, c: (tj.tanh(tj.sum(s[..., None] * tj.tanh(x)[..., None, :], axis=-1)), c),
    "as it was": lambda s, x, c: (s, tj.sin(x) * s),
}


def _matrix(s: Any, x: Any, c: Any) -> tuple[Any, Any]:
    """A matrix that stays the same, along rows and along columns."""
    m = tj.tanh(c)[..., None] * tj.sin(c + 1.0)[..., None, :]
    product = tj.sum(m * s[..., None, :], axis=-1)
    return tj.sin(product * 0.25) + x, tj.sum(m * tj.tanh(s)[..., None], axis=-2)


STEPS["matrix"] = _matrix
OF_ARRAYS = ("turned over", "shifted", "outer", "branching", "matrix")
"""Those that need an axis."""


def _turns(s: Any, x: Any, c: Any) -> tuple[Any, Any]:
    """Two values that change places."""
    first, second = s
    return (second, tj.sin(first) + x * c), first * 0.5


def _within(s: Any, x: Any, c: Any) -> tuple[Any, Any]:
    """A loop in a loop."""
    inner = lambda t, _: (tj.tanh(t * c + x), tj.sum(t) * 0.25)  # noqa: E731
    return tj.scan(inner, s, length=3)


def _branching(s: Any, x: Any, c: Any) -> tuple[Any, Any]:
    """A branch in a loop: the second, then the first, and so on."""
    s, number = s
    s = tj.cond(number > 0, lambda: tj.sin(s) + x, lambda: tj.flip(s) * c)
    return (s, 1 - number), s


def looped(draft: Draft) -> Drawn:
    """A scan over the first axis of a value, with another one that it captures."""
    x = draft.pick(lambda value: floating(value) and value.shape and value.shape[0] <= MOST)
    if x is None:
        return None
    shape, dtype = draft.values[x].shape[1:], draft.values[x].dtype
    c = draft.pick(lambda value: floating(value) and value.shape == shape and value.dtype == dtype)
    kinds = [*sorted(STEPS), "in turn", "loop in loop", "branching"]
    kind = draft.one_of(kinds if shape else [kind for kind in kinds if kind not in OF_ARRAYS])
    reverse, stacked = draft.draw(st.booleans()), draft.draw(st.booleans())
    started = draft.draw(st.booleans())

    def function(x: Any, *captured: Any) -> Any:
        c = tj.tanh(captured[0]) if captured else tj.ones(shape, dtype)
        first = tj.sum(x, axis=0) if started else tj.zeros(shape, dtype)
        step = {"in turn": _turns, "loop in loop": _within, "branching": _branching}.get(kind) or STEPS[kind]
        init = {"in turn": (first, c), "branching": (first, tj.zeros((), "int64"))}.get(kind, first)
        last, ys = tj.scan(lambda s, x: step(s, x, c), init, x, reverse=reverse)
        last = last[0] if isinstance(last, tuple) else last
        return ys if stacked else last

    ways = f"{'backwards, ' if reverse else ''}{'stacked' if stacked else 'the last'}"
    return f"scan {kind} ({ways})", function, (x,) if c is None else (x, c)


def chosen(draft: Draft) -> Drawn:
    """A branch by an integer."""
    number, x = draft.pick(integral), draft.pick(floating)
    if number is None or x is None:
        return None

    def function(number: Any, x: Any) -> Any:
        branches = [lambda: tj.sin(x), lambda: tj.tanh(x) * tj.sum(x) * 0.125, lambda: x * 0.5]
        return tj.switch(tj.astype(tj.sum(number), "int64"), branches)

    return "switch", function, (number, x)


def repeated(draft: Draft) -> Drawn:
    """A while loop, of which no gradient is asked."""
    x = draft.pick(floating)
    if x is None:
        return None
    count = draft.draw(st.integers(0, MOST))

    def function(x: Any) -> Any:
        step = lambda s: (s[0] + 1, tj.tanh(tj.flip(s[1])) + tj.stop_gradient(x))  # noqa: E731
        return tj.while_loop(lambda s: s[0] < count, step, (tj.zeros((), "int64"), tj.stop_gradient(x)))[1]

    return "while loop", function, (x,)
