"""Norms of vectors: orders, axes, and derivatives at 0."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

ORDERS = [0, 0.5, 1, 1.5, 2, 3, 4.5, -1, np.inf, -np.inf]
X = np.random.default_rng(0).normal(size=(3, 4))


@pytest.mark.parametrize("order", ORDERS)
def test_values_and_derivatives(order: float) -> None:
    for axis in (0, -1):
        expected = np.linalg.norm(X, order, axis)
        np.testing.assert_allclose(tj.norm(X, order, axis=axis).numpy(), expected, rtol=1e-13)
    assert tj.norm(X, order, axis=1, keepdims=True).shape == (3, 1)
    np.testing.assert_allclose(tj.norm(X, order).item(), np.linalg.norm(X.ravel(), order), rtol=1e-13)
    if order:
        assert_derivatives(lambda x: tj.norm(x, order, axis=1), X)


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, np.inf])
def test_the_slope_at_zero_is_zero(order: float) -> None:
    x = tj.constant([[0.0, 0.0], [3.0, 0.0]])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.norm(x, order, axis=1)
    found = tape.gradient(y, x).numpy()
    np.testing.assert_allclose(found, [[0.0, 0.0], [1.0, 0.0]], rtol=1e-6)


def test_nan_stays() -> None:
    for order in (1, 1.5, 2, np.inf):
        x = tj.constant([np.nan, 0.0])
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = tj.norm(x, order)
        assert np.isnan(y.item())
        assert np.isnan(tape.gradient(y, x).numpy()[0])


def test_in_kernels() -> None:
    x = np.vstack([X, np.zeros(4)])

    def step(x: Any) -> list[Any]:
        found = []
        for order in ORDERS[1:7]:
            with tj.GradientTape() as tape:
                tape.watch(x)
                y = tj.norm(x, order, axis=1)
            found += [y, tape.gradient(y, x)]
        return found

    check_agreement(step, [x], plain=False)


def test_integers_and_nothing() -> None:
    assert tj.norm([3, 4]).item() == 5.0
    assert tj.norm(np.zeros((0,))).item() == 0.0
    with pytest.raises(ShapeError, match=r"norm.*no elements"):
        tj.norm(np.zeros((0,)), np.inf)


def test_errors() -> None:
    with pytest.raises(DtypeError, match=r"norm: ord is a number, got 'fro'; matrix norms are in tj.linalg.*\.py"):
        tj.norm(X, "fro")
    with pytest.raises(ShapeError, match=r"norm.*axis 2 is out of range"):
        tj.norm(X, axis=2)
