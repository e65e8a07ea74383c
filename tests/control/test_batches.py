"""vmap over loops and branches: eager and compiled, with gradients, against a loop over the examples."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import BatchingError
from tests.control.ways import check, gradients

RNG = np.random.default_rng(4)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=3)
COUNT = np.array([3, 0, 5, 1])


def scanned(x: Any, w: Any, n: Any) -> Any:
    def step(carry: Any, each: Any) -> Any:
        total, fixed = carry
        return (tj.sin(total * w) + each, fixed * 2), (total, fixed)

    (total, fixed), ys = tj.scan(step, (tj.zeros(3, "float64"), tj.ones(3, "float64")), x[:, None] * w)
    return total + fixed * ys[1][1] + ys[0][2]


def branched(x: Any, w: Any, n: Any) -> Any:
    first = tj.cond(x[0] > 0, lambda v: v * w, tj.sin, x)
    return tj.switch(n, [tj.cos, lambda v: v * x, lambda v: v[::-1]], first) + tj.cond(w[0] > 0, lambda: w, lambda: x)


def looked_up(x: Any, w: Any, n: Any) -> Any:
    # Only the branch that is taken has an index within the array.
    return tj.cond(n < 3, lambda: x * w[n], lambda: tj.scan(lambda c, e: (c + e * x, None), x, w)[0])


def looped(x: Any, w: Any, n: Any) -> Any:
    # An example that is done would read beyond the end.
    table = tj.concat([w, x[:2]])

    def body(state: Any) -> Any:
        place, total = state
        return place + 1, total + tj.sin(total) * table[place]

    return tj.while_loop(lambda state: state[0] < tj.minimum(n, 5), body, (0, x), max_steps=5)[1]


def unlimited(x: Any, w: Any, n: Any) -> Any:
    y = tj.while_loop(lambda state: state[0] < n, lambda state: (state[0] + 1, state[1] * w + x), (0, x))[1]
    count = tj.while_loop(lambda state: state < 3, lambda state: state + 1, 0)
    return y * tj.astype(count, "float64") + tj.fori_loop(0, n, lambda i, v: v + i * x, x)


def again(x: Any, w: Any, n: Any) -> Any:
    return tj.checkpoint(lambda v: tj.sin(tj.exp(v) * w) + tj.map(lambda e: e * x[0], w))(x)


PROGRAMS = (scanned, branched, looked_up, looped, unlimited, again)
AXES = ((0, None, 0), (0, None, None), (None, None, 0))


def one_by_one(function: Callable[..., Any], axes: tuple[Any, ...]) -> Callable[..., Any]:
    def mapped(*args: Any) -> Any:
        rows = [
            function(*[arg if axis is None else arg[place] for arg, axis in zip(args, axes, strict=True)])
            for place in range(len(X))
        ]
        return tj.stack(rows)

    return mapped


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_a_batch_is_a_loop_over_its_examples(function: Callable[..., Any], axes: tuple[Any, ...]) -> None:
    args = [X if axes[0] == 0 else X[0], W, COUNT if axes[2] == 0 else COUNT[0]]
    found = check(tj.vmap(function, in_axes=axes), *args)
    expected = one_by_one(function, axes)(*map(tj.constant, args))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("function", [f for f in PROGRAMS if f is not unlimited], ids=lambda f: f.__name__)
def test_gradients_of_batches_and_batches_of_gradients(function: Callable[..., Any]) -> None:
    axes = AXES[0]

    def total(x: Any, w: Any) -> Any:
        return tj.sum(tj.vmap(function, in_axes=axes)(x, w, tj.constant(COUNT)) ** 2)

    def expected(x: Any, w: Any) -> Any:
        return tj.sum(one_by_one(function, axes)(x, w, tj.constant(COUNT)) ** 2)

    sources = tj.constant(X), tj.constant(W)
    for order in (1, 2):
        found = gradients(total, order, "zero")(*sources)
        for one, other in zip(found, gradients(expected, order, "zero")(*sources), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    check(gradients(total, 1, "zero"), X, W)

    def gradient(x: Any, n: Any) -> Any:
        return gradients(lambda v: tj.sum(function(v, tj.constant(W), n)), 1, "zero")(x)[0]

    check(tj.vmap(gradient), X, COUNT)


def test_jacobians_of_eager_loops() -> None:
    def program(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.scan(lambda c, e: (tj.sin(c + e * x[:2]), c * e), x[:2], x, checkpoint=2)[1]
        return tape.jacobian(y, x)

    found = check(program, W)
    step = 1e-6
    for place in range(3):
        moved = [
            tj.scan(lambda c, e, v=v: (tj.sin(c + e * v[:2]), c * e), v[:2], v)[1].numpy()
            for v in (tj.constant(W + sign * step * np.eye(3)[place]) for sign in (1, -1))
        ]
        np.testing.assert_allclose(found[..., place], (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-9)


def test_draws_are_refused() -> None:
    generator = tj.random.Generator(0)

    def step(carry: Any, _: Any) -> Any:
        return carry + generator.normal((), dtype="float64"), None

    for randomness in ("error", "same", "different"):
        mapped = tj.vmap(lambda x: tj.scan(step, x, length=2)[0], randomness=randomness)
        with pytest.raises(
            BatchingError, match="random numbers are drawn in a loop or a branch inside; draw them before"
        ):
            mapped(W)


def test_a_kernel_of_a_batch() -> None:
    check(tj.vmap(looped, in_axes=AXES[0]), X, W, COUNT, kernel=True)
