from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tapejit as tj
from tapejit.errors import DtypeError, IndexRangeError, ShapeError
from tests.ops.differences import assert_derivatives

X = np.arange(1.0, 61.0).reshape(3, 4, 5)
ROW, COLUMN = np.array([0, 2, -1]), np.array([[1], [-2]])
MASK = X[:, :, 0] % 2 == 0

INDICES = [
    0, -1, np.int64(1), (1, 2), (1, 2, 3), (), ..., None, slice(None), (slice(1, None), None, ..., 0),
    (..., slice(None, None, -2)), (slice(3, 0), 1), (slice(-1, None, -1), slice(4, 0, -3)), ROW, COLUMN,
    [0, 2, 2], [], [[0, 1], [2, 0]], (ROW, ROW), (ROW, COLUMN), (COLUMN, ROW, 0), ([0], [1], [2]),
    (slice(None), ROW), (slice(None), slice(None), ROW), (ROW, slice(None), ROW), (0, slice(None), ROW),
    (0, ROW), (ROW, 0), (slice(None), 0, ROW), (slice(None), ROW, 0), (slice(None), ROW, COLUMN),
    (ROW, None, ROW), (None, ROW, ROW), (ROW, ..., ROW), (None, slice(None), ROW, slice(1, 4, 2)),
    (..., ROW), (..., ROW, slice(None)), (COLUMN, ..., 2), (None, 0, None, COLUMN),
    (slice(0, 2), ROW, slice(None, None, -1)), (1, slice(None), ROW), (np.array(1), slice(None), ROW),
    np.array(2), (slice(None), np.array(1)), MASK, ~MASK, MASK & False, X > 30, (slice(None), X[0] > 10),
    MASK[:, 0], (slice(None), MASK[0]), (MASK[:, 0], slice(None), [1]), (MASK[:, 0], 1), (..., X[0, 0] > 3),
    (MASK, 0), (MASK, None), (None, MASK, ..., None), [True, False, True], ([True, False, True], [1, 2]),
    True, False, (True, 0), (True, ROW), (None, True, slice(0, 2)), (slice(None), True), (False, [0]),
    np.True_, np.array(True), (np.abs(ROW).astype(np.uint8), ROW.astype(np.int32)),
    (ROW, np.abs(ROW).astype(np.uint64)), np.zeros((0, 2), int),
]  # fmt: skip


def ids(index: Any) -> str:
    return repr(index)[:40].replace("\n", "")


def as_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(as_tensors, index))
    return tj.constant(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=ids)
def test_getitem_is_numpys(index: Any) -> None:
    x = tj.constant(X)
    expected = X[index]
    for spelled in (index, as_tensors(index)):
        np.testing.assert_array_equal(x[spelled].numpy(), expected, strict=True)
    np.testing.assert_array_equal(
        tj.Variable(X.astype(np.int16))[index].numpy(), X.astype(np.int16)[index], strict=True
    )


@pytest.mark.parametrize("index", INDICES, ids=ids)
def test_the_derivative_puts_cotangents_back(index: Any) -> None:
    x = tj.constant(X.astype(np.float32))
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x[index]
        z = y * y
    expected = np.zeros(X.shape)
    np.add.at(expected, index, 2 * X[index])
    gradient = tape.gradient(z, x)
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient.numpy(), expected)
    if X[index].size:
        assert_derivatives(lambda t: t[index] ** 3, X / 30)


@pytest.mark.parametrize("index", INDICES, ids=ids)
def test_scatter_add_is_numpys_add_at(index: Any) -> None:
    updates = np.cos(np.arange(1.0, X[index].size + 1)).reshape(X[index].shape)
    expected = X.copy()
    np.add.at(expected, index, updates)
    x = X.copy()
    np.testing.assert_allclose(tj.scatter_add(x, index, updates).numpy(), expected, strict=True, rtol=1e-15)
    np.testing.assert_array_equal(x, X)
    assert_derivatives(lambda t, u: tj.scatter_add(t, index, u) ** 3, X / 30, updates)


