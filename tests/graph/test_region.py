"""Regions: closed bodies as parameters of operations, with captures that receive cotangents."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.aval import Aval
from tapejit.errors import TapejitError, TapejitWarning
from tapejit.families import as_array
from tapejit.graph import Builder, Graph, Region, evaluate, graph_signature, show, trace_region, verify
from tapejit.graph.verify import GraphError
from tapejit.passes.prepare import prepare
from tapejit.primitive import Primitive, Rule, bind
from tests.agreement import trace

F4 = np.dtype(np.float32)
X = np.array([0.5, 1.0, 2.0], np.float32)
NUMBER = Aval((3,), F4)


def _repeated(x: np.ndarray, *captures: np.ndarray, body: Region, times: int) -> np.ndarray:
    for _ in range(times):
        (x,) = body(x, *captures)
    return x


def _gradient(index: int, ct: Any, *rest: Any) -> Any:
    """Runs a tape over the body, once for each repetition; fit for a test."""
    *values, body, times = rest
    values = [value * 1 for value in values]  # apart, where an operand is captured as well
    with tj.GradientTape() as tape:
        tape.watch(values)
        x = values[0]
        for _ in range(times):
            x = unrolled(body, x, *values[1:])
    return tape.gradient(x, values[index], output_gradients=ct, unconnected_gradients="zero")


def unrolled(body: Region, *values: Any) -> Any:
    """The body's operations bound anew."""
    known = dict(zip(body.graph.inputs, values, strict=True))
    for node in body.graph.nodes():
        if node not in known:
            assert isinstance(node.op, Primitive)
            known[node] = bind(node.op, tuple(known[value] for value in node.inputs), dict(node.params))
    return known[body.graph.outputs[0]]


@cache
def repeat_with(captures: int) -> Primitive:
    """An operation that applies its body several times."""
    inputs = ("x", *(f"capture{position}" for position in range(captures)))
    names = ("ct", *inputs, "body", "times")
    return Primitive(
        name="repeat",
        inputs=inputs,
        impl=_repeated,
        rule=lambda *avals, body, times: avals[0],
        vjp={name: Rule(partial(_gradient, index), names) for index, name in enumerate(inputs)},
        lowering=None,
        cases=(),
    )


def repeat(function: Callable[[Any], Any], x: Any, times: int = 3) -> Any:
    start = as_array(x)
    aval = Aval(start.shape, start.dtype)
    body, captures = trace_region(lambda value: [function(value)], (aval,), "the body of repeat")
    return bind(repeat_with(len(captures)), (start, *captures), {"body": body, "times": times})


def region(function: Callable[..., Any], *avals: Aval) -> Region:
    return trace_region(lambda *values: [function(*values)], avals or (NUMBER,), "the body")[0]


def test_what_comes_from_outside_is_a_capture() -> None:
    w, outer, array = tj.Variable(X), tj.constant(X * 2), X * 3
    body, captures = trace_region(lambda x: [x * w + outer * array + 0.5 * outer], (NUMBER,), "the body")
    assert body.captures == len(captures) == 4
    np.testing.assert_array_equal(captures[0].numpy(), X)
    np.testing.assert_array_equal(captures[1].numpy(), X * 2)
    assert not body.faults()
    values = [each.numpy() for each in captures]
    np.testing.assert_allclose(body(X, *values)[0], X * X + 6 * X * X + X, rtol=1e-6)


def test_regions_that_compute_the_same_are_equal() -> None:
    def renamed(value: Any) -> Any:
        y = tj.sin(value)
        return y * value

    one, other = region(lambda x: tj.sin(x) * x), region(renamed)
    assert one == other
    assert hash(one) == hash(other)
    assert one != region(lambda x: x * tj.sin(x))
    assert one != region(lambda x: tj.sin(x) * x, Aval((4,), F4))
    assert one.graph is not other.graph


def test_nodes_with_equal_regions_are_one_node_and_the_signature_tells_others_apart() -> None:
    def step(x: Any) -> Any:
        return repeat(lambda value: tj.sin(value) * value, x), repeat(lambda again: tj.sin(again) * again, x)

    traced = trace(step, [X])
    assert traced.raw.outputs[0] is traced.raw.outputs[1]
    signatures = {
        graph_signature(trace(lambda x, f=f, n=n: repeat(f, x, n), [X]).raw)  # type: ignore[misc]
        for f in (tj.sin, tj.cos)
        for n in (2, 3)
    }
    assert len(signatures) == 4


