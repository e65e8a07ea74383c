"""`Tensor` as a Python object: immutable, printed, copied, pickled, and what Python asks of it."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, ShapeError, TapejitError

SHAPES = [(), (3,), (2, 3), (0,), (2, 0, 3)]


def example(shape: tuple[int, ...], dtype: str = "float32") -> tj.Tensor:
    return tj.constant(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype))


# Properties


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [tj.constant, tj.Variable], ids=["Tensor", "Variable"])
def test_properties(shape: tuple[int, ...], make: Callable[[Any], Any]) -> None:
    t = make(example(shape).numpy())
    assert t.shape == shape
    assert t.dtype == np.dtype("float32")
    assert t.ndim == len(shape)
    assert t.size == np.prod(shape, dtype=int)
    assert t.nbytes == 4 * t.size
    assert t.device == "cpu"
    assert t.T.shape == shape[::-1]
    if len(shape) >= 2:
        assert t.mT.shape == (*shape[:-2], shape[-1], shape[-2])


def test_methods_are_the_operations() -> None:
    t = example((2, 3))
    x = t.numpy()
    np.testing.assert_array_equal(t.T.numpy(), x.T)
    np.testing.assert_array_equal(t.mT.numpy(), x.T)
    np.testing.assert_array_equal(t.sum(0).numpy(), x.sum(0))
    np.testing.assert_array_equal(t.mean(axis=1, keepdims=True).numpy(), x.mean(1, keepdims=True))
    np.testing.assert_array_equal(t.max(1).numpy(), x.max(1))
    np.testing.assert_array_equal(t.min().numpy(), x.min())
    np.testing.assert_array_equal(t.reshape(3, 2).numpy(), x.reshape(3, 2))
    np.testing.assert_array_equal(t.reshape((3, -1)).numpy(), x.reshape(3, 2))
    assert t.astype("int8").dtype == "int8"
    assert t.tolist() == x.tolist()
    assert t.item(1, 2) == 5.0
    assert tj.constant(2.5).item() == 2.5
    assert isinstance(tj.constant(2).item(), int)


def test_mt_needs_two_axes() -> None:
    with pytest.raises(ShapeError, match="matrix_transpose"):
        tj.constant([1.0]).mT  # noqa: B018


# Operators

ARITHMETIC = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, divmod,
]  # fmt: skip
BITS = [operator.and_, operator.or_, operator.xor]


@pytest.mark.parametrize("function", ARITHMETIC, ids=lambda f: f.__name__)
@pytest.mark.parametrize("make", [tj.constant, tj.Variable], ids=["Tensor", "Variable"])
def test_arithmetic_operators_and_their_reflections(function: Any, make: Any) -> None:
    x, y = np.array([1.5, 2.0, 3.0]), np.array([2.0, 0.5, 3.0])
    pairs = [
        (x, y, make(x), make(y)), (x, y, make(x), y), (x, y, x, make(y)), (x, 2, make(x), 2), (2, y, 2, make(y)),
        (x, 0.5, make(x), 0.5), (0.5, y, 0.5, make(y)), (x, y, make(x), y.tolist()), (x, y, x.tolist(), make(y)),
    ]  # fmt: skip
    for first, second, real_first, real_second in pairs:
        found, expected = function(real_first, real_second), function(np.asarray(first), np.asarray(second))
        both = [(found, expected)] if not isinstance(expected, tuple) else zip(found, expected, strict=True)
        for one, other in both:
            assert isinstance(one, tj.Tensor)
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-6)


@pytest.mark.parametrize("function", BITS, ids=lambda f: f.__name__)
def test_operators_on_bits_and_their_reflections(function: Any) -> None:
    for x, y in ((np.array([True, False]), np.array([True, True])), (np.array([12, 10]), np.array([6, 3]))):
        for real_x, real_y in ((tj.constant(x), tj.constant(y)), (tj.constant(x), y), (x, tj.constant(y))):
            np.testing.assert_array_equal(function(real_x, real_y).numpy(), function(x, y))
    np.testing.assert_array_equal(
        function(tj.constant([True, False]), True).numpy(), function(np.array([True, False]), True)
    )


def test_matmul_and_signs() -> None:
    a = example((2, 3))
    x = a.numpy()
    for left, right in ((a, a.T), (x, a.T), (a, x.T), (a, x.T.tolist())):
        np.testing.assert_array_equal((left @ right).numpy(), x @ x.T)
    np.testing.assert_array_equal((-a).numpy(), -x)
    np.testing.assert_array_equal((+a).numpy(), x)
    np.testing.assert_array_equal(abs(-a).numpy(), x)
    np.testing.assert_array_equal((~tj.constant([1, 2])).numpy(), [-2, -3])


def test_comparison_with_none_is_as_python_has_it() -> None:
    for t in (tj.constant([1.0, 2.0]), tj.Variable(1.0)):
        assert (t == None) is False  # noqa: E711
        assert (t != None) is True  # noqa: E711
        assert t is not None


@pytest.mark.parametrize("wrong", ["text", object(), 1j, [1, "a"], {"a": 1}])
def test_operators_refuse_what_is_no_number(wrong: Any) -> None:
    for function in (operator.add, operator.mul, operator.lt, operator.eq):
        with pytest.raises(TypeError):
            function(tj.constant([1.0]), wrong)


# It never changes


def test_an_element_can_not_be_assigned() -> None:
    t = tj.constant([1.0, 2.0])
    with pytest.raises(
        TypeError, match=r"immutable: .*tj\.where, tj\.scatter_set or tj\.scatter_add.*tj\.Variable.*test_tensor"
    ):
        t[0] = 1
    with pytest.raises(TypeError, match="immutable"):
        t[0] += 1
    with pytest.raises((TypeError, AttributeError)):
        del t[0]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(t.numpy(), [1.0, 2.0])


def test_attributes_can_not_be_assigned() -> None:
    t = tj.constant([1.0])
    for name in ("shape", "dtype", "T", "anything"):
        with pytest.raises(AttributeError):
            setattr(t, name, 1)


def test_augmented_assignment_makes_another_tensor() -> None:
    t = u = tj.constant([1.0, 2.0])
    t += 1.0
    np.testing.assert_array_equal(t.numpy(), [2.0, 3.0])
    np.testing.assert_array_equal(u.numpy(), [1.0, 2.0])


def test_an_array_is_not_changed_in_place_by_a_tensor() -> None:
    array = np.zeros(2)
    with pytest.raises(TypeError, match=r"array = array \+ t"):
        array += tj.constant([1.0, 2.0])
    np.testing.assert_array_equal(array, [0.0, 0.0])


# What Python asks


@pytest.mark.parametrize("make", [tj.constant, tj.Variable], ids=["Tensor", "Variable"])
def test_numbers_of_python(make: Callable[..., Any]) -> None:
    assert float(make(2.5)) == 2.5
    assert int(make(2.9)) == 2
    assert complex(make(2.5)) == 2.5 + 0j
    assert bool(make(0.0)) is False
    assert bool(make([[3.0]])) is True
    assert float(make([[3.0]])) == 3.0
    assert [10, 20, 30][make(1)] == 20
    assert list(range(make(3))) == [0, 1, 2]


@pytest.mark.parametrize("make", [tj.constant, tj.Variable], ids=["Tensor", "Variable"])
def test_what_has_no_number_says_so(make: Callable[..., Any]) -> None:
    for value in ([1.0, 2.0], []):
        shape = rf"\({len(value)},\)"
        with pytest.raises(ValueError, match=rf"shape {shape} is ambiguous: use tj\.any\(t\) or tj\.all\(t\)"):
            bool(make(value))
        with pytest.raises(ShapeError, match=rf"float\(\) takes a tensor with one element, got shape {shape}"):
            float(make(value))
        with pytest.raises(ShapeError, match=r"int\(\) takes"):
            int(make(value))
        with pytest.raises(ValueError, match="size 1"):
            make(value).item()
    with pytest.raises(TypeError, match=r"only an integer tensor can be an index, got float32\[\]"):
        [1, 2][make(1.0)]
    with pytest.raises(TypeError, match="only an integer tensor can be an index, got bool"):
        operator.index(make(True))


def test_length_iteration_and_membership() -> None:
    t = example((2, 3))
    assert len(t) == 2
    assert [row.tolist() for row in t] == t.tolist()
    assert all(isinstance(row, tj.Tensor) for row in t)
    first, second = t
    assert second[0].item() == 3.0
    assert first.shape == (3,)
    assert list(tj.zeros((0, 3))) == []
    assert 5.0 in t
    assert 7.0 not in t
    assert float(sum(tj.constant([1.0, 2.0]))) == 3.0
    assert float(max(tj.constant([1.0, 2.0]))) == 2.0
    for ask in (len, iter, list):
        with pytest.raises(TypeError, match="0-d tensor"):
            ask(tj.constant(1.0))


def test_iteration_stays_on_the_tape() -> None:
    w = tj.Variable([2.0, 3.0])
    with tj.GradientTape() as tape:
        a, b = w
        y = a * b
    assert tape.gradient(y, w).tolist() == [3.0, 2.0]


def test_a_tensor_can_not_be_hashed_and_a_variable_can() -> None:
    with pytest.raises(TypeError, match=r"a Tensor is unhashable, .* in a list or a tuple, not in a set .*test_tensor"):
        hash(tj.constant(1.0))
    v, w = tj.Variable(1.0), tj.Variable(1.0)
    assert len({v, w, v}) == 2
    assert {v: "v"}[v] == "v"


# Printing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "Tensor(1., shape=(), dtype=float32)"),
        ([1.0, 2.5], "Tensor([1. , 2.5], shape=(2,), dtype=float32)"),
        ([[1], [2]], "Tensor([[1],\n        [2]], shape=(2, 1), dtype=int64)"),
        ([], "Tensor([], shape=(0,), dtype=float32)"),
        (np.zeros((0, 3)), "Tensor([], shape=(0, 3), dtype=float64)"),
        (True, "Tensor(True, shape=(), dtype=bool)"),
        ([True, False], "Tensor([ True, False], shape=(2,), dtype=bool)"),
        ("ab", "Tensor('ab', shape=(), dtype=str64)"),
        (["a", "bc"], "Tensor(['a', 'bc'], shape=(2,), dtype=str64)"),
        ([float("nan"), float("inf")], "Tensor([nan, inf], shape=(2,), dtype=float32)"),
        (np.int8(3), "Tensor(3, shape=(), dtype=int8)"),
    ],
)
def test_repr_shows_value_shape_and_dtype(value: Any, expected: str) -> None:
    assert repr(tj.constant(value)) == expected
    assert repr(tj.Variable(value)).replace("Variable(", "Tensor(").split() == expected.split()


def test_repr_of_a_large_tensor_is_short() -> None:
    assert len(repr(tj.zeros((2000, 2000)))) < 500
    assert "shape=(2000, 2000)" in repr(tj.zeros((2000, 2000)))


@pytest.mark.parametrize("make", [tj.constant, tj.Variable], ids=["Tensor", "Variable"])
def test_format(make: Callable[..., Any]) -> None:
    assert f"{make(2.5)}" == "2.5"
    assert f"{make(2.5):8.3f}|" == "   2.500|"
    assert f"{make(3):03d}" == "003"
    assert f"{make([1.0, 2.0])}" == "[1. 2.]"
    assert str(make([1, 2])) == "[1 2]"
    with pytest.raises(TypeError, match=r"format '\.2f' is for a 0-d tensor, got shape \(2,\).*np\.array2string"):
        f"{make([1.0, 2.0]):.2f}"
    with pytest.raises(ValueError, match="format"):
        f"{make(1.0):d}"


# Copies and pickles


@pytest.mark.parametrize(
    "value",
    [2.5, [1, 2], [[1.0], [2.0]], [], True, ["a", "bc"], np.zeros((2, 0)), np.float16(3), np.arange(6).reshape(2, 3).T],
)  # fmt: skip
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(value: Any, protocol: int) -> None:
    t = tj.constant(value)
    again = pickle.loads(pickle.dumps(t, protocol))
    assert type(again) is tj.Tensor
    assert again.dtype == t.dtype
    np.testing.assert_array_equal(again.numpy(), t.numpy())


@pytest.mark.parametrize("make", [tj.ones, tj.zeros, lambda n: tj.full(n, 2.0)])
def test_pickles_of_repeated_numbers(make: Any) -> None:
    t = make((2, 3))
    again = pickle.loads(pickle.dumps(t))
    np.testing.assert_array_equal(again.numpy(), t.numpy())
    assert type(again) is tj.Tensor


def test_a_copy_of_what_never_changes_is_itself() -> None:
    t = tj.constant([1.0, 2.0])
    assert copy.copy(t) is t
    assert copy.deepcopy(t) is t
    assert copy.deepcopy([t, {"t": t}])[1]["t"] is t


def test_copies_stay_on_the_tape() -> None:
    w = tj.Variable(3.0)
    with tj.GradientTape() as tape:
        y = copy.deepcopy(w * w) * 2.0
    assert float(tape.gradient(y, w)) == 12.0


# Making tensors


@pytest.mark.parametrize(
    "value", [1j, object(), {"a": 1}, {1, 2}, lambda: None, np.array([1j]), np.array([None]), None]
)
def test_what_is_no_array_of_numbers_is_refused(value: Any) -> None:
    for make in (tj.constant, tj.asarray, tj.Variable):
        with pytest.raises(DtypeError, match=r"array|tensor"):
            make(value)


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], [1.0, [2.0]], [[], [1.0]]])
def test_ragged_lists_are_refused(value: Any) -> None:
    with pytest.raises(ShapeError, match="ragged: its rows have different lengths"):
        tj.constant(value)


def test_np_asarray_shares_and_converts() -> None:
    t = tj.constant([1.0, 2.0])
    assert np.shares_memory(np.asarray(t), t.numpy())
    assert np.asarray(t, dtype="float64").dtype == "float64"
    assert np.array(t, copy=True).flags.writeable
    with pytest.raises(ValueError, match="needs a copy"):
        np.asarray(t, dtype="float64", copy=False)


def test_the_array_namespace() -> None:
    namespace = tj.constant([1.0]).__array_namespace__()
    np.testing.assert_array_equal(namespace.exp(tj.constant([0.0])).numpy(), [1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tj.constant([1.0, 2.0]) + tj.ones(3), r"add: shapes \(2,\) and \(3,\) do not broadcast"),
        (lambda: tj.ones((2, 3)) @ tj.ones((2, 3)), r"matmul.*\(2, 3\).*\(2, 3\)"),
        (lambda: tj.sum(tj.ones(3), axis=1), "sum: axis 1 is out of range for an array with 1 axes"),
        (lambda: tj.ones(3)[5], "index 5 is out of range for axis 0 with length 3"),
        (lambda: tj.ones(3)[0, 0], "ind"),
        (lambda: tj.reshape(tj.ones(3), (2, 2)), r"reshape.*\(3,\).*\(2, 2\)"),
        (lambda: tj.concat([tj.ones((2, 1)), tj.ones((3, 2))]), r"concat.*\(2, 1\).*\(3, 2\)"),
        (lambda: tj.sqrt(tj.constant("a")), "sqrt"),
        (lambda: tj.constant(1.0) & 1, "bitwise_and"),
        (lambda: -tj.constant(True), "negative"),
        (lambda: tj.astype(tj.ones(2), "complex64"), "astype converts .* not float32 to complex64"),
        (lambda: tj.broadcast_to(tj.ones(3), (2,)), r"broadcast_to.*\(3,\).*\(2,\)"),
        (lambda: tj.max(tj.zeros((0,))), r"max of no elements has no value: shape \(0,\)"),
        (lambda: tj.linalg.solve(tj.ones((2, 3)), tj.ones(2)), r"solve.*\(2, 3\)"),
        (lambda: tj.full((2, -1), 0.0), "full: negative length"),
    ],
)
def test_errors_name_the_operation_the_shapes_and_the_users_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError), match=message) as caught:
        call()
    assert isinstance(caught.value, TapejitError)
    assert f"{__file__}:" in str(caught.value)


# Operands of a user's own


class Unit:
    """Knows how to meet a tensor; a tensor knows nothing of it."""

    def __radd__(self, other: Any) -> tuple[str, Any]:
        return "radd", other

    def __rmatmul__(self, other: Any) -> tuple[str, Any]:
        return "rmatmul", other

    def __gt__(self, other: Any) -> tuple[str, Any]:
        return "gt", other

    def __eq__(self, other: object) -> Any:
        return "eq", other

    __hash__ = None  # type: ignore[assignment]


class Quantity(Unit):
    """Could be made an array, but wants to do the arithmetic itself."""

    __array_ufunc__ = None

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.ones(2)


@pytest.mark.parametrize("mine", [Unit(), Quantity()])
@pytest.mark.parametrize("theirs", [tj.constant([1.0, 2.0]), tj.Variable([1.0, 2.0])])
def test_a_class_with_operators_of_its_own_gets_its_turn(mine: Any, theirs: Any) -> None:
    for result, name in (
        (theirs + mine, "radd"),
        (theirs @ mine, "rmatmul"),
        (theirs < mine, "gt"),
        (theirs == mine, "eq"),
    ):
        assert result[0] == name
        assert result[1] is theirs


def test_a_class_without_the_operator_is_refused() -> None:
    with pytest.raises(TypeError, match="multiply: can't make a tensor of Unit"):
        tj.constant([1.0]) * Unit()
    with pytest.raises(TypeError, match="unsupported operand"):
        tj.constant([1.0]) * Quantity()


def test_the_builtins_get_no_turn() -> None:
    t = tj.constant([1.0, 2.0])
    with pytest.raises(tj.errors.DtypeError, match="remainder"):
        t % "a"  # str has a % of its own
    np.testing.assert_array_equal((t * [2, 3]).numpy(), [2.0, 6.0])


def test_a_class_meets_a_traced_tensor_too() -> None:
    step = tj.compile(lambda x: (x + Unit())[1] * 2, strict=True)
    np.testing.assert_array_equal(step(np.ones(2)).numpy(), [2.0, 2.0])
