"""`scatter_set`, `scatter_min`, `scatter_max`: NumPy's assignments, repeated places, ties, and kernels of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import IndexRangeError, ShapeError
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

NAN = float("nan")
X = np.random.default_rng(4).normal(size=(4, 5))
MASK = X > 0.3
INDICES: dict[str, Any] = {
    "rows": [2, 0],
    "repeated rows": [1, 3, 1, -1],
    "pairs": ([0, 3, 0], [1, -1, 1]),
    "columns": (slice(None), [0, 4, 0]),
    "some columns of some rows": (slice(1, None, 2), [0, 2]),
    "a slice": (slice(1, 3), slice(None, None, -2)),
    "one row": 2,
    "one element": (1, -2),
    "all": ...,
    "a new axis": (None, 1),
    "a mask": MASK,
    "a true one": (True, 1),
    "a false one": (False, 1),
    "nothing": (slice(0, 0),),
    "no rows": np.zeros(0, int),
    "a matrix of rows": np.array([[0, 1], [1, 2]]),
}
WRITERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "set": (tj.scatter_set, lambda part, updates: updates),
    "min": (tj.scatter_min, np.minimum),
    "max": (tj.scatter_max, np.maximum),
}


def written(name: str, index: Any, updates: np.ndarray) -> np.ndarray:
    """One update after the other, by a loop."""
    out = X.copy()
    places = np.arange(out.size).reshape(out.shape)[index]
    for place, update in zip(places.ravel(), np.broadcast_to(updates, places.shape).ravel(), strict=True):
        out.flat[place] = WRITERS[name][1](out.flat[place], update)
    return out


def updates_for(index: Any) -> np.ndarray:
    return np.random.default_rng(5).normal(size=X[index].shape)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
@pytest.mark.parametrize("name", WRITERS)
def test_values_and_derivatives(name: str, index: Any) -> None:
    function, updates = WRITERS[name][0], updates_for(index)
    np.testing.assert_array_equal(function(X, index, updates).numpy(), written(name, index, updates))
    np.testing.assert_array_equal(function(X, index, 0.1).numpy(), written(name, index, np.array(0.1)))
    assert_derivatives(lambda x, u: function(x, index, u) ** 2, X, updates, order=1)


def test_kernels_write_alike() -> None:
    names = ("repeated rows", "pairs", "columns", "some columns of some rows", "a slice", "no rows")
    indices = [INDICES[name] for name in names]
    updates = [updates_for(index) for index in indices]

    def all_of_them(x: Any, rows: Any, *given: Any) -> list[Any]:
        results = []
        for function, _ in WRITERS.values():
            results += [function(x, index, each) for index, each in zip(indices, given, strict=True)]
            results += [function(tj.zeros((4, 5), "float64"), rows, given[0][0]), function(x * 2, rows, x[0])]
        return results

    check_agreement(all_of_them, [X, np.array([0, 3, 0]), *updates], plain=False)


def gradients(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    tensors = [tj.constant(array) for array in arrays]
    with tj.GradientTape() as tape:
        tape.watch(tensors)
        y = function(*tensors)
    return [gradient.tolist() for gradient in tape.gradient(y, tensors)]


def test_only_the_last_of_several_updates_is_connected() -> None:
    by_x, by_updates = gradients(
        lambda x, u: tj.scatter_set(x, [1, 1, 0], u) * [1.0, 10.0, 100.0], [0.0] * 3, [1.0, 2.0, 3.0]
    )
    assert by_x == [0.0, 0.0, 100.0]
    assert by_updates == [0.0, 10.0, 1.0]


def test_ties_share_equally() -> None:
    by_x, by_updates = gradients(
        lambda x, u: tj.scatter_max(x, [0, 0, 1, 1], u), [1.0, 0.0, 5.0], [1.0, 1.0, -1.0, -2.0]
    )
    np.testing.assert_allclose(by_x, [1 / 3, 1.0, 1.0])
    np.testing.assert_allclose(by_updates, [1 / 3, 1 / 3, 0.0, 0.0])


def test_nan_stays_and_is_in_the_gradient() -> None:
    assert np.isnan(tj.scatter_min([1.0, 2.0], [0, 0], [NAN, 0.0]).numpy()).tolist() == [True, False]
    by_x, by_updates = gradients(lambda x, u: tj.scatter_min(x, [0, 0], u), [1.0, 2.0], [NAN, 0.0])
    assert np.isnan(by_x).tolist() == [True, False]
    assert np.isnan(by_updates).all()


def test_gradients_in_kernels() -> None:
    def step(x: Any, u: Any, rows: Any) -> list[Any]:
        found = []
        for function, _ in WRITERS.values():
            with tj.GradientTape() as tape:
                tape.watch([x, u])
                y = tj.sum(function(x, rows, u) ** 2)
            found += tape.gradient(y, [x, u])
        return found

    check_agreement(step, [X, X[:3] * 0.5, np.array([2, 0, 2])], plain=False)


def test_booleans_and_integers() -> None:
    assert tj.scatter_set([True, False], 1, True).tolist() == [True, True]
    assert tj.scatter_max(np.array([1, 2], np.int8), [0, 0], np.array([5, 3], np.int8)).tolist() == [5, 2]
    assert tj.scatter_set(np.zeros(2, np.int32), 0, 1.5).dtype == np.float64


def test_a_variable_is_written_in_place() -> None:
    w = tj.Variable(np.zeros(4))

    @tj.compile(strict=True)
    def step(i: Any, u: Any) -> None:
        w.assign(tj.scatter_set(w, i, u))

    step(np.array([1, 3]), np.array([5.0, 7.0]))
    np.testing.assert_array_equal(w.numpy(), [0, 5, 0, 7])
    with pytest.raises(IndexRangeError, match=r"index 4 is out of range"):
        step(np.array([4, 0]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(w.numpy(), [0, 5, 0, 7])


@pytest.mark.parametrize("name", WRITERS)
def test_errors_name_the_operation(name: str) -> None:
    function = WRITERS[name][0]
    with pytest.raises(IndexRangeError, match=rf"scatter_{name}: index 9 is out of range for axis 0.* 4.*\.py"):
        function(X, [0, 9], 1.0)
    with pytest.raises(ShapeError, match=rf"scatter_{name}.*\(3,\).*\(2, 5\)"):
        function(X, [0, 1], np.zeros(3))
    with pytest.raises(IndexRangeError, match=rf"scatter_{name}"):
        function(X, (0, 0, 0), 1.0)
