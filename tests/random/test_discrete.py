from math import erf, lgamma, sqrt

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tests.random.statistics import distance

COUNT = 20_000


def assert_frequencies(draws: np.ndarray, expected: np.ndarray) -> None:
    """Counts of 0, 1, … are within four and a half standard deviations."""
    counts = np.bincount(draws.ravel(), minlength=expected.size)
    assert counts.size == expected.size
    deviations = np.sqrt(draws.size * expected * (1 - expected))
    assert (np.abs(counts - draws.size * expected) <= 4.5 * deviations + 1e-9).all(), (counts, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categorical(dtype: str) -> None:
    p = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        logits = (np.log(p) + 5).astype(dtype)
    draws = tj.random.Generator(1).categorical(logits, (COUNT,))
    assert draws.dtype == np.int64
    assert_frequencies(draws.numpy(), p)
    assert tj.random.Generator(0).categorical(np.zeros((3, 1, 5)), (2,)).shape == (3, 2)
    assert tj.random.Generator(0).categorical([0.0, 1.0]).shape == ()
    with pytest.raises(ShapeError, match="categorical: logits have a last axis"):
        tj.random.Generator(0).categorical(1.0)


def test_permutation() -> None:
    generator = tj.random.Generator(2)
    orders = np.array([generator.permutation(3).tolist() for _ in range(800)])
    assert (np.sort(orders) == np.arange(3)).all()
    assert_frequencies(orders @ [9, 3, 1] - 5, np.isin(np.arange(17), [0, 2, 6, 10, 14, 16]) / 6)
    x = np.arange(12.0).reshape(3, 4)
    moved = tj.random.Generator(3).permutation(x, axis=1).numpy()
    order = tj.random.Generator(3).permutation(4).numpy()
    np.testing.assert_array_equal(moved, x[:, order])
    assert generator.permutation(0).shape == (0,)
    with pytest.raises(ValueError, match="permutation: there are no integers below -1"):
        generator.permutation(-1)
    with pytest.raises(ShapeError, match="permutation"):
        generator.permutation(x, axis=2)


def test_permutations_carry_gradients() -> None:
    x = tj.constant(np.arange(4.0))
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.random.Generator(3).permutation(x) * weights
    order = tj.random.Generator(3).permutation(4).numpy()
    np.testing.assert_array_equal(tape.gradient(y, x).numpy()[order], weights)


def test_choice_with_replacement() -> None:
    generator = tj.random.Generator(4)
    assert_frequencies(generator.choice(5, (COUNT,)).numpy(), np.full(5, 0.2))
    p = np.array([1.0, 0.0, 3.0])
    assert_frequencies(generator.choice(3, (100, COUNT // 100), p=p).numpy(), p / 4)
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    chosen = generator.choice(values, (3, 2), axis=1).numpy()
    assert chosen.shape == (2, 3, 2)
    np.testing.assert_array_equal(chosen[1] - chosen[0], 2)
    assert generator.choice(values).shape == (2,)
    assert generator.choice(3, (0,)).tolist() == []


def test_choice_without_replacement() -> None:
    generator = tj.random.Generator(5)
    drawn = np.array([generator.choice(4, (2,), replace=False).tolist() for _ in range(800)])
    assert (drawn[:, 0] != drawn[:, 1]).all()
    for column in drawn.T:
        assert_frequencies(column, np.full(4, 0.25))
    p = np.array([0.5, 0.3, 0.2, 0.0])
    weighted = np.array([generator.choice(4, (3,), replace=False, p=p).tolist() for _ in range(800)])
    assert (np.sort(weighted) == np.arange(3)).all()
    assert_frequencies(weighted[:, 0], p)
    second = np.array([sum(p[i] * p[j] / (1 - p[i]) for i in range(3) if i != j) for j in range(4)])
    assert_frequencies(weighted[:, 1], second)
    assert generator.choice(6, (2, 3), replace=False).shape == (2, 3)


def test_what_can_not_be_chosen() -> None:
    generator = tj.random.Generator(0)
    with pytest.raises(ValueError, match="3 of 2 can't be chosen without replacement"):
        generator.choice(2, (3,), replace=False)
    with pytest.raises(ValueError, match="1 of 0 can't be chosen"):
        generator.choice(np.zeros((0, 2)))
    with pytest.raises(ShapeError, match=r"p has shape \(2,\), there are 3"):
        generator.choice(3, p=[0.5, 0.5])


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 9.99, 10.0, 35.0])
def test_poisson(mean: float) -> None:
    draws = tj.random.Generator(7).poisson(np.float64(mean), (COUNT,))
    assert draws.dtype == np.int64
    most = int(mean + 9 * sqrt(mean) + 3)
    counts = np.arange(most + 1)
    logarithms = np.array([lgamma(count + 1) for count in counts])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.exp(np.where(counts == 0, 0, counts * np.log(mean)) - mean - logarithms)
    assert_frequencies(draws.numpy(), expected)


def test_large_means_of_poisson() -> None:
    mean = 1e6
    draws = tj.random.Generator(8).poisson(np.float64(mean), (COUNT,)).numpy()
    z = (draws - mean) / sqrt(mean)
    assert distance(z, np.vectorize(lambda x: (1 + erf(x / sqrt(2))) / 2)) < 1.95
    assert tj.random.Generator(0).poisson([1.0, 20.0], (3, 2)).shape == (3, 2)
    assert tj.random.Generator(0).poisson(3.0).shape == ()


def test_binomial() -> None:
    draws = tj.random.Generator(6).binomial(4, np.float64(0.3), (COUNT,))
    assert draws.dtype == np.int64
    expected = np.array([0.7**4, 4 * 0.3 * 0.7**3, 6 * 0.09 * 0.49, 4 * 0.027 * 0.7, 0.3**4])
    assert_frequencies(draws.numpy(), expected)
    assert tj.random.Generator(6).binomial(0, 0.5, (2,)).tolist() == [0, 0]
    assert abs(
        tj.random.Generator(6).binomial(100, [0.1, 0.9], (1000, 2)).numpy().mean(0) - [10, 90]
    ).max() < 4 * 3 / sqrt(1000)
    with pytest.raises(ValueError, match="binomial: n is 0 or more"):
        tj.random.Generator(6).binomial(-1)
