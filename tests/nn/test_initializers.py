"""First values: moments, bounds, seeds."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import nn
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


@pytest.mark.parametrize(
    ("make", "shape", "weight", "fans"),
    [
        (lambda: nn.Dense(30), (20,), 0, (20, 30)),
        (lambda: nn.Conv2D(30, (3, 2)), (9, 9, 10), 0, (60, 180)),
        (lambda: nn.Conv2D(20, 3, groups=2), (9, 9, 20), 0, (90, 180)),
        (lambda: nn.Conv2DTranspose(20, 3), (9, 9, 10), 0, (180, 90)),
        (lambda: nn.DepthwiseConv2D(3, depth_multiplier=20), (9, 9, 10), 0, (90, 180)),
        (lambda: nn.LSTM(30), (5, 40), 0, (40, 120)),
        (lambda: nn.MultiHeadAttention(4, 10), (5, 30), 0, (30, 40)),
        (lambda: nn.MultiHeadAttention(4, 10), (5, 30), 6, (40, 30)),
    ],
)
def test_the_first_weights_of_layers(make: Any, shape: Any, weight: int, fans: tuple[int, int]) -> None:
    layer = make()
    layer.build((None, *shape))
    values, bound = layer.weights[weight].numpy(), np.sqrt(6 / sum(fans))
    assert 0.97 * bound < np.abs(values).max() <= bound
    np.testing.assert_allclose(values.var(), bound**2 / 3, rtol=0.3)


def test_the_first_weights_that_are_not_uniform() -> None:
    embeddings = nn.Embedding(100, 30, input_shape=(1,)).embeddings.numpy()
    assert 0.049 < np.abs(embeddings).max() <= 0.05
    recurrent = nn.GRU(20, input_shape=(3, 2)).recurrent_kernel.numpy()
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(20), atol=1e-6)


def test_initializers_as_users_of_keras_write_them() -> None:
    made = initializers
    forms = (
        "GlorotUniform", "zeros", made.Zeros, made.HeNormal(seed=1), made.he_normal(), made.LecunUniform(), made.ones(),
        made.Constant(0.5), made.TruncatedNormal(0.0, 0.1), lambda shape, dtype=None: np.ones(shape),
    )  # fmt: skip
    for form in forms:
        kernel = nn.Dense(3, kernel_initializer=form, input_shape=(2,)).kernel
        assert (kernel.shape, kernel.dtype) == ((2, 3), np.float32)
    assert made.GlorotUniform()(shape=(2, 3)).dtype == np.float32
    assert made.RandomNormal(stddev=2.0)(shape=4, dtype="float64").shape == (4,)
    assert [float(each(tj.constant([-2.0]))) for each in (nn.regularizers.L1(0.5), nn.regularizers.l2(l2=0.5))] == [
        1,
        2,
    ]
    assert [float(nn.regularizers.get(name)(tj.constant([-2.0]))) for name in ("L2", "l1")] == pytest.approx(
        [0.04, 0.02]
    )


def test_a_generator_that_a_model_shares() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        generator = tj.random.Generator(seed)
        kernel = initializers.GlorotUniform(generator)
        model = nn.Sequential(
            [
                nn.Dense(3, kernel_initializer=kernel),
                nn.Dropout(0.5, seed=generator),
                nn.Dense(3, kernel_initializer=kernel),
            ]
        )
        return [model(np.ones((2, 3)), training=True).numpy(), *model.get_weights()]

    first, again, other = weights(0), weights(0), weights(1)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert np.all(one == 0) or not np.array_equal(one, different)
    assert not np.array_equal(first[1], first[3])
