from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tests.ops.differences import assert_derivatives, gradients

linalg = tj.linalg


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def of_rank(rank: int, m: int, n: int) -> np.ndarray:
    return drawn(m, rank) @ drawn(rank, n, seed=1)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 3), (2, 3), (0, 2, 3), (2, 0), (3, 1)])
def test_pinv(shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    np.testing.assert_allclose(linalg.pinv(x).numpy(), np.linalg.pinv(x), atol=1e-13, strict=True)
    assert_derivatives(linalg.pinv, x)


def test_pinv_where_the_rank_is_not_full() -> None:
    x = of_rank(2, 4, 3)
    np.testing.assert_allclose(linalg.pinv(x).numpy(), np.linalg.pinv(x, rcond=1e-12), atol=1e-12)
    # Along changes that leave the rank: those of the factors.
    assert_derivatives(lambda a, b: linalg.pinv(a @ b, rtol=1e-9), drawn(4, 2), drawn(2, 3, seed=1))
    np.testing.assert_array_equal(linalg.pinv(np.zeros((2, 3))).numpy(), 0)
    np.testing.assert_allclose(linalg.pinv(np.diag([1.0, 0.1]), rtol=0.5).numpy(), np.diag([1.0, 0.0]), atol=1e-15)
    assert np.isnan(linalg.pinv([[np.nan, 1.0], [0.0, 1.0]]).numpy()).all()


def test_equal_singular_values_do_no_harm_to_pinv() -> None:
    assert_derivatives(linalg.pinv, np.eye(3)[:, :2])


@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 3), (5,)), ((5, 3), (5, 2)), ((2, 4, 4), (4, 1)), ((3, 5), (3, 2)), ((2, 1, 4, 2), (3, 4, 1))],
)
def test_lstsq(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = drawn(*left), drawn(*right, seed=1)
    solution, residuals, rank, values = linalg.lstsq(x, y)
    columns = y[:, None] if y.ndim == 1 else y
    wanted = np.linalg.pinv(x) @ columns
    np.testing.assert_allclose(solution.numpy().reshape(wanted.shape), wanted, atol=1e-12)
    error = ((columns - x @ wanted) ** 2).sum(-2)
    np.testing.assert_allclose(residuals.numpy().reshape(error.shape), error, atol=1e-12)
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    assert rank.tolist() == np.full(batch, min(left[-2:])).tolist()
    np.testing.assert_allclose(values.numpy(), np.broadcast_to(np.linalg.svdvals(x), values.shape), rtol=1e-12)
    assert_derivatives(lambda a, b: linalg.lstsq(a, b)[0], x, y)
    assert_derivatives(lambda a, b: linalg.lstsq(a, b)[1], x, y)


def test_lstsq_is_accurate_where_the_problem_is_ill_conditioned() -> None:
    t = np.linspace(0, 1, 50)
    x = np.vander(t, 8, increasing=True)
    coefficients = np.arange(1.0, 9.0)
    np.testing.assert_allclose(linalg.lstsq(x, x @ coefficients)[0].numpy(), coefficients, rtol=1e-9)


def test_lstsq_where_the_rank_is_not_full() -> None:
    x, y = of_rank(2, 5, 4), drawn(5)
    solution, _, rank, _ = linalg.lstsq(x, y, rcond=1e-10)
    assert rank.numpy() == 2
    np.testing.assert_allclose(solution.numpy(), np.linalg.lstsq(x, y, rcond=1e-10)[0], atol=1e-12)


def test_matrix_rank() -> None:
    stack = np.stack([np.eye(3), np.ones((3, 3)), np.zeros((3, 3))])
    assert linalg.matrix_rank(stack).tolist() == [3, 1, 0]
    assert linalg.matrix_rank(of_rank(2, 5, 4)).item() == 2
    assert linalg.matrix_rank(np.diag([1.0, 1e-3]), rtol=1e-2).item() == 1
    x = tj.constant(np.eye(2))
    with tj.GradientTape() as tape:
        tape.watch(x)
        rank = linalg.matrix_rank(x) * 1.0
    assert tape.gradient(rank, x) is None


def test_shapes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(ShapeError, match=r"lstsq: shapes \(3, 2\) and \(2,\) .* 3 rows"):
        linalg.lstsq(np.ones((3, 2)), np.ones(2))


def test_a_fit_by_least_squares_has_the_gradient_of_the_normal_equations() -> None:
    x, y = drawn(6, 2), drawn(6)

    def normal_equations(a: Any, b: Any) -> Any:
        return linalg.solve(tj.matrix_transpose(a) @ a, tj.matrix_transpose(a) @ b)

    weights = drawn(2, seed=3)
    found = gradients(lambda a, b: linalg.lstsq(a, b)[0], [x, y], weights)
    for one, other in zip(found, gradients(normal_equations, [x, y], weights), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-11)
