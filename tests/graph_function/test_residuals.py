"""What a function keeps for its backward pass: the cheapest cut, held against all others, and the rule."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import tapejit as tj
from tapejit.aval import Aval
from tapejit.graph import Graph, Trace, evaluate, verify
from tapejit.graph.connections import bits_of, connections, positions_of, union
from tapejit.graph_function.joint import Joint, Pattern, differentiate
from tapejit.graph_function.minimum_cut import Network
from tapejit.graph_function.needs import needed, places
from tapejit.graph_function.reverse import places_read, reverse_graph, with_residuals
from tapejit.primitive import interpreting

Function = Callable[..., Any]
Shape = tuple[int, ...]
FLOAT64 = np.dtype(np.float64)


def graph_of(function: Function, *shapes: Shape) -> Graph:
    trace = Trace(tuple(Aval(shape, FLOAT64) for shape in shapes))
    with interpreting(trace):
        out = function(*[trace.argument(position) for position in range(len(shapes))])
    return trace.finish(list(out) if isinstance(out, tuple) else [out])


def kept(function: Function, *shapes: Shape, active: int | None = None) -> list[str]:
    """The residuals, by operation."""
    graph = graph_of(function, *shapes)
    connected = connections(graph)
    extended, _, _ = with_residuals(graph, connected, 2 ** len(shapes) - 1 if active is None else active)
    verify(extended, "with_residuals")
    return [node.primitive.name for node in extended.outputs[len(graph.outputs) :] if node.primitive]


# The cut


def cheapest(size: int, edges: Sequence[tuple[int, int, int]]) -> int:
    """The capacity of the best cut between vertices 0 and 1, by looking at all of them."""
    sides = ((True, False, *rest) for rest in product((True, False), repeat=size - 2))
    return min(sum(room for start, end, room in edges if side[start] and not side[end]) for side in sides)


@given(st.integers(2, 7).flatmap(lambda n: st.tuples(
    st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1), st.integers(0, 9)), max_size=20)
)))  # fmt: skip
def test_no_cut_is_cheaper(network: tuple[int, list[tuple[int, int, int]]]) -> None:
    size, edges = network
    found = Network(size)
    for edge in edges:
        found.connect(*edge)
    side = found.source_side(0, 1)
    assert 0 in side
    assert 1 not in side
    assert sum(room for start, end, room in edges if start in side and end not in side) == cheapest(size, edges)


def test_a_long_network_is_no_problem() -> None:
    count = 20_000
    network = Network(count)
    for vertex in range(count - 1):
        network.connect(vertex, vertex + 1, 3 if vertex == count // 2 else 7)
    assert len(network.source_side(0, count - 1)) == count // 2 + 1


# The rule


N = (100, 50)


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (lambda x: x + x, [N], []),
        (lambda x: tj.sum(x * 3.0), [N], []),
        (lambda x: tj.sin(x), [N], []),
        (lambda x: tj.exp(x), [N], []),
        (lambda x: tj.sum(tj.exp(x)), [N], ["exp"]),
        (lambda x: tj.sum(tj.tanh(tj.exp(x))), [N], ["exp", "tanh"]),
        (lambda x: tj.sum(tj.sin(x * 2.0 + 1.0)), [N], []),  # cheap: again from the input
        (lambda x: tj.sum(tj.sin(tj.exp(x) * 2.0 + 1.0)), [N], ["exp"]),  # cheap: again from exp
        (lambda x, y: tj.sum((x @ y) ** 2), [(40, 30), (30, 20)], ["matmul"]),
        (lambda x, y: tj.sum(tj.exp(x @ y)), [(40, 30), (30, 20)], ["exp"]),
        (lambda x: tj.sum(tj.square(x - tj.mean(x))), [N], ["divide"]),  # the mean, not the differences
        (lambda x: tj.sum(tj.matrix_transpose(tj.exp(x)) ** 2), [N], ["exp"]),
        (lambda x, y: tj.sum(tj.sin((x @ y)[:2])), [(40, 30), (30, 20)], ["strided_slice"]),  # less than all of it
        (lambda x, y: tj.sum(tj.sin(tj.sum(x, axis=0) + y)), [N, N], ["sum"]),  # the row, not the sum with y
        (lambda x: tj.sum(tj.maximum(x @ x, 1.0)), [(50, 50)], ["isnan", "less"]),  # one byte each instead of eight
        (lambda x: tj.cumsum(tj.cumsum(x)), [(50,)], []),
    ],
)
def test_what_is_kept(function: Function, shapes: list[Shape], expected: list[str]) -> None:
    assert kept(function, *shapes) == expected


def test_only_what_the_followed_inputs_need_is_kept() -> None:
    def function(x: Any, y: Any) -> Any:
        return tj.sum(tj.exp(x) * tj.sin(tj.exp(y)))

    assert kept(function, N, N, active=0b01) == ["sin", "exp"]
    assert kept(function, N, N, active=0b10) == ["exp", "exp"]
    assert sorted(kept(function, N, N)) == ["exp", "exp", "sin"]


def test_a_chain_whose_end_alone_is_needed_is_cut_at_its_end() -> None:
    def function(x: Any) -> Any:
        for _ in range(40):
            x = x + 0.5
        return tj.sum(tj.sin(x))

    assert kept(function, N) == ["add"]


def test_a_thousand_operations() -> None:
    def cheap(x: Any) -> Any:
        y = x
        for _ in range(1000):
            y = y * x + 0.5
        return tj.sum(y)

    def costly(x: Any) -> Any:
        for _ in range(1000):
            x = tj.exp(x * 0.5)
        return tj.sum(x)

    assert kept(cheap, N) == []
    assert kept(costly, N) == ["exp"] * 1000


def read_without_a_cut(graph: Graph, active: int) -> int:
    """The bytes that the backward pass would read if it computed nothing again that the forward pass has."""
    connected = connections(graph)
    _, pattern, joint = with_residuals(graph, connected, active)
    forward = set(joint.forward.values())
    given = {joint.forward[node] for node in places(graph)}
    backward, seen = [*joint.roots], set()
    total = 0
    while backward:
        node = backward.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in forward:
            total += 0 if node in given else node.aval.nbytes
        else:
            backward.extend(node.inputs)
    assert pattern.wanted
    return total


def programs() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    return st.lists(st.tuples(st.integers(0, 8), st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=25)


def assembled(lines: list[tuple[int, int, int]]) -> Function:
    """A random program over matrices, rows and numbers."""
    operations: list[Function] = [
        lambda x, y: x * y,
        lambda x, y: x + y,
        lambda x, _: tj.exp(x * 0.1),
        lambda x, _: tj.sin(x),
        lambda x, y: tj.where(x > y, x, y * 2),
        lambda x, _: tj.sum(x, axis=tuple(range(len(x.shape)))[-1:], keepdims=True),
        lambda x, _: tj.relu(x),
        lambda x, y: tj.broadcast_to(x, (5, 5)) @ tj.broadcast_to(y, (5, 5)) / 9,
        lambda x, _: tj.flip(x),
    ]

    def function(x: Any, y: Any) -> Any:
        values = [x, y, tj.sum(y)]
        for operation, left, right in lines:
            values.append(operations[operation](values[left % len(values)], values[right % len(values)]))
        return values[-1], tj.sum(values[len(values) // 2]), values[-1] * 0.5

    return function


@given(programs(), st.integers(1, 3))
def test_never_more_is_kept_than_is_read(lines: list[tuple[int, int, int]], active: int) -> None:
    graph = graph_of(assembled(lines), (5, 5), (5,))
    connected = connections(graph)
    active &= union(connected.get(node, 0) for node in graph.outputs)
    if not active:
        return
    extended, pattern, joint = with_residuals(graph, connected, active)
    residuals = extended.outputs[len(graph.outputs) :]
    assert sum(node.aval.nbytes for node in residuals) <= read_without_a_cut(graph, active)
    # What a tape keeps is enough, for this reverse pass and for that of the function with residuals.
    connected = connections(extended)
    tape_keeps = needed(extended, connected, active, residuals)
    arrived = tuple((place, False) for place, node in enumerate(extended.outputs) if connected.get(node, 0) & active)
    for each in (joint, differentiate(extended, Pattern(pattern.wanted, arrived))):
        check_reverse(extended, each, tape_keeps)
        check_reverse(extended, each, tape_keeps | places_read(extended, each))


def check_reverse(graph: Graph, joint: Joint, kept: set[int]) -> None:
    """The gradients of the reverse graph are those of the joint graph, and it reads nothing but what is kept."""
    reverse = reverse_graph(graph, joint, kept)
    verify(reverse.graph, "reverse")
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(0.5, 1.5, node.aval.shape) for node in graph.inputs]
    cts = [rng.uniform(0.5, 1.5, node.aval.shape) for node in joint.arriving]
    whole = Graph(tuple(joint.trace.arguments), tuple(joint.roots), ())
    values = [*inputs, *evaluate(graph, inputs)[0]]
    found = evaluate(reverse.graph, [[*values, *cts][place] for place in reverse.operands])[0]
    for gradient, expected in zip(found, evaluate(whole, [*inputs, *cts])[0], strict=True):
        np.testing.assert_array_equal(gradient, expected)
    assert {place for place in reverse.operands if place < len(values)} <= kept


# What depends on what


def test_connections_are_those_of_tapes() -> None:
    graph = graph_of(lambda x, y: (x * x, tj.floor(x) + y, tj.stop_gradient(x), tj.sum(x > y), x @ y), (3, 3), (3, 3))
    connected = connections(graph)
    assert [connected.get(node, 0) for node in graph.outputs] == [0b01, 0b10, 0, 0, 0b11]


def test_sets_of_positions() -> None:
    assert bits_of([0, 3]) == 0b1001
    assert list(positions_of(0b1001)) == [0, 3]
    assert union([0b1, 0b100]) == 0b101
