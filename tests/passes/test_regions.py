"""What passes leave of operations that hold regions: no more than has to be there."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapejit as tj
from tapejit.graph import Graph, Node, Region, regions_of
from tapejit.passes.measure import measure
from tapejit.passes.split import obstacle
from tests.agreement import trace
from tests.kernel.test_regions import drawn
from tests.regions import scan, switch, while_loop


def graph_of(function: Callable[..., Any], *arguments: Any) -> Graph:
    return trace(function, drawn(arguments)).graph


def held(graph: Graph) -> list[Node]:
    """The operations that hold regions."""
    return [node for node in graph.nodes() if regions_of(node.params)]


def only(graph: Graph) -> tuple[dict[str, Any], Node]:
    (node,) = held(graph)
    return dict(node.params), node


def operations(region: Region | Graph) -> list[str]:
    graph = region.graph if isinstance(region, Region) else region
    return [node.primitive.name for node in graph.nodes() if node.primitive is not None]


def test_results_that_nobody_reads_go_with_what_they_are_made_of() -> None:
    def function(x, w):
        def body(_, a, b, c, row, unread):
            return [a + row, b * tj.exp(unread), c + 1.0], [tj.sin(row), b, a]

        found = scan(body, [x[0], x[1], w], [x, x * 2.0])
        return found[0], found[5]

    params, node = only(graph_of(function, (4, 3), (3,)))
    assert (params["carries"], params["slices"], len(node.inputs)) == (1, 1, 2)
    assert operations(params["body"]) == ["add"]


def test_what_one_loop_no_longer_reads_another_one_no_longer_gives() -> None:
    def function(x):
        _, doubled, exponentials = scan(lambda _, s, r: ([s + r], [s * 2.0, tj.exp(s)]), [x[0]], [x])
        return scan(lambda _, s, r, q: ([s + r], [tj.sin(q)]), [x[0]], [doubled, exponentials], reverse=True)[0]

    first, second = held(graph_of(function, (4, 3)))
    assert "exp" not in operations(dict(first.params)["body"])
    assert dict(second.params)["slices"] == 1


def test_what_does_not_change_is_no_carry() -> None:
    params, node = only(graph_of(lambda x, w: scan(lambda _, a, b: ([a * b, b], []), [x, w], length=5), (3,), (3,)))
    assert (params["carries"], params["body"].captures) == (1, 1)
    assert len(node.inputs) == 2


def test_what_does_not_change_is_computed_outside_of_the_loop() -> None:
    def function(x, w):
        return scan(lambda _, s, x: ([s * tj.exp(w) + x], [tj.sin(w), s]), [x[0]], [x])

    graph = graph_of(function, (4, 3), (3,))
    params, _ = only(graph)
    assert operations(params["body"]) == ["multiply", "add"]
    assert {"exp", "sin", "broadcast_to"} <= set(operations(graph))


def test_a_while_loop_computes_once_what_cannot_fail() -> None:
    def function(x, w, i):
        body = lambda n, y: [n + 1, y * tj.sum(tj.exp(w)) + w[i]]  # noqa: E731
        return while_loop(lambda n, _: n < tj.max(i), body, [np.int64(0), x])[1]

    graph = graph_of(function, (3,), (3,), np.array([0, 2, 1]))
    params, _ = only(graph)
    assert {"exp", "sum", "max"} <= set(operations(graph))
    assert operations(params["condition"]) == ["less"]
    assert "exp" not in operations(params["body"])
    assert "gather" in operations(params["body"])


def test_arrays_of_equal_slices_and_literals_are_no_slices() -> None:
    def function(x):
        equal, ones = tj.broadcast_to(x, (5, 3)), tj.ones((5, 3), x.dtype)
        return scan(lambda _, s, a, b: ([s * a * b], []), [x], [equal, ones])

    params, node = only(graph_of(function, (3,)))
    assert (params["slices"], params["body"].captures, len(node.inputs)) == (0, 1, 2)
    assert operations(params["body"]) == ["multiply"]


def test_a_matrix_is_turned_before_a_long_loop_that_sums_up_its_rows() -> None:
    """Where the same loop multiplies by the transposed matrix too, it has both."""

    def products(both: bool, length: int) -> str:
        def function(w, x):
            step = lambda _, x: ([tj.tanh(w @ x) + (w.T @ tj.sin(x) if both else 0.0)], [])  # noqa: E731
            return scan(step, [x], length=length)

        return trace(function, drawn(((16, 16), (16,)))).emitted().source

    assert products(both=False, length=20).count("lanes(16)") == 1
    assert products(both=True, length=20).count("lanes(16)") == 2
    for text in (products(both=False, length=20), products(both=True, length=20)):
        assert "permute_dims[i * 16 + j] = " in text
        assert "[i * 16 + j] * " not in text  # no row is summed up along memory
    assert "permute_dims" not in products(both=True, length=3)


def test_what_is_costly_and_once_a_row_has_a_loop_of_its_own() -> None:
    def function(x, h):
        return scan(lambda _, h, x: ([tj.tanh(tj.sum(x * h, axis=1))], []), [h], [x])

    text = trace(function, drawn(((3, 5, 5), (5,)))).emitted().source
    (line,) = [line for line in text.splitlines() if "tanh(" in line]
    before = text.splitlines()[text.splitlines().index(line) - 1]
    assert before.strip() == "for i in range(5):"


def test_what_a_matrix_is_multiplied_by_is_computed_before() -> None:
    def function(w, x):
        return scan(lambda _, x: ([w.T @ (x * (1.0 - x))], []), [x], length=20)

    text = trace(function, drawn(((16, 16), (16,)))).emitted().source
    (line,) = [line.strip() for line in text.splitlines() if "multiply_add(" in line]
    assert line == "sum = multiply_add(x0[j * 16 + i], multiply[j], sum)"


def test_loops_that_run_once_or_never_are_none() -> None:
    for rows in (1, 0):
        graph = graph_of(lambda x: scan(lambda _, s, x: ([s * x], [s + x]), [x.sum(axis=0)], [x]), (rows, 3))
        assert not held(graph)


def test_a_branch_that_is_known_is_no_branch() -> None:
    def function(x):
        which = tj.zeros((), "int64")
        return switch(which, [lambda: [tj.exp(x)], lambda: [tj.sin(x)]])

    graph = graph_of(function, (3,))
    assert not held(graph)
    assert operations(graph) == ["exp"]


def test_what_leaves_a_region_is_expanded_as_it_would_be_in_there() -> None:
    def function(x):
        (once,) = scan(lambda _, s, x: ([tj.softmax(s * x)], []), [x[0]], [x])
        (known,) = switch(tj.zeros((), "int64"), [lambda: [tj.softmax(once)], lambda: [x[0]]])
        body = lambda n, y: [n + 1, y * tj.softmax(once)]  # noqa: E731
        return while_loop(lambda n, _: n < 3, body, [np.int64(0), known])[1]

    graph = graph_of(function, (1, 3))
    assert obstacle(graph) is None
    assert "softmax" not in {*operations(graph), *operations(only(graph)[0]["body"])}


def test_what_all_branches_pass_on_goes_by_them() -> None:
    def function(i, x, y):
        return switch(i, [lambda: [tj.exp(x), y], lambda: [tj.sin(x), y]])

    params, node = only(graph_of(function, np.int64(0), (3,), (3,)))
    assert len(node.avals) == 1
    assert params["branches"][0].captures == 1


def test_a_condition_keeps_what_it_reads() -> None:
    def function(x):
        body = lambda n, y, unread: [n + 1, y * 2.0, unread + y]  # noqa: E731
        return while_loop(lambda n, *_: n < 3, body, [np.int64(0), x, x])[1]

    params, node = only(graph_of(function, (3,)))
    assert params["carries"] == 2
    assert len(node.avals) == 2


def test_passes_reach_into_bodies_of_bodies() -> None:
    def function(x):
        def outer(_, s, x):
            inner = scan(lambda _, a, b: ([a * x, b + 1.0], [tj.exp(a)]), [s, s], length=3)
            return [inner[0]], [inner[1]]

        return scan(outer, [x[0]], [x])[0]

    params, _ = only(graph_of(function, (4, 3)))
    inner, node = only(params["body"].graph)
    assert (inner["carries"], len(node.avals)) == (1, 1)
    assert operations(inner["body"]) == ["multiply"]


def test_a_report_counts_a_body_as_often_as_it_runs() -> None:
    def function(x):
        def outer(_, s):
            return scan(lambda _, s: ([tj.tanh(s) * x], []), [s], length=7), []

        return scan(outer, [x], length=5)

    plan = trace(function, drawn(((8,),))).plan()
    counts = measure(plan, plan.workspace)
    assert counts["flops"] == 8 * 2 * 35
    assert counts["loop_nests"] == 5  # two loops, the first values of each, and what is in the inner one
    assert counts["intermediate_bytes"] == 64  # the inner one's result can't be where the outer one's value still is
