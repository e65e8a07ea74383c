"""Draws inside compiled steps: the same numbers as eagerly, and the same state afterwards."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import CompileError, ConcretizationError
from tapejit.ops.philox import random_words
from tapejit.ops.random import random_bits
from tests.agreement import check_agreement

SEED = 2**63 + 12345
SHAPES = [(), (1,), (7,), (2, 3), (5, 1, 4), (0, 3)]
ULP = 2


def both(draw: Callable[[tj.random.Generator], Any], calls: int = 3) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What `calls` eager and as many compiled draws give; the two states must be the same after each."""
    generator, other = tj.random.Generator(SEED), tj.random.Generator(SEED)
    step = tj.compile(lambda: draw(other), strict=True)
    eager, compiled = [], []
    for _ in range(calls):
        eager.append(draw(generator).numpy())
        compiled.append(step().numpy())
        np.testing.assert_array_equal(other.get_state(), generator.get_state())
    assert step.report()["traces"] == 1
    return compiled, eager


def assert_equal(compiled: list[np.ndarray], eager: list[np.ndarray]) -> None:
    for found, expected in zip(compiled, eager, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


def assert_near(compiled: list[np.ndarray], eager: list[np.ndarray], ulp: int = ULP) -> None:
    for found, expected in zip(compiled, eager, strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if found.size:
            np.testing.assert_array_max_ulp(found, expected, ulp)


# The numbers


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
@pytest.mark.parametrize("counter", [0, 2**32 - 1, 2**64 - 2])
def test_bits_are_those_of_the_definition(dtype: str, counter: int) -> None:
    step = tj.compile(lambda state: random_bits(state, (5, 3), np.dtype(dtype)), strict=True)
    for key in (0, SEED, 2**64 - 1):
        found = step(np.array([key, counter], np.uint64)).numpy()
        expected = random_words(key, counter, 15, np.dtype(dtype)).reshape(5, 3)
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_uniform_draws_are_equal_to_the_bit(shape: tuple[int, ...], dtype: str) -> None:
    assert_equal(*both(lambda generator: generator.uniform(shape, dtype=dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [*SHAPES, (10_001,)])
def test_normal_draws_are_equal_to_2_ulp(shape: tuple[int, ...], dtype: str) -> None:
    assert_near(*both(lambda generator: generator.normal(shape, dtype=dtype)))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 4), (5, 5 + 2**40), (-(2**63), 2**63 - 1)])
@pytest.mark.parametrize("shape", SHAPES)
def test_integer_draws_are_equal(shape: tuple[int, ...], low: int, high: int) -> None:
    assert_equal(*both(lambda generator: generator.integers(low, high, shape)))


@pytest.mark.parametrize("shape", SHAPES)
def test_bernoulli_draws_are_equal(shape: tuple[int, ...]) -> None:
    assert_equal(*both(lambda generator: generator.bernoulli(0.3, shape)))


def test_every_way_of_computing_a_draw_agrees() -> None:
    generator = tj.random.Generator(SEED)

    def program(x: Any) -> Any:
        kept = generator.bernoulli(x, (3,))
        return generator.normal((5,)), generator.uniform((2, 3), dtype="float64"), generator.integers(-9, 9, (4,)), kept

    check_agreement(program, [np.float32([0.1, 0.5, 0.9])])


# Parameters


def test_parameters_are_tensors_variables_and_arguments() -> None:
    generator, other = tj.random.Generator(1), tj.random.Generator(1)
    width = tj.Variable([0.5, 1.5, 2.5])

    def draws(g: tj.random.Generator, x: Any, ends: Any) -> Any:
        normal, uniform = g.normal((4, 3), mean=x, stddev=width), g.uniform((3,), x, x + 1)
        return normal, uniform, g.integers(ends[0], ends[1], (2, 4)), g.bernoulli(tj.sigmoid(x), (2, 3))

    step = tj.compile(lambda x, ends: draws(other, x, ends), strict=True)
    for shift in (0.0, 3.0):
        x, ends = np.float32([1, -2, 0.5]) + np.float32(shift), np.array([[-4, 0, 5, -(2**62)], [4, 1, 70, 2**62]])
        expected = draws(generator, tj.constant(x), tj.constant(ends))
        found = step(x, ends)
        np.testing.assert_allclose(found[0].numpy(), expected[0].numpy(), rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())
        np.testing.assert_array_equal(found[2].numpy(), expected[2].numpy())
        np.testing.assert_array_equal(found[3].numpy(), expected[3].numpy())
    assert step.report()["traces"] == 1


def test_gradients_by_parameters_are_compiled() -> None:
    generator, other = tj.random.Generator(6), tj.random.Generator(6)
    mean, log_width = tj.Variable([0.5, -1.0]), tj.Variable(0.2)

    def loss_gradients(g: tj.random.Generator) -> Any:
        with tj.GradientTape() as tape:
            loss = tj.mean(tj.square(g.normal((8, 2), mean, tj.exp(log_width))))
        return tape.gradient(loss, [mean, log_width])

    step = tj.compile(lambda: loss_gradients(other), strict=True)
    for found, expected in zip(step(), loss_gradients(generator), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)


def test_a_shape_may_be_static() -> None:
    generator = tj.random.Generator(3)
    step = tj.compile(lambda shape, n: generator.uniform((*shape, n)), strict=True)
    assert step((2, 3), 4).shape == (2, 3, 4)
    assert step((2,), 5).shape == (2, 5)


# The state


def test_two_draws_in_one_step_differ_and_follow_each_other() -> None:
    generator, other = tj.random.Generator(9), tj.random.Generator(9)
    first, second = tj.compile(lambda: (other.uniform((5,)), other.uniform((5,))), strict=True)()
    np.testing.assert_array_equal(first.numpy(), generator.uniform((5,)).numpy())
    np.testing.assert_array_equal(second.numpy(), generator.uniform((5,)).numpy())
    assert not np.any(first.numpy() == second.numpy())


def test_eager_and_compiled_draws_take_turns() -> None:
    generator, other = tj.random.Generator(4), tj.random.Generator(4)
    step = tj.compile(lambda: other.integers(0, 1000, (3,)), strict=True)
    mixed = [step(), other.integers(0, 1000, (3,)), step(), step(), other.integers(0, 1000, (3,))]
    expected = [generator.integers(0, 1000, (3,)) for _ in mixed]
    assert [draw.tolist() for draw in mixed] == [draw.tolist() for draw in expected]


def test_a_state_that_was_kept_is_put_back() -> None:
    generator = tj.random.Generator(4)
    step = tj.compile(lambda: generator.normal((6,)), strict=True)
    kept = generator.get_state()
    first = step().numpy()
    step()
    generator.set_state(kept)
    np.testing.assert_array_equal(step().numpy(), first)
    assert kept.tolist() == [4, 0]


def test_a_state_that_was_read_is_not_written() -> None:
    generator = tj.random.Generator(4)
    step = tj.compile(lambda: generator.uniform((6,)), strict=True)
    step()
    before = generator.state.read_value()
    step()
    assert before.tolist() == [4, 2]
    assert generator.state.tolist() == [4, 4]


def test_a_generator_made_in_the_first_call_persists() -> None:
    class Model:
        generator = None

        def draw(self) -> Any:
            if self.generator is None:
                self.generator = tj.random.Generator(8)
            return self.generator.uniform((3,))

    model, generator = Model(), tj.random.Generator(8)
    step = tj.compile(model.draw, strict=True)
    for _ in range(3):
        np.testing.assert_array_equal(step().numpy(), generator.uniform((3,)).numpy())
    assert model.generator is not None
    assert model.generator.get_state().tolist() == generator.get_state().tolist() == [8, 3]


def test_generators_of_one_step_are_independent() -> None:
    one, two = tj.random.Generator(1), tj.random.Generator(2)
    step = tj.compile(lambda: (one.uniform((4,)), two.uniform((4,)), one.uniform((4,))), strict=True)
    found = [draw.tolist() for draw in step()]
    first, second = tj.random.Generator(1), tj.random.Generator(2)
    assert found == [first.uniform((4,)).tolist(), second.uniform((4,)).tolist(), first.uniform((4,)).tolist()]
    assert (one.get_state()[1], two.get_state()[1]) == (2, 1)


def test_one_kernel_serves_every_seed() -> None:
    found = []
    for seed in (1, 2):
        generator = tj.random.Generator(seed)
        step = tj.compile(lambda g=generator: g.uniform((11,)), strict=True)
        found.append((step().tolist(), generator.uniform((11,)).tolist(), step.source()))
    assert found[0][0] != found[1][0]
    assert found[0][2] == found[1][2]


def test_an_aborted_trace_leaves_the_generator_as_it_was() -> None:
    generator = tj.random.Generator(5)

    @tj.compile(strict=True)
    def looks() -> float:
        return float(generator.uniform())

    with pytest.raises(CompileError) as caught:
        looks()
    assert isinstance(caught.value.__cause__, ConcretizationError)
    assert generator.get_state().tolist() == [5, 0]

    @tj.compile(strict=True)
    def fails() -> Any:
        return generator.uniform((3,)) + tj.zeros((4,))

    with pytest.raises(tj.errors.ShapeError):
        fails()
    assert generator.get_state().tolist() == [5, 0]


def test_a_step_that_fails_has_drawn_nothing() -> None:
    generator = tj.random.Generator(5)
    step = tj.compile(lambda x, i: tj.take(x, i) + generator.uniform((2,)), strict=True)
    step(np.zeros(3), np.array([0, 1]))
    with pytest.raises(IndexError):
        step(np.zeros(3), np.array([0, 7]))
    assert generator.get_state().tolist() == [5, 1]


def test_threads_draw_from_one_generator_without_repeating_or_waiting_for_each_other() -> None:
    generator = tj.random.Generator(12)
    drawn: list[float] = []

    def draws(work: Callable[[], Any]) -> None:
        for _ in range(20):
            drawn.extend(work().tolist())

    steps = [tj.compile(lambda k=k: generator.uniform((4 + 4 * k,)), strict=True) for k in range(2)]
    works = [*steps, *steps, lambda: generator.uniform((4,))]
    threads = [threading.Thread(target=draws, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    expected = tj.random.Generator(12).uniform((len(drawn),)).tolist()
    assert sorted(drawn) == sorted(expected)


# The plan


def test_a_mask_of_draws_is_computed_where_it_is_used() -> None:
    generator = tj.random.Generator(2)
    step = tj.compile(lambda x: tj.where(generator.bernoulli(0.5, x.shape), x * 2, 0.0), strict=True)
    x = np.ones((30, 20), np.float32)
    found = step(x).numpy()
    expected = tj.random.Generator(2).bernoulli(0.5, x.shape).numpy()
    np.testing.assert_array_equal(found, np.float32(2) * expected)
    assert step.report()["intermediate_bytes"] == 0
