"""`unconnected_gradients` and `output_gradients`."""

import re
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ShapeError


def number(value: Any) -> float:
    return float(value.numpy())


# Unconnected sources


def test_an_unconnected_source_gives_none() -> None:
    x, other = tj.Variable(2.0), tj.Variable(3.0)
    with tj.GradientTape(persistent=True) as tape:
        y = x * x
        other * other
    assert tape.gradient(y, other) is None
    assert tape.gradient(y, other, unconnected_gradients="none") is None
    assert tape.gradient(y, [x, other])[1] is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unconnected_gradients_zero_gives_zeros_of_the_sources_shape(dtype: str) -> None:
    x, other = tj.Variable(2.0), tj.Variable(np.ones((2, 3), dtype))
    with tj.GradientTape() as tape:
        y = x * x
    zeros = tape.gradient(y, other, unconnected_gradients="zero")
    assert (zeros.shape, zeros.dtype) == ((2, 3), dtype)
    np.testing.assert_array_equal(zeros.numpy(), np.zeros((2, 3)))


def test_zeros_for_an_integer_and_none_for_a_string() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape(persistent=True) as tape:
        y = x * x
    zeros = tape.gradient(y, tj.constant([1, 2]), unconnected_gradients="zero")
    assert (zeros.dtype, zeros.shape) == ("int64", (2,))
    assert tape.gradient(y, tj.constant(["a"]), unconnected_gradients="zero") is None


@pytest.mark.parametrize("word", ["zeros", "None", "", 0, True])
def test_another_word_is_refused(word: Any) -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = x * x
    with pytest.raises(ValueError, match=f"unconnected_gradients must be 'none' or 'zero', got {word!r}"):
        tape.gradient(y, x, unconnected_gradients=word)
    assert number(tape.gradient(y, x)) == 4.0


# Weights


def weighted(weights: Any, shape: tuple[int, ...] = (2,)) -> np.ndarray:
    x = tj.Variable(np.ones(shape))
    with tj.GradientTape() as tape:
        y = 3.0 * x
    return tape.gradient(y, x, output_gradients=weights).numpy()


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 2.0], (1, 2), np.array([1, 2]), np.array([1.0, 2.0], np.float32), tj.constant([1.0, 2.0]),
        [tj.constant([1.0, 2.0])], [np.array([1.0, 2.0])], tj.Variable([1.0, 2.0]), [tj.constant(1.0), 2.0],
        [[1.0, 2.0]],
    ],
)  # fmt: skip
def test_output_gradients_weight_the_targets_elements(weights: Any) -> None:
    np.testing.assert_array_equal(weighted(weights), [3.0, 6.0])


@pytest.mark.parametrize("weights", [None, [None]])
def test_no_output_gradients_are_ones(weights: Any) -> None:
    np.testing.assert_array_equal(weighted(weights), [3.0, 3.0])


def test_output_gradients_of_one_element() -> None:
    np.testing.assert_array_equal(weighted([2.0], (1,)), [6.0])
    np.testing.assert_array_equal(weighted([[2.0]], (1, 1)), [[6.0]])
    np.testing.assert_array_equal(weighted(2.0, ()), 6.0)
    np.testing.assert_array_equal(weighted([2.0], ()), 6.0)


def test_python_numbers_among_output_gradients_are_rounded_once() -> None:
    assert weighted(0.1, ()) == 3.0 * 0.1
    np.testing.assert_array_equal(weighted([0.1, 0.2]), 3.0 * np.array([0.1, 0.2]))


def test_output_gradients_of_several_targets() -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape(persistent=True) as tape:
        y, z = x * x, 3.0 * x
    for weights in ([[1, 2], [3.0, 4.0]], [np.array([1.0, 2.0]), (3, 4)], (tj.constant([1, 2]), tj.constant([3, 4]))):
        np.testing.assert_array_equal(tape.gradient([y, z], x, weights).numpy(), [11.0, 20.0])
    np.testing.assert_array_equal(tape.gradient([y, z], x, [None, [3.0, 4.0]]).numpy(), [11.0, 16.0])
    nest = tape.gradient({"y": y, "z": [z]}, x, {"z": [[3.0, 4.0]], "y": [1.0, 2.0]})
    np.testing.assert_array_equal(nest.numpy(), [11.0, 20.0])
    np.testing.assert_array_equal(tape.gradient([y], x, np.array([1.0, 2.0])).numpy(), [2.0, 8.0])


@pytest.mark.parametrize("weights", [1.0, [1.0], [1.0, 2.0, 3.0], np.ones((1, 2)), tj.ones((2, 1))])
def test_output_gradients_of_another_shape_are_refused(weights: Any) -> None:
    expected = f"output_gradients of shape {np.shape(weights)} for a target of shape (2,)"
    with pytest.raises(ShapeError, match=re.escape(expected)):
        weighted(weights)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0], "a list of 1"),
        ([[1.0, 2.0]], "a list of 1"),
        (1.0, "one array or number"),
        ({"y": 1.0}, "a dict with the keys 'y'"),
        (np.ones((3, 2)), "one array or number"),
        (np.ones(2), "one array or number"),  # an array is no nest, however long it is
    ],
)
def test_another_nest_of_output_gradients_is_refused(weights: Any, words: str) -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        y, z = x * x, 3.0 * x
    expected = f"gradient: output_gradients must have the nest of the targets: a list of 2; got {words} (at "
    with pytest.raises(ShapeError, match=re.escape(expected)):
        tape.gradient([y, z], x, weights)


def test_the_nests_inside_a_nest_of_output_gradients_are_told() -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        y, z = x * x, 3.0 * x
    with pytest.raises(ShapeError, match="a tuple of 2, with the same nests inside; got a tuple of 2"):
        tape.gradient((y, {"z": z}), x, (y, z))


def test_output_gradients_are_differentiable() -> None:
    x, weight = tj.Variable(3.0), tj.Variable(5.0)
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            y = x * x
        ct = inner.gradient(y, x, output_gradients=weight)
    assert [number(each) for each in outer.gradient(ct, [x, weight])] == [10.0, 6.0]


def test_seeds_are_shared_and_gradients_are_not() -> None:
    x = tj.constant([1.0, 2.0])
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        tj.exp(x)
    first, second = tape.gradient(x, x), tape.gradient(x, x)
    with tj.GradientTape() as later:
        later.watch(first)
        y = second * 3.0
    assert later.gradient(y, first) is None
    np.testing.assert_array_equal(second.numpy(), [1.0, 1.0])
