"""What the planner makes of programs: how many loops, what is stored, which updates are in place."""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tests.agreement import Traced, check_agreement, trace
from tests.programs import STEPS


def drawn(*shapes: tuple[int, ...], dtype: str = "float32") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0.5, 1.5, shape).astype(dtype) for shape in shapes]


def nests(traced: Traced) -> list[ast.For]:
    """The outermost loops of the emitted text but for those that only fill accumulators, or only multiply matrices."""
    function = ast.parse(traced.emitted().source).body[0]
    assert isinstance(function, ast.FunctionDef)
    # Stages stand behind a test of their number, unless there is only one.
    lines = [line for node in function.body for line in (node.body if isinstance(node, ast.If) else [node])]
    loops = [node for node in lines if isinstance(node, ast.For)]
    return [node for node in loops if not _only_fills(node) and not _is_a_product(node)]


def _only_fills(loop: ast.For) -> bool:
    return all(
        _only_fills(node)
        if isinstance(node, ast.For)
        else isinstance(node, ast.Assign) and not any(map(_reads_memory, ast.walk(node.value)))
        for node in loop.body
    )


def _reads_memory(part: ast.AST) -> bool:
    match part:
        case ast.Call(ast.Name(name)):
            return name.startswith("dot_")
    return isinstance(part, ast.Subscript)


def _is_a_product(loop: ast.For) -> bool:
    """Whether there is a stored element of a product in two loops, and nothing else."""
    match loop.body:
        case [ast.For(body=[ast.Assign([ast.Subscript()], ast.Call(ast.Name(name)))])]:
            return name.startswith("dot_")
    return False


def depth(loop: ast.For) -> int:
    return 1 + max((depth(node) for node in loop.body if isinstance(node, ast.For)), default=0)


def plan_of(function: Callable[..., Any], *arguments: np.ndarray) -> tuple[int, int, int]:
    """Loop nests, matrix products and bytes of the real workspace; the report says the same."""
    traced = trace(function, arguments)
    emitted = traced.emitted()
    loops = len(nests(traced))
    products = sum(emitted.source.count(start) for start in ("    gemm_", "dot_"))
    report = emitted.layout.report
    assert (report["loop_nests"], report["matrix_products"]) == (loops, products), emitted.source
    real = emitted.layout.workspace + emitted.layout.scratch
    assert report["intermediate_bytes"] == real
    return loops, products, real


