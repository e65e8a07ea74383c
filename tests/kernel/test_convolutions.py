"""Convolutions in register tiles: numbers against NumPy's, derivatives, what is fused into the tiles, other targets."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapejit as tj
from tests.agreement import Function, assert_close, check_agreement, trace
from tests.kernel.test_epilogue import both_emitters
from tests.kernel.test_outline import results
from tests.kernel.test_targets import build_for  # noqa: F401 - a fixture


class Shape(NamedTuple):
    """A convolution: shapes of the input and of the kernel, strides, dilations."""

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: Any = 1
    dilations: Any = 1


SHAPES = {
    "one channel": Shape((2, 9, 8, 1), (3, 3, 1, 16)),
    "channels": Shape((2, 9, 12, 5), (3, 2, 5, 17)),
    "a row": Shape((3, 40, 4), (5, 4, 8)),
    "space": Shape((2, 5, 6, 7, 3), (2, 3, 2, 3, 8)),
    "strides": Shape((2, 11, 12, 3), (3, 3, 3, 8), (2, 3)),
    "dilations": Shape((2, 11, 12, 3), (3, 2, 3, 8), 1, (2, 3)),
    "both": Shape((2, 16, 13, 3), (3, 2, 3, 9), (2, 1), (2, 3)),
    "no kernel to speak of": Shape((2, 6, 6, 8), (1, 1, 8, 16)),
    "as large as the kernel": Shape((20, 4, 4, 5), (4, 4, 5, 8)),
    "many channels": Shape((1, 6, 6, 130), (3, 3, 130, 40)),
    "few columns": Shape((2, 10, 10, 4), (3, 3, 4, 2)),
    "a long sum": Shape((3, 24, 25, 3), (3, 3, 3, 8)),
    "one place": Shape((1, 3, 3, 40), (3, 3, 40, 30)),
    "no examples": Shape((0, 9, 8, 2), (3, 3, 2, 16)),
}
SMALL = {
    "space": Shape((2, 6, 5, 2), (3, 2, 2, 5)),
    "strides": Shape((1, 7, 6, 1), (2, 2, 1, 6), 2),
}
EMITTED = ("channels", "both", "a long sum")


def drawn(shape: Shape, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(len(shape.x))
    return [rng.normal(size=each).astype(dtype) for each in (shape.x, shape.kernel)]


def convolution(shape: Shape) -> Function:
    def with_gradients(x: Any, kernel: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, kernel])
            out = tj.conv(x, kernel, strides=shape.strides, dilations=shape.dilations)
            total = tj.sum(out * tj.cos(out))
        return out, *tape.gradient(total, [x, kernel])

    return with_gradients


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_gradients(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES[name]
    arguments = drawn(shape, dtype)
    traced, _ = check_agreement(convolution(shape), arguments, plain=False, scale=300)
    if dtype == "float32" and name in EMITTED:
        both_emitters(traced, arguments, monkeypatch)


@pytest.mark.parametrize("name", SMALL)
def test_the_text_as_plain_python(name: str) -> None:
    shape = SMALL[name]
    check_agreement(convolution(shape), drawn(shape, "float64"), plain=True, scale=300)
