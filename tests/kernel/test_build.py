"""Compiled kernels against the same text run as plain Python."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.errors import NumbaError

from tapejit.kernel import blas, build, objects, runtime, targets
from tapejit.kernel.straight import TextError

LINE_FIT = """
def fit_data(table, stage, lo, hi):
    # real_x: float32[6], real_y: float32[6]; w, b: float32[]; constants: learning_rate
    real_x = float32_at(table, 0)
    real_y = float32_at(table, 1)
    w = float32_at(table, 2)
    b = float32_at(table, 3)
    constant = float64_at(table, 4)
    ct_w = zero_float32
    ct_b = zero_float32
    for i in range(6):
        ct = -sign(real_y[i] - (w[0] * real_x[i] + b[0]))
        ct_w = accumulate(ct_w, ct * real_x[i])
        ct_b = accumulate(ct_b, ct)
    w[0] = w[0] - ct_w * float32(constant[0])
    b[0] = b[0] - ct_b * float32(constant[0])
    return OK
"""
ZERO = {"zero_float32": np.float32(0)}
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float32", "float64"]
needs_avx = pytest.mark.skipif("+avx2" not in targets.host_cpu()[1].split(","), reason="names AVX instructions")


def table_of(*cells: Any) -> np.ndarray:
    return np.array([cell.ctypes.data if isinstance(cell, np.ndarray) else cell for cell in cells], np.int64)


def run_both(
    source: str, make: Callable[[], list[Any]], constants: Mapping[str, Any] | None = None, stage: int = -1
) -> tuple[list[Any], list[Any]]:
    """The arrays after a compiled and after a plain run, and the two statuses at the end."""
    name = re.search(r"def (\w+)", source)[1]
    built = build.build(source, name, "kernel", constants or {})
    kernel = objects.load(built.code, "kernel", built.symbols)
    compiled, plain = make(), make()
    table = table_of(*compiled)
    compiled.append(kernel.call(table.ctypes.data, stage, 0, 0))
    compiled.append(table[-1])
    table = table_of(*plain)
    plain.append(runtime.plain(source, name, constants or {})(table, stage, 0, 0))
    plain.append(table[-1])
    return compiled, plain


def assert_same(compiled: list[Any], plain: list[Any], ulp: int = 0) -> None:
    for left, right in zip(map(np.asarray, compiled), map(np.asarray, plain), strict=True):
        if left.dtype.kind == "f" and ulp:
            finite = np.isfinite(right)
            np.testing.assert_array_equal(left[~finite], right[~finite])
            np.testing.assert_array_max_ulp(left[finite], right[finite], ulp, left.dtype)
        else:
            np.testing.assert_array_equal(left, right)


def grid(dtype: str) -> np.ndarray:
    if dtype in FLOATS:
        special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.5,
            -2.5,
            3.5,
            np.inf,
            -np.inf,
            np.nan,
            1e-40,
            88.5,
            -110.0,
            300.0,
            5e9,
        ]
        with np.errstate(all="ignore"):
            return np.concatenate([special, np.random.default_rng(0).normal(size=40) * 3]).astype(dtype)
    info = np.iinfo(dtype)
    return np.array([info.min, info.max, info.max // 2, *range(12), *(info.min + k for k in range(1, 6))], dtype)


def loop(lines: list[str], n: int, inputs: list[str], outputs: list[str]) -> str:
    """A kernel that applies `lines` to element i of the inputs x, y, … and writes the outputs p0, p1, …."""
    text = ["def apply(table, stage, lo, hi):"]
    pointers = [(name, dtype) for name, dtype in zip("xyz", inputs, strict=False)]
    pointers += [(f"p{k}", dtype) for k, dtype in enumerate(outputs)]
    text += [f"    {name} = {dtype}_at(table, {slot})" for slot, (name, dtype) in enumerate(pointers)]
    text += [f"    for i in range({n}):"] + [f"        p{k}[i] = {line}" for k, line in enumerate(lines)]
    return "\n".join([*text, "    return OK", ""])


def check(lines: list[str], inputs: list[np.ndarray], outputs: list[str], ulp: int = 0) -> None:
    n = inputs[0].size
    source = loop(lines, n, [array.dtype.name for array in inputs], outputs)

    def make() -> list[Any]:
        return [array.copy() for array in inputs] + [np.zeros(n, dtype) for dtype in outputs] + [0]

    assert_same(*run_both(source, make), ulp=ulp)


def pairs(dtype: str) -> list[np.ndarray]:
    x = grid(dtype)
    left, right = np.meshgrid(x, x)
    return [left.ravel().copy(), right.ravel().copy()]


# --- values -------------------------------------------------------------------------------------------------


def test_line_fit_compiles_to_what_its_text_says() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6)).astype(np.float32)

    def make() -> list[Any]:
        return [x, y, np.float32([0.5]), np.float32([-1]), np.array([0.01]), 0]

    assert_same(*run_both(LINE_FIT, make, ZERO), ulp=2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_is_numpys_to_the_bit(dtype: str) -> None:
    lines = ["x[i] + y[i]", "x[i] - y[i]", "x[i] * y[i]", "x[i] / y[i]", "sqrt(x[i])", "-x[i]",
             "sqrt(x[i] * x[i] - y[i] * y[i])", "x[i] * y[i] + x[i]",
             "x[i] * x[i] + y[i] * y[i]"]  # fmt: skip
    check(lines, pairs(dtype), [dtype] * len(lines))


@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_functions_of_floats(dtype: str) -> None:
    lines = [f"{name}(x[i])" for name in ("floor", "ceil", "rint", "absolute", "sign")]
    lines += [f"{name}(x[i], y[i])" for name in ("maximum", "minimum", "floor_divide", "remainder", "fmod")]
    lines += ["select(x[i] < y[i], x[i], y[i])"]
    check(lines, pairs(dtype), [dtype] * len(lines))
    tests = [f"{name}(x[i])" for name in ("isnan", "isinf", "isfinite", "logical_not", "bool_")]
    tests += [f"{name}(x[i], y[i])" for name in ("logical_and", "logical_or", "logical_xor")]
    tests += [f"x[i] {compare} y[i]" for compare in ("<", "<=", "==", "!=", ">", ">=")]
    check(tests, pairs(dtype), ["bool"] * len(tests))


@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_of_real_numbers(dtype: str) -> None:
    x, y = pairs(dtype)
    lines = [f"{name}(x[i])" for name in (*runtime.UNARY[: runtime.UNARY.index("floor")], "erf", "sigmoid", "softplus")]
    lines += ["atan2(x[i], y[i])"]
    check(lines, [x, y], [dtype] * len(lines), ulp=2)
    # C says that pow(-inf, 0.5) is inf; NumPy takes a square root there, which is NaN.
    kept = ~(np.isneginf(x) & (y == 0.5))
    check(["power(x[i], y[i])"], [x[kept], y[kept]], [dtype], ulp=2)


def test_float32_functions_stay_in_float32() -> None:
    lines = [f"{name}(x[i])" for name in (*runtime.UNARY[: runtime.UNARY.index("isnan")], "erf", "sigmoid", "softplus")]
    lines += [f"{name}(x[i], x[i])" for name in ("atan2", "power", "fmod", "remainder", "floor_divide", "maximum")]
    built = build.build(loop(lines, 50, ["float32"], ["float32"] * len(lines)), "apply", "kernel", {})
    assert all(name.endswith("f") or name.startswith("mem") for name in built.symbols), built.symbols
    assert "double" not in re.sub("(?m)^(target|;|!).*$", "", built.llvm_text())


@pytest.mark.parametrize("dtype", INTEGERS)
def test_functions_of_integers(dtype: str) -> None:
    lines = [f"{dtype}({expression})" for expression in ("x[i] + y[i]", "x[i] * y[i]", "x[i] - y[i]")]
    lines += [f"{name}(x[i], y[i])" for name in ("maximum", "minimum", "floor_divide", "remainder", "power")]
    lines += ["absolute(x[i])", "sign(x[i])", "select(x[i] < y[i], x[i], y[i])"]
    check(lines, pairs(dtype), [dtype] * len(lines))


@pytest.mark.parametrize("source", ["bool", *INTEGERS, *FLOATS])
def test_casts(source: str) -> None:
    x = np.array([False, True]) if source == "bool" else grid(source)
    targets = ["bool", *INTEGERS, *FLOATS]
    lines = [f"{'bool_' if target == 'bool' else target}(x[i])" for target in targets]
    check(lines, [x], targets)


@pytest.mark.parametrize("target", INTEGERS)
def test_a_cast_of_a_float_is_numpys_where_numpys_is_defined(target: str) -> None:
    x = np.array([0.0, 1.9, -1.9, 100.5, 120.0, -120.0] if target[0] == "i" else [0.0, 1.9, 100.5, 250.0])
    assert [runtime.NAMES[target](value) for value in x] == x.astype(target).tolist()


@pytest.mark.parametrize("bits", [32, 64])
def test_random_words(bits: int) -> None:
    counters = np.array([0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1], np.uint64)
    keys = counters[::-1].copy()
    check([f"philox_word(x[i], y[i], i * 3 + {k}, {bits})" for k in range(4)], [keys, counters], ["uint64"] * 4)


def test_random_words_are_the_published_ones() -> None:
    # Random123's kat_vectors, philox 4x32 10, for counter 0 and key 0.
    zeros = np.zeros(4, np.uint64)
    make = lambda: [zeros, zeros, np.zeros(4, np.uint64), 0]  # noqa: E731
    compiled, _ = run_both(loop(["philox_word(x[i], y[i], i, 32)"], 4, ["uint64"] * 2, ["uint64"]), make)
    assert [f"{word:08x}" for word in compiled[2]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@needs_avx
def test_random_words_are_vectorised() -> None:
    source = loop(["philox_word(x[0], x[1], i, 32)"], 4096, ["uint64"], ["uint64"])
    assert re.search(r"vpmuludq.*[yz]mm", build.build(source, "apply", "kernel", {}).assembly())


SYNTAX = """
def syntax(table, stage, lo, hi):
    x = int64_at(table, 0)
    bits = uint32_at(table, 1)
    out = int64_at(table, 2)
    count = 0
    i = 0
    while i < 20:
        i += 1
        if not (x[i % 5] > 2 and i != 7) or i == 11:
            continue
        for j in range(i, 0, -3):
            count += x[(i + j) // 4 % 5] * j - -j
            if j > 15 or (2 < j <= 4):
                break
        else:
            count -= 1
    flag = (x[0] == 1) & (x[1] < 3) | (x[2] >= 0)
    out[0] = count if flag else -count
    out[1] = (i << 3) ^ (i >> 1) & ~i
    wide = uint64(bits[0]) * uint64(bits[1])
    bits[2] = uint32(wide >> thirty_two) ^ uint32(wide)
    first, last = span(stage, 0, lo, hi, 5)
    out[2] = last - first + 10 * min(last, 3) + 100 * max(first, 4) + abs(-1000)
    return OK
"""


def test_the_syntax_of_loops_and_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Numba itself understands of a text; emitted kernels need less."""
    monkeypatch.setenv("TAPEJIT_EMIT", "source")

    def make() -> list[Any]:
        bits = np.array([0xDEADBEEF, 0xD2511F53, 0], np.uint32)
        return [np.array([1, 5, -3, 4, 9]), bits, np.zeros(3, np.int64), 0]

    assert_same(*run_both(SYNTAX, make, {"thirty_two": np.uint64(32)}))


# --- reductions, stages, errors, matrix products ------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize(("blocks", "width"), [(0, 3), (1, 3), (2, 1), (5, 4), (8, 2), (13, 3)])
def test_partials_are_combined_in_one_fixed_tree(dtype: str, blocks: int, width: int) -> None:
    source = (
        "def combine(table, stage, lo, hi):\n"
        f"    combine_pairwise({dtype}_at(table, 0), {blocks}, {width})\n"
        f"    combine_pairwise_product({dtype}_at(table, 1), {blocks}, {width})\n    return OK\n"
    )
    values = (np.random.default_rng(0).normal(size=(2, 64)) * 5).astype(dtype)
    compiled, plain = run_both(source, lambda: [values[0].copy(), values[1].copy(), 0])
    assert_same(compiled, plain)
    if blocks:
        expected = values[0][: blocks * width].reshape(blocks, width).sum(axis=0, dtype=dtype)
        np.testing.assert_allclose(compiled[0][:width], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("stage", "expected"), [(-1, (0, 9)), (4, (2, 5)), (3, (0, 0))])
def test_span_gives_a_stage_its_part(stage: int, expected: tuple[int, int]) -> None:
    source = (
        "def parts(table, stage, lo, hi):\n    out = int64_at(table, 0)\n"
        "    first, last = span(stage, 4, 2, 5, 9)\n    out[0] = first\n    out[1] = last\n    return OK\n"
    )
    compiled, plain = run_both(source, lambda: [np.zeros(2, np.int64), 0], stage=stage)
    assert_same(compiled, plain)
    assert tuple(compiled[0]) == expected


def test_a_check_leaves_its_code_and_its_detail() -> None:
    source = (
        "def checked(table, stage, lo, hi):\n    index = int64_at(table, 0)\n    for i in range(5):\n"
        "        if index[i] > 3:\n            return status(table, 1, 7, i)\n    return OK\n"
    )
    compiled, plain = run_both(source, lambda: [np.array([0, 1, 2, 9, 8]), 0])
    assert_same(compiled, plain)
    assert compiled[2:] == [7, 3]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_matrix_product_of_sub_blocks(dtype: str, trans_a: int, trans_b: int) -> None:
    m, n, k = 3, 4, 5
    rng = np.random.default_rng(0)
    a = rng.normal(size=(k, m + 2) if trans_a else (m, k + 2)).astype(dtype)
    b = rng.normal(size=(n, k) if trans_b else (k, n)).astype(dtype)
    address = blas.address("cblas_sgemm" if dtype == "float32" else "cblas_dgemm")
    source = (
        "def product(table, stage, lo, hi):\n"
        f"    gemm_{dtype}(table[3], {trans_a}, {trans_b}, {m}, {n}, {k},\n"
        f"        shifted({dtype}_at(table, 0), 1), {a.shape[1]},\n"
        f"        {dtype}_at(table, 1), {b.shape[1]}, {dtype}_at(table, 2), {n})\n    return OK\n"
    )
    compiled, plain = run_both(source, lambda: [a, b, np.full((m, n), np.nan, dtype), address])
    left = a[:, 1 : 1 + (m if trans_a else k)]
    expected = (left.T if trans_a else left) @ (b.T if trans_b else b)
    for product in (compiled[2], plain[2]):
        np.testing.assert_allclose(product, expected, rtol=1e-5, atol=1e-6)


# --- what the machine code is -------------------------------------------------------------------------------

AXPY = loop(["x[i] * y[i] + p0[i]"], 5000, ["float32"] * 2, ["float32"])
SUM = """
def total(table, stage, lo, hi):
    x = float32_at(table, 0)
    y = float32_at(table, 1)
    out = float32_at(table, 2)
    total = zero_float32
    for i in range(1024):
        total = {}
    out[0] = total
    return OK
"""


@needs_avx
def test_elementwise_loops_are_vectorised_and_not_contracted() -> None:
    assembly = build.build(AXPY, "apply", "kernel", {}).assembly()
    assert re.search(r"vmulps.*[yz]mm", assembly)
    assert re.search(r"vaddps.*[yz]mm", assembly)
    assert "vfm" not in assembly


@needs_avx
@pytest.mark.parametrize(
    ("step", "instruction"),
    [
        ("accumulate(total, x[i])", "vaddps"),
        ("accumulate(total, x[i] * y[i])", r"vfmadd\w+ps"),
        ("accumulate_product(total, x[i])", "vmulps"),
        ("maximum(total, x[i])", "v(max|min|range)ps"),
    ],
)
def test_reductions_are_vectorised(step: str, instruction: str) -> None:
    assembly = build.build(SUM.format(step), "total", "kernel", ZERO).assembly()
    assert re.search(instruction + ".*[yz]mm", assembly)


def test_a_product_is_fused_into_a_sum_only() -> None:
    source = (
        SUM.format("accumulate(total, x[i] * y[i])")
        .replace("1024", "1")
        .replace("out[0] = total", "out[0] = x[0] * y[0] + total")
    )
    x = np.float32([1 + 2**-12])

    def make() -> list[Any]:
        return [x, -x, np.zeros(1, np.float32), 0]

    compiled, _ = run_both(source, make, ZERO)
    exact = np.float64(x[0]) ** 2
    assert compiled[2][0] == np.float32(-x[0] * x[0] - np.float32(exact))


def test_an_object_holds_one_function_and_no_python() -> None:
    built = build.build(LINE_FIT, "fit_data", "kernel", ZERO)
    assert built.symbols == ()
    assert b"numba" not in built.code
    assert len(built.code) < 4000
    assert built.seconds > 0


def test_two_sources_that_differ_in_one_literal_differ() -> None:
    results = [
        run_both(f"def put(table, stage, lo, hi):\n    int64_at(table, 0)[0] = {n}\n    return OK\n",
                 lambda: [np.zeros(1, np.int64), 0])[0][0][0]
        for n in (1, 2)
    ]  # fmt: skip
    assert results == [1, 2]


def test_constants_are_part_of_the_kernel() -> None:
    source = "def put(table, stage, lo, hi):\n    float64_at(table, 0)[0] = c\n    return OK\n"
    for value in (0.1, -0.0):
        compiled, plain = run_both(source, lambda: [np.zeros(1), 0], {"c": np.float64(value)})
        assert_same(compiled, plain)
        assert np.signbit(compiled[0][0]) == np.signbit(value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x[0] = maximum(x[0], 1)", "operands of one dtype"),
        ("x[0] = exp(1)", "kinds 'f'"),
        ("x[0] = nothing(x[0])", "nothing"),
        ("x[0] = select(x[0], x[0], x[0])", "boolean"),
    ],
)
def test_a_wrong_text_is_an_error_that_shows_its_line(line: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"def wrong(table, stage, lo, hi):\n    x = float32_at(table, 0)\n    {line}\n    return OK\n"
    with pytest.raises(TextError) as caught:
        build.build(source, "wrong", "kernel", {})
    assert message in str(caught.value)
    assert line in str(caught.value)
    monkeypatch.setenv("TAPEJIT_EMIT", "source")
    with pytest.raises(NumbaError, match=message):
        build.build(source, "wrong", "kernel", {})


def test_numba_itself_still_works_beside_the_kernels() -> None:
    build.build(LINE_FIT, "fit_data", "kernel", ZERO)

    @njit
    def total(values: Any) -> Any:
        return np.exp(values).sum() + len([1, 2])

    assert total(np.zeros(3)) == 5
    assert build.build(LINE_FIT, "fit_data", "kernel", ZERO).symbols == ()


def test_threads_build_at_once() -> None:
    codes: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: codes.append(build.build(LINE_FIT, "fit_data", "kernel", ZERO).code))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(codes) == 4
    assert len(set(codes)) == 1


def test_a_build_leaves_nothing_behind_in_numbas_contexts() -> None:
    source = "def kernel(table, stage, lo, hi):\n    x = float64_at(table, 0)\n    x[0] = x[0] + x[1]\n    return OK\n"
    typing = build._prepared().typing

    def known() -> int:
        build.build(source, "kernel", "kernel", {})
        return sum(len(getattr(each, "templates", ())) for each in typing._globals.values())

    assert known() == known()
