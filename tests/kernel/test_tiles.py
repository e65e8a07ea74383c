"""Matrix products as register tiles: bits, tails, strides, targets, and what the machine code is."""

import ctypes
import mmap
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from tapejit.kernel import targets, tiles
from tapejit.kernel.instructions import I64
from tapejit.kernel.terms import BLOCK, Steps
from tapejit.kernel.tile_shape import SCRATCH_BYTES, Cut, Target, cut, target_of
from tapejit.kernel.vectors import Matrix, counted, store_vector
from tests.kernel.tile_code import HOST, Code, module, product_module

FEATURES = targets.host_cpu()[1].split(",")
AVX512, AVX2, PLAIN, ARM = Target(64, 32, True), Target(32, 16, True), Target(16, 16, False), Target(16, 32, True)
# Where a target's code runs: the CPU that LLVM is told, and what this one must have.
CPUS = {
    "avx512": (AVX512, "skylake-avx512", "+avx512vl"),
    "avx2": (AVX2, "haswell", "+fma"),
    "sse2": (PLAIN, "x86-64", "+sse2"),
}
DTYPES = ("float32", "float64")


def runs(name: str) -> bool:
    return CPUS[name][2] in FEATURES


def drawn(seed: int, dtype: str, *shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def strided(matrix: np.ndarray, transposed: bool, extra: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The matrix in memory, by rows or by columns, with `extra` numbers between those, and its two distances."""
    stored = matrix.T if transposed else matrix
    rows, columns = stored.shape
    wide = np.full((rows, columns + extra), np.nan, matrix.dtype)
    wide[:, :columns] = stored
    return wide, ((1, columns + extra) if transposed else (columns + extra, 1))


def with_dot(
    dtype: str, shape: tuple[int, int, int], left: tuple[int, int], right: tuple[int, int], target: Target
) -> Any:
    """``f(x, y, z)``: the product, each element by `dot`."""
    m, n, k = shape

    def body(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> None:
        one, other = Matrix(x, *left), Matrix(y, *right)

        def element(i: Any, j: Any) -> None:
            row, column = one.at(b, i, I64(0)), other.at(b, I64(0), j)
            found = tiles.dot(b, dtype, [Steps(left[1], right[0], k)], row, column, target)
            b.store(found, Matrix(z, n, 1).at(b, i, j))

        counted(b, m, lambda i: counted(b, n, lambda j: element(i, j)) and None)

    return module(dtype, body)


# --- numbers ------------------------------------------------------------------------------------------------


def random_cases() -> Iterator[tuple[int, str, tuple[int, int, int], bool, bool, int]]:
    rng = np.random.default_rng(1)
    for seed in range(40):
        m, n, k = (int(length) for length in rng.integers(1, 41, 3))
        yield seed, DTYPES[seed % 2], (m, n, k), bool(rng.integers(2)), bool(rng.integers(2)), int(rng.integers(3))


LONG = [
    (98, "float32", (37, 10, 61), True, False, 1),  # vectors of rows
    (99, "float64", (37, 9, 1061), True, True, 0),
    (100, "float32", (5, 19, 1024), False, False, 0),
    (101, "float32", (5, 19, 1025), False, False, 0),
    (102, "float64", (30, 3, 2500), True, False, 1),
    (103, "float32", (9, 33, 1030), False, True, 0),
    (104, "float32", (70, 40, 700), False, True, 1),
    (105, "float32", (70, 40, 512), False, False, 0),  # rows that share sets of the cache
    (107, "float32", (9000, 5, 33), False, False, 0),  # a left matrix that is asked for ahead
    (106, "float64", (70, 700, 70), False, False, 0),  # rows far apart
]


@pytest.mark.parametrize(("seed", "dtype", "shape", "left_turned", "right_turned", "extra"), [*random_cases(), *LONG])
def test_every_element_has_the_bits_of_its_sum_in_order(
    seed: int, dtype: str, shape: tuple[int, int, int], left_turned: bool, right_turned: bool, extra: int
) -> None:
    m, n, k = shape
    left, right = drawn(seed, dtype, (m, k), (k, n))
    x, x_strides = strided(left, left_turned, extra)
    y, y_strides = strided(right, right_turned, extra)
    expected = np.full((m, n), np.nan, dtype)
    Code(with_dot(dtype, shape, x_strides, y_strides, HOST)).function()(x, y, expected)
    result = np.full((m, n + extra), np.nan, dtype)
    Code(product_module(dtype, shape, (*x_strides, *y_strides, n + extra))).function()(x, y, result)
    np.testing.assert_array_equal(result[:, :n], expected)
    assert np.isnan(result[:, n:]).all()
    exact = left.astype(np.longdouble) @ right.astype(np.longdouble)
    bound = np.abs(left).astype(float) @ np.abs(right).astype(float) * np.finfo(dtype).eps * min(k, 1024)
    assert (np.abs(expected - exact) <= bound).all()


def in_order(left: np.ndarray, right: np.ndarray, fused: bool) -> float:
    """One element in float64, each step rounded once, or twice where the CPU can't fuse them."""
    total = 0.0
    for block in range(0, len(left), BLOCK):
        found = 0.0
        for x, y in zip(left[block:][:BLOCK].tolist(), right[block:][:BLOCK].tolist(), strict=True):
            found = float(Fraction(x) * Fraction(y) + Fraction(found)) if fused else x * y + found
        total = total + found if block else found
    return total


@pytest.mark.parametrize("k", [1, 7, 1024, 2100])
@pytest.mark.parametrize("target", [HOST, PLAIN])
def test_a_sum_is_in_order_and_in_blocks(k: int, target: Target) -> None:
    left, right = drawn(3, "float64", (1, k), (k, 1))
    result = np.empty(1)
    Code(with_dot("float64", (1, 1, k), (k, 1), (1, 1), target)).function()(left, right, result)
    assert result[0] == in_order(left[0], right[:, 0], target.fma)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "turned"), [((7, 21, 30), False), ((45, 37, 19), True), ((3, 70, 1100), False)])