@given(st.data())
def test_getitem_of_random_tuples(data: Any) -> None:
    length = data.draw(st.integers(0, 3))
    item = st.one_of(
        st.integers(-3, 2),
        st.slices(4),
        st.just(None),
        st.lists(st.integers(-3, 2), min_size=2, max_size=2),
        st.just([[0], [2], [1]]),
        st.booleans(),
    )
    index = tuple(data.draw(item) for _ in range(length))
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, length))
        index = (*index[:place], ..., *index[place:])
    try:
        expected = X[index]
    except IndexError:
        with pytest.raises((ShapeError, IndexError)):
            tj.constant(X)[index]
        return
    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x[index]
    np.testing.assert_array_equal(y.numpy(), expected, strict=True)
    counts = np.zeros(X.shape)
    np.add.at(counts, index, 1)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), counts)


def test_updates_broadcast_and_promote() -> None:
    out = tj.scatter_add(np.zeros((3, 2), np.float32), [0, 0, 2], 1)
    np.testing.assert_array_equal(out.numpy(), np.float32([[2, 2], [0, 0], [1, 1]]), strict=True)
    out = tj.scatter_add(np.zeros(3, np.float32), 1, np.float64(0.1))
    np.testing.assert_array_equal(out.numpy(), [0, 0.1, 0], strict=True)
    assert tj.scatter_add(np.arange(3), (slice(None, None, 2),), 5).tolist() == [5, 1, 7]


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [2, [0, -1], [[0], [2]], []])
def test_take_is_numpys(axis: int | None, indices: Any) -> None:
    expected = np.take(X, np.asarray(indices, int), axis)
    np.testing.assert_array_equal(tj.take(X, indices, axis=axis).numpy(), expected, strict=True)
    if expected.size:
        assert_derivatives(lambda t: tj.take(t, indices, axis=axis) ** 2, X / 30)


def test_nothing_is_connected_through_indices() -> None:
    x = tj.constant([0.0, 1.0, 2.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.constant([3.0, 4.0, 5.0])[tj.astype(x, "int64")]
    assert tape.gradient(y, x) is None


def test_a_later_change_of_an_index_array_changes_no_gradient() -> None:
    index, x = np.array([0, 0]), tj.constant([1.0, 2.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x[index]
    index[:] = 1
    assert tape.gradient(y, x).tolist() == [2, 0]


REFUSED = [
    (lambda x: x[3], IndexRangeError, "index 3 is out of range for axis 0 with length 3"),
    (lambda x: x[:, -5], IndexRangeError, "index -5 is out of range for axis 1 with length 4"),
    (lambda x: x[[0, 7]], IndexRangeError, "index 7 is out of range for axis 0 with length 3"),
    (lambda x: x[0, 1:, [1, -6]], IndexRangeError, "index -6 is out of range for axis 2 with length 5"),
    (lambda x: x[tj.constant(4)], IndexRangeError, "index 4 is out of range for axis 0"),
    (lambda x: x[0, 0, 0, 0], IndexRangeError, "4 indices for an array with 3 axes"),
    (lambda x: x[..., ...], IndexRangeError, "single ellipsis"),
    (lambda x: x[np.array([True, False])], IndexRangeError, r"mask of shape \(2,\)"),
    (lambda x: x[[0, 1], [0, 1, 2]], ShapeError, r"\(2,\) and \(3,\) do not broadcast"),
    (lambda x: x["a"], DtypeError, "'a' is no index"),
    (lambda x: x[0.5], DtypeError, "0.5 is no index"),
    (lambda x: x[[0.5]], DtypeError, "holds integers or booleans, got float32"),
    (lambda x: tj.take(x, 3, axis=0), IndexRangeError, "index 3 is out of range"),
    (lambda x: tj.take(x, [True], axis=0), DtypeError, "holds integers"),
    (
        lambda x: tj.scatter_add(x, [5], 1.0),
        IndexRangeError,
        "scatter_add: index 5 is out of range for axis 0",
    ),
    (lambda x: tj.scatter_add(x, [1], np.ones(3)), ShapeError, r"broadcast_to: shape \(3,\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_a_bad_index_is_explained(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call(tj.constant(X))
    assert "test_indexing.py" in str(caught.value)
    assert not isinstance(caught.value, ShapeError) or error is ShapeError or isinstance(caught.value, IndexError)


def test_a_tensor_can_be_walked_through() -> None:
    rows = list(tj.constant(X[:2]))
    assert [row.shape for row in rows] == [(4, 5), (4, 5)]
    with pytest.raises(TypeError, match="0-d"):
        iter(tj.constant(1.0))
