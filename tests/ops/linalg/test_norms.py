from math import inf
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tests.ops.differences import assert_derivatives, gradients

linalg = tj.linalg
X = np.random.default_rng(0).standard_normal((2, 4, 3))


@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 3, -1, inf, -inf])
@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_vector_norm(order: float, axis: Any) -> None:
    found = linalg.vector_norm(X, axis=axis, ord=order, keepdims=True).numpy()
    expected = np.linalg.vector_norm(X, axis=axis, ord=order, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-13, strict=True)
    assert_derivatives(lambda t: linalg.vector_norm(t, axis=axis, ord=order), X)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, inf, -inf])
def test_matrix_norm(order: Any) -> None:
    found = linalg.matrix_norm(X, ord=order, keepdims=True).numpy()
    np.testing.assert_allclose(found, np.linalg.matrix_norm(X, ord=order, keepdims=True), rtol=1e-12, strict=True)
    assert_derivatives(lambda t: linalg.matrix_norm(t, ord=order), X)


@pytest.mark.parametrize(
    ("order", "axis"),
    [
        (None, None),
        (None, 1),
        (None, (0, 2)),
        (1, 0),
        (inf, -1),
        (1, (0, 1)),
        (1, (1, 0)),
        ("nuc", (2, 0)),
        (2, (0, 2)),
    ],
)
def test_norm(order: Any, axis: Any) -> None:
    for keepdims in (False, True):
        found = linalg.norm(X, order, axis, keepdims=keepdims).numpy()
        np.testing.assert_allclose(found, np.linalg.norm(X, order, axis, keepdims), rtol=1e-12, strict=True)
    np.testing.assert_allclose(linalg.norm(X[0], 1).numpy(), np.linalg.norm(X[0], 1))
    np.testing.assert_allclose(linalg.norm(X[0, 0], 1).numpy(), np.linalg.norm(X[0, 0], 1))


def test_the_norm_of_nothing_has_the_slope_0() -> None:
    for order in (1, 2, 3, inf):
        slope = gradients(lambda t, order=order: linalg.vector_norm(t, ord=order), [np.zeros(3)], np.ones(()))[
            0
        ].numpy()
        np.testing.assert_array_equal(slope, 0)
    for order in ("fro", "nuc"):
        slope = gradients(lambda t, order=order: linalg.matrix_norm(t, ord=order), [np.zeros((2, 2))], np.ones(()))[0]
        assert np.isfinite(slope.numpy()).all()
    assert np.isnan(linalg.vector_norm([np.nan, 0.0]).numpy())
    assert np.isnan(linalg.vector_norm([np.nan, 0.0], ord=3).numpy())


def test_dtypes() -> None:
    assert linalg.vector_norm([3, 4]).numpy() == 5
    assert linalg.vector_norm(np.array([3, 4])).dtype == np.float64
    assert linalg.matrix_norm(np.eye(2, dtype=np.float32), ord="nuc").dtype == np.float32


@pytest.mark.parametrize("p", [None, 1, 2, -2, inf, "fro", "nuc"])
def test_cond(p: Any) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 3))
    np.testing.assert_allclose(linalg.cond(x, p).numpy(), np.linalg.cond(x, p), rtol=1e-11)
    assert_derivatives(lambda t: linalg.cond(t, p), x)


def test_cond_of_singular_matrices() -> None:
    assert linalg.cond(np.diag([1.0, 0.0])).numpy() == np.inf
    assert linalg.cond(np.zeros((2, 2))).numpy() == np.inf
    assert linalg.cond(np.diag([1.0, 0.0]), -2).numpy() == 0
    assert np.isnan(linalg.cond(np.full((2, 2), np.nan)).numpy())
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        linalg.cond(np.diag([1.0, 0.0]), 1)


def test_what_has_no_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="matrix_norm: ord is"):
        linalg.matrix_norm(X, ord=3)
    with pytest.raises(ShapeError, match="norm: ord 1 of shape"):
        linalg.norm(X, 1)
    with pytest.raises(ShapeError, match="vector_norm"):
        linalg.vector_norm(X, axis=3)
