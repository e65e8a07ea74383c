"""The verifier finds each kind of fault when it is planted."""

import numpy as np
import pytest

from tapejit.aval import Aval
from tapejit.graph import Builder, Graph, Node, Part, verify
from tapejit.graph.verify import GraphError
from tapejit.primitive import REGISTRY
from tests.agreement import trace
from tests.programs import PROGRAMS, STEPS

F4 = np.dtype(np.float32)
BUILDER = Builder()
X = BUILDER.input("argument", 0, Aval((3,), F4))
W = BUILDER.input("variable", 0, Aval((3,), F4))
EXP = REGISTRY["exp"]
SLOGDET = REGISTRY["slogdet"]


def check(graph: Graph, fault: str) -> None:
    with pytest.raises(GraphError, match=fault) as caught:
        verify(graph, "planting")
    assert "after planting" in str(caught.value)


@pytest.mark.parametrize("name", [*PROGRAMS, *STEPS])
def test_traced_and_prepared_graphs_are_well_formed(name: str) -> None:
    program = {**PROGRAMS, **STEPS}[name]
    traced = trace(program.bound(), program.draw(0))
    verify(traced.raw, "trace")
    verify(traced.graph, "prepare")


def test_a_wrong_shape() -> None:
    check(Graph((X,), (Node(EXP, (X,), (), (Aval((4,), F4),)),), ()), r"its type should be float32\[3\]")


def test_a_wrong_dtype() -> None:
    check(Graph((X,), (Node(EXP, (X,), (), (Aval((3,), np.dtype(np.float64)),)),), ()), "its type should be")


def test_an_input_that_is_not_listed() -> None:
    check(Graph((), (BUILDER.apply(EXP, (X,), {}),), ()), "an input that the graph does not list")


def test_a_part_of_another_type() -> None:
    matrix = BUILDER.input("argument", 1, Aval((2, 2), F4))
    both = BUILDER.apply(SLOGDET, (matrix,), {})
    part = Node(Part(1), (both,), (), (Aval((2,), F4),))
    check(Graph((matrix,), (part,), ()), "a part whose type is not that of the result")


def test_an_assigned_value_of_another_shape() -> None:
    scalar = BUILDER.literal(1.0, F4)
    check(Graph((W,), (), ((W, scalar),)), "is assigned .* which has another type")


def test_something_assigned_that_is_no_variable() -> None:
    check(Graph((X,), (), ((X, BUILDER.apply(EXP, (X,), {})),)), "is assigned but no variable")


def test_a_variable_that_is_assigned_twice() -> None:
    value = BUILDER.apply(EXP, (W,), {})
    check(Graph((W,), (), ((W, value), (W, value))), "a variable is assigned twice")


def test_the_message_shows_the_neighbourhood() -> None:
    inner = Builder().apply(EXP, (X,), {}, "fit.py:7")
    wrong = Node(EXP, (inner,), (), (Aval((4,), F4),), "fit.py:8")
    with pytest.raises(GraphError) as caught:
        verify(Graph((X,), (wrong,), ()), "fusion")
    assert "fit.py:8" in str(caught.value)
    assert "fit.py:7" in str(caught.value)
