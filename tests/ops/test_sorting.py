"""`sort` and `argsort`: NumPy's order, ties, NaN, every dtype, gradients, and the merge sort of kernels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError
from tapejit.kernel import runtime, sorting
from tests.agreement import check_agreement
from tests.ops.differences import assert_derivatives

INF, NAN = np.inf, np.nan
# Lengths around those at which runs are merged, and one that needs several levels.
LENGTHS = [0, 1, 2, sorting.RUN, sorting.RUN + 1, 2 * sorting.RUN, 3 * sorting.RUN + 5, 1000]


def drawn(dtype: str, *shape: int) -> np.ndarray:
    """Numbers with many ties, NaN, infinities and zeros of both signs among floats, the ends of the range else."""
    generator = np.random.default_rng(sum(shape))
    if dtype.startswith("float"):
        return generator.choice([NAN, -NAN, INF, -INF, 0.0, -0.0, 1.5, -2.0, 3.0], shape).astype(dtype)
    if dtype == "bool":
        return generator.random(shape) < 0.5
    ends = np.iinfo(dtype)
    return generator.choice(np.array([ends.min, ends.max, 0, 1, 2, 3], dtype), shape)


def both(x: Any, **options: Any) -> list[Any]:
    return [tj.sort(x, **options), tj.argsort(x, **options)]


def assert_same_bits(found: Any, expected: np.ndarray) -> None:
    """Equal, with NaN where NaN is and zeros of the same sign."""
    array = found.numpy()
    np.testing.assert_array_equal(array, expected, strict=True)
    if array.dtype.kind == "f":
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(array[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("dtype", [*runtime.DTYPES, "float16"])
@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_eager_is_numpy(axis: int, dtype: str) -> None:
    x = drawn(dtype, 4, 30, 5)
    assert_same_bits(tj.sort(x, axis=axis), np.sort(x, axis, kind="stable"))
    assert_same_bits(tj.argsort(x, axis=axis), np.argsort(x, axis, kind="stable"))
    assert_same_bits(tj.sort(x, axis=axis, stable=False), np.sort(x, axis, kind="stable"))


def test_descending_order_is_stable_too() -> None:
    x = [2.0, -0.0, 3.0, 0.0, 2.0, NAN, 3.0]
    assert tj.argsort(x, descending=True).tolist() == [5, 2, 6, 0, 4, 1, 3]
    assert_same_bits(tj.sort(x, descending=True), np.array([NAN, 3, 3, 2, 2, -0.0, 0.0], np.float32))
    assert tj.argsort([2, 1, 3, 1]).tolist() == [1, 3, 0, 2]
    assert tj.sort(np.array([0, 255, 3], np.uint8), descending=True).tolist() == [255, 3, 0]
    assert tj.sort(np.array([-128, 127], np.int8), descending=True).tolist() == [127, -128]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", runtime.DTYPES)
def test_kernels_sort_alike(dtype: str, n: int) -> None:
    x = drawn(dtype, 2, n)
    _, executable = check_agreement(both, [x], plain=n < 40)
    found, places = executable([x])
    assert_same_bits(found, np.sort(x, kind="stable"))
    assert_same_bits(places, np.argsort(x, kind="stable"))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_kernels_sort_along_any_axis_and_through_views(axis: int, descending: bool) -> None:
    x = drawn("float64", 3, 20, 2)
    options = {"axis": axis, "descending": descending}
    traced, executable = check_agreement(lambda t: both(t, **options), [x])
    # Moving an axis to the end and flipping it are index maps: nothing is copied before it is sorted.
    assert "_float64(shifted(x0, " in traced.emitted().source or "_float64(x0, " in traced.emitted().source
    assert executable.kernel.layout.report["library_calls"] == 2
    check_agreement(lambda t: both(tj.permute_dims(t, (2, 0, 1))[:, ::-1, 1:], **options), [x])
    check_agreement(lambda t: both(tj.tanh(t) + 1.0, **options), [x])
    check_agreement(lambda t: both(tj.reshape(t, (2, 4, 15)), **options), [x])


def test_sorts_that_are_already_done_and_that_are_backwards() -> None:
    for x in (np.arange(500.0), np.arange(500.0)[::-1].copy(), np.zeros(500), np.arange(500.0) % 7):
        check_agreement(both, [x], plain=False)


def test_an_array_of_many_levels() -> None:
    x = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    _, executable = check_agreement(both, [x], plain=False)
    assert executable.kernel.layout.report["flops"] >= 2 * 100_000 * 16


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tj.sort(x) ** 2,
        lambda x: tj.sort(x, axis=0) ** 3,
        lambda x: tj.sort(x, axis=1, descending=True) * tj.reshape(tj.arange(x.size), x.shape),
        lambda x: tj.sort(tj.ravel(x)) ** 2 * tj.arange(x.size),
    ],
)
def test_derivatives(function: Callable[[Any], Any]) -> None:
    x = np.random.default_rng(2).permutation(24).reshape(2, 3, 4) * 0.25 - 1.0
    assert_derivatives(function, x)

    def gradients(t: Any) -> Any:
        with tj.GradientTape() as outer:
            outer.watch(t)
            with tj.GradientTape() as tape:
                tape.watch(t)
                y = tj.sum(function(t) ** 2)
            first = tape.gradient(y, t)
            number = tj.sum(tj.sin(first))
        return first, outer.gradient(number, t)

    traced, _ = check_agreement(gradients, [x])
    # The places come from a sort, so they need no check.
    assert "status(" not in traced.emitted().source


def test_ties_keep_their_cotangents_apart() -> None:
    x = tj.constant([1.0, 0.0, 1.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.sort(x) * [10.0, 20.0, 30.0]
    assert tape.gradient(y, x).tolist() == [20.0, 10.0, 30.0]


def test_places_are_not_connected() -> None:
    x = tj.constant([1.0, 0.0])
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.argsort(x) * 2.0
    assert tape.gradient(y, x) is None


def test_the_larger_half_is_assigned_to_the_variable_itself() -> None:
    w = tj.Variable(np.array([3.0, 1.0, 2.0, 0.0]))

    def step(x: Any) -> None:
        w.assign(tj.sort(w, descending=True) + x[tj.argsort(x)])

    check_agreement(step, [np.array([0.3, 0.1, 0.2, 0.0])])


def test_numpys_functions() -> None:
    t = tj.constant(drawn("float64", 3, 4))
    assert_same_bits(np.sort(t, axis=0, stable=True), np.sort(t.numpy(), axis=0, kind="stable"))
    assert_same_bits(np.argsort(t, kind="stable"), np.argsort(t.numpy(), kind="stable"))
    assert_same_bits(np.sort(t, axis=None), np.sort(t.numpy(), axis=None, kind="stable"))


@pytest.mark.parametrize("function", [tj.sort, tj.argsort])
def test_an_axis_that_is_not_there(function: Callable[..., Any]) -> None:
    with pytest.raises(ShapeError, match=r"sort.*axis"):
        function([1.0, 2.0], axis=1)
    with pytest.raises(ShapeError, match=r"sort.*axis"):
        function(1.0)
