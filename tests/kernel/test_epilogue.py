"""What is done to the elements of a product while it is computed: numbers, tails, both emitters, machine code."""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.kernel import build
from tapejit.kernel.build import _prepared
from tapejit.kernel.outline import outline
from tests.agreement import Traced, check_agreement, trace
from tests.kernel.test_outline import results

Function = Callable[..., Any]

SHAPES = [(20, 33, 18), (150, 16, 17), (17, 10, 40)]
"""(m, n, k): a vector and a lane; several blocks of rows; columns that fill no vector."""


def drawn(dtype: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def layer(activation: Function) -> Function:
    def function(x: Any, w: Any, b: Any, _c: Any, ct: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch([x, w, b])
            y = activation(x @ w + b)
        return [y, *tape.gradient(y, [x, w, b], output_gradients=ct)]

    return function


def counted(x: Any, w: Any, *_: Any) -> Any:
    product = x @ w
    rounded = tj.astype(tj.floor(product), "int32")
    return rounded // 3, tj.astype(rounded, "uint8"), product > 0, tj.sign(product), tj.astype(product, "float64")


def by_index(x: Any, w: Any, *_: Any) -> Any:
    m, n = x.shape[0], w.shape[1]
    product = x @ w
    triangle = tj.arange(m)[:, None] >= tj.arange(n)
    return tj.where(triangle, product, -np.inf), product * tj.astype(tj.arange(n), product.dtype)


def by_row(x: Any, w: Any, b: Any, c: Any, *_: Any) -> Any:
    return (x @ w) * tj.exp(c)[:, None] + tj.sin(b), tj.sum((x @ w) * c[:, None], axis=0)


def strided(x: Any, w: Any, b: Any, c: Any, ct: Any) -> Any:
    return tj.flip(ct, 1) * (x @ w) + (b[:, None] * c).T, tj.tanh(x @ w) + tj.stack([ct, ct], axis=-1)[:, :, 1]


def transposed(x: Any, w: Any, _b: Any, _c: Any, ct: Any) -> Any:
    return tj.exp(x.T @ ct), tj.abs(ct @ w.T), (x @ w).T + ct.T


def added_up(x: Any, w: Any, b: Any, *_: Any) -> Any:
    y = tj.tanh(x @ w + b)
    return y, tj.sum(y, axis=0), tj.max(y, axis=0), tj.prod(y, axis=0), tj.any(y > 0.5, axis=0)


def chosen(x: Any, w: Any, b: Any, _c: Any, ct: Any) -> Any:
    """Values that ask where they are: next to the product in a loop of their own."""
    product = x @ w
    indices = tj.astype(tj.abs(ct) * 3, "int32") % b.shape[0]
    return tj.concat([product, tj.exp(product), ct], axis=0), tj.take(b, indices) + product


def needed_again(x: Any, w: Any, b: Any, _c: Any, ct: Any) -> Any:
    product = x @ w
    row = product - tj.max(product + b, axis=-1, keepdims=True)
    return product * 2.0, row, tj.sum((product - ct) ** 2)


FUNCTIONS: dict[str, Function] = {
    "relu": layer(tj.relu),
    "tanh": layer(tj.tanh),
    **{function.__name__: function for function in (counted, by_index, by_row, strided, transposed, added_up)},
    **{function.__name__: function for function in (chosen, needed_again)},
}
JOINED = FUNCTIONS.keys() - {"chosen", "needed_again"}


def arguments_of(dtype: str, m: int, n: int, k: int) -> list[np.ndarray]:
    return drawn(dtype, (m, k), (k, n), (n,), (m,), (m, n))


def both_emitters(traced: Traced, arguments: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold that they give the same bits."""
    found = []
    for emitter in ("instructions", "source"):
        monkeypatch.setenv("TAPEJIT_EMIT", emitter)
        found.append(results(traced, arguments))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        assert np.nan_to_num(one).tobytes() == np.nan_to_num(other).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_follows_a_product(
    name: str, shape: tuple[int, int, int], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = arguments_of(dtype, *shape)
    traced, _ = check_agreement(FUNCTIONS[name], arguments, plain=dtype == "float64" and shape == SHAPES[0], scale=10)
    both_emitters(traced, arguments, monkeypatch)


@pytest.mark.parametrize("name", sorted(JOINED))
def test_no_loop_goes_over_a_product_again(name: str) -> None:
    source = trace(FUNCTIONS[name], arguments_of("float32", *SHAPES[0])).emitted().source
    loops = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For)]
    nests = [loop for loop in loops if isinstance(loop.body[-1], ast.For)]
    assert nests
    assert all("dot_float32" in ast.unparse(nest) for nest in nests), source


def batched(x: Any, y: Any, b: Any) -> Any:
    h = tj.exp(-(x @ y)) + b
    return h, tj.sum(h, axis=0), tj.sum(h, axis=(0, 1)), h @ y.mT, x.mT @ h


@pytest.mark.parametrize("n", [18, 80])
def test_batches_of_products(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = drawn("float32", (3, n, 19), (3, 19, 21), (21,))
    traced, _ = check_agreement(batched, arguments, plain=n == 18, scale=20)
    both_emitters(traced, arguments, monkeypatch)


def test_products_of_a_whole_batch_share_its_loop() -> None:
    source = trace(batched, drawn("float32", (3, 18, 19), (3, 19, 21), (21,))).emitted().source
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    batches = [line for line in function.body if isinstance(line, ast.For) and "range(3)" in ast.unparse(line.iter)]
    assert len(batches) == 1
    assert ast.unparse(batches[0]).count("dot_float32") == 3


# Updates


def step_with(update: Function, *shapes: tuple[int, ...]) -> Function:
    variables = [tj.Variable(value) for value in drawn("float32", *shapes)]
    return lambda *arguments: update(*arguments, *variables)


def descent(x: Any, ct: Any, w: Any, m: Any) -> None:
    gradient = x.mT @ ct
    m.assign(0.9 * m + gradient)
    w.assign_sub(0.1 * m / (tj.sqrt(tj.abs(gradient)) + 1.0))


def by_its_transpose(x: Any, ct: Any, w: Any, m: Any) -> None:
    w.assign_add(x.mT @ ct)
    m.assign(m + (ct.mT @ x).mT)


def by_what_it_was_computed_from(x: Any, ct: Any, w: Any, _m: Any) -> None:
    w.assign_sub(0.1 * (x.mT @ tj.tanh(ct + x @ w)))


@pytest.mark.parametrize("n", [10, 32])
@pytest.mark.parametrize("update", [descent, by_its_transpose, by_what_it_was_computed_from])
def test_updates_by_products_are_in_place(update: Function, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_with(update, (40, n), (40, n))
    arguments = drawn("float32", (50, 40), (50, n))
    assert all(trace(step, arguments).plan().in_place)
    traced, _ = check_agreement(step, arguments)
    both_emitters(traced, arguments, monkeypatch)


def test_an_update_in_tiles_goes_to_another_buffer_while_rows_of_the_variable_are_read() -> None:
    step = step_with(lambda x, w: w.assign(tj.tanh(w @ w) * x), (20, 20))
    arguments = drawn("float32", ())
    plan = trace(step, arguments).plan()
    assert (plan.in_place, plan.workspace) == ((False,), 0)
    check_agreement(step, arguments)


# Machine code


def test_numba_sees_one_call_instead_of_the_loops() -> None:
    traced = trace(layer(tj.relu), arguments_of("float32", *SHAPES[0]))
    emitted = traced.emitted()
    text = ast.unparse(outline(ast.parse(emitted.source), _prepared().resolve, emitted.constants, frozenset()).tree)
    assert "dot_" not in text
    assert text.count("for ") == 1  # over the sums that start


@pytest.mark.parametrize(("m", "n"), [(64, 128), (64, 10)])
def test_what_follows_is_in_vectors(m: int, n: int) -> None:
    traced = trace(lambda x, w, *_: tj.sqrt(tj.abs(x @ w)) / 3.0, arguments_of("float32", m, n, 64))
    emitted = traced.emitted()
    text = build.build(emitted.source, emitted.name, "kernel", emitted.constants).llvm_text()
    assert "fdiv <" in text
    assert "fdiv float" not in text
    assert "call float @llvm.sqrt" not in text
