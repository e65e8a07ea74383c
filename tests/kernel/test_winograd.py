"""Convolutions by Winograd's transforms: numbers against the definition, derivatives, when they are chosen."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel.winograd_shape import apart, block_of_rows, rows_at_once
from tapejit.ops.winograd import tiles_along
from tapejit.primitive import in_role
from tests.agreement import assert_close, check_agreement, trace
from tests.kernel.test_convolutions import Shape, convolution, drawn
from tests.kernel.test_epilogue import both_emitters
from tests.kernel.test_outline import results
from tests.kernel.test_targets import build_for  # noqa: F401 - a fixture

SHAPES = {
    "even": Shape((2, 12, 14, 16), (3, 3, 16, 16)),
    "odd": Shape((2, 11, 11, 16), (3, 3, 16, 24)),
    "tall": Shape((1, 31, 8, 17), (3, 3, 17, 33)),
    "wide": Shape((1, 8, 70, 20), (3, 3, 20, 16)),
    "many channels": Shape((1, 11, 12, 70), (3, 3, 70, 40)),
}


@pytest.mark.parametrize(("name", "dtype"), [*[(name, "float32") for name in SHAPES], ("odd", "float64")])
def test_values_and_gradients(name: str, dtype: str) -> None:
    shape = SHAPES[name]
    traced, _ = check_agreement(convolution(shape), drawn(shape, dtype), plain=False, scale=300)
    source = traced.emitted().source
    assert source.count("winograd_conv_") == 2
    assert source.count("winograd_by_kernel_") == 1
    assert "dot_" not in source


def test_both_emitters_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = drawn(SHAPES["odd"], "float32")
    both_emitters(trace(convolution(SHAPES["odd"]), arguments), arguments, monkeypatch)


def test_the_text_as_plain_python() -> None:
    shape = Shape((1, 11, 11, 8), (3, 3, 8, 8))
    check_agreement(convolution(shape), drawn(shape, "float64"), plain=True, scale=300)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
def test_other_targets(level: str, build_for: Callable[[str], None]) -> None:  # noqa: F811 - the fixture
    arguments = drawn(SHAPES["odd"], "float32")
    traced = trace(convolution(SHAPES["odd"]), arguments)
    native = results(traced, arguments)
    build_for(level)
    for found, expected in zip(results(traced, arguments), native, strict=True):
        assert_close(found, expected, level, 300)


def test_the_derivative_by_a_kernel_is_the_one_by_its_definition() -> None:
    x, ct = (np.random.default_rng(3).normal(size=shape) for shape in ((2, 9, 12, 3), (2, 7, 10, 5)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    expected = np.einsum("bijcyx,bijd->byxcd", windows, ct)
    np.testing.assert_allclose(
        in_role("winograd_by_kernel")(*map(tj.asarray, (x, ct))), expected, rtol=1e-10, atol=1e-12
    )


# How exact it is


def wide(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of many sizes."""
    return (rng.normal(size=shape) * 10 ** rng.uniform(-3, 3, shape)).astype(np.float32)


@pytest.mark.parametrize("draw", [wide, lambda rng, *shape: rng.normal(size=shape).astype(np.float32)])
def test_rounding_errors_are_those_of_the_definition(draw: Callable[..., np.ndarray]) -> None:
    """In units of the last place of the largest product that an element is the sum of, times the terms."""
    rng = np.random.default_rng(4)
    x, kernel = draw(rng, 2, 14, 14, 32), draw(rng, 3, 3, 32, 32)
    exact = tj.conv(x.astype(np.float64), kernel.astype(np.float64)).numpy()
    absolute = tj.conv(np.abs(x).astype(np.float64), np.full(kernel.shape, np.abs(kernel).max(), np.float64)).numpy()
    found = tj.compile(tj.conv, strict=True)(x, kernel).numpy()
    assert (np.abs(found - exact) / absolute).max() < 4 * np.finfo(np.float32).eps


