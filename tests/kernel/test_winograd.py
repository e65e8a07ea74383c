"""Convolutions by Winograd's transforms: numbers against the definition, derivatives, both emitters, other targets."""

import pytest

from tests.agreement import check_agreement
from tests.kernel.test_convolutions import Shape, convolution, drawn
from tests.kernel.test_epilogue import both_emitters
from tests.kernel.test_targets import build_for  # noqa: F401 - a fixture

SHAPES = {
    "even": Shape((2, 12, 14, 16), (3, 3, 16, 16)),
    "odd": Shape((2, 11, 11, 16), (3, 3, 16, 24)),
    "tall": Shape((1, 31, 8, 17), (3, 3, 17, 33)),
    "wide": Shape((1, 8, 70, 20), (3, 3, 20, 16)),
    "many channels": Shape((1, 11, 12, 70), (3, 3, 70, 40)),
}
EMITTED = ("odd",)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_gradients(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES[name]
    arguments = drawn(shape, dtype)
    traced, _ = check_agreement(convolution(shape), arguments, plain=False, scale=300)
    assert "winograd_conv_" in traced.emitted().source
    assert "winograd_by_kernel_" in traced.emitted().source
    if dtype == "float32" and name in EMITTED:
        both_emitters(traced, arguments, monkeypatch)


def test_the_text_as_plain_python() -> None:
    shape = Shape((1, 11, 11, 8), (3, 3, 8, 8))
    check_agreement(convolution(shape), drawn(shape, "float64"), plain=True, scale=300)
