"""while_loop: eager and compiled, with and without a largest number of steps."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, IndexRangeError, ShapeError, TapejitError
from tests.control.ways import assert_same, check, check_gradients, gradients

X = np.array([0.5, -1.0, 2.0])


def grown(x: Any, w: Any, **options: Any) -> Any:
    """Doubles until it is large; counts."""
    return tj.while_loop(
        lambda state: tj.sum(state[0] ** 2) < 100.0,
        lambda state: (state[0] * (1 + tj.exp(w)), state[1] + 1),
        (x, 0),
        **options,
    )


def test_values() -> None:
    y, count = check(grown, X, np.array(0.0), kernel=True)
    np.testing.assert_allclose(y, X * 2 ** count.item(), rtol=1e-12)
    assert count.item() == 3
    assert check(grown, 100 * X, np.array(0.0))[1].item() == 0
    limited = check(lambda x, w: grown(x, w, max_steps=5), X, np.array(0.0), kernel=True)
    assert_same(limited, (y, count))


def test_python_numbers_take_the_dtype_that_the_body_gives() -> None:
    found = check(lambda x: tj.while_loop(lambda c: c < 10, lambda c: c + x[2], 0.0), X)
    assert found.dtype == np.float64
    assert found.item() == 10.0


def test_reverse_mode_with_max_steps() -> None:
    def program(x: Any, w: Any) -> Any:
        return tj.sum(tj.sin(grown(x, w, max_steps=6)[0]))

    check_gradients(program, X, np.array(0.1))


def test_reverse_mode_without_max_steps_names_the_way_out() -> None:
    def program(x: Any, w: Any) -> Any:
        return tj.sum(grown(x, w)[0])

    with pytest.raises(TapejitError, match=r"while_loop: .* give it max_steps="):
        tj.compile(gradients(program, 1))(X, np.array(0.1))
    count = tj.compile(gradients(lambda x: tj.sum(grown(x * 1, 0.1)[1] * x), 1))(X)
    assert count[0].tolist() == [2.0] * 3
    eager = gradients(program, 1)(tj.constant(X), tj.constant(np.array(0.1)))
    assert_same(eager, check(gradients(lambda x, w: tj.sum(grown(x, w, max_steps=9)[0]), 1), X, np.array(0.1)))


def test_a_condition_that_still_holds() -> None:
    def program(x: Any, w: Any) -> Any:
        return grown(x, w, max_steps=2)

    with pytest.raises(IndexRangeError, match="the condition still holds after max_steps = 2 steps"):
        program(tj.constant(X), 0.0)
    with pytest.raises(IndexRangeError, match="max_steps"):
        tj.compile(program, strict=True)(X, np.array(0.0))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_condition_that_still_holds_where_only_the_derivative_is_used(mode: str) -> None:
    def power(a: Any) -> Any:
        return tj.while_loop(lambda c: c < 10.0, lambda c: c * a, a, max_steps=2)

    def forward(a: Any) -> Any:
        return tj.jvp(power, (a,), (1.0,))[1]

    derivative = tj.grad(power) if mode == "reverse" else forward
    step = tj.compile(derivative, strict=True)
    assert step(np.array(4.0)) == derivative(np.array(4.0)) == 8.0  # 4 · 4
    for run in (derivative, step):
        with pytest.raises(IndexRangeError, match="still holds after max_steps = 2 steps"):
            run(np.array(2.0))


def test_variables_and_draws() -> None:
    def program(generator: Any, total: Any) -> Any:
        def body(state: Any) -> Any:
            total.assign_add(1.0)
            return state + generator.uniform((), dtype="float64") * tj.astype(total.read_value(), "float64")

        def run(x: Any) -> Any:
            return tj.while_loop(lambda state: (state < 5.0) & (total < 9.0), body, x[0]), total.read_value()

        return run

    one, other = (tj.random.Generator(2), tj.Variable(0.0)), (tj.random.Generator(2), tj.Variable(0.0))
    assert_same(tj.compile(program(*one), strict=True)(X), program(*other)(tj.constant(X)))
    np.testing.assert_array_equal(one[0].get_state(), other[0].get_state())


def test_bad_arguments() -> None:
    def twice(state: Any) -> Any:
        return state * 2

    def half(state: Any) -> Any:
        return tj.astype(state, "float32")

    total = tj.Variable(0.0)
    for run in (lambda f, x: f(tj.constant(x)), lambda f, x: tj.compile(f)(x)):
        with pytest.raises(ShapeError, match=r"while_loop: the condition is a scalar, got bool\[3\]"):
            run(lambda x: tj.while_loop(lambda c: c < 10, twice, x), X)
        with pytest.raises(DtypeError, match=r"half takes a carry float64\[3\] and gives float32\[3\]"):
            run(lambda x: tj.while_loop(lambda c: tj.sum(c) < 10, half, x), X)
    with pytest.raises(ValueError, match="max_steps is -1, which is negative"):
        tj.while_loop(lambda c: c < 1, twice, 0.0, max_steps=-1)
    with pytest.raises(TapejitError, match=r"the condition of while_loop .* assigns"):
        tj.compile(lambda x: tj.while_loop(lambda c: total.assign_add(1.0) < 10, twice, x))(X)
