"""Simplifications keep every bit; what they leave is as small as it should be."""

import sys
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.graph import Builder, Graph, evaluate, verify
from tapejit.lowering import Composite
from tapejit.passes.prepare import prepare
from tests.agreement import trace
from tests.programs import PROGRAMS, STEPS

MODULE = sys.modules[prepare.__module__]


def simplified(graph: Graph) -> Graph:
    """With the algebra only: composites and products stay."""
    builder = Builder()
    return graph.rebuilt(builder, lambda node, inputs: MODULE._simplify(builder, node, inputs))


def operations(function: Any, *arguments: np.ndarray) -> list[str]:
    nodes = trace(function, arguments).graph.nodes()
    return [node.primitive.name for node in nodes if node.primitive is not None]


@pytest.mark.parametrize("name", [*PROGRAMS, *STEPS])
@pytest.mark.parametrize("gradient", [False, True])
def test_algebra_keeps_every_bit(name: str, gradient: bool) -> None:
    program = {**PROGRAMS, **STEPS}[name]
    if gradient and not (program.differentiable and name in PROGRAMS):
        pytest.skip("no gradient")
    traced = trace(program.gradient() if gradient else program.bound(), program.draw(0))
    smaller = simplified(traced.raw)
    verify(smaller, "simplify")
    inputs = traced.inputs(program.draw(1))
    for before, after in zip(evaluate(traced.raw, inputs), evaluate(smaller, inputs), strict=True):
        for x, y in zip(before, after, strict=True):
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes()


def twice_negative(x: Any) -> Any:
    return tj.negative(tj.negative(x))


HARD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, 5e-324, 1.7e308])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 0.0, lambda x: x - 0.0, lambda x: 0.0 + x, lambda x: x * 1.0, lambda x: 1.0 * x,
        lambda x: x / 1.0,
        lambda x: x * 0.0, lambda x: x - x, lambda x: x / x, twice_negative, lambda x: x * -1.0, lambda x: x ** 1.0,
        lambda x: tj.asarray(-0.0, "float64") + x, lambda x: tj.ones_like(x) * x, lambda x: x - tj.zeros_like(x),
        lambda x: tj.flip(tj.flip(x)), lambda x: tj.reshape(tj.reshape(x, (3, 3)), (9,)),
        lambda x: tj.astype(x, "float64"), tj.stop_gradient, lambda x: tj.maximum(x, x),
        lambda x: tj.exp(tj.zeros_like(x)) * x,
    ],
)  # fmt: skip
def test_algebra_keeps_every_bit_of_special_values(function: Any) -> None:
    traced = trace(function, [HARD])
    raw, prepared = (evaluate(graph, traced.inputs([HARD]))[0][0] for graph in (traced.raw, traced.graph))
    assert raw.tobytes() == prepared.tobytes()


def test_what_changes_nothing_is_gone() -> None:
    x = np.ones((3, 4))
    assert operations(lambda x: tj.reshape(tj.astype(tj.stop_gradient(x), "float64"), (3, 4)), x) == []
    assert operations(lambda x: tj.reshape(tj.reshape(x, (12,)), (3, 4)) + x, x).count("add") == 1
    assert operations(twice_negative, x) == []


def test_adding_a_positive_zero_is_no_identity() -> None:
    assert "add" in operations(lambda x: x + tj.zeros_like(x), np.ones(3))


def test_operations_on_literals_are_literals() -> None:
    assert operations(lambda x: x * tj.exp(tj.zeros_like(x)), np.ones(3)).count("exp") == 0


def test_numbers_of_the_user_are_not_folded() -> None:
    assert operations(lambda x: x * 1.0, np.ones(3)).count("multiply") == 1


def test_no_composite_is_left() -> None:
    for program in (*PROGRAMS.values(), *STEPS.values()):
        for node in trace(program.bound(), program.draw(0)).graph.nodes():
            assert node.primitive is None or not isinstance(node.primitive.lowering, Composite)


