"""Promotion as NumPy 2's, with Python numbers weak and `floatx` behind Python floats; shapes and axes."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.aval import (
    Aval,
    broadcast_shapes,
    checked_shape,
    normalize_axes,
    normalize_axis,
    parse_dtype,
    with_ones,
    without,
)
from tapejit.errors import DtypeError, ShapeError

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
NUMBERS: list[Any] = [True, 3, 2.5]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
    "**": lambda x, y: x**y,
    "<": lambda x, y: x < y,
    "==": lambda x, y: x == y,
    "maximum": np.maximum,
    "arctan2": np.arctan2,
    "&": lambda x, y: x & y,
}


def check_like_numpy(operation: Callable[[Any, Any], Any], x: Any, y: Any, real_x: Any, real_y: Any) -> None:
    """The same dtype and value as NumPy's, or an exception where NumPy has one."""
    with np.errstate(all="ignore"):
        try:
            expected = operation(x, y)
        except TypeError:
            with pytest.raises((DtypeError, TypeError)):
                operation(real_x, real_y)
            return
    result = operation(real_x, real_y)
    assert result.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-3)


# Numbers


@pytest.mark.parametrize("name", OPERATORS)
def test_two_arrays_promote_as_in_numpy(name: str) -> None:
    for first, second in itertools.product(DTYPES, DTYPES):
        x, y = np.array([1, 1], first), np.array([1, 1], second)
        check_like_numpy(OPERATORS[name], x, y, tj.constant(x), tj.constant(y))
        check_like_numpy(OPERATORS[name], x, y, tj.constant(x), y)
        check_like_numpy(OPERATORS[name], x, y, x, tj.constant(y))


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_python_numbers_are_weak(name: str, number: Any) -> None:
    for dtype in DTYPES:
        x = np.array([1, 1], dtype)
        check_like_numpy(OPERATORS[name], x, number, tj.constant(x), number)
        check_like_numpy(OPERATORS[name], number, x, number, tj.constant(x))


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("scalar", [np.float64(2.5), np.float32(2.5), np.int8(3), np.bool_(True)], ids=repr)
def test_numpy_scalars_keep_their_dtype(name: str, scalar: Any) -> None:
    for dtype in DTYPES:
        x = np.array([1, 1], dtype)
        check_like_numpy(OPERATORS[name], x, scalar, tj.constant(x), scalar)
        check_like_numpy(OPERATORS[name], scalar, x, scalar, tj.constant(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ["exp", "sqrt", "abs", "square", "negative", "sign", "floor"])
def test_functions_of_one_operand_give_numpys_dtype(function: str, dtype: str) -> None:
    x = np.array([1, 0], dtype)
    try:
        expected = getattr(np, function)(x)
    except TypeError:
        with pytest.raises(DtypeError):
            getattr(tj, function)(x)
        return
    assert getattr(tj, function)(x).dtype == expected.dtype


def test_a_python_int_that_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError, match="300 out of bounds for int8"):
        tj.constant([1], dtype="int8") + 300


@pytest.mark.parametrize("make", [tj.constant, tj.asarray, tj.Variable], ids=["constant", "asarray", "Variable"])
def test_what_python_numbers_and_lists_become(make: Callable[[Any], Any]) -> None:
    for value, dtype in [
        (1.5, "float32"), (1, "int64"), (True, "bool"), ([1.5, 2.5], "float32"), ([1, 2], "int64"),
        ([True], "bool"), ([1, 2.5], "float32"), ([[1.0], [2.0]], "float32"), ((1.0, 2.0), "float32"), ([], "float32"),
        ([[], []], "float32"), (np.float64(1.5), "float64"), (np.float16(1.5), "float16"),
        ([np.float64(1.5)], "float64"), (np.array([1.5]), "float64"),
        (np.array([1], np.uint8), "uint8"), ([np.array([1.5]), np.array([2.5])], "float64"),
    ]:  # fmt: skip
        assert make(value).dtype == dtype, value


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "bool"])
def test_arrays_keep_their_dtype_and_bits(dtype: str) -> None:
    x = np.array([1, 0, 100], dtype)
    for byte_order in "<>":
        found = tj.constant(x.astype(x.dtype.newbyteorder(byte_order)))
        assert found.dtype == dtype
        assert found.dtype.isnative
        np.testing.assert_array_equal(found.numpy(), x)


