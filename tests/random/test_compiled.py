"""All draws in a compiled step: the same numbers as eagerly, with the same gradients, and the same state afterwards."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj


def continuous(generator: tj.random.Generator) -> list[Any]:
    names = ("truncated_normal", "exponential", "laplace", "logistic", "gumbel", "cauchy")
    return [getattr(generator, name)((5,), dtype="float64") for name in names]


def discrete(generator: tj.random.Generator) -> list[Any]:
    weights = np.array([0.1, 0.5, 0.4, 0.2])
    return [
        generator.categorical(np.log(weights), (6,)),
        generator.permutation(9),
        generator.permutation(np.arange(6.0).reshape(2, 3), axis=1),
        generator.choice(7, (2, 3)),
        generator.choice(np.arange(4.0), (5,), p=weights),
        generator.choice(4, (3,), replace=False, p=weights),
        generator.binomial(5, 0.3, (4,)),
        generator.poisson(np.array([0.0, 0.5, 9.0, 11.0, 400.0])),
    ]


@pytest.mark.parametrize("draws", [continuous, discrete])
def test_draws(draws: Any) -> None:
    eager, compiled = tj.random.Generator(7), tj.random.Generator(7)
    step = tj.compile(lambda: draws(compiled), strict=True, cache=False)
    for _ in range(2):
        for found, expected in zip(step(), draws(eager), strict=True):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-13, atol=1e-14)
        np.testing.assert_array_equal(compiled.get_state(), eager.get_state())


def test_gammas_and_their_gradients() -> None:
    generators = tj.random.Generator(8), tj.random.Generator(8)
    alpha = np.array([0.3, 1.0, 2.5, 40.0])

    def draws(generator: tj.random.Generator, a: Any) -> list[Any]:
        with tj.GradientTape() as tape:
            tape.watch(a)
            y = generator.gamma(a, 2.0, (3, 4))
        return [y, tape.gradient(y, a), generator.dirichlet(a, (2,))]

    step = tj.compile(lambda a: draws(generators[0], a), strict=True, cache=False)
    for _ in range(2):
        for found, expected in zip(step(alpha), draws(generators[1], tj.constant(alpha)), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-11)


def test_examples_of_a_batch_draw_apart() -> None:
    generator = tj.random.Generator(9)

    def draw(a: Any) -> Any:
        return generator.gamma(a), generator.categorical(tj.zeros(5)), generator.permutation(4)

    draws, categories, orders = tj.vmap(draw, randomness="different")(np.full(50, 2.0))
    assert len(set(draws.tolist())) == 50
    assert len(set(categories.tolist())) == 5
    assert (np.sort(orders.numpy()) == np.arange(4)).all()
