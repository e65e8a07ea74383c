"""What a `GradientTape` follows, and what its `gradient` takes and gives."""

import collections
import warnings
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, TapejitWarning

Pair = collections.namedtuple("Pair", "first second")


def number(value: Any) -> float:
    return float(value.numpy())


# What is watched


def test_a_trainable_variable_is_watched_when_it_is_read() -> None:
    t = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = t**2
    assert number(tape.gradient(y, t)) == 6.0


def test_a_variable_that_is_not_trainable_has_to_be_watched() -> None:
    w = tj.Variable(3.0, trainable=False)
    with tj.GradientTape() as tape:
        y = w * w
    assert tape.gradient(y, w) is None
    with tj.GradientTape() as tape:
        tape.watch(w)
        y = w * w
    assert number(tape.gradient(y, w)) == 6.0


def test_watch_accessed_variables_can_be_turned_off() -> None:
    v, w = tj.Variable(2.0), tj.Variable(3.0)
    with tj.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(w)
        y = v * w * w
    assert tape.watched_variables() == (w,)
    gradients = tape.gradient(y, [v, w])
    assert gradients[0] is None
    assert number(gradients[1]) == 12.0


def test_a_constant_has_to_be_watched() -> None:
    x = tj.constant(3.0)
    with tj.GradientTape() as tape:
        y = x**2
    assert tape.gradient(y, x) is None
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x**2
    assert number(tape.gradient(y, x)) == 6.0


def test_watch_takes_nests() -> None:
    a, b, c, w = tj.constant(2.0), tj.constant(3.0), tj.constant(5.0), tj.Variable(7.0, trainable=False)
    with tj.GradientTape() as tape:
        tape.watch({"a": a, "rest": [Pair(b, (c, None)), w]})
        y = a * b * c * w
    assert [number(ct) for ct in tape.gradient(y, [a, b, c, w])] == [105.0, 70.0, 42.0, 30.0]


def test_watch_counts_from_then_on() -> None:
    x = tj.constant(3.0)
    w = tj.Variable(3.0)
    with tj.GradientTape(watch_accessed_variables=False) as tape:
        early = x * x + w * w
        tape.watch([x, w])
        late = 2 * x + 5 * w
    total = tj.add(early, late)
    assert tape.gradient(total, x) is None, "the sum was computed outside"
    with tj.GradientTape(watch_accessed_variables=False) as tape:
        early = x * x + w * w
        tape.watch([x, w])
        y = early + 2 * x + 5 * w
    assert [number(ct) for ct in tape.gradient(y, [x, w])] == [2.0, 5.0]


def test_watch_before_the_block_counts() -> None:
    x = tj.constant(3.0)
    tape = tj.GradientTape()
    tape.watch(x)
    with tape:
        y = x * x
    assert number(tape.gradient(y, x)) == 6.0


@pytest.mark.parametrize("fill", [lambda: tj.ones(()), lambda: tj.full((), 1.0), lambda: tj.ones_like(5.0)])
def test_watched_ones_are_followed_like_any_tensor(fill: Any) -> None:
    x, factor = fill(), tj.constant(5.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x * factor
    assert number(tape.gradient(y, x)) == 5.0


def test_a_gradient_that_is_ones_can_be_watched_and_multiplied() -> None:
    x, factor = tj.Variable([1.0, 2.0]), tj.constant([5.0, 7.0])
    with tj.GradientTape() as tape:
        y = x + 3.0
    ones = tape.gradient(y, x)
    with tj.GradientTape() as tape:
        tape.watch(ones)
        y = ones * factor
    np.testing.assert_array_equal(tape.gradient(y, ones).numpy(), [5.0, 7.0])


@pytest.mark.parametrize("value", [3, True, "three", [1, 2], ["a", "b"]])
def test_integers_booleans_and_strings_warn_and_have_no_gradient(value: Any) -> None:
    x = tj.constant(value)
    w = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        with pytest.warns(TapejitWarning, match=f"dtype {x.dtype.name} is not differentiable") as caught:
            tape.watch(x)
        y = w * w
    assert caught[0].filename == __file__
    assert ("tj.astype" in str(caught[0].message)) == (x.dtype.kind != "U")
    gradients = tape.gradient(y, [x, w])
    assert gradients[0] is None
    assert number(gradients[1]) == 4.0


def test_an_integer_variable_is_not_watched_by_itself_and_says_nothing() -> None:
    count = tj.Variable(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tj.GradientTape() as tape:
            y = tj.constant(2.0) * count
        assert tape.gradient(y, count) is None
    assert tape.watched_variables() == ()


def test_watched_variables_come_in_the_order_of_construction() -> None:
    a, b, c = tj.Variable(1.0), tj.Variable(2.0), tj.Variable(3.0)
    unread = tj.Variable(4.0)
    with tj.GradientTape() as tape:
        y = c * a + b * c
    assert [v is w for v, w in zip(tape.watched_variables(), (a, b, c), strict=True)] == [True] * 3
    assert isinstance(tape.watched_variables(), tuple)
    tape.gradient(y, [a, unread])
    assert len(tape.watched_variables()) == 3, "a freed tape still says what it watched"


@pytest.mark.parametrize("wrong", [3.0, np.ones(2), "x", [tj.constant(1.0), 2.0], object(), None])
def test_watch_refuses_what_is_no_tensor(wrong: Any) -> None:
    with (
        tj.GradientTape() as tape,
        pytest.raises(TypeError, match=r"watch must be a tensor or a variable, got .*tj\.c"),
    ):
        tape.watch(wrong)


# Targets


def test_a_target_that_is_not_a_number_means_the_sum_of_its_elements() -> None:
    x = tj.Variable([1.0, 2.0, 3.0])
    with tj.GradientTape(persistent=True) as tape:
        y = x * x
        z = tj.sum(y)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), tape.gradient(z, x).numpy())


