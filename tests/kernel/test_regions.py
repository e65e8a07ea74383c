"""Loops and branches of kernels: what operations that hold regions become, against NumPy and with both emitters."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given

import tapejit as tj
from tapejit.errors import IndexRangeError
from tapejit.kernel.emission import emit
from tapejit.passes import bodies, orientation, regions, rows
from tapejit.passes.split import CallPart, split
from tests.agreement import check_agreement, trace
from tests.kernel.oracle import is_steady
from tests.kernel.random_programs import RandomProgram, examples, random_programs
from tests.kernel.test_outline import results
from tests.regions import scan, switch, while_loop

GOLDEN = Path(__file__).parent / "golden_regions"
Case = tuple[Callable[..., Any], tuple[Any, ...]]
CASES: dict[str, Case] = {}


def case(*arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a function and shapes, or arguments, to the table."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        CASES[function.__name__] = function, arguments
        return function

    return add


def drawn(arguments: tuple[Any, ...], dtype: str = "float64") -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [
        rng.uniform(0.5, 1.5, each).astype(dtype) if isinstance(each, tuple) else np.asarray(each) for each in arguments
    ]


# Loops


@case((4, 4), (6, 4), (4,))
def recurrent(w, x, h):
    def body(_, h, x):
        h = tj.tanh(w @ h + x)
        return [h], [h * 2.0]

    return scan(body, [h], [x])


@case((9,))
def number(x):
    return scan(lambda _, s, x: ([s + x * x], [s]), [np.float64(0.5)], [x])


@case(())
def numbers_in_turn(x):
    return scan(lambda _, a, b: ([b, a + b], [a]), [x, x * 2.0], length=7)


@case((3,))
def arrays_in_turn(x):
    return scan(lambda _, a, b: ([b, a + b], [a]), [x, x * 2.0], length=7)


@case((3,))
def arrays_that_change_places(x):
    return scan(lambda _, a, b: ([b, a], [a]), [x, x * 2.0], length=5)


@case(())
def numbers_that_change_places(x):
    return scan(lambda _, a, b: ([b, a], []), [x, x * 2.0], length=5)


@case((5, 3), (3,))
def backwards(x, c):
    def body(t, s, x):
        s = s * 0.5 + x + tj.flip(s)
        return [s], [s + tj.astype(t, s.dtype)]

    return scan(body, [c], [x], reverse=True)


@case((3,))
def made_of_the_index(x):
    body = lambda t, s: ([s + tj.astype(t, s.dtype)], [t**2, tj.maximum(t, 2), t, s[t // 4]])  # noqa: E731
    return scan(body, [x], length=6)


@case()
def the_index_itself():
    return scan(lambda t, s: ([t], [t]), [tj.zeros((), "int64")], length=6)


@case((3,))
def as_it_was(x):
    """Carried values that stay, move on, and are given as they are."""
    body = lambda _, a, b, c: ([a, c, a + b], [a, b, b, x, tj.zeros(3, x.dtype), np.float64(2)])  # noqa: E731
    return scan(body, [x, x * 2.0, x * 3.0], length=4)


@case((1, 2))
def one_iteration(x):
    return scan(lambda t, a, r: ([a * r + tj.astype(t, a.dtype)], [a]), [x[0]], [x])


@case((3, 2))
def no_iteration(x):
    return scan(lambda _, a, r: ([a * r], [a + r]), [x[0] * 2.0], [x[:0]])


@case((4, 5), (4, 4))
def views_of_what_it_reads(x, w):
    def body(_, s, row):
        return [s @ w.T + tj.flip(row) * tj.broadcast_to(w[0, 0], (4,))], [row[1:] - s[:-1], s]

    return scan(body, [tj.zeros(4, x.dtype)], [x.T[::-1]])


@case((3, 4), ())
def slices_of_numbers(x, rate):
    """A column is a slice of numbers that lie apart."""
    return scan(lambda _, s, a, b: ([s + rate * a / b], [a - b]), [rate], [x[:, 1], x[::-1, 2]])


@case((5, 3), np.array([0, -1, 2, 1, 3]))
def computed_indices(x, i):
    return scan(lambda t, s: ([s + x[t] + x[i[t]]], [tj.sort(x[t])[0], t * 2]), [x[0]], length=5)


@case((7,), np.array([3, 0, -1, 3]))
def written_at_computed_indices(x, i):
    """Where the array is; or not, if others still read it."""

    def body(_, a, b, c, i):
        a = tj.scatter_add(a, i, tj.sin(a[i - 1]))
        return [a, tj.scatter_add(b, i, 1.0), tj.scatter_set(c, i, tj.sum(b))], [b[0] * c]

    return scan(body, [x, x * 2.0, x * 3.0], [i])


@case((5, 3), np.array([1, 0, 1]))
def rows_written_at_computed_indices(x, i):
    """A row that is made of the rows there can't be written over them."""
    return scan(lambda _, s, i: ([tj.scatter_add(s, tj.stack([i, i + 1]), tj.sin(s[:2]))], []), [x], [i])


