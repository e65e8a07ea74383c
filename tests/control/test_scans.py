"""scan, fori_loop and map: eager and compiled, with their gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.control.primitives import SCAN
from tests.agreement import trace
from tests.control.ways import assert_same, check, check_gradients, check_gradients_outside, gradients, in_numpy

RNG = np.random.default_rng(3)
XS, W, H = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=3)


def unrolled(xs: Any, w: Any, h: Any) -> Any:
    """The recurrence as a plain Python loop: the oracle."""
    ys = []
    for place in range(len(XS)):
        h = tj.tanh(w @ h + xs[place])
        ys.append(tj.sin(h))
    return tj.sum(tj.stack(ys) ** 2) + tj.sum(h)


def recurrence(xs: Any, w: Any, h: Any, **options: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        state = tj.tanh(w @ carry["h"] + x)
        return {"h": state, "n": carry["n"] + 1}, tj.sin(state)

    carry, ys = tj.scan(step, {"h": h, "n": 0}, xs, **options)
    return tj.sum(ys**2) + tj.sum(carry["h"])


def test_values_and_nests() -> None:
    def program(xs: Any, w: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            (h, count), last = carry["a"], carry["b"]
            h = tj.tanh(w @ h + x["x"])
            return {"a": (h, count + 1), "b": last + x["y"][0]}, [h, {"sum": tj.sum(h), "n": count}]

        init = {"a": (tj.zeros(3, "float64"), 0), "b": 0.0}
        return tj.scan(step, init, {"x": xs, "y": (xs[:, 0], None)})

    carry, ys = check(program, XS, W, kernel=True)
    h = np.zeros(3)
    for place in range(len(XS)):
        h = np.tanh(W @ h + XS[place])
        np.testing.assert_allclose(ys[0][place], h, rtol=1e-12)
    assert carry["a"][1].item() == 5
    assert carry["b"].dtype == np.float64
    assert ys[1]["n"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(carry["b"], XS[:, 0].sum(), rtol=1e-12)


def test_a_reversed_scan_stacks_in_the_order_of_its_slices() -> None:
    def program(xs: Any) -> Any:
        return tj.scan(lambda c, x: (c + x, c), tj.zeros(3, "float64"), xs, reverse=True)

    carry, ys = check(program, XS)
    np.testing.assert_allclose(carry, XS.sum(0), rtol=1e-12)
    np.testing.assert_allclose(ys[0], XS[1:].sum(0), rtol=1e-12)
    np.testing.assert_array_equal(ys[-1], np.zeros(3))


@pytest.mark.parametrize("options", [{}, {"reverse": True}])
def test_gradients_to_third_order(options: dict[str, Any]) -> None:
    check_gradients(lambda *args: recurrence(*args, **options), XS, W, H)


def test_gradients_of_a_compiled_step() -> None:
    check_gradients_outside(recurrence, XS, W, H)


def test_gradients_are_those_of_the_loop_written_out() -> None:
    sources = [tj.constant(each) for each in (XS, W, H)]
    for order in (1, 2):
        expected = gradients(unrolled, order)(*sources)
        assert_same(gradients(recurrence, order)(*sources), expected)
        for found in in_numpy(gradients(recurrence, order), XS, W, H):
            assert_same(found, expected)


def test_python_numbers_take_the_dtype_that_the_body_gives() -> None:
    def program(xs: Any) -> Any:
        first, ys = tj.scan(lambda c, x: (c + x, c), 0.0, xs)
        second = tj.fori_loop(0, 3, lambda i, c: c * 2, 1)
        third = tj.fori_loop(0, 3, lambda i, c: c / 2, 1)
        fourth, _ = tj.scan(lambda c, x: (c if c is None else (c[0] + 1, c[0] + x), x), (1, 2.5), xs)
        return first, ys, second, third, fourth

    first, ys, second, third, fourth = check(program, XS[:, 0])
    assert first.dtype == ys.dtype == fourth[1].dtype == np.float64
    assert second.dtype == fourth[0].dtype == np.int64
    assert third.dtype == np.float32
    assert third.item() == 0.125


def test_no_iterations() -> None:
    def program(xs: Any, h: Any, w: Any) -> Any:
        carry, ys = tj.scan(lambda c, x: ((tj.sin(c[0] * w) + tj.sum(x), c[1] + x[0]), [x * w[0]]), (h, 0.0), xs)
        return carry, ys

    (carry, number), ys = check(program, XS[:0], H, H)
    np.testing.assert_array_equal(carry, H)
    assert number.dtype == np.float64
    assert ys[0].shape == (0, 3)

    def total(xs: Any, h: Any, w: Any) -> Any:
        (carry, _), (y,) = program(xs, h, w)
        return tj.sum(carry) + tj.sum(y)

    found = check(gradients(lambda xs, h, w: tj.sum(program(xs, h, w)[0][0]), 1), XS[:0], H, H)
    assert found[0] is None
    assert found[2] is None
    np.testing.assert_array_equal(found[1], np.ones(3))


def test_one_iteration_of_compositions() -> None:
    def program(x: Any, w: Any) -> Any:
        def body(c: Any, _: Any) -> Any:
            c = tj.softmax(tj.checkpoint(lambda v: tj.log_softmax(v * w))(c))
            return tj.scan(lambda v, e: (tj.softmax(v * e), None), c, w[:1])[0], None

        return tj.sum(tj.scan(body, x, length=1)[0] ** 2)

    check_gradients(program, H, H, orders=(1,))


def test_fori_loop() -> None:
    assert check(lambda x: tj.fori_loop(2, 7, lambda i, c: c + i * x, x), H).tolist() == (H * 21).tolist()
    assert check(lambda x: tj.fori_loop(7, 2, lambda i, c: c + i * x, x), H).tolist() == H.tolist()
    step = tj.compile(lambda x, n: tj.fori_loop(0, n, lambda i, c: c + i * x, x), strict=True)
    for count in (0, 1, 4):
        np.testing.assert_allclose(step(H, np.array(count)), H * (1 + sum(range(count))), rtol=1e-12)
        np.testing.assert_allclose(step(H, count), H * (1 + sum(range(count))), rtol=1e-12)
    half = H.astype(np.float32)
    for start in (0, np.array(0)):  # the index is a Python int, which takes the dtype of arrays, and can be an index
        found = check(
            lambda x, n, s=start: tj.fori_loop(tj.asarray(s) + n, 3, lambda i, c: c + (i + 1) * x[i], 0.0),
            half,
            np.array(0),
        )
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, half @ [1, 2, 3], rtol=1e-6)
    found = check(lambda x: tj.fori_loop(0, 3, lambda i, c: c + (i + 1) * x[i], 0.0), half)
    assert found.dtype == np.float32
    check_gradients(lambda x: tj.sum(tj.fori_loop(0, 4, lambda i, c: tj.sin(c * x + i), x)), H, orders=(1, 2))


def test_map() -> None:
    def program(xs: Any, w: Any) -> Any:
        return tj.map(lambda x: (w @ x["x"], {"n": tj.sum(x["x"]) ** 2}), {"x": xs})

    ys, rest = check(program, XS, W)
    np.testing.assert_allclose(ys, XS @ W.T, rtol=1e-12)
    np.testing.assert_allclose(rest["n"], XS.sum(1) ** 2, rtol=1e-12)
    check_gradients(lambda xs, w: tj.sum(program(xs, w)[0] ** 3), XS, W, orders=(1, 2))


def test_scans_and_branches_inside_one_another() -> None:
    def program(xs: Any, w: Any, h: Any) -> Any:
        def inner(carry: Any, column: Any) -> Any:
            return tj.sin(carry * column + w[0]), tj.sum(carry)

        def outer(carry: Any, x: Any) -> Any:
            carry, sums = tj.scan(inner, carry, w)
            carry = tj.cond(tj.sum(x) > 0, lambda c: c * x + tj.fori_loop(0, 2, lambda i, v: v * c, x), tj.cos, carry)
            return carry, tj.sum(sums)

        carry, ys = tj.scan(outer, h, xs)
        return tj.sum(carry) + tj.sum(ys**2)

    check_gradients(program, XS, W, H, orders=(1, 2), kernels=0)


def test_a_scan_inside_a_branch() -> None:
    def program(x: Any, h: Any) -> Any:
        def loop(v: Any) -> Any:
            return tj.scan(lambda c, _: (tj.sin(c * h), None), v, length=3)[0]

        return tj.sum(tj.cond(x[0] > 0, loop, lambda v: v * v, x))

    for sign in (1, -1):
        check_gradients(program, sign * np.abs(H), H, orders=(1, 2), kernels=0, unconnected="zero")


def test_what_is_not_connected_has_no_gradient() -> None:
    def swapped(a: Any, b: Any, c: Any, *, times: int, which: int) -> Any:
        def step(carry: Any, x: Any) -> Any:
            first, second, third = carry
            return (second, first, tj.floor(third)), None

        return tj.sum(tj.scan(step, (a, b, c), length=times)[0][which])

    for times in (1, 2, 3, 7):
        for which in (0, 1, 2):
            found = check(gradients(lambda *args, t=times, w=which: swapped(*args, times=t, which=w), 1), H, H, H)
            connected = [each is not None for each in found]
            assert connected == [place == (which + times) % 2 and which < 2 for place in range(3)]

    def chain(a: Any, b: Any, w: Any, *, times: int) -> Any:
        return tj.sum(tj.scan(lambda c, x: ((c[1], tj.sin(c[1] * w)), None), (a, b), length=times)[0][0])

    for times in (1, 2):
        found = check(gradients(lambda *args, t=times: chain(*args, times=t), 1), H, H, H)
        assert [each is not None for each in found] == [False, True, times > 1]


def test_rows_of_captures_are_scattered_once() -> None:
    table, places = RNG.normal(size=(40, 3)), np.array([3, 1, 3, 39, 0])

    def program(table: Any, w: Any) -> Any:
        def step(carry: Any, place: Any) -> Any:
            return tj.sin(carry + w @ table[place] * table[place + 0]), None

        return tj.sum(tj.scan(step, table[0], tj.constant(places))[0])

    check_gradients(program, table, W, orders=(1, 2))
    scans = [node for node in trace(gradients(program, 1), [table, W]).raw.nodes() if node.op is SCAN]
    assert len(scans) == 2
    for node in scans:  # none of them carries a sum of tables
        assert all(value.aval.shape != table.shape for value in node.inputs[: dict(node.params)["carries"]])


def test_rows_that_are_read_are_summed_up_as_rows() -> None:
    def program(w: Any, h: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            first, second = w[0], w[1:]
            return tj.sin(carry * first + tj.sum(second, axis=0)) + w.mT[0, 1] * tj.reshape(w[::2], (6,))[:3], None

        return tj.sum(tj.scan(step, h, length=3)[0])

    check_gradients(program, W, H, orders=(1, 2))
    scans = [node for node in trace(gradients(program, 1), [W, H]).raw.nodes() if node.op is SCAN]
    for node in scans:
        assert all(value.aval.shape != W.shape for value in node.inputs[: dict(node.params)["carries"]])


def test_products_with_a_captured_matrix_are_summed_up_at_once() -> None:
    matrix, start = RNG.normal(size=(40, 36)) / 10, RNG.normal(size=36)

    def program(matrix: Any, start: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            carry = carry + matrix.mT @ tj.sin(matrix @ carry)
            return carry, matrix @ tj.stack([carry], axis=1)

        carry, ys = tj.scan(step, start, length=4)
        return tj.sum(carry**2) + tj.sum(tj.cos(ys))

    check_gradients(program, matrix, start, orders=(1, 2))
    scans = [node for node in trace(gradients(program, 1), [matrix, start]).raw.nodes() if node.op is SCAN]
    assert len(scans) == 2
    for node in scans:  # none of them carries a sum of matrices
        assert all(value.aval.shape != matrix.shape for value in node.inputs[: dict(node.params)["carries"]])


@pytest.mark.parametrize("compiled", [False, True])
def test_variables(compiled: bool) -> None:
    def made() -> tuple[tj.Variable, tj.Variable, Callable[..., Any]]:
        w, count = tj.Variable(H), tj.Variable(0, trainable=False)

        def program(xs: Any) -> Any:
            def step(carry: Any, x: Any) -> Any:
                count.assign_add(1)
                before = w * carry
                w.assign(w + 0.1 * x)
                return tj.sin(before + w), count.read_value()

            with tj.GradientTape() as tape:
                carry, counts = tj.scan(step, xs[0], xs)
                target = tj.sum(carry)
            return target, counts, tape.gradient(target, w), w * 1

        return w, count, program

    w, count, program = made()
    expected = program(tj.constant(XS))
    other_w, other_count, other = made()
    run = tj.compile(other, strict=True) if compiled else other
    found = run(XS if compiled else tj.constant(XS))
    assert_same(found, expected)
    assert_same(other_w.read_value(), w.read_value())
    np.testing.assert_allclose(w.numpy(), H + 0.1 * XS.sum(0), rtol=1e-12)
    assert other_count.numpy() == count.numpy() == 5


def test_draws() -> None:
    def program(generator: tj.random.Generator) -> Callable[..., Any]:
        def run(x: Any) -> Any:
            def step(carry: Any, _: Any) -> Any:
                noise = generator.normal((3,), dtype="float64")
                accepted = generator.uniform(dtype="float64") < 0.5
                carry = tj.where(accepted, tj.sin(carry) + noise * carry, carry)
                return carry, carry

            with tj.GradientTape() as tape:
                tape.watch(x)
                carry, ys = tj.scan(step, x, length=6)
                target = tj.sum(ys**2) + tj.sum(carry)
            return ys, tape.gradient(target, x)

        return run

    one, other = tj.random.Generator(5), tj.random.Generator(5)
    expected = program(one)(tj.constant(H))
    found = tj.compile(program(other), strict=True)(H)
    assert_same(found, expected)
    np.testing.assert_array_equal(one.get_state(), other.get_state())


def test_a_loop_of_generators_that_nobody_reads_draws_on() -> None:
    generator = tj.random.Generator(1)

    def step(carry: Any, _: Any) -> Any:
        return carry, generator.uniform((2,))

    eager = [tj.scan(step, None, length=3)[1].numpy() for _ in range(2)]
    generator.set_state(tj.random.Generator(1).get_state())
    compiled = tj.compile(lambda: tj.scan(step, None, length=3)[1], strict=True)
    for expected in eager:
        np.testing.assert_array_equal(compiled(), expected)


def test_a_long_scan_takes_slices_of_a_transposed_array_that_is_computed() -> None:
    def program(x: Any) -> Any:
        return tj.scan(lambda c, row: (c * row, tj.sum(c)), tj.ones(2, "float64"), tj.permute_dims(tj.sin(x), (1, 0)))

    check(program, RNG.normal(size=(2, 20)), kernel=True)


def test_a_tape_in_a_body_follows_the_carry_and_not_what_the_loop_began_with() -> None:
    def slope(c: Any, a: Any) -> Any:
        with tj.GradientTape() as tape:
            tape.watch(c)
            y = tj.sum(c * a)
        return tape.gradient(y, c)

    def scanned(a: Any) -> Any:
        return tj.scan(lambda c, _: (slope(c, a), None), a, None, length=2)[0]

    def swapped(a: Any) -> Any:  # both members are the same value
        def step(pair: Any, _: Any) -> Any:
            return (pair[0], pair[0]), slope(pair[0], pair[1])

        return tj.scan(step, (a, a), None, length=2)[1]

    def returned(a: Any) -> Any:  # what is carried on is what the body reads besides
        return tj.scan(lambda c, _: (a, slope(c, a)), 2 * a, None, length=2)[1]

    def looped(a: Any) -> Any:
        return tj.while_loop(lambda c: c[1] < 2, lambda c: (slope(c[0], a), c[1] + 1), (a, 0))[0]

    for program in (scanned, swapped, returned, looped):
        for found in np.atleast_2d(check(program, H)):
            np.testing.assert_array_equal(found, H)