def test_two_python_numbers_promote_as_python_does_with_floatx() -> None:
    assert tj.add(1, 2).dtype == "int64"
    assert tj.add(1, 2.0).dtype == "float32"
    assert tj.add(True, 2).dtype == "int64"
    assert tj.divide(1, 2).dtype == "float64", "NumPy divides integers as float64"
    assert tj.exp(1.0).dtype == "float32"
    assert tj.exp(1).dtype == "float64"


def test_a_dtype_rounds_python_numbers_once() -> None:
    assert float(tj.constant(0.1, dtype="float64")) == 0.1
    np.testing.assert_array_equal(tj.constant([0.1, 0.2], dtype="float64").numpy(), np.array([0.1, 0.2]))
    assert float(tj.Variable(0.1, dtype="float64").numpy()) == 0.1
    assert float(tj.constant(1.0, dtype="float64") * 0.1) == 0.1


# floatx


@pytest.fixture
def _restored() -> Iterator[None]:
    before = tj.floatx()
    yield
    tj.set_floatx(before)


@pytest.mark.usefixtures("_restored")
def test_floatx_changes_what_python_floats_become() -> None:
    double = np.array([1.0])
    tj.set_floatx("float64")
    for value in (1.0, [1.0], [[1, 2.0]], []):
        assert tj.constant(value).dtype == "float64"
    assert tj.Variable(0.1).numpy() == 0.1
    assert tj.zeros(2).dtype == tj.ones(2).dtype == tj.linspace(0, 1, 3).dtype == tj.eye(2).dtype == "float64"
    assert tj.constant(1).dtype == "int64"
    assert (tj.constant(np.float32(1)) * 2.0).dtype == "float32", "weak"
    tj.set_floatx(np.float32)
    assert tj.constant(1.0).dtype == "float32"
    assert (tj.constant(1.0) * double).dtype == "float64"
    assert tj.zeros(2).dtype == "float32"


def test_using_floatx_holds_for_a_block() -> None:
    with tj.using_floatx("float64"):
        assert tj.constant(1.0).dtype == "float64"
        with tj.using_floatx("float32"):
            assert tj.constant(1.0).dtype == "float32"
        assert tj.constant([1.0]).dtype == "float64"
        assert tj.random.Generator(0).normal((2,)).dtype == "float64"
    assert tj.constant(1.0).dtype == "float32"


def test_gradients_keep_their_dtype_when_floatx_changes() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = x * x * 0.5
    with tj.using_floatx("float64"):
        assert tape.gradient(y, x).dtype == "float32"


def test_operations_do_not_remember_floatx() -> None:
    """What was resolved for Python numbers under one setting must not be used under the other."""
    for name, dtype in (("float32", "float32"), ("float64", "float64"), ("float32", "float32")):
        with tj.using_floatx(name):
            for found in (tj.exp(1.0), tj.add(1.0, 2.0), tj.where(True, 1.0, 2), tj.sum([1.0]), tj.stack([1.0, 2.0])):
                assert found.dtype == dtype


@pytest.mark.parametrize(("setting", "dtype"), [(None, "float32"), ("float64", "float64"), ("float32", "float32")])
def test_floatx_from_the_environment(setting: str | None, dtype: str) -> None:
    program = "import tapejit as tj; print(tj.floatx(), tj.constant(1.0).dtype, tj.Variable([1.0]).dtype)"
    environment = {} if setting is None else {"TAPEJIT_FLOATX": setting}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [dtype] * 3