def test_small_products_become_sums_and_large_ones_stay() -> None:
    small, large = np.ones((3, 4)), np.ones((40, 40))
    assert "matmul" not in operations(tj.matmul, small, small.T)
    assert operations(tj.matmul, large, large) == ["matmul"]
    assert "matmul" not in operations(tj.matmul, large, large[0])  # a vector
    integers = large.astype(np.int64)
    assert "matmul" not in operations(tj.matmul, integers, integers)  # no library holds these


def test_what_a_rewrite_makes_keeps_the_users_line() -> None:
    def function(x: Any) -> Any:
        return tj.softmax(x, axis=-1)

    nodes = trace(function, [np.ones((3, 4))]).graph.nodes()
    line = function.__code__.co_firstlineno + 1
    assert {node.where for node in nodes if node.primitive is not None} == {f"{__file__}:{line}"}


def compiled(function: Any, *arguments: Any) -> Any:
    step = tj.compile(function, strict=True)
    found, wanted = step(*arguments), step.eager(*arguments)
    for result, expected in zip(
        *(results if isinstance(results, (list, tuple)) else [results] for results in (found, wanted)), strict=True
    ):
        np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-12)
    return step


WIDE, TALL = np.arange(1200.0).reshape(30, 40) / 1000, np.arange(2000.0).reshape(40, 50) / 1000


def gradients(x: Any, y: Any) -> Any:
    with tj.GradientTape() as tape:
        tape.watch([x, y])
        z = tj.sum((x @ y) ** 2)
    return tape.gradient(z, [x, y])


@pytest.mark.parametrize(
    ("function", "x", "y", "products", "nests"),
    [
        (lambda x, y: x.T @ y, WIDE.T.copy(), TALL, 1, 0),
        (lambda x, y: x @ y.T, WIDE, TALL.T.copy(), 1, 0),
        (lambda x, y: x.T @ y.T, WIDE.T.copy(), TALL.T.copy(), 1, 0),
        (lambda x, y: (y.T @ x.T).T, WIDE, TALL, 1, 0),
        (lambda x, y: x.T.T @ tj.permute_dims(y.T, (1, 0)), WIDE, TALL, 1, 0),
        (lambda x, y: tj.matmul(tj.matrix_transpose(x), y), WIDE.T.copy(), TALL, 1, 0),
        (gradients, WIDE, TALL, 3, 1),
        (lambda x, y: gradients(x.T, y.T), WIDE.T.copy(), TALL.T.copy(), 3, 1),
    ],
)
def test_transposes_become_flags_of_matrix_products(
    function: Any, x: np.ndarray, y: np.ndarray, products: int, nests: int
) -> None:
    report = compiled(function, x, y).report()
    assert report["matrix_products"] == products
    assert report["loop_nests"] == nests