def dense(x: Any, w: Any, b: Any, ct: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch([x, w, b])
        y = tj.tanh(x @ w + b)
    return [y, *tape.gradient(y, [x, w, b], output_gradients=ct)]


def test_a_layer_and_its_gradients_are_one_loop_and_three_products() -> None:
    """Activation, its slope and the sums of the bias's gradient go with the first product."""
    arguments = drawn((64, 48), (48, 32), (32,), (64, 32))
    assert plan_of(dense, *arguments) == (1, 3, 4 * 64 * 32)  # what the other products read


def test_a_row_waits_for_all_of_its_product() -> None:
    def function(x: Any, w: Any) -> Any:
        return tj.softmax(x @ w, axis=-1)

    assert plan_of(function, *drawn((64, 48), (48, 32))) == (1, 1, 4 * (64 * 32 + 32))  # the product, and one row


def step_of(name: str, *shapes: tuple[int, ...]) -> Callable[..., Any]:
    variables = [tj.Variable(value) for value in drawn(*shapes)]
    return lambda *arguments: STEPS[name].function(*arguments, *variables)


# The table of the design


def test_line_fit_is_one_loop_without_workspace() -> None:
    assert plan_of(step_of("line_fit", (), ()), *drawn((6,), (6,))) == (1, 0, 0)


def greeks(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
    sources = [s, t, r, v]
    with tj.GradientTape() as outer:
        outer.watch(s)
        with tj.GradientTape() as tape:
            tape.watch(sources)
            root = v * tj.sqrt(t)
            d1 = (tj.log(s / k) + (r + v * v / 2) * t) / root
            price = s * normal(d1) - k * tj.exp(-r * t) * normal(d1 - root)
        delta, theta, rho, vega = tape.gradient(price, sources)
    return price, delta, theta, rho, vega, outer.gradient(delta, s)


def normal(z: Any) -> Any:
    return 0.5 * (1 + tj.erf(z / 2**0.5))


def test_black_scholes_with_all_greeks_is_one_loop_without_workspace() -> None:
    assert plan_of(greeks, *drawn(*[(100,)] * 5, dtype="float64")) == (1, 0, 0)


def test_softmax_regression() -> None:
    n, d, k = 32, 64, 10
    loops, products, workspace = plan_of(step_of("softmax_regression", (d, k), (k,)), *drawn((n, d), (n, k)))
    assert (loops, products) == (3, 2)  # the rows, and the updates of w and b
    # The logits, which their cotangents overwrite; the gradient of w; rows.
    assert workspace <= 4 * (n * k + d * k) + 3 * 64


def test_a_value_overwrites_another_one_that_is_read_for_the_last_time() -> None:
    x, w = drawn((64, 32), (32, 64))
    rows = 64 * 64 * 4
    # Element by element, also after a reduction over each row; not where an element is read after it was written.
    assert plan_of(lambda x, w: tj.exp(x @ w) @ w.T @ w, x, w)[2] <= rows + 64 * 32 * 4
    assert plan_of(lambda x, w: tj.softmax(x @ w) @ w.T, x, w)[2] <= rows + 64 * 4
    assert plan_of(lambda x, w: (tj.exp(x @ w) + (x @ w).T) @ w.T, x, w)[2] >= 2 * rows
    assert plan_of(lambda x, w: (tj.exp(x @ w) + tj.flip(x @ w, axis=1)) @ w.T, x, w)[2] >= 2 * rows


def test_logistic_regression_shares_the_row_loop() -> None:
    loops, products, workspace = plan_of(step_of("logistic_regression", (8,)), *drawn((100, 8), (100,)))
    assert (loops, products) == (2, 0)  # the rows, and the update
    assert workspace <= 64  # the gradient


def test_layer_norm_and_its_gradients_are_one_loop_over_rows() -> None:
    def function(x: Any, gamma: Any, beta: Any, ct: Any) -> Any:
        sources = [x, gamma, beta]
        with tj.GradientTape() as tape:
            tape.watch(sources)
            centred = x - tj.mean(x, axis=-1, keepdims=True)
            variance = tj.mean(centred * centred, axis=-1, keepdims=True)
            y = centred / tj.sqrt(variance + 1e-5) * gamma + beta
        return [y, *tape.gradient(y, sources, output_gradients=ct)]

    loops, products, workspace = plan_of(function, *drawn((32, 16), (16,), (16,), (32, 16)))
    assert (loops, products) == (1, 0)
    assert workspace <= 2 * 64  # rows only


def test_perceptron() -> None:
    n, d, h, k = 64, 64, 128, 10
    function = step_of("perceptron", (d, h), (h,), (h, k), (k,))
    loops, products, _ = plan_of(function, *drawn((n, d), (n, k)))
    assert products == 5
    assert loops <= 3 + 4


# Fusion


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_is_one_nest(axis: int) -> None:
    loops, _, _ = plan_of(lambda x: tj.softmax(x, axis=axis), *drawn((30, 20)))
    assert loops == (1 if axis == 1 else 3)


def test_elementwise_chains_are_one_loop_without_workspace() -> None:
    def chain(x: Any) -> Any:
        for _ in range(40):
            x = tj.tanh(x) + 0.5
        return x

    traced = trace(chain, drawn((50,)))
    assert len(nests(traced)) == 1
    assert traced.emitted().layout.workspace == 0


def test_views_are_no_loops() -> None:
    loops, _, workspace = plan_of(lambda x: tj.flip(x.T, axis=0)[1:] * 2.0 + x[0, 0], *drawn((8, 9)))
    assert (loops, workspace) == (1, 0)


def test_an_expensive_value_is_computed_once_and_a_cheap_one_is_not_stored() -> None:
    _, _, expensive = plan_of(lambda v: (h := tj.exp(v))[:, None] * h[None, :], *drawn((50,)))
    _, _, cheap = plan_of(lambda v: (h := v + v)[:, None] * h[None, :], *drawn((50,)))
    assert expensive >= 200
    assert cheap == 0


def test_values_that_do_not_change_in_a_loop_are_computed_before_it() -> None:
    traced = trace(lambda x: x / tj.sqrt(tj.sum(x * x, axis=1, keepdims=True)), drawn((30, 20)))
    (rows,) = nests(traced)
    inner = [node for node in rows.body if isinstance(node, ast.For)]
    assert "sqrt" in ast.unparse(rows)
    assert not any("sqrt(" in ast.unparse(loop) for loop in inner)


def test_planning_a_thousand_operations_takes_no_deep_recursion_and_little_time() -> None:
    def chain(x: Any) -> Any:
        for _ in range(1000):
            x = x * 0.5 + x
        return x

    assert len(nests(trace(chain, drawn((4,))))) == 1


# In place


IN_PLACE = {
    "swap": [False, True],
    "rotate": [True, True, False],  # its value is computed before w is read for v
    "reverse": [False],
    "add_transposed": [False],
    "transpose": [False],
    "update_and_result": [True],
    "update_from_reductions": [True, True],
    "update_from_products": [True, True],
    "update_from_own_product": [False],  # written in tiles, element by element, while whole rows of it are read
    "update_by_own_total": [True],
    "update_by_own_rows": [True],
    "update_by_own_columns": [True],
    "shifted_update": [False],
    "line_fit": [True, True],
    "softmax_regression": [True, True],
    "momentum_and_scale": [True, True, True],
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_updates_are_in_place_where_every_read_comes_before_the_write(name: str) -> None:
    program = STEPS[name]
    assert list(trace(program.bound(), program.draw(0)).plan().in_place) == IN_PLACE[name]


def test_parts_of_an_update_that_do_not_read_one_another_are_in_place() -> None:
    v = tj.Variable(np.arange(9, dtype=np.float32))

    def apart(x: Any) -> None:
        v.assign(tj.concat([v[:4] * x[:4], v[4:] + x[4:]]))

    def crossed(x: Any) -> None:
        v.assign(tj.concat([v[5:] * x[:4], v[:5] + x[4:]]))

    def overlapping(x: Any) -> None:
        v.assign(tj.concat([v[1:5] * x[:4], v[4:] + x[4:]]))

    for function, fits in ((apart, True), (crossed, False), (overlapping, False)):
        traced, _ = check_agreement(function, drawn((9,)))
        assert traced.plan().in_place == (fits,)


def test_an_update_whose_rows_are_read_before_they_are_written_is_in_place() -> None:
    w = tj.Variable(np.ones((6, 6), np.float32))

    def rows(x: Any) -> None:
        w.assign(w * 2.0 + tj.sum(w, axis=1, keepdims=True) * x)

    def first_row(x: Any) -> None:
        w.assign(w * 2.0 + tj.sum(w[0] * x))

    def shifted_rows(x: Any) -> None:
        w.assign(w * x + tj.sum(tj.flip(w, axis=0), axis=1, keepdims=True))

    assert trace(rows, drawn((6, 6))).plan().in_place == (True,)
    assert trace(first_row, drawn((6,))).plan().in_place == (True,)
    assert trace(shifted_rows, drawn((6, 6))).plan().in_place == (False,)


def test_no_update_writes_where_a_later_statement_reads() -> None:
    w = tj.Variable(np.arange(6, dtype=np.float32))

    def step(x: Any) -> Any:
        before = w.read_value()
        w.assign(w + x)
        return tj.sum(before[::-1] * w)

    assert trace(step, drawn((6,))).plan().in_place == (False,)