def test_a_wrong_floatx_in_the_environment_is_an_error_that_names_it() -> None:
    program = "import tapejit as tj; tj.constant(1.0)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"TAPEJIT_FLOATX": "bfloat16"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ValueError: TAPEJIT_FLOATX must be 'float32' or 'float64', got 'bfloat16'" in done.stderr


# Avals


def test_an_aval_knows_its_size_and_bytes() -> None:
    aval = Aval((2, 3), np.dtype(np.float32))
    assert (aval.size, aval.nbytes, str(aval)) == (6, 24, "float32[2, 3]")
    assert str(Aval((), np.dtype(bool))) == "bool[]"
    assert Aval((0, 3), np.dtype(np.int8)).size == 0


@pytest.mark.parametrize(
    "shapes", [((), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0,), (1,)), ((0, 1), (1, 5)), ((4,), (), (2, 1)), ()]
)
def test_broadcasting_is_numpys(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert broadcast_shapes("f", shapes) == np.broadcast_shapes(*shapes)


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((2, 3), (2,)), ((0,), (2,)), ((2, 3), (1, 3), (4, 3))])
def test_shapes_that_do_not_broadcast(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        broadcast_shapes("multiply", shapes)
    message = str(caught.value)
    assert message.startswith(f"multiply: shapes {' and '.join(map(str, shapes))} do not broadcast: axis -")
    assert "expand_dims" in message


def test_axes_count_from_either_end() -> None:
    assert [normalize_axis("sum", axis, 3) for axis in (0, 2, -1, -3)] == [0, 2, 2, 0]
    assert normalize_axes("sum", None, 3) == (0, 1, 2)
    assert normalize_axes("sum", (-1, 0), 3) == (0, 2)
    assert normalize_axes("sum", np.int64(1), 3) == (1,)  # type: ignore[arg-type]
    assert normalize_axes("sum", (), 3) == ()


@pytest.mark.parametrize("axis", [3, -4, (0, 3)])
def test_an_axis_out_of_range(axis: Any) -> None:
    with pytest.raises(ShapeError, match=r"sum: axis -?\d is out of range for an array with 3 axes"):
        normalize_axes("sum", axis, 3)


def test_an_axis_named_twice_or_no_int() -> None:
    with pytest.raises(ShapeError, match="names an axis twice"):
        normalize_axes("sum", (0, -3), 3)
    with pytest.raises(DtypeError, match=r"sum: an axis is an int, got 1\.5"):
        normalize_axes("sum", 1.5, 3)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="an axis is an int, got 'x'"):
        normalize_axes("sum", "x", 3)


def test_shapes_of_creation() -> None:
    assert checked_shape("zeros", 3) == (3,)
    assert checked_shape("zeros", [2, np.int32(3)]) == (2, 3)
    assert checked_shape("zeros", np.array([2, 3])) == (2, 3)
    assert checked_shape("zeros", np.array(3)) == (3,)
    with pytest.raises(ShapeError, match="zeros: negative length in shape"):
        checked_shape("zeros", (2, -1))
    with pytest.raises(DtypeError, match="zeros: a shape is made of ints"):
        checked_shape("zeros", (2.0,))  # type: ignore[arg-type]
    assert without((2, 3, 4), (1,)) == (2, 4)
    assert with_ones((2, 3, 4), (0, 2)) == (1, 3, 1)


@pytest.mark.parametrize("wrong", ["floaty", "float33", object(), 7])
def test_an_unknown_dtype(wrong: Any) -> None:
    with pytest.raises(DtypeError, match=r"astype: .* is not a dtype; use for example 'float32'"):
        parse_dtype("astype", wrong)
    for call in (
        lambda: tj.constant(1.0, dtype=wrong),
        lambda: tj.Variable(1.0, dtype=wrong),
        lambda: tj.zeros(2, wrong),
    ):
        with pytest.raises(TypeError, match="is not a dtype"):
            call()
