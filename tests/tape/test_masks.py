"""``where`` lets no nan and no inf out of the branch that is not taken, at any order, through any view."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.tape.test_kinks import INF, NAN, Function, check_slope, derivative

POINTS = np.array([-1.0, 0.0, 4.0])


def two_paths(x: Any) -> Any:
    root = tj.sqrt(x)
    return tj.where(x > 0, root, 0) + tj.where(x > 0, root * root, 0)


def two_masks(x: Any) -> Any:
    root = tj.sqrt(x)
    return tj.where(x > 0, root, 0) + tj.where(x > 5, root, 0)


GUARDED: dict[str, tuple[Function, list[list[float]]]] = {
    "sqrt": (lambda x: tj.where(x > 0, tj.sqrt(x), 0), [[0, 0, 1 / 4], [0, 0, -1 / 32], [0, 0, 3 / 256]]),
    "log": (lambda x: tj.where(x > 0, tj.log(x), 0), [[0, 0, 1 / 4], [0, 0, -1 / 16], [0, 0, 1 / 32]]),
    "x log x": (lambda x: tj.where(x > 0, x * tj.log(x), 0), [[0, 0, np.log(4.0) + 1], [0, 0, 1 / 4]]),
    "1 / x": (lambda x: tj.where(x != 0, 1 / x, 0), [[-1, 0, -1 / 16], [-2, 0, 1 / 32]]),
    "sin x / x": (
        lambda x: tj.where(x != 0, tj.sin(x) / x, 1.0),
        [[(np.cos(x) - np.sin(x) / x) / x if x else 0.0 for x in POINTS]],
    ),
    "power": (lambda x: tj.where(x > 0, x**1.5, 0), [[0, 0, 3], [0, 0, 3 / 8]]),
    "half": (lambda x: tj.where(x > 0, x**0.5, 0), [[0, 0, 1 / 4], [0, 0, -1 / 32]]),
    "reversed": (lambda x: tj.where(x <= 0, 0, tj.sqrt(x)), [[0, 0, 1 / 4], [0, 0, -1 / 32]]),
    "a chain": (lambda x: tj.where(x > 0, tj.exp(tj.sqrt(x)) * 2, 0), [[0, 0, np.exp(2.0) / 2]]),
    "np.where": (lambda x: np.where(x > 0, np.sqrt(x), 0), [[0, 0, 1 / 4], [0, 0, -1 / 32]]),
    "maximum": (lambda x: tj.maximum(0.0, tj.log(tj.abs(x))), [[-1 * 0, 0, 1 / 4]]),
    "relu": (lambda x: tj.relu(tj.log(tj.abs(x) / 2)), [[0, 0, 1 / 4], [0, 0, -1 / 16]]),
    "minimum": (lambda x: tj.minimum(10.0 * x, 0.0) + tj.where(x > 0, tj.sqrt(x), 0), [[10, 10, 1 / 4]]),
    "clip": (lambda x: tj.clip(1 / x**2, 0.0, 2.0), [[2, 0, -1 / 32]]),
    "both branches": (lambda x: tj.where(x > 0, tj.log(x), tj.log(-x + 1)), [[-1 / 2, -1, 1 / 4]]),
    "astype between": (lambda x: tj.where(x > 0, tj.astype(tj.sqrt(x), "float32"), 0), [[0, 0, 1 / 4]]),
    "a floating condition": (lambda x: tj.where(x, 1 / x, 0), [[-1, 0, -1 / 16]]),
    "an integer branch": (lambda x: tj.where(x > 0, tj.sqrt(x), tj.constant([1, 2, 3])), [[0, 0, 1 / 4]]),
    "a sum of two": (
        lambda x: tj.where(x > 0, tj.sqrt(x), 0) + tj.where(x > 0, tj.log(x), 0),
        [[0, 0, 1 / 2], [0, 0, -3 / 32]],
    ),
    "two paths of one node": (
        two_paths,
        [[0, 0, 5 / 4], [0, 0, -1 / 32]],
    ),
    "masks that differ": (
        two_masks,
        [[0, 0, 1 / 4], [0, 0, -1 / 32]],
    ),
}


@pytest.mark.parametrize("name", GUARDED)
def test_the_branch_not_taken_does_not_leak(name: str) -> None:
    function, expected = GUARDED[name]
    for order, values in enumerate(expected, 1):
        found = derivative(function, POINTS, order)
        assert found is not None
        np.testing.assert_allclose(found, values, rtol=1e-14, atol=0, err_msg=f"order {order}")


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_no_order_is_ever_nan(name: str, order: int) -> None:
    found = derivative(GUARDED[name][0], POINTS, order)
    assert found is None or np.isfinite(found).all()


MATRIX = np.array([[-1.0, 0.0], [4.0, 9.0]])
VIEWS: dict[str, Function] = {
    "reshape": lambda v: tj.reshape(v, (4,)),
    "transpose": lambda v: v.T,
    "permute_dims": lambda v: tj.permute_dims(v, (1, 0)),
    "moveaxis": lambda v: tj.moveaxis(v, 0, 1),
    "a slice": lambda v: v[:, :1],
    "a strided slice": lambda v: v[::2],
    "a reversed slice": lambda v: v[:, ::-1],
    "a row": lambda v: v[0],
    "an element": lambda v: v[0, 1],
    "flip": lambda v: tj.flip(v, axis=0),
    "roll": lambda v: tj.roll(v, 1, axis=0),
    "expand_dims": lambda v: tj.expand_dims(v, axis=0),
    "squeeze": lambda v: tj.squeeze(tj.expand_dims(v, axis=0), axis=0),
    "broadcast_to": lambda v: tj.broadcast_to(v, (3, 2, 2)),
    "broadcast_to, summed": lambda v: tj.broadcast_to(tj.reshape(v, (1, 4)), (3, 4)),
    "concat": lambda v: tj.concat([v, v], axis=0),
    "stack": lambda v: tj.stack([v, v]),
    "stack with another": lambda v: tj.stack([v, v * 0 + 1])[0],
    "pad": lambda v: tj.pad(v, 1),
    "split": lambda v: tj.split(v, 2)[0],
    "take": lambda v: tj.take(v, [1, 0, 0], axis=0),
    "index arrays": lambda v: v[np.array([0, 1, 0]), np.array([1, 1, 0])],
    "a boolean mask": lambda v: v[np.array([[True, True], [False, True]])],
    "None and Ellipsis": lambda v: v[..., None, :],
    "two views": lambda v: tj.reshape(v.T[::-1], (4,)),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("function", [tj.sqrt, tj.log], ids=["sqrt", "log"])
def test_views_between_carry_the_mask(name: str, order: int, function: Function) -> None:
    view = VIEWS[name]
    inside = {tj.sqrt: (lambda x: x**0.5), tj.log: tj.log}[function]  # type: ignore[index]
    safe = np.where(MATRIX > 0, MATRIX, 1.0)
    # The same program where nothing has to be guarded: slopes of the elements that are taken.
    expected = derivative(
        lambda x: tj.where(tj.constant(view(tj.constant(MATRIX)).numpy() > 0), view(inside(x)), 0), safe, order
    )
    found = derivative(lambda x: tj.where(view(x) > 0, view(function(x)), 0), MATRIX, order)
    assert found is not None
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("condition", [[False, False], [[False], [False]]])
def test_a_scalar_branch_that_is_broadcast_and_never_taken(condition: Any) -> None:
    mask = tj.constant(condition)
    check_slope(lambda s: tj.where(mask, tj.sqrt(s), 1.0), 0.0, 0.0)
    check_slope(lambda s: tj.where(mask, tj.log(s), 1.0), -1.0, 0.0)
    check_slope(lambda s: tj.where(mask, tj.broadcast_to(tj.log(s), mask.shape), 1.0), -1.0, 0.0)
    check_slope(lambda s: tj.where(mask, tj.log(s), 1.0), -1.0, 0.0, order=2)
    check_slope(lambda s: tj.where(~mask, 1.0, 1 / s), 0.0, 0.0)


def test_a_scalar_branch_that_is_taken_somewhere_has_its_slope() -> None:
    mask = tj.constant([True, False, True])
    check_slope(lambda s: tj.where(mask, tj.sqrt(s), 1.0), 4.0, 0.5)
    check_slope(lambda s: tj.where(mask, tj.sqrt(s), 1.0), 0.0, INF)


def test_rows_that_are_broadcast() -> None:
    mask = tj.constant([[True, False, False], [True, False, True]])
    check_slope(lambda x: tj.where(mask, tj.sqrt(x), 0), [4.0, 0.0, 1.0], [0.5, 0.0, 0.5])
    check_slope(lambda x: tj.where(mask, tj.sqrt(x), 0), [4.0, 0.0, 1.0], [-1 / 16, 0.0, -1 / 4], order=2)


def test_nested_where() -> None:
    def f(x: Any) -> Any:
        return tj.where(x > 0, tj.where(x > 1, tj.sqrt(x - 1), tj.log(x)), 0)

    check_slope(f, [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 0.0, 2.0, 1.0, 0.5])
    check_slope(f, [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 0.0, -4.0, -1.0, -0.25], order=2)


def test_where_of_where_on_the_same_branch() -> None:
    check_slope(
        lambda x: tj.where(x > 0, tj.where(x < 5, tj.sqrt(x), 0), 0), [-1.0, 0.0, 4.0, 9.0], [0.0, 0.0, 0.25, 0.0]
    )


def test_the_mask_ends_where_elements_mix() -> None:
    """A product of matrices mixes elements: behind it an infinite slope counts, as 0 * inf."""
    ones = np.ones((2, 2))

    def f(x: Any) -> Any:
        return tj.where(tj.constant([True, False]), (tj.sqrt(x) @ ones), 0.0)

    check_slope(f, [4.0, 0.0], [0.25, INF])


def test_an_infinite_slope_that_counts_stays() -> None:
    check_slope(lambda x: tj.where(x >= 0, tj.sqrt(x), 0), POINTS, [0.0, INF, 0.25])


def test_an_unguarded_path_beside_a_guarded_one_leaks() -> None:
    """The zero is no mask: 0 * sqrt'(0) is 0 * inf."""

    def f(x: Any) -> Any:
        root = tj.sqrt(x)
        return tj.where(x > 0, root, 0) + 0.0 * root

    check_slope(f, [0.0, 4.0], [NAN, 0.25])


