from math import erf, sqrt
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tapejit.ops.philox import philox_blocks, random_words

# The known-answer vectors of Random123 (kat_vectors, philox 4x32 10): counter, key, words.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
COUNT = 200_000


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_answers(counter: str, key: str, expected: str) -> None:
    first, second = words(key)
    counters = np.array(words(counter), np.uint64)[:, None]
    np.testing.assert_array_equal(philox_blocks(counters, (first, second)), np.uint32([words(expected)]), strict=True)


def test_words_follow_the_counter() -> None:
    three = random_words(5, 2**64 - 1, 12, np.dtype(np.uint32))  # the counter wraps
    np.testing.assert_array_equal(three[4:8], random_words(5, 0, 4, np.dtype(np.uint32)))
    pairs = random_words(5, 2**64 - 1, 6, np.dtype(np.uint64))
    np.testing.assert_array_equal(pairs.view(np.uint32), three)
    assert random_words(1, 0, 0, np.dtype(np.uint32)).shape == (0,)


def test_golden_numbers() -> None:
    generator = tj.random.Generator(2024)
    np.testing.assert_array_equal(generator.uniform((3,)).numpy(), GOLDEN["uniform"])
    np.testing.assert_array_equal(generator.integers(-10, 10, (6,)).numpy(), GOLDEN["integers"])
    np.testing.assert_allclose(generator.normal((3,)).numpy(), GOLDEN["normal"], rtol=3e-7)
    np.testing.assert_allclose(generator.normal((3,), dtype="float64").numpy(), GOLDEN["normal64"], rtol=1e-15)
    assert generator.bernoulli(0.5, (8,)).tolist() == GOLDEN["bernoulli"]
    assert generator.get_state().tolist() == GOLDEN["state"]


def test_equal_seeds_give_equal_numbers_and_others_don_t() -> None:
    one, same, other = tj.random.Generator(3), tj.random.Generator(3), tj.random.Generator(4)
    first = one.normal((5,)).numpy()
    np.testing.assert_array_equal(first, same.normal((5,)).numpy())
    assert not np.any(first == other.normal((5,)).numpy())
    assert not np.any(first == one.normal((5,)).numpy())
    assert tj.random.Generator().get_state()[0] != tj.random.Generator().get_state()[0]


def test_the_state_can_be_kept_and_put_back() -> None:
    generator = tj.random.Generator(2**64 - 1)
    generator.uniform((3,))
    kept = generator.get_state()
    assert kept.dtype == np.uint64
    assert kept.tolist() == [2**64 - 1, 1]
    first = generator.uniform((9,), dtype="float64").numpy()
    generator.set_state(kept)
    np.testing.assert_array_equal(generator.uniform((9,), dtype="float64").numpy(), first)
    assert generator.get_state().tolist() == [2**64 - 1, 6]
    assert kept.tolist() == [2**64 - 1, 1]
    generator.set_state([1, 2])
    assert generator.get_state().tolist() == [1, 2]
    with pytest.raises(ShapeError):
        generator.set_state([1, 2, 3])
    with pytest.raises(DtypeError):
        generator.set_state([1.0, 2.0])


def test_split_generators_differ() -> None:
    generator = tj.random.Generator(0)
    one, two = generator.split()
    draws = [g.uniform((4,)).tolist() for g in (generator, one, two)]
    assert len({tuple(draw) for draw in draws}) == 3
    assert [g.get_state()[0] for g in tj.random.Generator(0).split()] == [
        one.get_state()[0],
        two.get_state()[0],
    ]


def distance(sample: np.ndarray, distribution: Any) -> float:
    """Kolmogorov's statistic, times the root of the sample's size: above 1.95 once in a thousand samples."""
    ordered = np.sort(sample.astype(np.float64))
    expected = distribution(ordered)
    steps = np.arange(ordered.size + 1) / ordered.size
    return float(max(np.max(steps[1:] - expected), np.max(expected - steps[:-1])) * sqrt(ordered.size))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_is_uniform(dtype: str) -> None:
    u = tj.random.Generator(1).uniform((COUNT,), dtype=dtype).numpy()
    assert u.dtype == dtype
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / sqrt(12 * COUNT)
    assert distance(u, lambda x: x) < 1.95
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 4 / sqrt(COUNT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_is_normal(dtype: str) -> None:
    z = tj.random.Generator(2).normal((COUNT + 1,), dtype=dtype).numpy()
    assert z.dtype == dtype
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 4 / sqrt(COUNT)
    assert abs(z.var() - 1) < 4 * sqrt(2 / COUNT)
    assert abs((z**4).mean() - 3) < 4 * sqrt(96 / COUNT)
    assert distance(z, np.vectorize(lambda x: (1 + erf(x / sqrt(2))) / 2)) < 1.95
    half = COUNT // 2
    assert abs(np.corrcoef(z[:half], z[half + 1 :])[0, 1]) < 4 / sqrt(half)  # r cos θ and r sin θ
    assert abs(np.corrcoef(z[:half] ** 2, z[half + 1 :] ** 2)[0, 1]) < 4 / sqrt(half)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_are_box_and_mullers(dtype: str) -> None:
    z = tj.random.Generator(9).normal((COUNT,), dtype=dtype).numpy().reshape(2, -1)
    words = random_words(9, 0, COUNT, np.dtype("uint32" if dtype == "float32" else "uint64")).reshape(2, -1)
    unit = np.longdouble(2) ** (-8 * words.itemsize)
    radius = np.sqrt(-2 * np.log((words[0].astype(np.float64) + 1).astype(np.longdouble) * unit))
    angle = 2 * np.arctan2(np.longdouble(0), np.longdouble(-1)) * unit * words[1]
    expected = radius * np.stack([np.cos(angle), np.sin(angle)])
    assert np.abs(z - expected).max() < 8 * np.finfo(dtype).eps
    large = np.abs(expected) > radius / 2
    assert np.abs(z / expected - 1)[large].max() < 3 * np.finfo(dtype).eps


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 4), (5, 5 + 2**40), (-(2**63), 2**63 - 1)])
def test_integers_cover_their_range(low: int, high: int) -> None:
    draws = tj.random.Generator(3).integers(low, high, (COUNT,)).numpy()
    assert draws.dtype == np.int64
    assert draws.min() >= low
    assert draws.max() < high
    if high - low < 100:
        expected = COUNT / (high - low)
        counts = np.bincount(draws - low, minlength=high - low)
        assert np.abs(counts - expected).max() < 4 * sqrt(expected) * (high - low > 1) + 1
    else:
        assert distance(draws, lambda x: (x - low) / (high - low)) < 1.95


