"""Bad input to loops: each error names the function, the user's line, both types and the way out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, DtypeError, ShapeError, TapejitError

X = np.array([0.5, -1.0, 2.0])
ROWS = np.ones((4, 3))
Program = Callable[[Any], Any]


def eagerly(function: Program, x: Any) -> Any:
    return function(tj.constant(x))


def compiled(function: Program, x: Any) -> Any:
    return tj.compile(function, strict=True)(x)


WAYS = pytest.mark.parametrize("run", [eagerly, compiled])
HERE = r".*\(at .*test_errors.py:\d+\)"


def narrow(carry: Any, x: Any) -> Any:
    return tj.astype(carry, "float32"), None


def longer(carry: Any, x: Any) -> Any:
    return tj.concat([carry, carry]), None


def paired(carry: Any, x: Any) -> Any:
    return (carry, carry), None


def alone(carry: Any, x: Any) -> Any:
    return carry


def three(carry: Any, x: Any) -> Any:
    return carry, carry, carry


@WAYS
@pytest.mark.parametrize(
    ("step", "error", "text"),
    [
        (
            narrow,
            DtypeError,
            r"scan: narrow takes a carry float64\[3\] and gives float32\[3\]; nest, shapes and dtypes",
        ),
        (longer, ShapeError, r"scan: longer takes a carry float64\[3\] and gives float64\[6\]"),
        (paired, ShapeError, r"scan: paired takes a carry float64\[3\] and gives \(float64\[3\], float64\[3\]\)"),
        (alone, ShapeError, r"scan: alone must return a pair \(carry, y\), got \w*Tensor; return \(carry, None\)"),
        (three, ShapeError, r"scan: three must return a pair \(carry, y\), got tuple of 3"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_steps_that_give_something_else(run: Any, step: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text + HERE):
        run(lambda x: tj.scan(step, x, ROWS), X)


@WAYS
def test_a_number_that_becomes_an_array(run: Any) -> None:
    with pytest.raises(ShapeError, match=r"fori_loop: <lambda> takes a carry a Python float and gives float64\[3\]"):
        run(lambda x: tj.fori_loop(0, 3, lambda i, c: c + x, 0.0), X)
    with pytest.raises(DtypeError, match=r"takes a carry a Python float and gives int64\[\]"):
        run(lambda x: tj.fori_loop(0, 3, lambda i, c: tj.argmax(x), 0.5), X)


@WAYS
def test_lengths(run: Any) -> None:
    def same(carry: Any, x: Any) -> Any:
        return carry, x

    with pytest.raises(
        ShapeError, match=r"xs\[1\] float64\[3\] has 3 slices, but xs\[0\] float64\[4, 3\] has 4" + HERE
    ):
        run(lambda x: tj.scan(same, x, (ROWS, x)), X)
    with pytest.raises(ShapeError, match=r"scan: xs float64\[4, 3\] has 4 slices, but length is 5" + HERE):
        run(lambda x: tj.scan(same, x, ROWS, length=5), X)
    with pytest.raises(ShapeError, match="scan: xs has no arrays, so nobody knows how many steps; give length=" + HERE):
        run(lambda x: tj.scan(same, x), X)
    with pytest.raises(ValueError, match="scan: length is -1, which is negative" + HERE):
        run(lambda x: tj.scan(same, x, length=-1), X)
    with pytest.raises(ShapeError, match=r"map: xs\['a'\] is a scalar, float64\[\]: it has no axis" + HERE):
        run(lambda x: tj.map(tj.sin, {"a": x[0]}), X)
    with pytest.raises(DtypeError, match=r"lower and upper are integer scalars, got float64\[\]" + HERE):
        run(lambda x: tj.fori_loop(0, x[0], lambda i, c: c, 0), X)


def test_results_that_change_from_step_to_step() -> None:
    count = iter(range(10))

    def step(carry: Any, x: Any) -> Any:
        return carry, x[: next(count)]

    with pytest.raises(
        ShapeError, match=r"step gives float64\[\d\] in one iteration and float64\[\d\] in another" + HERE
    ):
        tj.scan(step, 0.0, ROWS)


def test_making_a_variable() -> None:
    def step(carry: Any, x: Any) -> Any:
        return carry * tj.Variable(x), None

    with pytest.raises(TapejitError, match=r"the body of scan \(step\) makes a Variable; make it outside" + HERE):
        compiled(lambda x: tj.scan(step, x, ROWS), X)


def test_asking_for_a_value() -> None:
    def step(carry: Any, x: Any) -> Any:
        return (carry if carry[0] > 0 else -carry), None

    with pytest.raises(CompileError, match=r"in the body of scan \(step\): the value of a traced tensor"):
        compiled(lambda x: tj.scan(step, x, ROWS), X)
    np.testing.assert_array_equal(tj.scan(step, X, ROWS)[0], X)


def test_a_tensor_that_leaves_its_body() -> None:
    kept = []

    def step(carry: Any, x: Any) -> Any:
        kept.append(carry)
        return carry, None

    def program(x: Any) -> Any:
        y, _ = tj.scan(step, x, ROWS)
        return y + kept[-1]

    with pytest.raises(CompileError, match=r"a tensor of the body of scan \(step\) was used outside of it.*assign it"):
        compiled(program, X)


def test_python_ints_become_part_of_the_signature() -> None:
    @tj.compile(strict=True)
    def program(x: Any, n: int, *, start: int = 1) -> Any:
        def step(carry: Any, _: Any) -> Any:
            return carry + sum(range(n + start)), None

        return tj.scan(step, x, length=n)[0]

    np.testing.assert_array_equal(program(X, 3), X + 18)
    np.testing.assert_array_equal(program(X, 2), X + 6)


def test_globals_read_in_a_body_are_guarded() -> None:
    settings = {"rate": 2.0}
    step = tj.compile(lambda x: tj.scan(lambda c, _: (c * settings["rate"], None), x, length=2)[0], strict=True)
    np.testing.assert_array_equal(step(X), 4 * X)
    settings["rate"] = 3.0
    np.testing.assert_array_equal(step(X), 9 * X)


def test_captured_arrays_are_taken_by_reference() -> None:
    array = np.ones(3)
    step = tj.compile(lambda x: tj.scan(lambda c, _: (c * array, None), x, length=2)[0], strict=True)
    np.testing.assert_array_equal(step(X), X)
    array[:] = 2.0
    np.testing.assert_array_equal(step(X), 4 * X)
