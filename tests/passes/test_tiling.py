"""Which products are made of register tiles, and that the text of a kernel says so."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.passes.tiling import in_tiles
from tests.agreement import trace

FLOAT = np.dtype(np.float32)


@pytest.mark.parametrize(
    ("shape", "right_transposed", "expected"),
    [
        ((64, 128, 64), False, True),
        ((64, 128, 64), True, True),
        ((256, 256, 256), True, True),
        ((512, 512, 512), False, True),
        ((640, 512, 512), False, False),  # large
        ((100_000, 10, 64), False, True),  # large, but narrow
        ((2, 512, 512), False, True),
        ((2, 512, 512), True, False),  # a copy of the right matrix for two rows
        ((64, 64, 2000), False, True),
        ((64, 64, 2000), True, False),  # no space for the copy
    ],
)
def test_the_choice_follows_lengths(shape: tuple[int, int, int], right_transposed: bool, expected: bool) -> None:
    assert in_tiles(shape, FLOAT, right_transposed=right_transposed) is expected
    assert not in_tiles(shape, np.dtype(np.int64), right_transposed=right_transposed)


def test_products_of_wide_numbers_are_large_earlier() -> None:
    assert in_tiles((400, 400, 400), np.dtype(np.float64))
    assert not in_tiles((512, 512, 512), np.dtype(np.float64))


def source(function: Any, *shapes: tuple[int, ...]) -> str:
    rng = np.random.default_rng(0)
    return trace(function, [rng.normal(size=shape).astype(FLOAT) for shape in shapes]).emitted().source


def test_large_products_are_left_to_the_library() -> None:
    assert "gemm_" in source(tj.matmul, (600, 500), (500, 700))
    assert "gemm_" not in source(tj.matmul, (30, 40), (40, 50))
    assert "gemm_" not in source(lambda x, y: x @ tj.matrix_transpose(y), (30, 40), (50, 40))
    assert "gemm_" in source(lambda x, y: x @ tj.matrix_transpose(y), (30, 2000), (50, 2000))


def test_tiny_products_are_loops() -> None:
    for name in ("gemm_", "product_", "dot_"):
        assert name not in source(tj.matmul, (8, 8), (8, 8))
