"""Sums, products, extremes, moments and the softmax family at ties, zeros, infinities and nothing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.primitive import REGISTRY
from tests.gradients import check_gradients, gradient_of

INF, NAN = math.inf, math.nan


def gradient(function: Callable[..., Any], array: Any, weights: Any = None) -> np.ndarray:
    """Gradient of the (weighted) sum of the result."""

    def weighted(t: Any) -> Any:
        out = function(t)
        return out if weights is None else out * np.asarray(weights)

    (ct,) = gradient_of(weighted)(tj.constant(np.asarray(array, np.float64)))
    return ct.numpy()


# ---- signatures and dtypes


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all", "mean", "var", "std", "logsumexp"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 0), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_and_keepdims_are_numpys(name: str, axis: Any, keepdims: bool) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    out = getattr(tj, name)(x, axis=axis, keepdims=keepdims).numpy()
    reference = getattr(np, name, None) or (lambda a, **k: np.log(np.sum(np.exp(a), **k)))
    expected = reference(x, axis=axis, keepdims=keepdims)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["sum", "max", "mean", "argmax", "cumsum", "softmax", "logsumexp", "prod"])
def test_a_wrong_axis_is_named(name: str) -> None:
    with pytest.raises(tj.errors.ShapeError, match="axis 2 is out of range for an array with 2 axes"):
        getattr(tj, name)(np.ones((2, 3)), axis=2)


def test_an_axis_named_twice_is_refused() -> None:
    with pytest.raises(tj.errors.ShapeError, match="twice"):
        tj.sum(np.ones((2, 3)), axis=(0, -2))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64", "uint8", "uint64", "float32"])
@pytest.mark.parametrize("name", ["sum", "prod", "cumsum", "max"])
def test_small_integers_accumulate_as_in_numpy(name: str, dtype: str) -> None:
    x = np.ones(5, dtype)
    assert getattr(tj, name)(x).dtype == getattr(np, name)(x).dtype


def test_dtype_is_converted_before_the_sum() -> None:
    x = np.full(4, 1e-8, np.float32)
    assert tj.sum(x, dtype="float64").dtype == np.float64
    assert tj.mean(np.array([1, 2])).dtype == np.float64


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="'keepdim'"):
        tj.sum([1.0], keepdim=True)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_an_extreme_of_nothing_is_an_error(name: str) -> None:
    with pytest.raises(tj.errors.ShapeError, match="no elements"):
        getattr(tj, name)(np.ones((2, 0)), axis=1)


def test_reductions_of_nothing() -> None:
    x = np.ones((2, 0))
    assert tj.sum(x, axis=1).tolist() == [0.0, 0.0]
    assert tj.prod(x, axis=1).tolist() == [1.0, 1.0]
    assert tj.any(x, axis=1).tolist() == [False, False]
    assert tj.all(x, axis=1).tolist() == [True, True]
    assert tj.logsumexp(x, axis=1).tolist() == [-INF, -INF]
    assert tj.softmax(x, axis=1).shape == (2, 0)
    assert np.isnan(tj.mean(x, axis=1).numpy()).all()


# ---- derivatives at the hard points


def test_ties_share_a_maximum_equally() -> None:
    x = [[3.0, 1.0, 3.0], [2.0, 2.0, 2.0]]
    np.testing.assert_array_equal(gradient(lambda t: tj.max(t, axis=1), x), [[0.5, 0, 0.5], [1 / 3] * 3])
    np.testing.assert_array_equal(gradient(tj.max, x), [[0.5, 0, 0.5], [0, 0, 0]])
    np.testing.assert_array_equal(gradient(lambda t: tj.min(t, axis=0), [[1.0, 5.0], [1.0, 2.0]]), [[0.5, 0], [0.5, 1]])


def test_the_slope_of_a_nan_maximum_is_nan() -> None:
    found = gradient(lambda t: tj.max(t, axis=1), [[NAN, 1.0], [2.0, 1.0]])
    np.testing.assert_array_equal(found, [[NAN, NAN], [1, 0]])


def test_an_infinite_cotangent_stays_with_the_maximum() -> None:
    np.testing.assert_array_equal(gradient(lambda t: tj.sqrt(tj.max(t)), [-1.0, 0.0]), [0.0, INF])


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 11])
def test_products_with_zeros_to_third_order(zeros: int, length: int) -> None:
    x = np.random.default_rng(length).uniform(0.5, 1.5, (2, length))
    x[:, :zeros] = 0
    check_gradients(lambda t: tj.prod(t, axis=1), [x], order=3)
    check_gradients(lambda t: tj.prod(t, axis=0), [x], order=2)


def test_the_gradient_of_a_product_with_one_zero_is_exact() -> None:
    np.testing.assert_array_equal(gradient(tj.prod, [2.0, 0.0, 3.0, 5.0]), [0, 30, 0, 0])
    np.testing.assert_array_equal(gradient(tj.prod, [2.0, 0.0, 0.0]), [0, 0, 0])


def test_the_gradient_of_a_product_does_not_overflow_on_the_way() -> None:
    np.testing.assert_allclose(gradient(tj.prod, [1e-200, 1e200, 1e200]), [INF, 1.0, 1.0])


@pytest.mark.parametrize("correction", [0, 1, 1.5])
@pytest.mark.parametrize("name", ["var", "std"])
def test_moments(name: str, correction: float) -> None:
    x = np.random.default_rng(1).normal(size=(4, 3))
    function = getattr(tj, name)
    expected = getattr(np, name)(x, axis=0, ddof=correction)
    np.testing.assert_allclose(function(x, axis=0, correction=correction).numpy(), expected)
    np.testing.assert_allclose(function(x, axis=0, ddof=correction).numpy(), expected)
    check_gradients(lambda t: function(t, axis=0, correction=correction), [x])


def test_moments_of_too_few_numbers_follow_numpy() -> None:
    assert np.isnan(tj.var([1.0], correction=1).numpy())
    assert np.isnan(tj.std([1.0], correction=2).numpy())


def test_the_slope_of_std_at_equal_numbers_is_nan_and_of_var_0() -> None:
    assert np.isnan(gradient(tj.std, [2.0, 2.0])).all()
    np.testing.assert_array_equal(gradient(tj.var, [2.0, 2.0]), [0, 0])


def test_a_where_behind_a_sum_protects_it() -> None:
    x = [[4.0, 1.0], [0.0, 0.0]]
    found = gradient(lambda t: tj.where([True, False], tj.sum(tj.sqrt(t), axis=1), 0.0), x)
    np.testing.assert_array_equal(found, [[0.25, 0.5], [0, 0]])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_running_sums_are_pulled_back_from_the_other_end(axis: int | None) -> None:
    x = np.random.default_rng(2).normal(size=(3, 4))
    np.testing.assert_allclose(tj.cumsum(x, axis=axis).numpy(), np.cumsum(x, axis=axis))
    check_gradients(lambda t: tj.square(tj.cumsum(t, axis=axis)), [x])


# ---- positions


def test_positions_are_the_first_ones() -> None:
    x = [[1.0, 7.0, 7.0], [NAN, 0.0, NAN]]
    assert tj.argmax(x, axis=1).tolist() == [1, 0]
    assert tj.argmin(x, axis=0).tolist() == [1, 1, 1]
    assert tj.argmax(x, axis=1, keepdims=True).shape == (2, 1)
    assert tj.argmax(x).dtype == np.int64


POSITIONS = {
    "ties": np.array([[1.0, 7.0, 7.0], [-2.0, -2.0, -3.0]]),
    "signed zeros": np.array([[0.0, -0.0, 0.0], [-0.0, 0.0, -1.0]]),
    "nan": np.array([[NAN, 1.0, NAN], [3.0, NAN, INF], [INF, -INF, 5.0]]),
    "infinities": np.array([[-INF, -INF], [INF, INF], [-INF, INF]]),
    "integers": np.array([[3, 9, 9], [-5, 0, -5]], np.int32),
    "limits": np.array([[np.iinfo(np.int64).min] * 2, [np.iinfo(np.int64).max] * 2]),
    "unsigned": np.array([[0, 255, 255], [200, 0, 0]], np.uint8),
    "booleans": np.array([[False, True, True], [False, False, False], [True, True, False]]),
    "size 1": np.array([[[4.0]]], np.float32),
    "three axes": np.random.default_rng(0).integers(0, 3, (2, 3, 4)).astype(np.float32),
    "nothing beside": np.zeros((0, 3)),
    "a number": np.array(2.5),
}


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("x", POSITIONS.values(), ids=POSITIONS)
def test_compiled_positions_are_numpys(name: str, x: np.ndarray) -> None:
    function = getattr(tj, name)
    axes = [*range(-x.ndim, x.ndim), *((None,) if x.size else ())]
    axes = [axis for axis in axes if axis is None or x.shape[axis]]
    step = tj.compile(lambda t: [function(t, axis=axis) for axis in axes] + [function(t, axis=axes[0], keepdims=True)])
    *found, kept = step(x)
    assert step.report()["eager_because"] is None
    for axis, positions in zip(axes, found, strict=True):
        np.testing.assert_array_equal(positions.numpy(), getattr(np, name)(x, axis=axis), strict=True)
    np.testing.assert_array_equal(kept.numpy(), getattr(np, name)(x, axis=axes[0], keepdims=True), strict=True)


def test_positions_are_found_in_one_loop_over_rows() -> None:
    step = tj.compile(lambda t: tj.argmax(tj.exp(t) - 1, axis=1), strict=True)
    x = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    np.testing.assert_array_equal(step(x).numpy(), x.argmax(1))
    assert step.report()["loop_nests"] == 1


# ---- the softmax family


def test_logsumexp_at_infinities() -> None:
    rows = [[-INF, -INF], [INF, 0.0], [-INF, 1.0], [1e4, 1e4], [NAN, 0.0]]
    np.testing.assert_allclose(tj.logsumexp(rows, axis=1).numpy()[:4], [-INF, INF, 1.0, 1e4 + math.log(2)], rtol=1e-6)
    assert np.isnan(tj.logsumexp(rows, axis=1).numpy()[4])
    found = gradient(lambda t: tj.logsumexp(t, axis=1), rows[:1] + rows[2:4])
    np.testing.assert_array_equal(found, [[0, 0], [0, 1], [0.5, 0.5]])


def test_softmax_at_large_arguments_and_masked_elements() -> None:
    np.testing.assert_array_equal(tj.softmax([1e4, 1e4, -INF]).numpy(), np.float32([0.5, 0.5, 0]))
    np.testing.assert_array_equal(tj.log_softmax([0.0, 1e4]).numpy(), np.float32([-1e4, 0]))
    np.testing.assert_array_equal(tj.log_softmax([0.0, -INF]).numpy(), np.float32([0, -INF]))
    found = gradient(lambda t: tj.log_softmax(t)[0], [0.0, 0.0, -INF])
    np.testing.assert_array_equal(found, [0.5, -0.5, 0])


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 0), (0, 2), (5,)])
def test_the_compilers_composition_is_the_same_function(name: str, shape: tuple[int, ...]) -> None:
    primitive = REGISTRY[name]
    x = np.random.default_rng(3).normal(size=shape) * 50
    for axes in [(len(shape) - 1,), tuple(range(len(shape)))]:
        out = primitive.lowering.expand(tj.constant(x), axes=axes).numpy()
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(out, primitive.impl(x, axes=axes), rtol=1e-14)


@pytest.mark.parametrize("row", [[-INF, -INF], [INF, 0.0], [-INF, 1.0], [NAN, 0.0]])
@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
def test_the_composition_agrees_at_infinities(name: str, row: list[float]) -> None:
    primitive = REGISTRY[name]
    with np.errstate(all="ignore"):
        expected = primitive.impl(np.array(row), axes=(0,))
    np.testing.assert_array_equal(primitive.lowering.expand(tj.constant(np.array(row)), axes=(0,)).numpy(), expected)