@case((24, 24), (3, 2))
def products(a, b):
    def body(_, s, b):
        s = s @ a * 0.1 + tj.sum(b)
        return [s], [s]

    return scan(body, [a], [b])


@case((9, 9), (9,), (24, 24), (24,), (32, 32), (32,))
def matrices_times_vectors(a, x, b, y, c, z):
    """Along rows and along columns, of as many elements as fill vectors, and of others."""

    def body(_, x, y, z):
        x, y = tj.tanh(a @ x * 0.1), tj.sin(y @ b * 0.05) + y * 0.5
        return [x, y, tj.sin(c @ z * 0.02) + c.T @ tj.tanh(z) * 0.02], [tj.sum(a, axis=0) * x]

    return scan(body, [x, y, z], length=16)


@case((9, 9), (9,), np.array([2, 0, 1, 8, 4, 4, 3, 7, 6]))
def products_beside_what_does_not_go_in_lanes(w, x, i):
    """Sums of their results, and what is read at computed indices or under conditions."""

    def body(_, x):
        y = tj.tanh(w @ x * 0.1)
        moved = tj.concat([y[3:], x[:3]]) + x[i] + tj.cumsum(y)
        return [y + moved * 0.1], [tj.sum(y * x), tj.scatter_add(x, i, y), moved, tj.argsort(y)]

    return scan(body, [x], length=16)


@case((4, 3, 3))
def sums_and_softmax(x):
    def body(_, s, x):
        return [tj.sum(x * s[:, None], axis=0) / tj.sum(x)], [tj.max(x), tj.softmax(x, axis=0)]

    return scan(body, [x[0, 0]], [x])


@case((3, 2, 2))
def linear_algebra(x):
    matrices = x + 3.0 * tj.eye(2, dtype=x.dtype)
    return scan(lambda _, s, a: ([tj.linalg.solve(a, s)], [tj.linalg.inv(a)[0]]), [x[0]], [matrices])


@case((3, 40, 5))
def rows_in_lanes(x):
    return scan(lambda _, s, x: ([s + tj.sum(tj.softmax(x, axis=1) * s, axis=0)], []), [x[0, 0]], [x])


@case((3,))
def until_it_is_small(x):
    return while_loop(lambda n, y: tj.sum(y) > 0.1, lambda n, y: [n + 1, tj.flip(y) * 0.5], [np.int64(0), x])


@case((3,), np.int64(4))
def as_long_as(x, n):
    body = lambda i, m, y, z: [i + 1, m, y * tj.sum(x), z + y]  # noqa: E731
    return while_loop(lambda i, m, *_: i < m, body, [np.int64(0), n, x, x])


@case((3,))
def never(x):
    return while_loop(lambda n, y: n > 3, lambda n, y: [n + 1, y + tj.flip(y)], [np.int64(0), x])


# Branches


@case(np.int64(1), (3,))
def one_of_three(i, x):
    return switch(i, [lambda: [x, tj.sum(x)], lambda: [x * 2.0, x[0]], lambda: [tj.flip(x), tj.sum(x * x)]])


@case(np.array([0, 1]), (2, 2))
def a_view_says_which(i, x):
    return switch(i[1], [lambda: [x.T], lambda: [x @ x]])


