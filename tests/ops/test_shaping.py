from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tapejit.lowering import Piece
from tapejit.primitive import REGISTRY
from tests.ops.differences import assert_derivatives

X = np.arange(24.0).reshape(2, 3, 4)

SAME_AS_NUMPY = [
    (lambda lib, x: lib.reshape(x, (4, -1)), X),
    (lambda lib, x: lib.reshape(x, 24), X),
    (lambda lib, x: lib.expand_dims(x, (0, -1)), X),
    (lambda lib, x: lib.squeeze(x), X[:1, :, :1]),
    (lambda lib, x: lib.squeeze(x, (0, -1)), X[:1, :, :1]),
    (lambda lib, x: lib.moveaxis(x, (0, 2), (1, 0)), X),
    (lambda lib, x: lib.moveaxis(x, 0, -1), X),
    (lambda lib, x: lib.permute_dims(x, (2, 0, 1)), X),
    (lambda lib, x: lib.permute_dims(x, (-1, 0, 1)), X),
    (lambda lib, x: lib.broadcast_to(x, (5, 2, 3, 4)), X),
    (lambda lib, x: lib.broadcast_to(x, (2, 3, 4)), X[:, :1]),
    (lambda lib, x: lib.ravel(x), X),
    (lambda lib, x: lib.flip(x), X),
    (lambda lib, x: lib.flip(x, (0, -1)), X),
    (lambda lib, x: lib.roll(x, 5), X),
    (lambda lib, x: lib.roll(x, (1, -7), (0, 2)), X),
    (lambda lib, x: lib.roll(x, 1, (0, 2)), X),
    (lambda lib, x: lib.roll(x, (1, 1), 2), X),
    (lambda lib, x: lib.roll(x, 3, 1), X[:, :0]),
    (lambda lib, x: lib.pad(x, 1), X),
    (lambda lib, x: lib.pad(x, (1, 2), constant_values=7), X),
    (lambda lib, x: lib.pad(x, ((1, 0), (0, 2), (3, 3)), constant_values=-1.5), X),
    (lambda lib, x: lib.pad(x, {1: (1, 2), -1: 1}), X),
    (lambda lib, x: lib.concat([x, x, x[:, :, :1]], axis=-1), X),
    (lambda lib, x: lib.concat([x, x[0]], axis=None), X),
    (lambda lib, x: lib.stack([x, x], axis=-2), X),
    (lambda lib, x: lib.stack([x[0, 0, 0], x[0, 0, 1]]), X),
    (lambda lib, x: lib.stack(lib.split(x, 2, axis=2)), X),
    (lambda lib, x: lib.concat(lib.split(x, (1, 2, 9), axis=1), axis=1), X),
    (lambda lib, x: lib.split(x, [3, 1], axis=2)[1], X),
    (lambda lib, x: lib.split(x, [-1], axis=2)[1], X),
]


@pytest.mark.parametrize(("call", "x"), SAME_AS_NUMPY)
def test_it_does_what_numpy_does(call: Any, x: np.ndarray) -> None:
    expected, out = call(np, x), call(tj, tj.constant(x))
    np.testing.assert_array_equal(out.numpy(), expected, strict=True)
    integers = call(tj, tj.constant(x.astype(np.int32)))
    np.testing.assert_array_equal(integers.numpy(), call(np, x.astype(np.int32)), strict=True)
    if x.size:
        assert_derivatives(lambda t: call(tj, t) ** 3, x / 10)
    single = tj.constant(x.astype(np.float32))
    with tj.GradientTape() as tape:
        tape.watch(single)
        out = call(tj, single) ** 2
    assert tape.gradient(out, single).dtype == np.float32