def test_evaluation_and_eager_calls_agree() -> None:
    w = tj.Variable(0.5)
    function = lambda x: repeat(lambda value: value * w + x, x)  # noqa: E731
    traced = trace(function, [X])
    expected = X
    for _ in range(3):
        expected = expected * np.float32(0.5) + X
    np.testing.assert_allclose(function(X), expected, rtol=1e-6)
    for graph in (traced.raw, traced.graph):
        verify(graph, "test")
        np.testing.assert_allclose(evaluate(graph, traced.inputs([X]))[0][0], expected, rtol=1e-6)


def test_captures_receive_cotangents_to_second_order() -> None:
    w, x = tj.Variable(0.5), tj.constant(X)

    def gradients(run: Callable[[], Any]) -> list[np.ndarray]:
        with tj.GradientTape() as outer:
            with tj.GradientTape(persistent=True) as tape:
                tape.watch(x)
                y = tj.sum(run())
            first = tape.gradient(y, [w, x])
        return [*first, outer.gradient(first[0], w)]

    def plain() -> Any:
        value = x
        for _ in range(3):
            value = tj.sin(value * w + x)
        return value

    for found, expected in zip(
        gradients(lambda: repeat(lambda value: tj.sin(value * w + x), x)), gradients(plain), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_regions_inside_regions() -> None:
    w = tj.Variable(2.0)
    function = lambda x: repeat(lambda outer: repeat(lambda inner: inner * w + outer, outer, 2), x, 2)  # noqa: E731
    traced = trace(function, [X])
    expected = X
    for _ in range(2):
        outer = inner = expected
        for _ in range(2):
            inner = inner * 2 + outer
        expected = inner
    np.testing.assert_allclose(function(X), expected, rtol=1e-6)
    np.testing.assert_allclose(evaluate(traced.graph, traced.inputs([X]))[0][0], expected, rtol=1e-6)
    verify(traced.raw, "test")


def test_passes_go_into_regions() -> None:
    traced = trace(lambda x: repeat(lambda value: tj.softmax(value * 1 + tj.sin(tj.constant(0.0))), x), [X])
    (before,) = [value for _, value in traced.raw.outputs[0].params if isinstance(value, Region)]
    (after,) = [value for _, value in traced.graph.outputs[0].params if isinstance(value, Region)]
    assert "softmax" in before.text
    assert "softmax" not in after.text
    assert prepare(traced.raw).outputs[0].params == traced.graph.outputs[0].params


def test_the_text_of_a_graph_shows_regions() -> None:
    text = show(trace(lambda x: repeat(tj.sin, x), [X]).raw)
    assert "repeat(argument0, body=below, times=3)" in text
    assert "    body:\n        argument0: float32[3]  # argument\n" in text
    assert "= sin(argument0)" in text


def test_a_step_with_a_region_that_has_no_kernel_says_so_and_runs() -> None:
    w = tj.Variable(0.5)
    function = lambda x: tj.exp(repeat(lambda value: value * w, x)) + 1  # noqa: E731
    step = tj.compile(function)
    with pytest.warns(TapejitWarning, match="compiled in parts: repeat at"):
        np.testing.assert_allclose(step(X), np.exp(X / 8) + 1, rtol=1e-6)
    w.assign(1.0)
    np.testing.assert_allclose(step(X), np.exp(X) + 1, rtol=1e-6)


def test_effects_are_refused() -> None:
    w = tj.Variable(0.5, name="rate")
    with pytest.raises(TapejitError, match=r"the body of repeat assigns rate; return the value instead .at "):
        repeat(lambda value: w.assign(value[0]) * value, X)
    with pytest.raises(TapejitError, match="the body of repeat makes a Variable"):
        repeat(lambda value: tj.Variable(1.0) * value, X)
    assert float(w) == 0.5


BUILDER = Builder()
OTHER = BUILDER.input("argument", 1, NUMBER)
ARGUMENT = BUILDER.input("argument", 0, NUMBER)
VARIABLE = BUILDER.input("variable", 0, NUMBER)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (Region(Graph((VARIABLE,), (VARIABLE,), ())), "a region whose inputs are not its arguments in order"),
        (
            Region(Graph((OTHER,), (ARGUMENT,), ())),
            "an input that the graph does not list",
        ),
        (Region(Graph((VARIABLE,), (), ((VARIABLE, VARIABLE),))), "a region that assigns"),
        (Region(Graph((ARGUMENT,), (ARGUMENT,), ()), captures=2), "more captures than inputs"),
    ],
)
def test_the_verifier_goes_into_regions(body: Region, fault: str) -> None:
    node = BUILDER.apply(repeat_with(0), (ARGUMENT,), {"body": body, "times": 2})
    with pytest.raises(GraphError, match=fault):
        verify(Graph((ARGUMENT,), (node,), ()), "planting")
