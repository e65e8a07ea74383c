"""Convolutions in register tiles: numbers against NumPy's, derivatives, what is fused into the tiles, other targets."""

import ast
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from llvmlite import ir

import tapejit as tj
from tapejit.kernel import build, tiles
from tapejit.kernel.terms import Steps
from tapejit.kernel.tile_shape import Target
from tapejit.kernel.vectors import Matrix
from tests.agreement import assert_close, check_agreement, trace
from tests.kernel.test_epilogue import both_emitters
from tests.kernel.test_outline import results
from tests.kernel.test_targets import build_for  # noqa: F401 - a fixture
from tests.kernel.test_tiles import innermost_loops
from tests.kernel.tile_code import Code, module

Function = Callable[..., Any]


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


# What is fused


def layers(x: Any, kernel: Any, bias: Any, other: Any) -> Any:
    h = tj.relu(tj.conv(x, kernel) + bias)
    return h, tj.mean(tj.tanh(tj.conv(h, other)), axis=(1, 2))


LAYERS = ((4, 14, 15, 1), (3, 3, 1, 16), (16,), (3, 3, 16, 7))


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_two_layers_and_their_pooling_are_one_loop_over_the_examples() -> None:
    arguments = arrays(*LAYERS)
    step = tj.compile(layers, strict=True)
    for found, expected in zip(step(*arguments), layers(*map(tj.asarray, arguments)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    report = step.report()
    assert (report["loop_nests"], report["matrix_products"], report["library_calls"]) == (1, 2, 0)
    outermost = [line for line in step.source().splitlines() if line.startswith("    for ")]
    assert len(outermost) == 1
    # Of what is between the layers nothing is stored but what leaves the kernel.
    assert report["intermediate_bytes"] < 16 * 4 * 4


def gradients(x: Any, kernel: Any, bias: Any, other: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch([kernel, bias, other])
        _, out = layers(x, kernel, bias, other)
        total = tj.sum(out * out)
    return total, tape.gradient(total, [kernel, bias, other])


def test_gradients_of_two_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = arrays(*LAYERS)
    traced, _ = check_agreement(lambda *given: [*gradients(*given)[1]], arguments, plain=False, scale=300)
    both_emitters(traced, arguments, monkeypatch)


def test_all_that_concerns_one_example_shares_its_loop() -> None:
    arguments = arrays((10, 16, 17, 1), *LAYERS[1:])
    source = trace(lambda *given: [*gradients(*given)[1]], arguments).emitted().source
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    counts = [ast.unparse(line).count("dot_float32") for line in function.body if isinstance(line, ast.For)]
    assert max(counts) == 5, source  # both layers, the gradient by the first one's result, those by the kernels


def test_a_stack_has_a_kernel_for_each_input() -> None:
    x, kernel = arrays((3, 2, 9, 2), (3, 4, 2, 6))
    found = tj.compile(tj.vmap(tj.conv), strict=True)(x, kernel)
    for number in range(3):
        np.testing.assert_allclose(found[number], tj.conv(x[number], kernel[number]), rtol=1e-5, atol=1e-5)


def test_the_gradient_by_a_kernel_is_as_accurate_as_sums_of_blocks() -> None:
    x, ct = (np.random.default_rng(6).random(size=(1, 300, 300, count)).astype(np.float32) for count in (2, 8))
    with tj.GradientTape() as tape:
        kernel = tj.zeros((2, 2, 2, 8), "float32")
        tape.watch(kernel)
        out = tj.conv(x, kernel)
    expected = tape.gradient(out, kernel, output_gradients=ct[:, 1:, 1:])

    @tj.compile(strict=True)
    def by_kernel(x: Any, kernel: Any, ct: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(kernel)
            out = tj.conv(x, kernel)
        return tape.gradient(out, kernel, output_gradients=ct)

    found = by_kernel(x, kernel, ct[:, 1:, 1:]).numpy().astype(float)
    wide = x.astype(float)
    for place in np.ndindex(2, 2):
        window = wide[0, place[0] : place[0] + 299, place[1] : place[1] + 299]
        exact = np.einsum("yxc,yxd->cd", window, ct[0, 1:, 1:].astype(float))
        np.testing.assert_allclose(found[place], exact, rtol=2e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_variable_takes_a_convolution_of_itself() -> None:
    x, kernel = arrays((2, 8, 12, 4), (3, 3, 4, 4))
    variable = tj.Variable(x)

    @tj.compile(strict=True)
    def step(kernel: Any) -> None:
        variable.assign(tj.conv(variable, kernel, padding="same"))

    step(kernel)
    expected = tj.conv(x, kernel, padding="same")
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_integers_are_convolved_too() -> None:
    x, kernel = np.arange(60).reshape(1, 6, 5, 2), np.arange(24).reshape(2, 2, 2, 3)
    assert tj.compile(tj.conv, strict=True)(x, kernel).tolist() == tj.conv(x, kernel).tolist()


# How it runs


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
@pytest.mark.parametrize("name", ["channels", "strides"])
def test_other_targets(name: str, level: str, build_for: Callable[[str], None]) -> None:  # noqa: F811 - the fixture
    shape = SHAPES[name]
    arguments = drawn(shape, "float32")
    traced = trace(convolution(shape), arguments)
    native = results(traced, arguments)
    build_for(level)
    for found, expected in zip(results(traced, arguments), native, strict=True):
        assert_close(found, expected, level, 300)


def test_a_term_is_one_multiplication_for_each_row_of_a_tile() -> None:
    target = Target(64, 32, fma=True)

    def body(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> None:
        left, right, result = (Matrix(pointer, 16, 1) for pointer in (x, y, z))
        tiles.product(b, "float32", (24, 16, 48), left, right, result, target, [Steps(416, 768, 3)])

    lines = Code(module("float32", body), "skylake-avx512").assembly().splitlines()
    fused = [line for line in lines if "vfmadd" in line]
    assert len(fused) == 24
    assert all("{1to16}" in line and "zmm" in line for line in fused)
    assert not [line for line in lines if "rsp" in line and "zmm" in line]  # all sums stay in registers


def test_what_is_added_up_over_a_tile_stays_in_registers() -> None:
    arguments = arrays((2, 20, 20, 8), (3, 3, 8, 16), (16,))
    traced = trace(lambda x, kernel, bias: tj.sum(tj.relu(tj.conv(x, kernel) + bias), axis=(1, 2)), arguments)
    emitted = traced.emitted()
    built = build.build(emitted.source, emitted.name, "kernel", emitted.constants)
    loops = [loop for loop in innermost_loops(built.assembly()) if any("vmaxp" in line for line in loop)]
    assert loops
    stores = [line for loop in loops for line in loop if re.match(r"v?mov[au]ps\s+%[xyz]mm\d+, .*\(", line)]
    assert not stores


@pytest.mark.parametrize(("channels", "name"), [(128, "conv"), (512, "matmul")])
def test_large_kernels_in_long_steps_are_a_product_of_matrices(channels: int, name: str) -> None:
    shapes = [(1, 5, 5, channels), (3, 3, channels, channels)]
    plan = trace(tj.conv, [np.zeros(shape, np.float32) for shape in shapes]).plan()
    products = [leaf.statement.node for leaf in plan.leaves if leaf.statement.dot or leaf.statement.product]
    assert [node.primitive and node.primitive.name for node in products] == [name]