REFUSED = [
    (lambda x: tj.reshape(x, (5, 5)), r"reshape: .*\(2, 3, 4\) has 24 elements.*takes 25"),
    (lambda x: tj.reshape(x, (5, -1)), r"no length for the -1 in \(5, -1\)"),
    (lambda x: tj.reshape(x, (-1, -1)), "negative length"),
    (lambda x: tj.broadcast_to(x, (2, 3, 5)), r"broadcast_to: shape \(2, 3, 4\).*expand_dims"),
    (lambda x: tj.broadcast_to(x, (3, 4)), "broadcast_to"),
    (lambda x: tj.squeeze(x, 1), "axis 1 .* has length 3"),
    (lambda x: tj.permute_dims(x, (0, 1)), "not a permutation"),
    (lambda x: tj.permute_dims(x, (0, 1, 1)), "not a permutation"),
    (lambda x: tj.moveaxis(x, (0, 1), 0), "moveaxis"),
    (lambda x: tj.expand_dims(x, 4), "expand_dims: axis 4 is out of range"),
    (lambda x: tj.flip(x, 3), "flip: axis 3"),
    (lambda x: tj.concat([x, x[0]]), r"concat: shapes \(2, 3, 4\), \(3, 4\)"),
    (lambda x: tj.concat([x, x[:, :1]]), "agree on every axis but axis 0"),
    (lambda x: tj.concat([]), "at least one"),
    (lambda x: tj.concat([1.0, 2.0]), "use stack"),
    (lambda x: tj.stack([x, x[0]]), "one shape"),
    (lambda x: tj.split(x, 5, axis=2), "no 5 equal parts"),
    (lambda x: tj.roll(x, (1, 2, 3), (0, 1)), "3 shifts"),
    (lambda x: tj.pad(x, ((1, 1), (2, 2))), "does not fit the 3 axes"),
    (lambda x: tj.pad(x, -1), "negative"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_does_not_fit_is_explained(call: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        call(tj.constant(X))
    assert "test_shaping.py" in str(caught.value)


def test_padding_takes_one_number() -> None:
    with pytest.raises(DtypeError, match="one number"):
        tj.pad(X, 1, constant_values=(1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode 'mean' is not supported; there are 'constant'"):
        tj.pad(X, 1, mode="mean")
    assert np.signbit(tj.pad([1.0], 1, constant_values=-0.0).numpy()).tolist() == [True, False, True]


def test_a_view_of_a_users_array_does_not_follow_it() -> None:
    array = np.zeros((2, 2))
    for view in (
        tj.reshape(array, 4),
        tj.flip(array),
        tj.permute_dims(array),
        tj.broadcast_to(array, (3, 2, 2)),
    ):
        array[:] = 1
        assert not view.numpy().any()
        array[:] = 0


def test_numbers_take_the_dtype_of_arrays() -> None:
    assert tj.stack([1, tj.constant(np.float32(2)), 3.5]).dtype == np.float32
    assert tj.concat([np.float32([1]), np.float64([2])]).dtype == np.float64


def test_a_mask_passes_views() -> None:
    x = tj.constant([-1.0, 4.0, 9.0, -4.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        root = tj.sqrt(tj.flip(tj.reshape(x, (2, 2))[:, ::-1], 0))
        out = tj.where(tj.flip(x > 0).reshape(2, 2)[:, ::-1], tj.permute_dims(root[::-1, ::-1])[::-1].T, 0.0)
        y = tj.where(x[::2] > 0, tj.sqrt(x[::2]), 0.0)
    assert out.shape == (2, 2)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), [0, 0, 1 / 6, 0])


# Index maps: reading the input through them must give the output.


def evaluate_map(index: Any, output_shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    grid = np.indices(output_shape)
    each = (sum((c * grid[a] for a, c in part.terms), np.full(output_shape, part.offset)) for part in index)
    return tuple(each)


def read(name: str, x: np.ndarray, out: np.ndarray, **params: Any) -> np.ndarray | None:
    index = REGISTRY[name].lowering.index(x.shape, out.shape, params)
    return None if index is None else x[evaluate_map(index, out.shape)] if index else np.broadcast_to(x, out.shape)


@pytest.mark.parametrize(
    ("old", "new", "affine"),
    [
        ((6, 4), (2, 3, 4), True),
        ((6, 4), (6, 1, 2, 2), True),
        ((1, 6, 1), (3, 2), True),
        ((), (1, 1), True),
        ((1,), (), True),
        ((6, 4), (8, 3), False),
        ((6, 4), (24,), False),
        ((2, 3, 4), (2, 12), False),
    ],
)
def test_the_index_map_of_a_reshape(old: tuple[int, ...], new: tuple[int, ...], affine: bool) -> None:
    x = np.arange(float(np.prod(old))).reshape(old)
    found = read("reshape", x, x.reshape(new), shape=new)
    assert (found is not None) == affine
    if found is not None:
        np.testing.assert_array_equal(found, x.reshape(new))


def test_the_index_maps_of_the_other_views() -> None:
    x = X
    y = x.transpose(2, 0, 1)
    np.testing.assert_array_equal(read("permute_dims", x, y, axes=(2, 0, 1)), y)
    y = np.broadcast_to(x[:, :1], (2, 2, 3, 4))
    np.testing.assert_array_equal(read("broadcast_to", x[:, :1], y, shape=y.shape), y)
    y = x[::-1, 2:0:-1, 1::2]
    params = {"starts": (1, 2, 1), "steps": (-1, -1, 2), "lengths": (2, 2, 2)}
    np.testing.assert_array_equal(read("strided_slice", x, y, **params), y)


def assemble(
    pieces: tuple[Piece, ...], inputs: list[np.ndarray], out_shape: tuple[int, ...], fill: float
) -> np.ndarray:
    out = np.full(out_shape, fill)
    grid = np.indices(out_shape)
    for piece, array in zip(pieces, inputs, strict=True):
        inside = np.ones(out_shape, bool)
        for axis, (low, high) in enumerate(piece.ranges):
            inside &= (grid[axis] >= low) & (grid[axis] < high)
        places = [part[inside] for part in evaluate_map(piece.index, out_shape)]
        out[inside] = array[tuple(places)]
    return out


def test_the_pieces_of_concat_and_pad() -> None:
    parts = [X, X[:, :0], X[:, 1:]]
    expected = np.concatenate(parts, 1)
    pieces = REGISTRY["concat"].lowering.pieces(tuple(p.shape for p in parts), expected.shape, {"axis": 1})
    np.testing.assert_array_equal(assemble(pieces, parts, expected.shape, 0), expected)
    widths = ((1, 0), (0, 2), (3, 1))
    expected = np.pad(X, widths, constant_values=9)
    pieces = REGISTRY["pad"].lowering.pieces((X.shape,), expected.shape, {"widths": widths, "fill": 9.0})
    np.testing.assert_array_equal(assemble(pieces, [X], expected.shape, 9), expected)


@given(st.data())
def test_what_the_compiler_makes_of_unslice(data: Any) -> None:
    length = data.draw(st.integers(0, 9))
    part = data.draw(st.slices(length))
    start, stop, step = part.indices(length)
    places = range(start, stop, step)
    count = len(places)
    x = np.arange(1.0, count + 1)
    params = {
        "shape": (length, 2),
        "starts": (start if count else 0, 0),
        "steps": (step if count > 1 else 1, 1),
    }
    expected = np.zeros((length, 2))
    expected[part] = x[:, None]
    primitive = REGISTRY["unslice"]
    given_x = np.stack([x, x], 1)
    np.testing.assert_array_equal(primitive.impl(given_x, **params), expected)
    np.testing.assert_array_equal(primitive.lowering.expand(tj.constant(given_x), **params).numpy(), expected)


@given(arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), st.data())
def test_slices_and_their_transposes(shape: tuple[int, ...], data: Any) -> None:
    x = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    index = tuple(data.draw(st.slices(length)) for length in shape)
    source = tj.constant(x)
    with tj.GradientTape() as tape:
        tape.watch(source)
        out = source[index] * x[index]
    np.testing.assert_array_equal(out.numpy(), x[index] ** 2)
    expected = np.zeros(shape)
    expected[index] = x[index]
    np.testing.assert_array_equal(tape.gradient(out, source).numpy(), expected)