def test_targets_with_fused_multiplication_agree_to_the_bit(
    dtype: str, shape: tuple[int, int, int], turned: bool
) -> None:
    m, n, k = shape
    left, right = drawn(4, dtype, (m, k), (k, n))
    y, strides = strided(right, turned, 0)
    results = {}
    for name, (target, cpu, _) in CPUS.items():
        if runs(name):
            results[name] = np.full((m, n), np.nan, dtype)
            Code(product_module(dtype, shape, (k, 1, *strides, n), target), cpu).function()(left, y, results[name])
            np.testing.assert_allclose(results[name], left @ right, rtol=1e-4, atol=1e-4)
    fused = [results[name] for name in ("avx512", "avx2") if name in results]
    for one in fused[1:]:
        np.testing.assert_array_equal(one, fused[0])
    assert results


def test_no_terms_give_zeros_and_no_elements_nothing() -> None:
    x, y, result = np.ones(1), np.ones(1), np.full((3, 5), np.nan)
    Code(product_module("float64", (3, 5, 0), (1, 1, 5, 1, 5))).function()(x, y, result)
    np.testing.assert_array_equal(result, np.zeros((3, 5)))
    for shape in ((0, 5, 2), (3, 0, 2)):
        result[...] = 7
        Code(product_module("float64", shape, (2, 1, 5, 1, 5))).function()(x, y, result)
        np.testing.assert_array_equal(result, np.full((3, 5), 7))


def test_any_distances_are_right() -> None:
    dtype, (m, n, k) = "float32", (9, 21, 11)
    left, right = drawn(6, dtype, (m, 3 * k), (2 * k, 5 * n))
    x, y, result = left[:, ::3], right[::2, ::5], np.empty((m, n), dtype)
    strides = (3 * k, 3, 10 * n, 5, n)
    Code(product_module(dtype, (m, n, k), strides)).function()(left, right, result)
    np.testing.assert_allclose(result, x @ y, rtol=1e-5, atol=1e-5)


