"""Nothing changes under a value that someone holds."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import ops

MATRIX = np.array([[0.5, 0.25, 0.75], [0.125, 0.9, 0.3], [0.2, 0.4, 0.8]])
OPERANDS: dict[str, np.ndarray] = {
    "matrix": MATRIX,
    "row": MATRIX[:1],
    "vector": MATRIX[0],
    "float32": MATRIX.astype(np.float32),
    "positions": np.array([0, 2, 1]),
    "mask": MATRIX > 0.4,
    "mask of rows": MATRIX[:, 0] > 0.15,
    "scalar": np.array(0.5),
}
FORMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "f(t, a)": lambda f, t, a: f(t, a),
    "f(a, t)": lambda f, t, a: f(a, t),
    "f(a, t, M)": lambda f, t, a: f(a, t, MATRIX),
    "f(a, M, t)": lambda f, t, a: f(a, MATRIX, t),
    "f(t, a, a)": lambda f, t, a: f(t, a, a),
    "f(t, [0, 1, 2], a)": lambda f, t, a: f(t, np.array([0, 1, 2]), a),
    "f([t, a])": lambda f, t, a: f([t, a]),
    "f(a) * t": lambda f, t, a: f(a) * t,
    "t[a]": lambda f, t, a: t[a] * f(t),
    "t[:, a]": lambda f, t, a: t[:, a] * f(t),
}


def gradient_with(form: str, name: str, operand: str, change: bool) -> np.ndarray | None:
    """The gradient of one operation by a tensor; the array that took part changes before it is asked for."""
    t, array = tj.constant(MATRIX.copy()), np.array(OPERANDS[operand])
    with tj.GradientTape() as tape:
        tape.watch(t)
        try:
            y = FORMS[form](getattr(ops, name), t, array)
        except (TypeError, ValueError, IndexError, np.linalg.LinAlgError):
            return None
    if change:
        array[...] = 0 if array.dtype.kind in "bi" else 7.5
    targets = y if isinstance(y, (tuple, list)) else [y]
    if not all(isinstance(each, tj.Tensor) for each in targets):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tj.errors.TapejitWarning)
        ct = tape.gradient(list(targets), t)
    return None if ct is None else ct.numpy()


OPERATIONS = [name for name in ops.__all__ if callable(getattr(ops, name))]


@pytest.mark.parametrize("form", FORMS)
def test_an_array_that_changes_after_its_use_alters_no_gradient(form: str) -> None:
    compared = 0
    for name in OPERATIONS:
        for operand in OPERANDS:
            before = gradient_with(form, name, operand, change=False)
            if before is None:
                continue
            compared += 1
            np.testing.assert_array_equal(gradient_with(form, name, operand, True), before, f"{name} {operand}")
    assert compared >= 10, "hardly any operation was tried"


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_result_shares_memory_with_a_users_array(name: str) -> None:
    function: Any = getattr(ops, name)
    for array in (MATRIX.copy(), MATRIX[0].copy(), np.array([0, 2, 1]), np.array(0.5)):
        more: list[tuple[Any, ...]] = [
            (), (array.copy(),), (0,), (1,), (1.0,), ((),), (None,), ((3, 3),), ((-1,),), (array.dtype,),
            (0, 0), ([0, 1, 2],), ([[0, 0], [0, 0]],), ([1],), (array, array),
        ]  # fmt: skip
        for arguments in more:
            try:
                out = function(array, *arguments)
            except (TypeError, ValueError, IndexError, OverflowError, np.linalg.LinAlgError):
                continue
            for each in out if isinstance(out, (tuple, list)) else [out]:
                assert not np.shares_memory(np.asarray(each), array), arguments


def test_a_residual_is_copied_once_when_it_is_used() -> None:
    data = np.array([1.0, 2.0])
    w = tj.Variable([3.0, 4.0], dtype="float64")
    with tj.GradientTape() as tape:
        y = w * data
        data[:] = 100.0
        z = y + w * data
    np.testing.assert_array_equal(tape.gradient(z, w).numpy(), [101.0, 102.0])


def test_a_view_of_an_array_does_not_change_with_it() -> None:
    """One matrix for a batch of systems is broadcast, which takes no memory of its own."""
    matrix, t = 2.0 * np.eye(3), tj.constant(np.ones((2, 3, 1)))
    with tj.GradientTape() as tape:
        tape.watch(t)
        y = tj.linalg.solve(matrix, t)
    matrix[...] = 7.0 * np.eye(3)
    np.testing.assert_array_equal(tape.gradient(y, t).numpy(), np.full((2, 3, 1), 0.5))


def test_output_gradients_that_change_later() -> None:
    weights = np.array([1.0, 2.0])
    w = tj.Variable([3.0, 4.0], dtype="float64")
    with tj.GradientTape() as outer:
        with tj.GradientTape() as inner:
            y = w * w
        ct = inner.gradient(y, w, output_gradients=weights)
    weights[:] = 100.0
    np.testing.assert_array_equal(ct.numpy(), [6.0, 16.0])
    np.testing.assert_array_equal(outer.gradient(ct, w).numpy(), [2.0, 4.0])


@pytest.mark.parametrize("make", [tj.constant, tj.asarray, tj.Variable], ids=["constant", "asarray", "Variable"])
@pytest.mark.parametrize("part", [slice(None), slice(1, None), slice(None, None, -1)])
def test_what_is_made_of_an_array_is_a_copy(make: Callable[[Any], Any], part: slice) -> None:
    data = np.array([1.0, 2.0, 3.0])
    made = make(data[part])
    data[:] = 0.0
    np.testing.assert_array_equal(made.numpy(), np.array([1.0, 2.0, 3.0])[part])


def test_a_read_only_view_of_a_writable_array_is_copied_as_well() -> None:
    data = np.array([1.0, 2.0])
    view = data[:]
    view.flags.writeable = False
    made = tj.asarray(view)
    w = tj.Variable([1.0, 1.0], dtype="float64")
    with tj.GradientTape() as tape:
        y = w * view
    data[:] = 0.0
    np.testing.assert_array_equal(made.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(tape.gradient(y, w).numpy(), [1.0, 2.0])


def test_an_assigned_array_is_copied() -> None:
    w, data = tj.Variable([0.0, 0.0]), np.array([1.0, 2.0], np.float32)
    w.assign(data)
    data[:] = 7.0
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])


HOLDERS: dict[str, Callable[[tj.Variable], Any]] = {
    "read_value": lambda w: w.read_value(),
    "numpy": lambda w: w.numpy(),
    "a view": lambda w: w[1:],
    "a transpose": lambda w: w.T,
    "asarray": tj.asarray,
    "np.asarray": np.asarray,
    "another variable": tj.Variable,
    "iteration": lambda w: tj.stack(list(w)),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_was_read_of_a_variable_keeps_its_value(holder: str) -> None:
    w = tj.Variable([1.0, 2.0, 3.0])
    before = HOLDERS[holder](w)
    expected = np.array(before)
    w.assign([7.0, 8.0, 9.0])
    w.assign_add([1.0, 1.0, 1.0])
    w.assign_sub(w * 2)
    np.testing.assert_array_equal(np.asarray(before), expected)
    np.testing.assert_array_equal(w.numpy(), [-8.0, -9.0, -10.0])


def test_two_variables_never_share_a_buffer_that_is_written() -> None:
    v = tj.Variable([1.0, 2.0])
    w = tj.Variable(v)
    v.assign(w)
    v.assign_add([1.0, 1.0])
    np.testing.assert_array_equal(w.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(v.numpy(), [2.0, 3.0])


def test_a_residual_of_a_variable_that_is_assigned_under_an_open_tape() -> None:
    w = tj.Variable([2.0, 3.0])
    with tj.GradientTape() as tape:
        y = w * w
        w.assign_add([10.0, 10.0])
    np.testing.assert_array_equal(tape.gradient(y, w).numpy(), [4.0, 6.0])


def test_assigning_views_of_itself() -> None:
    w = tj.Variable([[1.0, 2.0], [3.0, 4.0]])
    w.assign(w[::-1])
    np.testing.assert_array_equal(w.numpy(), [[3.0, 4.0], [1.0, 2.0]])
    w.assign(w.T)
    np.testing.assert_array_equal(w.numpy(), [[3.0, 1.0], [4.0, 2.0]])
    w.assign(w + w.T)
    np.testing.assert_array_equal(w.numpy(), [[6.0, 5.0], [5.0, 4.0]])
    w.assign_sub(w[::-1])
    np.testing.assert_array_equal(w.numpy(), [[1.0, 1.0], [-1.0, -1.0]])


def test_numpy_is_read_only() -> None:
    for array in (tj.constant([1.0]).numpy(), tj.Variable([1.0]).numpy(), tj.zeros(3).numpy(), np.asarray(tj.ones(2))):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_np_array_of_a_tensor_is_the_users_own() -> None:
    t = tj.constant([1.0, 2.0])
    own = np.array(t)
    own[0] = 7.0
    np.testing.assert_array_equal(t.numpy(), [1.0, 2.0])


def test_operations_leave_their_operands_unmodified() -> None:
    data = np.array([3.0, 1.0, 2.0])
    t = tj.asarray(data)
    for name in OPERATIONS:
        for arguments in ((data,), (data, data), (t, data), (data, [0, 2, 1], data)):
            try:
                getattr(ops, name)(*arguments)
            except (TypeError, ValueError, IndexError, OverflowError, np.linalg.LinAlgError):
                continue
    np.testing.assert_array_equal(data, [3.0, 1.0, 2.0])
    np.testing.assert_array_equal(t.numpy(), [3.0, 1.0, 2.0])
