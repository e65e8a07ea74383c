"""Exceptions are the built-in ones that a user would catch, and point at the user's line."""

import dataclasses
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapejit as tj
from tapejit import errors


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.IndexRangeError, IndexError),
        (errors.IndexRangeError, ValueError),
        (errors.DtypeError, TypeError),
        (errors.NumberError, TypeError),
        (errors.NumberError, OverflowError),
        (errors.RuleError, TypeError),
        (errors.TapeError, RuntimeError),
        (errors.ConcretizationError, TypeError),
        (errors.CompileError, RuntimeError),
        (errors.TapejitWarning, UserWarning),
    ],
)
def test_each_is_also_what_a_user_would_catch(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)
    assert error is errors.TapejitWarning or issubclass(error, errors.TapejitError)


def line() -> int:
    """The line of the caller."""
    return sys._getframe(1).f_lineno


def raised(call: Callable[[], Any]) -> str:
    with pytest.raises(errors.TapejitError) as caught:
        call()
    return str(caught.value)


def test_messages_end_with_the_users_file_and_line() -> None:
    def call() -> None:
        tj.ones(2) + tj.ones(3)

    assert raised(call).endswith(f"(at {__file__}:{line() - 2})")


def test_messages_name_the_innermost_line_of_the_user() -> None:
    """Also where NumPy or a deep call of the library is between."""

    def call() -> None:
        np.concatenate([tj.ones((2, 1)), tj.ones((3, 2))], axis=1)

    message = raised(call)
    assert f"{__file__}:" in message or "numpy" in message


def test_there_is_a_location_only_where_there_is_a_user() -> None:
    assert errors.user_location().startswith(__file__)
    assert errors.at_user_line("what happened").startswith("what happened (at ")


def test_warnings_point_at_the_users_line() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tj.GradientTape() as tape:
            tape.watch([tj.constant(3)])
            expected = line() - 1
    assert [(Path(each.filename), each.lineno, each.category) for each in caught] == [
        (Path(__file__), expected, errors.TapejitWarning)
    ]


def test_a_block_is_named_by_its_line_and_not_by_pythons_library() -> None:
    def call() -> None:
        with tj.GradientTape().stop_recording():
            pass

    assert raised(call).endswith(f"the tape is not recording (at {__file__}:{line() - 3})")


def test_a_message_of_an_error_does_not_hide_where_it_came_from() -> None:
    with pytest.raises(errors.ShapeError) as caught:
        tj.ones(2) + tj.ones(3)
    assert caught.value.__cause__ is None


# Every public operation says which one it is, where it was called, and what to do


@dataclasses.dataclass
class Record:
    weight: float = 1.0