def at_the_end(array: np.ndarray) -> tuple[np.ndarray, Any]:
    """The array where memory ends: what lies behind it can't be read nor written."""
    size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    first = np.frombuffer(memory, np.uint8).ctypes.data
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    assert protect(ctypes.c_void_p(first + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    placed = np.frombuffer(memory, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
    placed[...] = array
    return placed, memory


@pytest.mark.parametrize("name", [name for name in CPUS if runs(name)])
@pytest.mark.parametrize(("turned", "shape"), [(False, (5, 19, 7)), (True, (5, 19, 7)), (False, (17, 3, 9))])
def test_nothing_beyond_the_matrices_is_touched(name: str, turned: bool, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    left, right = drawn(7, "float32", (m, k), (k, n))
    y, strides = strided(right, turned, 0)
    placed = [at_the_end(array) for array in (left, y, np.zeros((m, n), np.float32))]
    target, cpu, _ = CPUS[name]
    Code(product_module("float32", shape, (k, 1, *strides, n), target), cpu).function()(*(one for one, _ in placed))
    np.testing.assert_allclose(placed[2][0], left @ right, rtol=1e-5, atol=1e-5)


# --- what follows in the tile -------------------------------------------------------------------------------


def with_bias(shape: tuple[int, int, int], seen: list[tuple[int, bool]], once: bool) -> ir.Module:
    """``f(x, y, z, bias)``: the product and a bias for each column."""
    _, n, k = shape

    def body(b: ir.IRBuilder, x: Any, y: Any, z: Any, bias: Any) -> None:
        def finish(b: ir.IRBuilder, row: Any, column: Any, value: Any, lanes: int, mask: Any) -> None:
            seen.append((lanes, mask is None))
            added = b.fadd(value, tiles.load_vector(b, "float32", b.gep(bias, [column]), lanes, mask))
            store_vector(b, "float32", added, Matrix(z, n, 1).at(b, row, column), mask)

        tiles.tiled_product(b, "float32", shape, Matrix(x, k, 1), Matrix(y, n, 1), finish, HOST, once=once)

    return module("float32", body, 4)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("shape", [(31, 53, 12), (1, 16, 4), (40, 5, 1025)])
def test_a_finished_vector_is_used_where_it_is(once: bool, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    left, right, bias = drawn(8, "float32", (m, k), (k, n), (1, n))
    seen: list[tuple[int, bool]] = []
    result = np.full((m, n), np.nan, np.float32)
    Code(with_bias(shape, seen, once)).function(4)(left, right, result, bias)
    np.testing.assert_allclose(result, left @ right + bias, rtol=1e-4, atol=1e-4)
    found = cut(shape, (k, 1), (n, 1), "float32", HOST)
    assert not found.turned
    rows = [(strip, rows) for strip in found.strips for rows in strip.rows]
    assert len(seen) == sum(strip.vectors * (1 if once else each.height) for strip, each in rows)


def test_products_of_one_shape_share_a_function() -> None:
    def body(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> None:
        for left, right, n in ((x, y, 8), (y, x, 8), (x, y, 9)):
            tiles.product(b, "float32", (8, n, 8), Matrix(left, 8, 1), Matrix(right, 9, 1), Matrix(z, n, 1), HOST)

    assert len(re.findall(r"^define ", str(module("float32", body)), re.MULTILINE)) == 1 + 2


def test_products_of_one_function_share_the_space_for_copies() -> None:
    def body(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> None:
        def store(b: ir.IRBuilder, row: Any, column: Any, value: Any, _: int, mask: Any) -> None:
            store_vector(b, "float32", value, Matrix(z, 40, 1).at(b, row, column), mask)

        for _ in range(3):
            tiles.tiled_product(b, "float32", (40, 40, 30), Matrix(x, 30, 1), Matrix(y, 1, 30), store, HOST)

    assert str(module("float32", body)).count(f"alloca [{SCRATCH_BYTES} x i8]") == 1


# --- shapes -------------------------------------------------------------------------------------------------


def elements(found: Cut, m: int, n: int) -> np.ndarray:
    """How often each element is in a tile."""
    count = np.zeros((m, n), int)
    for strip in found.strips:
        for repeat in range(strip.count):
            first = strip.first + repeat * strip.width
            width = strip.width - strip.lanes + strip.used
            for rows in strip.rows:
                for tile in range(rows.count):
                    top = rows.first + tile * rows.height
                    assert top + rows.height <= m
                    assert first + width <= n
                    count[top : top + rows.height, first : first + width] += 1
    return count


@pytest.mark.parametrize("target", [AVX512, AVX2, PLAIN, ARM])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_cover_a_product_and_fit_the_registers(target: Target, dtype: str) -> None:
    rng = np.random.default_rng(9)
    both = set()
    for _ in range(100):
        m, n, k = (int(length) for length in rng.integers(1, 90, 3))
        strides = [[(columns, 1), (1, rows)][rng.integers(2)] for rows, columns in ((m, k), (k, n))]
        found = cut((m, n, k), *strides, dtype, target)
        both.add(found.turned)
        assert (elements(found, *((n, m) if found.turned else (m, n))) == 1).all()
        assert len(found.strips) <= 2
        for strip in found.strips:
            assert len(strip.rows) <= 2
            vectors = strip.vectors
            for rows in strip.rows:
                assert rows.height * vectors + vectors + 1 <= target.registers
                assert rows.height <= target.lanes(dtype) or not found.turned
    assert both == {False, True} or target.vector_bytes == 16


def test_rows_that_share_cache_sets_and_copies_limit_the_tiles() -> None:
    crowded = cut((64, 16, 512), (512, 1), (16, 1), "float32", AVX512)
    apart = cut((64, 16, 512), (528, 1), (16, 1), "float32", AVX512)
    heights = [max(rows.height for strip in found.strips for rows in strip.rows) for found in (crowded, apart)]
    assert heights[0] <= 7 < heights[1]
    for k in (64, 512, 1024):
        strips = cut((640, 640, k), (k, 1), (1, k), "float32", AVX512).strips
        assert all(strip.width * 4 * k <= SCRATCH_BYTES for strip in strips)


@pytest.mark.parametrize(
    ("features", "target"),
    [
        ("+avx,+avx2,+avx512f,+avx512vl,+fma,+sse2", AVX512),
        ("+avx,+avx2,+avx512f,-avx512vl,+fma,+sse2", AVX2),
        ("+avx,+avx2,-avx512f,+fma,+sse2", AVX2),
        ("+avx,-avx2,-fma,+sse2", PLAIN),
        ("+sse2", PLAIN),
        ("+neon,+fp-armv8", ARM),
        ("", PLAIN),
    ],
)
def test_the_target_follows_the_features(features: str, target: Target) -> None:
    assert target_of(features) == target


# --- machine code -------------------------------------------------------------------------------------------


def innermost_loops(assembly: str) -> list[list[str]]:
    """The lines of blocks that branch to their own beginning."""
    loops, label, lines = [], "", []
    for line in assembly.splitlines():
        if begin := re.match(r"(\.L\w+):", line):
            label, lines = begin[1], []
        elif line.strip() and not line.strip().startswith((".", "#", "//")):
            lines.append(line.strip())
            if label and re.match(rf"[jb][a-z.]+\s+{re.escape(label)}$", lines[-1]):
                loops.append(lines)
                lines = []
    return loops


@pytest.mark.parametrize(
    ("name", "dtype", "fused", "register"),
    [
        ("avx512", "float32", "vfmadd231ps", "%zmm"),
        ("avx512", "float64", "vfmadd231pd", "%zmm"),
        ("avx2", "float32", "vfmadd231ps", "%ymm"),
        ("sse2", "float32", "mulps", "%xmm"),
    ],
)
@pytest.mark.parametrize("shape", [(64, 128, 64), (64, 48, 50)])
def test_the_inner_loop_is_multiplications_of_registers(
    name: str, dtype: str, fused: str, register: str, shape: tuple[int, int, int]
) -> None:
    _, n, k = shape
    target, cpu, _ = CPUS[name]
    assembly = Code(product_module(dtype, shape, (k, 1, n, 1, n), target), cpu).assembly()
    loops = [loop for loop in innermost_loops(assembly) if any(fused in line for line in loop)]
    assert 1 <= len(loops) <= 4
    expected = sorted(
        strip.vectors * rows.height for strip in cut(shape, (k, 1), (n, 1), dtype, target).strips for rows in strip.rows
    )
    for loop, each in zip(sorted(loops, key=len), expected, strict=True):
        multiplied = [line for line in loop if line.startswith(fused)]
        assert all(register in line for line in multiplied)
        assert len(multiplied) % each == 0
        assert each >= 8
        assert not any("(%rsp" in line or "(%rbp" in line for line in loop), "accumulators are not in registers"
        # One load for each vector and each number, and little else.
        rounds = len(multiplied) // each
        assert len(loop) <= len(multiplied) * (1 if target.fma else 3) + rounds * each + 8


def test_a_large_left_matrix_is_asked_for_ahead() -> None:
    small, large = (Code(product_module("float32", (m, 10, 64), (64, 1, 10, 1, 10))).assembly() for m in (64, 50000))
    assert "prefetch" not in small
    assert any("prefetch" in line for loop in innermost_loops(large) for line in loop)


def test_code_for_another_architecture() -> None:
    shape = (64, 50, 64)
    made = product_module("float32", shape, (64, 1, 50, 1, 50), target_of("+neon,+fp-armv8"))
    assembly = Code(made, "generic", "+neon,+fp-armv8", "aarch64-unknown-linux-gnu").assembly()
    loops = [loop for loop in innermost_loops(assembly) if any("fmla" in line for line in loop)]
    assert loops
    for loop in loops:
        assert sum(line.startswith("fmla") for line in loop) >= 16
        assert not any("[sp" in line for line in loop)


def test_loops_are_left_as_they_are_written() -> None:
    code = Code(product_module("float32", (64, 128, 8), (8, 1, 128, 1, 128)))
    assert len(re.findall(r"call .*@llvm\.fma\.v", str(code.parsed))) <= 4 * 32
    marked = re.findall(r"br i1 .*!llvm\.loop", str(code.parsed))
    assert len(marked) == len(re.findall(r"br i1 ", str(code.parsed))) > 0