# Nested


@case((4, 3, 2), (2,))
def loop_in_loop(x, w):
    def outer(_, h, rows):
        inner = lambda _, s, x: ([tj.tanh(w * s + x + tj.sum(h))], [s[0]])  # noqa: E731
        s, firsts = scan(inner, [h * 0.5], [rows])
        return [s], [firsts, tj.sum(s)]

    return scan(outer, [w], [x])


@case((3,))
def arrays_in_turn_in_loops(x):
    def outer(_, a, b):
        c, d = scan(lambda _, p, q: ([q, p + q], []), [a, b], length=3)
        return [d, c], []

    return scan(outer, [x, x * 2.0], length=5)


@case(())
def numbers_in_turn_in_loops(x):
    def outer(_, a, b):
        c, d = scan(lambda _, p, q: ([q, p + q * 0.5], []), [a, b], length=3)
        return [d, c], [c]

    return scan(outer, [x, x * 2.0], length=5)


@case((4, 3), np.array([0, 1, 2, 1]))
def branches_in_a_loop(x, which):
    def body(_, s, x, i):
        (s,) = switch(i, [lambda: [s + x], lambda: [tj.flip(s) * x], lambda: [s]])
        return [s], [tj.sum(s)]

    return scan(body, [x[0]], [x, which])


@case((4,), np.array([0, 1, 2, 1]))
def branches_of_numbers_in_a_loop(x, which):
    def body(_, s, x, i):
        (s,) = switch(i, [lambda: [s + x], lambda: [s * x], lambda: [s]])
        return [s], [s]

    return scan(body, [x[0]], [x, which])


@case((3,), np.int64(0))
def loop_in_a_branch(x, i):
    halved = lambda k, y: [k + 1, tj.flip(y) * 0.5 + y]  # noqa: E731
    return switch(i, [lambda: while_loop(lambda k, _: k < 4, halved, [np.int64(0), x])[1:], lambda: [x * x]])


@pytest.mark.parametrize("name", CASES)
def test_loops_and_branches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, arguments = CASES[name]
    given = drawn(arguments)
    traced, _ = check_agreement(function, given)
    monkeypatch.setenv("TAPEJIT_EMIT", "instructions")
    as_instructions = results(traced, given)
    monkeypatch.setenv("TAPEJIT_EMIT", "source")
    for one, other in zip(results(traced, given), as_instructions, strict=True):
        assert one.tobytes() == other.tobytes()


@examples(12)
@given(random_programs(largest=60, regions=True))
def test_random_programs_with_loops_and_branches(program: RandomProgram) -> None:
    assume(is_steady(program.function(), program.draw(0), program.draw(1)))
    with ExitStack() as stack:  # small matrices are turned for few iterations
        for module, name in ((orientation, "FEWEST"), (rows, "FEWEST"), (bodies, "LONG"), (regions, "LONG")):
            stack.enter_context(patch.object(module, name, 2))
        check_agreement(program.function(), program.draw(0), program.draw(1), scale=100)


@pytest.mark.parametrize("largest", [3.0, 3e6])
def test_functions_of_several_vectors_at_once(largest: float) -> None:
    """Exact sums, so that the angles are the same in each way; huge ones are computed lane by lane."""
    rng = np.random.default_rng(2)
    w, x = (rng.integers(0, 3, shape).astype(np.float32) for shape in ((64, 64), (16, 64)))
    w *= np.float32(largest)
    traced, _ = check_agreement(lambda w, x: scan(lambda _, x: ([], [tj.sin(w @ x)]), [], [x]), [w, x], plain=False)
    assert "lanes(64)" in traced.emitted().source


def source(function: Callable[..., Any], arguments: list[np.ndarray]) -> str:
    return trace(function, arguments).emitted().source


def test_neither_text_nor_workspace_grows_with_the_length() -> None:
    def of_length(length: int) -> tuple[int, int]:
        def function(x):
            return scan(lambda _, a, b: ([tj.tanh(b + tj.flip(a)), a], []), [x, x + 1.0], length=length)

        emitted = trace(function, drawn(((8,),))).emitted()
        return len(emitted.source.splitlines()), emitted.layout.workspace

    assert of_length(10) == of_length(1_000_000)


