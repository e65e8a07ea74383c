"""Small elementwise functions at the hard points: ends, NaN, ties, and derivatives there."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError
from tests.agreement import check_agreement

NAN, INF = float("nan"), float("inf")


def slopes(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    tensors = [tj.constant(np.asarray(array, np.float64)) for array in arrays]
    with tj.GradientTape() as tape:
        tape.watch(tensors)
        y = function(*tensors)
    return [None if each is None else each.tolist() for each in tape.gradient(y, tensors)]


def test_lerp_has_its_ends() -> None:
    a, b = np.array([0.1, 1e16, -3.0]), np.array([0.7, 1.0, -3.0])
    np.testing.assert_array_equal(tj.lerp(a, b, 0.0).numpy(), a)
    np.testing.assert_array_equal(tj.lerp(a, b, 1.0).numpy(), b)
    assert slopes(tj.lerp, 2.0, 5.0, 0.25) == [0.75, 0.25, 3.0]
    assert slopes(tj.lerp, 2.0, 5.0, 0.75) == [0.25, 0.75, 3.0]


def test_heaviside_is_not_connected_to_x() -> None:
    assert slopes(tj.heaviside, [-1.0, 0.0, 2.0], 0.5) == [None, 1.0]
    assert np.isnan(tj.heaviside(NAN, 0.5).item())


def test_what_is_replaced_has_no_slope() -> None:
    assert slopes(tj.nan_to_num, [NAN, INF, 1.0]) == [[0.0, 0.0, 1.0]]
    assert slopes(lambda x: tj.nan_to_num(tj.sqrt(x)), [-1.0, 4.0]) == [[0.0, 0.25]]
    assert slopes(tj.fmax, [1.0, NAN, 2.0, 1.0], [NAN, 1.0, 1.0, 1.0]) == [[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]]


def test_curves_at_their_ends() -> None:
    x = np.array([-1e4, -800.0, -1.0, 0.0, 1.0, 800.0])
    normal = [0.5 * (1 + math.erf(each / math.sqrt(2))) for each in x]
    np.testing.assert_allclose(tj.gelu(x).numpy(), x * normal, rtol=1e-14)
    np.testing.assert_allclose(tj.gelu(x, approximate=True).numpy(), x * normal, atol=2e-4)
    assert tj.log_sigmoid(x).tolist()[0] == -1e4
    for function in (tj.gelu, tj.silu, tj.elu, tj.leaky_relu, tj.log_sigmoid):
        assert np.isfinite(slopes(function, x)[0]).all()
        assert np.isnan(function(NAN).item())
    assert slopes(tj.elu, [0.0, -1e4]) == [[1.0, 0.0]]
    assert slopes(tj.leaky_relu, [0.0]) == [[0.2]]


def test_sinc_near_zero_to_high_orders() -> None:
    """The derivative of order 2m at 0 is ``(-1)**m π**2m / (2m + 1)``, those of odd order are 0."""

    def derivative(x: Any, order: int) -> Any:
        if order == 0:
            return tj.sinc(x)
        with tj.GradientTape() as tape:
            tape.watch(x)
            y = derivative(x, order - 1)
        return tape.gradient(y, x)

    for order in range(5):
        at_zero = derivative(tj.constant(np.float64(0)), order).item()
        exact = 0.0 if order % 2 else (-1) ** (order // 2) * np.pi**order / (order + 1)
        np.testing.assert_allclose(at_zero, exact, rtol=1e-14)
        near = derivative(tj.constant(np.float64(1e-7)), order).item()
        np.testing.assert_allclose(near, exact, rtol=1e-9, atol=1e-4)

    def step(x: Any) -> Any:
        return [derivative(x, order) for order in range(3)]

    check_agreement(step, [np.array([0.0, 1e-8, 0.3, -0.7, 2.0])])


def test_hypot_is_flat_at_zero() -> None:
    assert slopes(tj.hypot, [0.0, 3.0], [0.0, -4.0]) == [[0.0, 0.6], [0.0, -0.8]]


def test_shifts_as_operators() -> None:
    x = np.array([1, 5, -9], np.int32)
    for make in (tj.constant, tj.Variable):
        t = make(x)
        np.testing.assert_array_equal((t << 3).numpy(), x << 3)
        np.testing.assert_array_equal((t >> 1).numpy(), x >> 1)
        np.testing.assert_array_equal((2 << make(np.abs(x))).numpy(), 2 << np.abs(x))
        np.testing.assert_array_equal((np.int32(300) >> make(np.abs(x))).numpy(), 300 >> np.abs(x))
        assert (t << 3).dtype == np.int32
    for dtype in ("uint8", "int64"):
        assert (tj.constant(np.array([3], dtype)) << 70).tolist() == [0]
    assert (tj.constant(np.array([-3, 3])) >> 70).tolist() == [-1, 0]
    with pytest.raises(DtypeError, match=r"bitwise_left_shift.*float32.*\.py"):
        tj.constant([1.0]) << 2


def test_closeness_in_kernels() -> None:
    x = np.array([1.0, NAN, INF, -INF, 0.0])
    y = np.array([1.0 + 1e-9, NAN, INF, INF, 1e-9])
    check_agreement(
        lambda x, y: [tj.isclose(x, y), tj.isclose(x, y, equal_nan=True), tj.allclose(x, y), tj.nan_to_num(x)], [x, y]
    )


@pytest.mark.parametrize("name", ["lerp", "deg2rad", "heaviside", "silu", "gelu", "sinc", "isclose"])
def test_errors_name_the_operation(name: str) -> None:
    arity = {"lerp": 3, "heaviside": 2, "isclose": 2}.get(name, 1)
    with pytest.raises(DtypeError, match=rf"{name}.*\.py"):
        getattr(tj, name)(*[np.array(["a"])] * arity)
