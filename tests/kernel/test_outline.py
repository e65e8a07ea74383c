"""The two emitters: straight lines as LLVM instructions, and the readable source compiled by Numba as it stands."""

import ast

import numpy as np
import pytest
from numba.core.errors import NumbaError

from tapejit.kernel import build
from tapejit.kernel.build import _prepared
from tapejit.kernel.executable import Executable
from tapejit.kernel.hints import ENORMOUS_BODY, LARGE_BODY
from tapejit.kernel.kernels import kernel_for
from tapejit.kernel.outline import STRAIGHT, Outline, outline
from tapejit.kernel.straight import TextError
from tests.agreement import Traced, trace
from tests.programs import PROGRAMS, STEPS, Program

HALF = {"half": np.float32(0.5)}


def results(traced: Traced, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs and new values of variables from a fresh kernel; the variables are as they were afterwards."""
    before = [variable.numpy().copy() for variable in traced.variables]
    kernel = kernel_for(traced.graph, "program", traced.names(), cache=False)
    run = Executable(kernel, traced.graph, traced.variables, traced.captures, traced.numbers)
    found = [tensor.numpy() for tensor in run(arguments)]
    found += [variable.numpy().copy() for variable in traced.variables]
    for variable, value in zip(traced.variables, before, strict=True):
        variable.assign(value)
    return found


@pytest.mark.parametrize("program", [*PROGRAMS.values(), *STEPS.values()], ids=lambda program: program.name)
def test_both_emitters_give_the_same_bits(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    has_gradient = program.differentiable and program.name in PROGRAMS
    function = program.gradient() if has_gradient else program.bound()
    arguments = program.draw(3)
    traced = trace(function, arguments)
    monkeypatch.setenv("TAPEJIT_EMIT", "instructions")
    as_instructions = results(traced, arguments)
    monkeypatch.setenv("TAPEJIT_EMIT", "source")
    for one, other in zip(results(traced, arguments), as_instructions, strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        assert np.nan_to_num(one).tobytes() == np.nan_to_num(other).tobytes()  # the bits of a NaN are nobody's


def outlined(source: str, fixed: frozenset[int] = frozenset()) -> Outline:
    return outline(ast.parse(source), _prepared().resolve, HALF, fixed)


SUM = """
def total(table, stage, lo, hi):
    x = float32_at(table, 0)
    result = float32_at(table, 1)
    constant = float32_at(table, 2)
    rate = constant[0]
    first = x[0]
    sum = float32(0.0)
    for i in range(10):
        square = x[i] * x[i] - first
        scaled = square * rate
        sum = accumulate(sum, scaled * half)
    result[0] = sum
    return OK
"""


def test_numba_sees_loops_and_one_call_for_each_run_of_lines() -> None:
    text = ast.unparse(outlined(SUM, frozenset({2})).tree)
    assert text == (
        "def total(table, stage, lo, hi):\n"
        f"    first, sum = {STRAIGHT}(0, table)\n"
        "    for i in range(10):\n"
        f"        sum = {STRAIGHT}(1, table, i, first, sum)\n"
        f"    {STRAIGHT}(2, table, sum)\n"
        "    return OK"
    )


def test_a_number_is_read_in_the_loop_only_from_an_array_that_stays_as_it_is() -> None:
    """An element of any other array may be assigned by the loop, and was read before it."""
    assert "rate" not in ast.unparse(outlined(SUM, frozenset({2})).tree)
    assert "rate" in ast.unparse(outlined(SUM).tree)


@pytest.mark.parametrize(
    "line",
    ["y = x[0] + 1", "y = unknown(1)", "y = z", "y = x[half]", "y = 'a'", "y = x[0] % 2", "x[0] = 1"],
)
def test_a_line_that_no_kernel_has_is_a_defect(line: str) -> None:
    with pytest.raises((TextError, NumbaError)):
        outlined(f"def f(table, stage, lo, hi):\n    x = float32_at(table, 0)\n    {line}\n    return OK\n")


def test_an_unknown_emitter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEJIT_EMIT", "fast")
    with pytest.raises(ValueError, match="TAPEJIT_EMIT must be source or instructions, got 'fast'"):
        build.build(SUM, "total", "kernel", HALF)


def optimised(operations: int, line: str = "v{} * x[i] + half") -> list[str]:
    """LLVM's lines for a sum over a chain of half as many lines."""
    source = [
        "def chain(table, stage, lo, hi):",
        "    x = float32_at(table, 0)",
        "    y = float32_at(table, 1)",
        "    sum = float32(0.0)",
        "    for i in range(4096):",
        "        v0 = x[i]",
        *(f"        v{n + 1} = {line.format(n)}" for n in range(operations // 2)),
        f"        sum = accumulate(sum, v{operations // 2})",
        "    y[0] = sum",
        "    return OK\n",
    ]
    return build.build("\n".join(source), "chain", "kernel", HALF).llvm_text().splitlines()


@pytest.mark.parametrize("emit", ["instructions", "source"])
@pytest.mark.parametrize(("operations", "copies"), [(LARGE_BODY // 2, True), (LARGE_BODY, False)])
def test_large_bodies_are_vectorised_without_copies(
    operations: int, copies: bool, emit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEJIT_EMIT", emit)
    vectors = [line for line in optimised(operations) if " fmul <" in line]
    assert len(vectors) >= operations // 2
    assert (len(vectors) > operations // 2) == copies


def test_enormous_bodies_are_not_vectorised() -> None:
    assert not [line for line in optimised(ENORMOUS_BODY) if " fmul <" in line]


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        ("erf", 16),
        ("erf", 32),
        ("sqrt", 32),
    ],
)
def test_bodies_with_many_calls_of_functions_are_vectorised(function: str, calls: int) -> None:
    lines = optimised(2 * calls, f"{function}(v{{}} * x[i])")
    assert not any('"llvm.loop.vectorize.enable", i1 false' in line for line in lines)
    assert any(" fmul <" in line for line in lines)


def test_loops_that_call_functions_of_our_own_are_not_written_out_several_times() -> None:
    source = """
def rows(table, stage, lo, hi):
    x = float32_at(table, 0)
    y = float32_at(table, 1)
    for i in range(100000):
        y[i] = exp(x[i])
    return OK
"""
    lines = build.build(source, "rows", "kernel", {}).llvm_text().splitlines()
    assert len([line for line in lines if "call <" in line and "llvm.rint" in line]) == 1


@pytest.mark.parametrize("emit", ["instructions", "source"])
@pytest.mark.parametrize("count", [8, 24, 32, 48])
def test_short_sums_over_rows_are_made_of_vectors_along_the_rows(
    count: int, emit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not written out first, with an element of each of several rows in a vector then."""
    monkeypatch.setenv("TAPEJIT_EMIT", emit)
    source = f"""
def rows(table, stage, lo, hi):
    x = float32_at(table, 0)
    y = float32_at(table, 1)
    z = float32_at(table, 2)
    for i in range(32):
        sum = float32(0.0)
        for j in range({count}):
            sum = accumulate(sum, x[i * {count} + j] * y[j])
        z[i] = sum
    return OK
"""
    text = build.build(source, "rows", "kernel", {}).llvm_text()
    assert "llvm.vector.reduce.fadd" in text
    assert "gather" not in text