def test_what_is_added_to_itself_needs_no_second_array() -> None:
    text = source(lambda x: scan(lambda _, s, x: ([s * 0.5 + x], []), [x[0]], [x]), drawn(((5, 3),)))
    assert "_next" not in text
    assert "workspace" not in text


def test_one_element_costs_no_copy_of_the_array() -> None:
    def function(x, i):
        return scan(lambda _, s, i: ([tj.scatter_add(s, i, tj.sin(s[i - 1]))], []), [x], [i])

    text = source(function, [np.zeros(1000), np.arange(1, 50)])
    assert text.count("range(1000)") == 1  # the first value
    assert "workspace" not in text


def test_a_body_reads_what_it_needs_where_it_is() -> None:
    """Transposed, reversed, sliced: no copies."""
    text = source(lambda x, w: scan(lambda _, s, x: ([s * 0.5 + w.T[1] * x[1:]], []), [x[0, 1:]], [x.T[:, ::-1].T]),
                  drawn(((5, 4), (3, 3))))  # fmt: skip
    assert text.count("for ") == 3


def test_a_failure_inside_leaves_variables_as_they_were() -> None:
    w = tj.Variable(np.ones(3))

    def step(i):
        w.assign_add(tj.ones(3, "float64"))
        (total,) = scan(lambda _, s, i: ([s + w.read_value()[i]], []), [np.float64(0)], [i])
        w.assign(w * total)
        return total

    run = tj.compile(step, strict=True, cache=False)
    assert float(run(np.array([0, 1, 2, 0]))) == 8.0
    np.testing.assert_array_equal(w.numpy(), np.full(3, 16.0))
    with pytest.raises(IndexRangeError, match="index 3 is out of range"):
        run(np.array([0, 3, 2, 0]))
    np.testing.assert_array_equal(w.numpy(), np.full(3, 16.0))


def test_only_the_branch_taken_runs() -> None:
    """The other one would fail, and take for ever."""

    def step(x, which, at):
        far = lambda: while_loop(lambda n, _: n >= 0, lambda n, s: [n + 0, s + x[at]], [np.int64(0), x[0]])[1:]  # noqa: E731
        return switch(which, [lambda: [x[1]], far])

    run = tj.compile(step, strict=True, cache=False)
    assert float(run(np.array([1.0, 2.0]), np.int64(0), np.int64(9))[0]) == 2.0


def test_a_body_that_no_kernel_holds_runs_in_numpy_and_says_why() -> None:
    def step(x):
        strange = lambda a: tj.numpy_function(lambda b: b + 1, a, shape=(3,), dtype="float64")  # noqa: E731
        return scan(lambda _, s: ([strange(s) * 2.0], []), [x * 2.0], length=2)[0] * 3.0

    (x,) = drawn(((3,),))
    parts = split(trace(step, [x]).graph)
    (reason,) = [part.reason for part in parts if isinstance(part, CallPart)]
    assert "numpy_function" in reason
    run = tj.compile(step, cache=False)
    with pytest.warns(UserWarning, match="it holds numpy_function"):
        found = run(x)
    np.testing.assert_allclose(found.numpy(), (x * 2 * 4 + 6) * 3)


def lstm_like(x, h, w):
    def body(_, h, c, x):
        gates = w * h + x
        c = tj.sigmoid(gates) * c + tj.tanh(gates)
        h = tj.tanh(c)
        return [h, c], [h]

    last_h, last_c, states = scan(body, [h, tj.zeros_like(h)], [x])
    return tj.sum(states) + tj.sum(last_h * last_c)


def test_golden_file_of_a_loop() -> None:
    traced = trace(lstm_like, drawn(((10, 8), (8,), (8,)), "float32"))
    names = dict(zip(traced.graph.inputs, ["x", "h", "w"], strict=False))
    text = emit(traced.plan(), "lstm_like", names).source
    path = GOLDEN / "lstm_like.txt"
    if os.environ.get("TAPEJIT_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text, f"run with TAPEJIT_UPDATE_GOLDEN=1 and review the difference of {path}"
