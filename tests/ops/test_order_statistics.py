"""`median`, `quantile`, `percentile`: weights of the derivative, computed quantiles, NaN and errors."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

X = np.array([4.0, 1.0, 3.0, 2.0])


def gradient(function: Any, *arrays: Any) -> Any:
    tensors = [tj.constant(np.asarray(array, np.float64)) for array in arrays]
    with tj.GradientTape() as tape:
        tape.watch(tensors)
        y = function(*tensors)
    found = [each.tolist() for each in tape.gradient(y, tensors)]
    return found[0] if len(found) == 1 else found


def test_the_picked_elements_share_by_their_weights() -> None:
    np.testing.assert_allclose(gradient(lambda x: tj.quantile(x, 0.25), X), [0.0, 0.25, 0.0, 0.75])
    np.testing.assert_allclose(gradient(lambda x: tj.quantile(x, [0.25])[0], X), [0.0, 0.25, 0.0, 0.75])
    assert gradient(lambda x: tj.quantile(x, 0.25, method="lower"), X) == [0.0, 1.0, 0.0, 0.0]
    assert gradient(lambda x: tj.quantile(x, 0.25, method="midpoint"), X) == [0.0, 0.5, 0.0, 0.5]
    assert gradient(tj.median, X) == [0.0, 0.0, 0.5, 0.5]
    assert gradient(tj.median, X[:3]) == [0.0, 0.0, 1.0]
    assert sum(gradient(tj.median, [1.0, 1.0, 1.0])) == 1.0


def test_a_quantile_that_is_computed() -> None:
    q = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(tj.quantile(X, tj.constant(q)).numpy(), np.quantile(X, q))
    assert_derivatives(lambda x, q: tj.quantile(x, q), X, q)
    by_x, by_q = gradient(tj.quantile, X, 0.25)
    assert by_q == 3.0
    np.testing.assert_allclose(by_x, [0.0, 0.25, 0.0, 0.75])
    assert np.isnan(tj.quantile(X, tj.constant([-0.1, 0.5, 1.1])).numpy()).tolist() == [True, False, True]

    def step(x: Any, q: Any) -> list[Any]:
        with tj.GradientTape() as tape:
            tape.watch([x, q])
            y = tj.quantile(x, q)
        return [y, *tape.gradient(y, [x, q]), tj.median(x), tj.nanmedian(x), tj.quantile(x, 0.3)]

    check_agreement(step, [X, q], plain=False)


def test_nan_stays_and_is_in_the_gradient() -> None:
    x = [1.0, np.nan, 2.0]
    for function in (tj.median, lambda t: tj.quantile(t, 0.0), lambda t: tj.quantile(t, [0.5])):
        assert np.isnan(function(x).numpy()).all()
        assert np.isnan(gradient(function, x)).any()
    assert gradient(tj.nanmedian, [1.0, np.nan, 2.0]) == [0.5, 0.0, 0.5]
    assert np.isnan(tj.nanmedian([np.nan, np.nan]).item())


def test_infinities() -> None:
    assert tj.median([np.inf, np.inf, 1.0, np.inf]).item() == np.inf
    assert tj.quantile([1.0, 2.0, np.inf], 0.5).item() == 2.0


def test_float32_stays() -> None:
    assert tj.quantile(X.astype("float32"), 0.3).dtype == np.float32
    assert tj.median([1, 2]).dtype == np.float64


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"quantile: q is between 0 and 1, got 1.5.*\.py"):
        tj.quantile(X, 1.5)
    with pytest.raises(ValueError, match=r"percentile: q is between 0 and 100"):
        tj.percentile(X, [101])
    with pytest.raises(ValueError, match=r"method is one of linear, lower.*got 'cubic'"):
        tj.quantile(X, 0.5, method="cubic")
    with pytest.raises(DtypeError, match="q is made of numbers"):
        tj.quantile(X, "half")
    with pytest.raises(ShapeError, match=r"median of no elements has no value: shape \(0, 2\)"):
        tj.median(np.zeros((0, 2)), axis=0)
    with pytest.raises(ShapeError, match=r"percentile.*axis 1 is out of range"):
        tj.percentile(X, 50, axis=1)