def test_nan_takes_the_branch_that_its_comparison_says() -> None:
    check_slope(lambda x: tj.where(x > 0, tj.sqrt(x), 0), NAN, 0.0)
    check_slope(lambda x: tj.where(x <= 0, 0, tj.sqrt(x)), NAN, NAN)


def test_intermediate_sources_behind_a_mask() -> None:
    x = tj.constant(POINTS)
    with tj.GradientTape() as tape:
        tape.watch(x)
        root = tj.sqrt(x)
        y = tj.where(x > 0, root * 2, 0)
    by_root, by_x = tape.gradient(y, [root, x])
    np.testing.assert_array_equal(by_root.numpy(), [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(by_x.numpy(), [0.0, 0.0, 0.5])


def test_a_masked_node_that_is_a_target_itself() -> None:
    x = tj.constant(POINTS)
    with tj.GradientTape() as tape:
        tape.watch(x)
        root = tj.sqrt(x)
        y = tj.where(x > 0, root, 0)
    found = tape.gradient([y, root], x).numpy()
    np.testing.assert_array_equal(found, [NAN, INF, 0.5])


def test_weights_behind_a_mask() -> None:
    x = tj.constant(POINTS)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.where(x > 0, tj.sqrt(x), 0)
    np.testing.assert_array_equal(tape.gradient(y, x, output_gradients=[INF, NAN, 2.0]).numpy(), [0.0, 0.0, 0.5])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_masks_keep_the_dtype(dtype: str) -> None:
    x = tj.constant(POINTS.astype(dtype))
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.where(x > 0, tj.reshape(tj.sqrt(x), (3, 1)).T[0], 0)
    ct = tape.gradient(y, x)
    assert ct.dtype == dtype
    np.testing.assert_array_equal(ct.numpy(), [0.0, 0.0, 0.25])
