"""First values: moments, bounds, seeds."""

import numpy as np
import pytest

from tapejit.nn import initializers


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / 300), ("glorot_normal", 2 / 300), ("he_uniform", 2 / 100), ("he_normal", 2 / 100),
        ("lecun_uniform", 1 / 100), ("lecun_normal", 1 / 100), ("random_normal", 0.0025), ("random_uniform", 0.01 / 12),
    ],
)  # fmt: skip
def test_variances(name: str, variance: float) -> None:
    values = initializers.get(name)((100, 200), "float64").numpy()
    assert abs(values.mean()) < 4 * np.sqrt(variance / values.size)
    np.testing.assert_allclose(values.var(), variance, rtol=0.05)


def test_fans_of_kernels() -> None:
    assert initializers.fans((3, 4)) == (3.0, 4.0)
    assert initializers.fans((5, 5, 3, 4)) == (75.0, 100.0)
    assert initializers.fans((7,)) == (7.0, 7.0)


def test_a_truncated_normal_stays_within_two_deviations() -> None:
    values = initializers.TruncatedNormal(1.0, 0.5, seed=0)((10_000,), "float64").numpy()
    assert np.abs(values - 1.0).max() <= 1.0
    np.testing.assert_allclose(values.std(), 0.5 * 0.8796, rtol=0.03)


def test_an_orthogonal_matrix_is_orthogonal() -> None:
    tall = initializers.Orthogonal(gain=2.0, seed=1)((3, 2, 4), "float64").numpy().reshape(6, 4)
    np.testing.assert_allclose(tall.T @ tall, 4 * np.eye(4), atol=1e-12)
    wide = initializers.Orthogonal(seed=1)((3, 5), "float64").numpy()
    np.testing.assert_allclose(wide @ wide.T, np.eye(3), atol=1e-12)


def test_a_seed_gives_the_same_numbers_each_time() -> None:
    seeded, free = initializers.glorot_uniform(seed=4), initializers.glorot_uniform()
    np.testing.assert_array_equal(seeded((3, 3), "float32").numpy(), seeded((3, 3), "float32").numpy())
    assert not np.array_equal(free((3, 3), "float32").numpy(), free((3, 3), "float32").numpy())


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="scale must be above 0"):
        initializers.VarianceScaling(0.0)
    with pytest.raises(ValueError, match="'fan' is none of"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ValueError, match="a matrix was expected"):
        initializers.Identity()((3,), "float32")
    with pytest.raises(ValueError, match="two axes or more"):
        initializers.Orthogonal()((3,), "float32")
