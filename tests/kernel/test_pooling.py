"""Pooling and convolutions of each channel by itself: derivatives by hand, and what kernels make of them."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.agreement import check_agreement, trace

POOLS = {
    "windows side by side": ((2, 8, 10, 3), (2, 2), None, "valid"),
    "places left over": ((2, 9, 11, 3), (2, 3), None, "valid"),
    "overlapping": ((2, 9, 8, 3), (3, 3), (2, 1), "same"),
    "places between": ((2, 11, 9, 3), (2, 2), (3, 4), "valid"),
    "a row": ((2, 17, 3), (4,), (3,), "same"),
}


def gradient(function: Any, x: Any, ct: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch(x)
        out = function(x)
    return tape.gradient(out, x, output_gradients=ct)


def largest_by_hand(x: np.ndarray, ct: np.ndarray, size: tuple[int, int], strides: tuple[int, int]) -> np.ndarray:
    """Each cotangent goes to the first largest element of its window."""
    expected = np.zeros_like(x)
    for b, i, j, c in np.ndindex(*ct.shape):
        window = x[b, i * strides[0] :, j * strides[1] :, c][: size[0], : size[1]]
        row, column = np.unravel_index(np.argmax(window), window.shape)
        expected[b, i * strides[0] + row, j * strides[1] + column, c] += ct[b, i, j, c]
    return expected


@pytest.mark.parametrize(("size", "strides"), [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((2, 3), (4, 3))])
def test_the_first_largest_element_gets_the_cotangent(size: tuple[int, int], strides: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, 9, 8, 2)).astype(np.float32)  # with many ties
    x[0, 2, 3, 0] = np.nan  # which argmax takes for the largest, too
    pool = lambda x: tj.max_pool(x, size, strides)  # noqa: E731 - with its numbers
    ct = rng.normal(size=pool(tj.asarray(x)).shape).astype(np.float32)
    found = gradient(pool, tj.asarray(x), ct)
    np.testing.assert_allclose(found, largest_by_hand(x, ct, size, strides), rtol=1e-6)
    np.testing.assert_array_equal(tj.compile(gradient, strict=True)(pool, tj.asarray(x), ct), found)


@pytest.mark.parametrize("name", POOLS)
def test_kernels_agree(name: str) -> None:
    shape, size, strides, padding = POOLS[name]
    x = np.random.default_rng(1).normal(size=shape)

    def both(x: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(x)
            largest, mean = (pool(x, size, strides, padding) for pool in (tj.max_pool, tj.average_pool))
            total = tj.sum(largest * tj.sin(mean))
        return largest, mean, tape.gradient(total, x)

    check_agreement(both, [x], plain=len(shape) == 3)


@pytest.mark.parametrize(("strides", "dilations"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((2, 1), (2, 3))])
def test_convolutions_of_each_channel_agree(strides: tuple[int, int], dilations: tuple[int, int]) -> None:
    x, kernel = (np.random.default_rng(2).normal(size=shape) for shape in ((2, 9, 10, 3), (3, 2, 3, 2)))

    def with_gradients(x: Any, kernel: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, kernel])
            out = tj.depthwise_conv(x, kernel, strides, "valid", dilations)
            total = tj.sum(out * tj.cos(out))
        return out, *tape.gradient(total, [x, kernel])

    check_agreement(with_gradients, [x, kernel], plain=False, scale=30)


def test_a_layer_and_its_gradient_go_from_example_to_example() -> None:
    def layer(x: Any, kernel: Any, bias: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([kernel, bias])
            pooled = tj.max_pool(tj.relu(tj.conv(x, kernel) + bias), 2)
            total = tj.sum(pooled * pooled)
        return tape.gradient(total, [kernel, bias])

    arguments = [np.zeros(shape, np.float32) for shape in ((8, 14, 15, 3), (3, 3, 3, 8), (8,))]
    traced = trace(layer, arguments)
    nests, text, plan = traced.plan().loop_nests(), traced.emitted().source, traced.plan()
    size, convolution = plan.workspace + plan.scratch, 8 * 12 * 13 * 8 * 4
    assert nests <= 3
    assert " if " not in text.replace("if stage", "")  # nothing asks where an element is
    assert size < 2.5 * convolution  # the convolution and its cotangent, and what there is of one example


def test_what_sums_ask_for_at_many_places_is_stored() -> None:
    def by_kernel(x: Any, kernel: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(kernel)
            out = tj.depthwise_conv(x, kernel, padding="same")
        return tape.gradient(out, kernel)

    text = trace(by_kernel, [np.zeros((4, 9, 9, 8), np.float32), np.zeros((3, 3, 8, 1), np.float32)]).emitted().source
    assert " if " not in "".join(line for line in text.splitlines() if "accumulate" in line or "pad" in line)
