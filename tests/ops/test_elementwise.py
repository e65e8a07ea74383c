"""Arithmetic, powers, rounding and functions at the points where the registry's samples don't look."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import tapejit as tj
from tests.gradients import check_gradients, gradient_of

INF, NAN = math.inf, math.nan


def slopes(function: Callable[..., Any], *numbers: float, order: int = 1) -> list[Any]:
    """Derivatives at float64 numbers; of the sum of derivatives for a higher order."""
    current = function
    for _ in range(order - 1):
        inner = gradient_of(current)
        current = lambda *tensors, inner=inner: sum(ct for ct in inner(*tensors) if ct is not None)  # noqa: E731
    found = gradient_of(current)(*[tj.constant(np.float64(number)) for number in numbers])
    return [None if ct is None else ct.item() for ct in found]


# ---- dtypes


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: tj.constant([1.0]) * 2.0, "float32"),
        (lambda: tj.constant([1.0]) * np.float64(2.0), "float64"),
        (lambda: 1 / tj.constant([1.0]), "float32"),
        (lambda: tj.constant([1, 2]) * 0.5, "float64"),
        (lambda: tj.constant([1, 2]) / 2, "float64"),
        (lambda: tj.constant(np.int8([1])) + 1, "int8"),
        (lambda: tj.exp(np.int64(1)), "float64"),
        (lambda: tj.exp(1.0), "float32"),
        (lambda: tj.constant([True]) & [False], "bool"),
        (lambda: tj.floor(np.int32([1])), "int32"),
        (lambda: tj.constant([2.0]) ** 0.5, "float32"),
        (lambda: tj.constant([2, 3]) ** 0.5, "float64"),
        (lambda: tj.constant(np.float32([2])) ** np.float64(3), "float64"),
        (lambda: tj.where([True], 1, 2.0), "float32"),
    ],
)
def test_promotion_is_numpys_with_weak_python_numbers(make: Callable[[], Any], dtype: str) -> None:
    if dtype == "float32" and make().dtype == np.float64:
        pytest.fail(f"promoted to float64: {make()!r}")
    assert make().dtype == np.dtype(dtype)


def test_booleans_add_and_multiply_as_in_numpy() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, False])
    np.testing.assert_array_equal(tj.add(a, b).numpy(), a + b)
    np.testing.assert_array_equal(tj.multiply(a, b).numpy(), a * b)


@pytest.mark.parametrize("call", [lambda t: -t, lambda t: t - t, lambda t: +t])
def test_booleans_have_no_sign(call: Callable[[Any], Any]) -> None:
    with pytest.raises(tj.errors.DtypeError):
        call(tj.constant([True, False]))


def test_bitwise_operators_refuse_floats_and_say_the_dtype() -> None:
    with pytest.raises(tj.errors.DtypeError, match=r"bitwise_and.*float32"):
        tj.constant([1.0]) & tj.constant([2.0])


def test_shapes_that_do_not_broadcast_are_named() -> None:
    with pytest.raises(tj.errors.ShapeError, match=r"add.*\(2,\) and \(3,\)"):
        tj.add([1.0, 2.0], [1.0, 2.0, 3.0])


# ---- powers


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 64, 65, -1, -2, -64, 0.5, 2.0, 3.0, 1.5, -0.5])
def test_power_with_a_number_is_numpys(exponent: float) -> None:
    x = np.linspace(0.3, 1.7, 9)
    np.testing.assert_allclose((tj.constant(x) ** exponent).numpy(), x**exponent, rtol=2e-14)
    assert (tj.constant(x.astype("float32")) ** exponent).dtype == np.float32
    check_gradients(lambda t: t**exponent, [np.linspace(0.9, 1.1, 5)], tolerance=1e-5)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 13])
def test_integers_stay_integers_in_a_power(exponent: int) -> None:
    x = np.array([-3, 0, 2, 7])
    out = tj.constant(x) ** exponent
    np.testing.assert_array_equal(out.numpy(), x**exponent)
    assert out.dtype == x.dtype


def test_a_negative_power_of_integers_names_the_way() -> None:
    with pytest.raises(tj.errors.DtypeError, match=r"use -2\.0"):
        tj.constant([1, 2]) ** -2
    np.testing.assert_allclose((tj.constant([1, 2]) ** -2.0).numpy(), [1.0, 0.25])


def test_power_one_of_an_array_is_a_copy() -> None:
    x = np.ones(3)
    out = tj.power(x, 1)
    x[:] = 5
    np.testing.assert_array_equal(out.numpy(), np.ones(3))


@pytest.mark.parametrize(
    ("x", "y", "by_x", "by_y"),
    [
        (0.0, 0.0, 0.0, -INF),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 0.5, INF, 0.0),
        (5.0, 0.0, 0.0, math.log(5)),
        (-2.0, 3.0, 12.0, NAN),
        (1.0, 5.0, 5.0, 0.0),
    ],
)
def test_slopes_of_power(x: float, y: float, by_x: float, by_y: float) -> None:
    np.testing.assert_allclose(slopes(tj.power, x, y), [by_x, by_y], rtol=1e-15)


def test_the_mixed_derivative_of_power_at_exponent_zero_is_not_lost() -> None:
    x, y = tj.constant(np.float64(2.0)), tj.constant(np.float64(0.0))
    (mixed,) = gradient_of(lambda b: gradient_of(tj.power)(x, b)[0])(y)
    assert mixed.item() == pytest.approx(0.5)  # x**(y-1) (1 + y log x)


def test_second_derivatives_of_power_at_zero() -> None:
    for exponent, expected in [(2.0, 2.0), (3.0, 0.0), (1.0, 0.0)]:
        y = tj.constant(np.float64(exponent))
        assert slopes(lambda x, y=y: tj.power(x, y), 0.0, order=2) == [expected]


def test_a_where_protects_an_integer_power() -> None:
    assert slopes(lambda x: tj.where(x > 0, x**-3, 0.0), 0.0) == [0.0]


# ---- kinks


def test_second_derivative_of_a_square_of_sine_at_zero() -> None:
    assert slopes(lambda x: tj.square(tj.sin(x)), 0.0, order=2) == [2.0]
    assert slopes(lambda x: tj.sin(x) ** 2, 0.0, order=2) == [2.0]


def test_sign_is_connected_and_rounding_is_not() -> None:
    assert slopes(tj.sign, 2.0) == [0.0]
    for function in (tj.floor, tj.ceil, tj.round, tj.stop_gradient):
        assert slopes(function, 2.3) == [None]
    assert slopes(lambda x: tj.astype(tj.astype(x, "int64"), "float64"), 2.3) == [None]


@pytest.mark.parametrize(("x", "slope"), [(-1.0, 0.0), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (2.0, 0.0)])
def test_the_bounds_of_clip_count_as_inside(x: float, slope: float) -> None:
    assert slopes(lambda t: tj.clip(t, 0.0, 1.0), x) == [slope]


def test_clip_with_one_bound_or_none() -> None:
    x = tj.constant([-2.0, 0.5, 3.0])
    assert tj.clip(x, min=0).tolist() == [0.0, 0.5, 3.0]
    assert tj.clip(x, max=1).tolist() == [-2.0, 0.5, 1.0]
    assert tj.clip(x).tolist() == x.tolist()


def test_no_infinite_slope_leaks_from_the_operand_not_taken() -> None:
    assert slopes(lambda x: tj.maximum(tj.sqrt(x) - 1, 0.0), 0.0) == [0.0]
    assert slopes(lambda x: tj.relu(tj.sqrt(x) - 1), 0.0) == [0.0]
    assert slopes(lambda x: tj.sqrt(tj.relu(x)), -1.0) == [0.0]
    assert slopes(lambda x: tj.where(x > 0, tj.sqrt(x), 0.0), -1.0) == [0.0]


def test_higher_derivatives_of_relu_and_abs_are_zero() -> None:
    assert slopes(lambda x: tj.relu(x) * x, 2.0, order=2) == [2.0]
    assert slopes(lambda x: tj.abs(x) * x, -2.0, order=2) == [-2.0]
    assert slopes(tj.abs, 2.0, order=2) == [0.0]


# ---- conversion


def test_cotangents_are_cast_back() -> None:
    x = tj.constant(np.float32([1.0, 2.0]))
    (ct,) = gradient_of(lambda t: tj.astype(t, "float64") * np.float64(3))(x)
    assert ct.dtype == np.float32
    np.testing.assert_array_equal(ct.numpy(), [3, 3])


@pytest.mark.parametrize("dtype", ["complex64", "U5", object])
def test_astype_refuses_other_kinds(dtype: Any) -> None:
    with pytest.raises(tj.errors.DtypeError, match="astype"):
        tj.astype([1.0], dtype)


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(tj.errors.DtypeError, match="'float33' is not a dtype"):
        tj.astype([1.0], "float33")


# ---- accuracy


def erf_points() -> np.ndarray:
    rng = np.random.default_rng(0)
    borders = np.array([0.84375, 1.25, 1 / 0.35, 6.0])
    near = np.concatenate([np.nextafter(borders, 0), borders, np.nextafter(borders, 9)])
    return np.concatenate([rng.uniform(0, 6.5, 3000), near, 10.0 ** rng.uniform(-320, 0, 300)])


def test_erf_is_right_to_the_last_two_bits() -> None:
    x = erf_points()
    x = np.concatenate([x, -x])
    with mpmath.workdps(40):
        expected = np.array([float(mpmath.erf(mpmath.mpf(v))) for v in x])
    out = tj.erf(x).numpy()
    assert np.max(np.abs(out - expected) / np.spacing(np.abs(expected))) <= 1
    few = np.concatenate([tj.erf(part).numpy() for part in np.array_split(x, 50)])
    assert np.max(np.abs(few - expected) / np.spacing(np.abs(expected))) <= 2
    single = tj.erf(x.astype(np.float32)).numpy()
    assert single.dtype == np.float32
    exact = np.array([math.erf(v) for v in x.astype(np.float32)])
    assert np.all(np.abs(single - exact) <= 0.51 * np.spacing(np.abs(exact).astype(np.float32)))


def test_erf_of_any_layout() -> None:
    x = np.linspace(-3, 3, 2400).reshape(40, 60).T[::2]
    np.testing.assert_allclose(tj.erf(x).numpy(), np.vectorize(math.erf)(x), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_and_softplus_at_large_arguments(dtype: str) -> None:
    x = np.array([-1e4, -700.0, -50.0, 50.0, 700.0, 1e4], dtype)
    for function in (tj.sigmoid, tj.softplus):
        out = function(x).numpy()
        assert np.all(np.isfinite(out))
        assert out.dtype == x.dtype
    with mpmath.workdps(40):
        exact = [float(mpmath.log1p(mpmath.exp(mpmath.mpf(float(v))))) for v in x]
    np.testing.assert_allclose(tj.softplus(x).numpy(), np.asarray(exact, dtype), rtol=4 * np.finfo(dtype).eps)


def test_no_floating_point_warning_escapes() -> None:
    x = np.array([-1.0, 0.0, INF, NAN])
    for function in (tj.log, tj.sqrt, tj.reciprocal, tj.exp, tj.sigmoid, tj.erf, tj.asin):
        function(x)
    tj.divide(x, 0.0)


@pytest.mark.parametrize("number", [2, 2.5, True, -0.0])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("name", ["add", "multiply", "divide", "maximum", "less", "where"])
def test_a_number_takes_part_as_in_numpy(name: str, dtype: str, number: float) -> None:
    array, condition = np.array([1, 0, 1], dtype), np.array([True, False, True])
    first = (condition,) if name == "where" else ()
    for operands in ((array, number), (number, array)):
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(*first, *operands)
        found = getattr(tj, name)(*first, *[tj.constant(x) if x is array else x for x in operands]).numpy()
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found * 1.0), np.signbit(expected * 1.0))
