"""Running products, extremes, log-sums and recurrences at the hard places, and in kernels."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

NAN, INF = float("nan"), float("inf")


def gradient(function: Callable[[Any], Any], x: Any) -> Any:
    source = tj.constant(np.asarray(x, np.float64))
    with tj.GradientTape() as tape:
        tape.watch(source)
        y = function(source)
    return tape.gradient(y, source).numpy()


def test_products_with_zeros_have_exact_derivatives() -> None:
    x = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
    jacobian = [[np.prod(np.delete(x[: j + 1], i)) if i <= j else 0.0 for i in range(5)] for j in range(5)]
    weights = np.array([1.0, 10.0, 100.0, 1000.0, 1e4])
    np.testing.assert_array_equal(gradient(lambda t: tj.cumprod(t) * weights, x), weights @ np.array(jacobian))
    assert_derivatives(tj.cumprod, x)
    assert_derivatives(lambda t: tj.cumprod(t, axis=1), x.reshape(1, 5).repeat(2, axis=0))


def test_the_first_of_equal_extremes_is_the_one() -> None:
    assert gradient(tj.cummax, [1.0, 3.0, 3.0, 2.0]).tolist() == [1.0, 3.0, 0.0, 0.0]
    assert gradient(tj.cummin, [1.0, 1.0, 0.0, 2.0]).tolist() == [2.0, 0.0, 2.0, 0.0]
    assert gradient(tj.cummax, [-INF, -INF, 1.0]).tolist() == [2.0, 0.0, 1.0]
    assert tj.cummax([1, 3, 2]).tolist() == [1, 3, 3]
    assert tj.cummax([False, True, False]).tolist() == [False, True, True]


def test_nan_stays_from_where_it_is() -> None:
    x = [1.0, NAN, 2.0]
    for function in (tj.cummax, tj.cummin, tj.cumprod, tj.logcumsumexp):
        assert np.isnan(function(x).numpy()).tolist() == [False, True, True]
    assert gradient(tj.cummax, x).tolist() == [1.0, 2.0, 0.0]


def test_log_sums_neither_overflow_nor_vanish() -> None:
    x = np.array([-1000.0, 0.0, 1000.0, 1000.0])
    np.testing.assert_allclose(tj.logcumsumexp(x).numpy(), [-1000, 0, 1000, 1000 + np.log(2)])
    np.testing.assert_allclose(gradient(tj.logcumsumexp, x), [1.0, 1.0, 1.5, 0.5])
    assert tj.logcumsumexp([-INF, -INF, 1.0]).tolist() == [-INF, -INF, 1.0]
    np.testing.assert_array_equal(gradient(tj.logcumsumexp, [-INF, -INF, 1.0]), [0.0, 0.0, 1.0])


def test_a_recurrence_is_its_formula() -> None:
    a, x = np.random.default_rng(1).normal(size=(2, 3, 6))
    h = np.zeros((3, 7))
    for t in range(6):
        h[:, t + 1] = a[:, t] * h[:, t] + x[:, t]
    np.testing.assert_allclose(tj.linear_recurrence(a, x).numpy(), h[:, 1:], rtol=1e-14)
    np.testing.assert_allclose(tj.linear_recurrence(0.5, [1.0, 1.0]).numpy(), [1.0, 1.5])
    assert_derivatives(lambda a, x: tj.linear_recurrence(a, x, axis=1), a[0], x)


def test_in_kernels_with_gradients() -> None:
    x = np.random.default_rng(2).normal(size=(3, 5))
    x[1, 2], x[2, :3] = 0.0, x[2, 3]

    def step(x: Any, a: Any) -> list[Any]:
        found = []
        for function in (
            tj.cumprod,
            tj.cummax,
            tj.cummin,
            tj.logcumsumexp,
            partial(tj.linear_recurrence, a),
        ):
            for axis in (0, 1):
                with tj.GradientTape() as tape:
                    tape.watch([x, a])
                    y = function(tj.tanh(x), axis=axis)
                    z = tj.sum(y**2)
                found += [y, *tape.gradient(z, [x, a], unconnected_gradients="zero")]
        return found

    check_agreement(step, [x, x[::-1].copy()], plain=False)


def test_integers_accumulate_as_numpy_has_it() -> None:
    for dtype in ("bool", "int8", "uint8", "int64"):
        x = np.array([1, 1, 0], dtype)
        found = tj.cumprod(x)
        assert found.dtype == np.cumprod(x).dtype
        check_agreement(tj.cumprod, [x])
    check_agreement(lambda x: (tj.cummax(x), tj.cummin(x)), [np.array([3, -128, 127, 0], np.int8)])


def test_shapes() -> None:
    assert tj.cumulative_sum(np.ones((2, 3)), axis=1, include_initial=True).shape == (2, 4)
    assert tj.cumprod(np.zeros((0, 2)), 0).shape == (0, 2)
    assert tj.cummax(np.ones((2, 2))).shape == (4,)
    assert tj.logcumsumexp(2.0).shape == (1,)


@pytest.mark.parametrize("name", ["cumprod", "cummax", "cummin", "logcumsumexp"])
def test_errors_name_the_operation(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"{name}: axis 2 is out of range for an array with 2 axes.*\.py"):
        getattr(tj, name)(np.ones((2, 2)), 2)
    with pytest.raises(DtypeError, match=name):
        getattr(tj, name)(np.array(["a"]))


def test_cumulative_functions_need_an_axis() -> None:
    with pytest.raises(ShapeError, match=r"cumulative_sum.*\(2, 2\) needs an axis"):
        tj.cumulative_sum(np.ones((2, 2)))
