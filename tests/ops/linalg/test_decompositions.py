"""QR, eigenvalues, singular values, triangular systems: values, signs, derivatives, and what has none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tests.ops.differences import assert_derivatives, gradients

linalg = tj.linalg
SHAPES = [(3, 3), (2, 4, 3), (3, 4), (2, 1, 2, 3), (4, 1), (0, 3, 2)]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def symmetric(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function((x + tj.matrix_transpose(x)) / 2)


def apart(*shape: int) -> np.ndarray:
    """Matrices whose singular values are far apart."""
    u, _, vh = np.linalg.svd(drawn(*shape), full_matrices=False)
    return (u * np.arange(1, u.shape[-1] + 1)) @ vh


@pytest.mark.parametrize("shape", SHAPES)
def test_qr(shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    q, r = (part.numpy() for part in linalg.qr(x))
    k = min(shape[-2:])
    assert q.shape == (*shape[:-1], k)
    assert r.shape == (*shape[:-2], k, shape[-1])
    np.testing.assert_allclose(q @ r, x, atol=1e-13)
    np.testing.assert_allclose(np.matrix_transpose(q) @ q, np.broadcast_to(np.eye(k), (*shape[:-2], k, k)), atol=1e-13)
    np.testing.assert_array_equal(np.tril(r, -1), 0)
    assert (np.diagonal(r, axis1=-2, axis2=-1) > 0).all()
    for part in range(2):
        assert_derivatives(lambda t, part=part: linalg.qr(t)[part], x)
    assert_derivatives(lambda t: tj.sum(linalg.qr(t)[0]) + tj.sum(linalg.qr(t)[1] ** 2), x, order=1)


def test_the_gradient_of_qr_fails_where_the_rank_is_not_full() -> None:
    x = tj.constant([[1.0, 1.0], [1.0, 1.0]])
    with tj.GradientTape() as tape:
        tape.watch(x)
        q, _ = linalg.qr(x * tj.constant([0.0, 1.0]))
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        tape.gradient(q, x)


@pytest.mark.parametrize("shape", SHAPES)
def test_svd(shape: tuple[int, ...]) -> None:
    x = apart(*shape)
    u, s, vh = (part.numpy() for part in linalg.svd(x))
    np.testing.assert_allclose(s, np.linalg.svdvals(x), atol=1e-13)
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, x, atol=1e-13)
    for part in range(3):
        assert_derivatives(lambda t, part=part: linalg.svd(t)[part], x)
    assert_derivatives(lambda t: linalg.svdvals(t) ** 3, x)
    assert_derivatives(lambda t: sum(tj.sum(part * part * part) for part in linalg.svd(t)), x, order=1)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (1, 1), (0, 2, 2)])
def test_eigh(shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    x = x + np.matrix_transpose(x)
    values, vectors = (part.numpy() for part in linalg.eigh(x))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(x), atol=1e-13)
    np.testing.assert_allclose(x @ vectors, vectors * values[..., None, :], atol=1e-13)
    for part in range(2):
        assert_derivatives(symmetric(lambda t, part=part: linalg.eigh(t)[part]), x)
    assert_derivatives(symmetric(lambda t: linalg.eigvalsh(t) ** 3), x)
    assert_derivatives(symmetric(lambda t: sum(tj.sum(part * part * part) for part in linalg.eigh(t))), x, order=1)


def test_eigh_reads_the_lower_triangle_only() -> None:
    x = np.array([[2.0, np.nan], [1.0, 3.0]])
    full = np.array([[2.0, 1.0], [1.0, 3.0]])
    for found, wanted in zip(linalg.eigh(x), linalg.eigh(full), strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())


def test_signs_are_those_of_the_first_component_that_is_not_small() -> None:
    _, vectors = linalg.eigh(np.array([[2.0, 1.0], [1.0, 2.0]]))
    np.testing.assert_allclose(vectors.numpy() * 2**0.5, [[1, 1], [-1, 1]], rtol=1e-14)
    tilted = np.array([0.1, -0.9, 0.4])
    u, s, vh = (part.numpy() for part in linalg.svd(np.outer(tilted, [1.0, 2.0])))
    np.testing.assert_allclose(u[:, 0], -tilted / np.linalg.norm(tilted), rtol=1e-13)
    np.testing.assert_allclose(u[:, :1] * s[0] * vh[:1], np.outer(tilted, [1.0, 2.0]), rtol=1e-13)


def test_equal_eigenvalues_have_a_gradient_as_long_as_nobody_asks_for_the_vectors() -> None:
    x, weights = np.eye(3) * 2, np.eye(3)
    np.testing.assert_allclose(gradients(lambda t: linalg.eigvalsh(t) ** 2, [x], np.ones(3))[0].numpy(), 4 * np.eye(3))
    np.testing.assert_allclose(gradients(lambda t: linalg.eigh(t)[0], [x], np.ones(3))[0].numpy(), np.eye(3))
    np.testing.assert_allclose(gradients(linalg.svdvals, [x], np.ones(3))[0].numpy(), np.eye(3), atol=1e-14)
    assert np.isfinite(gradients(linalg.svdvals, [np.zeros((3, 2))], np.ones(2))[0].numpy()).all()
    for function in (lambda t: linalg.eigh(t)[1], lambda t: linalg.svd(t)[0], lambda t: linalg.svd(t)[2]):
        assert not np.isfinite(gradients(function, [x], weights + drawn(3, 3))[0].numpy()).all()


def test_what_is_not_finite_gives_nan() -> None:
    x = np.stack([np.eye(3), np.full((3, 3), np.inf)])
    x[1, 0, 0] = np.nan
    for parts in (linalg.eigh(x), linalg.svd(x)):
        for part in parts:
            assert np.isfinite(part.numpy()[0]).all()
            assert np.isnan(part.numpy()[1]).all()


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("unit_diagonal", [True, False])
def test_triangular_solve(lower: bool, transpose: bool, unit_diagonal: bool) -> None:
    x = drawn(2, 3, 3) + 3 * np.eye(3)
    triangle = np.tril(x) if lower else np.triu(x)
    if unit_diagonal:
        triangle[:, np.arange(3), np.arange(3)] = 1
    matrix = np.matrix_transpose(triangle) if transpose else triangle
    options = {"lower": lower, "transpose": transpose, "unit_diagonal": unit_diagonal}
    for y in (drawn(3), drawn(3, 2), drawn(4, 1, 3, 2)):
        found = linalg.triangular_solve(x, y, **options).numpy()
        np.testing.assert_allclose(found, np.linalg.solve(matrix, y), strict=True, rtol=1e-12)
    assert_derivatives(lambda a, b: linalg.triangular_solve(a, b, **options), x, drawn(3, 2))


def test_triangular_solve_does_not_read_the_other_triangle() -> None:
    x = np.array([[2.0, np.nan], [1.0, 4.0]])
    assert linalg.triangular_solve(x, [2.0, 5.0]).tolist() == [1.0, 1.0]
    with pytest.raises(np.linalg.LinAlgError, match=r"triangular_solve: the matrix of .*\(2, 2\) is singular"):
        linalg.triangular_solve(np.diag([1.0, 0.0]), np.ones(2))


def test_cholesky_solve() -> None:
    x = drawn(2, 3, 3)
    x = x @ np.matrix_transpose(x) + np.eye(3)
    y = drawn(3, 2)
    factor = np.linalg.cholesky(x)
    np.testing.assert_allclose(linalg.cholesky_solve(factor, y).numpy(), np.linalg.solve(x, y), rtol=1e-12)
    assert linalg.cholesky_solve(factor, y[:, 0]).shape == (2, 3)
    assert_derivatives(linalg.cholesky_solve, factor, y)


def test_svd_is_reduced() -> None:
    x = drawn(3, 2)
    for one, other in zip(linalg.svd(x, full_matrices=False), np.linalg.svd(x, full_matrices=False), strict=True):
        assert one.shape == other.shape
    assert linalg.svd(x @ x.T, full_matrices=True)[0].shape == (3, 3)
    with pytest.raises(ShapeError, match=r"svd has full_matrices=True .* got float64\[3, 2\]; use full_matrices=False"):
        linalg.svd(x, full_matrices=True)


@pytest.mark.parametrize("name", ["qr", "svd", "svdvals", "pinv", "matrix_norm", "matrix_rank"])
def test_what_is_no_matrix_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"{name} takes matrices.*\(3,\)"):
        getattr(linalg, name)(np.ones(3))


@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "det", "expm", "matrix_power"])
def test_what_is_not_square_is_refused(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"{name} takes square matrices.*\(3, 2\)"):
        getattr(linalg, name)(np.ones((3, 2)), *([2] if name == "matrix_power" else []))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["eigh", "qr", "slogdet", "svd"])
def test_results_have_numpys_names(name: str, compiled: bool) -> None:
    matrix, ours, numpys = np.array([[2.0, 1.0], [1.0, 3.0]]), getattr(tj.linalg, name), getattr(np.linalg, name)
    found = (tj.compile(ours) if compiled else ours)(matrix)
    for label, expected in numpys(matrix)._asdict().items():
        np.testing.assert_allclose(np.abs(getattr(found, label).numpy()), np.abs(expected), atol=1e-12)
    assert numpys(tj.constant(matrix))._fields == found._fields
