"""What has no place in a compiled step says so; eagerly it is NumPy's. Bins and places in an order: bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, DtypeError, ShapeError, TapejitWarning

X = np.array([[0, 2, 2], [1, 0, 5]])
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "nonzero": tj.nonzero,
    "argwhere": tj.argwhere,
    "unique_values": tj.unique_values,
    "unique_counts": tj.unique_counts,
    "unique_inverse": tj.unique_inverse,
    "unique_all": tj.unique_all,
    "bincount": lambda x: tj.bincount(tj.ravel(x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_step_says_why_not_and_what_else(name: str) -> None:
    words = rf"{name}: the shape of its result depends on the values of int64\[(2, 3|6)\], which a compiled step"
    with pytest.raises(CompileError, match=words) as found:
        tj.compile(lambda x: FUNCTIONS[name](x)[0], strict=True)(X)
    assert "outside of the step" in str(found.value)
    assert __file__ in str(found.value)


def test_without_strict_the_step_runs_eagerly() -> None:
    step = tj.compile(lambda x: tj.nonzero(x)[1] + 1)
    with pytest.warns(TapejitWarning, match="nonzero"):
        found = step(X)
    np.testing.assert_array_equal(found.numpy(), np.nonzero(X)[1] + 1)


def test_eager_is_numpy() -> None:
    for found, expected in zip(tj.nonzero(X), np.nonzero(X), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(tj.argwhere(X).numpy(), np.argwhere(X))
    for found, expected in zip(tj.unique_all(X), np.unique_all(X), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    assert tj.unique_values([np.nan, np.nan]).shape == (2,)
    np.testing.assert_array_equal(tj.bincount(X.ravel(), minlength=9).numpy(), np.bincount(X.ravel(), minlength=9))
    assert tj.bincount(np.zeros(0, int)).shape == (0,)
    assert tj.bincount([-1, 0, 7], length=2).tolist() == [1, 0]


def test_unique_values_are_connected_to_the_first_of_the_equal_ones() -> None:
    x = tj.constant([2.0, 1.0, 2.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.unique_values(x) * [10.0, 1.0]
    assert tape.gradient(y, x).tolist() == [1.0, 10.0, 0.0]


def test_places_are_not_connected_and_weights_are() -> None:
    x, w = tj.constant([0.5, 1.5, 0.7]), tj.constant([1.0, 2.0, 3.0])
    with tj.GradientTape(persistent=True) as tape:
        tape.watch([x, w])
        places = tj.searchsorted(tj.constant([0.0, 1.0]), x) * 2.0
        counts, _ = tj.histogram(x, [0.0, 1.0, 2.0], weights=w)
        target = tj.sum(counts * [1.0, 10.0])
    assert tape.gradient(places, x) is None
    assert tape.gradient(target, w).tolist() == [1.0, 10.0, 1.0]


def test_histograms_of_equal_elements_and_of_none() -> None:
    for x in (np.full(3, 2.0), np.zeros(0)):
        found, expected = tj.histogram(x, 3), np.histogram(x, 3)
        np.testing.assert_array_equal(found[0].numpy(), expected[0])
        np.testing.assert_allclose(found[1].numpy(), expected[1])


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tj.nonzero(1.0), ShapeError, "nonzero takes an array with an axis"),
    (lambda: tj.bincount([0.5]), DtypeError, r"bincount: an index array holds integers, got float32\[1\]"),
    (lambda: tj.bincount([[1]]), ShapeError, r"bincount takes an array with one axis, got shape \(1, 1\)"),
    (lambda: tj.bincount([-1]), ValueError, "bincount: the integers are not negative, got -1"),
    (lambda: tj.bincount([1], [1.0, 2.0]), ShapeError, r"weights of shape \(2,\) for integers of shape \(1,\)"),
    (lambda: tj.searchsorted([[1.0]], 1.0), ShapeError, r"searchsorted looks in an array with one axis"),
    (lambda: tj.searchsorted([1.0], 1.0, side="middle"), ValueError, "side is 'left' or 'right', got 'middle'"),
    (lambda: tj.digitize(1.0, [[1.0]]), ShapeError, "digitize: bins have one axis"),
    (lambda: tj.histogram([1.0], 0), ValueError, "histogram: the number of bins is positive, got 0"),
    (lambda: tj.histogram([1.0], [1.0]), ShapeError, "histogram: borders are two at least"),
    (lambda: tj.histogram([1.0], 2, (1, 0)), ValueError, "histogram: the range from 1.0 to 0.0 is empty"),
    (lambda: tj.histogram([1.0], 2, weights=[1.0, 2.0]), ShapeError, "histogram: 2 weights for 1 elements"),
]


@pytest.mark.parametrize(("call", "kind", "words"), ERRORS, ids=[words for *_, words in ERRORS])
def test_errors(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as found:
        call()
    assert __file__ in str(found.value)
