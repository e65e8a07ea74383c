"""cond and switch: eager and compiled, with their gradients."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError
from tests.control.ways import assert_same, check, check_gradients, gradients

X, W = np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.25, -0.5])


def test_cond() -> None:
    def program(x: Any, w: Any) -> Any:
        return tj.cond(x[0] > 0, lambda v: {"y": v * w, "n": 1}, lambda v: {"y": tj.sin(v), "n": 0}, x)

    step = tj.compile(program, strict=True)
    for x in (X, -X):
        expected = check(program, x, W)
        assert_same(step(x, W), expected)
        assert expected["n"].item() == (x[0] > 0)
        check_gradients(lambda x, w: tj.sum(program(x, w)["y"] ** 2), x, W, kernels=0, unconnected="zero")


@pytest.mark.parametrize("compiled", [False, True])
def test_the_functions_may_be_named(compiled: bool) -> None:
    def choose(x: Any) -> Any:
        return tj.cond(x > 1, true_fn=lambda: 2 * x, false_fn=lambda: -x)

    call = tj.compile(choose, strict=True) if compiled else choose
    assert [float(call(np.array(x))) for x in (3.0, 0.5)] == [6.0, -0.5]


def test_a_number_as_condition_is_true_if_it_is_not_zero() -> None:
    for number in (0, 2, 0.0, -0.5, True, False, np.array(0.0), np.array(3)):
        found = check(lambda x, n=number: tj.cond(tj.asarray(n), tj.sin, tj.cos, x), X)
        np.testing.assert_allclose(found, np.sin(X) if number else np.cos(X), rtol=1e-12)
        traced = check(lambda n: tj.cond(n, tj.sin, tj.cos, X), np.asarray(number))
        np.testing.assert_array_equal(traced, found)


def test_only_the_branch_taken_runs() -> None:
    count = tj.Variable(0)

    def counted(x: Any) -> Any:
        count.assign_add(1)
        return x * tj.astype(count.read_value(), "float64")

    def program(x: Any) -> Any:
        return tj.cond(x[0] > 0, counted, lambda v: v, x), count.read_value()

    step = tj.compile(program, strict=True)
    assert step(X)[1].item() == step(-X)[1].item() == count.numpy() == 1
    y, number = step(X)
    assert number.item() == 2
    np.testing.assert_array_equal(y, 2 * X)
    assert program(tj.constant(-X))[1].item() == 2


def test_draws_of_the_branch_not_taken_do_not_happen() -> None:
    def program(generator: Any) -> Any:
        return lambda x: [
            tj.cond(x[place] > 0, lambda: generator.normal((2,)), lambda: generator.uniform((2,))) for place in range(3)
        ]

    one, other = tj.random.Generator(3), tj.random.Generator(3)
    assert_same(tj.compile(program(one), strict=True)(X), program(other)(tj.constant(X)), 1e-6)
    np.testing.assert_array_equal(one.get_state(), other.get_state())


def test_switch_clamps_its_index() -> None:
    branches = [tj.sin, tj.cos, tj.exp]
    step = tj.compile(lambda place, x: tj.switch(place, branches, x), strict=True)
    for place, expected in ((-7, np.sin), (0, np.sin), (1, np.cos), (2, np.exp), (100, np.exp)):
        np.testing.assert_allclose(tj.switch(place, branches, X), expected(X), rtol=1e-12)
        np.testing.assert_allclose(step(np.array(place), X), expected(X), rtol=1e-12)
        check_gradients(lambda x, p=place: tj.sum(tj.switch(np.array(p), branches, x)), X, orders=(1, 2), kernels=0)
    unsigned = check(lambda place: tj.switch(place, branches, X), np.array(2**63 + 5, np.uint64))
    np.testing.assert_allclose(unsigned, np.exp(X), rtol=1e-12)


def test_python_numbers_take_the_dtype_of_the_other_branch() -> None:
    def program(x: Any) -> Any:
        return tj.cond(x[0] > 0, lambda: (x[0], 1, 2.0), lambda: (0.0, 2, 1))

    for x in (X, -X):
        found = check(program, x)
        assert [each.dtype.name for each in found] == ["float64", "int64", "float32"]


def test_a_branch_that_does_not_read_a_source() -> None:
    def program(x: Any, w: Any) -> Any:
        return tj.sum(tj.cond(x[0] > 0, lambda: x * w, lambda: x * 2))

    found = tj.compile(gradients(program, 1))(-X, W)
    np.testing.assert_array_equal(found[1], np.zeros(3))
    neither = check(gradients(lambda x, w: tj.sum(tj.cond(x[0] > 0, lambda: x, lambda: x * 2)), 1), X, W)
    assert neither[1] is None


def test_the_branch_not_taken_leaks_no_nan() -> None:
    def program(x: Any) -> Any:
        return tj.sum(tj.cond(x[0] > 0, tj.sqrt, lambda v: 0 * v, x))

    for order in (1, 2):
        found = check(gradients(program, order, "zero"), np.array([0.0, 1.0]))
        np.testing.assert_array_equal(found[0], np.zeros(2))


def test_nan_in_is_nan_out() -> None:
    found = check(gradients(lambda x: tj.sum(tj.cond(x[1] > 0, tj.sin, tj.cos, x)), 1), np.array([np.nan, 1.0]))
    assert np.isnan(found[0][0])


@pytest.mark.parametrize(
    ("false_fn", "error", "text"),
    [
        (
            lambda v: (v, v),
            ShapeError,
            r"cond: <lambda> gives \(float64\[3\], float64\[3\]\) and double gives float64\[3\]",
        ),
        (lambda v: v[:2], ShapeError, r"cond: <lambda> gives float64\[2\] and double gives float64\[3\]; nests"),
        (lambda v: tj.astype(v, "float32"), DtypeError, r"<lambda> gives float32\[3\] and double gives float64\[3\]"),
        (lambda v: 1.0, ShapeError, r"<lambda> gives a Python float and double gives float64\[3\]"),
    ],
)
def test_branches_that_give_different_things(false_fn: Any, error: type[Exception], text: str) -> None:
    def double(v: Any) -> Any:
        return v * 2

    with pytest.raises(error, match=text + r".*\(at .*test_branches.py:\d+\)"):
        tj.compile(lambda x: tj.cond(x[0] > 0, double, false_fn, x))(X)


def test_bad_arguments() -> None:
    with pytest.raises(ShapeError, match=r"cond: pred is a scalar, got float64\[3\]; use tj.where"):
        tj.cond(X, tj.sin, tj.cos, X)
    with pytest.raises(DtypeError, match="switch: the index is an integer, got float64"):
        tj.switch(1.0, [tj.sin, tj.cos], X)
    with pytest.raises(ShapeError, match="switch: there are no branches"):
        tj.switch(0, [], X)


def test_a_tensor_that_leaves_its_branch() -> None:
    leaked = []

    def branch(x: Any) -> Any:
        leaked.append(x * 2)
        return x

    def program(x: Any) -> Any:
        y = tj.cond(x[0] > 0, branch, lambda v: v, x)
        return y + leaked[0]

    with pytest.raises(tj.errors.CompileError, match=r"a tensor of a branch of cond \(branch\) was used outside of it"):
        tj.compile(program, strict=True)(X)


def test_asking_for_a_value_in_a_branch() -> None:
    def branch(x: Any) -> Any:
        return x * float(x[0])

    with pytest.raises(tj.errors.CompileError, match=r"in a branch of cond \(branch\): the value of a traced tensor"):
        tj.compile(lambda x: tj.cond(x[0] > 0, branch, lambda v: v, x), strict=True)(X)
