"""Kernels for other CPUs than this one, from the same generator: levels of x86-64 that this machine has as well."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tapejit import config
from tapejit.kernel import assembly, build, objects, targets
from tapejit.kernel.kernels import compilations
from tests.agreement import assert_close, trace
from tests.kernel.test_outline import results
from tests.programs import PROGRAMS, STEPS

NAMES = (
    "softmax_rows", "cross_entropy", "layer_norm", "black_scholes", "larger_product", "product_of_strided",
    "larger_batched_product", "products_with_vectors", "joined", "softmax_regression",
)  # fmt: skip
WIDER = {"x86-64-v2": ("ymm", "zmm", "vfmadd"), "x86-64-v3": ("zmm",), "x86-64-v4": ()}
ROW = """
def apply(table, stage, lo, hi):
    x = float32_at(table, 0)
    y = float32_at(table, 1)
    for i in range(1003):
        y[i] = exp(x[i]) * x[i]
    return OK
"""


def _forget() -> None:
    targets.target_cpu.cache_clear()
    assembly._compiler.cache_clear()


@pytest.fixture
def build_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A function that says what kernels are built for."""

    def choose(level: str) -> None:
        monkeypatch.setenv("TAPEJIT_CPU", level)
        _forget()
        try:
            targets.target_cpu()
        except ValueError as error:
            pytest.skip(str(error))

    yield choose
    monkeypatch.undo()
    _forget()


@pytest.mark.parametrize("level", WIDER)
def test_no_wider_instructions_than_the_target_has(level: str, build_for: Callable[[str], None]) -> None:
    build_for(level)
    built = build.build(ROW, "apply", "kernel", {})
    text = built.assembly()
    assert not [register for register in WIDER[level] if register in text]
    kernel = objects.load(built.code, "kernel", built.symbols)
    x, y = np.linspace(-5, 5, 1003, dtype=np.float32), np.zeros(1003, np.float32)
    table = np.array([x.ctypes.data, y.ctypes.data])
    assert kernel.call(table.ctypes.data, -1, 0, 0) == 0
    np.testing.assert_allclose(y, np.exp(x) * x, rtol=1e-6)


@pytest.mark.parametrize("level", [level for level in WIDER if level != "x86-64-v4"])
@pytest.mark.parametrize("name", NAMES)
def test_programs_compute_the_same_for_every_target(name: str, level: str, build_for: Callable[[str], None]) -> None:
    program = {**PROGRAMS, **STEPS}[name]
    function = program.gradient() if program.differentiable and name in PROGRAMS else program.bound()
    arguments = program.draw(3)
    traced = trace(function, arguments)
    native = results(traced, arguments)
    build_for(level)
    before = compilations()
    again = results(traced, arguments)
    assert compilations() == before + 1
    for found, expected in zip(again, native, strict=True):
        # Terms of a product are rounded once or twice, so that what is left of large ones differs by their last bits.
        assert_close(found, expected, level)


def test_a_level_that_this_cpu_does_not_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, build_for: Callable[[str], None]
) -> None:
    build_for("native")
    monkeypatch.setattr(targets, "host_cpu", lambda: ("x86-64", "+sse2"))
    monkeypatch.setenv("TAPEJIT_CPU", "x86-64-v3")
    targets.target_cpu.cache_clear()
    with pytest.raises(ValueError, match=r"TAPEJIT_CPU is x86-64-v3, but this CPU has no .*avx2"):
        targets.target_cpu()


def test_an_unknown_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_CPU", "pentium")
    with pytest.raises(ValueError, match=r"TAPEJIT_CPU must be one of native, x86-64-v2, .*, got 'pentium'"):
        config.cpu()
