"""Random programs of loops and branches in one another, of vectors of three numbers."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import tapejit as tj

Values = Sequence[Any]

ONE: tuple[Callable[[Any], Any], ...] = (
    tj.sin,
    tj.tanh,
    lambda v: v * 0.5,
    tj.stop_gradient,
    lambda v: tj.floor(v * 3),
    lambda v: tj.where(v > 0, tj.sqrt(tj.abs(v)), 0.3 * v),
    lambda v: v[::-1],
    tj.softmax,
    lambda v: tj.cumsum(v) / 3,
    lambda v: tj.astype(tj.argmax(v), "float64") + v,
)
TWO: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a + b,
    lambda a, b: a * b,
    tj.maximum,
    lambda a, b: a / (2 + b * b),
    lambda a, b: tj.where(a > b, a, b * 0.1),
    lambda a, b: a * tj.sum(b) / 3,
    lambda a, b: a[tj.astype(tj.abs(b[0]) * 10, "int64") % 3] * b,
)


class RandomLoops:
    """Writes a value in terms of others; the same for the same seed, wherever it is called.

    Parameters
    ----------
    kinds : sequence of str
        Names of the methods to choose from.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = tuple(kinds)

    def value(self, seed: int, values: Values, depth: int) -> Any:
        """A value made of others, with loops in one another as deep as `depth`."""
        draw = random.Random(seed)
        if not depth:
            return self.plain(draw, values)
        return getattr(self, draw.choice(self._kinds))(draw, values, depth - 1)

    def plain(self, draw: random.Random, values: Values, depth: int = 0) -> Any:  # noqa: ARG002 (as the others)
        found = list(values)
        for _ in range(draw.randint(1, 3)):
            if draw.random() < 0.5:
                found.append(draw.choice(ONE)(draw.choice(found)))
            else:
                found.append(draw.choice(TWO)(draw.choice(found), draw.choice(found)))
        return found[-1]

    def scan(self, draw: random.Random, values: Values, depth: int) -> Any:
        count, length = draw.randint(1, 3), draw.randint(0, 4)
        first, second = draw.randrange(1 << 30), draw.randrange(1 << 30)
        passed = [draw.randrange(count) if draw.random() < 0.3 else None for _ in range(count)]
        slices = tj.stack([draw.choice(values) for _ in range(length)]) if length and draw.random() < 0.6 else None

        def step(carry: Any, x: Any) -> Any:
            state, number = carry
            known = [*state, *values, *([] if x is None else [x])]
            following = [
                self.value(first + place, known, depth) if other is None else state[other]
                for place, other in enumerate(passed)
            ]
            return (following, number + 1), self.value(second, [*known, tj.astype(number, "float64") * state[0]], 0)

        init = [draw.choice(values) for _ in range(count)]
        reverse, policy = draw.random() < 0.4, draw.choice(("carries", "all", "sqrt", 2))
        (state, _), ys = tj.scan(step, (init, 0), slices, length=length, reverse=reverse, checkpoint=policy)
        return state[draw.randrange(count)] + tj.sum(ys, axis=0)

    def fori_loop(self, draw: random.Random, values: Values, depth: int) -> Any:
        seed, times, start = draw.randrange(1 << 30), draw.randint(0, 4), draw.choice(values)
        return tj.fori_loop(0, times, lambda i, c: self.value(seed, [c, c * 0.1 + i, *values], depth), start)

    def while_loop(self, draw: random.Random, values: Values, depth: int) -> Any:
        seed, times, start = draw.randrange(1 << 30), draw.randint(1, 3), draw.choice(values)

        def body(state: Any) -> Any:
            return self.value(seed, [state[0], *values], depth), state[1] + 1

        most = times + draw.randint(0, 2)
        return tj.while_loop(lambda state: state[1] < times, body, (start, 0), max_steps=most)[0]

    def cond(self, draw: random.Random, values: Values, depth: int) -> Any:
        one, other = (self._function(draw, values, depth) for _ in range(2))
        return tj.cond(draw.choice(values)[0] > 0.1, one, other, draw.choice(values))

    def switch(self, draw: random.Random, values: Values, depth: int) -> Any:
        branches = [self._function(draw, values, depth) for _ in range(3)]
        return tj.switch(tj.astype(draw.choice(values)[1] * 3, "int64"), branches, draw.choice(values))

    def map(self, draw: random.Random, values: Values, depth: int) -> Any:
        return tj.sum(tj.map(self._function(draw, values, depth), tj.stack([*values[:2]])), axis=0)

    def vmap(self, draw: random.Random, values: Values, depth: int) -> Any:
        return tj.sum(tj.vmap(self._function(draw, values, depth))(tj.stack([*values[-2:]])), axis=0)

    def checkpoint(self, draw: random.Random, values: Values, depth: int) -> Any:
        return tj.checkpoint(self._function(draw, values, depth))(draw.choice(values))

    def _function(self, draw: random.Random, values: Values, depth: int) -> Callable[[Any], Any]:
        seed = draw.randrange(1 << 30)
        return lambda x: self.value(seed, [x, *values], depth)


LOOPS = ("scan", "scan", "fori_loop", "map", "vmap", "checkpoint", "plain")
BRANCHES = ("cond", "switch", "while_loop")


def program(seed: int, kinds: Sequence[str] = LOOPS + BRANCHES, depth: int = 2) -> Callable[..., Any]:
    """A function of three vectors that gives a number."""
    loops = RandomLoops(kinds)

    def function(*values: Any) -> Any:
        first = loops.value(2 * seed, values, depth)
        return tj.sum(first * loops.value(2 * seed + 1, [*values, first], depth))

    return function
