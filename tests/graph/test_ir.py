"""Nodes are interned, signatures name graphs, and graphs print and evaluate."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.aval import Aval
from tapejit.graph import Builder, Graph, evaluate, graph_signature, show
from tapejit.graph.ir import in_order, users_of
from tapejit.primitive import REGISTRY
from tests.agreement import trace
from tests.programs import PROGRAMS, STEPS

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)
X = np.arange(12.0).reshape(3, 4)


def signature(function: Callable[..., Any], *arguments: np.ndarray) -> str:
    return graph_signature(trace(function, arguments or (X,)).raw)


# Interning


def test_equal_applications_are_one_node() -> None:
    builder = Builder()
    x = builder.input("argument", 0, Aval((3,), F4))
    exp, add = REGISTRY["exp"], REGISTRY["add"]
    assert builder.apply(exp, (x,), {}) is builder.apply(exp, (x,), {}, "elsewhere:3")
    y = builder.apply(exp, (x,), {})
    assert builder.apply(add, (x, y), {}) is not builder.apply(add, (y, x), {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0.0, F4), (-0.0, F4)),
        ((1.0, F4), (1.0, F8)),
        ((1, np.dtype(np.int64)), (True, np.dtype(bool))),
        ((1, np.dtype("i4")), (1, np.dtype("u4"))),
    ],
)
def test_literals_compare_by_type_and_bits(one: Any, other: Any) -> None:
    builder = Builder()
    assert builder.literal(*one) is builder.literal(*one)
    assert builder.literal(*one) is not builder.literal(*other)


def test_equal_nans_are_equal() -> None:
    builder = Builder()
    assert builder.literal(np.nan, F4) is builder.literal(np.nan, F4)


def test_parameters_compare_by_type() -> None:
    builder = Builder()
    x = builder.input("argument", 0, Aval((3, 4), F4))
    total = REGISTRY["sum"]
    assert builder.apply(total, (x,), {"axes": (0,)}) is builder.apply(total, (x,), {"axes": (0,)})
    assert builder.apply(total, (x,), {"axes": (0,)}) is not builder.apply(total, (x,), {"axes": (1,)})


def test_order_puts_inputs_first_and_users_are_found() -> None:
    graph = trace(PROGRAMS["layer_norm"].bound(), PROGRAMS["layer_norm"].draw(0)).raw
    nodes = graph.nodes()
    position = {node: number for number, node in enumerate(nodes)}
    assert len(position) == len(nodes)
    users = users_of(nodes)
    for node in nodes:
        assert all(position[value] < position[node] for value in node.inputs)
        assert all(node in user.inputs for user in users[node])


def test_deep_graphs_need_no_deep_recursion() -> None:
    builder = Builder()
    node = builder.input("argument", 0, Aval((3,), F4))
    first = node
    for _ in range(20_000):
        node = builder.apply(REGISTRY["exp"], (node,), {})
    assert len(in_order([node])) == 20_001
    assert len(graph_signature(Graph((first,), (node,), ()))) == 64


# Signatures


def scaled(factor: float) -> Callable[..., Any]:
    return lambda x: x * factor


@pytest.mark.parametrize("name", [*PROGRAMS, *STEPS])
def test_equal_programs_have_equal_signatures(name: str) -> None:
    program = {**PROGRAMS, **STEPS}[name]
    one, other = (trace(program.bound(), program.draw(seed)) for seed in (0, 1))
    assert graph_signature(one.raw) == graph_signature(other.raw)
    assert graph_signature(one.graph) == graph_signature(other.graph)


def test_all_programs_have_distinct_signatures() -> None:
    programs = [*PROGRAMS.values(), *STEPS.values()]
    found = {graph_signature(trace(program.bound(), program.draw(0)).graph): program.name for program in programs}
    assert len(found) == len(programs)


def test_numbers_of_the_constant_table_do_not_matter() -> None:
    assert signature(scaled(2.0)) == signature(scaled(3.0)) == signature(scaled(0.0))


def test_two_numbers_are_not_merged() -> None:
    assert signature(lambda x: x * 2.0 + 2.0) == signature(lambda x: x * 2.0 + 3.0)


def literals(number: Any, dtype: str) -> str:
    builder = Builder()
    return graph_signature(Graph((), (builder.literal(number, np.dtype(dtype)),), ()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (literals(0.0, "f4"), literals(-0.0, "f4")),
        (literals(1, "i8"), literals(True, "?")),
        (literals(1, "f4"), literals(1, "f8")),
        (signature(tj.exp), signature(tj.sin)),
        (signature(tj.exp), signature(tj.exp, X[:2])),
        (signature(tj.exp), signature(tj.exp, X.astype(F4))),
        (signature(lambda x: tj.sum(x, axis=0)), signature(lambda x: tj.sum(x, axis=1), X)),
        (signature(lambda x: tj.flip(x, axis=0)), signature(lambda x: tj.flip(x, axis=1))),
        (signature(lambda x: x[:, :2]), signature(lambda x: x[:, 2:])),
        (signature(lambda x, y: x - y, X, X), signature(lambda x, y: y - x, X, X)),
        (signature(lambda x: (x, tj.exp(x))), signature(lambda x: (tj.exp(x), x))),
        (signature(lambda x: x), signature(lambda x: (x, x))),
        (signature(lambda x: tj.pad(x, ((1, 0), (0, 0)))), signature(lambda x: tj.pad(x, ((0, 1), (0, 0))))),
        (signature(lambda x, y: x, X, X), signature(lambda x, y: y, X, X)),
    ],
)  # fmt: skip
def test_distinct_graphs_have_distinct_signatures(one: str, other: str) -> None:
    assert one != other


def test_updates_belong_to_the_signature() -> None:
    v, w = tj.Variable(np.ones(3)), tj.Variable(np.ones(3))

    def first(x: Any) -> Any:
        v.assign(w + x)

    def second(x: Any) -> Any:
        w.assign(v + x)

    def result(x: Any) -> Any:
        return w + x

    x = np.ones(3)
    signatures = {graph_signature(trace(function, [x]).raw) for function in (first, result)}
    assert len(signatures) == 2
    assert signature(second, x) == signature(first, x)  # the variables in order of their use: one kernel serves both


# Evaluation and text


def test_evaluate_gives_outputs_and_new_values() -> None:
    w = tj.Variable(np.ones(3))

    def step(x: Any) -> Any:
        w.assign_add(x)
        return w * 2.0

    traced = trace(step, [np.arange(3.0)])
    (output,), (value,) = evaluate(traced.raw, traced.inputs([np.arange(3.0)]))
    np.testing.assert_array_equal(value, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(output, [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(w.numpy(), [1.0, 1.0, 1.0])  # a trace assigns nothing


def test_evaluate_refuses_an_input_that_is_not_listed() -> None:
    builder = Builder()
    stray = builder.input("argument", 1, Aval((), F4))
    with pytest.raises(ValueError, match="not among the graph's inputs"):
        evaluate(Graph((), (stray,), ()), [])


def test_show_names_inputs_operations_and_lines() -> None:
    w = tj.Variable(np.ones(4))

    def step(x: Any) -> Any:
        w.assign(tj.sum(x, axis=0))
        return tj.exp(x)

    traced = trace(step, [X])
    text = show(traced.raw, {traced.raw.inputs[0]: "data"})
    assert "data: float64[3, 4]" in text
    assert "= sum(data, axes=(0,))" in text
    assert "= exp(data)" in text
    assert f"{__file__}:{step.__code__.co_firstlineno + 1}" in text
    assert "assign variable0 <- " in text
    assert text.splitlines()[-1].startswith("return t")
