"""`Variable`: what it is made of, what may be assigned to it, and that a refused assignment changes nothing."""

import copy
import operator
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError, TapejitError

WAYS = ["assign", "assign_add", "assign_sub"]


# Making one


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (3.0, None, "float32"), (3, None, "int64"), (True, None, "bool"), ([1.0, 2.0], None, "float32"),
        (np.array([1.0]), None, "float64"), (3, "float32", "float32"), ([1, 2], "float64", "float64"),
        (np.array([1.0]), "float32", "float32"), (2.5, "int32", "int32"), (3.0, np.float16, "float16"),
        (np.float32(3.0), float, "float64"), ("abc", None, "<U3"),
    ],
)  # fmt: skip
def test_a_variable_has_the_dtype_of_its_value_or_the_one_asked_for(value: Any, dtype: Any, expected: str) -> None:
    v = tj.Variable(value, dtype=dtype)
    assert v.dtype == expected
    assert v.numpy().dtype == expected
    assert v.read_value().dtype == expected


def test_a_variable_may_be_made_of_tensors_and_variables() -> None:
    t = tj.constant([1.0, 2.0])
    v = tj.Variable(tj.Variable(t))
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])
    w = tj.Variable([t, 2.0 * t])
    assert w.shape == (2, 2)


def test_names_and_trainable() -> None:
    v = tj.Variable(1.0, trainable=False, name="bias")
    assert (v.name, v.trainable) == ("bias", False)
    assert (tj.Variable(1.0).name, tj.Variable(1.0).trainable) == (None, True)
    assert repr(v) == "Variable(1., name='bias', shape=(), dtype=float32)"


def test_making_one_under_a_tape_is_not_differentiated() -> None:
    x = tj.constant(3.0)
    with tj.GradientTape() as tape:
        tape.watch(x)
        v = tj.Variable(x * 2.0)
        y = v * v
    assert tape.gradient(y, [x, v])[0] is None


@pytest.mark.parametrize("wrong", [None, 1j, object(), [[1.0], [1.0, 2.0]], {"a": 1.0}])
def test_what_is_no_array_of_numbers_is_refused(wrong: Any) -> None:
    with pytest.raises((DtypeError, ShapeError)):
        tj.Variable(wrong)


# Assigning


def test_the_three_ways() -> None:
    v = tj.Variable([1.0, 2.0])
    assert v.assign([3.0, 4.0]) is v
    np.testing.assert_array_equal(v.numpy(), [3.0, 4.0])
    assert v.assign_add([1.0, 1.0]) is v
    np.testing.assert_array_equal(v.numpy(), [4.0, 5.0])
    assert v.assign_sub(np.array([4.0, 4.0])) is v
    np.testing.assert_array_equal(v.numpy(), [0.0, 1.0])
    assert v.assign(7 * tj.ones(2)).assign_sub([1.0, 2.0]) is v
    np.testing.assert_array_equal(v.numpy(), [6.0, 5.0])
    assert v.dtype == "float32"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "value", [0.1, [0.1, 0.2], 1, [1, 2], (1, 2.5), np.float64(0.1), np.array([0.1, 0.2])], ids=repr
)
def test_floating_variables_take_floats_and_python_integers(dtype: str, value: Any) -> None:
    v = tj.Variable(np.zeros(np.shape(value), dtype))
    v.assign(value)
    assert v.dtype == dtype
    np.testing.assert_array_equal(v.numpy(), np.asarray(value).astype(dtype), "rounded once, from what was written")


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
@pytest.mark.parametrize("value", [3, [3, 4], np.int64(3), np.array([3, 4], np.uint16), tj.constant(3)], ids=repr)
def test_integer_variables_take_integers(dtype: str, value: Any) -> None:
    v = tj.Variable(np.zeros(np.shape(value), dtype))
    v.assign(value)
    assert v.dtype == dtype
    np.testing.assert_array_equal(v.numpy(), np.asarray(value))


def test_booleans_and_strings() -> None:
    flag, word = tj.Variable([True, False]), tj.Variable("abc")
    flag.assign([False, False])
    np.testing.assert_array_equal(flag.numpy(), [False, False])
    flag.assign(np.array([True, True]))
    assert flag.numpy().all()
    word.assign("de")
    assert str(word) == "de"
    with pytest.raises(DtypeError, match=r"room for 3 characters, the value has 5; .*'U5'"):
        word.assign("defgh")
    assert str(word) == "de"