@pytest.mark.parametrize(
    ("function", "products"),
    [
        (lambda x, y: tj.sum(x @ y, axis=0), 0),
        (lambda x, y: tj.sum(-(x @ y), axis=1), 0),
        (lambda x, y: tj.sum(x @ y), 0),
        (lambda x, y: tj.sum(tj.stack([x, 2 * x]) @ y[None], axis=(0, 1)), 0),
        (lambda x, y: [tj.sum(x @ y, axis=0), x @ y], 1),
        (lambda x, y: tj.max(x @ y, axis=0), 1),
    ],
)
def test_the_sum_over_rows_of_a_product_is_the_product_of_a_sum(function: Any, products: int) -> None:
    assert compiled(function, WIDE, TALL).report()["matrix_products"] == products


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.T[::-1].T[:, ::-1] + 1,
        lambda x: tj.permute_dims(tj.permute_dims(tj.reshape(x, (2, 15, 40)), (1, 2, 0)), (1, 2, 0)) * 2,
        lambda x: x[2:20][1:5][:, ::3][:, 1:] * 2,
        pytest.param(
            lambda x: tj.reshape(tj.reshape(x, (30, 4, 10)), (30, 40)) - 1,
            marks=pytest.mark.xfail(strict=True, reason="an axis that is split and merged again is copied"),
        ),
        lambda x: tj.expand_dims(x, 0)[0][None, 3][0] * x[4],
        lambda x: tj.broadcast_to(tj.broadcast_to(x[0], (30, 40))[None], (2, 30, 40)) + x,
        lambda x: tj.flip(tj.roll(x, 3, axis=1), axis=0) * 2,
        lambda x: tj.moveaxis(tj.squeeze(tj.expand_dims(x, 1), axis=1), 0, 1).T[1:-1] * 2,
        lambda x: tj.sum(tj.broadcast_to(x[0], (30, 40)), axis=0),
        lambda x: tj.sum(tj.broadcast_to(x[:, None], (30, 7, 40)) * 2, axis=(0, 1)),
    ],
)
def test_nested_views_are_read_in_place(function: Any) -> None:
    step = compiled(function, WIDE)
    report = step.report()
    assert report["intermediate_bytes"] == 0
    assert report["loop_nests"] == 1


def test_effects_that_nobody_can_see_are_gone() -> None:
    w = tj.Variable(np.zeros((30, 40)))

    def overwritten(x: Any) -> Any:
        w.assign(tj.exp(x))
        w.assign(x * 2)
        return x

    def restored(x: Any) -> Any:
        before = w.read_value()
        w.assign(before + x)
        w.assign(before)
        return x

    assert operations(overwritten, WIDE) == ["multiply"]
    assert len(trace(overwritten, [WIDE]).graph.updates) == 1

    def assigned_itself(x: Any) -> Any:
        w.assign(w)
        return x

    for nothing in (restored, assigned_itself):
        assert operations(nothing, WIDE) == []
        assert trace(nothing, [WIDE]).graph.updates == ()


def test_what_nobody_asks_for_is_not_computed_and_the_same_is_computed_once() -> None:
    assert operations(lambda x: (tj.exp(x), x * 2)[1], WIDE) == ["multiply"]
    assert operations(lambda x: tj.exp(x) * tj.exp(x), WIDE).count("exp") == 1


def test_a_choice_within_a_choice_by_the_same_condition_is_one() -> None:
    def both(x: Any) -> Any:
        above = x > 0
        inner = tj.where(above, tj.exp(x), tj.sin(x))
        return tj.where(above, inner, 1.0), tj.where(above, 2.0, inner)

    found = operations(both, WIDE)
    assert (found.count("where"), found.count("exp"), found.count("sin")) == (2, 1, 1)
    traced = trace(both, [WIDE])
    inputs = traced.inputs([WIDE])
    for one, other in zip(*(evaluate(graph, inputs)[0] for graph in (traced.raw, traced.graph)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert operations(lambda x: tj.where(x > 0, tj.where(x > 1, x, 0.0), 1.0), WIDE).count("where") == 2


def test_a_choice_under_an_operator_is_made_but_not_one_that_keeps_numbers_from_a_function() -> None:
    def operator(x: Any) -> Any:
        above = x > 0
        return tj.where(above, -tj.where(above, x, 7.0), 2 * tj.where(above, 3.0, x))

    def function(x: Any) -> Any:
        above = x > 0
        return tj.where(above, tj.sqrt(tj.where(above, x, 1.0)), 0.0)

    assert operations(operator, WIDE).count("where") == 1
    assert operations(function, WIDE).count("where") == 2
    traced = trace(operator, [WIDE])
    inputs = traced.inputs([WIDE])
    np.testing.assert_array_equal(*(evaluate(graph, inputs)[0] for graph in (traced.raw, traced.graph)))
    above = WIDE > 0
    expected = np.where(above, -WIDE, 2 * WIDE)
    np.testing.assert_array_equal(evaluate(traced.graph, inputs)[0][0], expected)
