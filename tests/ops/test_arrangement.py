"""Arrangement, triangles, padding and products of vectors: bad input; the values are in `test_numpy_agreement`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, IndexRangeError, ShapeError

X = np.zeros((2, 3))
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tj.swapaxes(X, 0, 2), ShapeError, "swapaxes: axis 2 is out of range"),
    (lambda: tj.rot90(X, axes=(1, -1)), ShapeError, r"rot90: axes \(1, -1\) are the same axis of shape \(2, 3\)"),
    (lambda: tj.rot90(X, axes=(1,)), ShapeError, "rot90: axes are two"),
    (lambda: tj.unstack(X, axis=2), ShapeError, "unstack: axis 2 is out of range"),
    (lambda: tj.array_split(X, 0), ShapeError, "array_split: the number of parts is positive, got 0"),
    (lambda: tj.tile(X, -1), ShapeError, "tile: a negative number of repetitions"),
    (lambda: tj.tile(X, 1.5), DtypeError, "tile: a number of repetitions is an int"),
    (lambda: tj.repeat(X, [1, 2, 3], axis=0), ShapeError, r"repeat: 3 numbers for axis 0 of shape \(2, 3\)"),
    (lambda: tj.repeat(X, -2), ShapeError, "repeat: a negative number of repetitions"),
    (lambda: tj.meshgrid(X), ShapeError, r"meshgrid takes arrays with one axis, got shape \(2, 3\)"),
    (lambda: tj.meshgrid([1], indexing="ab"), ValueError, "meshgrid: indexing is 'xy' or 'ij'"),
    (lambda: tj.broadcast_arrays(X, np.zeros(2)), ShapeError, r"broadcast_arrays.*\(2, 3\).*\(2,\)"),
    (lambda: tj.hstack([]), ShapeError, "hstack|concat"),
    (lambda: tj.tril([1.0]), ShapeError, r"tril takes an array with two axes or more, got shape \(1,\)"),
    (lambda: tj.diagonal(X, axis1=1, axis2=1), ShapeError, "diagonal: axes 1 and 1 are the same axis"),
    (lambda: tj.trace([1.0]), ShapeError, "trace: axis 1 is out of range"),
    (lambda: tj.diag(np.zeros((1, 1, 1))), ShapeError, "diag takes an array with one axis or two"),
    (lambda: tj.pad(X, 1, "mean"), ValueError, "pad: mode 'mean' is not supported; there are 'constant', 'edge'"),
    (lambda: tj.pad(np.zeros(0), 1, "edge"), ShapeError, "pad: axis 0 of shape \\(0,\\) has no elements to repeat"),
    (lambda: tj.take_along_axis(X, [0]), ShapeError, r"take_along_axis: indices of shape \(1,\) do not"),
    (lambda: tj.take_along_axis(X, [[5]]), IndexRangeError, "take_along_axis.*index 5 is out of range"),
    (lambda: tj.take_along_axis(X, [[0.5]]), DtypeError, "take_along_axis: an index array holds integers"),
    (lambda: tj.cross(X[:, :2], X[:, :2]), ShapeError, r"cross: shapes \(2, 2\) and \(2, 2\) must have length 3"),
    (lambda: tj.inner(X, [1.0]), ShapeError, "inner.*3.*1|tensordot"),
    (lambda: tj.vdot(X, [1.0]), ShapeError, "vdot: .*6.*1"),
    (lambda: tj.diff(X, n=-1), ValueError, "diff: n is not negative, got -1"),
    (lambda: tj.convolve(X, [1.0]), ShapeError, r"convolve takes arrays with one axis, not empty, got float64\[2, 3\]"),
    (lambda: tj.convolve([1.0], [1.0], "most"), ValueError, "convolve: mode is 'full', 'same' or 'valid'"),
    (lambda: tj.average(X, weights=[1.0]), ShapeError, r"average: weights of shape \(1,\) fit neither the shape"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), ERRORS, ids=[words for *_, words in ERRORS])
def test_errors(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as found:
        call()
    assert __file__ in str(found.value)


def test_empty_arrays() -> None:
    empty = np.zeros((0, 3))
    assert tj.tile(empty, 2).shape == (0, 6)
    assert tj.repeat(empty, 2, axis=1).shape == (0, 6)
    assert tj.repeat(empty, [], axis=0).shape == (0, 3)
    assert tj.tril(empty).shape == (0, 3)
    assert tj.diagonal(empty).shape == (0,)
    assert tj.diag(np.zeros(0)).shape == (0, 0)
    assert tj.trace(empty).item() == 0.0
    assert tj.diff(empty, axis=0).shape == (0, 3)
    assert tj.kron(empty, [1.0, 2.0]).shape == (0, 6)
    assert tj.unstack(empty) == ()


def test_shapes_that_are_views_share_memory() -> None:
    x = tj.constant(np.arange(6.0).reshape(2, 3))
    for view in (tj.swapaxes(x, 0, 1), tj.rot90(x), tj.diagonal(x), tj.unstack(x)[1], tj.array_split(x, 2)[0]):
        assert np.shares_memory(view.numpy(), x.numpy())