OTHER_KINDS = [
    ("float32", np.array([1, 2])), ("float32", np.int64(1)), ("float32", tj.constant([1, 2])), ("float32", True),
    ("float32", [True, False]), ("float32", "a"), ("int32", 1.0), ("int32", [1.0, 2.0]),
    ("int32", np.array([1.0, 2.0])), ("int32", True), ("bool", 1), ("bool", [0.0, 1.0]), ("bool", np.array([1, 0])),
    ("int64", tj.constant(1.5)),
    ("float32", ["a", "b"]),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "value"), OTHER_KINDS, ids=repr)
@pytest.mark.parametrize("way", WAYS)
def test_another_kind_is_refused(way: str, dtype: str, value: Any) -> None:
    v = tj.Variable(np.ones(np.shape(value), dtype), name="weight")
    kept = v.numpy()
    with pytest.raises(TypeError) as caught:
        getattr(v, way)(value)
    message = str(caught.value)
    assert isinstance(caught.value, TapejitError)
    assert message.startswith(f"{way} to variable 'weight': the variable is {dtype} (")
    assert f"convert with tj.astype(value, '{dtype}')" in message
    assert f"{__file__}:" in message
    np.testing.assert_array_equal(v.numpy(), kept)
    assert v.numpy().dtype == dtype


@pytest.mark.parametrize(
    "value", [1.0, [1.0], [1.0, 2.0, 3.0], np.ones((2, 1)), np.ones((1, 2)), [], tj.ones((2, 2))], ids=repr
)
@pytest.mark.parametrize("way", WAYS)
def test_another_shape_is_refused(way: str, value: Any) -> None:
    v = tj.Variable([5.0, 6.0])
    with pytest.raises(ValueError, match="shape") as caught:
        getattr(v, way)(value)
    message = str(caught.value)
    assert isinstance(caught.value, TapejitError)
    expected = f"{way} to a variable: the variable has shape (2,), the value {np.shape(value)}; reshape or broadcast it"
    assert message.startswith(expected)
    np.testing.assert_array_equal(v.numpy(), [5.0, 6.0])


@pytest.mark.parametrize("way", WAYS)
def test_none_is_refused_with_its_likely_cause(way: str) -> None:
    v = tj.Variable(1.0, name="w")
    with pytest.raises(
        TypeError, match=f"{way} to variable 'w': the value is None; a gradient is None where the target"
    ):
        getattr(v, way)(None)
    assert v.numpy() == 1.0


@pytest.mark.parametrize(("dtype", "value"), [("int8", 300), ("uint8", -1), ("int8", [300])])
def test_python_integers_that_do_not_fit_are_refused(dtype: str, value: Any) -> None:
    v = tj.Variable(np.ones(np.shape(value), dtype))
    with pytest.raises(OverflowError, match=f"out of bounds for {dtype}"):
        v.assign(value)
    assert v.numpy() == 1


@pytest.mark.parametrize("wrong", [object(), {"a": 1}, 1j, [[1.0], [1.0, 2.0]]])
def test_what_is_no_array_is_refused(wrong: Any) -> None:
    v = tj.Variable([1.0, 2.0])
    with pytest.raises(TapejitError):
        v.assign(wrong)
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])


def test_elements_can_not_be_assigned() -> None:
    v = tj.Variable([1.0, 2.0])
    with pytest.raises(TypeError, match=r"assigned as a whole: use v\.assign"):
        v[0] = 3.0
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])


@pytest.mark.parametrize(
    "name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "iand", "ior", "ixor"]
)
def test_augmented_assignment_is_refused(name: str) -> None:
    """It would silently put a tensor in the variable's place, as the user of ``self.w -= ...`` finds out much later."""
    v = tj.Variable([1.0, 2.0])
    with pytest.raises(TypeError, match=r"no \+= and the like: use v\.assign_add"):
        getattr(operator, name)(v, 1.0)


def test_a_failed_operation_in_a_value_leaves_the_variable() -> None:
    v = tj.Variable([1.0, 2.0])
    with pytest.raises(ValueError, match="broadcast"):
        v.assign(v + tj.ones(3))
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])


