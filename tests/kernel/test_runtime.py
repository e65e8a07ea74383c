"""What kernels' texts may name, run as plain Python."""

import traceback
import warnings

import numpy as np
import pytest

from tapejit.kernel import runtime
from tapejit.ops.philox import random_words

NAMES = runtime.NAMES


@pytest.mark.parametrize("dtype", runtime.DTYPES)
def test_a_pointer_reads_and_writes_its_dtype(dtype: str) -> None:
    cells = np.array([0, 1, 1], dtype)
    pointer = NAMES[f"{dtype}_at"](np.array([7, cells.ctypes.data]), 1)
    assert type(pointer[1]) is np.dtype(dtype).type
    pointer[0] = pointer[2]
    NAMES["shifted"](pointer, 1)[0] = np.float64(0)
    assert cells.tolist() == [1, 0, 1]


def test_a_write_rounds_and_wraps_as_memory_does() -> None:
    small, narrow = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    runtime.Pointer(small.ctypes.data, "float32")[0] = np.float64(0.1)
    runtime.Pointer(narrow.ctypes.data, "uint8")[0] = np.int64(257)
    assert small[0] == np.float32(0.1)
    assert narrow[0] == 1


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        ("int8", 300.0, 44), ("uint8", -1.0, 255), ("int32", 1e20, 2**31 - 1), ("int64", np.nan, 0),
        ("int64", -np.inf, -(2**63)), ("uint64", 1.8e19, 18 * 10**18), ("uint64", -1.0, 2**64 - 1),
        ("bool_", np.nan, True), ("float32", 0.1, np.float32(0.1)), ("int16", np.int64(70_000), 4464),
    ],
)  # fmt: skip
def test_casts_at_the_hard_points(target: str, value: float, expected: float) -> None:
    assert NAMES[target](np.float64(value) if isinstance(value, float) else value) == expected


def test_sigmoid_and_softplus_hold_at_both_ends() -> None:
    values = np.float64([-1e4, -745.0, 0.0, 1e4, np.nan])
    assert [float(runtime.sigmoid(x)) for x in values[:4]] == pytest.approx([0, np.exp(-745.0), 0.5, 1])
    assert [float(runtime.softplus(x)) for x in values[:4]] == pytest.approx([0, np.exp(-745.0), np.log(2), 1e4])
    assert np.isnan(runtime.sigmoid(values[4]))
    assert np.isnan(runtime.softplus(values[4]))


@pytest.mark.parametrize(
    ("x", "exponent", "expected"),
    [(3, 4, 81), (2, -1, 0), (1, -5, 1), (-1, -5, -1), (-1, -4, 1), (0, -1, 0), (0, 0, 1)],
)
def test_integer_powers_are_exact_and_never_raise(x: int, exponent: int, expected: int) -> None:
    assert runtime.power(np.int64(x), np.int64(exponent)) == expected


def test_random_words_are_those_of_the_definition() -> None:
    key, counter = 2**63 + 5, 2**64 - 2  # the counter wraps behind two blocks
    for bits in (32, 64):
        words = random_words(key, counter, 17, np.dtype(f"uint{bits}"))
        found = [runtime.philox_word(np.uint64(key), np.uint64(counter), index, bits) for index in range(17)]
        assert {type(word) for word in found} == {np.uint64}
        assert found == words.tolist()


def test_a_stage_gets_its_part() -> None:
    assert runtime.span(runtime.RUN_ALL, 1, 2, 3, 9) == (0, 9)
    assert runtime.span(1, 1, 2, 3, 9) == (2, 3)
    assert runtime.span(0, 1, 2, 3, 9) == (0, 0)


def test_an_empty_matrix_product_is_zero() -> None:
    c = np.full((2, 3), np.nan)
    pointer = runtime.Pointer(c.ctypes.data, "float64")
    runtime.gemm_float64(0, 0, 0, 2, 3, 0, pointer, 1, pointer, 3, pointer, 3)
    assert not c.any()


def test_a_traceback_shows_the_text() -> None:
    source = "def broken(table, stage, lo, hi):\n    return missing_name + 1\n"
    with pytest.raises(NameError) as caught:
        runtime.plain(source, "broken", {})(np.zeros(1, np.int64), -1, 0, 0)
    assert "return missing_name + 1" in "".join(traceback.format_exception(caught.value))


def test_a_plain_run_is_silent_about_overflow_and_division() -> None:
    source = "def loud(table, stage, lo, hi):\n    x = one / zero + exp(big)\n    return OK\n"
    constants = {"one": np.float32(1), "zero": np.float32(0), "big": np.float32(1e4)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runtime.plain(source, "loud", constants)(np.zeros(1, np.int64), -1, 0, 0) == runtime.OK
