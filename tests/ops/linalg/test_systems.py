from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tests.ops.differences import assert_derivatives

BATCHES = [(), (2,), (2, 1), (0,)]


def regular(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape) + 3 * np.eye(shape[-1])


def positive(*shape: int) -> np.ndarray:
    factor = regular(*shape)
    return factor @ np.matrix_transpose(factor)


def symmetric(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function((x + tj.matrix_transpose(x)) / 2)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [1, 3])
def test_cholesky(batch: tuple[int, ...], n: int) -> None:
    x = positive(*batch, n, n)
    np.testing.assert_array_equal(tj.linalg.cholesky(x).numpy(), np.linalg.cholesky(x), strict=True)
    assert_derivatives(symmetric(tj.linalg.cholesky), x)
    # The factor is 0 above the diagonal, so cotangents there must not matter.
    assert_derivatives(symmetric(lambda t: tj.linalg.cholesky(t) ** 2), x)


def test_the_gradient_of_cholesky_is_symmetric() -> None:
    x = tj.constant(positive(3, 3))
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.linalg.cholesky(x)
    gradient = tape.gradient(y, x).numpy()
    np.testing.assert_allclose(gradient, gradient.T, rtol=1e-12)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 1)), ((2, 1, 2, 2), (3, 2, 2)),
        ((2, 2), (0, 2, 1)), ((2, 2), (2, 0)), ((1, 1), (1,)), ((2, 2, 2), (2, 2)),
    ],
)  # fmt: skip
def test_solve(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = regular(*left), np.random.default_rng(0).standard_normal(right)
    np.testing.assert_allclose(tj.linalg.solve(x, y).numpy(), np.linalg.solve(x, y), strict=True, rtol=1e-13)
    assert_derivatives(lambda a, b: tj.linalg.solve(a, b) ** 2, x, y)


@pytest.mark.parametrize("batch", BATCHES)
def test_inv(batch: tuple[int, ...]) -> None:
    x = regular(*batch, 3, 3)
    np.testing.assert_array_equal(tj.linalg.inv(x).numpy(), np.linalg.inv(x), strict=True)
    assert_derivatives(tj.linalg.inv, x)


@pytest.mark.parametrize("batch", BATCHES)
def test_slogdet(batch: tuple[int, ...]) -> None:
    x = -regular(*batch, 3, 3)
    for found, expected in zip(tj.linalg.slogdet(x), np.linalg.slogdet(x), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected, strict=True)
    assert_derivatives(lambda t: tj.linalg.slogdet(t)[1] ** 2, x)


def test_the_sign_of_a_determinant_is_not_connected() -> None:
    x = tj.constant(regular(2, 2))
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        sign, logabsdet = tj.linalg.slogdet(x)
        both = sign * logabsdet
    assert tape.gradient(sign, x) is None
    np.testing.assert_allclose(tape.gradient(both, x).numpy(), np.linalg.inv(x.numpy()).T)


@pytest.mark.parametrize("name", ["cholesky", "inv"])
def test_dtypes(name: str) -> None:
    function, reference = getattr(tj.linalg, name), getattr(np.linalg, name)
    whole = np.array([[4, 1], [1, 3]])
    np.testing.assert_array_equal(function(whole).numpy(), reference(whole), strict=True)
    single = tj.constant(whole.astype(np.float32))
    with tj.GradientTape() as tape:
        tape.watch(single)
        y = function(single)
    assert y.dtype == tape.gradient(y, single).dtype == np.float32
    assert function([[4.0, 1.0], [1.0, 3.0]]).dtype == np.float32
    with pytest.raises(DtypeError, match="float16"):
        function(whole.astype(np.float16))


def test_slogdet_of_a_singular_matrix() -> None:
    sign, logabsdet = tj.linalg.slogdet(np.zeros((2, 2)))
    assert (sign.item(), logabsdet.item()) == (0.0, -np.inf)


def test_impossible_matrices_are_named() -> None:
    singular, negative = np.ones((2, 2)), -np.eye(3)
    with pytest.raises(np.linalg.LinAlgError, match=r"inv: the matrix of an array of shape \(2, 2\) is singular"):
        tj.linalg.inv(singular)
    stack = np.stack([np.eye(2), singular])[None]
    with pytest.raises(np.linalg.LinAlgError, match=r"solve: the matrix at index \(0, 1\) of .* \(1, 2, 2, 2\)"):
        tj.linalg.solve(stack, [1.0, 2.0])
    with pytest.raises(np.linalg.LinAlgError, match=r"cholesky: .*\(3, 3\) is not positive definite.*test_systems"):
        tj.linalg.cholesky(negative)


def test_shapes_that_do_not_fit_are_explained() -> None:
    for function in (tj.linalg.cholesky, tj.linalg.inv, tj.linalg.slogdet):
        with pytest.raises(ShapeError, match=r"square matrices.*\(2, 3\)"):
            function(np.ones((2, 3)))
    for right in ((3,), (3, 2), ()):
        with pytest.raises(ShapeError, match=r"solve: shapes \(2, 2\) and .* 2 rows"):
            tj.linalg.solve(np.eye(2), np.ones(right))
    with pytest.raises(ShapeError, match=r"solve: shapes \(2,\) and \(3,\) do not broadcast"):
        tj.linalg.solve(np.ones((2, 2, 2)), np.ones((3, 2, 1)))