def test_shape_dtype_and_identity_survive_assignments() -> None:
    v = tj.Variable(np.zeros((2, 3), np.float32))
    key = hash(v)
    v.assign(np.arange(6.0).reshape(3, 2).T)
    assert (v.shape, v.dtype, hash(v)) == ((2, 3), "float32", key)
    np.testing.assert_array_equal(v.numpy(), np.arange(6.0).reshape(3, 2).T)


def test_empty_and_0_d_variables() -> None:
    empty, number = tj.Variable(np.zeros((0, 3))), tj.Variable(2.0)
    empty.assign(np.zeros((0, 3))).assign_add(tj.zeros((0, 3)))
    assert empty.shape == (0, 3)
    number.assign(np.float64(3.5)).assign_add(tj.constant(0.5))
    assert number.numpy() == 4.0


# Reading


def test_reading() -> None:
    v = tj.Variable([1.0, 2.0])
    assert type(v.read_value()) is tj.Tensor
    assert isinstance(v.numpy(), np.ndarray)
    np.testing.assert_array_equal((v + v).numpy(), [2.0, 4.0])
    np.testing.assert_array_equal(v[::-1].numpy(), [2.0, 1.0])
    np.testing.assert_array_equal(np.exp(v).numpy(), np.exp(np.float32([1, 2])))
    np.testing.assert_array_equal(tj.stack([v, v]).numpy(), [[1, 2], [1, 2]])


@pytest.mark.parametrize("way", WAYS)
def test_an_assignment_is_heard_by_no_tape(way: str) -> None:
    v = tj.Variable([1.0, 2.0])
    with tj.GradientTape() as tape:
        getattr(v, way)([1.0, 1.0])
    assert tape.watched_variables() == ()


# Copies and pickles


@pytest.mark.parametrize(
    "value", [2.5, [1, 2], [], True, "abc", np.zeros((2, 0)), np.arange(6.0).reshape(2, 3).T], ids=repr
)
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_are_variables_of_their_own(value: Any, again: Callable[[Any], Any]) -> None:
    v = tj.Variable(value, trainable=False, name="v")
    w = again(v)
    assert isinstance(w, tj.Variable)
    assert w is not v
    assert (w.trainable, w.name, w.dtype, w.shape) == (False, "v", v.dtype, v.shape)
    np.testing.assert_array_equal(w.numpy(), v.numpy())
    assert hash(w) != hash(v)
    if v.dtype == "float64" and v.size:
        w.assign(w * 2)
        np.testing.assert_array_equal(v.numpy(), value)


def test_deepcopy_keeps_what_is_shared() -> None:
    v = tj.Variable(1.0)
    model = {"encoder": [v], "decoder": v}
    again = copy.deepcopy(model)
    assert again["encoder"][0] is again["decoder"]
    assert again["decoder"] is not v


def test_a_copy_is_watched_for_itself() -> None:
    v = tj.Variable(2.0)
    w = copy.deepcopy(v)
    with tj.GradientTape() as tape:
        y = w * w
    found = tape.gradient(y, [v, w])
    assert found[0] is None
    assert float(found[1]) == 4.0


# Threads


def test_updates_of_many_threads_leave_a_whole_value() -> None:
    v = tj.Variable(np.zeros(1000))
    torn = []

    def write(number: float) -> None:
        for _ in range(200):
            v.assign(np.full(1000, number))

    def read() -> None:
        for _ in range(200):
            seen = v.numpy()
            if seen.min() != seen.max():
                torn.append(seen)

    threads = [threading.Thread(target=write, args=(float(n),)) for n in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn


# As operands


def test_a_subclass_of_variable_is_an_operand_too() -> None:
    class Weight(tj.Variable):
        __slots__ = ()

    w = Weight([1.0, 2.0])
    x = tj.constant([3.0, 4.0])
    with tj.GradientTape() as tape:
        y = w * x + x * w + w
    np.testing.assert_array_equal(tape.gradient(y, w).numpy(), [7.0, 9.0])


def test_a_variable_that_is_no_longer_trained_counts_in_a_compiled_step() -> None:
    w = tj.Variable(2.0)

    @tj.compile(strict=True)
    def slope(x: float) -> Any:
        with tj.GradientTape() as tape:
            y = w * w * x
        return tape.gradient(y, w, unconnected_gradients="zero")

    assert float(slope(1.0)) == 4.0
    w.trainable = False
    assert float(slope(1.0)) == 0.0
    w.trainable = True
    assert float(slope(1.0)) == 4.0
