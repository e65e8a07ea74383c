"""What holds for every function of `kernel.mathlib`: the same bits from every form, vector instructions, no libm."""

import re

import llvmlite.binding as llvm
import numpy as np
import pytest

from tapejit.kernel import assembly, build, targets
from tapejit.kernel.mathlib import linking
from tapejit.kernel.mathlib.functions import FUNCTIONS
from tests.kernel.mathlib.accuracy import DTYPES, compiled, every_exponent, in_lanes, special_numbers

EACH = [(name, dtype) for name in sorted(FUNCTIONS) for dtype in DTYPES]
needs_avx512 = pytest.mark.skipif(
    not {"+avx512f", "+avx512vl", "+avx512dq"} <= set(targets.target_cpu()[1].split(",")), reason="for AVX-512"
)


def operands(name: str, dtype: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Arguments of all sizes, special ones among them, and ordinary ones; a multiple of 16."""
    special = special_numbers(dtype)
    arity = FUNCTIONS[name].arity
    grids = [grid.ravel() for grid in np.meshgrid(*[special] * arity)]
    ordinary = rng.normal(size=(arity, 500)) * rng.choice([0.01, 0.3, 1, 10, 300], (arity, 500))
    columns = [
        np.concatenate([grid, every_exponent(dtype, 500, rng), several.astype(dtype)])
        for grid, several in zip(grids, ordinary, strict=True)
    ]
    return [np.concatenate([column, column[: -column.size % 16]]) for column in columns]


def assert_same_numbers(left: np.ndarray, right: np.ndarray) -> None:
    """The same bits; any NaN for NaN."""
    kind = np.int32 if left.dtype == np.float32 else np.int64
    differ = (left.view(kind) != right.view(kind)) & ~(np.isnan(left) & np.isnan(right))
    assert not differ.any(), (left[differ], right[differ])


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_every_form_gives_the_same_bits(name: str, dtype: str, rng: np.random.Generator) -> None:
    given = operands(name, dtype, rng)
    expected = compiled(name, dtype)(*given)
    for lanes in (1, *linking.WIDTHS):
        assert_same_numbers(in_lanes(name, dtype, lanes)(*given), expected)


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_a_part_of_an_array_gives_the_same_bits(name: str, dtype: str, rng: np.random.Generator) -> None:
    given = [operand[:100] for operand in operands(name, dtype, rng)]
    expected = compiled(name, dtype)(*given)
    for count in (1, 3, 9, 31):
        assert_same_numbers(compiled(name, dtype)(*[operand[:count].copy() for operand in given]), expected[:count])


@needs_avx512
@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_loops_are_vector_instructions(name: str, dtype: str) -> None:
    built = compiled(name, dtype).built
    assert built.symbols == ()
    text = built.assembly()
    assert re.search(rf"vf?n?madd\w+p{'s' if dtype == 'float32' else 'd'}\s.*%zmm", text)
    assert linking.PREFIX not in text


@needs_avx512
@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_a_cpu_without_masks_gives_the_same_bits(
    name: str, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = operands(name, dtype, rng)
    expected = compiled(name, dtype)(*given)
    monkeypatch.setenv("TAPEJIT_CPU", "x86-64-v3")
    _forget()
    try:
        narrow = compiled.__wrapped__(name, dtype)
    finally:
        monkeypatch.undo()
        _forget()
    assert narrow.built.symbols == ()
    text = narrow.built.assembly()
    assert "zmm" not in text
    assert re.search(r"vf?n?madd\w+p[sd]\s.*%ymm", text)
    assert_same_numbers(narrow(*given), expected)


def _forget() -> None:
    targets.target_cpu.cache_clear()
    assembly._compiler.cache_clear()


def test_the_names_of_kernels_are_these_functions() -> None:
    resolvers = build._prepared().resolvers
    assert set(FUNCTIONS) <= set(resolvers)


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_functions_can_be_written_for_another_architecture(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapejit.kernel.mathlib.native.target_cpu", lambda: ("generic", "+neon"))
    monkeypatch.setattr(linking, "target_cpu", lambda: ("generic", "+neon"))
    suffix, lanes = ("f32", 4) if dtype == "float32" else ("f64", 2)
    symbol = f"{linking.PREFIX}{name}_v{lanes}{suffix}"
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(cpu="generic", opt=2)
    texts = {found: llvm.parse_assembly(text) for found, text in linking.definitions([symbol]).items()}
    text = machine.emit_assembly(texts[symbol])
    assert re.search(rf"fmla\s+v\d+\.{lanes}", text)
    called = set(re.findall(r"\bbl\s+(\w+)", text))
    assert called <= texts.keys() | {line.name for line in texts[symbol].functions if not line.is_declaration}
