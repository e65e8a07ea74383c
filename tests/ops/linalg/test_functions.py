import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

linalg = tj.linalg


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def exponential(x: np.ndarray) -> np.ndarray:
    """By the series of a small matrix, in extended precision, squared."""
    wide = x.astype(np.longdouble) / 2**20
    term = total = np.eye(x.shape[-1], dtype=np.longdouble)
    for k in range(1, 12):
        term = term @ wide / k
        total = total + term
    for _ in range(20):
        total = total @ total
    return total.astype(np.float64)


@pytest.mark.parametrize("size", [0.0, 0.01, 1.0, 20.0])
def test_expm(size: float) -> None:
    x = size * drawn(4, 4)
    scale = np.abs(exponential(x)).max()
    np.testing.assert_allclose(linalg.expm(x).numpy() / scale, exponential(x) / scale, atol=1e-12)
    assert_derivatives(lambda t: linalg.expm(t) / scale, x)
    single = linalg.expm(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.numpy() / scale, exponential(x) / scale, atol=1e-4)


def test_expm_of_a_stack() -> None:
    x = np.stack([np.zeros((3, 3)), 0.1 * drawn(3, 3), 30 * drawn(3, 3) - 60 * np.eye(3), np.diag([-1e4, 0.0, 1.0])])
    found = linalg.expm(x).numpy()
    for matrix, out in zip(x, found, strict=True):
        np.testing.assert_allclose(out, linalg.expm(matrix).numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.diag(found[3]), [0, 1, np.e], rtol=1e-10)
    assert linalg.expm(np.zeros((0, 0))).shape == (0, 0)
    assert linalg.expm(np.zeros((0, 2, 2))).shape == (0, 2, 2)


def test_expm_of_large_and_of_infinite_matrices() -> None:
    rates = np.array([[-1e6, 1e6], [2e6, -2e6]])
    np.testing.assert_allclose(linalg.expm(rates).numpy(), [[2 / 3, 1 / 3], [2 / 3, 1 / 3]], rtol=1e-9)
    x = np.stack([np.full((2, 2), np.nan), np.full((2, 2), np.inf), np.eye(2)])
    found = linalg.expm(x).numpy()
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(found[2], np.e * np.eye(2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_expm_compiled_with_gradient(dtype: str) -> None:
    def program(x: tj.Tensor) -> list[tj.Tensor]:
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = linalg.expm(x)
        large = tj.stack([x[0] / 0, 1e3 * (x[0] - 40 * tj.eye(3, dtype=x.dtype)), 1e6 * x[0]])
        return [y, tape.gradient(y, x), linalg.expm(large)]

    check_agreement(program, [drawn(2, 3, 3).astype(dtype)], [8 * drawn(2, 3, 3).astype(dtype)], scale=1e3)


@pytest.mark.parametrize("n", [0, 1, 2, 7, -1, -3])
def test_matrix_power(n: int) -> None:
    x = drawn(2, 3, 3) + np.eye(3)
    np.testing.assert_allclose(linalg.matrix_power(x, n).numpy(), np.linalg.matrix_power(x, n), rtol=1e-9)
    if n:
        assert_derivatives(lambda t: linalg.matrix_power(t, n), x)


def test_matrix_power_of_integers() -> None:
    x = np.array([[1, 1], [1, 0]], np.int32)
    np.testing.assert_array_equal(linalg.matrix_power(x, 5).numpy(), np.linalg.matrix_power(x, 5), strict=True)
    np.testing.assert_array_equal(linalg.matrix_power(x, 0).numpy(), np.eye(2, dtype=np.int32), strict=True)
    with pytest.raises(DtypeError, match="n is an int"):
        linalg.matrix_power(x, 0.5)


def test_multi_dot() -> None:
    x, y, z = drawn(3, 4), drawn(4, 5, seed=1), drawn(5, 2, seed=2)
    np.testing.assert_allclose(linalg.multi_dot([x, y, z]).numpy(), x @ y @ z, rtol=1e-12)
    np.testing.assert_allclose(linalg.multi_dot([x[0], y, z]).numpy(), x[0] @ y @ z, rtol=1e-12)
    np.testing.assert_allclose(linalg.multi_dot([x[0], y, z[:, 0]]).numpy(), x[0] @ y @ z[:, 0], rtol=1e-12)
    np.testing.assert_allclose(linalg.multi_dot([x, y]).numpy(), x @ y, rtol=1e-12)
    for bad in ([x], [x, y[0], z], [x, np.ones((2, 2, 2))]):
        with pytest.raises(ShapeError, match="multi_dot takes two or more matrices"):
            linalg.multi_dot(bad)


def test_multi_dot_takes_the_order_of_least_work() -> None:
    arrays = [drawn(40, 50), drawn(50, 60), drawn(60, 1)]
    _, executable = check_agreement(lambda *each: linalg.multi_dot(each), arrays, plain=False)
    assert executable.kernel.layout.report["flops"] <= 2 * (50 * 60 + 40 * 50) + 200
