"""`searchsorted` and `digitize`: NumPy's places for every dtype, and the binary search of kernels."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel import sorting
from tests.agreement import check_agreement
from tests.ops.test_sorting import drawn

LENGTHS = (0, 1, 2, 3, 31, 1000)
COUNTS = (0, 1, sorting.TOGETHER - 1, sorting.TOGETHER, 2 * sorting.TOGETHER + 5)


@pytest.mark.parametrize("dtype", ["bool", "uint64", "float32"])
def test_kernels_find_the_places_that_numpy_finds(dtype: str) -> None:
    rows = [np.sort(drawn(dtype, length)) for length in LENGTHS]
    values = [drawn(dtype, count) for count in COUNTS]

    def all_of_them(*arrays: Any) -> list[Any]:
        return [
            tj.searchsorted(x, v, side=side)
            for x in arrays[: len(rows)]
            for v in arrays[len(rows) :]
            for side in ("left", "right")
        ]

    _, executable = check_agreement(all_of_them, [*rows, *values], plain=False)
    expected = [np.searchsorted(x, v, side) for x in rows for v in values for side in ("left", "right")]  # type: ignore[call-overload]
    for found, places in zip(executable([*rows, *values]), expected, strict=True):
        np.testing.assert_array_equal(found.numpy(), places)


def test_through_views_and_in_plain_python() -> None:
    x = np.sort(np.random.default_rng(0).normal(size=(2, 9)), axis=1)

    def function(x: Any, v: Any) -> list[Any]:
        return [tj.searchsorted(x[1, ::2], v.T[::-1]), tj.digitize(v, x[0, ::-1], right=True)]

    check_agreement(function, [x, np.random.default_rng(1).normal(size=(3, 7))])


def test_a_batch_of_rows() -> None:
    x = np.sort(np.random.default_rng(2).normal(size=(4, 6)), axis=1)
    v = np.random.default_rng(3).normal(size=(4, 5))
    expected = [np.searchsorted(*pair) for pair in zip(x, v, strict=True)]
    np.testing.assert_array_equal(tj.vmap(tj.searchsorted)(x, v).numpy(), expected)
    np.testing.assert_array_equal(tj.compile(tj.vmap(tj.searchsorted), strict=True)(x, v).numpy(), expected)
