"""Simplifications keep every bit; what they leave is as small as it should be."""

import sys
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.graph import Builder, Graph, evaluate, verify
from tapejit.lowering import Composite
from tapejit.passes import prepare
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