def test_small_whole_numbers_are_exact() -> None:
    x, kernel = (np.random.default_rng(5).integers(-4, 5, shape) for shape in ((2, 11, 10, 16), (3, 3, 16, 16)))
    found = tj.compile(tj.conv, strict=True)(x.astype(np.float32), kernel.astype(np.float32))
    np.testing.assert_array_equal(found, tj.conv(x, kernel))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_place_changes_no_result_that_it_is_not_in(value: float) -> None:
    x, kernel = drawn(Shape((1, 11, 11, 8), (3, 3, 8, 8)), "float32")
    step = tj.compile(lambda x, kernel: tj.conv(x, kernel) * 1.0, strict=True)
    before = step(x, kernel).numpy()
    for row, column in ((0, 0), (4, 5), (5, 4), (8, 9), (10, 10)):
        changed = x.copy()
        changed[0, row, column, 3] = value
        after = step(changed, kernel).numpy()
        inside = np.zeros((9, 9), bool)
        inside[max(row - 2, 0) : row + 1, max(column - 2, 0) : column + 1] = True
        np.testing.assert_array_equal(after[0, ~inside], before[0, ~inside])
        assert not np.array_equal(after[0, inside], before[0, inside])


# When it is chosen


def source(shape: Shape, dtype: Any = np.float32) -> str:
    return trace(convolution(shape), drawn(shape, dtype)).emitted().source


@pytest.mark.parametrize(
    ("shape", "forward", "by_kernel"),
    [
        (Shape((2, 12, 12, 8), (3, 3, 8, 8)), True, True),
        (Shape((2, 12, 12, 7), (3, 3, 7, 8)), False, False),
        (Shape((2, 12, 12, 8), (3, 3, 8, 7)), False, False),
        (Shape((2, 9, 9, 16), (3, 3, 16, 16)), True, False),  # 16 tiles are too few to add up
        (Shape((2, 5, 30, 16), (3, 3, 16, 16)), True, True),
        (Shape((2, 3, 70, 16), (3, 3, 16, 16)), True, False),  # forward half of each tile would stick out
        (Shape((2, 12, 12, 8), (3, 2, 8, 8)), False, False),
        (Shape((2, 12, 12, 8), (3, 3, 8, 8), 2), False, False),
        (Shape((2, 12, 12, 8), (3, 3, 8, 8), 1, 2), False, False),
        (Shape((2, 40, 8), (3, 8, 8)), False, False),
        (Shape((0, 12, 12, 8), (3, 3, 8, 8)), False, False),
    ],
)
def test_the_choice_follows_lengths(shape: Shape, forward: bool, by_kernel: bool) -> None:
    text = source(shape)
    assert ("winograd_conv_" in text) is forward
    assert ("winograd_by_kernel_" in text) is by_kernel


def test_a_setting_chooses_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_WINOGRAD", "0")
    assert "winograd" not in source(SHAPES["even"])


def test_channels_that_are_no_neighbours_are_copied() -> None:
    def first(x: Any, kernel: Any) -> Any:
        return tj.conv(tj.permute_dims(x, (0, 2, 3, 1)), kernel)

    x, kernel = (np.random.default_rng(6).normal(size=shape) for shape in ((2, 8, 10, 11), (3, 3, 8, 9)))
    check_agreement(first, [x, kernel], plain=True, scale=300)


def test_padding_is_written_where_the_input_is_computed() -> None:
    def layer(x: Any, kernel: Any) -> Any:
        return tj.conv(tj.relu(x), kernel, padding="same")

    x, kernel = drawn(Shape((3, 12, 14, 16), (3, 3, 16, 16)), "float32")
    traced, _ = check_agreement(layer, [x, kernel], plain=False, scale=300)
    text = traced.emitted().source
    assert " if " not in text.partition("first, last")[2], text  # nothing asks for each element where it is
    assert traced.plan().loop_nests() == 1
    assert traced.plan().workspace < 17 * 16 * 16 * 4  # of the padded input there is one example at a time


@pytest.mark.parametrize("size", [(2, 2), (7, 9), (24, 24), (5, 300), (301, 6)])
def test_blocks_of_rows_cover_all_rows_within_their_scratch(size: tuple[int, int]) -> None:
    count = tiles_along(size[0])
    for (c, d), dtype in itertools.product(((8, 8), (64, 16), (300, 200)), ("float32", "float64")):
        assert 1 <= rows_at_once(*size, c, d, dtype) <= count
        assert 1 <= block_of_rows(*size, c, d, dtype) <= count
    assert apart(100, "float32") == 112
    assert apart(256, "float32") == 272