def test_a_list_of_targets_means_their_sum() -> None:
    x = tj.Variable([1.0, 2.0])
    with tj.GradientTape(persistent=True) as tape:
        y, z = x * x, 5.0 * tj.sum(x)
    np.testing.assert_array_equal(tape.gradient([y, z], x).numpy(), [7.0, 9.0])
    np.testing.assert_array_equal(tape.gradient({"a": y, "b": (z, None)}, x).numpy(), [7.0, 9.0])
    np.testing.assert_array_equal(tape.gradient([y, y, z], x).numpy(), [9.0, 13.0])


def test_a_target_that_is_a_source_gives_ones() -> None:
    x, w = tj.constant([1.0, 2.0]), tj.Variable([[3.0]])
    with tj.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    np.testing.assert_array_equal(tape.gradient(x, x).numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(tape.gradient(y, y).numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(tape.gradient(w, w).numpy(), [[1.0]])
    both = tape.gradient([y, x], [x, y])
    np.testing.assert_array_equal(both[0].numpy(), [3.0, 5.0])
    np.testing.assert_array_equal(both[1].numpy(), [1.0, 1.0])


def test_a_target_that_depends_on_another_target_counts_both_ways() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        z = y * y
    gradients = tape.gradient([y, z], [x, y])
    assert [number(ct) for ct in gradients] == [6.0 + 4 * 27.0, 1.0 + 18.0]


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_an_integer_target_warns_and_gives_none(dtype: str) -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = tj.astype(x, dtype)
    with pytest.warns(TapejitWarning, match=f"target of dtype {dtype} is not differentiable") as caught:
        assert tape.gradient(y, x) is None
    assert caught[0].filename == __file__


def test_an_integer_among_the_targets_adds_nothing() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y, z = x * x, tj.astype(x, "int64")
    with pytest.warns(TapejitWarning, match="int64"):
        assert number(tape.gradient([z, y], x)) == 4.0


@pytest.mark.parametrize("wrong", [None, 3.0, np.ones(2), "loss", lambda: None])
def test_a_target_that_is_no_tensor_is_refused(wrong: Any) -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = x * x
    expected = rf"gradient: a target must be a tensor or a variable, got {type(wrong).__name__}; .*{__file__}"
    with pytest.raises(TypeError, match=expected):
        tape.gradient(wrong, x)
    assert number(tape.gradient(y, x)) == 4.0, "a refused call does not free the tape"


# Sources


def test_sources_may_be_any_nest_and_the_result_has_the_same() -> None:
    a, b = tj.Variable(2.0), tj.Variable([3.0, 4.0])
    sources: Any = {
        "pair": Pair(a, [b, (a,)]),
        "ordered": collections.OrderedDict(z=b, a=a),
        "nothing": None,
        "empty": [],
    }
    with tj.GradientTape() as tape:
        y = a * b
    found = tape.gradient(y, sources)
    assert list(found) == list(sources)
    assert isinstance(found["pair"], Pair)
    assert number(found["pair"].first) == 7.0
    np.testing.assert_array_equal(found["pair"].second[0].numpy(), [2.0, 2.0])
    assert number(found["pair"].second[1][0]) == 7.0
    assert isinstance(found["ordered"], collections.OrderedDict)
    assert list(found["ordered"]) == ["z", "a"]
    assert found["nothing"] is None
    assert found["empty"] == []


def test_a_source_may_be_repeated() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
    assert [number(ct) for ct in tape.gradient(y, [x, x, x])] == [6.0, 6.0, 6.0]


def test_intermediate_results_may_be_sources() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = x * x
        z = y * y + y
    assert [number(ct) for ct in tape.gradient(z, [x, y, z])] == [6.0 * 19.0, 19.0, 1.0]


def test_a_source_between_two_others_stops_nothing() -> None:
    x = tj.constant(3.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        z = y * x
    gradients = tape.gradient(z, [y, x])
    assert [number(ct) for ct in gradients] == [3.0, 27.0]


def test_the_value_that_was_read_from_a_variable_is_a_source() -> None:
    w = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        first, second = w.read_value(), w.read_value()
        y = first * first * second
    assert [number(ct) for ct in tape.gradient(y, [first, second, w])] == [18.0, 9.0, 27.0]


@pytest.mark.parametrize("wrong", [None, 3.0, np.ones(2), "w", {1.0}])
def test_a_source_that_is_no_tensor_is_refused(wrong: Any) -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = x * x
    expected = rf"gradient: a source must be a tensor or a variable, got {type(wrong).__name__}; .*tj\.Variable"
    with pytest.raises(TypeError, match=expected):
        tape.gradient(y, wrong)
    if wrong is not None:
        with pytest.raises(DtypeError, match=expected):
            tape.gradient(y, [x, (wrong,)])
    assert number(tape.gradient(y, x)) == 4.0


def test_a_variable_that_is_assigned_between_uses_keeps_the_value_of_each() -> None:
    w = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        a = w * w
        w.assign(5.0)
        b = w * w * w
        y = a + b
    assert number(tape.gradient(y, w)) == 2 * 2.0 + 3 * 25.0


def test_an_assignment_is_not_differentiated() -> None:
    v, w = tj.Variable(2.0), tj.Variable(3.0)
    with tj.GradientTape() as tape:
        w.assign(v * v)
        w.assign_add(v)
        w.assign_sub(v)
        y = w * w
    gradients = tape.gradient(y, [v, w])
    assert gradients[0] is None
    assert number(gradients[1]) == 8.0


# Dtypes and shapes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_a_gradient_has_its_sources_shape_and_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    x = tj.Variable(np.full(shape, 2.0, dtype))
    with tj.GradientTape() as tape:
        y = tj.sum(tj.exp(x) * x) / 2 + tj.constant(1.0, "float64")
    ct = tape.gradient(y, x)
    assert (ct.shape, ct.dtype) == (shape, dtype)


def test_sources_of_mixed_dtypes_each_get_their_own() -> None:
    half, single, double = (tj.Variable(np.array([2.0, 3.0], d)) for d in ("float16", "float32", "float64"))
    with tj.GradientTape() as tape:
        y = half * single * double
    gradients = tape.gradient(y, [half, single, double])
    assert y.dtype == "float64"
    assert [ct.dtype.name for ct in gradients] == ["float16", "float32", "float64"]
    for ct in gradients:
        np.testing.assert_array_equal(ct.numpy(), [4.0, 9.0])


def test_an_integer_operand_takes_part_without_a_gradient() -> None:
    x, n = tj.Variable([1.0, 2.0], dtype="float64"), tj.constant([3, 4])
    with tj.GradientTape() as tape:
        y = x * n
    gradients = tape.gradient(y, [x, n])
    np.testing.assert_array_equal(gradients[0].numpy(), [3.0, 4.0])
    assert gradients[1] is None


def test_asarray_of_a_nest_of_tensors_is_differentiable() -> None:
    t = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = tj.asarray([[t, 1.0], [t * t, 2]])
    assert y.shape == (2, 2)
    assert number(tape.gradient(y, t)) == 7.0


def test_a_target_computed_outside_of_the_block_is_not_connected() -> None:
    x = tj.Variable(2.0)
    with tj.GradientTape() as tape:
        y = x * x
    assert tape.gradient(y * 2, x) is None


def test_stop_gradient_is_a_constant() -> None:
    x = tj.Variable(3.0)
    with tj.GradientTape(persistent=True) as tape:
        y = x * tj.stop_gradient(x)
        z = tj.stop_gradient(x * x)
    assert number(tape.gradient(y, x)) == 3.0
    assert tape.gradient(z, x) is None


def test_a_chain_of_ten_thousand_operations_needs_no_deep_recursion() -> None:
    x = tj.Variable(1.0, dtype="float64")
    with tj.GradientTape() as tape:
        y = x.read_value()
        for _ in range(10_000):
            y = tj.sin(y) + 1e-3
    expected, value = 1.0, 1.0
    for _ in range(10_000):
        expected *= np.cos(value)
        value = np.sin(value) + 1e-3
    np.testing.assert_allclose(y.numpy(), value, rtol=1e-9)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), expected, rtol=1e-9)


def test_ten_thousand_uses_of_one_variable_add_up() -> None:
    x = tj.Variable(1.0)
    with tj.GradientTape() as tape:
        y = x * 0.0
        for _ in range(10_000):
            y = y + x
    assert number(tape.gradient(y, x)) == 10_000.0
