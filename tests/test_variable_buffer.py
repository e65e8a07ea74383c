"""A variable's buffer is what kernels address: contiguous and aligned, whatever array it was given."""

from collections.abc import Callable

import numpy as np
import pytest

import tapejit as tj

BASE = np.arange(12, dtype=np.float32).reshape(3, 4)
UNALIGNED = np.frombuffer(b"\0" + BASE.tobytes(), np.float32, offset=1).reshape(3, 4)

STRIDED: dict[str, Callable[[], object]] = {
    "broadcast": lambda: tj.zeros((3, 4)),
    "full": lambda: tj.full((3, 4), 2.5),
    "transposed": lambda: tj.constant(BASE.reshape(4, 3)).T,
    "reversed": lambda: tj.constant(BASE)[::-1],
    "sliced": lambda: tj.constant(np.arange(24, dtype=np.float32).reshape(3, 8))[:, ::2],
    "unaligned": lambda: tj.constant(UNALIGNED),
}


@pytest.mark.parametrize("name", STRIDED)
@pytest.mark.parametrize("way", ["made of", "assigned"])
def test_a_compiled_step_reads_and_writes_it(name: str, way: str) -> None:
    value = STRIDED[name]()
    if way == "made of":
        w = tj.Variable(value)
    else:
        w = tj.Variable(np.full((3, 4), np.nan, np.float32))
        w.assign(value)
    expected = np.asarray(value).copy()

    @tj.compile(strict=True)
    def double():
        w.assign(w * 2)
        return w + 1

    assert w.buffer.flags.c_contiguous
    assert w.buffer.flags.aligned
    np.testing.assert_array_equal(double().numpy(), 2 * expected + 1)
    np.testing.assert_array_equal(w.numpy(), 2 * expected)
    np.testing.assert_array_equal(np.asarray(value), expected)