SQUARE = tj.constant([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tj.roll(SQUARE, 1.5), TypeError, "roll: a shift is an int, got 1.5"),
        (lambda: tj.roll(SQUARE, (1, "a"), (0, 1)), TypeError, "roll: a shift is an int, got 'a'"),
        (lambda: SQUARE[::0], ValueError, "indexing: the step of [::0] is 0"),
        (lambda: SQUARE[1.5:], TypeError, "indexing: a slice has ints or nothing as start, stop and step, got [1.5:]"),
        (lambda: tj.var(SQUARE, correction="a"), TypeError, "var: correction (or ddof) is a number, got 'a'"),
        (lambda: tj.std(SQUARE, ddof=[1]), TypeError, "std: var: correction (or ddof) is a number, got [1]"),
        (lambda: tj.mean("a"), TypeError, "mean takes numeric or boolean arrays, got str32[]"),
        (lambda: tj.mean(SQUARE, axis=1.5), TypeError, "mean: an axis is an int, got 1.5"),
        (lambda: tj.logical_and("a", 1), TypeError, "logical_and: astype converts booleans, integers and real floats"),
        (lambda: SQUARE.mean(axis="a"), TypeError, "mean: an axis is an int, got 'a'"),
        (lambda: tj.clip(SQUARE, "a"), TypeError, "clip: maximum does not take operands of dtype float32, str32"),
        (
            lambda: tj.exp(10**30),
            TypeError,
            "exp: 1000000000000000000000000000000 can't be made int64",
        ),
        (lambda: tj.constant(np.uint8([1])) - 300, TypeError, "subtract: Python integer 300 out of bounds for uint8"),
        (lambda: tj.constant(300, "int8"), OverflowError, "constant: Python integer 300 out of bounds for int8"),
        (lambda: tj.asarray([1, -2], "uint8"), OverflowError, "asarray: Python integer -2 out of bounds for uint8"),
        (lambda: tj.constant(float("nan"), "int32"), TypeError, "constant: nan can't be made int32"),
        (lambda: tj.arange("a"), TypeError, "arange: stop is a number, got 'a'"),
        (lambda: tj.arange(float("nan")), ValueError, "arange: there are nan numbers from 0 to nan by 1"),
        (lambda: tj.concat(3), TypeError, "concat takes a sequence of arrays, got int; put them in a list"),
        (lambda: tj.stack(None), TypeError, "stack takes a sequence of arrays, got NoneType"),
        (lambda: tj.permute_dims(SQUARE, 1), TypeError, "permute_dims: axes are a sequence of ints, got 1"),
        (lambda: tj.split(SQUARE, 1.5), TypeError, "split: a number of parts is an int, got 1.5"),
        (lambda: tj.split(SQUARE, ["a"]), TypeError, "split: an index is an int, got 'a'"),
        (lambda: tj.tensordot(SQUARE, SQUARE, 1.5), TypeError, "tensordot: axes, unless it is a pair, is an int"),
        (lambda: tj.gather(SQUARE, [[0]], 1), TypeError, "gather: axes are a tuple of ints, got 1"),
        (lambda: tj.gather(SQUARE, [0, 1], (0,)), ValueError, "gather: indices of shape (2,) do not end in an axis"),
        (lambda: tj.pad(SQUARE, [1, [2, 3]]), ValueError, "pad: pad_width [1, [2, 3]] is ragged"),
        (lambda: tj.sum(SQUARE, dtype=1.5), TypeError, "sum: 1.5 is not a dtype"),
        (lambda: tj.sum(SQUARE, axis=np.array(["a"])), TypeError, "sum: an axis is an int, got array(['a']"),
        (lambda: tj.zeros((10**10, 10**10)), ValueError, "zeros: shape (10000000000, 10000000000) has more elements"),
        (lambda: tj.cumsum(["a"]), TypeError, "cumsum takes numeric or boolean arrays, got str32[1]"),
        (lambda: tj.floor("a"), TypeError, "floor does not take operands of dtype str32"),
        (lambda: SQUARE + object(), TypeError, "add: can't make a tensor of object: it is no array and no number"),
        (
            lambda: tj.grad(tj.sum)(Record()),
            TypeError,
            "can't make a tensor of Record: it is no array and no number; pass its fields in a dict or a named tuple",
        ),
    ],
)
def test_operations_name_themselves_and_the_way_out(
    call: Callable[[], Any], error: type[Exception], words: str
) -> None:
    message = raised(call)
    assert message.startswith(words)
    assert message.endswith(f"(at {__file__}:{call.__code__.co_firstlineno})")
    with pytest.raises(error):
        call()


@pytest.mark.parametrize(("holder", "kind"), [(SQUARE, "Tensor"), (tj.Variable(1.0), "Variable")])
def test_a_missing_attribute_names_the_operation(holder: Any, kind: str) -> None:
    with pytest.raises(AttributeError, match=rf"a {kind} has no attribute 'std'; use tj.std\(t\) \(at .*test_errors"):
        holder.std()
    with pytest.raises(AttributeError, match=rf"a {kind} has no attribute 'nothing' \(at"):
        _ = holder.nothing
    assert not hasattr(holder, "__array_interface__")


def test_tracebacks_name_operations_that_a_family_made() -> None:
    with pytest.raises(errors.DtypeError) as caught:
        tj.tanh("a")
    assert "tanh" in {entry.name for entry in caught.traceback}
