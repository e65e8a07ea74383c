import numpy as np
import pytest

import tapejit as tj
from tests.ops.differences import assert_derivatives, gradients

MATRICES = {
    "regular": np.random.default_rng(0).standard_normal((2, 4, 4)),
    "of rank n - 1": np.diag([0.0, 2.0, 3.0]) @ np.random.default_rng(1).standard_normal((3, 3)),
    "of rank n - 2": np.diag([0.0, 0.0, 3.0]),
    "of rank 1": np.ones((3, 3)),
    "zero": np.zeros((2, 2)),
    "with equal singular values": np.eye(3)[[1, 0, 2]],
    "of one number": np.array([[-3.0]]),
}


@pytest.mark.parametrize("which", MATRICES)
def test_det(which: str) -> None:
    x = MATRICES[which]
    np.testing.assert_allclose(tj.linalg.det(x).numpy(), np.linalg.det(x), rtol=1e-13, atol=1e-15)
    assert_derivatives(tj.linalg.det, x)


def test_the_gradient_of_a_singular_matrix_is_that_of_cofactors() -> None:
    x = np.array([[1.0, 2.0], [2.0, 4.0]])
    found = gradients(tj.linalg.det, [x], np.ones(()))[0].numpy()
    np.testing.assert_allclose(found, [[4, -2], [-2, 1]], atol=1e-14)
    zero = gradients(tj.linalg.det, [np.zeros((3, 3))], np.ones(()))[0].numpy()
    np.testing.assert_array_equal(zero, 0)


def test_the_third_derivative() -> None:
    x = np.random.default_rng(2).standard_normal((3, 3))

    def hessian_along(t: tj.Tensor) -> tj.Tensor:
        with tj.GradientTape() as outer:
            outer.watch(t)
            with tj.GradientTape() as inner:
                inner.watch(t)
                y = tj.linalg.det(t)
            slope = tj.sum(inner.gradient(y, t) * t * t)
        return outer.gradient(slope, t)

    assert_derivatives(hessian_along, x, order=1)


def test_dtypes() -> None:
    assert tj.linalg.det([[2, 0], [0, 3]]).numpy() == 6
    assert tj.linalg.det(np.eye(2, dtype=np.float32)).dtype == np.float32
    assert tj.linalg.det(np.eye(0)).numpy() == 1
    assert np.isnan(tj.linalg.det([[np.nan, 1.0], [1.0, 1.0]]).numpy())
