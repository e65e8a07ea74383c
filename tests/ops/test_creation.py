"""New arrays: dtypes, copies, and what they cost."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.primitive import add_tape, remove_tape
from tests.gradients import gradient_of

# ---- from values


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, "float32"),
        (2, "int64"),
        (True, "bool"),
        ([1.5, 2], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([True], "bool"),
        (np.float64(1.5), "float64"),
        ([np.float64(1.5)], "float64"),
        (np.arange(3, dtype=np.int8), "int8"),
        ([], "float32"),
    ],
)
def test_dtypes_of_values(value: Any, dtype: str) -> None:
    for make in (tj.asarray, tj.constant):
        out = make(value)
        assert out.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(out.numpy(), np.asarray(value, dtype))


def test_floatx_is_what_python_floats_become() -> None:
    with tj.using_floatx("float64"):
        for out in (
            tj.constant([0.1]),
            tj.zeros(2),
            tj.full(2, 0.1),
            tj.linspace(0, 1, 3),
            tj.arange(0.5),
            tj.eye(2),
        ):
            assert out.dtype == np.float64
    assert tj.zeros(2).dtype == np.float32


@pytest.mark.parametrize("make", [tj.asarray, tj.constant])
def test_numbers_are_rounded_once_to_the_dtype_asked_for(make: Any) -> None:
    for value in (0.1, [0.1], [[0.1]]):
        np.testing.assert_array_equal(make(value, dtype="float64").numpy(), np.asarray(value, np.float64))


def test_a_writable_array_is_copied_and_a_read_only_one_shared() -> None:
    x = np.ones(3)
    t, c = tj.asarray(x), tj.constant(x)
    x[:] = 7
    assert t.tolist() == c.tolist() == [1, 1, 1]
    fixed = np.ones(3)
    fixed.flags.writeable = False
    assert np.shares_memory(tj.asarray(fixed).numpy(), fixed)
    assert not np.shares_memory(tj.asarray(fixed, copy=True).numpy(), fixed)
    assert not np.shares_memory(tj.constant(fixed).numpy(), fixed)


def test_copy_false_says_that_it_needs_one() -> None:
    with pytest.raises(ValueError, match="needs a copy"):
        tj.asarray(np.ones(3), copy=False)
    t = tj.ones(3)
    assert tj.asarray(t, copy=False) is t


def test_a_list_of_tensors_is_stacked_on_the_tape() -> None:
    x = tj.constant(3.0)
    (ct,) = gradient_of(lambda t: tj.sum(tj.asarray([t, t * t])))(x)
    assert ct.item() == 7.0


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], [1.0, [2.0]]])
def test_a_ragged_list_is_named(value: Any) -> None:
    for dtype in (None, "float64"):
        with pytest.raises(tj.errors.ShapeError, match="ragged"):
            tj.asarray(value, dtype)


def test_what_is_no_array_is_a_clear_error() -> None:
    with pytest.raises(tj.errors.DtypeError, match="complex128"):
        tj.constant(1j)
    with pytest.raises(tj.errors.DtypeError, match="'float33' is not a dtype"):
        tj.constant([1.0], dtype="float33")


def test_constant_fills_or_reshapes() -> None:
    assert tj.constant(2.0, shape=(2, 3)).numpy().tolist() == [[2.0] * 3] * 2
    assert tj.constant([1, 2, 3, 4], shape=(2, 2)).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(tj.errors.ShapeError):
        tj.constant([1, 2, 3], shape=(2, 2))


# ---- filled


@pytest.mark.parametrize("shape", [(), 3, (2, 0), (2, 3), [4]])
def test_filled_arrays(shape: Any) -> None:
    for name in ("zeros", "ones"):
        np.testing.assert_array_equal(getattr(tj, name)(shape).numpy(), getattr(np, name)(shape, np.float32))
        out = getattr(tj, name)(shape, dtype="int32")
        assert out.dtype == np.int32
    np.testing.assert_array_equal(tj.full(shape, 7).numpy(), np.full(shape, 7))
    assert tj.full(shape, 7).dtype == np.int64


def test_filled_like_another() -> None:
    x = tj.constant(np.ones((2, 3), np.float64))
    for out, number in [(tj.zeros_like(x), 0), (tj.ones_like(x), 1), (tj.full_like(x, 5), 5)]:
        assert (out.shape, out.dtype) == (x.shape, x.dtype)
        assert np.all(out.numpy() == number)
    assert tj.zeros_like(x, dtype="int8").dtype == np.int8
    assert tj.zeros_like([1, 2]).dtype == np.int64


def test_a_fill_value_gets_its_gradient() -> None:
    (ct,) = gradient_of(lambda t: tj.sum(tj.full((2, 3), t)))(tj.constant(2.0))
    assert ct.item() == 6.0


def test_a_large_array_of_zeros_takes_one_element() -> None:
    assert tj.zeros((10**6, 10**6)).array.strides == (0, 0)


@pytest.mark.parametrize("make", [tj.zeros, tj.ones, lambda s: tj.full(s, 1.0), tj.eye])
def test_shapes_are_checked(make: Any) -> None:
    with pytest.raises(tj.errors.ShapeError, match="negative"):
        make(-1)
    with pytest.raises(tj.errors.DtypeError, match="ints"):
        make(1.5)


# ---- counted


@pytest.mark.parametrize(
    "args",
    [(5,), (2, 8), (2, 8, 3), (8, 2, -2), (3, 3), (5, 2), (0.0, 1.0, 0.25), (2.5,), (1, 2, 0.25), (0,)],
)
def test_arange_is_numpys(args: Any) -> None:
    out, expected = tj.arange(*args).numpy(), np.arange(*args)
    assert out.dtype == (np.float32 if expected.dtype.kind == "f" else np.int64)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    np.testing.assert_allclose(tj.arange(*args, dtype="float64").numpy(), np.arange(*args, dtype="float64"), rtol=1e-15)


def test_arange_refuses_a_step_of_zero() -> None:
    with pytest.raises(ValueError, match="step is 0"):
        tj.arange(0, 3, 0)


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 7])
def test_linspace_is_numpys(num: int, endpoint: bool) -> None:
    out = tj.linspace(-0.3, 1.7, num, endpoint=endpoint, dtype="float64").numpy()
    np.testing.assert_allclose(out, np.linspace(-0.3, 1.7, num, endpoint=endpoint), rtol=1e-15, atol=1e-15)


def test_linspace_meets_its_ends_and_is_connected_to_them() -> None:
    out = tj.linspace(0.1, 0.7, 11).numpy()
    assert (out[0], out[-1]) == (np.float32(0.1), np.float32(0.7))
    low, high = gradient_of(lambda a, b: tj.sum(tj.linspace(a, b, 5)))(tj.constant(0.0), tj.constant(1.0))
    assert (low.item(), high.item()) == (2.5, 2.5)
    pairs = tj.linspace(np.zeros(2), np.array([1.0, 2.0]), 3)
    np.testing.assert_array_equal(pairs.numpy(), np.linspace(np.zeros(2), np.array([1.0, 2.0]), 3))


@pytest.mark.parametrize("k", [-2, -1, 0, 1, 5])
@pytest.mark.parametrize(("rows", "columns"), [(3, None), (2, 4), (4, 2), (0, 3)])
def test_eye_is_numpys(rows: int, columns: int | None, k: int) -> None:
    np.testing.assert_array_equal(tj.eye(rows, columns, k=k).numpy(), np.eye(rows, columns, k))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis: int) -> None:
    indices = np.array([[0, 2], [1, 5], [-1, 0]])
    out = tj.one_hot(indices, 3, axis=axis).numpy()
    expected = np.moveaxis((indices[..., None] == np.arange(3)).astype(np.float32), -1, axis)
    np.testing.assert_array_equal(out, expected)
    assert out.dtype == np.float32


def test_one_hot_takes_integers_only() -> None:
    with pytest.raises(tj.errors.DtypeError, match="integers"):
        tj.one_hot([0.0, 1.0], 2)
    assert tj.one_hot(1, 3, dtype="bool").tolist() == [False, True, False]


class Counting:
    """A tape that names what was applied."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def record(self, primitive: Any, *application: Any) -> None:  # noqa: ARG002
        self.names.append(primitive.name)

    def record_read(self, variable: Any, value: Any) -> None:
        """Nothing to count."""


@pytest.mark.parametrize(
    ("make", "most"), [(lambda: tj.zeros((3, 4)), 1), (lambda: tj.zeros(()), 0), (lambda: tj.arange(5), 1)]
)
def test_filling_is_one_step(make: Any, most: int) -> None:
    tape = Counting()
    add_tape(tape)
    try:
        make()
    finally:
        remove_tape(tape)
    assert len(tape.names) <= most, tape.names