def test_integers_are_the_upper_half_of_a_product() -> None:
    generator = tj.random.Generator(11)
    drawn = random_words(11, 0, 1000, np.dtype(np.uint64)).tolist()
    for bound in (1, 7, 2**32 - 1, 2**32, 2**62 + 12345, 2**63 - 1):
        generator.set_state([11, 0])
        expected = [word * bound >> 64 for word in drawn]
        assert generator.integers(0, bound, (1000,)).tolist() == expected


def test_bernoulli() -> None:
    generator = tj.random.Generator(5)
    p = np.array([0.0, 0.25, 1.0])
    draws = generator.bernoulli(p, (COUNT, 3)).numpy()
    assert draws.dtype == bool
    assert abs(draws[:, 1].mean() - 0.25) < 4 * sqrt(3 / 16 / COUNT)
    assert draws[:, 0].sum() == 0
    assert draws[:, 2].all()
    assert generator.bernoulli().shape == ()


def test_parameters_broadcast_and_choose_the_dtype() -> None:
    generator = tj.random.Generator(0)
    assert generator.uniform().shape == ()
    assert generator.uniform(4).dtype == np.float32
    assert generator.normal((2, 1), np.zeros(3), 1.0).shape == (2, 3)
    assert generator.normal((), np.zeros(3)).dtype == np.float64
    assert generator.uniform((2,), 0, tj.constant([3])).dtype == np.float32
    assert generator.normal((2,), np.float64(1), dtype="float32").dtype == np.float32
    assert generator.integers(np.array([0, 10]), 20, (4, 2)).shape == (4, 2)
    assert generator.normal((0, 3)).shape == (0, 3)
    assert generator.normal((1,)).shape == (1,)
    ends = generator.uniform((COUNT,), -2.0, 3.0).numpy()
    assert -2 <= ends.min() < -1.999 < 2.999 < ends.max() <= 3


def test_draws_are_differentiable_by_their_parameters() -> None:
    mean, deviation = tj.constant([1.0, 2.0]), tj.constant(0.5)
    with tj.GradientTape(persistent=True) as tape:
        tape.watch([mean, deviation])
        draw = tj.random.Generator(6).normal((4, 2), mean, deviation)
    z = tj.random.Generator(6).normal((4, 2)).numpy()
    np.testing.assert_allclose(draw.numpy(), mean.numpy() + 0.5 * z, rtol=1e-6)
    assert tape.gradient(draw, mean).tolist() == [4, 4]
    np.testing.assert_allclose(tape.gradient(draw, deviation).numpy(), z.sum(), rtol=1e-5)
    with tj.GradientTape() as tape:
        tape.watch([mean, deviation])
        draw = tj.random.Generator(6).uniform((4, 2), deviation, mean)
    u = tj.random.Generator(6).uniform((4, 2)).numpy()
    by_low, by_high = tape.gradient(draw, [deviation, mean])
    np.testing.assert_allclose(by_low.numpy(), (1 - u).sum(), rtol=1e-5)
    np.testing.assert_allclose(by_high.numpy(), u.sum(0), rtol=1e-5)


def test_bad_arguments_are_explained() -> None:
    generator = tj.random.Generator(0)
    with pytest.raises(ValueError, match="no integer from 3"):
        generator.integers(3, 3)
    with pytest.raises(DtypeError, match="integers, got float32"):
        generator.integers(0.0, 3)
    with pytest.raises(DtypeError, match="float32 or float64, not int64"):
        generator.uniform((2,), dtype="int64")
    with pytest.raises(ShapeError, match="uniform: shapes"):
        generator.uniform((2,), np.zeros(3))
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed"):
            tj.random.Generator(seed)
    for seed in ("x", 1.5):
        with pytest.raises(TypeError, match=rf"Generator: the seed is an int .*, got {seed!r} \(at .*test_random"):
            tj.random.Generator(seed)
    assert generator.get_state().tolist() == [0, 0]


GOLDEN: dict[str, Any] = {
    "uniform": np.float32([0.6036898493766785, 0.26856327056884766, 0.984598696231842]),
    "integers": [-2, -1, -10, -9, -1, -5],
    "normal": [-1.2128362655639648, 0.7370100021362305, -2.5471842288970947],
    "normal64": [-0.9791422046039284, -2.527838895025272, 0.669625684867576],
    "bernoulli": [True, False, False, False, True, True, False, True],
    "state": [2024, 9],
}
