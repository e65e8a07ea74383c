"""`jacobian` and `batch_jacobian`: shapes, what is connected, and second order."""

from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError, TapejitWarning

X = np.arange(1.0, 7.0).reshape(2, 3)


def test_each_element_by_each_element() -> None:
    x = tj.constant(X)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = tj.matmul(x, x.T)
    jacobian = tape.jacobian(y, x)
    assert (jacobian.shape, jacobian.dtype) == ((2, 2, 2, 3), "float64")
    expected = np.zeros((2, 2, 2, 3))
    for i in range(2):
        for j in range(2):
            expected[i, j, i] += X[j]
            expected[i, j, j] += X[i]
    np.testing.assert_allclose(jacobian.numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("target", [(), (3,), (2, 0), (0,)])
@pytest.mark.parametrize("source", [(), (2,), (0, 2)])
def test_shapes(target: tuple[int, ...], source: tuple[int, ...]) -> None:
    x = tj.Variable(np.ones(source))
    with tj.GradientTape() as tape:
        y = tj.broadcast_to(tj.sum(x * 2.0), target)
    jacobian = tape.jacobian(y, x)
    assert jacobian.shape == target + source
    np.testing.assert_array_equal(jacobian.numpy(), np.full(target + source, 2.0))


def test_sources_may_be_a_nest() -> None:
    a, b = tj.Variable(2.0), tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        y = a * b
    found = tape.jacobian(y, {"a": a, "rest": (b, a)})
    np.testing.assert_array_equal(found["a"].numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(found["rest"][0].numpy(), [[2.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(found["rest"][1].numpy(), [1.0, 2.0])


@pytest.mark.parametrize("length", [0, 2])
def test_an_unconnected_source_gives_none_or_zeros(length: int) -> None:
    x, other = tj.Variable(np.ones(3)), tj.Variable(np.ones(2))
    with tj.GradientTape(persistent=True) as tape:
        y = x[:length] * 2.0
    jacobians = tape.jacobian(y, [x, other])
    assert jacobians[0].shape == (length, 3)
    assert jacobians[1] is None
    zeros = tape.jacobian(y, other, unconnected_gradients="zero")
    assert zeros.shape == (length, 2)
    assert not zeros.numpy().any()
    with pytest.raises(ValueError, match="unconnected_gradients"):
        tape.jacobian(y, other, unconnected_gradients="nought")


def test_rows_that_are_not_connected_are_zeros() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = tj.stack([x, x * x, 1.0])
    np.testing.assert_array_equal(tape.jacobian(y, x).numpy(), [1.0, 4.0, 0.0])


def test_a_target_that_is_the_source_gives_the_identity() -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        x * x
    np.testing.assert_array_equal(tape.jacobian(x, x).numpy(), np.eye(2))


def test_hessian() -> None:
    x = tj.Variable([1.0, 2.0, 3.0], dtype="float64")
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            y = tj.prod(x) + tj.sum(x**3)
        ct = inner.gradient(y, x)
    np.testing.assert_array_equal(outer.jacobian(ct, x).numpy(), [[6, 3, 2], [3, 12, 1], [2, 1, 18]])


def test_the_jacobian_inside_of_an_outer_tape_is_differentiable() -> None:
    x = tj.Variable([1.0, 2.0], dtype="float64")
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            y = x**3
        jacobian = inner.jacobian(y, x)
    np.testing.assert_array_equal(outer.gradient(jacobian, x).numpy(), [6.0, 12.0])


def test_a_jacobian_frees_a_tape_that_is_not_persistent() -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        y = x * x
        tape.jacobian(y, x)
        z = y * 2
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(z, x)


@pytest.mark.parametrize("wrong", [None, 1.0, np.ones(2)])
def test_what_is_no_tensor_is_refused(wrong: Any) -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape(persistent=True) as tape:
        y = x * x
    with pytest.raises(DtypeError, match="jacobian: the target must be a tensor"):
        tape.jacobian(wrong, x)
    with pytest.raises(DtypeError, match="jacobian: a source must be a tensor"):
        tape.jacobian(y, wrong)
    with pytest.raises(DtypeError, match="batch_jacobian: the source must be a tensor"):
        tape.batch_jacobian(y, wrong)


# batch_jacobian


def test_batch_jacobian_is_the_diagonal_of_the_jacobian() -> None:
    x = tj.constant(X)
    weights = np.array([[1.0, 2.0], [0.5, 3.0], [4.0, 1.0]])
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tj.sin(x) @ weights
    full = tape.jacobian(y, x).numpy()
    rows = tape.batch_jacobian(y, x)
    assert rows.shape == (2, 2, 3)
    np.testing.assert_allclose(rows.numpy(), np.stack([full[i, :, i] for i in range(2)]), rtol=1e-15)


@pytest.mark.parametrize(("target", "source"), [((0, 2), (0, 3)), ((2, 0), (2, 3)), ((2,), (2,)), ((2,), (2, 0))])
def test_batch_jacobian_shapes(target: tuple[int, ...], source: tuple[int, ...]) -> None:
    x, other = tj.Variable(np.ones(source)), tj.Variable(np.ones(source))
    with tj.GradientTape(persistent=True) as tape:
        rows = tj.sum(x, tuple(range(1, len(source)))) if len(source) > 1 else x * 1.0
        y = tj.broadcast_to(tj.reshape(rows, (source[0], *(1,) * (len(target) - 1))), target)
    assert tape.batch_jacobian(y, x).shape == (*target, *source[1:])
    assert tape.batch_jacobian(y, other) is None
    assert tape.batch_jacobian(y, other, unconnected_gradients="zero").shape == (*target, *source[1:])


@pytest.mark.parametrize("target", [(), (3,), (3, 2)])
def test_batch_jacobian_needs_a_shared_first_axis(target: tuple[int, ...]) -> None:
    x = tj.Variable(X)
    with tj.GradientTape() as tape:
        y = tj.broadcast_to(tj.sum(x), target)
    with pytest.raises(ShapeError) as caught:
        tape.batch_jacobian(y, x)
    assert f"target {target} and source (2, 3) must share their first axis" in str(caught.value)
    assert tape.gradient(y, x) is not None, "a refused call does not free the tape"


@pytest.mark.parametrize("take", ["jacobian", "batch_jacobian"])
def test_a_target_that_is_not_differentiable_is_told(take: str) -> None:
    w = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        steps = tj.astype(w, "int32")
    with pytest.warns(TapejitWarning, match=f"^{take}: a target of dtype int32 is not differentiable; its gradients"):
        assert getattr(tape, take)(steps, w) is None


# rows at once


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 4, 9])
def test_rows_in_chunks(chunk_size: int | None) -> None:
    x, other = tj.Variable(X), tj.Variable(1.0)
    with tj.GradientTape() as tape:
        y = tj.sin(x) @ x.T
    by_x, none = tape.jacobian(y, [x, other], chunk_size=chunk_size)
    expected = np.zeros((2, 2, 2, 3))
    for i in range(2):
        for j in range(2):
            expected[i, j, i] += np.cos(X[i]) * X[j]
            expected[i, j, j] += np.sin(X[i])
    np.testing.assert_allclose(by_x.numpy(), expected, rtol=1e-14)
    assert none is None


def test_a_kernel_does_not_grow_with_the_rows() -> None:
    def both(x: Any) -> tuple[Any, Any]:
        with tj.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = tj.tanh(x * x[:, ::-1])
        return tape.jacobian(y, x), tape.batch_jacobian(y, x)

    step = tj.compile(both, strict=True)
    lines = []
    for rows in (50, 60):
        x = np.linspace(0.1, 0.9, 3 * rows).reshape(rows, 3)
        jacobian, diagonal = step(x)
        np.testing.assert_allclose(diagonal.numpy(), np.stack([jacobian[i, :, i].numpy() for i in range(rows)]))
        slopes = (1 - np.tanh(x * x[:, ::-1]) ** 2)[:, :, None] * (
            np.eye(3) * x[:, ::-1, None] + np.eye(3)[::-1] * x[:, :, None]
        )
        np.testing.assert_allclose(diagonal.numpy(), slopes, rtol=1e-13)
        lines.append(len(step.source().splitlines()))
    assert lines[0] == lines[1] < 60
